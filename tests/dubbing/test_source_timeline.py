from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from lipsmith.dubbing.source import FileSource, Fit, Footage, chapters_of, duration, play, shown_rate, usual_interval
from lipsmith.media import probe
from lipsmith.media.container import Chapter
from synthetic import FACE

EVEN = np.arange(4) / 25


def test_shorter_speech_takes_the_frames_that_begin_before_its_end() -> None:
    timeline = play(EVEN, 0.16, 0.1)
    assert timeline.index.tolist() == [0, 1, 2]
    assert timeline.end == pytest.approx(0.12)
    assert play(np.array([0, 0.04, 0.08, 0.14]), 0.18, 0.1).end == pytest.approx(0.12)  # not 0.14


def test_speech_of_the_footage_length_takes_each_frame_once() -> None:
    timeline = play(EVEN, 0.16, 0.16)
    assert timeline.index.tolist() == [0, 1, 2, 3]
    assert timeline.end == pytest.approx(0.16)


def test_longer_speech_plays_back_and_forth_without_repeating_end_frames() -> None:
    timeline = play(EVEN, 0.16, 0.4)
    assert timeline.index.tolist() == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert np.allclose(timeline.times, np.arange(10) / 25)


def test_uneven_intervals_are_as_long_backward_as_forward() -> None:
    timeline = play(np.array([3.0, 3.1, 3.4]), 0.5, 1.0)
    assert timeline.index.tolist() == [0, 1, 2, 1, 0, 1]
    assert np.allclose(timeline.times, [0, 0.1, 0.4, 0.7, 0.8, 0.9])


def test_follows_distinguishes_neighbors_from_jumps() -> None:
    assert play(EVEN, 0.16, 0.3).follows.tolist() == [False] + [True] * 7


@given(
    st.lists(st.floats(0.005, 0.2), min_size=1, max_size=12),
    st.floats(0.01, 0.2),
    st.floats(0.01, 4.0),
)
@example(steps=[0.03, 0.1], last=0.05, seconds=0.2)  # the last frame is shown longer than in the footage
def test_the_timeline_covers_the_speech_to_within_one_frame(steps: list[float], last: float, seconds: float) -> None:
    times = np.concatenate([[0.0], np.cumsum(steps)])
    timeline = play(times, times[-1] + last, seconds)
    assert timeline.times[0] == 0
    assert (np.diff(timeline.times) > 0).all()
    assert (np.abs(np.diff(timeline.index)) <= 1).all()
    assert timeline.times[-1] < seconds
    assert seconds <= timeline.end + 1e-5 < seconds + max(*steps, last) + 2e-5 or len(timeline) == len(times)


@pytest.mark.parametrize("fit", ["bounce", "loop", "hold", "stretch"])
def test_the_end_of_the_speech_is_not_cut_by_a_rounding_error(fit: Fit) -> None:
    times, lasting = np.arange(250) / 25, 10.0
    assert all(play(times, lasting, frames / 25, fit).end >= frames / 25 for frames in range(1, 1000))


def test_a_long_frame_is_repeated_at_the_usual_interval() -> None:
    times = np.array([0.0, 0.04, 0.08, 5.0])
    timeline = play(times, 5.04, 1.0)
    assert timeline.index.tolist() == [0, 1] + 23 * [2]
    assert np.allclose(timeline.times, np.arange(25) * 0.04)
    assert timeline.end == pytest.approx(1.0)
    assert play(times, 5.04, 5.04).index.tolist() == [0, 1] + 123 * [2] + [3]
    assert play(times, 5.04, 5.04).end == pytest.approx(5.04)


def test_a_pause_of_days_costs_no_memory() -> None:
    assert len(play(np.array([0.0, 0.04, 0.08, 1e11]), 1e11 + 0.04, 1.0)) == 25


def test_dropped_frames_are_filled_and_slightly_uneven_times_are_kept() -> None:
    assert play(np.array([0.0, 0.04, 0.08, 0.16, 0.2]), 0.24, 0.24).index.tolist() == [0, 1, 2, 2, 3, 4]
    assert play(np.array([0.0, 0.04, 0.08, 0.14, 0.18]), 0.22, 0.22).index.tolist() == [0, 1, 2, 3, 4]


def test_slides_are_treated_as_still_pictures() -> None:
    assert usual_interval(np.array([0.0, 5.0, 10.0]), Fraction(1, 5)) == 0.04
    assert len(play(np.array([0.0, 5.0, 10.0]), 10.04, 1.0)) == 25
    assert usual_interval(np.arange(5) / 5, Fraction(5)) == pytest.approx(0.2)
    assert usual_interval(np.zeros(1), Fraction(12)) == pytest.approx(1 / 12)
    assert usual_interval(np.zeros(1), Fraction(1, 200)) == 0.04  # the first slide of a slow show


def test_the_rate_of_what_is_shown_is_the_average_unless_long_frames_lower_it() -> None:
    film = Fraction(30000, 1001)
    assert shown_rate(np.arange(9) / float(film), film) == film
    assert shown_rate(np.round(np.arange(9) / float(film), 3), film) == film
    assert shown_rate(np.array([0.0, 5.0, 10.0]), Fraction(1, 5)) == 25
    assert shown_rate(np.array([0.0, 0.04, 0.08, 3.08, 3.12]), Fraction(5, 3)) == 25


