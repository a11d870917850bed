"""Speech: a recording, the mel spectrogram that the networks take, and where somebody speaks."""
