"""Runs of a mouth: each is predicted by itself, and closes in the silence at its own times."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from double import CONFIG, Double, make_dubber
from lipsmith import Clip
from lipsmith.dubbing import draw
from lipsmith.dubbing.mouth import MouthTrack, predict_mouth
from lipsmith.dubbing.paste.composite import Compositor
from lipsmith.dubbing.scan import ArrayStore
from lipsmith.dubbing.source import Fit, play
from lipsmith.face.crop import still_points
from lipsmith.face.landmarks import JAW, lip_opening, ranks
from lipsmith.face.references import STICKINESS, costs, nearest
from lipsmith.speech.recording import load_speech
from synthetic import face_at, speech

SIZE = (160, 160)


@pytest.fixture(scope="module")
def clip() -> Clip:
    return make_dubber().prepare([face_at(index / 25, SIZE) for index in range(8)])


def mouth(clip: Clip, said: NDArray[np.float32], missing: tuple[int, ...] = (), fit: Fit = "bounce") -> MouthTrack:
    """Predict the mouth of the clip's face, as if it were not seen in the frames `missing`."""
    (face,) = clip.chosen
    rows = np.flatnonzero(~np.isin(face.frames, missing))
    arrays = {name: getattr(face, name)[rows] for name in ("frames", "points", "transforms", "opacity", "seen")}
    recording = load_speech(said)
    timeline = play(clip.times, clip.seconds, recording.seconds, fit)
    found = predict_mouth(Double(), CONFIG, ArrayStore(), replace(face, **arrays), timeline, recording, 1.0)
    assert found is not None
    return found


def runs(track: MouthTrack) -> list[tuple[int, int]]:
    """Return the first and the last output frame of each run."""
    ends = dict(zip(track.begins.tolist(), track.ends.tolist(), strict=True))
    return [(int(track.frames[begin]), int(track.frames[end])) for begin, end in ends.items()]


def test_a_run_ends_where_the_face_is_not_seen_and_where_the_footage_jumps(clip: Clip) -> None:
    assert runs(mouth(clip, speech(20 / 25))) == [(0, 19)]
    assert runs(mouth(clip, speech(20 / 25), fit="loop")) == [(0, 7), (8, 15), (16, 19)]
    assert runs(mouth(clip, speech(8 / 25), missing=(3, 4))) == [(0, 2), (5, 7)]


