"""Mixes sounds that start at different times, such as the speeches of several people."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from lipsmith.media.background import BLOCK, rechunk
from lipsmith.media.sound import Sound, to_rate, until

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimedSound:
    """A sound that plays from `start` to `end`, in seconds; anything beyond is cut."""

    open: Callable[[], Sound]
    start: float
    end: float
    rate: int
    channels: int
    language: str | None
    is_cut: bool = False
    """Whether the sound goes on after `end`, and therefore fades there."""


def overlay(parts: Sequence[TimedSound], seconds: float) -> Sound:
    """The sum of `parts`, at the highest of their sample rates, with silence elsewhere.

    A file is open only while it plays. If parts overlap and their sum exceeds full scale, the whole sound is attenuated
    to its peak; this reads the parts twice. Raises `InputError` for invalid samples.
    """
    parts = sorted(parts, key=lambda part: part.start)
    rate, channels = max(part.rate for part in parts), max(part.channels for part in parts)
    total = math.ceil(seconds * rate)
    peak = 1.0
    if any(earlier.end > later.start for earlier, later in pairwise(parts)):
        peak = max(float(np.abs(block).max(initial=0)) for block in _sum(parts, rate, channels, total))
    if peak > 1:
        _LOG.info(
            "The sum of the speeches exceeds full scale; the sound is attenuated by %.1f dB.", 20 * math.log10(peak)
        )
    gain = np.float32(1 / max(1.0, peak))
    languages = {part.language for part in parts}
    blocks = (block * gain for block in _sum(parts, rate, channels, total))
    return Sound(rate, channels, blocks, languages.pop() if len(languages) == 1 else None)


def _sum(parts: Sequence[TimedSound], rate: int, channels: int, total: int) -> Iterator[NDArray[np.float32]]:
    """`total` samples in blocks `(channels, n)`; `parts` are sorted by start."""
    pending = [(round(part.start * rate), part) for part in reversed(parts)]
    playing: list[Iterator[NDArray[np.float32]]] = []
    for begin in range(0, total, BLOCK):
        while pending and pending[-1][0] < begin + BLOCK:
            first, part = pending.pop()
            silence = np.zeros((1, first - begin), np.float32)
            sound = until(part.open(), part.end - part.start, part.is_cut)
            playing.append(rechunk(chain([silence], to_rate(sound, rate).blocks), channels))
        block = np.zeros((channels, min(BLOCK, total - begin)), np.float32)
        for pieces in playing:
            piece = next(pieces, block[:, :0])[:, : block.shape[1]]
            block[:, : piece.shape[1]] += piece
        yield block
