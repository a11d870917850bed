"""The lip-sync judge, which measures the agreement of mouth and speech."""
