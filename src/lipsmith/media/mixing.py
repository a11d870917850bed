"""Mixes many channels down to two or one, at the level of the voice.

Channels with a position are mixed by ITU-R BS.775-3, table 2: center and surround at -3 dB, without the low-frequency
channel. Tracks of a multitrack recorder have no position and are summed. Either mix is attenuated only as far as its
own peak requires.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from lipsmith.media.container import layout_of

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.layout import AudioLayout
    from numpy.typing import NDArray


_LOG = logging.getLogger(__name__)

_SAMPLE_TYPES: Final = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
_MINUS_3_DB: Final = 0.5**0.5
_LFE: Final = {"LFE", "LFE2"}
_FRONT: Final = {
    "FL": (1.0, 0.0),
    "FR": (0.0, 1.0),
    "FLC": (1.0, 0.0),
    "FRC": (0.0, 1.0),
    "FC": (_MINUS_3_DB, _MINUS_3_DB),
}
_SILENT: Final = 1e-4  # of the energy of the loudest channel; a mix below it has lost the speech
_CANCELLED: Final = 0.25  # of that energy; a sum below it has lost most of it to opposite phases


def is_discrete(layout: AudioLayout) -> bool:
    """Whether the channels are tracks without a position."""
    return any(channel.name not in _FRONT and not _place(channel.name) for channel in layout.channels)


def _place(name: str) -> tuple[float, float] | None:
    """Weights of a channel in left and right, by its name in libav; None if it has no position."""
    if name in _LFE:
        return (0.0, 0.0)
    if name in _FRONT:
        return _FRONT[name]
    if name[:1] not in ("B", "S", "T", "W"):
        return None
    return {"L": (_MINUS_3_DB, 0.0), "R": (0.0, _MINUS_3_DB), "C": (0.5, 0.5)}.get(name[-1])


class Levels:
    """Energy of the channels of a sound, energy and peaks of its mixes, accumulated block by block."""

    def __init__(self, layout: AudioLayout) -> None:
        channels = len(layout.channels)
        self.energy = np.zeros(channels)
        alike = np.ones((1, channels), np.float32)
        self._mixes = [alike]
        if not is_discrete(layout):
            placed = np.array([_place(channel.name) for channel in layout.channels], np.float32).T
            self._mixes = [placed, np.repeat(alike, 2, axis=0)]
        self._energy, self._peak = [0.0] * len(self._mixes), [0.0] * len(self._mixes)

    def add(self, block: NDArray[np.float32]) -> None:
        """`block`: (channels, n)."""
        self.energy += np.square(block, dtype=np.float64).sum(1)
        for number, mix in enumerate(self._mixes):
            mixed = mix @ block
            self._energy[number] += float(np.square(mixed, dtype=np.float64).sum(1).max())
            self._peak[number] = max(self._peak[number], float(np.abs(mixed).max(initial=0)))

    def matrix(self) -> NDArray[np.float32]:
        """(2 or 1, channels): the matrix that mixes a block down."""
        loudest = float(self.energy.max())
        if len(self._mixes) == 2 and self._energy[0] >= _SILENT * loudest:
            return self._mixes[0] * np.float32(1 / max(1.0, self._peak[0]))
        if self._energy[-1] < _CANCELLED * loudest:
            return self._single(int(self.energy.argmax()))
        gain = min(1.0, (loudest / max(self._energy[-1], 1e-30)) ** 0.5)
        return self._mixes[-1] * np.float32(gain / max(1.0, gain * self._peak[-1]))

    def _single(self, channel: int) -> NDArray[np.float32]:
        matrix = np.zeros_like(self._mixes[-1])
        matrix[:, channel] = 1
        return matrix


def mixing(path: Path, layout: AudioLayout, blocks: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
    """(2 or 1, channels): the matrix that mixes the blocks (channels, n) of a file; logs that they are mixed."""
    levels = Levels(layout)
    for block in blocks:
        levels.add(block)
    matrix = levels.matrix()
    kind = "tracks" if is_discrete(layout) else f"channels ({layout.name})"
    _LOG.info("%s: its %d %s are mixed to %s.", path, matrix.shape[1], kind, ("mono", "stereo")[len(matrix) - 1])
    return matrix


def samples_of(frame: AudioFrame) -> NDArray[np.float32]:
    """(channels, n), full scale at 1."""
    channels = layout_of(frame).nb_channels
    if frame.format.is_planar:
        # PyAV 18.1 takes what lies behind eight planes in memory for a ninth, which crashes the process.
        kind = _SAMPLE_TYPES[frame.format.name.removesuffix("p")]
        planes = [memoryview(plane) for plane in frame.planes[:channels]]
        samples = np.stack([np.frombuffer(plane, kind, frame.samples) for plane in planes])
    else:
        samples = frame.to_ndarray().reshape(-1, channels).T
    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    middle = 128 if samples.dtype.kind == "u" else 0
    return ((samples.astype(np.float32) - middle) / 2.0 ** (8 * samples.itemsize - 1)).astype(np.float32)
