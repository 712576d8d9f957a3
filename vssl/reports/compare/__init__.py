"""The page of a comparison: arms, seeds, differences and what they are worth."""
