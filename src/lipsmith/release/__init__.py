"""Turns trained weights into a model folder: ONNX stages, card, cost."""
