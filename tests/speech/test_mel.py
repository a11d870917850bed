"""Sound at 16 kHz, its mel spectrogram and the window that each frame hears."""

from __future__ import annotations

import tracemalloc
import wave
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import lipsmith.speech.mel as audio
from lipsmith.errors import InputError
from lipsmith.media import open_sound
from lipsmith.speech.mel import HOP, MEL_RATE, SAMPLE_RATE, WINDOW, mel_spectrogram, mel_windows, read_audio
from video_samples import click, film, loudest, pictures, sound


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
def test_any_rate_becomes_16_khz_without_a_shift(tmp_path: Path, rate: int) -> None:
    wave = read_audio(sound(tmp_path / "a.wav", click(0.7, 1.25, rate)[None], rate))
    assert wave.dtype == np.float32
    assert len(wave) == pytest.approx(1.25 * SAMPLE_RATE, abs=1)
    assert loudest(wave, SAMPLE_RATE) == pytest.approx(0.7, abs=1e-3)
    assert np.abs(wave).max() == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize(
    ("layout", "channels", "peak"), [("stereo", 2, 0.8), ("3.0", 3, 1.0), ("5.1", 6, 1.0), ("7.1", 8, 1.0)]
)
def test_channels_are_mixed_without_clipping(tmp_path: Path, layout: str, channels: int, peak: float) -> None:
    wave = np.repeat(click(0.7, 1.0, 48000)[None], channels, axis=0)
    mono = read_audio(sound(tmp_path / "a.wav", wave, 48000, layout=layout))
    assert np.abs(mono).max() == pytest.approx(peak, abs=0.02)


def test_stereo_is_averaged(tmp_path: Path) -> None:
    wave = np.stack([np.full(8000, 0.5, np.float32), np.full(8000, -0.1, np.float32)])
    assert read_audio(sound(tmp_path / "a.wav", wave, 16000, layout="stereo")) == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize("second", [-1.0, -0.8, 0.0, 1.0])
def test_opposite_phase_does_not_silence_the_mix(tmp_path: Path, second: float) -> None:
    tone = (0.5 * np.sin(np.arange(16_000) / 5)).astype(np.float32)
    quiet_start = np.concatenate([np.zeros(4000, np.float32), tone])
    path = sound(tmp_path / "a.wav", np.stack([quiet_start, second * quiet_start]), 16_000, layout="stereo")
    expected = quiet_start * (1 - second if second < -0.5 else 1 + second) / 2
    assert read_audio(path) == pytest.approx(expected, abs=1e-3)


def test_a_wide_stereo_sound_keeps_its_center() -> None:
    rng = np.random.default_rng(0)
    middle, side = rng.normal(0, 0.1, 8000), rng.normal(0, 0.2, 8000)
    wide = np.stack([middle + side, middle - side]).astype(np.float32)
    mono = np.concatenate(list(audio.mixed(np.split(wide, 8, axis=1))))
    assert mono == pytest.approx(middle, abs=1e-6)
    moment = np.stack([middle[:1000], -middle[:1000]]).astype(np.float32)
    *_, last = audio.mixed([wide, moment])
    assert not last.any()


@pytest.mark.parametrize(
    ("suffix", "codec"), [(".mp3", "libmp3lame"), (".flac", "flac"), (".opus", "libopus"), (".m4a", "aac")]
)
def test_encoder_delay_is_compensated(tmp_path: Path, suffix: str, codec: str) -> None:
    wave = read_audio(sound(tmp_path / f"a{suffix}", click(0.7, 1.25, 48000)[None], 48000, codec))
    assert loudest(wave, SAMPLE_RATE) == pytest.approx(0.7, abs=2e-3)
    assert len(wave) == pytest.approx(1.25 * SAMPLE_RATE, abs=1)


def test_cover_art_is_not_a_video(tmp_path: Path) -> None:
    wave = click(0.7, 1.25, 44100)[None]
    path = sound(tmp_path / "a.mp3", wave, 44100, "libmp3lame", cover=pictures(1)[0])
    assert loudest(read_audio(path), SAMPLE_RATE) == pytest.approx(0.7, abs=2e-3)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("start", [-0.25, 0.0, 0.3])
