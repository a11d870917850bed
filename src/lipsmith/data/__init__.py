"""Prepared clips: their format, their preparation from footage, and a contact sheet to inspect them."""
