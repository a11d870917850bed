"""The landmark generator: speech and head pose to lip and jaw points."""
