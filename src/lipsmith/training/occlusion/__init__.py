"""Training of the network that finds what lies before a face."""
