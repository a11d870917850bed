import io
import math
import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lipsmith.dubbing import source as module
from lipsmith.dubbing.array_source import ArraySource
from lipsmith.dubbing.scan import open_source
from lipsmith.dubbing.source import FileSource, runs
from lipsmith.errors import InputError, LipsmithError, UsageError
from lipsmith.media import Frame, VideoWriter
from lipsmith.media.color import Picture
from synthetic import make_film
from video_samples import film as write_film
from video_samples import pictures, snow

Film = Callable[..., Path]


def gray(level: int, size: int = 32) -> NDArray[np.uint8]:
    return np.full((size, size, 3), level, np.uint8)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A film whose frame i has gray level 40 + 4 i, at uneven times."""
    path = tmp_path / "film.mp4"
    with VideoWriter(path, 32, 32, 25) as writer:
        for number in range(30):
            writer.write(gray(40 + 4 * number), number / 25 + (0.01 if number % 3 == 1 else 0))
    return path


def numbers(images: Iterable[Picture]) -> list[int]:
    return [round((float(np.asarray(image).mean()) - 40) / 4) for image in images]


@pytest.mark.parametrize("budget", [1, 5 * 32 * 32 * 3, 1 << 30])
def test_a_film_is_read_forward_and_backward(film: Path, budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUDGET", budget)
    source = FileSource(film)
    times = np.array([frame.time for frame in source.frames()])
    order = np.array([*range(30), *range(28, -1, -1), *range(1, 6)])
    assert numbers(source.show(order, times)) == order.tolist()


@pytest.mark.parametrize("rate", [Fraction(30000, 1001), Fraction(12)])
def test_a_film_keeps_its_rate_and_its_exact_times(tmp_path: Path, rate: Fraction) -> None:
    """Matroska rounds times to milliseconds."""
    source = FileSource(write_film(tmp_path / "film.mkv", pictures(30, 32, 32), rate))
    assert source.footage.rate == rate
    assert [frame.time for frame in source.frames()] == pytest.approx([float(n / rate) for n in range(30)], abs=1e-9)


@pytest.mark.parametrize("backdated", [False, True])
def test_a_film_that_was_replaced_is_not_shown(film: Path, backdated: bool) -> None:
    before = film.stat()
    source = FileSource(film)
    times = np.array([frame.time for frame in source.frames()])
    write_film(film, pictures(30, 32, 32))
    if backdated:
        os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(InputError, match=r"film\.mp4 has changed since it was opened"):
        next(source.show(np.arange(30), times))


def test_times_of_a_range_count_from_its_start(film: Path) -> None:
    source = FileSource(film, 0.4, 0.8)
    frames = list(source.frames())
    assert [frame.index for frame in frames] == list(range(10))
    assert frames[0].time == pytest.approx(0.41, abs=0.02)
    times = np.array([frame.time for frame in frames])
    assert numbers(source.show(np.array([0, 1, 2, 1, 0]), times)) == [10, 11, 12, 11, 10]
    assert numbers(source.show(np.array([8, 9, 8]), times)) == [18, 19, 18]


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".mpg", ".avi", ".flv", ".h264"])
def test_any_container_is_read_forward_and_backward(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_film(tmp_path / f"a{suffix}", snow(180), options={"g": "24"})
    monkeypatch.setattr(module, "BUDGET", 20 * 48 * 32 * 3)
    source = FileSource(path)
    frames = list(source.frames())
    order = np.array([*range(180), *range(178, -1, -1)])
    shown = source.show(order, np.array([frame.time for frame in frames]))
    assert all(np.array_equal(a, frames[b].image) for a, b in zip(shown, order, strict=True))


@pytest.mark.parametrize("order", [range(29, -1, -1), range(20, 30)])
def test_a_film_that_shrinks_between_readings_is_named(film: Path, tmp_path: Path, order: range) -> None:
    source = FileSource(film)
    times = np.array([frame.time for frame in source.frames()])
    write_film(film, pictures(10, 32, 32))
    with pytest.raises(InputError, match=r"film\.mp4 has no frame from .* s on"):
        list(source.show(np.array(order), times))


def test_a_start_after_the_end_of_the_film_is_named(film: Path) -> None:
    with pytest.raises(InputError, match="no frame from 7 s"):
        list(FileSource(film, 7.0).frames())


@pytest.mark.parametrize(("start", "end"), [(-1.0, None), (2.0, 1.0), (None, 0.0), (float("nan"), None)])
def test_an_invalid_range_is_refused(film: Path, start: float | None, end: float | None) -> None:
    with pytest.raises(UsageError):
        FileSource(film, start, end)


def test_arrays_are_footage() -> None:
    images = [gray(40 + 4 * number) for number in range(10)]
    source = ArraySource(images, 10, 0.2, 0.65)
    frames = list(source.frames())
    assert numbers(frame.image for frame in frames) == [2, 3, 4, 5, 6]
    assert frames[0].time == pytest.approx(0.2)
    assert source.footage.rate == Fraction(10)
    assert numbers(source.show(np.array([0, 1, 0]), np.zeros(5))) == [2, 3, 2]


def test_a_generator_of_frames_is_refused() -> None:
    images = (gray(number) for number in range(3))
    with pytest.raises(UsageError, match=r"generator.*list"):
        ArraySource(images, 25)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([], "an empty sequence; give at least one frame"),
        ([np.zeros((4, 4), np.uint8)], r"Frame 0 of the footage has shape \(4, 4\) and type uint8; give RGB"),
        ([np.zeros((4, 4, 3), np.float32)], r"Frame 0 of the footage has shape \(4, 4, 3\) and type float32"),
        ([np.zeros((4, side, 3), np.uint8) for side in (4, 5)], r"Frame 1 of the footage has shape \(4, 5, 3\)"),
    ],
)
def test_arrays_of_another_shape_or_type_are_refused(images: list[NDArray[np.uint8]], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ArraySource(images, 25)


@given(st.lists(st.integers(-1, 1), max_size=30))
def test_runs_have_one_direction_and_join_to_the_walk(steps: list[int]) -> None:
    walk = np.concatenate([[0], np.cumsum(steps)]).astype(int)
    pieces = list(runs(walk))
    assert np.concatenate(pieces).tolist() == walk.tolist()
    for piece in pieces:
        signs = set(np.sign(np.diff(piece)).tolist()) - {0}
        assert len(signs) <= 1


def test_runs_of_a_walk_that_changes_direction() -> None:
    assert [piece.tolist() for piece in runs(np.array([0, 1, 2, 1, 0, 1]))] == [[0, 1, 2], [1, 0], [1]]
    assert [piece.tolist() for piece in runs(np.array([0, 1, 2, 0, 1, 2]))] == [[0, 1, 2]] * 2
    assert [piece.tolist() for piece in runs(np.array([0, 0, 1, 1, 0, 0]))] == [[0, 0, 1, 1], [0, 0]]


def test_a_frame_that_a_second_reading_lacks_is_that_before() -> None:
    times, images = np.arange(6) / 25, [gray(level) for level in range(6)]
    found = [Frame(images[number], times[number], at) for at, number in enumerate((0, 1, 3))]
    shown = module._held(iter(found), np.array([0, 1, 1, 2, 3, 4, 5]), times)
    assert [int(np.asarray(image)[0, 0, 0]) for image in shown] == [0, 1, 1, 1, 3, 3, 3]


@pytest.mark.parametrize(
    ("order", "decoded"),
    [([*range(30), *range(28, -1, -1)], [30, 7, 7, 7, 7, 1]), (range(20, -1, -1), [1, 7, 7, 6])],
    ids=["from the start", "continued on the way back"],
)
def test_backward_playback_decodes_as_many_frames_at_once_as_fit(
    film: Path, order: list[int], decoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUDGET", 7 * 32 * 32 * 3 // 2)
    source, lengths = FileSource(film), []
    forward = source._forward
    monkeypatch.setattr(source, "_forward", lambda run, times: lengths.append(len(run)) or forward(run, times))
    times = np.array([frame.time for frame in source.frames()])
    assert numbers(source.show(np.array(order), times)) == list(order)
    assert lengths == decoded


@pytest.mark.parametrize("rate", [25, 25.0, np.float32(25), np.int64(25), Fraction(25), Decimal(25)])
def test_any_real_number_type_is_a_rate(rate: float) -> None:
    assert open_source([np.zeros((4, 4, 3), np.uint8)], rate).footage.rate == 25


def test_pillow_pictures_are_frames() -> None:
    images = [Image.new("RGB", (6, 4), "red"), Image.new("RGBA", (6, 4), (255, 0, 0, 255))]
    shown = [np.asarray(frame.image) for frame in open_source(images).frames()]
    assert [image.shape for image in shown] == [(4, 6, 3)] * 2
    assert all((image == (255, 0, 0)).all() for image in shown)


class CloudPath:
    """A path-like object that is no `pathlib.Path`, like those of storage libraries."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_any_path_like_object_is_a_path(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", 0.2, 25, (64, 64))
    assert open_source(CloudPath(path)).footage.name == str(path)


