"""Train the renderer."""
