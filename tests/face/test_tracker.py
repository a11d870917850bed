"""Face numbers within a shot, on scenes with known faces and stub networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.face import Detection, FaceTracker, Square, TrackedFace, TrackedFrame
from lipsmith.face.cuts import Dissolve
from lipsmith.face.tracker import STILL, Sighting, Track, assign, is_plausible, move_toward, without_duplicates

SHAPE = np.random.default_rng(0).uniform(-0.5, 0.5, (478, 2))
SHAPE[0], SHAPE[1] = -0.5, 0.5
SHAPE[33], SHAPE[263] = (-0.3, -0.2), (0.3, -0.2)


@dataclass(frozen=True)
class Actor:
    """A face of `size` pixels; only the test knows its `name`."""

    name: str
    x: float
    y: float
    size: float = 100

    @property
    def mesh(self) -> NDArray[np.float32]:
        return (SHAPE * self.size + (self.x, self.y)).astype(np.float32)


@dataclass
class Stage:
    """Input of the stubs: the actors of each frame, front first, and the number of detector calls."""

    scene: Callable[[int], list[Actor]]
    pull: float = 0.0
    """How much a mesh leans toward the center of the crop in which it was seen."""
    searches: list[int] = field(default_factory=list)
    small: list[int] = field(default_factory=list)
    """Searches that looked for the smallest faces too."""
    tiles: dict[int, int] = field(default_factory=dict)
    """Of six tiles of 200 pixels, how many were searched, by frame."""

    def visible(self, image: NDArray[np.uint8]) -> list[Actor]:
        seen: list[Actor] = []
        for actor in self.scene(int(image[0, 0, 0])):
            if all(math.hypot(actor.x - a.x, actor.y - a.y) > 0.4 * a.size for a in seen):
                seen.append(actor)
        return seen

    def detector(self, threads: int) -> StubDetector:
        return StubDetector(self)

    def mesh(self, threads: int) -> Callable[[NDArray[np.uint8], Square], tuple[NDArray[np.float32], float]]:
        def look(image: NDArray[np.uint8], crop: Square) -> tuple[NDArray[np.float32], float]:
            actors = sorted(self.visible(image), key=lambda a: math.hypot(a.x - crop.x, a.y - crop.y))
            if not actors or math.hypot(actors[0].x - crop.x, actors[0].y - crop.y) > crop.side / 2:
                return np.zeros((478, 2), np.float32), 0.0
            lean = self.pull * np.array([crop.x - actors[0].x, crop.y - actors[0].y])
            return (actors[0].mesh + lean).astype(np.float32), 0.99

        return look


@dataclass
class StubDetector:
    stage: Stage

    def coarse_to_fine(
        self, image: NDArray[np.uint8], small: bool = True, wanted: Callable[[Square], bool] | None = None
    ) -> Iterator[list[Detection]]:
        frame, tiles = int(image[0, 0, 0]), [Square(x, y, 200) for x in (100, 300, 500) for y in (100, 300)]
        self.stage.searches.append(frame)
        self.stage.tiles[frame] = len(list(filter(wanted, tiles)))
        if small:
            self.stage.small.append(frame)
        yield [detected(actor) for actor in self.stage.visible(image)]

    def upright(self, image: NDArray[np.uint8], detection: Detection) -> Detection:
        return detection

    def search(self, image: NDArray[np.uint8], square: Square) -> list[Detection]:
        self.stage.searches.append(int(image[0, 0, 0]))
        inside = [
            a for a in self.stage.visible(image) if max(abs(a.x - square.x), abs(a.y - square.y)) < square.side / 2
        ]
        return [detected(actor) for actor in inside]


def detection(actor: Actor) -> Detection:
    half = actor.size / 2
    box = (actor.x - half, actor.y - half, actor.x + half, actor.y + half)
    return Detection(box, actor.mesh[[33, 263, 0, 0, 0, 0]], 0.9)


detected = detection


def play(
    monkeypatch: pytest.MonkeyPatch, stage: Stage, frames: int, max_faces: int = 1, flash: int | None = None
) -> list[TrackedFrame]:
    """Run the tracker on a plain gray film whose first value is the frame's number; from `flash` on, a part of the
    tile at the lower right is white."""
    monkeypatch.setattr("lipsmith.face.tracker.FaceDetector", stage.detector)
    monkeypatch.setattr("lipsmith.face.tracker.FaceMesh", stage.mesh)
    tracker = FaceTracker(max_faces)
    image = np.full((400, 600, 3), 128, np.uint8)
    tracked = []
    for frame in range(frames):
        image[0, 0, 0] = frame
        if frame == flash:
            image[300:330, 540:570] = 255
        tracked.append(tracker.track(image))
    return tracked


def who(faces: list[TrackedFace], actors: list[Actor]) -> dict[str, int]:
    """Return the number of each actor whose mesh was found at its position."""
    return {a.name: f.face for a in actors for f in faces if np.abs(f.mesh - a.mesh).max() < 1}


def test_one_face_is_detected_once_and_then_tracked(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(lambda t: [Actor("a", 100 + 4 * t, 200)])
    tracked = play(monkeypatch, stage, 60)
    assert all(who(f.faces, stage.scene(t)) == {"a": 0} for t, f in enumerate(tracked))
    assert stage.searches == [0]
    assert tracked[5].faces[0].box == pytest.approx((70, 150, 170, 250), abs=1e-3)


def test_a_face_that_jumps_is_detected_again_in_the_same_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(lambda t: [Actor("a", 200 if t < 10 else 280, 200)])
    tracked = play(monkeypatch, stage, 15)
    assert [len(f.faces) for f in tracked] == [1] * 15
    assert stage.searches == [0, 10]
    assert {f.faces[0].face for f in tracked} == {0}


def test_a_face_that_disappears_is_absent_and_keeps_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(lambda t: [] if 10 <= t < 30 else [Actor("a", 200 + 0.5 * t, 200)])
    tracked = play(monkeypatch, stage, 50)
    assert [t for t, f in enumerate(tracked) if not f.faces] == list(range(10, 30))
    assert {face.face for f in tracked for face in f.faces} == {0}


def test_a_face_at_another_position_gets_a_new_number(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(lambda t: [Actor("a", 100, 100, 60)] if t < 10 else [Actor("b", 500, 300, 60)])
    tracked = play(monkeypatch, stage, 20)
    assert tracked[-1].faces[0].face == 1


@pytest.mark.parametrize("front", ["a", "b"])
def test_two_faces_that_cross_keep_their_numbers(monkeypatch: pytest.MonkeyPatch, front: str) -> None:
    def scene(t: int) -> list[Actor]:
        actors = [Actor("a", 120 + 6 * t, 200), Actor("b", 480 - 6 * t, 210, 90)]
        return sorted(actors, key=lambda actor: actor.name != front)

    tracked = play(monkeypatch, Stage(scene), 60, max_faces=2)
    assert who(tracked[0].faces, scene(0)) == {"a": 0, "b": 1}
    assert who(tracked[-1].faces, scene(59)) == {"a": 0, "b": 1}
    numbers = [who(f.faces, scene(t)) for t, f in enumerate(tracked)]
    assert all(found.get("a", 0) == 0 and found.get("b", 1) == 1 for found in numbers)
    assert min(len(f.faces) for f in tracked) == 1
    assert sum(len(f.faces) < 2 for f in tracked) < 16


def test_a_lost_face_is_looked_for_where_it_was_but_not_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fourth frame for three seconds, between the thorough searches that other faces leave."""
    first, second = Actor("a", 150, 200), Actor("b", 450, 200)
    stage = Stage(lambda t: [first] if 10 <= t < 13 else [first, second])
    tracked = play(monkeypatch, stage, 20, max_faces=2)
    assert [t for t, f in enumerate(tracked) if len(f.faces) < 2] == [10, 11, 12, 13]
    stage = Stage(lambda t: [first] if t >= 10 else [first, second])
    play(monkeypatch, stage, 120, max_faces=2)
    assert sorted(stage.searches) == sorted([0, *range(10, 84, 4), *range(25, 120, 16)])


