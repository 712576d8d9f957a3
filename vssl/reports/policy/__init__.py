"""The page of a learned policy: what the designer draws from, and how sure one can be of it."""
