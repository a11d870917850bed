"""Wav2Lip and IP_LAP, with which Table 1 compares: own implementations after their papers."""
