"""The protocols: targets, references, and their separation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from landmark_clips import talking_clip
from lipsmith.data.clips import PreparedClip
from lipsmith.evaluation.protocols import GAP, choose_frames, strict_frames


def timed_clip(frames: int, fps: float = 25.0) -> PreparedClip:
    clip = talking_clip(0, "a", frames=frames)
    return replace(clip, record=replace(clip.record, seconds=frames / fps, fps=fps), times=np.arange(frames) / fps)


def test_strict_splits_a_clip_in_the_middle_of_its_duration() -> None:
    chosen = strict_frames(timed_clip(100))
    assert chosen is not None
    assert chosen.allowed.tolist() == sorted(chosen.pool.tolist()) == list(range(50))
    # The middle is at 2.0 s; frame 55 is at 2.2 s.
    assert chosen.targets.tolist() == list(range(55, 100))
    longer = strict_frames(timed_clip(400))
    assert longer is not None
    assert len(set(longer.pool.tolist())) == len(longer.pool) == 60  # as many as a dub has


def test_the_middle_is_that_of_time_at_variable_frame_rates() -> None:
    clip = timed_clip(60)
    times = np.concatenate([np.arange(40) / 20, 2 + np.arange(20) / 10])
    chosen = strict_frames(replace(clip, record=replace(clip.record, seconds=4.0), times=times))
    assert chosen is not None
    assert (chosen.allowed.max(), chosen.targets.min()) == (39, 42)


def test_frames_without_a_face_are_targets_but_never_references() -> None:
    clip = timed_clip(100)
    clip.tracked[10:20] = False
    clip.tracked[60:70] = False
    chosen = strict_frames(clip)
    assert chosen is not None
    assert not set(range(10, 20)) & set(chosen.allowed.tolist())
    assert set(range(60, 70)) <= set(chosen.targets.tolist())


def test_a_first_half_with_too_few_faces_is_refused() -> None:
    clip = timed_clip(100)
    clip.tracked[4:50] = False
    assert strict_frames(clip) is None


def test_cross_uses_the_same_frames_as_strict() -> None:
    clip = timed_clip(80)
    strict, cross = strict_frames(clip), choose_frames(clip, "cross")
    assert strict is not None
    assert cross is not None
    np.testing.assert_array_equal(strict.targets, cross.targets)
    np.testing.assert_array_equal(strict.pool, cross.pool)


@given(st.integers(50, 200), st.sampled_from([24.0, 25.0, 29.97, 50.0]))
def test_strict_references_never_include_targets(frames: int, fps: float) -> None:
    source = timed_clip(frames, fps)
    chosen = choose_frames(source, "strict")
    if frames / fps < 2:
        assert chosen is None
        return
    assert chosen is not None
    half = source.record.seconds / 2
    assert source.times[chosen.allowed].max() < half
    assert source.times[chosen.targets].min() >= half + GAP - 1e-6
    assert chosen.targets[-1] == frames - 1
    assert (np.diff(chosen.targets) == 1).all()
    assert set(chosen.pool) <= set(chosen.allowed)


def test_paper_rebuilds_every_frame_with_references_from_the_whole_clip() -> None:
    chosen = choose_frames(timed_clip(100), "paper")
    assert chosen is not None
    assert len(chosen.targets) == 100
    assert len(chosen.pool) == 20
