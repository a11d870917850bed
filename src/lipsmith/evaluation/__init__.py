"""Evaluates models on prepared clips: protocols, baselines, systems, metrics and tables."""
