"""Adds up sounds that begin at different times, such as those of several people who speak."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

import numpy as np

from lipsmith.media.background import BLOCK, at_rate, in_pieces
from lipsmith.media.sound import Sound, until

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Placed:
    """A sound from `start` to `end`, seconds; what it holds beyond that is left out."""

    open: Callable[[], Sound]
    start: float
    end: float
    rate: int
    channels: int
    language: str | None = None


def overlay(parts: Sequence[Placed], seconds: float) -> Sound:
    """The sum of `parts`, each at its own level, at the highest of their sample rates; silent where there is none.

    A file is open only while it is heard. If several are heard at once and their sum exceeds full scale, the whole is
    attenuated as far as its peak requires; they are read once more for that. Raises `InputError` for invalid samples.
    """
    parts = sorted(parts, key=lambda part: part.start)
    rate, channels = max(part.rate for part in parts), max(part.channels for part in parts)
    total = math.ceil(seconds * rate)
    peak = 1.0
    if any(earlier.end > later.start for earlier, later in pairwise(parts)):
        peak = max(float(np.abs(block).max(initial=0)) for block in _sum(parts, rate, channels, total))
    if peak > 1:
        _LOG.info("Together the speeches exceed full scale; the sound is %.1f dB softer.", 20 * math.log10(peak))
    gain = np.float32(1 / max(1.0, peak))
    languages = {part.language for part in parts}
    blocks = (block * gain for block in _sum(parts, rate, channels, total))
    return Sound(rate, channels, blocks, languages.pop() if len(languages) == 1 else None)


def _sum(parts: Sequence[Placed], rate: int, channels: int, total: int) -> Iterator[NDArray[np.float32]]:
    """`total` samples in blocks `(channels, n)`; `parts` by rising start."""
    waiting = [(round(part.start * rate), part) for part in reversed(parts)]
    heard: list[Iterator[NDArray[np.float32]]] = []
    for begin in range(0, total, BLOCK):
        while waiting and waiting[-1][0] < begin + BLOCK:
            first, part = waiting.pop()
            silence = np.zeros((1, first - begin), np.float32)
            sound = until(part.open(), part.end - part.start)
            heard.append(in_pieces(chain([silence], at_rate(sound, rate)), channels))
        block = np.zeros((channels, min(BLOCK, total - begin)), np.float32)
        for pieces in heard:
            piece = next(pieces, block[:, :0])[:, : block.shape[1]]
            block[:, : piece.shape[1]] += piece
        yield block
