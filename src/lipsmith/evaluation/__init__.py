"""Protocols, baselines, systems and tables: how a model is measured on prepared clips."""
