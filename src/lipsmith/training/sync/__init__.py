"""Train the lip-sync judge."""