def test_a_frame_is_found_and_not_looked_for_among_those_of_other_shots(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = mouth(clip, speech(8 / 25), missing=(0, 3, 7))
    assert [track.place(number) for number in range(8)] == [None, 0, 1, None, 2, 3, 4, None]
    monkeypatch.setattr("lipsmith.dubbing.mouth.bisect_left", None)
    assert [track.place(number) for number in (-100, 0, 7, 100)] == [None] * 4


def test_two_frames_in_turn_are_no_jump(clip: Clip) -> None:
    assert runs(mouth(clip, speech(20 / 25), missing=(0, 1, 2, 5, 6, 7), fit="loop")) == [(3, 4), (11, 12), (19, 19)]


def test_every_run_closes_in_its_own_silence(clip: Clip) -> None:
    """Speech begins in the third run."""
    said = np.concatenate([np.zeros(12_000, np.float32), speech(0.6)])
    several, one = mouth(clip, said, fit="loop"), mouth(clip, said)
    assert (len(runs(several)), len(runs(one))) == (5, 1)
    openings = lip_opening(np.asarray(several.points)), lip_opening(np.asarray(one.points))
    assert openings[0] == pytest.approx(openings[1], abs=1e-4)
    assert openings[0].max() > 1.5 * openings[0][:10].max()


def test_a_jaw_ends_where_it_is_filmed(clip: Clip) -> None:
    """Its ends go sideways with the head; what the network predicts may lag behind."""
    track, ends = mouth(clip, speech(8 / 25)), ranks((JAW[0], JAW[-1]))
    filmed, found = track.face.points[track.rows], np.asarray(track.points)
    assert np.ptp(filmed[:, ends, 0], axis=0).min() > 1e-3
    along = (filmed[:, ends[1]] - filmed[:, ends[0]])[:, None]
    assert ((found - filmed)[:, ends] * along).sum(-1) == pytest.approx(0, abs=1e-5)


def test_frames_that_are_hidden_stay_as_filmed(clip: Clip) -> None:
    (face,) = clip.chosen
    opacity = np.where(np.arange(len(face.frames)) < 4, 0, 1).astype(np.float32)
    hidden = replace(clip, chosen=[replace(face, opacity=opacity)])
    sources = list(clip.source.show(np.arange(8), clip.times))
    changed = [bool((frame.image != sources[frame.index]).any()) for frame in hidden.dub(speech(8 / 25)).frames()]
    assert changed == [False] * 4 + [True] * 4


def test_a_face_that_is_seen_is_dubbed_whatever_it_looks_like(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Colored light, say, changes all of a face; only where none was found may something else be in its place."""
    monkeypatch.setattr(draw, "is_absent", lambda *looks: True)
    sources = list(clip.source.show(np.arange(8), clip.times))
    assert all((frame.image != sources[frame.index]).any() for frame in clip.dub(speech(8 / 25)).frames())


def test_colors_are_not_remembered_from_before_a_jump(clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    restarts: list[int] = []
    restart = Compositor.restart

    def counted(self: Compositor) -> None:
        restarts.append(1)
        restart(self)

    monkeypatch.setattr(Compositor, "restart", counted)
    cases: list[tuple[Fit, int]] = [("bounce", 1), ("loop", 3)]
    for fit, expected in cases:
        restarts.clear()
        assert len(list(clip.dub(speech(20 / 25), fit=fit).frames())) == 20
        assert len(restarts) == 1 + expected  # the first is that of a new compositor


def looked_at(track: MouthTrack, unlike: dict[int, float], places: NDArray[np.intp] | None = None) -> list[bool]:
    """Whether each of five frames keeps its references where the first one planned looks unlike those given."""
    places = np.arange(5, 10) if places is None else places
    still = still_points(track.face.transforms[track.rows[places]])
    other = np.zeros((len(places), len(track.face.pool_points)), np.float32)
    for frame, much in unlike.items():
        other[frame, track.references[places[frame], 0]] = much
    chosen = track.chosen(places, still, other)
    assert all(len(set(row)) == len(row) for row in chosen.tolist())
    return [set(row) == set(planned) for row, planned in zip(chosen, track.references[places], strict=True)]


@pytest.fixture
def steady(clip: Clip) -> MouthTrack:
    """A mouth that does not move, drawn from one reference, the nearest; each reference is there twice."""
    track = mouth(clip, speech(0.8))
    points, rows = np.repeat(track.points[5:6], 12, axis=0), np.full(12, track.rows[5])
    references = nearest(pose_costs(track)[5:6], 1).repeat(12, axis=0)
    pool = np.concatenate([track.face.pool_points[:]] * 2)
    face = replace(track.face, pool_points=pool, pool_still=np.concatenate([track.face.pool_still] * 2))
    begins, ends = np.zeros(12, np.intp), np.full(12, 11)
    return replace(track, face=face, points=points, rows=rows, references=references, begins=begins, ends=ends)


def pose_costs(track: MouthTrack) -> NDArray[np.float32]:
    still = still_points(track.face.transforms[track.rows])
    return costs(track.points[:], track.face.pool_points[:], still, track.face.pool_still)


def test_references_that_look_like_the_frames_are_as_planned(steady: MouthTrack) -> None:
    assert looked_at(steady, {}) == [True] * 5


def test_a_reference_that_looks_unlike_the_frames_is_exchanged(steady: MouthTrack) -> None:
    assert looked_at(steady, dict.fromkeys(range(5), 1.0)) == [False] * 5


def test_a_little_unlikeness_in_one_frame_exchanges_nothing(steady: MouthTrack) -> None:
    little = (STICKINESS * float(np.median(pose_costs(steady)[0])) + 0.001) / 0.2
    assert looked_at(steady, {2: little}) == [True] * 5
    assert looked_at(steady, {0: little}, np.array([7])) == [False]


def test_what_covers_the_skin_from_some_frame_on_exchanges_references_there(steady: MouthTrack) -> None:
    assert looked_at(steady, {3: 1.0, 4: 1.0})[3:] == [False] * 2
    assert looked_at(steady, {0: 1.0, 1: 1.0})[:2] == [False] * 2


def test_a_look_does_not_count_beyond_a_cut(steady: MouthTrack) -> None:
    begins = np.repeat([0, 7], [7, 5])
    assert looked_at(replace(steady, begins=begins), {0: 1.0, 1: 1.0}) == [False] * 2 + [True] * 3
