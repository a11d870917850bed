"""Writes frames and sound into a film: H.264 and AAC in MP4, QuickTime or Matroska."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import av
import numpy as np

from lipsmith.disk import not_written
from lipsmith.errors import LipsmithError, UsageError
from lipsmith.files import hidden_beside, put
from lipsmith.media.background import Background, with_background
from lipsmith.media.color import PIXEL_FORMAT, ColorTags, Picture, RGBToFrame
from lipsmith.media.container import Chapter, DecodingOrder, libav_chapter, open_input, tick_of
from lipsmith.media.sound import Sound, to_frame, until, with_aac_rate

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container.output import OutputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

    from lipsmith.media.probing import VideoInfo

_LOG = logging.getLogger(__name__)

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}

_UP_TO_AVX2 = "MMX2,SSE2,SSE2Fast,SSSE3,SSE4.1,SSE4.2,AVX,FMA3,BMI1,BMI2,AVX2"
_SOUND_LEAD = 1.0  # seconds by which the sound is written ahead of the picture
_DELAYED_PACKETS = 8  # packets; they include the last frames, whose duration is known only at the end of the film
# Keys that players support; MP4 stores any other key only in a form that these players ignore. QuickTime has fewer.
_KNOWN_KEYS = {"title", "artist", "album", "comment", "description", "synopsis", "genre", "date", "copyright"}


class VideoWriter:
    """Writes a film to a temporary file next to its destination and renames it once it is complete.

    A context manager: an exception, including Ctrl-C, leaves no file behind. The film plays everywhere: 8-bit H.264
    with 4:2:0 chroma, for which the last column or row of an odd side is repeated. The sound is written to its last
    sample, regardless of the number of frames; the caller is responsible for their lengths.
    """

    def __init__(
        self,
        path: Path | str,
        width: int,
        height: int,
        rate: Fraction | float,
        *,
        sound: Sound | None = None,
        background: Background | None = None,
        metadata: Mapping[str, str] | None = None,
        like: VideoInfo | None = None,
        end: float | None = None,
        cut: bool = False,
        chapters: Sequence[Chapter] = (),
        language: str | None = None,
        crf: int = 18,
        overwrite: bool = True,
        part_of: Path | None = None,
    ) -> None:
        """Checks the request; the file is opened on entering the context.

        Args:
            path: ends in .mp4, .m4v, .mov or .mkv; a part may have any suffix.
            width, height, rate: pixels; frames a second, on average if frames have times.
            sound: written at its own rate, or the next that AAC supports.
            background: sound to mix under it, to the end of the film.
            metadata: tags to store; `probe` reads them back.
            like: a film whose color tags and pixel aspect ratio the result declares.
            end: end of the last frame in seconds; None for one interval of `rate`.
            cut, chapters: whether the sound, too, ends at `end`; parts of the film to name.
            language: of the sound, in three letters of ISO 639-2; None for that of its file.
            crf: x264's quality, 0 (lossless) to 51.
            overwrite: whether an existing file is replaced at the end.
            part_of: the film to which another writer will `append` this one; messages name it.

        Raises:
            UsageError: suffix or path are invalid for a film.
            InputError: the background cannot be read or has no sound.
        """
        self.path = Path(path) if part_of else check_path(Path(path))
        self._part_of, self._reported_path = part_of, part_of or self.path
        self._size = (width, height)
        self._rate = Fraction(rate).limit_denominator(100_000)
        sound = with_background(sound, background, end or 0.0) if sound and background else sound
        self._sound = with_aac_rate(until(sound, end) if sound and cut and end is not None else sound)
        self._metadata = dict(metadata or {})
        self._like, self._end, self._chapters, self._language = like, end, chapters, language
        self._options = {"crf": str(crf), **_x264()}
        self._overwrite, self._hidden = overwrite, ExitStack()
        self._frames, self._last, self._samples_written = 0, -1, 0
        self._first_decoded: int | None = None
        self._delayed: deque[Packet[Any]] = deque()
        self._tick = tick_of(self._rate)
        self._order = DecodingOrder(round(1 / self._rate / self._tick))

    def __enter__(self) -> Self:
        try:
            self._temporary = self._hidden.enter_context(hidden_beside(self.path))
        except OSError as error:
            folder = self.path.absolute().parent
            raise UsageError(f"{folder} cannot be written to ({error.strerror}); choose another folder.") from error
        try:
            self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, image: Picture, time: float | None = None) -> None:
        """Adds a frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: seconds from the start of the film, increasing; None for frame number divided by rate.

        Raises:
            LipsmithError: the disk is full, or the encoder rejects the size or the rate.
        """
        if image.shape != (self._size[1], self._size[0], 3) or getattr(image, "dtype", np.uint8) != np.uint8:
            found = f"{getattr(image, 'dtype', 'uint8')} of {image.shape}"
            raise ValueError(f"the film is {self._size[0]} x {self._size[1]} RGB uint8, but the frame is {found}")
        seconds = self._frames / self._rate if time is None else Fraction(float(time))
        stamp = max(self._last + 1, round(seconds / self._tick))
        frame = self._to_frame(image)
        frame.pts, frame.time_base = stamp, self._tick
        with self._disk_errors():
            self._mux(self._video.encode(frame))
            self._write_sound(float(seconds) + _SOUND_LEAD)
        self._frames, self._last = self._frames + 1, stamp

    def append(self, part: Path, begin: float) -> None:
        """Adds the frames of a film that was written as part of this one, without encoding them again.

        `part` has the same size, rate and options; its first frame is shown `begin` seconds after this film's. Raises
        `LipsmithError` if the disk is full, or the part was encoded differently.
        """
        shift = None
        with self._disk_errors(), open_input(part) as container:
            self._container.start_encoding()
            source = container.streams.video[0]
            if source.codec_context.extradata != self._video.codec_context.extradata:
                raise LipsmithError(f"{self.path}: a part was encoded differently; remove {part.parent}.")
            for packet in container.demux(source):
                if not packet.size:
                    continue
                stamp = round((packet.pts or 0) * packet.time_base / self._tick)
                # The first packet is the one shown first; its stamp makes room for decoding ahead.
                shift = max(self._last + 1, round(Fraction(begin) / self._tick)) - stamp if shift is None else shift
                shown = stamp + shift
                packet.stream, packet.time_base, packet.duration = self._video, self._tick, 0
                packet.pts, packet.dts = shown, self._order.decoding_time(shown)
                self._mux([packet])
                self._write_sound(float(shown * self._tick) + _SOUND_LEAD)
                self._frames, self._last = self._frames + 1, max(self._last, shown)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        try:
            self._finish()
        except BaseException:
            self._discard()
            raise
        self._hidden.close()

    def _open(self) -> None:
        # NUT keeps every stamp and the packets as the encoder made them.
        container_format = "nut" if self._part_of else CONTAINERS[self._temporary.suffix]
        plain = container_format == "mp4" and set(self._metadata) <= _KNOWN_KEYS
        flags = "+faststart" if plain else "+faststart+use_metadata_tags"
        self._container: OutputContainer = av.open(
            str(self._temporary.absolute()),
            "w",
            format=container_format,
            container_options={} if container_format in ("matroska", "nut") else {"movflags": flags},
        )
        self._container.metadata.update(self._metadata)
        self._container.set_chapters([libav_chapter(number, part) for number, part in enumerate(self._chapters)])
        tags = self._like.tags if self._like else ColorTags()
        self._to_frame = RGBToFrame(tags, *self._size)
        self._video = self._add_video(tags)
        self._audio = self._add_audio(self._sound) if self._sound else None

    def _add_video(self, tags: ColorTags) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._rate, options=self._options)
        width, height = self._size
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, PIXEL_FORMAT
        if (stream.width, stream.height) != self._size and not self._part_of:
            sides = ["column"] * (width % 2) + ["row"] * (height % 2)
            repeated = f"{' and '.join(sides)} {'is' if len(sides) == 1 else 'are'}"
            size = f"{stream.width} x {stream.height}"
            _LOG.info("%s is %s: players need even sides, so the last %s repeated.", self.path, size, repeated)
        context = stream.codec_context
        stream.time_base = context.time_base = self._tick
        context.color_range, context.colorspace = tags.range, tags.matrix
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        if self._like is not None:
            context.sample_aspect_ratio = self._like.sample_aspect
        return stream

    def _add_audio(self, sound: Sound) -> AudioStream:
        stream = self._container.add_stream("aac", rate=sound.rate, layout=("mono", "stereo")[sound.channels - 1])
        if language := self._language or sound.language:
            stream.metadata["language"] = language
        stream.bit_rate = sound.channels * min(96_000, 4 * sound.rate)
        return stream

    def _mux(self, packets: list[Packet[Any]], keep: int = _DELAYED_PACKETS) -> None:
        """Write encoded packets, except for the last `keep`."""
        if packets and self._first_decoded is None:
            self._first_decoded = packets[0].dts
        self._delayed.extend(packets)
        while len(self._delayed) > keep:
            packet = self._delayed.popleft()
            # The last frame would otherwise end where it begins, and the film one frame early.
            packet.duration = packet.duration or round(1 / self._rate / packet.time_base)
            self._container.mux(packet)

    def _end_video(self) -> None:
        """Write the delayed packets; the last frame lasts until the end of the film."""
        self._mux(self._video.encode(None))
        if self._end is not None:
            shown, decoded = max(self._delayed, key=lambda packet: packet.pts or 0), self._delayed[-1]
            end = round(self._end / shown.time_base)
            shown.duration = max(1, end - (shown.pts or 0))
            if self.path.suffix.lower() != ".mkv":
                # MP4 ends with the display or the decoding times, whichever end first, and the two differ.
                lasting = end - (decoded.dts or 0) + (self._first_decoded or 0)
                decoded.duration = max(decoded.duration or 1, lasting)
        self._mux([], keep=0)

    def _write_sound(self, until: float) -> None:
        if self._sound is None or self._audio is None:
            return
        while self._samples_written < until * self._sound.rate:
            if (block := next(self._sound.blocks, None)) is None:
                break
            self._container.mux(self._audio.encode(to_frame(block, self._sound.rate, self._samples_written)))
            self._samples_written += block.shape[1]

    def _finish(self) -> None:
        if not self._frames:
            raise LipsmithError(f"{self._reported_path} was not written, because there was no frame to write.")
        with self._disk_errors():
            self._end_video()
            self._write_sound(float("inf"))
            if self._audio is not None:
                self._container.mux(self._audio.encode(None))
            self._container.close()
            put(self._temporary, self.path, self._overwrite)

    def _discard(self) -> None:
        if hasattr(self, "_container"):
            with suppress(av.FFmpegError, OSError):
                self._container.close()
        self._hidden.close()

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            raise not_written(self._reported_path, error) from error


def check_path(path: Path) -> Path:
    """The path itself. Raises UsageError if a film cannot have this path."""
    if os.path.isdir(path):  # noqa: PTH112 - Path's fails at long names
        raise UsageError(f"{path} is a folder; name the film in it, such as {path / 'dubbed.mp4'}.")
    if path.suffix.lower() not in CONTAINERS:
        raise UsageError(f"{path}: the result must end in {', '.join(CONTAINERS)}.")
    return path


@cache
def _x264() -> dict[str, str]:
    """x264's options, with which a film is encoded alike on every machine."""
    # With them, films are about as large as those of `veryfast`, 0.3 to 0.8 dB worse, in 0.5 to 0.7 of its time.
    tuning = ["mbtree=1", "rc-lookahead=10"]
    with suppress(OSError):  # with AVX-512, the macroblock tree of x264 (build 165) reads uninitialized memory
        if "avx512bw" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace"):
            tuning.append(f"asm={_UP_TO_AVX2}")
    # libav would cut pictures into a slice per core, which makes films larger.
    return {"preset": "superfast", "x264-params": ":".join(tuning), "thread_type": "frame", "threads": "2"}
