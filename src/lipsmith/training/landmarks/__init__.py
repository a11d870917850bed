"""Training of the landmark generator."""
