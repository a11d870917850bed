"""Runs a batch on many machines with Ray: results, journal and errors are those of one machine."""
