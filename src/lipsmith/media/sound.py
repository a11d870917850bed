"""Reads the sound of any file in blocks; sample 0 is at the film's first frame."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice, tee, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler

from lipsmith.errors import InputError
from lipsmith.media.completeness import report_once, report_shortfall
from lipsmith.media.container import OpenStream, clock, has_own_order, layout_of, open_audio, seconds, video_stream
from lipsmith.media.decoding import decoded_sound
from lipsmith.media.mixing import is_discrete, mixing, samples_of
from lipsmith.media.reading import first_time

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.stream import Stream
    from numpy.typing import NDArray

_MIN_GAP = 0.02  # seconds; shorter gaps between packets are rounding, longer ones are lost sound
_MAX_LAG = 1.0  # seconds; a clock that goes back further begins anew, as where films were joined
FADE_SECONDS: Final = 0.005
"""Duration of the fade where sound is cut."""
OVERSHOOT: Final = 16.0
"""Samples above 1 are clipped, as in players; samples above this limit have another scale."""
HIGHEST_RATE: Final = 768_000
"""Samples per second of the fastest sound cards; libraries overflow far above."""
_LAYOUTS = {1: "mono", 2: "stereo"}
_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_BLOCK = 16384  # samples of an array that are encoded at once


@dataclass(frozen=True)
class Sound:
    """A stream of sound: rate in Hz, channels (1 or 2) and blocks (channels, n) float32 in [-1, 1]."""

    rate: int
    channels: int
    blocks: Iterator[NDArray[np.float32]]
    language: str | None = None
    """As the file declares it, mostly three letters of ISO 639-2."""


def open_sound(path: Path | str, rate: int | None = None, whole: bool = False) -> Sound:
    """The sound of an audio or video file in blocks; more than two channels are mixed down (see `mixing`).

    If the sound starts after the film's first frame, silence is inserted; if it starts earlier, that part is omitted.
    Lost parts become silence, so that later samples keep their times.

    Args:
        path: any file that libav reads.
        rate: samples a second; the file's own if None.
        whole: whether sample 0 is the first of the sound, regardless of when the file's picture starts.

    Raises:
        InputError: the file is missing or empty, or has no sound; while reading, samples are invalid.
    """
    path = Path(path)
    with ExitStack() as stack:
        source = stack.enter_context(open_audio(path))
        container, stream = source.container, source.stream
        language, count = language_of(stream), len(container.streams.audio)
        if count > 1:
            used = f"{stream.index} ({language})" if language else f"{stream.index}"
            holds = f"{path} holds {count} sound streams"
            report_once(path, f"{holds}; stream {used} is used, as in players.", logging.INFO)
        layout = layout_of(stream)
        own_rate = stream.sample_rate
        channels = 1 if layout.nb_channels > 2 and is_discrete(layout) else min(2, layout.nb_channels)
        origin = None if whole or video_stream(container) is None else first_time(path)
        timed = _timed(source, own_rate, channels)
        blocks = _blocks(stack.pop_all(), timed, origin, own_rate, channels)
    return to_rate(Sound(own_rate, channels, blocks, language), rate or own_rate)


def language_of(stream: Stream) -> str | None:
    """The language that a stream declares. Other text is none: it could control a terminal, or forge log lines."""
    return stream.language if re.fullmatch(r"[A-Za-z0-9-]{1,35}", stream.language or "") else None


class Resampler:
    """Resamples a stream of blocks `(channels, n)` from `rate` to `new_rate`; sample 0 stays in place.

    Blocks at `new_rate` pass unchanged.
    """

    def __init__(self, rate: int, new_rate: int, channels: int = 1) -> None:
        self.rate = rate
        self._resampler = AudioResampler(format="fltp", layout=_LAYOUTS[channels], rate=new_rate)
        self._position = 0

    def __call__(self, block: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The output blocks that are complete with this block."""
        if not block.shape[1]:  # libav takes no empty frames
            return []
        frame = to_frame(block, self.rate, self._position)
        self._position += block.shape[1]
        return [_samples(resampled) for resampled in self._resampler.resample(frame)]

    def end(self) -> list[NDArray[np.float32]]:
        """The remaining blocks after the last one."""
        return [_samples(resampled) for resampled in self._resampler.resample(None)]


