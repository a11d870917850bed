"""The stages of a model folder on numpy arrays, and what drives them over frames."""
