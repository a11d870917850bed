"""Adapts a model to one person, with minutes of training on that person's own film."""
