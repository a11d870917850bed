"""Sound in blocks: gaps of a clock, cuts, rates, and files that change."""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import numpy as np
import pytest
from av.stream import Stream
from numpy.typing import NDArray

from lipsmith.media import open_sound
from lipsmith.media.sound import Sound, language_of, sound_of, to_rate, until, with_aac_rate
from video_samples import film, pictures, sound

RATE = 16_000
BLOCK = RATE // 10


def all_of(blocks: Sound) -> NDArray[np.float32]:
    return np.concatenate(list(blocks.blocks), axis=1)


def in_blocks(samples: NDArray[np.float32], size: int, rate: int = 1000) -> Sound:
    """A sound in blocks of `size` samples."""
    return Sound(rate, 1, (samples[None, start : start + size] for start in range(0, len(samples), size)))


def clocked(path: Path, begins: Sequence[float], picture: float | None = None) -> Path:
    """Blocks of 0.1 s that begin at these seconds, and pictures from a time on, if any."""
    with av.open(str(path), "w") as container:
        audio: Any = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        packets = []
        for begin in begins:
            frame = av.AudioFrame.from_ndarray(np.full((1, BLOCK), 16384, np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, round(begin * RATE), Fraction(1, RATE)
            packets += audio.encode(frame)
        if picture is not None:
            video: Any = container.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
            video.codec_context.time_base = Fraction(1, 1000)
            for number, image in enumerate(pictures(5)):
                shown = av.VideoFrame.from_ndarray(image, format="rgb24")
                shown.pts, shown.time_base = round(1000 * picture) + 40 * number, Fraction(1, 1000)
                packets += video.encode(shown)
            packets += video.encode(None)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    return path


@pytest.mark.parametrize(
    ("begins", "silent"),
    [
        ((0.0, 0.1, 0.2), 0),
        ((0.0, 0.11, 0.21), 0),  # as clocks of milliseconds and slow disks have it
        ((0.0, 0.13, 0.23), 480),
        ((0.0, 0.2, 0.4), 3200),
        ((0.0, 2.7, 2.8), 41_600),
        ((0.0, 0.05, 0.15), 0),  # nothing is cut where the clock goes back
        ((0.0, 0.2, 0.2, 0.3), 0),  # a wrong stamp, as libav gives AC-3 of DVDs where packets lack their own
    ],
)
def test_only_lost_sound_becomes_silence(tmp_path: Path, begins: Sequence[float], silent: int) -> None:
    samples = all_of(open_sound(clocked(tmp_path / "a.mka", begins)))
    assert samples.shape == (1, len(begins) * BLOCK + silent)
    assert np.count_nonzero(samples) == len(begins) * BLOCK


@pytest.mark.parametrize(("picture", "seconds"), [(0.0, 19 * 0.095 + 0.1), (None, 2.0)])
def test_sound_does_not_lag_behind_a_picture(tmp_path: Path, picture: float | None, seconds: float) -> None:
    """Packets of a recorder whose sound is slow hold more than their stamps advance; of speech nothing is cut."""
    path = clocked(tmp_path / "a.mkv", [0.095 * number for number in range(20)], picture)
    assert all_of(open_sound(path)).shape[1] / RATE == pytest.approx(seconds, abs=0.021)


def test_sound_of_joined_films_is_kept_where_the_clock_begins_anew(tmp_path: Path) -> None:
    path = film(tmp_path / "a.ts", pictures(50), audio=np.full(2 * RATE, 0.5, np.float32))
    path.write_bytes(2 * path.read_bytes())
    assert all_of(open_sound(path)).shape[1] / RATE == pytest.approx(4, abs=0.2)


@pytest.mark.parametrize("late", [0.01, 0.3, 1.5])
def test_sound_that_begins_after_the_picture_stays_in_time(tmp_path: Path, late: float) -> None:
    path = clocked(tmp_path / "a.mkv", (late, late + 0.1), picture=0.0)
    samples = all_of(open_sound(path))
    assert samples.shape[1] == round(late * RATE) + 2 * BLOCK
    assert np.flatnonzero(samples[0])[0] == round(late * RATE)


@pytest.mark.parametrize("early", [0.01, 0.15])
def test_sound_before_the_picture_is_left_out(tmp_path: Path, early: float) -> None:
    path = clocked(tmp_path / "a.mkv", (0.0, 0.1, 0.2), picture=early)
    assert all_of(open_sound(path)).shape[1] == 3 * BLOCK - round(early * RATE)


@pytest.mark.parametrize("size", [3, 100, 1000])
def test_a_cut_fades_out_wherever_blocks_end(size: int) -> None:
    """Within 5 ms, which are five samples."""
    whole = np.ones(400, np.float32)
    faded = all_of(until(in_blocks(whole, size), 0.25))
    assert faded.shape == (1, 250)
    assert faded[0] == pytest.approx([1.0] * 245 + [1.0, 0.8, 0.6, 0.4, 0.2])
    assert all_of(until(in_blocks(whole, size), 0.25, fades=False)).tolist() == [[1.0] * 250]
    assert all_of(until(in_blocks(whole, size), 0.5)).tolist() == [[1.0] * 400]


def test_nothing_after_a_cut_is_read() -> None:
    read: list[int] = []

    def endless() -> Any:  # noqa: ANN401 - a generator
        while True:
            read.append(1)
            yield np.zeros((1, 100), np.float32)

    assert all_of(until(Sound(1000, 1, endless()), 0.25)).shape == (1, 250)
    assert len(read) == 3


@pytest.mark.parametrize(
    ("rate", "written"),
    [(44_100, 44_100), (8000, 8000), (4000, 8000), (11_000, 11_025), (50_000, 64_000), (192_000, 48_000)],
)
def test_a_rate_that_aac_lacks_becomes_the_next_higher_one(rate: int, written: int) -> None:
    """Above all of them, that of films."""
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    sound_there = with_aac_rate(sound_of(tone, rate))
    assert sound_there is not None
    assert sound_there.rate == written
    assert all_of(sound_there).shape[1] == pytest.approx(written, abs=2)


def test_another_rate_loses_neither_samples_nor_place() -> None:
    samples = np.zeros(40_000, np.float32)
    samples[30_000:30_010] = 1
    twice = all_of(to_rate(sound_of(samples, RATE), 2 * RATE))
    assert twice.shape == (1, 80_000)
    assert np.abs(twice[0]).argmax() == pytest.approx(60_010, abs=10)
    assert all_of(sound_of(samples, RATE))[0].tolist() == samples.tolist()


def test_tracks_of_8_bits_are_silent_at_their_middle(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav", np.zeros((4, RATE), np.float32), RATE, "pcm_u8", "4.0")
    assert not all_of(open_sound(path)).any()


def test_loud_samples_of_floats_are_clipped(tmp_path: Path) -> None:
    tone = 2 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    path = sound(tmp_path / "a.mka", tone[None], RATE, "pcm_f32le")
    assert all_of(open_sound(path))[0] == pytest.approx(np.clip(tone, -1, 1), abs=1e-3)


def test_a_rate_that_falls_within_a_file_keeps_the_pitch(tmp_path: Path) -> None:
    """As where recordings are joined byte by byte."""
    rates = (32_000, 16_000)
    tones = [np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)[None] for rate in rates]
    parts = [sound(tmp_path / f"{rate}.aac", tone, rate, "aac") for rate, tone in zip(rates, tones, strict=True)]
    path = tmp_path / "both.aac"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = open_sound(path)
    samples = all_of(found)[0]
    assert len(samples) / found.rate == pytest.approx(2, abs=0.3)
    for second in (0.5, 1.6):
        part = samples[round(second * found.rate) :][: found.rate // 4]
        assert np.abs(np.fft.rfft(part)).argmax() * 4 == pytest.approx(440, abs=8)


@pytest.mark.parametrize("count", [15_000, 16_384, 20_001])
def test_padding_of_a_codec_is_not_heard(tmp_path: Path, count: int) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(count) / RATE).astype(np.float32)
    assert all_of(open_sound(sound(tmp_path / "a.m4a", tone[None], RATE, "aac"))).shape == (1, count)


def test_a_file_that_is_replaced_is_mixed_anew(tmp_path: Path) -> None:
    """The scale of a mix depends on its peak."""
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    path = tmp_path / "a.wav"
    for second, (peak, mixed) in enumerate([(0.3, 0.724), (0.8, 1.0), (0.3, 0.724)]):
        sound(path, np.stack([peak * tone] * 3 + [0 * tone] + [peak * tone] * 2), RATE, "pcm_s16le", "5.1")
        os.utime(path, (second, second))
        assert all_of(open_sound(path)).std() == pytest.approx(mixed / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize(
    ("declared", "language"),
    [("eng", "eng"), ("de-AT", "de-AT"), (None, None), ("", None), ("eng\x1b[31m", None), ("e\nWARNING", None)],
)
def test_a_declared_language_cannot_control_a_terminal(declared: str | None, language: str | None) -> None:
    assert language_of(cast("Stream", SimpleNamespace(language=declared))) == language


def test_the_only_sound_of_a_file_is_not_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "lipsmith"):
        all_of(open_sound(clocked(tmp_path / "a.mka", (0.0, 0.1))))
    assert caplog.messages == []
