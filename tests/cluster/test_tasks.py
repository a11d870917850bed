"""How a long film is split: soon after cuts, and not within a shot."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from lipsmith.cluster.tasks import SHARE, shares_of
from lipsmith.dubbing.draw import PART
from lipsmith.dubbing.mouth import MouthTrack


def film(*shots: int) -> Any:  # noqa: ANN401
    """Return a result of one face in shots of so many frames."""
    frames, nothing = np.arange(sum(shots)), np.zeros(0)
    ends = np.cumsum(shots)
    begins, last = np.repeat(ends - shots, shots), np.repeat(ends - 1, shots)
    mouth = MouthTrack(None, frames, nothing, frames, nothing, frames, begins, last, None)  # type: ignore[arg-type]

    class Result(SimpleNamespace):
        def __len__(self) -> int:
            return len(frames)

    return Result(mouths=[mouth])


def test_a_film_of_one_shot_is_one_share() -> None:
    (share,) = shares_of(film(4 * SHARE * PART), Path("out.mp4"))
    assert (share.numbers, share.before) == (range(4 * SHARE), 0)


def test_a_share_begins_soon_after_a_cut_and_draws_from_there() -> None:
    cut = 2 * SHARE * PART + PART // 2
    first, second = shares_of(film(cut, 4 * SHARE * PART - cut), Path("out.mp4"))
    assert (first.numbers, first.before) == (range(2 * SHARE + 1), 0)
    assert (second.numbers, second.before) == (range(2 * SHARE + 1, 4 * SHARE), cut)
