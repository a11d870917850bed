"""The protocols of evaluation: which frames of a clip are rebuilt, and which may serve as references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import PreparedClip
from lipsmith.face.references import POOL, choose_pool, paper_pool_size

Protocol = Literal["strict", "paper", "cross"]

MIN_STRICT_SECONDS: Final = 2.0
"""Length of the shortest clip that a protocol takes."""
GAP: Final = 0.2
"""Seconds between the first half of a clip and the first frame to be rebuilt."""
_MIN_FRAMES: Final = 20
"""Frames of the shortest clip: below 10 frames per second, two seconds are too few."""
_MIN_HALF: Final = 5
"""Frames with a face that the first half needs, and frames to rebuild that the second half needs."""


@dataclass(frozen=True)
class FrameChoice:
    """Frames of one clip by what they are for. All indices are frames of the clip."""

    targets: NDArray[np.intp]
    """(T,) successive frames to rebuild."""
    allowed: NDArray[np.intp]
    """(A,) frames from which references and lip references may be chosen."""
    pool: NDArray[np.intp]
    """(R,) the references of a system that leaves the choice to the protocol, by rising lip opening."""


def choose_frames(clip: PreparedClip, protocol: Protocol) -> FrameChoice | None:
    """The frames that `protocol` takes of a clip, or None for a clip too short for it.

    `strict`: see `strict_frames`. `paper`: as in IP_LAP, every frame is rebuilt from references at evenly spaced ranks
    of lip opening over the whole clip. `cross`: as `strict`, with the speech of another person.
    """
    if protocol != "paper":
        return strict_frames(clip)
    if _is_short(clip):
        return None
    frames = np.arange(len(clip.times))
    return FrameChoice(frames, frames, choose_pool(clip.landmarks, None, paper_pool_size(len(frames))))


def strict_frames(clip: PreparedClip) -> FrameChoice | None:
    """The strict protocol, the only place that knows it: evaluation of both stages and validation of training ask here.

    References come from tracked frames of the first half of the clip's duration; every frame from 0.2 s after its
    middle on is rebuilt. None for a clip under 2 s or 20 frames, or with under 5 frames on either side.
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
