"""Training loops, visible from top to bottom."""
