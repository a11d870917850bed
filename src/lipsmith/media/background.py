"""Mixes music or effects under a voice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lipsmith.errors import InputError
from lipsmith.media.sound import Sound, open_sound, to_rate

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK: Final = 16384
"""Samples per mixed block."""


@dataclass(frozen=True)
class Background:
    """A file with sound, played from its start under a voice."""

    file: Path
    """Any file with sound."""
    gain: float = -12.0
    """Gain in decibels, -100 to 40; negative values make it softer."""


def with_background(voice: Sound, background: Background, seconds: float) -> Sound:
    """The voice mixed with the background, at the higher of their sample rates and with the channels of both.

    The mix lasts `seconds`, or as long as the voice if that is longer; a shorter background ends earlier. Samples above
    full scale are clipped.

    Raises:
        InputError: the background is missing or has no sound.
    """
    music = open_background(background.file)
    rate, channels = max(voice.rate, music.rate), max(voice.channels, music.channels)
    factor = np.float32(10 ** (background.gain / 20))
    played = (piece * factor for piece in rechunk(to_rate(music, rate).blocks, channels))
    blocks = _mix(rechunk(to_rate(voice, rate).blocks, channels), played, channels, round(seconds * rate))
    return replace(voice, rate=rate, channels=channels, blocks=blocks)


def open_background(file: Path) -> Sound:
    """The sound of a background from its first sample on. Raises InputError if it is missing or has no sample."""
    music = open_sound(file, whole=True)
    first = next(music.blocks, None)
    if first is None:
        raise InputError(f"{file} has an empty sound track; give a file with music or effects.")
    return replace(music, blocks=chain([first], music.blocks))


def rechunk(blocks: Iterator[NDArray[np.float32]], channels: int) -> Iterator[NDArray[np.float32]]:
    """The same sound in blocks of `BLOCK` samples; the last may be shorter. Mono is copied to every channel."""
    buffer = np.zeros((channels, 0), np.float32)
    for block in blocks:
        buffer = np.concatenate([buffer, np.broadcast_to(block, (channels, block.shape[1]))], axis=1)
        while buffer.shape[1] >= BLOCK:
            yield buffer[:, :BLOCK]
            buffer = buffer[:, BLOCK:]
    if buffer.shape[1]:
        yield buffer


def _mix(
    voice: Iterator[NDArray[np.float32]],
    music: Iterator[NDArray[np.float32]],
    channels: int,
    minimum: int,
) -> Iterator[NDArray[np.float32]]:
    """The sum of both in blocks, until the voice ends, but at least `minimum` samples."""
    done, nothing = 0, np.zeros((channels, 0), np.float32)
    while True:
        spoken, played = next(voice, nothing), next(music, nothing)
        count = max(spoken.shape[1], min(BLOCK, minimum - done))
        if count <= 0:
            return
        mixed = np.zeros((channels, count), np.float32)
        for part in (spoken, played[:, :count]):
            mixed[:, : part.shape[1]] += part
        done += count
        yield np.clip(mixed, -1, 1)
