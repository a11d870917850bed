"""Training of the lip detector."""
