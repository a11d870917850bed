"""Speech: recordings, the mel spectrogram that the networks use, and voice activity."""