def to_rate(sound: Sound, rate: int) -> Sound:
    """The sound at another sample rate; sample 0 stays in place."""
    if rate == sound.rate:
        return sound
    resampler = Resampler(sound.rate, rate, sound.channels)

    def blocks() -> Iterator[NDArray[np.float32]]:
        for block in sound.blocks:
            yield from resampler(block)
        yield from resampler.end()

    return replace(sound, rate=rate, blocks=blocks())


def sound_of(samples: NDArray[np.float32], rate: int) -> Sound:
    """Samples (n,) or (channels, n) as a sound in blocks."""
    channels = np.atleast_2d(samples).astype(np.float32, copy=False)
    starts = range(0, channels.shape[1], _BLOCK)
    return Sound(rate, len(channels), (channels[:, start : start + _BLOCK] for start in starts))


def until(sound: Sound, seconds: float, fades: bool = True) -> Sound:
    """The sound before a time; the end fades, because a cut in the middle of sound clicks."""
    end, fade = round(seconds * sound.rate), max(1, round(FADE_SECONDS * sound.rate))

    def first_blocks() -> Iterator[NDArray[np.float32]]:
        remaining = end
        for block in sound.blocks:
            kept = block[:, :remaining]
            if fades and remaining - kept.shape[1] < fade:
                kept = kept * np.clip((remaining - np.arange(kept.shape[1], dtype=np.float32)) / fade, 0, 1)
            yield kept
            remaining -= block.shape[1]
            if remaining <= 0:
                return

    return replace(sound, blocks=first_blocks())


def with_aac_rate(sound: Sound | None) -> Sound | None:
    """The sound at a sample rate that AAC supports."""
    if sound is None or sound.rate in _AAC_RATES:
        return sound
    return to_rate(sound, min((rate for rate in _AAC_RATES if rate >= sound.rate), default=48000))


def to_frame(block: NDArray[np.float32], rate: int, position: int) -> AudioFrame:
    """(channels, n) as a frame of planar floats that starts at sample `position`."""
    frame = AudioFrame.from_ndarray(np.ascontiguousarray(block), format="fltp", layout=_LAYOUTS[len(block)])
    frame.sample_rate = rate
    frame.pts = position
    return frame


def _samples(frame: AudioFrame) -> NDArray[np.float32]:
    return cast("NDArray[np.float32]", frame.to_ndarray())


def _blocks(
    stack: ExitStack,
    timed: Iterator[tuple[float, NDArray[np.float32]]],
    origin: float | None,
    rate: int,
    channels: int,
) -> Iterator[NDArray[np.float32]]:
    """Blocks (channels, n) from the time `origin` on, with silence for missing parts; closes `stack` at the end.

    Without `origin`, no picture needs the sound in time, so nothing is cut where it lags behind its clock.
    """
    with stack:
        position, cuts = 0, origin is not None
        now, ahead = tee(timed)
        for (time, block), after in zip_longest(now, islice(ahead, 1, None)):
            origin = time if origin is None else origin
            gap = round((time - origin) * rate) - position
            if position and after is not None:  # a single wrong time is no gap
                following = round((after[0] - origin) * rate) - position - block.shape[1]
                gap = min(gap, following, key=abs) if gap * following > 0 else 0
            if gap > _MIN_GAP * rate or (position == 0 and gap > 0):
                yield from _silence(channels, gap, rate)
                position += gap
            elif gap < 0 and (position == 0 or (cuts and _MIN_GAP < -gap / rate < _MAX_LAG)):
                block = block[:, -gap:]
            position += block.shape[1]
            if block.shape[1]:
                yield block


