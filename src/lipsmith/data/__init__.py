"""Prepared clips: what they are, how footage becomes clips, and a sheet to check them by eye."""
