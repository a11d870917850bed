import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipsmith.audio import mel_spectrogram
from lipsmith.dub import speech as module
from lipsmith.dub.silence import loudness
from lipsmith.dub.speech import load_speech, streamed_mel
from lipsmith.errors import UsageError


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


def test_a_quiet_recording_is_heard_as_a_usual_one_and_sounds_as_it_is() -> None:
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(48_000) / 16_000)
    wave = 0.1 * syllables * np.random.default_rng(0).normal(size=48_000).clip(-3, 3)
    usual, quiet = load_speech(wave), load_speech(wave / 10)
    assert np.array_equal(usual.mel, mel_spectrogram(wave.astype(np.float32)))
    assert np.percentile(loudness(quiet.mel), 95) == pytest.approx(-46, abs=0.5)
    assert np.ptp((quiet.mel - usual.mel)[(usual.mel > -1) & (quiet.mel < 4)]) < 0.01
    assert np.allclose(quiet.voicing, usual.voicing, atol=0.05)
    assert quiet.samples is not None
    assert np.allclose(quiet.samples, wave / 10)


def test_whole_numbers_are_of_their_types_full_scale() -> None:
    wave = np.random.default_rng(0).integers(-20_000, 20_000, 16_000).astype(np.int16)
    said = load_speech(wave)
    assert said.samples is not None
    assert np.array_equal(said.samples[0], wave / np.float32(32_768))


@pytest.mark.parametrize("wave", [np.full(16_000, 12_000.0), np.full(16_000, 200, np.uint8)])
def test_samples_of_an_unknown_scale_are_refused(wave: np.ndarray) -> None:
    with pytest.raises(UsageError, match="floats in"):
        load_speech(wave)


def test_long_samples_are_resampled_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = np.random.default_rng(1).normal(0, 0.1, 44_100).clip(-1, 1)
    whole = load_speech(wave, 44_100).mel
    monkeypatch.setattr(module, "_PIECE", 10_000)
    assert np.allclose(load_speech(wave, 44_100).mel, whole, atol=1e-3)
