"""Metrics, one per module, as functions of arrays."""
