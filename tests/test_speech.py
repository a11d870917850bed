import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipsmith.audio import mel_spectrogram
from lipsmith.dub import speech as module
from lipsmith.dub.speech import load_speech, streamed_mel


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9000), max_size=12), st.integers(3000, 12_000))
def test_sound_in_blocks_is_heard_as_the_whole_is(lengths: list[int], piece: int) -> None:
    wave = np.random.default_rng(sum(lengths)).normal(0, 0.2, sum(lengths)).clip(-1, 1).astype(np.float32)
    blocks = np.split(wave, np.cumsum(lengths))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", piece)
        samples, mel = streamed_mel(iter(blocks))
    assert samples == len(wave)
    assert mel.shape == (80, 1 + len(wave) // 200)
    if len(wave):
        assert np.allclose(mel, mel_spectrogram(wave), atol=1e-5)


def test_samples_keep_their_rate_and_channels() -> None:
    said = load_speech(np.zeros((2, 44_100)), 44_100)
    assert said.seconds == 1
    assert said.samples is not None
    assert said.samples.shape == (2, 44_100)
    assert said.mel.shape[1] in (80, 81, 82)