def test_sample_zero_is_at_the_first_frame(tmp_path: Path, suffix: str, start: float) -> None:
    path = film(tmp_path / f"a{suffix}", pictures(40), audio=click(0.7, 1.5, 16000), audio_start=start)
    assert loudest(read_audio(path), SAMPLE_RATE) == pytest.approx(0.7 + start, abs=2e-3)


def test_a_late_clock_does_not_shift_the_sound(tmp_path: Path) -> None:
    times = [2 + i / 25 for i in range(40)]
    path = film(tmp_path / "a.mkv", pictures(40), times=times, audio=click(0.7, 1.5, 16000), audio_start=2.0)
    assert loudest(read_audio(path), SAMPLE_RATE) == pytest.approx(0.7, abs=2e-3)


def test_lost_sound_becomes_silence_of_equal_length(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 32000).astype(np.float32)
    path = film(tmp_path / "a.mp4", pictures(50), audio=noise + click(1.8, 2.0, 16000))
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 3
    data[place : place + 1500] = bytes(1500)
    path.write_bytes(data)
    wave = read_audio(path)
    assert loudest(wave, SAMPLE_RATE) == pytest.approx(1.8, abs=2e-3)
    assert len(wave) == 32000


def test_files_without_sound_are_input_errors(tmp_path: Path) -> None:
    silent = film(tmp_path / "a.mp4", pictures(3))
    empty = tmp_path / "a.wav"
    empty.touch()
    nothing = tmp_path / "b.wav"
    with wave.open(str(nothing), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
    for path in (silent, empty, nothing, tmp_path / "missing.wav"):
        with pytest.raises(InputError, match=path.name):
            read_audio(path)


def voice(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """A buzz of changing pitch with noise and pauses: it fills all bands and the floor."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 2 * np.pi * np.cumsum(110 + 30 * np.sin(3 * time)) / SAMPLE_RATE
    buzz = sum(np.sin(k * pitch) / k for k in range(1, 30))
    noise = np.random.default_rng(seed).normal(0, 0.05, len(time))
    return (0.2 * (buzz + noise) * (np.sin(5 * time) > -0.5)).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 199, 200, 399, 400, 16000, 33333])
def test_mel_agrees_with_librosa(samples: int) -> None:
    librosa = pytest.importorskip("librosa")
    wave = voice(samples / SAMPLE_RATE + 1)[:samples]
    emphasized = np.append(wave[0], wave[1:] - 0.97 * wave[:-1]).astype(np.float32)
    spectrum = np.abs(librosa.stft(emphasized, n_fft=800, hop_length=200, pad_mode="constant"))
    bands = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55, fmax=7600)
    decibels = 20 * np.log10(np.maximum(1e-5, bands @ spectrum)) - 20
    expected = np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)
    mel = mel_spectrogram(wave)
    assert mel.shape == (80, 1 + samples // 200)
    assert mel.dtype == np.float32
    assert np.abs(mel - expected).max() < 1e-4


def test_silence_and_empty_sound_are_at_the_floor() -> None:
    assert np.all(mel_spectrogram(np.zeros(1600, np.float32)) == -4)
    assert np.all(mel_spectrogram(np.zeros(0, np.float32)) == -4)


def test_the_mel_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = voice(2)
    whole = mel_spectrogram(wave)
    monkeypatch.setattr(audio, "_CHUNK", 7)
    assert np.abs(mel_spectrogram(wave) - whole).max() < 1e-5


def test_memory_of_the_spectra_does_not_grow_with_the_recording() -> None:
    wave = np.zeros(20 * 60 * SAMPLE_RATE, np.float32)
    tracemalloc.start()
    mel = mel_spectrogram(wave)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * mel.nbytes + 80e6


def counting_mel(steps: int = 1000) -> NDArray[np.float32]:
    return np.broadcast_to(np.arange(steps, dtype=np.float32), (80, steps))


@given(st.integers(2, 300))
def test_at_25_fps_windows_start_as_in_the_paper(frame: int) -> None:
    (window,) = mel_windows(counting_mel(), np.array([frame / 25]))
    begin = int(80 * (frame - 2) / 25)
    assert window.shape == (80, WINDOW)
    assert window[0].tolist() == list(range(begin, begin + WINDOW))


@given(st.floats(0, 13), st.floats(-1e-9, 1e-9))
def test_windows_are_centered_shortly_after_the_time_of_a_frame(time: float, noise: float) -> None:
    (window,) = mel_windows(counting_mel(2000), np.array([time + 1.0 + noise]))
    latest = MEL_RATE * (time + 1.0 + 0.01375)  # step s is centered on second s / MEL_RATE
    assert latest - 1 - 1e-5 <= float(window[0].mean()) <= latest + 1e-5


def test_windows_beyond_the_edges_are_silent() -> None:
    mel = counting_mel(20)
    first, last, beyond = mel_windows(mel, np.array([0.0, 19 / 80, 9.0]))
    assert first[0].tolist() == [-4.0] * 7 + list(range(9))
    assert last[0].tolist() == [*range(12, 20), *[-4.0] * 8]
    assert np.all(beyond == -4)


def test_windows_are_copies() -> None:
    mel = np.zeros((80, 100), np.float32)
    windows = mel_windows(mel, np.array([0.5]))
    windows += 1
    assert windows.shape == (1, 80, 16)
    assert mel.max() == 0
    assert mel_windows(mel, np.zeros(0)).shape == (0, 80, 16)


def shown_at(times: NDArray[np.float64], moment: float) -> int:
    return int(np.searchsorted(times, moment, side="right")) - 1


@given(
    rate=st.sampled_from([Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(50), None]),
    moment=st.floats(0.3, 2.5),
    seed=st.integers(0, 99),
)
def test_a_click_is_in_the_window_of_its_frame(rate: Fraction | None, moment: float, seed: int) -> None:
    gaps = np.random.default_rng(seed).uniform(0.01, 0.08, 300) if rate is None else np.full(150, float(1 / rate))
    times = np.cumsum(gaps) - gaps[0]
    mel = mel_spectrogram(click(moment, 3.0, SAMPLE_RATE))
    window = mel_windows(mel, times)[shown_at(times, moment)]
    loudest_step = np.exp(window).sum(axis=0).argmax()
    assert window.max() > 0
    assert 0 < loudest_step < WINDOW - 1
    assert window.max() == mel.max()


def test_the_exported_parameters_are_those_of_the_networks() -> None:
    assert (SAMPLE_RATE, HOP, audio.MELS, MEL_RATE, WINDOW) == (16000, 200, 80, 80.0, 16)


def two_tracks(path: Path, default: int) -> Path:
    """Two tracks of 0.2 s, at levels 0.1 and 0.2."""
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("pcm_s16le", rate=16_000, layout="mono") for _ in range(2)]
        for number, stream in enumerate(streams):
            stream.disposition = Disposition.default if number == default else Disposition(0)
        for number, stream in enumerate(streams):
            wave = np.full((1, 3200), 3277 * (number + 1), np.int16)
            frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
            frame.sample_rate = 16_000
            container.mux(stream.encode(frame))
    return path


@pytest.mark.parametrize("default", [0, 1])
def test_the_default_audio_track_is_read(tmp_path: Path, default: int) -> None:
    wave = read_audio(two_tracks(tmp_path / "two.mkv", default))
    assert np.allclose(wave, 0.1 * (default + 1), atol=1e-3)


def test_a_jumping_clock_needs_no_extra_memory(tmp_path: Path) -> None:
    path = tmp_path / "jump.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for start in (0, 3600 * 16_000):
            frame = av.AudioFrame.from_ndarray(np.full((1, 1600), 9000, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
            container.mux(stream.encode(frame))
    lengths = [block.shape[1] for block in open_sound(path).blocks]
    assert sum(lengths) == pytest.approx(3600 * 16_000 + 1600, abs=16)
    assert max(lengths) <= 16_000
