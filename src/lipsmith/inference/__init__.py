"""Runs the stages of a model folder on numpy arrays, frame by frame."""
