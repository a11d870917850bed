"""Folders of films as rows of Table 1: which film belongs to which clip, and the crops in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord, load_clip, read_manifest, write_manifest
from lipsmith.data.prepare import prepare
from lipsmith.errors import InputError
from lipsmith.evaluation.films import Film
from lipsmith.evaluation.outputs import _place, find_outputs, first_frame, shown_by_all
from lipsmith.evaluation.protocols import FrameChoice
from lipsmith.evaluation.run import Plan, _task
from lipsmith.evaluation.systems import ReconstructionTask
from lipsmith.media import VideoWriter, read_frames
from lipsmith.media.sound import sound_of
from synthetic import Motion, face_at, speech

SIZE = 64
Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One prepared clip, which begins 0.2 s after its source does."""
    root = tmp_path_factory.mktemp("outputs")
    (root / "source").mkdir()
    images = [np.zeros((256, 256, 3), np.uint8)] * 5
    images += [face_at(number / 25, (256, 256), Motion(turn=4)) for number in range(14)]
    written(images, root / "source" / "anna_1.mp4", sound=speech(0.76))
    prepare([root / "source"], root / "data", side=SIZE, workers=1)
    return root / "data"


@pytest.fixture(scope="module")
def record(data: Path) -> ClipRecord:
    (record,) = read_manifest(data)
    return record


@pytest.fixture(scope="module")
def images(record: ClipRecord) -> list[Picture]:
    return [frame.image for frame in read_frames(record.source)]


def written(
    images: list[Picture],
    path: Path,
    fps: float = 25,
    sound: NDArray[np.float32] | None = None,
    times: NDArray[np.float64] | None = None,
) -> Path:
    path.parent.mkdir(exist_ok=True)
    height, width = images[0].shape[:2]
    times = np.arange(len(images)) / fps if times is None else times
    said = None if sound is None else sound_of(sound, 16000)
    with VideoWriter(path, width, height, fps, sound=said) as made:
        for image, time in zip(images, times, strict=True):
            made.write(np.ascontiguousarray(image), float(time))
    return path


def asked(data: Path, record: ClipRecord) -> tuple[ReconstructionTask, Picture]:
    """Return the task of a clip and its solution."""
    clip = load_clip(data, record)
    targets, others = np.arange(6, 13), np.arange(5)
    chosen = FrameChoice(targets, others, others)
    assert clip.images is not None
    plan = Plan(data, [record.split], "strict", "true", None)
    return _task(plan, clip, chosen, clip.mel, clip.times), clip.images[chosen.targets]


def twice(images: list[Picture]) -> list[Picture]:
    return [image for image in images for _ in range(2)]


@pytest.mark.parametrize(
    ("change", "fps"),
    [
        (lambda images: [cv2.resize(image, (160, 160)) for image in images], 25),
        (lambda images: [image[20:236, 20:236] for image in images], 25),
        (twice, 50),
    ],
    ids=["other size", "crop", "other rate"],
)
def test_the_crops_of_a_film_are_those_of_the_clip(
    change: object, fps: float, data: Path, record: ClipRecord, images: list[Picture], tmp_path: Path
) -> None:
    assert callable(change)
    assert record.start == pytest.approx(0.2)
    written(change(images), tmp_path / "anna_1.mp4", fps)
    outputs = find_outputs("theirs", tmp_path, data, [record])
    task, truth = asked(data, record)
    crops = outputs.reconstruct(task)
    assert crops.shape == truth.shape
    assert outputs.frames(record.clip) == record.frames
    assert np.abs(crops[:, 16:56, 16:48].astype(float) - truth[:, 16:56, 16:48]).mean() < 6


def test_a_film_of_variable_rate_is_followed_by_the_numbers_of_its_frames(
    images: list[Picture], tmp_path: Path
) -> None:
    brighter = [(image * (0.6 + 0.02 * number)).astype(np.uint8) for number, image in enumerate(images)]
    images = [images[0]] * 10 + brighter
    times = np.concatenate([np.arange(15) / 50, 0.3 + np.arange(14) / 25])  # 34 frames a second on average
    source = written(images, tmp_path / "source" / "anna_1.mp4", 50, speech(0.86), times)
    prepare([source], tmp_path / "data", side=SIZE, workers=1)
    (record,) = read_manifest(tmp_path / "data")
    assert (record.start, record.first, record.frames) == (pytest.approx(0.3), 15, 14)
    outputs = find_outputs("theirs", source.parent, tmp_path / "data", [record])
    task, truth = asked(tmp_path / "data", record)
    assert outputs.frames(record.clip) == 14
    assert np.abs(outputs.reconstruct(task)[:, 16:56, 16:48].astype(float) - truth[:, 16:56, 16:48]).mean() < 6
    assert first_frame(replace(record, first=None), Film(source)) == 10  # prepared by an earlier version