def test_the_last_frame_lasts_as_long_as_most_others() -> None:
    footage = Footage("frames", Fraction(12), None)
    assert duration(np.array([0.0, 0.04, 0.08, 5.0]), footage) == pytest.approx(5.04)
    assert duration(np.array([0.0, 5.0, 10.0]), footage) == pytest.approx(15)
    assert duration(np.zeros(1), footage) == pytest.approx(1 / 12)
    assert duration(np.array([3.0, 3.04, 3.08]), footage) == pytest.approx(0.12)
    assert play(np.array([0.0, 5.0, 10.0]), 15.0, 15.0).index.tolist() == np.repeat(range(3), 125).tolist()


@pytest.mark.parametrize("suffix", ["gif", "png", "avif"])
def test_the_last_picture_of_an_animation_lasts_as_long_as_the_file_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"slides.{suffix}"
    slides = [Image.fromarray(np.full((16, 16, 3), level, np.uint8)) for level in (0, 100, 200)]
    slides[0].save(path, save_all=True, append_images=slides[1:], duration=[200, 400, 1000])
    times = np.array([0.0, 0.2, 0.6])
    assert duration(times, FileSource(path).footage) == pytest.approx(1.6)
    assert duration(times[:2], FileSource(path, end=0.5).footage) == pytest.approx(0.4)


@pytest.mark.parametrize("fit", get_args(Fit))
def test_footage_that_plays_once_ends_with_its_last_frame(fit: Fit) -> None:
    times = np.array([0.0, 0.034, 0.068, 0.101])  # the last interval is rounded down to milliseconds
    timeline = play(times, 0.135, 0.135, fit)
    assert timeline.index.tolist() == [0, 1, 2, 3]
    assert timeline.end == pytest.approx(0.135)


@pytest.mark.parametrize(
    ("fit", "index", "end"),
    [
        ("bounce", [0, 1, 2, 3, 2, 1, 0, 1, 2, 3], 0.4),
        ("loop", [0, 1, 2, 3, 0, 1, 2, 3, 0, 1], 0.4),
        ("hold", [0, 1, 2, 3, 3, 3, 3, 3, 3, 3], 0.4),
        ("stretch", [0, 0, 0, 1, 1, 2, 2, 2, 3, 3], 0.4),
        ("cut", [0, 1, 2, 3], 0.16),
    ],
)
def test_fit_sets_what_follows_footage_that_is_too_short(fit: Fit, index: list[int], end: float) -> None:
    timeline = play(EVEN, 0.16, 0.4, fit)
    assert timeline.index.tolist() == index
    assert np.allclose(timeline.times, np.arange(len(index)) / 25)
    assert timeline.end == pytest.approx(end)
    assert timeline.speed == pytest.approx(0.4 if fit == "stretch" else 1)


@pytest.mark.parametrize("fit", get_args(Fit))
@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.16])
def test_fit_has_no_effect_on_speech_no_longer_than_the_footage(fit: Fit, seconds: float) -> None:
    timeline, usual = play(EVEN, 0.16, seconds, fit), play(EVEN, 0.16, seconds)
    assert timeline.index.tolist() == usual.index.tolist()
    assert timeline.end == pytest.approx(usual.end)


@pytest.mark.parametrize("fit", ["bounce", "loop", "hold", "stretch"])
def test_a_still_picture_ignores_fit(fit: Fit) -> None:
    timeline = play(np.zeros(1), 0.04, 0.1, fit)
    assert timeline.index.tolist() == [0, 0, 0]
    assert np.allclose(timeline.times, [0, 0.04, 0.08])


@given(st.integers(2, 60), st.integers(2, 7), st.sampled_from([24 / 1.001, 25.0, 30 / 1.001, 50.0]))
def test_footage_at_a_fraction_of_its_speed_shows_each_frame_equally_often(
    frames: int, slower: int, rate: float
) -> None:
    timeline = play(np.arange(frames) / rate, frames / rate, slower * frames / rate, "stretch")
    assert timeline.index.tolist() == np.repeat(np.arange(frames), slower).tolist()


@given(
    st.lists(st.floats(0.005, 0.2), min_size=1, max_size=12),
    st.floats(0.01, 4.0),
    st.sampled_from(["loop", "hold", "stretch"]),
)
def test_every_fit_covers_the_speech(steps: list[float], seconds: float, fit: Fit) -> None:
    times = np.concatenate([[0.0], np.cumsum(steps)])
    timeline = play(times, times[-1] + 0.04, seconds, fit)
    assert timeline.times[0] == 0
    assert (np.diff(timeline.times) > 0).all()
    assert timeline.times[-1] < seconds <= timeline.end + 1e-5
    assert timeline.index.min() >= 0
    assert timeline.index.max() <= len(steps)


def test_chapters_of_slowed_footage_last_longer() -> None:
    chapters = (Chapter(1.0, 1.1, "One"), Chapter(1.1, 1.16, "Two"))
    info = replace(probe(FACE), chapters=chapters)
    footage = Footage("film", Fraction(25), 4, info)
    found = chapters_of(footage, 1 + EVEN, play(1 + EVEN, 0.16, 0.32, "stretch"))
    assert [(part.start, part.end) for part in found] == [pytest.approx((0, 0.2)), pytest.approx((0.2, 0.32))]
    assert len(chapters_of(footage, 1 + EVEN, play(1 + EVEN, 0.16, 0.32, "hold"))) == 2
    assert chapters_of(footage, 1 + EVEN, play(1 + EVEN, 0.16, 0.32, "loop")) == []


def test_a_still_picture_lasts_as_long_as_the_speech() -> None:
    timeline = play(np.zeros(1), 0.04, 1.0, "cut")
    assert len(timeline) == 25
    assert timeline.end == pytest.approx(1.0)
