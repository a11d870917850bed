"""Properties of an upload, read from its headers, and thumbnails of its faces."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2

from lipsmith.errors import InputError
from lipsmith.media import open_sound, probe, read_frames
from lipsmith.media.container import OpenStream, audio_stream, clock, open_input, seconds, video_stream
from lipsmith.media.decoding import packets
from lipsmith.speech.mel import empty_sound

if TYPE_CHECKING:
    import numpy as np
    from av.audio.stream import AudioStream
    from av.video.stream import VideoStream
    from numpy.typing import NDArray

    from lipsmith import Face

_THUMBNAIL_SIZE: Final = 160
_MAX_THUMBNAILS: Final = 40
_DECLARING_ENDS: Final = ("matroska,webm", "ogg")
"""Formats that declare when a stream ends on the file's clock, not how long it lasts."""
_PICTURES: Final = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "JPEG2000", "AVIF", "HEIF", "GIF")


def inspect(path: Path, max_pixels: int, max_minutes: float) -> dict[str, Any]:
    """Kind (film, picture or sound), duration, size and frame rate of an upload, and whether it has sound.

    Raises `InputError` for other files and for sounds without samples, and for those that are too large or too long,
    before any picture is decoded.
    """
    size = _picture_size(path)
    if size is not None:
        _check_pixels(path, *size, max_pixels)
        if (info := probe(path)).is_still:
            return {"kind": "picture", "width": info.width, "height": info.height, "sound": False}
    with open_input(path) as container:
        picture, sound = video_stream(container), audio_stream(container)
        if picture is not None:
            _check_pixels(path, picture.codec_context.width, picture.codec_context.height, max_pixels)
        stream = picture or sound
        if stream is None:
            raise InputError(f"{path} contains no picture or sound that can be decoded; choose another file.")
        duration = _duration(OpenStream(path, container, stream))
    if duration > 60 * max_minutes:
        raise InputError(f"{path} lasts {duration / 60:.1f} minutes; the limit is {max_minutes:g}, so shorten it.")
    if picture is None:
        if next(open_sound(path).blocks, None) is None:
            raise empty_sound(path)
        return {"kind": "sound", "seconds": duration, "sound": True}
    info = probe(path)
    return {
        "kind": "picture" if info.is_still else "film",
        "seconds": None if info.is_still else duration,
        "width": info.width,
        "height": info.height,
        "rate": float(info.rate),
        "sound": info.has_audio,
    }


def describe_faces(path: Path, faces: Sequence[Face], times: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Number, shot, times, position and size of every face, with thumbnails of the first 40.

    `times`: seconds, when each frame of the film starts.
    """
    return [
        {
            "number": face.number,
            "shot": face.shot,
            "start": round(face.seconds[0], 3),
            "end": round(face.seconds[1], 3),
            "frames": len(face.frames),
            "width": round(face.size),
            "x": round(face.place[0]),
            "y": round(face.place[1]),
            "thumbnail": _thumbnail(path, face, times) if index < _MAX_THUMBNAILS else None,
        }
        for index, face in enumerate(faces)
    ]


def _picture_size(path: Path) -> tuple[int, int] | None:
    """Width and height from the header of a picture; None for films and sounds."""
    from pi_heif import register_heif_opener
    from PIL import Image

    register_heif_opener()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about large pictures, which are checked here
        try:
            with Image.open(path, formats=_PICTURES) as picture:
                return picture.size
        except Image.DecompressionBombError as error:
            raise InputError(f"{path} has too many pixels; make it smaller.") from error
        except Exception:  # of any type for other and damaged files
            return None


def _check_pixels(path: Path, width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        limit = max_pixels / 1e6
        raise InputError(f"{path} has {width} x {height} pixels; the limit is {limit:.1f} million, so shrink it.")


def _duration(source: OpenStream[VideoStream | AudioStream]) -> float:
    """Seconds from the header, or from the packets where it has none above 0, as in recordings of browsers."""
    container, stream = source.container, source.stream
    if stream.duration and stream.duration > 0:
        declared = float(stream.duration * clock(stream))
    elif container.duration and container.duration > 0:
        declared = container.duration / 1e6
    else:
        times = [time for packet in packets(source) if (time := seconds(packet, stream)) is not None]
        return max(times) - min(times) if times else 0.0
    begin = float((stream.start_time or 0) * clock(stream)) if container.format.name in _DECLARING_ENDS else 0.0
    return declared - begin if 0 < begin < declared else declared


def _thumbnail(path: Path, face: Face, times: NDArray[np.float64]) -> str | None:
    """A JPEG of the face, in the middle one of the frames that show it, as a data URL; None where none is decoded."""
    from lipsmith.face.crop import crop_image

    # The first frame stands in for one that was decoded from the start but is not after a jump to it.
    for row in (len(face.frames) // 2, 0):
        if (frame := next(read_frames(path, times[face.frames[row]]), None)) is not None:
            break
    else:
        return None
    crop = crop_image(frame.image, face.transforms[row], _THUMBNAIL_SIZE)
    _, encoded = cv2.imencode(".jpg", crop[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
