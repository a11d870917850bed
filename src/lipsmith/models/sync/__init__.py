"""The lip-sync judge: how well mouth and speech agree."""
