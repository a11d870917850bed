"""RGB from any decoded frame and back, by the range and matrix that the file declares.

A film that declares no matrix is read as BT.709 in high definition and as BT.601 below that, as players do, so a copy
that also declares none is shown in the same colors.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

LIMITED, FULL = 1, 2
BT709, UNSPECIFIED = 1, 2
PIXEL_FORMAT: Final = "yuv420p"
"""The one that every player of H.264 knows."""
HDR_TRANSFERS: Final = {16: "PQ", 18: "HLG"}
"""Transfer functions of high dynamic range, by code point in H.273."""

_TO_SDR: Final = {"dst_color_trc": BT709, "dst_color_primaries": BT709}  # swscale maps tones if these differ

_BT601 = 5
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    _BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}  # of red and blue
_SWSCALE_MATRIX = {BT709: 1, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9, 10: 9}
# SWS_BILINEAR, SWS_ACCURATE_RND and SWS_FULL_CHR_H_INT, which PyAV names only since version 18. Without the last two,
# swscale rounds green down by up to two levels and interpolates chroma at half the width.
_EXACT = 2 | 0x40000 | 0x2000


_mappers = threading.local()


@dataclass(frozen=True)
class ColorTags:
    """The color properties that a film declares, as code points of ITU-T H.273 (`range` as in libav)."""

    range: int = LIMITED
    matrix: int = BT709
    primaries: int = BT709
    transfer: int = BT709


def can_write(matrix: int) -> bool:
    """Whether `RGBToFrame` supports a declared matrix; YCgCo and other rare ones are read as undeclared."""
    return matrix == UNSPECIFIED or matrix in _SWSCALE_MATRIX


def _matrix(declared: int, width: int, height: int) -> int:
    high_definition = max(width, height) >= 1280 or min(width, height) > 576
    return _SWSCALE_MATRIX.get(declared, BT709 if high_definition else _BT601)


class FrameToRGB:
    """Converts decoded frames to RGB of one size."""

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        """`size`: width and height of the output; those of the first frame if None."""
        self._scaler = VideoReformatter()
        self._size = size

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, before rotation."""
        self._size = self._size or (frame.width, frame.height)
        alpha = _has_alpha(frame)
        matrix = _matrix(frame.colorspace, frame.width, frame.height)
        hdr = frame.color_trc in HDR_TRANSFERS
        scaled = (_tone_mapper() if hdr else self._scaler).reformat(
            frame,
            width=self._size[0],
            height=self._size[1],
            format="rgba" if alpha else "rgb24",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL if is_full_range(frame) else LIMITED,
            dst_color_range=FULL,
            interpolation=_EXACT,
            **(_TO_SDR if hdr else {}),
        )
        rgb = np.ascontiguousarray(scaled.to_ndarray(), dtype=np.uint8)
        return over_white(rgb) if alpha else rgb


def _has_alpha(frame: VideoFrame) -> bool:
    return frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)


def _tone_mapper() -> VideoReformatter:
    """One per thread, because its color table takes seconds to compute and a film is read in many stretches."""
    if not hasattr(_mappers, "scaler"):
        _mappers.scaler = VideoReformatter()
    return cast("VideoReformatter", _mappers.scaler)


def is_transparent(frame: VideoFrame) -> bool:
    """Whether any pixel of a frame is transparent."""
    if not _has_alpha(frame):
        return False
    return bool(frame.reformat(format="rgba").to_ndarray()[..., 3].min() < 255)


def over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGBA (H, W, 4) composited over white, (H, W, 3)."""
    alpha = rgba[..., 3:].astype(np.uint16)
    blended = rgba[..., :3] * alpha + 255 * (255 - alpha)
    return ((blended + 127) // 255).astype(np.uint8)


def is_full_range(frame: VideoFrame) -> bool:
    """Whether black is 0 and white the largest code, as always in RGB and the JPEG formats."""
    by_format = frame.format.is_rgb or frame.format.name.startswith(("yuvj", "pal"))
    return frame.color_range == FULL or by_format


class RGBToFrame:
    """Converts RGB to frames of `PIXEL_FORMAT` with the given tags; the inverse of `FrameToRGB`.

    It does not use swscale, whose full-range chroma is half a level too low, which shifts blue and red by one level.
    """

    def __init__(self, tags: ColorTags, width: int, height: int) -> None:
        """`width`, `height`: of the pictures; odd sides grow by one pixel, because 4:2:0 chroma needs even sides."""
        self._tags = tags
        self._from_rgb = _rgb_to_yuv(_matrix(tags.matrix, width, height), tags.range == FULL)
        self._more = (height % 2, width % 2)

    def __call__(self, image: NDArray[np.uint8]) -> VideoFrame:
        """`image`: (H, W, 3) uint8."""
        if any(self._more):
            image = np.pad(image, [(0, self._more[0]), (0, self._more[1]), (0, 0)], "edge")
        packed = cv2.transform(np.ascontiguousarray(image), self._from_rgb)
        planes = [np.asarray(plane, np.uint8) for plane in cv2.split(packed)]
        frame = VideoFrame.from_ndarray(_subsampled(planes), format=PIXEL_FORMAT)
        frame.color_range, frame.colorspace = self._tags.range, self._tags.matrix
        frame.color_primaries, frame.color_trc = self._tags.primaries, self._tags.transfer
        return frame


def _rgb_to_yuv(swscale_matrix: int, full: bool) -> NDArray[np.float64]:
    """(3, 4): RGB in 0..255 to the codes of luma and chroma (ITU-T H.273, equations 38 to 43)."""
    red, blue = _LUMA_WEIGHTS[swscale_matrix]
    luma = np.array([red, 1.0 - red - blue, blue])
    blueness = (np.array([0.0, 0.0, 1.0]) - luma) / (2.0 - 2.0 * blue)
    redness = (np.array([1.0, 0.0, 0.0]) - luma) / (2.0 - 2.0 * red)
    scale = np.ones(3) if full else np.array([219.0, 224.0, 224.0]) / 255.0
    offset = np.array([0.0 if full else 16.0, 128.0, 128.0])
    return np.column_stack([np.stack([luma, blueness, redness]) * scale[:, None], offset])


# H.264 sites chroma in the column of every other pixel and between two rows. The plain mean of four pixels lies half a
# pixel to the right, so colors would shift by that with every copy.
_SITED = np.array([[1, 2, 1], [1, 2, 1]], np.float32) / 8


def _subsampled(planes: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Three planes (H, W) to the one (3 H / 2, W) in which PyAV takes 4:2:0."""
    height, width = planes[0].shape
    smoothed = [cv2.filter2D(plane, -1, _SITED, anchor=(1, 0), borderType=cv2.BORDER_REPLICATE) for plane in planes[1:]]
    chroma = [np.asarray(plane, np.uint8)[::2, ::2].ravel() for plane in smoothed]
    return np.concatenate([planes[0].ravel(), *chroma]).reshape(height * 3 // 2, width)
