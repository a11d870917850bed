"""Shots, faces and stretches of films with scripted faces, and the crops from a second reading."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pytest

from lipsmith.face import crop as crops
from lipsmith.face.cuts import Dissolve
from lipsmith.face.landmarks import select
from lipsmith.face.references import MOST_CANDIDATES
from lipsmith.face.stretches import Shot, crop_frames, main_face, shots_of, tracked
from lipsmith.media import Frame
from scripted import ScriptedTracker, Seen, mesh

FPS = 25


def film(count: int, size: tuple[int, int] = (200, 200)) -> Iterator[Frame]:
    """Return frames whose color is their number."""
    return (Frame(np.full((size[1], size[0], 3), index % 256, np.uint8), index / FPS, index) for index in range(count))


def shots(frames: list[Seen], **settings: object) -> list[Shot]:
    return list(shots_of(tracked(film(len(frames)), ScriptedTracker(frames)), **settings))  # type: ignore[arg-type]


def moving(seen: Iterable[int]) -> list[Seen]:
    """Return a face that moves two pixels per frame, visible in some of 35 frames."""
    return [(0, {0: mesh(x=40 + 2 * index)} if index in set(seen) else {}) for index in range(35)]


def test_shots_are_separated_and_number_their_frames() -> None:
    found = shots([(0, {0: mesh()})] * 3 + [(1, {})] * 2 + [(2, {0: mesh(), 1: mesh(50)})] * 4)
    assert [(shot.number, shot.first, shot.last, len(shot.faces)) for shot in found] == [
        (0, 0, 2, 1),
        (1, 3, 4, 0),
        (2, 5, 8, 2),
    ]
    (stretch,) = found[2].faces[1].stretches
    assert (stretch.first, len(stretch)) == (5, 4)
    assert stretch.times == pytest.approx(np.arange(5, 9) / FPS)


def test_what_is_a_face_in_one_or_two_frames_of_a_longer_shot_is_none() -> None:
    (shot,) = shots([(0, {0: mesh()})] * 4 + [(0, {0: mesh(), 1: mesh(50)})] * 2 + [(0, {0: mesh(), 2: mesh(50)})] * 3)
    assert [list(face.frames) for face in shot.faces] == [list(range(9)), [6, 7, 8]]
    assert [len(one.faces) for one in shots([(0, {0: mesh()}), (1, {0: mesh()}), (1, {0: mesh()})])] == [1, 1]


def dissolving(seen: Mapping[int, Sequence[int]], whole_mesh: bool = False) -> list[Shot]:
    """Shots of 60 frames, of which 18 to 28 dissolve, as is noticed in frame 34; the frames in which faces are seen."""
    frames: list[Seen] = [
        (int(index >= 34), {name: mesh(x=40 + index + 9 * name) for name in seen if index in seen[name]})
        for index in range(60)
    ]
    tracker = ScriptedTracker(frames, dissolves={34: Dissolve(17, 23, 29)})
    return list(shots_of(tracked(film(60), tracker), candidate_size=16, whole_mesh=whole_mesh))  # type: ignore[arg-type]


@pytest.mark.parametrize("whole_mesh", [False, True])
def test_a_dissolve_divides_shot_and_face_at_its_middle(whole_mesh: bool) -> None:
    before, after = dissolving({0: range(60)}, whole_mesh)
    assert [(shot.number, shot.first, shot.last, shot.clear) for shot in (before, after)] == [
        (0, 0, 22, (0, 17)),
        (1, 23, 59, (29, 59)),
    ]
    whole = shots([(0, {0: mesh(x=40 + index)}) for index in range(60)], whole_mesh=whole_mesh)[0].faces[0]
    for shot, part in ((before, slice(23)), (after, slice(23, 60))):
        (face,) = shot.faces
        assert face.frames.tolist() == list(range(60))[part]
        assert (face.boxes == whole.boxes[part]).all()
        (stretch,) = face.stretches
        assert stretch.times == pytest.approx(np.arange(60)[part] / FPS)
        assert stretch.points.shape == whole.stretches[0].points[part].shape
    assert [candidate.frame for candidate in before.faces[0].candidates] == list(range(18))
    assert [candidate.frame for candidate in after.faces[0].candidates] == list(range(29, 60))


def test_stretches_without_dissolves_show_one_face_at_a_time() -> None:
    entering = [*range(5, 27), *range(31, 40)]
    before, after = dissolving({0: range(60), 1: range(31, 40), 2: range(20, 23), 3: entering})
    clear = [[(s.first, len(s)) for s in shot.clear_stretches(face)] for shot in (before, after) for face in shot.faces]
    assert clear == [[(0, 18)], [(5, 13)], [(29, 31)], [(31, 9)], [(31, 9)]]


def test_faces_on_either_side_of_a_dissolve_belong_to_its_shots() -> None:
    before, after = dissolving({0: range(25), 1: range(20, 60), 2: range(30, 33), 3: range(18, 22), 4: range(25, 60)})
    assert [face.frames.tolist() for face in before.faces] == [list(range(23))]
    assert [(face.frames[0], face.frames[-1]) for face in after.faces] == [(23, 59), (25, 59), (30, 32)]


def test_lost_frames_are_interpolated_and_long_gaps_end_a_stretch() -> None:
    """The face is missing in frames 10 to 14, which are bridged, in 20 to 25, which are not, and after frame 30."""
    seen = [*range(10), *range(15, 20), *range(26, 31)]
    (shot,) = shots(moving(seen), bridge=5, whole_mesh=True)
    (face,) = shot.faces
    assert face.frames.tolist() == seen
    first, second = face.stretches
    assert (first.first, len(first), second.first, len(second)) == (0, 20, 26, 5)
    assert (~first.seen).nonzero()[0].tolist() == list(range(10, 15))
    expected = crops.fit_transforms(select(np.stack([mesh(x=40 + 2 * index) for index in range(20)])))
    assert first.transforms == pytest.approx(expected, abs=1e-6)
    assert first.points.shape == (20, 478, 2)
    assert np.ptp(first.points, axis=0).max() < 1e-4  # it moves, but not in its crop


def test_points_are_in_crop_units() -> None:
    (shot,) = shots([(0, {0: mesh(side=150, x=20, y=30)})] * 8)
    (stretch,) = shot.faces[0].stretches
    assert stretch.points == pytest.approx(np.stack([select(mesh(1, 0, 0))] * 8), abs=1e-4)
    assert crops.apply(crops.invert(stretch.transforms), np.zeros((8, 1, 2)))[:, 0] == pytest.approx(
        np.tile([20.0, 30.0], (8, 1)), abs=0.01
    )


def test_scores_of_lost_frames_are_interpolated() -> None:
    frames = moving([0, 1, 4, 5])
    (shot,) = shots_of(tracked(film(35), ScriptedTracker(frames, score=0.5)), bridge=2)  # type: ignore[arg-type]
    (stretch,) = shot.faces[0].stretches
    assert stretch.scores.tolist() == [0.5] * 6


def test_a_part_of_a_stretch_keeps_its_frames() -> None:
    (shot,) = shots(moving(range(20)))
    part = shot.faces[0].stretches[0].between(5, 9)
    assert (part.first, len(part), len(part.seen)) == (5, 4, 4)
    assert part.times == pytest.approx(np.arange(5, 9) / FPS)


def test_the_main_face_is_largest_by_area_times_frames() -> None:
    small, large = mesh(50), mesh(100, 80)
    brief = shots([(0, {0: small})] * 30 + [(0, {0: small, 1: large})] * 5)[0]
    assert main_face(brief.faces) is brief.faces[0]  # 35 frames of 1 beat 5 frames of 4
    longer = shots([(0, {0: small})] * 30 + [(0, {0: small, 1: large})] * 12)[0]
    assert main_face(longer.faces) is longer.faces[1]  # 12 frames of 4 beat 42 frames of 1


def test_boxes_give_width_height_and_position() -> None:
    found = mesh(100, 10, 20)
    (shot,) = shots([(0, {0: found})] * 4 + [(0, {0: mesh(300, 90, 70)})])
    low, high = found.min(0), found.max(0)
    face = shot.faces[0]
    assert face.width == pytest.approx(high[0] - low[0])
    assert face.heights[:4] == pytest.approx([high[1] - low[1]] * 4)
    assert face.place == pytest.approx(((low + high) / 2).tolist())


def test_a_long_shot_is_split_into_parts_of_bounded_length() -> None:
    found = shots([(0, {0: mesh()})] * 60, longest=1.0)
    assert [(shot.number, shot.first, shot.last) for shot in found] == [(0, 0, 24), (0, 25, 49), (0, 50, 59)]
    assert [len(shot.faces[0].stretches[0]) for shot in found] == [25, 25, 10]


def test_crops_of_several_stretches_come_from_one_reading() -> None:
    (shot,) = shots(moving([*range(3, 10), *range(15, 20)]))
    frames = film(35)
    numbers = [[int(image.mean()) for image in crop_frames(frames, s, 16)] for s in shot.faces[0].stretches]
    assert numbers == [list(range(3, 10)), list(range(15, 20))]
    assert next(frames).index == 20


def test_crops_end_with_the_film() -> None:
    (shot,) = shots(moving(range(30)))
    assert len(list(crop_frames(film(12), shot.faces[0].stretches[0], 16))) == 12


def test_crops_are_aligned_with_their_points() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    (shot,) = shots([(0, {0: mesh()})] * 3)
    (stretch,) = shot.faces[0].stretches
    again = iter([Frame(image, index / FPS, index) for index in range(3)])
    for found, transform in zip(crop_frames(again, stretch, 32), stretch.transforms, strict=True):
        assert (found == crops.crop_image(image, transform, 32)).all()


@pytest.mark.parametrize("settings", [{"whole_mesh": True, "longest": 30.0}, {"candidate_size": 32, "bridge": 3}])
def test_a_long_film_takes_only_the_memory_of_its_geometry(settings: dict[str, object]) -> None:
    """Crops of 128 pixels of one shot of 2,000 frames, as in an animation, would take 95 MB."""
    count, image = 2_000, np.zeros((200, 200, 3), np.uint8)
    found = mesh(60)
    frames = (Frame(image.copy(), 0.15 * index, index) for index in range(count))
    script = ScriptedTracker((0, {0: found}) for _ in range(count))
    cropped = 0
    tracemalloc.start()
    for shot in shots_of(tracked(frames, script), **settings):  # type: ignore[arg-type]
        for stretch in shot.faces[0].stretches:
            again = (Frame(image.copy(), 0, stretch.first + row) for row in range(len(stretch)))
            cropped += sum(1 for _ in crop_frames(again, stretch, 128))
        assert len(shot.faces[0].candidates) <= MOST_CANDIDATES
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert cropped == count
    assert peak < 12 << 20
