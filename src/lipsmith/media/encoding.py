"""What a film's encoders are told: colors, clock, chapters, and sound at a rate that AAC has."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from lipsmith.media.color import HDR_TRANSFERS, ColorTags, can_write
from lipsmith.media.keeping import Chapter
from lipsmith.media.sound import Sound, resample

if TYPE_CHECKING:
    from av.container.core import Chapter as AVChapter
    from numpy.typing import NDArray

    from lipsmith.media.probing import VideoInfo

_AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
_BLOCK = 16384  # samples of an array that are encoded at a time
_CLOCK = 90_000  # ticks a second, the finest that players are used to


def tags_like(like: VideoInfo | None) -> ColorTags:
    """The source's own declaration; that of high definition where the source was a picture or RGB."""
    if like is None or like.is_still or not like.pixel_format.startswith(("yuv", "nv", "p0", "p2")):
        return ColorTags()
    if not can_write(like.colorspace) or like.transfer in HDR_TRANSFERS:
        return ColorTags()
    return ColorTags(like.color_range, like.colorspace, like.primaries, like.transfer)


def libav_chapter(number: int, chapter: Chapter) -> AVChapter:
    """A chapter as libav takes it, to the millisecond."""
    milliseconds = (round(1000 * chapter.start), round(1000 * chapter.end))
    return {
        "id": number,
        "start": milliseconds[0],
        "end": max(milliseconds[1], milliseconds[0] + 1),
        "time_base": Fraction(1, 1000),
        "metadata": {"title": chapter.title},
    }


def tick_of(rate: Fraction) -> Fraction:
    """A time base in which every frame of a constant rate falls on a tick, as fine as 90 kHz."""
    if rate.numerator > _CLOCK:
        return Fraction(1, _CLOCK)
    return Fraction(1, rate.numerator * -(-_CLOCK // rate.numerator))


def sound_of(audio: NDArray[np.float32] | None, rate: int) -> Sound | None:
    """Samples (n,) or (channels, n) in blocks; None where there are none."""
    if audio is None or audio.shape[-1] == 0:
        return None
    channels = np.atleast_2d(audio).astype(np.float32, copy=False)
    starts = range(0, channels.shape[1], _BLOCK)
    return Sound(rate, len(channels), (channels[:, start : start + _BLOCK] for start in starts))


def writable(sound: Sound | None) -> Sound | None:
    """The sound at a rate that AAC has."""
    if sound is None or sound.rate in _AAC_RATES:
        return sound
    rate = min((rate for rate in _AAC_RATES if rate >= sound.rate), default=48000)
    return replace(sound, rate=rate, blocks=resample(sound.blocks, sound.rate, rate, sound.channels))
