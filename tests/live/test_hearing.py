"""Sound that comes piece by piece is heard as the whole is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from double import Double
from lipsmith.live.hearing import Hearing
from lipsmith.live.sound import Wave
from lipsmith.speech.mel import MEL_RATE, SAMPLE_RATE, mel_spectrogram, mel_windows
from lipsmith.speech.recording import raised, speaking, voicing
from synthetic import speech


# The first guess of how loud a voice is may be off by a decibel, a twelfth of a unit.
def heard(wave: Wave, chunk: int) -> Hearing:
    hearing = Hearing(Double())
    for begin in range(0, len(wave), chunk):
        hearing.hear(wave[begin : begin + chunk])
    return hearing


@settings(max_examples=12)
@given(st.sampled_from([137, 200, 640, 4410, 16000]))
def test_windows_do_not_depend_on_the_pieces(chunk: int) -> None:
    wave = speech(3.0)
    hearing = heard(wave, chunk)
    times = np.arange(10, 70) / 25
    np.testing.assert_allclose(hearing.windows(times), mel_windows(mel_spectrogram(wave), times), atol=0.1)
    assert hearing.known == pytest.approx(3.0, abs=0.05)


def test_tokens_are_those_of_the_whole_recording() -> None:
    wave, backend = speech(2.0), Double()
    times = np.arange(5, 40) / 25
    hearing = heard(wave, 320)
    (expected,) = backend("speech", mel=mel_windows(mel_spectrogram(wave), times)[:, None])
    np.testing.assert_allclose(hearing.tokens(times), expected, atol=0.1)
    np.testing.assert_array_equal(hearing.tokens(times), hearing.tokens(times))


def test_long_sound_is_forgotten_and_times_stay() -> None:
    wave = speech(25.0)
    hearing = heard(wave, 1600)
    times = np.arange(600, 615) / 25
    np.testing.assert_allclose(hearing.windows(times), mel_windows(mel_spectrogram(wave), times), atol=0.1)


def test_a_quiet_voice_becomes_as_loud_as_a_whole_recording_of_it_is_made() -> None:
    wave = speech(10.0) / 30
    hearing = heard(wave, 640)
    expected = raised(mel_spectrogram(wave))
    times = np.arange(200, 240) / 25
    difference = hearing.windows(times) - mel_windows(expected, times)
    assert np.abs(np.median(difference)) < 0.1


def test_what_was_cut_is_as_if_it_had_not_come() -> None:
    wave = speech(3.0)
    hearing, other = heard(wave, 640), heard(wave[: 2 * SAMPLE_RATE], 640)
    hearing.cut(2.0)
    for one in (hearing, other):
        one.hear(np.zeros(SAMPLE_RATE, np.float32))
    times = np.arange(30, 70) / 25
    np.testing.assert_allclose(hearing.windows(times), other.windows(times), atol=0.1)
    np.testing.assert_allclose(hearing.tokens(times), other.tokens(times), atol=0.1)


def test_speech_and_silence_are_told_apart_with_a_fifth_of_a_second() -> None:
    wave = np.concatenate([np.zeros(SAMPLE_RATE), speech(2.0), np.zeros(2 * SAMPLE_RATE)]).astype(np.float32)
    offline = voicing(mel_spectrogram(wave))
    hearing, found, times = Hearing(Double()), [], np.arange(100) / 25
    shown = 0
    for time in times:
        until = round((time + 0.04 + 0.2) * SAMPLE_RATE)
        hearing.hear(wave[shown:until])
        shown = until
        found.append(hearing.voiced(np.array([time]))[0])
    expected = speaking(offline, times)
    assert np.mean(np.abs(np.array(found) - expected) > 0.5) < 0.06
    assert max(found[:20]) < 0.5
    assert found[50] == pytest.approx(1)
    assert found[-1] == pytest.approx(0, abs=0.01)


def test_nothing_is_heard_before_there_is_sound() -> None:
    hearing = Hearing(Double())
    assert hearing.voiced(np.zeros(2)).tolist() == [0, 0]
    assert (hearing.windows(np.zeros(1)) == -4).all()
    assert hearing.known * MEL_RATE == 0
