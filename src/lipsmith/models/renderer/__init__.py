"""The renderer, from landmarks and references to a picture of the face."""
