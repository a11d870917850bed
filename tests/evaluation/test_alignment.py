"""Films of every shape that systems write are lined up with the real film: sizes, crops, drawings, heads, rates."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.evaluation.alignment import SPARE, Alignment, align, follow, in_step, is_same_rate, look_for_face
from lipsmith.evaluation.films import MIN_STRETCH_FRAMES, Film, at_rate, find_face, pieces
from lipsmith.face import FaceMesh
from lipsmith.face.crop import ANCHORS, apply, invert
from lipsmith.face.landmarks import draw_sketches, select
from lipsmith.face.stretches import Stretch
from lipsmith.media import Frame, VideoWriter, read_frames
from synthetic import Motion, face_at, make_film

Picture = NDArray[np.uint8]
SIDE = 256
FRAMES = 10
MESH = FaceMesh()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("real") / "real.mp4"
    return make_film(path, FRAMES / 25, size=(SIDE, SIDE), motion=Motion(turn=4))


@pytest.fixture(scope="module")
def images(real: Path) -> list[Picture]:
    return [frame.image for frame in read_frames(real)]


@pytest.fixture(scope="module")
def stretches(real: Path) -> list[Stretch]:
    return find_face(Film(real))


def written(images: list[Picture], path: Path, fps: float = 25) -> Film:
    height, width = images[0].shape[:2]
    with VideoWriter(path, width, height, fps) as made:
        for number, image in enumerate(images):
            made.write(np.ascontiguousarray(image), number / fps)
    return Film(path)


def aligned(real: Path, film: Film) -> Alignment:
    return align(Film(real), film, MESH)


def difference(found: Alignment) -> float:
    """Return the mean absolute difference of the middle of the crops, gray levels."""
    both = (next(pieces(*each)).crops for each in ((found.real, found.ours), (found.generated, found.theirs)))
    ours, theirs = (crops[:, 32:112, 32:96].astype(float) for crops in both)
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).mean())


def turned(image: Picture, degrees: float, scale: float, right: float) -> Picture:
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), degrees, scale)
    matrix[0, 2] += right
    return np.asarray(cv2.warpAffine(image, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def resized(image: Picture, width: int, height: int) -> Picture:
    return np.asarray(cv2.resize(image, (width, height)), np.uint8)


def test_whole_frames_of_any_size_are_cropped_in_the_same_place(
    real: Path, images: list[Picture], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    side = 160  # Wav2Lip and EmoGen with --resize_factor, DiffDub at its own size
    found = aligned(real, written([resized(image, side, side) for image in images], tmp_path / "made.mp4"))
    expected = found.ours[0].transforms * np.array([SIDE / side, SIDE / side, 1])
    np.testing.assert_allclose(found.theirs[0].transforms, expected)
    assert difference(found) < 6
    assert caplog.messages == []


# PC-AVS: a square crop of its own, in which the head is larger, or a head that the system moves itself.
HEADS = {
    "crop": lambda image, number: cv2.resize(image[30:226, 30:226], (224, 224)),
    "crop of another shape": lambda image, number: image[20:236, 50:206],
    "moved": lambda image, number: turned(image, 3 * np.sin(number / 4), 0.9, 15),
}


@pytest.mark.parametrize("head", HEADS)
def test_heads_elsewhere_are_cropped_at_their_own_face(
    head: str, real: Path, images: list[Picture], tmp_path: Path
) -> None:
    changed = [np.asarray(HEADS[head](image, number), np.uint8) for number, image in enumerate(images)]
    found = aligned(real, written(changed, tmp_path / "made.mp4"))
    assert [len(stretch) for stretch in found.ours] == [len(stretch) for stretch in found.theirs] == [FRAMES]
    assert difference(found) < 6


@pytest.mark.parametrize("side", [SIDE, 192])
def test_the_half_beside_a_drawing_is_measured(
    side: int,
    real: Path,
    images: list[Picture],
    stretches: list[Stretch],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # IP_LAP: left of each frame the sketch of its face crop, enlarged to the frame's size.
    sketches = draw_sketches(select(stretches[0].points), 128)
    drawn = [resized(np.dstack([sketch] * 3), SIDE, SIDE) for sketch in sketches]
    both = [resized(np.hstack(pair), 2 * side, side) for pair in zip(drawn, images, strict=True)]
    found = aligned(real, written(both, tmp_path / "both.mp4"))
    assert found.generated.half == "right"
    assert difference(found) < (3 if side == SIDE else 6)
    assert "right half is measured" in caplog.text


def test_a_side_by_side_film_is_refused(real: Path, images: list[Picture], tmp_path: Path) -> None:
    beside = written([np.hstack([image, image]) for image in images], tmp_path / "beside.mp4")
    with pytest.raises(InputError, match="side-by-side"):
        aligned(real, beside)


def test_a_film_twice_as_wide_without_the_face_in_its_place_is_refused(
    real: Path, images: list[Picture], tmp_path: Path
) -> None:
    gray = np.full_like(images[0], 90)
    wide = written([np.hstack([gray, turned(image, 20, 0.6, 40)]) for image in images], tmp_path / "wide.mp4")
    with pytest.raises(InputError, match="twice as wide"):
        aligned(real, wide)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (Fraction(30), Fraction(30000, 1001), True),
        (Fraction(50), Fraction(51), True),
        (Fraction(25), Fraction(24), False),
        (Fraction(24), Fraction(25), False),
        (Fraction(25), Fraction(50), False),
    ],
)
def test_rates_of_one_film_differ_a_little(a: Fraction, b: Fraction, same: bool) -> None:
    assert is_same_rate(a, b) == same


def test_films_of_other_rates_are_matched_by_time(real: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    motion = Motion(turn=4)
    fast = written([face_at(n / 50, (SIDE, SIDE), motion) for n in range(2 * FRAMES)], tmp_path / "fast.mp4", 50)
    found = aligned(real, fast)
    assert (found.real.rate, found.generated.rate) == (None, Fraction(25))
    assert len(found.ours[0]) == len(found.theirs[0]) == FRAMES
    assert difference(found) < 3
    (told,) = caplog.messages
    assert "25 and 50 frames a second (10 and 20 frames); frames are matched by time" in told


@pytest.mark.parametrize(
    ("frames", "rate", "told"),
    [
        (FRAMES - SPARE, 30, ["matched by number"]),
        (4, 25, ["(10 and 4 frames); only the common part"]),
        (FRAMES - SPARE, 25, []),
    ],
)
def test_films_of_about_as_many_frames_stay_as_they_are(
    frames: int,
    rate: float,
    told: list[str],
    real: Path,
    images: list[Picture],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    films = Film(real), written(images[:frames], tmp_path / "made.mp4", rate)
    assert in_step(*films) == films
    assert all(words in message for words, message in zip(told, caplog.messages, strict=True))


def test_at_a_lower_rate_the_nearest_frames_remain() -> None:
    picture = np.zeros((1, 1, 3), np.uint8)
    frames = [Frame(picture + number, number / 30, number) for number in range(7)]
    kept = list(at_rate(frames, Fraction(25)))
    assert [np.asarray(frame.image)[0, 0, 0] for frame in kept] == [0, 1, 2, 4, 5, 6]
    assert [frame.index for frame in kept] == [0, 1, 2, 3, 4, 5]
    assert [frame.time for frame in kept] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 0.2])


def test_a_moved_film_is_searched_once(
    real: Path, images: list[Picture], stretches: list[Stretch], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = written([np.pad(image, ((0, 0), (64, 64), (0, 0)), "edge") for image in images], tmp_path / "w.mp4")
    (whole,) = stretches
    (own,) = find_face(film)
    searched: list[Film] = []
    monkeypatch.setattr("lipsmith.evaluation.alignment.find_face", lambda path: searched.append(path) or [own])
    ours, theirs = follow((SIDE, SIDE), film, [whole.between(0, 5), whole.between(5, 10)], MESH)
    assert [one.first for one in ours] == [one.first for one in theirs] == [0, 5]
    assert searched == [film]
    aside = in_film(theirs[0]) - in_film(ours[0])
    np.testing.assert_allclose(aside.mean((0, 1)), [64, 0], atol=1.5)


@pytest.mark.parametrize(("faces", "told"), [(2, ["2 of 3 frames show no face"]), (5, []), (10, [])])
def test_a_film_that_mostly_hides_the_face_causes_a_warning(
    faces: int,
    told: list[str],
    images: list[Picture],
    stretches: list[Stretch],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One frame of each stretch is looked at: numbers 0, 3 and 6."""
    (whole,) = stretches
    film = written(images[:faces] + [np.full_like(images[0], 90)] * (FRAMES - faces), tmp_path / "made.mp4")
    parts = [whole.between(0, 3), whole.between(3, 6), whole.between(6, FRAMES)]
    ours, _ = follow((SIDE, SIDE), film, parts, MESH)
    assert ours == parts
    assert [message.split(": ")[1].split(" where")[0] for message in caplog.messages] == told


