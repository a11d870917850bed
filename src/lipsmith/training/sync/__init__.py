"""Training of the lip-sync judge."""
