"""The evaluation protocols: which frames of a clip are rebuilt, and which may be references."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import PreparedClip
from lipsmith.face.references import POOL, choose_pool, paper_pool_size

Protocol = Literal["strict", "paper", "cross"]

MIN_STRICT_SECONDS: Final = 2.0
"""Minimum length of a clip."""
GAP: Final = 0.2
"""Seconds between the first half of a clip and the first frame to be rebuilt."""
_MIN_FRAMES: Final = 20
"""Minimum number of frames of a clip: below 10 frames per second, two seconds are too few."""
_MIN_HALF: Final = 5
"""Minimum number of frames with a face in the first half, and of frames to rebuild in the second half."""


@dataclass(frozen=True)
class FrameChoice:
    """Frames of one clip by their role. All indices are frames of the clip."""

    targets: NDArray[np.intp]
    """(T,) successive frames to rebuild."""
    allowed: NDArray[np.intp]
    """(A,) frames allowed as references and lip references."""
    pool: NDArray[np.intp]
    """(R,) the protocol's own choice of references, by rising lip opening."""


def choose_frames(clip: PreparedClip, protocol: Protocol) -> FrameChoice | None:
    """The frames of a clip under `protocol`; None if the clip is too short.

    `strict`: see `strict_frames`. `paper`: as in IP_LAP, every frame is rebuilt from references at evenly spaced ranks
    of lip opening over the whole clip. `cross`: as `strict`, with the speech of another person.
    """
    if protocol != "paper":
        return strict_frames(clip)
    if _is_short(clip):
        return None
    frames = np.arange(len(clip.times))
    return FrameChoice(frames, frames, choose_pool(clip.landmarks, None, paper_pool_size(len(frames))))


def shown_frames(choice: FrameChoice, frames: int) -> FrameChoice | None:
    """The same choice with the targets among the first `frames` frames only; None if fewer than 5 are left."""
    targets = choice.targets[choice.targets < frames]
    return replace(choice, targets=targets) if len(targets) >= _MIN_HALF else None


def strict_frames(clip: PreparedClip) -> FrameChoice | None:
    """The strict protocol, for the evaluation of both networks and for validation in training.

    References come from tracked frames of the first half of the clip's duration; every frame from 0.2 s after its
    middle is rebuilt. None for a clip under 2 s or 20 frames, or with fewer than 5 frames on either side.
    """
    if _is_short(clip):
        return None
    middle = clip.times[0] + clip.record.seconds / 2
    allowed = np.flatnonzero(clip.tracked & (clip.times < middle))
    targets = np.flatnonzero(clip.times >= middle + GAP - 1e-6)
    if min(len(allowed), len(targets)) < _MIN_HALF:
        return None
    pool = allowed[choose_pool(clip.landmarks[allowed], None, min(len(allowed), POOL))]
    return FrameChoice(targets, allowed, pool)


def _is_short(clip: PreparedClip) -> bool:
    return clip.record.seconds < MIN_STRICT_SECONDS or len(clip.times) < _MIN_FRAMES