def _silence(channels: int, samples: int, rate: int) -> Iterator[NDArray[np.float32]]:
    """Silence in blocks of a second, because a clock may jump by hours."""
    for begin in range(0, samples, rate):
        yield np.zeros((channels, min(rate, samples - begin)), np.float32)


def _timed(source: OpenStream[AudioStream], rate: int, channels: int) -> Iterator[tuple[float, NDArray[np.float32]]]:
    """(seconds of the file's clock, block (channels, n)) of all decodable frames."""
    mixer, shape = None, None
    time, begin = 0.0, None
    for frame in decoded_sound(source):
        stamp = seconds(frame, source.stream)
        time = time if stamp is None else stamp
        begin = time if begin is None else begin
        _check(frame, source, time)
        padding = _padding(frame, source)
        downmixed = _downmix(frame, source.path)
        own = downmixed.format.name, downmixed.layout.name, downmixed.sample_rate
        if mixer is None or shape != own:
            shape = own
            # libav mixes down with weights that sum to one for integer formats only; floats would clip.
            mixer = AudioResampler(format="s32p", layout=_LAYOUTS[channels], rate=rate)
        for mixed in mixer.resample(downmixed):
            block = mixed.to_ndarray()[:, : mixed.samples - padding]
            yield time, (block / np.float32(2**31)).astype(np.float32)
            time += block.shape[1] / rate
    if begin is not None:
        report_shortfall(source, begin, time)


def _check(frame: AudioFrame, source: OpenStream[AudioStream], time: float) -> None:
    """Raise InputError for samples that are NaN or far above full scale, which would be loud noise."""
    if not source.stream.codec_context.name.startswith("pcm_f"):
        return
    peaks = np.abs(samples_of(frame)).max(0, initial=0)
    invalid = np.flatnonzero(~(peaks <= OVERSHOOT))
    if not len(invalid):
        return
    place = f"{source.path}: the sound at {time + invalid[0] / frame.sample_rate:.2f} s"
    if not np.isfinite(peaks[invalid[0]]):
        raise InputError(f"{place} contains NaN or infinite samples; export it again.")
    raise InputError(f"{place} reaches {peaks[invalid[0]]:g}, but full scale is 1; export it again.")


def _downmix(frame: AudioFrame, path: Path) -> AudioFrame:
    """The frame with at most two channels, in an order that libav can convert."""
    layout = layout_of(frame)
    if layout.nb_channels > 2:
        state = path.stat()
        samples = _matrix(path, state.st_mtime_ns, state.st_size, layout.name) @ samples_of(frame)
    elif has_own_order(layout):
        samples = samples_of(frame)
    else:
        return frame
    mixed = to_frame(samples, frame.sample_rate, 0)
    mixed.pts, mixed.time_base = frame.pts, frame.time_base
    return mixed


@lru_cache(maxsize=8)
def _matrix(path: Path, changed: int, size: int, layout: str) -> NDArray[np.float32]:
    """The mixing matrix of a file's sound of that layout; `changed` and `size` distinguish versions of a file."""
    with open_audio(path) as source:
        frames = (f for f in decoded_sound(source) if layout_of(f).name == layout)
        first = next(frames)
        return mixing(path, layout_of(first), map(samples_of, chain([first], frames)))


def _padding(frame: AudioFrame, source: OpenStream[AudioStream]) -> int:
    """Padding samples at the end of a frame's last packet, which MP4 marks by the packet's duration.

    In Ogg, durations of Vorbis differ from its samples wherever the size of its blocks changes.
    """
    counts_samples = (frame.time_base or clock(source.stream)) * frame.sample_rate == 1
    marked = "mp4" in source.container.format.name and counts_samples and frame.duration
    return max(0, frame.samples - frame.duration) if marked else 0
