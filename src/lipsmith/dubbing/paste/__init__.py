"""Put a generated crop back into its frame."""
