"""RGB from any decoded frame and back, by the range and matrix that the file declares.

A film that declares no matrix is read as BT.709 when it is of high definition and as BT.601 when smaller,
as players do, so a copy that declares nothing either is shown in the same colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNSPECIFIED_RANGE, LIMITED, FULL = 0, 1, 2
RGB, BT709, UNSPECIFIED = 0, 1, 2

_BT601 = 5
_SWSCALE_MATRIX = {BT709: 1, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9, 10: 9}
# Without these flags swscale rounds green down by up to two levels and halves chroma once more.
_EXACT = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


@dataclass(frozen=True)
class ColorTags:
    """What a film declares about its colours, in the code points of ITU-T H.273 (`range` in libav's)."""

    range: int = LIMITED
    matrix: int = BT709
    primaries: int = BT709
    transfer: int = BT709


def _matrix(declared: int, width: int, height: int) -> int:
    high_definition = max(width, height) >= 1280 or min(width, height) > 576
    return _SWSCALE_MATRIX.get(declared, BT709 if high_definition else _BT601)


class FrameToRGB:
    """Turns decoded frames into RGB of one size, that of the first frame."""

    def __init__(self) -> None:
        self._scaler = VideoReformatter()
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """(H, W, 3) uint8, before rotation."""
        self._size = self._size or (frame.width, frame.height)
        alpha = frame.format.name in _WITH_ALPHA or _has_alpha(frame)
        matrix = _matrix(frame.colorspace, frame.width, frame.height)
        rgb = self._scaler.reformat(
            frame,
            width=self._size[0],
            height=self._size[1],
            format="rgba" if alpha else "rgb24",
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL if is_full_range(frame) else LIMITED,
            dst_color_range=FULL,
            interpolation=_EXACT,
        ).to_ndarray()
        return _over_white(rgb) if alpha else np.ascontiguousarray(rgb, dtype=np.uint8)


_WITH_ALPHA = {"pal8"}


def _has_alpha(frame: VideoFrame) -> bool:
    return any(component.is_alpha for component in frame.format.components)


def _over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[..., 3:].astype(np.uint16)
    blended = rgba[..., :3] * alpha + 255 * (255 - alpha)
    return ((blended + 127) // 255).astype(np.uint8)


def is_full_range(frame: VideoFrame) -> bool:
    """Whether black is 0 and white the largest code; RGB and the JPEG formats always are."""
    by_format = frame.format.is_rgb or frame.format.name.startswith(("yuvj", "pal"))
    return frame.color_range == FULL or by_format


class RGBToFrame:
    """Turns RGB into frames of one pixel format that carry the given tags; inverts `FrameToRGB`."""

    def __init__(self, tags: ColorTags, pixel_format: str) -> None:
        self._scaler = VideoReformatter()
        self._tags = tags
        self._format = pixel_format

    def __call__(self, image: NDArray[np.uint8]) -> VideoFrame:
        """`image`: (H, W, 3) uint8."""
        source = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        matrix = _matrix(self._tags.matrix, source.width, source.height)
        frame = self._scaler.reformat(
            source,
            format=self._format,
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL,
            dst_color_range=FULL if self._tags.range == FULL else LIMITED,
            interpolation=_EXACT,
        )
        frame.color_range, frame.colorspace = self._tags.range, self._tags.matrix
        frame.color_primaries, frame.color_trc = self._tags.primaries, self._tags.transfer
        return frame
