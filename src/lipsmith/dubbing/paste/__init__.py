"""Pastes rendered crops back into their frames."""
