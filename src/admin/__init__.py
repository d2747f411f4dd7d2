"""The page on which operators see what is recorded, what waits and what left."""
