"""Constant rates behind rounded clocks."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from lipsmith.media import probe, read_frames
from lipsmith.media.reading import nominal_rate, restore_times
from video_samples import film, pictures

CINEMA, MILLISECOND = Fraction(24000, 1001), Fraction(1, 1000)


def rounded(times: list[float]) -> list[tuple[None, float]]:
    return [(None, round(1000 * time) / 1000) for time in times]


def test_rounded_times_are_restored() -> None:
    exact = [float(number / CINEMA) for number in range(500)]
    assert [time for _, time in restore_times(rounded(exact), CINEMA, MILLISECOND)] == pytest.approx(exact, abs=1e-9)


def test_times_after_a_pause_are_relative_to_it() -> None:
    exact = [0.0, 0.04, 0.08, 1.0, 1.04, 1.08]
    assert [time for _, time in restore_times(rounded(exact), Fraction(25), MILLISECOND)] == pytest.approx(exact)
    odd = [0.0, 0.04, 0.08, 1.017, 1.057]
    assert [time for _, time in restore_times(rounded(odd), Fraction(25), MILLISECOND)] == pytest.approx(odd)


def test_restored_times_increase() -> None:
    times = [
        time
        for _, time in restore_times([(None, time) for time in (0.0, 0.001, 0.002, 0.04)], Fraction(25), MILLISECOND)
    ]
    assert all(after > before for before, after in pairwise(times))


def test_the_nominal_rate_fits_the_timestamps() -> None:
    span = Fraction(round(1000 * 249 / CINEMA), 1000)
    assert nominal_rate(span, 249, MILLISECOND, Fraction(983, 41)) == CINEMA
    assert nominal_rate(Fraction(1983, 1000), 119, MILLISECOND, Fraction(60)) == 60
    assert nominal_rate(Fraction(29000, 29970), 29, MILLISECOND, Fraction(2997, 100)) == Fraction(30000, 1001)
    assert nominal_rate(Fraction(10), 77, MILLISECOND, Fraction(77, 10)) == Fraction(77, 10)
    assert nominal_rate(Fraction(306, 100), 23, Fraction(1, 100), Fraction(100, 13)) == Fraction(2300, 306)
    assert nominal_rate(Fraction(9, 13), 9, Fraction(1, 13), Fraction(13)) == 13


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".flv", ".mp4", ".ts", ".avi"])
@pytest.mark.parametrize("rate", [CINEMA, Fraction(60), Fraction(30000, 1001)])
def test_films_of_constant_rate_have_exact_times(tmp_path: Path, suffix: str, rate: Fraction) -> None:
    path = film(tmp_path / f"a{suffix}", pictures(48), rate)
    info = probe(path)
    assert info.rate == rate
    assert not info.variable_rate
    times = [frame.time for frame in read_frames(path, rate=info.rate)]
    assert times == pytest.approx([float(number / rate) for number in range(48)], abs=1e-9)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".ts"])
def test_the_first_packets_of_a_long_film_with_reordered_frames_have_no_gaps(tmp_path: Path, suffix: str) -> None:
    """Only its first 250 packets are read, and some that are shown between the last of them follow."""
    rate = Fraction(30000, 1001)
    options = {"bf": "3", "b-adapt": "0", "g": "60", "sc_threshold": "0"}
    info = probe(film(tmp_path / f"a{suffix}", pictures(2, 32, 32) * 150, rate, options=options))
    assert (info.rate, info.variable_rate) == (rate, False)


def test_a_long_film_whose_header_holds_a_time_base_has_the_rate_of_its_frames(tmp_path: Path) -> None:
    times = [number / 25 for number in range(300)]
    info = probe(film(tmp_path / "a.mkv", pictures(2, 32, 32) * 150, 1000, times=times))
    assert (info.rate, info.variable_rate) == (Fraction(25), False)


def test_a_single_frame_whose_header_holds_a_time_base_has_the_usual_rate(tmp_path: Path) -> None:
    assert probe(film(tmp_path / "one.mov", pictures(1), 90_000, codec="mjpeg", pixel_format="yuvj420p")).rate == 25
    assert probe(film(tmp_path / "slow.mov", pictures(1), 10, codec="mjpeg", pixel_format="yuvj420p")).rate == 10
    assert probe(film(tmp_path / "fast.mov", pictures(4), 500, codec="mjpeg", pixel_format="yuvj420p")).rate == 500
