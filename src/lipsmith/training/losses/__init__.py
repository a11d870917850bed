"""Losses: small functions of tensors."""
