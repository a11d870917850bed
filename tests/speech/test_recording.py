import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dub_samples import write_wav
from lipsmith import DubOptions
from lipsmith.errors import InputError, UsageError
from lipsmith.media import VideoWriter, open_sound
from lipsmith.media.sound import sound_of
from lipsmith.speech import recording as module
from lipsmith.speech.mel import mel_spectrogram
from lipsmith.speech.recording import load_speech, loudness, normalize_level, streamed_mel
from synthetic import speech


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9000), max_size=12), st.integers(3000, 12_000))
def test_the_streamed_mel_equals_that_of_the_whole(lengths: list[int], piece: int) -> None:
    wave = np.random.default_rng(sum(lengths)).normal(0, 0.2, sum(lengths)).clip(-1, 1).astype(np.float32)
    blocks = np.split(wave, np.cumsum(lengths))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", piece)
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


def test_a_quiet_recording_has_a_normalized_mel_and_unchanged_sound() -> None:
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(48_000) / 16_000)
    wave = 0.1 * syllables * np.random.default_rng(0).normal(size=48_000).clip(-3, 3)
    usual, quiet = load_speech(wave), load_speech(wave / 10)
    assert np.array_equal(usual.mel, mel_spectrogram(wave.astype(np.float32)))
    assert np.percentile(loudness(quiet.mel), 95) == pytest.approx(-46, abs=0.5)
    assert np.ptp((quiet.mel - usual.mel)[(usual.mel > -1) & (quiet.mel < 4)]) < 0.01
    assert np.allclose(quiet.voicing, usual.voicing, atol=0.05)
    assert quiet.samples is not None
    assert np.allclose(quiet.samples, wave / 10)


def test_amplified_speech_keeps_silence_and_limits() -> None:
    mel = np.random.default_rng(0).uniform(-2, -1, (80, 200)).astype(np.float32)
    mel[:, :20], mel[5, 100] = -4, 3.9
    found = normalize_level(mel)
    gain = found[0, 50] - mel[0, 50]
    assert gain > 0.5
    assert (found[:, :20] == -4).all()
    assert found[5, 100] == 4
    assert np.allclose(found[:, 30:90], mel[:, 30:90] + gain, atol=1e-5)
    inaudible = np.full((80, 200), -3.5, np.float32)
    assert np.array_equal(normalize_level(inaudible), inaudible)


def test_loaded_speech_has_a_short_repr_and_is_found_in_dicts(tmp_path: Path) -> None:
    file = load_speech(write_wav(tmp_path / "anna.wav", speech(0.5)))
    samples = load_speech(speech(0.5))
    assert repr(file).endswith("anna.wav', 0.50 s)")
    assert repr(samples) == "Speech('samples', 0.50 s)"
    assert {file: 1, samples: 2}[samples] == 2


@pytest.mark.parametrize("silent", [20, 60])
def test_long_silence_does_not_change_the_level_of_words(silent: int) -> None:
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(32_000) / 16_000)
    words = syllables * np.random.default_rng(0).normal(size=32_000).clip(-3, 3)
    for loudness_of_words in (0.1, 0.01):
        alone = load_speech(loudness_of_words * words).mel
        among = load_speech(np.concatenate([loudness_of_words * words, np.zeros(silent * 16_000)])).mel
        assert np.abs(among[:, :150] - alone[:, :150]).max() < 0.1


def test_a_click_does_not_change_the_level_of_words() -> None:
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(32_000) / 16_000)
    words = 0.005 * syllables * np.random.default_rng(0).normal(size=32_000)
    clicked = words.copy()
    clicked[-100:] = 0.9
    assert np.abs(load_speech(clicked).mel[:, :140] - load_speech(words).mel[:, :140]).max() < 0.1


def test_channels_in_opposite_phase_do_not_cancel(tmp_path: Path) -> None:
    wave = 0.1 * np.random.default_rng(0).normal(size=16_000).clip(-3, 3).astype(np.float32)
    with VideoWriter(tmp_path / "miswired.mp4", 32, 32, 25, sound=sound_of(np.stack([wave, -wave]), 16000)) as film:
        film.write(np.zeros((32, 32, 3), np.uint8))
    alone = load_speech(wave).mel
    assert np.array_equal(load_speech(np.stack([wave, -wave])).mel, alone)
    assert np.abs(load_speech(tmp_path / "miswired.mp4").mel - alone).mean() < 0.1


def test_integers_are_scaled_by_their_full_scale() -> None:
    wave = np.random.default_rng(0).integers(-20_000, 20_000, 16_000).astype(np.int16)
    said = load_speech(wave)
    assert said.samples is not None
    assert np.array_equal(said.samples[0], wave / np.float32(32_768))