def wider(images: list[Picture], faces: range) -> list[Picture]:
    """The film with a margin, in which only some frames show the face."""
    shown = [image if number in faces else np.full_like(image, 90) for number, image in enumerate(images)]
    return [np.asarray(cv2.copyMakeBorder(image, 0, 0, 64, 64, cv2.BORDER_REPLICATE), np.uint8) for image in shown]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([(0, 5), (5, 10)], []),
        ([(0, 5), (5, 10), (5, 10)], ["10 of 15 frames show no face"]),
        ([(0, 10)], []),
    ],
)
def test_of_faces_elsewhere_the_frames_that_both_films_show_are_measured(
    parts: list[tuple[int, int]],
    told: list[str],
    images: list[Picture],
    stretches: list[Stretch],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (whole,) = stretches
    film = written(wider(images, range(5)), tmp_path / "made.mp4")
    ours, theirs = follow((SIDE, SIDE), film, [whole.between(*part) for part in parts], MESH)
    assert [(len(one), one.first) for one in (*ours, *theirs)] == [(5, 0), (5, 0)]
    assert [message.split(": ")[1].split(" where")[0] for message in caplog.messages] == told


def test_films_that_show_their_faces_at_other_times_are_refused(
    images: list[Picture], stretches: list[Stretch], tmp_path: Path
) -> None:
    """Fewer frames than a stretch has at least do not count as common."""
    (whole,) = stretches
    film = written(wider(images, range(5, FRAMES)), tmp_path / "made.mp4")
    common = MIN_STRETCH_FRAMES
    ours, theirs = follow((SIDE, SIDE), film, [whole.between(0, 5 + common)], MESH)
    assert [(len(one), one.first) for one in (*ours, *theirs)] == [(common, 5)] * 2
    with pytest.raises(InputError, match="no frame shows a face where the real film has one"):
        follow((SIDE, SIDE), film, [whole.between(0, 5 + common - 1)], MESH)


@pytest.mark.parametrize(
    ("points", "aside", "moved"),
    [(ANCHORS, (0.0, 0.0, 0.3), 0.0), (ANCHORS, (0.0, 0.2, 0.3), 0.2), ((13, 14, 152), (0.3, 0.3, 0.3), 0.0)],
)
def test_a_head_is_where_most_frames_show_its_eyes_nose_and_temples(
    real: Path, stretches: list[Stretch], points: tuple[int, ...], aside: tuple[float, ...], moved: float
) -> None:
    """Lips and chin move with the speech, and one frame may mislead."""
    (whole,) = stretches
    shifts, parts = iter(aside), [whole.between(0, 3), whole.between(3, 6), whole.between(6, FRAMES)]
    meshes = iter([next(pieces(Film(real), [part])).meshes[0] for part in parts])

    def detector(crop: Picture, square: object) -> tuple[NDArray[np.float32], float]:
        mesh = next(meshes).copy()
        mesh[list(points), 0] += next(shifts)
        return mesh * len(crop), 10.0

    found = look_for_face(Film(real), parts, detector)  # type: ignore[arg-type]
    assert (found.seen, found.frames, found.moved) == (3, 3, pytest.approx(moved, abs=1e-5))


def test_of_a_long_stretch_frames_are_looked_at_throughout(real: Path, stretches: list[Stretch]) -> None:
    found = look_for_face(Film(real), stretches, MESH)
    assert (found.seen, found.frames) == (2, 2)
    assert found.is_in_place


def in_film(stretch: Stretch) -> NDArray[np.float64]:
    """Return the meshes `(F, 478, 2)` of a film, in its pixels."""
    return apply(invert(stretch.transforms), stretch.points)