@pytest.mark.parametrize(
    ("video", "rate", "said"),
    [
        (iter([np.zeros((4, 4, 3), np.uint8)]), 25, "cannot be read twice"),
        (io.BytesIO(b"film"), 25, "BytesIO is neither a path nor frames"),
        (Image.new("RGB", (4, 4)), 25, "Image is neither a path nor frames"),
        (5, 25, "int is neither a path nor frames"),
        (b"a.mp4", 25, "bytes is neither a path nor frames"),
        ({"a": 1}, 25, "dict is neither a path nor frames"),
        ([np.zeros((4, 4, 3), np.uint8).tolist()], 25, "RGB uint8 arrays"),
        ([[[1, 2], [3]]], 25, "not a picture"),
        ([None], 25, "RGB uint8 arrays"),
        ([np.zeros((4, 4, 3), np.uint8)], "fast", "Frame rate fast"),
        ([np.zeros((4, 4, 3), np.uint8)], np.nan, "Frame rate nan"),
        ([np.zeros((4, 4, 3), np.uint8)], True, "Frame rate True"),
    ],
)
def test_other_kinds_of_footage_are_refused_with_the_correct_reason(video: Any, rate: Any, said: str) -> None:  # noqa: ANN401
    with pytest.raises(LipsmithError, match=said):
        open_source(video, rate)


def test_a_rate_for_a_file_is_refused(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", 0.2, 25, (64, 64))
    for video in (path, str(path)):
        with pytest.raises(UsageError, match="a file has its own"):
            open_source(video, 10)


def test_an_infinite_end_is_the_end_of_the_film_and_an_infinite_start_is_refused(tmp_path: Path) -> None:
    path = make_film(tmp_path / "a.mp4", 0.2, 25, (64, 64))
    for footage in (path, [np.zeros((4, 4, 3), np.uint8)] * 5):
        assert len(list(open_source(footage, end=math.inf).frames())) == 5
        assert len(list(open_source(footage, end=1e300).frames())) == 5
        for start in (math.inf, math.nan, -math.inf):
            with pytest.raises(UsageError, match="outside of any footage"):
                open_source(footage, start=start)
        with pytest.raises(InputError, match="no frame from"):
            list(open_source(footage, start=1e300).frames())
        with pytest.raises(InputError, match=r"no frame from 0 s on; choose .*a later"):
            list(open_source(footage, end=1e-9).frames())
