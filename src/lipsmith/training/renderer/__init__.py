"""Training of the renderer."""
