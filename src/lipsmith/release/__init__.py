"""From trained weights to a model folder: ONNX stages, card, cost."""
