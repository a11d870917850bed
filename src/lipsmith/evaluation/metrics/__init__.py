"""Metrics: small functions of arrays."""
