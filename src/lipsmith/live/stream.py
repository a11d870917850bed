"""Encodes a session as fragmented MP4 (H.264 and AAC), which Media Source Extensions play while it arrives."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import av
import numpy as np
from numpy.typing import NDArray

from lipsmith import __version__
from lipsmith.errors import UsageError
from lipsmith.media.color import PIXEL_FORMAT, ColorTags, RGBToFrame
from lipsmith.media.container import CLOCK, synthetic_metadata
from lipsmith.media.sound import Resampler, to_frame

if TYPE_CHECKING:
    from lipsmith.live.session import LiveFrame

MIME: Final = 'video/mp4; codecs="avc1.42E01F, mp4a.40.2"'
"""Argument of `MediaSource.addSourceBuffer`; players read the exact level from the stream."""
SOUND_RATE: Final = 48000
"""Audio rate of the stream, in Hz: an AAC frame lasts 21 ms; at 16 kHz it would last 64 ms."""
_KEY_SECONDS: Final = 2  # longest wait of a player that joins or lost data
_OPTIONS: Final = {"preset": "ultrafast", "tune": "zerolatency", "profile": "baseline", "crf": "20"}
# With the flag frag_every_frame, the muxer gives a fragment the time of the next one.
_SETTINGS: Final = {"movflags": "empty_moov+default_base_moof+skip_trailer", "frag_duration": "1000"}
_PRIMING: Final = 1024  # samples of encoder delay in AAC; the whole stream is shifted by them


class FragmentedMP4:
    """Encodes the frames of a session as one MP4 stream, one fragment per frame."""

    def __init__(self, width: int, height: int, frame_rate: float, sound_rate: int, model: str) -> None:
        """`width` and `height` in pixels, `frame_rate` in frames per second, `sound_rate` in Hz.

        `model`: its name, for the metadata.
        """
        self._buffer = _Buffer()
        self._container = av.open(self._buffer, "w", format="mp4", container_options=_SETTINGS)
        self._container.metadata.update(synthetic_metadata(f"lipsmith {__version__}", model))
        tags = ColorTags()
        self._to_frame = RGBToFrame(tags, width, height)
        rate = Fraction(frame_rate).limit_denominator(100_000)
        self._video = self._container.add_stream("libx264", rate=rate, options=_OPTIONS)
        self._video.width, self._video.height = width + width % 2, height + height % 2
        self._video.pix_fmt = PIXEL_FORMAT
        self._duration = round(CLOCK / frame_rate)
        context = self._video.codec_context
        context.gop_size = round(_KEY_SECONDS * frame_rate)
        self._video.time_base = context.time_base = Fraction(1, CLOCK)
        context.color_range, context.colorspace = tags.range, tags.matrix
        self._sound = self._container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        self._resampler = Resampler(sound_rate, SOUND_RATE)
        self._samples = _PRIMING
        self._is_closed = False

    def add(self, frame: LiveFrame) -> bytes:
        """Encode a frame with its sound and return the new bytes; the first call returns the header as well.

        Raises `UsageError` once the stream is closed.
        """
        if self._is_closed:
            raise UsageError("The stream is closed; open another one for more frames.")
        picture = self._to_frame(frame.image)
        picture.pts = round((frame.time + _PRIMING / SOUND_RATE) * CLOCK)
        picture.time_base = Fraction(1, CLOCK)
        self._mux(self._video.encode(picture))
        self._add_sound(self._resampler(frame.sound[None]))
        return self._buffer.take()

    def close(self) -> bytes:
        """Finish the stream and return the last bytes: none if it is closed already."""
        if self._is_closed:
            return b""
        self._is_closed = True
        self._mux(self._video.encode(None))
        self._add_sound(self._resampler.end())
        self._mux(self._sound.encode(None))
        self._container.close()
        return self._buffer.take()

    def _add_sound(self, blocks: Sequence[NDArray[np.float32]]) -> None:
        for block in blocks:
            self._mux(self._sound.encode(to_frame(block, SOUND_RATE, self._samples)))
            self._samples += block.shape[1]

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = packet.duration or self._duration
            self._container.mux(packet)


class _Buffer(io.RawIOBase):
    """Collects the output of the muxer until `take`."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        self._bytes += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._bytes)
        self._bytes.clear()
        return taken
