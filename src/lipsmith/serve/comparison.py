"""The original footage, synchronized with its dub, for the comparison slider of the page.

It is the upload itself if browsers can play it; otherwise the dub writes the frames it decodes to a small film.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.files import write_whole
from lipsmith.media import Frame, VideoWriter, open_sound, probe, read_frames
from lipsmith.media.color import FULL, LIMITED, PIXEL_FORMAT, FilmedPicture, Picture
from lipsmith.media.container import CLOCK, open_input
from lipsmith.media.sound import to_frame
from lipsmith.progress import Progress

if TYPE_CHECKING:
    from lipsmith import Clip, Result
    from lipsmith.dubbing.source import Footage, Source, Timeline

_MAX_SIDE: Final = 640
_BT601: Final = 5
"""The matrix of OpenCV's conversion."""
_SOUND_RATE: Final = 48_000


def write_before(clip: Clip, result: Result, path: Path) -> Result:
    """Write the original footage to `path`: now, or while the returned result is saved."""
    info, timeline = clip.source.footage.info, result.timeline
    path.unlink(missing_ok=True)
    if info is not None and _plays_from_start(clip, timeline) and _is_playable(info.path):
        with suppress(OSError):  # some file systems have no hard links
            os.link(info.path, path)
            return result
    recording = RecordingSource(clip.source, timeline, path, float(clip.times[0]))
    return replace(result, clip=replace(result.clip, source=recording))


def _plays_from_start(clip: Clip, timeline: Timeline) -> bool:
    """Whether the timeline starts at the first frame of the file and plays it once, at its own speed."""
    return clip.times[0] == 0 and timeline.speed == 1 and np.array_equal(timeline.index, np.arange(len(timeline)))


def _is_playable(path: Path) -> bool:
    """Whether every browser plays a film: MP4 with one 8-bit 4:2:0 H.264 stream and at most one AAC stream."""
    with open_input(path) as container:
        pictures, sounds = container.streams.video, container.streams.audio
        return (
            "mp4" in container.format.name
            and [stream.codec_context.name for stream in pictures] == ["h264"]
            and pictures[0].codec_context.pix_fmt in (PIXEL_FORMAT, "yuvj420p")
            and [stream.codec_context.name for stream in sounds] in ([], ["aac"])
        )


class RecordingSource:
    """A source that also writes each frame it yields to a small film at `path`."""

    def __init__(self, source: Source, timeline: Timeline, path: Path, start: float) -> None:
        """`start`: the time in the footage, in seconds, at which the film begins."""
        self.footage: Footage = source.footage
        self._source, self._timeline, self._path, self._start = source, timeline, path, start

    def frames(self) -> Iterator[Frame]:
        """Every frame in order."""
        return self._source.frames()

    def show(self, order: NDArray[np.intp], times: NDArray[np.float64]) -> Iterator[Picture]:
        """The images of the source frames `order`, shown at `times`."""
        with write_whole(self._path) as part, av.open(str(part), "w", options={"movflags": "+faststart"}) as film:
            stream: Any = film.add_stream("libx264", options={"preset": "ultrafast", "crf": "25", "threads": "1"})
            context = stream.codec_context
            context.pix_fmt, context.time_base = PIXEL_FORMAT, Fraction(1, CLOCK)
            if self.footage.info is not None:
                context.sample_aspect_ratio = self.footage.info.sample_aspect
            sound = self._add_sound(film)
            for number, image in enumerate(self._source.show(order, times)):
                frame = _scaled_frame(image)
                if not number:
                    stream.height, stream.width = frame.height, frame.width
                    context.color_range, context.colorspace = frame.color_range, frame.colorspace
                frame.pts = round(float(self._timeline.times[number]) * CLOCK)
                frame.time_base = Fraction(1, CLOCK)
                film.mux(stream.encode(frame))
                yield image
            film.mux(stream.encode(None))
            if sound is not None:
                self._write_sound(film, sound)

    def _add_sound(self, film: Any) -> Any:  # noqa: ANN401 - PyAV's types of streams
        info = self.footage.info
        if info is None or not info.has_audio:
            return None
        return film.add_stream("aac", rate=_SOUND_RATE, layout="mono", options={"aac_coder": "fast"})

    def _write_sound(self, film: Any, stream: Any) -> None:  # noqa: ANN401
        info = self.footage.info
        assert info is not None
        position, last = -round(self._start * _SOUND_RATE), round(self._timeline.end * _SOUND_RATE)
        with suppress(InputError):  # the dub does without the footage's sound, so damage to it is no reason to fail
            for block in open_sound(info.path, _SOUND_RATE).blocks:
                mono = block.mean(0, keepdims=True, dtype=np.float32)
                mono = mono[:, max(0, -position) :][:, : max(0, last - position)]
                begin, position = max(0, position), position + block.shape[1]
                if mono.size:
                    film.mux(stream.encode(to_frame(mono, _SOUND_RATE, begin)))
                if position >= last:
                    break
        film.mux(stream.encode(None))


def join_sides(before: Path, after: Path, path: Path, progress: Progress) -> None:
    """Write the synchronized films `before` and `after` side by side to `path`, each as large as `before`."""
    left, right = probe(before), probe(after)
    frames = zip(read_frames(before), read_frames(after), strict=False)
    with VideoWriter(
        path,
        2 * left.width,
        left.height,
        right.rate,
        sound=open_sound(after, whole=True),
        metadata=right.metadata,
        like=left,
        end=right.duration,
    ) as film:
        for one, other in frames:
            fitted = cv2.resize(np.asarray(other.image), (left.width, left.height), interpolation=cv2.INTER_AREA)
            film.write(np.hstack([np.asarray(one.image), np.asarray(fitted, np.uint8)]), other.time)
            progress(other.index + 1, right.frames or 0)


def _scaled_frame(image: Picture) -> VideoFrame:
    """A frame with even sides of at most 640 pixels, scaled from the decoded YUV planes where there are any."""
    if isinstance(image, FilmedPicture):
        planes, tags = [image.plane(number) for number in range(3)], (FULL if image.full else LIMITED, image.matrix)
    else:
        planes, tags = _yuv_planes(image), (LIMITED, _BT601)
    height, width = planes[0].shape
    # An integer factor: averaging whole pixels is several times faster than other scaling, and most films need none.
    factor = -(-max(height, width) // _MAX_SIDE)
    sides = (max(2, width // factor // 2 * 2), max(2, height // factor // 2 * 2))
    scaled = [
        _resized(plane, sides[0] // step, sides[1] // step) for plane, step in zip(planes, (1, 2, 2), strict=True)
    ]
    packed = np.concatenate([plane.ravel() for plane in scaled]).reshape(-1, sides[0])
    frame = VideoFrame.from_ndarray(packed, format=PIXEL_FORMAT)
    frame.color_range, frame.colorspace = tags
    return frame


def _yuv_planes(image: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Luma (H, W) and two chroma planes (H / 2, W / 2) of RGB, without an odd last row or column."""
    height, width = (side // 2 * 2 for side in image.shape[:2])
    packed = np.asarray(cv2.cvtColor(np.ascontiguousarray(image[:height, :width]), cv2.COLOR_RGB2YUV_I420), np.uint8)
    return [packed[:height], *packed[height:].reshape(2, height // 2, width // 2)]


def _resized(plane: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    if plane.shape == (height, width):
        return plane
    return np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