def test_a_face_that_returns_takes_the_only_place(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Actor("a", 150, 200), Actor("b", 450, 200)
    stage = Stage(lambda t: [first] if t < 10 else [first, second] if t >= 13 else [])
    tracked = play(monkeypatch, stage, 30)
    assert {face.face for f in tracked for face in f.faces} == {0}
    assert [len(f.faces) for f in tracked[13:]] == [1] * 17


@pytest.mark.parametrize(("x", "size", "count"), [(237, 150, 1), (110, 200, 2)])
def test_a_face_inside_a_larger_one_is_a_part_of_it(
    monkeypatch: pytest.MonkeyPatch, x: int, size: int, count: int
) -> None:
    scene = [Actor("part", x, 200, size), Actor("head", 300, 200, 300)]
    tracked = play(monkeypatch, Stage(lambda t: scene), 2, 6)
    assert [len(frame.faces) for frame in tracked] == [count, count]
    assert who(tracked[1].faces, scene)["head"] == 0


@pytest.mark.parametrize(("score", "faces"), [(0.62, 1), (0.605, 0)])
def test_detector_and_landmark_network_must_agree_on_a_new_face(
    monkeypatch: pytest.MonkeyPatch, score: float, faces: int
) -> None:
    monkeypatch.setitem(globals(), "detected", lambda a: replace(detection(a), score=score))
    tracked = play(monkeypatch, Stage(lambda t: [Actor("a", 200, 200)]), 2)
    assert [len(f.faces) for f in tracked] == [faces] * 2


def test_the_largest_faces_are_kept_first(monkeypatch: pytest.MonkeyPatch) -> None:
    actors = [Actor("small", 80, 80, 50), Actor("large", 300, 200, 150), Actor("middle", 500, 300, 80)]
    stage = Stage(lambda t: actors)
    tracked = play(monkeypatch, stage, 3, max_faces=2)
    assert who(tracked[-1].faces, actors) == {"large": 0, "middle": 1}


def test_a_face_that_enters_late_is_found_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Actor("a", 150, 200), Actor("b", 450, 200)
    tracked = play(monkeypatch, Stage(lambda t: [first, second] if t >= 20 else [first]), 50, max_faces=2)
    assert next(t for t, f in enumerate(tracked) if len(f.faces) == 2) < 40
    assert who(tracked[-1].faces, [first, second]) == {"a": 0, "b": 1}


def test_the_finest_tiles_are_searched_first_and_every_fourth_time(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(lambda t: [Actor("a", 150, 200)])
    play(monkeypatch, stage, 120, max_faces=2)
    assert stage.searches == [0, 16, 32, 48, 64, 80, 96, 112]
    assert stage.small == [0, 48, 112]


def test_beside_a_tracked_face_only_what_has_changed_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(lambda t: [Actor("a", 150, 200)])
    play(monkeypatch, stage, 120, max_faces=2, flash=20)
    # Coarse and fine tiles are searched in turn, and each kind completely at first.
    assert stage.tiles == {0: 6, 16: 6, 32: 1, 48: 1, 64: 0, 80: 0, 96: 6, 112: 0}


def test_everything_is_searched_now_and_then_though_nothing_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(lambda t: [Actor("a", 150, 200)])
    play(monkeypatch, stage, 250, max_faces=2)
    assert [frame for frame, tiles in stage.tiles.items() if tiles == 6] == [0, 16, 96, 192, 240]
    assert {0, 240} < set(stage.small)


def test_after_a_cut_everything_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = count()
    monkeypatch.setattr("lipsmith.face.tracker.CutDetector", lambda: lambda small: next(frames) == 40)
    stage = Stage(lambda t: [Actor("a", 150, 200)])
    play(monkeypatch, stage, 60, max_faces=2)
    assert stage.tiles == {0: 6, 16: 6, 32: 0, 40: 6, 56: 6}


def test_a_search_that_ends_early_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(lambda t: [Actor("a", 150, 200), *([Actor("b", 450, 200)] if 10 < t < 20 else [])])
    play(monkeypatch, stage, 60, max_faces=2)
    assert list(stage.tiles.values()) == [6, 6, 6, 0]  # of the second search the rest was not looked at


def test_a_cut_starts_a_new_shot_and_new_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lipsmith.face.tracker.thumbnail", lambda image: np.full((24, 24), image[0, 0, 0]))
    monkeypatch.setattr("lipsmith.face.tracker.CutDetector", lambda: lambda small: small[0, 0] == 10)
    stage = Stage(lambda t: [Actor("a", 200 if t < 10 else 210, 200)])
    tracked = play(monkeypatch, stage, 20)
    assert [f.shot for f in tracked] == [0] * 10 + [1] * 10
    assert stage.searches == [0, 10]
    assert {f.faces[0].face for f in tracked} == {0}


def test_after_a_dissolve_the_faces_go_on_in_a_new_shot(monkeypatch: pytest.MonkeyPatch) -> None:
    change = Dissolve(2, 5, 8)
    monkeypatch.setattr("lipsmith.face.tracker.thumbnail", lambda image: np.full((24, 24), image[0, 0, 0]))
    monkeypatch.setattr(
        "lipsmith.face.tracker.DissolveDetector", lambda: lambda small: change if small[0, 0] == 12 else None
    )
    stage = Stage(lambda t: [Actor("a", 200, 200)])
    tracked = play(monkeypatch, stage, 20)
    assert [f.shot for f in tracked] == [0] * 12 + [1] * 8
    assert [f.dissolve for f in tracked if f.dissolve] == [tracked[12].dissolve] == [change]
    assert stage.searches == [0]


@pytest.mark.parametrize("pull", [-0.3, 0.3, 0.8])
def test_a_still_picture_has_a_constant_mesh(monkeypatch: pytest.MonkeyPatch, pull: float) -> None:
    actor = Actor("a", 200, 200)
    monkeypatch.setitem(
        globals(), "detected", lambda a: Detection((155, 145, 255, 255), a.mesh[[33, 263, 0, 0, 0, 0]], 0.9)
    )
    tracked = play(monkeypatch, Stage(lambda t: [actor], pull), 12)
    meshes = np.array([f.faces[0].mesh for f in tracked])
    assert np.abs(meshes - meshes[0]).max() < 0.1


def test_the_crop_moves_by_no_more_than_the_excess() -> None:
    now = Square(100, 100, 200, 0.0)
    assert move_toward(now, Square(100 + 0.9 * STILL * 200, 100, 201, 0.01)) == now
    moved = move_toward(now, Square(110, 100, 220, math.pi * 2 + 0.1))
    assert (moved.x, moved.y, moved.side) == (108, 100, 216)
    assert moved.angle == pytest.approx(0.08)


def test_a_lost_face_may_have_stopped_or_gone_on() -> None:
    crop = Square(100, 50, 150)
    track = Track(0, Sighting(Actor("", 100, 50).mesh, 1.0, crop), crop, np.array([10.0, 0]))
    for missed, ahead in ((5, 50), (100, 120)):
        track.missed = missed
        assert track.cost(Square(100, 50, 150)) == track.cost(Square(100 + ahead, 50, 150)) == 0
        assert track.cost(Square(100 + ahead + 30, 50, 150)) == pytest.approx(0.2)


def test_the_velocity_of_a_face_that_returns_is_per_frame() -> None:
    crop = Square(100, 50, 150)
    track = Track(0, Sighting(Actor("", 100, 50).mesh, 1.0, crop), crop, missed=4)
    returned = Sighting(Actor("", 140, 50).mesh, 1.0, Square(140, 50, 150))
    track.follow(returned)
    assert track.velocity == pytest.approx(
        [0.3 * (returned.next_crop.x - 100) / 4, (returned.next_crop.y - 50) * 0.075]
    )
    assert (track.crop, track.missed) == (returned.next_crop, 0)


@pytest.mark.parametrize(
    ("actor", "score", "plausible"),
    [
        (Actor("in the picture", 300, 200), 0.6, True),
        (Actor("half outside", 3, 2), 0.6, True),
        (Actor("to the left", -2, 200), 0.6, False),
        (Actor("below", 300, 401), 0.6, False),
        (Actor("small", 300, 200, 12.1), 0.6, True),
        (Actor("too small", 300, 200, 11.9), 0.6, False),
        (Actor("too large", 300, 200, 2401), 0.6, False),
        (Actor("unlikely", 300, 200), 0.49, False),
    ],
    ids=lambda value: value.name if isinstance(value, Actor) else "",
)
def test_a_plausible_face_is_likely_in_the_picture_and_of_a_face_s_size(
    actor: Actor, score: float, plausible: bool
) -> None:
    image = np.zeros((400, 600, 3), np.uint8)
    assert is_plausible(Sighting(actor.mesh, score, Square(actor.x, actor.y, 150)), image) == plausible


def test_two_tracks_of_one_face_are_merged() -> None:
    def track(number: int, x: float) -> Track:
        sighting = Sighting(Actor("", x, 0).mesh, 1.0, Square(x, 0, 150))
        return Track(number, sighting, sighting.crop)

    near, far = track(0, 10), track(1, 60)
    one = Sighting(Actor("", 14, 0).mesh, 1.0, near.crop)
    other = Sighting(Actor("", 15, 0).mesh, 1.0, far.crop)
    assert without_duplicates([(far, other), (near, one)]) == [(near, one)]


def test_assignment_takes_the_pair_of_lowest_cost_first() -> None:
    tracks = [
        Track(number, sighting, sighting.crop, missed=1)
        for number, x in enumerate((0, 100))
        for sighting in [Sighting(Actor("", x, 0).mesh, 1.0, Square(x, 0, 150))]
    ]
    found = [Sighting(Actor("", x, 0).mesh, 1.0, Square(x, 0, 150)) for x in (60, 110, 1000)]
    assert {index: track.number for index, track in assign(tracks, found).items()} == {1: 1, 0: 0}


@pytest.mark.parametrize("least", [0.3, 0.9])
@pytest.mark.parametrize("upside_down", [False, True])
def test_the_landmark_network_decides_which_way_up_a_face_is(
    monkeypatch: pytest.MonkeyPatch, upside_down: bool, least: float
) -> None:
    """The detector always finds it more likely upside down; at first with a score of `least`."""

    class Turning(StubDetector):
        def coarse_to_fine(
            self, image: NDArray[np.uint8], small: bool = True, wanted: Callable[[Square], bool] | None = None
        ) -> Iterator[list[Detection]]:
            yield [replace(found, score=least) for found in next(super().coarse_to_fine(image, small, wanted))]

        def upright(self, image: NDArray[np.uint8], detection: Detection) -> Detection:
            return replace(detection, keypoints=detection.keypoints[[1, 0, 2, 3, 4, 5]], score=0.95)

    class Turned(Stage):
        def detector(self, threads: int) -> StubDetector:
            return Turning(self)

        def mesh(self, threads: int) -> Callable[[NDArray[np.uint8], Square], tuple[NDArray[np.float32], float]]:
            def look(image: NDArray[np.uint8], crop: Square) -> tuple[NDArray[np.float32], float]:
                down = abs(math.remainder(crop.angle, math.tau)) > 2
                return seen(image, crop)[0], 0.99 if down == upside_down else 0.8

            seen = super().mesh(threads)
            return look

    monkeypatch.setattr(FaceTracker, "_refine", lambda _, image, sighting: sighting)
    (frame,) = play(monkeypatch, Turned(lambda _: [Actor("a", 200, 200)]), 1)
    unlikely = least < 0.6  # no score of the landmark network would confirm it as it was detected first
    assert [face.score for face in frame.faces] == [0.8 if unlikely and not upside_down else 0.99]
