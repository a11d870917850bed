"""The sound of any file as a stream of blocks whose sample 0 is at the film's first frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from lipsmith.media.container import clock, open_input, require_audio, seconds, video_stream
from lipsmith.media.decoding import decoded_sound
from lipsmith.media.reading import first_time

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container.input import InputContainer
    from numpy.typing import NDArray

_HOLE = 0.02  # seconds; shorter gaps between packets are rounding, longer ones are lost sound
_LAYOUTS = {1: "mono", 2: "stereo"}


@dataclass(frozen=True)
class Sound:
    """A sound being read: rate in Hz, channels (1 or 2) and blocks (channels, n) float32 in [-1, 1]."""

    rate: int
    channels: int
    blocks: Iterator[NDArray[np.float32]]


def open_sound(path: Path | str, rate: int | None = None) -> Sound:
    """The sound of an audio or video file, a block at a time; more than two channels are mixed down to two.

    Where the sound begins after the film's first frame, silence comes first; where it begins before, that
    part is left out. Lost stretches are silent, so that what follows stays in place.

    Args:
        path: any file that libav reads.
        rate: samples a second; the file's own where None.

    Raises:
        InputError: the file is missing or empty, or has no sound.
    """
    path = Path(path)
    with open_input(path) as container:
        stream = require_audio(container, path)
        own_rate, channels = stream.sample_rate, min(2, stream.channels)
    blocks = _blocks(path, own_rate, channels)
    if rate is not None and rate != own_rate:
        blocks = resample(blocks, own_rate, rate, channels)
    return Sound(rate or own_rate, channels, blocks)


def resample(
    blocks: Iterator[NDArray[np.float32]], rate: int, new_rate: int, channels: int
) -> Iterator[NDArray[np.float32]]:
    """Blocks (channels, n) at `rate` to blocks at `new_rate`; sample 0 stays in place."""
    resampler = AudioResampler(format="fltp", layout=_LAYOUTS[channels], rate=new_rate)
    position = 0
    for block in blocks:
        frame = to_frame(block, rate, position)
        position += block.shape[1]
        yield from map(_samples, resampler.resample(frame))
    yield from map(_samples, resampler.resample(None))


def to_frame(block: NDArray[np.float32], rate: int, position: int) -> AudioFrame:
    """(channels, n) as a frame of planar floats that starts at sample `position`."""
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=_LAYOUTS[len(block)])
    frame.sample_rate = rate
    frame.pts = position
    return frame


def _samples(frame: AudioFrame) -> NDArray[np.float32]:
    return cast("NDArray[np.float32]", frame.to_ndarray())


def _blocks(path: Path, rate: int, channels: int) -> Iterator[NDArray[np.float32]]:
    with open_input(path) as container:
        stream = require_audio(container, path)
        zero = first_time(path) if video_stream(container) is not None else None
        position = 0
        for time, block in _timed(container, stream, path, rate, channels):
            zero = time if zero is None else zero
            gap = round((time - zero) * rate) - position
            if gap > _HOLE * rate or (position == 0 and gap > 0):
                yield from _silence(channels, gap, rate)
                position += gap
            elif position == 0 and gap < 0:
                block = block[:, -gap:]
            position += block.shape[1]
            if block.shape[1]:
                yield block


def _silence(channels: int, samples: int, rate: int) -> Iterator[NDArray[np.float32]]:
    """A second at a time: a clock may jump by hours."""
    for begin in range(0, samples, rate):
        yield np.zeros((channels, min(rate, samples - begin)), np.float32)


def _timed(
    container: InputContainer, stream: AudioStream, path: Path, rate: int, channels: int
) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """(seconds of the file's clock, block (channels, n)) of everything that decodes."""
    mixer, shape = None, None
    time = 0.0
    for frame in decoded_sound(container, stream, path):
        if mixer is None or shape != (frame.format.name, frame.layout.name, frame.sample_rate):
            shape = (frame.format.name, frame.layout.name, frame.sample_rate)
            # Only integer formats are mixed down with weights that sum to one; floats would clip.
            mixer = AudioResampler(format="s32p", layout=_LAYOUTS[channels], rate=rate)
        stamp = seconds(frame, stream)
        time = time if stamp is None else stamp
        surplus = _padding(frame, stream)
        for mixed in mixer.resample(frame):
            block = mixed.to_ndarray()[:, : mixed.samples - surplus]
            yield time, (block / np.float32(2**31)).astype(np.float32)
            time += block.shape[1] / rate


def _padding(frame: AudioFrame, stream: AudioStream) -> int:
    """Samples at the end of a frame that only fill its last packet up; MP4 tells by the packet's duration."""
    counts_samples = (frame.time_base or clock(stream)) * frame.sample_rate == 1
    return max(0, frame.samples - frame.duration) if counts_samples and frame.duration else 0
