"""The page that says what images should be invariant to."""
