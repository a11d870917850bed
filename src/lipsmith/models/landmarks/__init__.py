"""The landmark generator, from speech and head pose to lip and jaw points."""
