"""Train the landmark generator."""
