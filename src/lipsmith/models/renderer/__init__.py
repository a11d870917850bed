"""The renderer: landmarks and references to a picture of the face."""
