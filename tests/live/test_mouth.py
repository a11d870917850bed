"""The mouth of one frame of a session: its neighbors, the poses round it, and lips that close in silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from double import CONFIG, Double, make_dubber
from lipsmith import Clip
from lipsmith.dubbing.draw import DrawnFace, DrawnFrame
from lipsmith.dubbing.paste.detail import Detail
from lipsmith.face.landmarks import NUM_JAW, NUM_POSE, lip_opening
from lipsmith.inference.render import Placed
from lipsmith.inference.speak import resting_opening
from lipsmith.live.features import SpeechFeatures
from lipsmith.live.footage import LoopedFootage
from lipsmith.live.mouth import Leaders, LiveMouth
from synthetic import face_at

Floats = NDArray[np.float32]


class Open(Double):
    """Opens every mouth widely, and notes the poses that it gets."""

    pose: Floats

    def _landmarks(self, tokens: Floats, pose: Floats, references: Floats) -> tuple[Floats, ...]:
        self.pose = pose[0, :, 0, 0]
        content = np.repeat(references[:, None, :, NUM_POSE:].mean(2), tokens.shape[1], axis=1)
        content[:, :, NUM_JAW + 20 + 11 :, 1] += 0.1
        return (content.astype(np.float32),)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_dubber().prepare([face_at(number / 25, (120, 120)) for number in range(12)])


def live_mouth(clip: Clip, missing: tuple[int, ...] = ()) -> tuple[LiveMouth, Open]:
    """A mouth whose head is at x = n in frame n, and is not seen in the frames `missing`."""
    (face,) = clip.chosen
    rows = np.flatnonzero(~np.isin(face.frames, missing))
    arrays = {name: getattr(face, name)[rows] for name in ("frames", "transforms", "opacity", "seen")}
    points = np.array(face.points[rows])
    points[:, :NUM_POSE, 0] = arrays["frames"][:, None]
    backend = Open()
    return LiveMouth(backend, CONFIG, replace(face, points=points, **arrays), LoopedFootage(clip), 1 / 25), backend


def frames_of(mouth: LiveMouth, number: int) -> list[int] | None:
    track = mouth.track(number, SpeechFeatures(Double()), 1.0)
    return None if track is None else track.frames.tolist()


def test_a_frame_has_two_neighbors_on_either_side_of_the_same_run(clip: Clip) -> None:
    mouth, _ = live_mouth(clip)
    assert frames_of(mouth, 0) == [0, 1, 2]
    assert frames_of(mouth, 1) == [0, 1, 2, 3]
    assert [frames_of(mouth, number) for number in (2, 3)] == [[0, 1, 2, 3, 4], [1, 2, 3, 4, 5]]
    assert frames_of(mouth, 9) == [9, 10, 11]
    assert frames_of(mouth, 10) == [9, 10, 11, 12]


def test_a_frame_without_the_face_ends_a_run(clip: Clip) -> None:
    mouth, _ = live_mouth(clip, missing=(3,))
    assert [frames_of(mouth, number) for number in (1, 2, 3)] == [[1, 2], [1, 2], None]


def test_the_window_reaches_two_frames_ahead_and_untracked_frames_take_the_nearest_pose(clip: Clip) -> None:
    for missing, expected in (((), [3, 4, 5, 6, 7]), ((6, 7), [3, 4, 5, 5, 8]), ((3, 4), [2, 5, 5, 6, 7])):
        mouth, backend = live_mouth(clip, missing)
        mouth.track(5, SpeechFeatures(Double()), 1.0)
        assert backend.pose == pytest.approx(expected, abs=1e-4)


def test_lips_are_closed_in_silence(clip: Clip) -> None:
    mouth, _ = live_mouth(clip)
    track = mouth.track(0, SpeechFeatures(Double()), 1.0)
    assert track is not None
    assert lip_opening(np.asarray(track.points)).max() <= resting_opening(mouth.face.landmarks) + 1e-5


def test_a_jaw_ends_where_it_is_filmed(clip: Clip) -> None:
    mouth, _ = live_mouth(clip)
    track = mouth.track(5, SpeechFeatures(Double()), 1.0)
    assert track is not None
    ends = [NUM_POSE, NUM_POSE + NUM_JAW - 1]
    filmed, found = mouth.face.points[track.rows], np.asarray(track.points)
    along = (filmed[:, ends[1]] - filmed[:, ends[0]])[:, None]
    assert ((found - filmed)[:, ends] * along).sum(-1) == pytest.approx(0, abs=1e-5)


def test_a_single_frame_changes_no_reference_unless_it_follows_a_jump(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    mouth, _ = live_mouth(clip)

    def is_used(number: int, near: int) -> bool:
        """Whether the reference `near` is used in a frame in which all others cost more."""
        cost = np.where(np.arange(len(mouth.face.pool_points)) == near, 0.2, 0.4).astype(np.float32)
        monkeypatch.setattr("lipsmith.live.mouth.costs", lambda *_: cost[None])
        track = mouth.track(number, SpeechFeatures(Double()), 1.0)
        assert track is not None
        return near in track.references[0]

    used = [is_used(number, near) for number, near in enumerate([3, 3, 5, 3, 5])]
    assert used == [True, True, False, True, True]
    assert is_used(30, 2)


def drawn(number: int, weights: tuple[float, float], references: tuple[int, int] = (3, 7)) -> DrawnFrame:
    """Return a frame with one face, whose two references have these `weights` inside the mouth."""
    none, image = np.zeros(0, np.float32), np.zeros((8, 8, 3), np.uint8)
    placed, within = Placed(none, none, none, none, none, none), np.array(weights, np.float32)
    detail = Detail([], placed, none, none, np.array(references), within, int(within.argmax()), None)
    return DrawnFrame(number, image, [DrawnFace(image, none, image, none, detail, None)])


def leading(clip: Clip, frames: list[DrawnFrame]) -> list[int]:
    """Return which reference leads in each frame of a session."""
    mouth, _ = live_mouth(clip)
    leaders, features, found = Leaders(), SpeechFeatures(Double()), []
    for frame in frames:
        track = mouth.track(frame.number, features, 1.0)
        assert track is not None
        (face,) = leaders.steadied(frame, [track]).faces
        assert face is not None
        assert face.detail is not None
        found.append(int(face.detail.references[face.detail.leader]))
    return found


def test_no_reference_leads_in_a_single_frame(clip: Clip) -> None:
    """Its teeth would flash. What counts is the reference, not its rank among those of the frame."""
    one, other = (0.6, 0.4), (0.45, 0.6)
    assert leading(clip, [drawn(n, other if n == 2 else one) for n in range(5)]) == [3] * 5
    assert leading(clip, [drawn(n, one if n < 2 else other) for n in range(5)]) == [3, 3, 3, 7, 7]
    swapped = [drawn(n, (0.6, 0.45), (7, 3)) if n == 2 else drawn(n, one) for n in range(5)]
    assert leading(clip, swapped) == [3] * 5


def test_a_frame_after_a_jump_has_a_leader_of_its_own(clip: Clip) -> None:
    assert leading(clip, [drawn(0, (0.6, 0.4)), drawn(1, (0.6, 0.4)), drawn(9, (0.45, 0.6))]) == [3, 3, 7]


def test_faces_without_native_detail_have_no_leader(clip: Clip) -> None:
    mouth, _ = live_mouth(clip)
    track, frame = mouth.track(0, SpeechFeatures(Double()), 1.0), drawn(0, (0.6, 0.4))
    assert track is not None
    assert frame.faces[0] is not None
    plain = replace(frame, faces=[replace(frame.faces[0], detail=None)])
    assert Leaders().steadied(plain, [track]).faces[0] is plain.faces[0]
    assert Leaders().steadied(replace(frame, faces=[None]), [track]).faces == [None]
