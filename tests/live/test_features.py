"""Streaming features equal those of the whole recording."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from double import Double
from lipsmith.live.features import SpeechFeatures
from lipsmith.live.sound import Wave
from lipsmith.speech.mel import MEL_RATE, SAMPLE_RATE, mel_spectrogram, mel_windows
from lipsmith.speech.recording import normalize_level, speaking, voicing
from synthetic import speech


def features_of(wave: Wave, chunk: int) -> SpeechFeatures:
    features = SpeechFeatures(Double())
    for start in range(0, len(wave), chunk):
        features.push(wave[start : start + chunk])
    return features


# Tolerance 0.1: the first estimate of the loudness may be off by a decibel, 0.08 units of mel.
@settings(max_examples=12)
@given(st.sampled_from([137, 200, 640, 4410, 16000]))
def test_windows_do_not_depend_on_chunks(chunk: int) -> None:
    wave = speech(3.0)
    features = features_of(wave, chunk)
    times = np.arange(10, 70) / 25
    np.testing.assert_allclose(features.windows(times), mel_windows(mel_spectrogram(wave), times), atol=0.1)
    assert features.known == 3.0 - 1 / MEL_RATE  # a step needs sound up to two steps after it


def test_tokens_equal_those_of_the_whole_recording() -> None:
    wave, backend = speech(2.0), Double()
    times = np.arange(5, 40) / 25
    features = features_of(wave, 320)
    (expected,) = backend("speech", mel=mel_windows(mel_spectrogram(wave), times)[:, None])
    np.testing.assert_allclose(features.tokens(times), expected, atol=0.1)
    np.testing.assert_array_equal(features.tokens(times), features.tokens(times))


def test_times_stay_correct_after_old_sound_is_dropped() -> None:
    wave = speech(25.0)
    features = features_of(wave, 1600)
    times = np.arange(600, 615) / 25
    np.testing.assert_allclose(features.windows(times), mel_windows(mel_spectrogram(wave), times), atol=0.1)
    assert features._mel.shape[1] <= 10 * MEL_RATE  # a session may last for hours
    assert len(features._wave) <= 3 * SAMPLE_RATE


def test_a_quiet_voice_is_amplified_as_in_a_whole_recording() -> None:
    wave = speech(10.0) / np.float32(8)
    features = features_of(wave, 640)
    expected = normalize_level(mel_spectrogram(wave))
    assert (expected - mel_spectrogram(wave)).max() > 1
    times = np.arange(200, 240) / 25
    difference = features.windows(times) - mel_windows(expected, times)
    assert np.abs(np.median(difference)) < 0.1


def test_the_gain_changes_by_20_decibels_a_second() -> None:
    features, gains = SpeechFeatures(Double()), [0.0]
    for part in np.split(speech(2.0) / np.float32(8), 50):
        features.push(part)
        gains.append(features._gain)
    assert gains[10] == 0  # not enough is known
    assert gains[-1] > 1
    assert np.diff(gains).max() <= 0.02 * 4 + 1e-9


def test_tokens_of_windows_that_are_not_complete_are_computed_again() -> None:
    wave, times = speech(2.0), np.array([0.9, 0.96, 1.0])
    features = features_of(wave[:SAMPLE_RATE], 320)
    before = features.tokens(times)
    features.push(wave[SAMPLE_RATE:])
    whole = features_of(wave, 320).tokens(times)
    np.testing.assert_allclose(features.tokens(times), whole, atol=0.05)
    assert np.abs(before[-1] - whole[-1]).max() > 0.2


def test_what_is_not_heard_yet_is_as_what_was_heard_last() -> None:
    features = features_of(speech(2.0)[: round(1.5 * SAMPLE_RATE)], 640)
    assert features.voice_activity(np.array([1.4, 1.6, 3.0])).tolist() == pytest.approx([1, 1, 1], abs=0.05)


def test_truncated_sound_has_no_effect() -> None:
    wave = speech(3.0)
    features, other = features_of(wave, 640), features_of(wave[: 2 * SAMPLE_RATE], 640)
    features.tokens(np.arange(30, 70) / 25)
    features.truncate(2.0)
    for one in (features, other):
        one.push(np.zeros(SAMPLE_RATE, np.float32))
    times = np.arange(30, 70) / 25
    np.testing.assert_allclose(features.windows(times), other.windows(times), atol=0.1)
    np.testing.assert_allclose(features.tokens(times), other.tokens(times), atol=0.1)


def test_voice_activity_needs_only_the_look_ahead() -> None:
    wave = np.concatenate([np.zeros(SAMPLE_RATE), speech(2.0), np.zeros(2 * SAMPLE_RATE)]).astype(np.float32)
    offline = voicing(mel_spectrogram(wave))
    features, found, times = SpeechFeatures(Double()), [], np.arange(100) / 25
    pushed = 0
    for time in times:
        until = round((time + 0.04 + 0.2) * SAMPLE_RATE)
        features.push(wave[pushed:until])
        pushed = until
        found.append(features.voice_activity(np.array([time]))[0])
    expected = speaking(offline, times)
    assert np.mean(np.abs(np.array(found) - expected) > 0.5) < 0.06
    assert max(found[:20]) < 0.5
    assert found[50] == pytest.approx(1)
    assert found[-1] == pytest.approx(0, abs=0.01)


def test_features_without_sound_are_silent() -> None:
    features = SpeechFeatures(Double())
    assert features.voice_activity(np.zeros(2)).tolist() == [0, 0]
    assert (features.windows(np.zeros(1)) == -4).all()
    assert features.known * MEL_RATE == 0