@pytest.mark.parametrize("rate", [44_100.0, np.int64(44_100)])
def test_a_rate_may_have_any_numeric_type(rate: float, tmp_path: Path) -> None:
    said = load_speech(np.zeros(4410), rate)  # type: ignore[arg-type]
    with VideoWriter(tmp_path / "said.mp4", 32, 32, 25, sound=said.sound()) as film:
        film.write(np.zeros((32, 32, 3), np.uint8))
    assert open_sound(tmp_path / "said.mp4").rate == 44_100


@pytest.mark.parametrize("rate", [22_050.5, np.nan, np.inf, 10, 2**31])
def test_an_invalid_rate_is_a_usage_error(rate: float) -> None:
    with pytest.raises(UsageError, match="rate"):
        load_speech(np.zeros(4410), rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("wave", [np.full(16_000, 12_000.0), np.full(16_000, 200, np.uint8)])
def test_samples_of_an_unknown_scale_are_usage_errors(wave: np.ndarray) -> None:
    with pytest.raises(UsageError, match="floats in"):
        load_speech(wave)


def test_samples_a_little_beyond_full_scale_are_clipped() -> None:
    said = load_speech(np.array([1.5, -1.5, 0.5]))
    assert said.samples is not None
    assert said.samples.tolist() == [[1, -1, 0.5]]


def test_infinite_samples_are_an_input_error() -> None:
    with pytest.raises(InputError, match="infinite"):
        load_speech(np.array([0.0, np.inf]))


def test_options_in_the_place_of_the_rate_are_not_ignored_beside_a_file(tmp_path: Path) -> None:
    file = write_wav(tmp_path / "words.wav", speech(0.5))
    assert load_speech(file).seconds == 0.5
    with pytest.raises(UsageError, match="rate of DubOptions"):
        load_speech(file, DubOptions(tail="keep"))  # type: ignore[arg-type]


def test_samples_in_columns_are_to_be_transposed() -> None:
    with pytest.raises(UsageError, match=r"shape \(8000, 2\) instead of .* transpose it"):
        load_speech(np.zeros((8000, 2), np.float32))


def test_a_file_that_was_replaced_is_not_heard_with_the_lips_of_the_old_one(tmp_path: Path) -> None:
    said = load_speech(write_wav(tmp_path / "words.wav", speech(1.0)))
    write_wav(tmp_path / "words.wav", speech(0.5))
    with pytest.raises(InputError, match=r"words\.wav has changed since it was read"):
        said.sound()
    (tmp_path / "words.wav").unlink()
    with pytest.raises(InputError, match=r"words\.wav does not exist"):
        said.sound()


def test_long_arrays_are_resampled_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = np.random.default_rng(1).normal(0, 0.1, 44_100).clip(-1, 1)
    whole = load_speech(wave, 44_100).mel
    monkeypatch.setattr(module, "_CHUNK", 10_000)
    assert np.allclose(load_speech(wave, 44_100).mel, whole, atol=1e-3)


def test_a_pair_of_rate_and_samples_is_accepted() -> None:
    samples = (np.sin(np.arange(8000) / 5) * 20000).astype(np.int16)
    plain = load_speech(samples, 8000)
    forms: list[Any] = [(8000, samples), (np.int64(8000), samples[:, None]), (8000, np.stack([samples, samples], 1))]
    for form in forms:
        speech = load_speech(form)
        assert (speech.seconds, speech.rate) == (1.0, 8000)
        assert np.allclose(speech.mel, plain.mel, atol=1e-4)


def test_a_pair_in_the_other_order_as_many_libraries_read_sound_is_told_the_right_one() -> None:
    with pytest.raises(UsageError, match="give the rate first"):
        load_speech((np.zeros(8000, np.float32), 8000))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "speech", [[[1.0, 2.0], [3.0]], object(), None, io.BytesIO(b"words"), (8000, "words"), (8000, [[1.0], [1.0, 2.0]])]
)
def test_other_types_of_speech_are_usage_errors(speech: Any) -> None:  # noqa: ANN401
    with pytest.raises(UsageError, match="is not an array of samples"):
        load_speech(speech)
    with pytest.raises(UsageError, match="rate"):
        load_speech(np.zeros(8000, np.float32), rate="fast")  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [44_100, 192_000])
def test_less_than_a_sample_is_no_speech(rate: int) -> None:
    with pytest.raises(InputError, match="shorter than one sample"):
        load_speech(np.ones(2, np.float32), rate)


def test_speech_of_more_than_a_day_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_HOURS", 1 / 3600)
    second = np.zeros(16_000, np.float32)
    assert streamed_mel([second])[0] == 16_000
    with pytest.raises(InputError, match="lasts more than"):
        streamed_mel([second, second[:1]])