def test_of_a_film_that_ends_early_the_frames_of_the_clip_count(
    data: Path, record: ClipRecord, images: list[Picture], tmp_path: Path
) -> None:
    written(images[:9], tmp_path / "films" / "anna_1.mp4")
    outputs = find_outputs("other", tmp_path / "films", data, [record])
    assert outputs.frames(record.clip) == 4  # the clip begins with the sixth frame of its source


def test_a_film_without_a_face_cannot_be_measured(
    data: Path, record: ClipRecord, images: list[Picture], tmp_path: Path
) -> None:
    written([np.zeros_like(image) for image in images], tmp_path / "anna_1.mp4")
    outputs = find_outputs("theirs", tmp_path, data, [record])
    with pytest.raises(InputError, match=r"anna_1\.mp4: no face is visible"):
        outputs.reconstruct(asked(data, record)[0])


def clip(name: str, source: str, start: float | None = 0.0) -> ClipRecord:
    return ClipRecord(name, "test", "a", source, 60, 25.0, 2.4, 1.0, start=start)


@pytest.mark.parametrize(
    ("name", "start", "films", "expected"),
    [
        ("test/a/a_1", 0.0, ["a_1", "b_1"], "a_1"),
        ("test/a/a_1", 0.0, ["a_1", "a/a_1"], "a/a_1"),
        ("test/a/a_1", 0.0, ["a_1", "test/a/a_1"], "test/a/a_1"),
        ("test/a/a_1+2", 3.2, ["a_1"], "a_1"),
        ("test/a/a_1+2", None, ["a_1"], None),
        ("test/a/a_1", 0.0, ["a 1"], "a 1"),
        ("test/a/a_1", 0.0, ["b/a_1"], None),
        ("test/a/u\u0308_1", 0.0, ["\u00fc_1"], "\u00fc_1"),
    ],
)
def test_films_are_found_by_the_name_of_the_clip_or_its_source(
    name: str, start: float | None, films: list[str], expected: str | None
) -> None:
    found = {film: Path(film) for film in films}
    assert _place(clip(name, "films/a 1.mp4", start), found) == expected


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A manifest of three clips, and films of `a` and `b` and of nobody."""
    write_manifest(tmp_path, [clip(f"test/{name}/{name}_1", f"{name}_1.mp4") for name in "abc"])
    black = [np.zeros((16, 16, 3), np.uint8)] * 60
    written(black, tmp_path / "some" / "a_1.mp4")
    written(black[:40], tmp_path / "some" / "b_1.mp4")
    written(black[:1], tmp_path / "some" / "x_1.mp4")
    written(black[:1], tmp_path / "other" / "c_1.mp4")
    return tmp_path


def test_clips_without_a_film_are_left_out_and_films_without_a_clip_ignored(
    plain: Path, caplog: pytest.LogCaptureFixture
) -> None:
    records = read_manifest(plain)
    some = find_outputs("some", plain / "some", plain, records)
    assert shown_by_all([some], records) == {"test/a/a_1": 60, "test/b/b_1": 40}
    assert caplog.messages == [
        "some: ignoring 1 film of no clip: x_1",
        "some has no film of 1 of 3 clips, which are left out for all systems: test/c/c_1",
        "some: 1 film with an end before the clip's: test/b/b_1",
    ]
    assert shown_by_all([], records) is None
    other = find_outputs("other", plain / "other", plain, records)
    with pytest.raises(InputError, match="some, other: no clip has a film of each"):
        shown_by_all([some, other], records)


def test_a_folder_without_fitting_films_is_refused(plain: Path) -> None:
    records = read_manifest(plain)
    with pytest.raises(InputError, match="no such folder"):
        find_outputs("some", plain / "missing", plain, records)
    with pytest.raises(InputError, match=r"no film is named like a clip, for example a_1"):
        find_outputs("other", plain / "other", plain, records[:2])
    same = [replace(records[0], clip="test/b/a_1", source="b.mp4"), records[0]]
    with pytest.raises(InputError, match=r"a_1 may be a film of b\.mp4 or of a_1\.mp4; name it as the clip"):
        find_outputs("some", plain / "some", plain, same)
