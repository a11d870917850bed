"""Converts decoded frames to RGB and back, with the declared range and matrix; most frames are converted only in part.

A film that declares no matrix is read as BT.709 in high definition and as BT.601 below that, as players do, so a copy
that also declares none is shown in the same colors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from lipsmith.media.hdr import HDR_TRANSFERS, to_sdr

LIMITED, FULL = 1, 2
BT709, UNSPECIFIED = 1, 2
PIXEL_FORMAT: Final = "yuv420p"
"""The pixel format that every H.264 player supports."""

_BT601 = 5
# The weights of red and blue in luma, by swscale's number of the matrix.
_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), _BT601: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}
_SWSCALE_MATRIX = {BT709: 1, 4: 4, 5: _BT601, 6: _BT601, 7: 7, 9: 9, 10: 9}
# SWS_BILINEAR, SWS_ACCURATE_RND and SWS_FULL_CHR_H_INT, which PyAV names only since version 18. Without the last two,
# swscale rounds green down by up to two levels and interpolates chroma at half the width.
_SWS_FLAGS = 2 | 0x40000 | 0x2000


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
        alpha, hdr = has_alpha(frame), frame.color_trc in HDR_TRANSFERS
        formats = ("gbrp16le", "gbrap16le") if hdr else ("rgb24", "rgba")  # swscale confuses the colors of rgb48le
        matrix = _matrix(frame.colorspace, frame.width, frame.height)
        scaled = self._scaler.reformat(
            frame,
            width=self._size[0],
            height=self._size[1],
            format=formats[alpha],
            src_colorspace=matrix,
            dst_colorspace=matrix,
            src_color_range=FULL if is_full_range(frame) else LIMITED,
            dst_color_range=FULL,
            interpolation=_SWS_FLAGS,
        )
        rgb: NDArray[Any] = scaled.to_ndarray()
        if hdr:
            rgb = np.dstack([to_sdr(rgb[..., :3], frame.color_trc, frame.color_primaries), rgb[..., 3:] >> 8])
        rgb = np.ascontiguousarray(rgb, np.uint8)
        return over_white(rgb) if alpha else rgb


def has_alpha(frame: VideoFrame) -> bool:
    """Whether pixels of a frame can be transparent."""
    return frame.format.name == "pal8" or any(component.is_alpha for component in frame.format.components)


def over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGBA (H, W, 4) composited over white, (H, W, 3)."""
    alpha = rgba[..., 3:].astype(np.uint16)
    blended = rgba[..., :3] * alpha + 255 * (255 - alpha)
    return ((blended + 127) // 255).astype(np.uint8)


def channels(image: NDArray[Any]) -> NDArray[Any]:
    """The channels `(c, h, w)` of an image `(h, w, c)`: the list that `cv2.split` makes takes five times as long."""
    found = np.empty((image.shape[2], *image.shape[:2]), image.dtype)
    cv2.split(image, list(found))
    return found


def is_full_range(frame: VideoFrame) -> bool:
    """Whether black is 0 and white the largest code, as always in RGB and the JPEG formats."""
    by_format = frame.format.is_rgb or frame.format.name.startswith(("yuvj", "pal"))
    return frame.color_range == FULL or by_format


class Box(NamedTuple):
    """Rows `top` to before `bottom` and columns `left` to before `right` of a picture."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices that cut the box out of an array."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def padded(self, by: int, height: int, width: int) -> Box:
        """The box extended to whole chroma cells and by `by` pixels, an even number, on each side, within the
        picture."""
        top, left = (max(0, first // 2 * 2 - by) for first in (self.top, self.left))
        return Box(top, min(height, -(-self.bottom // 2) * 2 + by), left, min(width, -(-self.right // 2) * 2 + by))

    def scaled_down(self, step: int) -> Box:
        """The box in a picture that is `step` times smaller."""
        return Box(*(side // step for side in self))

    def relative_to(self, other: Box) -> Box:
        """The box relative to the corner of another box."""
        return Box(self.top - other.top, self.bottom - other.top, self.left - other.left, self.right - other.left)


class Patch(NamedTuple):
    """An overlay of a picture: RGB (h, w, 3)."""

    box: Box
    image: NDArray[np.uint8]
    changed: NDArray[np.uint8]
    """(h, w): 0 where it does not differ. What was filmed stays there, of which RGB does not hold all colors."""


class FilmedPicture:
    """A decoded frame (H, W, 3) that converts only the requested parts to RGB, because most users need only a face.

    `picture[y0:y1, x0:x1]` is RGB, within three levels of `FrameToRGB`; `np.asarray(picture)` is all of it, exactly.
    """

    def __init__(self, frame: VideoFrame, patches: tuple[Patch, ...] = ()) -> None:
        """`frame`: a frame that `can_convert_partially`."""
        self.frame, self.patches = frame, patches
        self._whole: NDArray[np.uint8] | None = None
        self.shape, self.nbytes = (frame.height, frame.width, 3), frame.height * frame.width * 3 // 2
        self.matrix, self.full = _matrix(frame.colorspace, frame.width, frame.height), is_full_range(frame)
        self.to_rgb = _yuv_to_rgb(self.matrix, self.full)

    def with_patch(self, x: int, y: int, image: NDArray[np.uint8], filmed: NDArray[np.uint8]) -> FilmedPicture:
        """This picture with `image` (h, w, 3) from column `x` and row `y` on, where it is `filmed` (h, w, 3)."""
        box = Box(y, y + len(image), x, x + image.shape[1])
        changed = np.asarray(cv2.transform(cv2.absdiff(image, filmed), np.ones((1, 3))), np.uint8)
        return FilmedPicture(self.frame, (*self.patches, Patch(box, image, changed)))

    def plane(self, number: int) -> NDArray[np.uint8]:
        """The decoded plane `number`: luma (H, W) for 0, chroma (H / 2, W / 2) for 1 and 2."""
        plane = self.frame.planes[number]
        return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]

    def __getitem__(self, part: tuple[slice, slice]) -> NDArray[np.uint8]:
        (y0, y1, _), (x0, x1, _) = (one.indices(length) for one, length in zip(part, self.shape, strict=False))
        box = Box(y0, max(y0, y1), x0, max(x0, x1))
        if box.top == box.bottom or box.left == box.right:
            return np.zeros((box.bottom - box.top, box.right - box.left, 3), np.uint8)
        whole = box.padded(2, *self.shape[:2])
        planes = [self.plane(0)[whole.slices]]
        planes += [_upsampled(self.plane(number)[whole.scaled_down(2).slices]) for number in (1, 2)]
        codes = cv2.merge([np.array(plane[box.relative_to(whole).slices]) for plane in planes])
        return self._patched(np.asarray(cv2.transform(codes, self.to_rgb), np.uint8), box.left, box.top)

    def __array__(self, dtype: object = None, copy: bool | None = None) -> NDArray[np.uint8]:
        if self._whole is None:
            self._whole = self._patched(FrameToRGB()(self.frame), 0, 0)
        return self._whole.copy() if copy else self._whole

    def _patched(self, rgb: NDArray[np.uint8], left: int, top: int) -> NDArray[np.uint8]:
        """`rgb`, the part that starts at (`left`, `top`), with the overlapping patches."""
        bottom, right = top + rgb.shape[0], left + rgb.shape[1]
        for box, image, changed in self.patches:
            over = Box(max(box.top, top), min(box.bottom, bottom), max(box.left, left), min(box.right, right))
            if over.top < over.bottom and over.left < over.right:
                part, seen = over.relative_to(box).slices, rgb[over.relative_to(Box(top, 0, left, 0)).slices]
                cv2.copyTo(image[part], changed[part], seen)
        return rgb


Picture = NDArray[np.uint8] | FilmedPicture
"""RGB (H, W, 3)."""


def can_convert_partially(frame: VideoFrame) -> bool:
    """Whether `FilmedPicture` supports a decoded frame."""
    planar = frame.format.name in (PIXEL_FORMAT, "yuvj420p") and frame.width % 2 == frame.height % 2 == 0
    return planar and frame.color_trc not in HDR_TRANSFERS


def _upsampled(chroma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Chroma (h, w) at every pixel (2 h, 2 w), bilinear, with the siting of `_CHROMA_FILTER`."""
    height, width = chroma.shape
    even = cv2.resize(chroma, (width, 2 * height), interpolation=cv2.INTER_LINEAR)
    odd = cv2.addWeighted(even, 0.5, np.hstack([even[:, 1:], even[:, -1:]]), 0.5, 0)
    return np.asarray(cv2.merge([even, odd]), np.uint8).reshape(2 * height, 2 * width)


@lru_cache(maxsize=8)
def _yuv_to_rgb(swscale_matrix: int, full: bool) -> NDArray[np.float64]:
    """(3, 4): inverse of `_rgb_to_yuv`."""
    forward = _rgb_to_yuv(swscale_matrix, full)
    inverse = np.linalg.inv(forward[:, :3])
    return np.column_stack([inverse, -inverse @ forward[:, 3]])


class RGBToFrame:
    """Converts RGB to frames of `PIXEL_FORMAT` with the given tags; the inverse of `FrameToRGB`.

    It does not use swscale, whose full-range chroma is half a level too low, which shifts blue and red by one level.
    """

    def __init__(self, tags: ColorTags, width: int, height: int) -> None:
        """`width`, `height`: of the pictures; odd sides grow by one pixel, because 4:2:0 chroma needs even sides."""
        self._tags, self._full = tags, tags.range == FULL
        self._padding = (height % 2, width % 2)
        self._matrix = _matrix(tags.matrix, width + self._padding[1], height + self._padding[0])
        self._from_rgb = _rgb_to_yuv(self._matrix, self._full)

    def __call__(self, image: Picture) -> VideoFrame:
        """`image`: (H, W, 3) RGB. If the tags agree, all codes of a decoded frame except those of its patches are
        kept."""
        if isinstance(image, FilmedPicture) and (image.matrix, image.full) == (self._matrix, self._full):
            frame = self._patched(image)
        else:
            frame = VideoFrame.from_ndarray(self._packed(np.asarray(image)), format=PIXEL_FORMAT)
        frame.color_range, frame.colorspace = self._tags.range, self._tags.matrix
        frame.color_primaries, frame.color_trc = self._tags.primaries, self._tags.transfer
        return frame

    def _packed(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The planes in PyAV's layout, (3 H / 2, W)."""
        if any(self._padding):
            image = np.pad(image, [(0, self._padding[0]), (0, self._padding[1]), (0, 0)], "edge")
        luma, *chroma = _planes(image, self._from_rgb)
        height, width = luma.shape
        return np.concatenate([luma.ravel(), *(plane.ravel() for plane in chroma)]).reshape(height * 3 // 2, width)

    def _patched(self, image: FilmedPicture) -> VideoFrame:
        height, width, _ = image.shape
        frame = VideoFrame(width, height, PIXEL_FORMAT)
        planes = [FilmedPicture(frame).plane(number) for number in range(3)]
        for number, plane in enumerate(planes):
            plane[:] = image.plane(number)
        for box, _, changed in image.patches:
            around = box.padded(2, height, width)
            pixels = np.zeros(image.plane(0)[around.slices].shape, np.uint8)
            pixels[box.relative_to(around).slices] = changed
            cells = cv2.dilate(pixels, np.ones_like(_CHROMA_FILTER, np.uint8), anchor=(1, 0))[::2, ::2]
            codes = _planes(image[around.slices], self._from_rgb)
            for plane, code, where, step in zip(planes, codes, (pixels, cells, cells), (1, 2, 2), strict=True):
                inner = box.padded(0, height, width).scaled_down(step)
                part = inner.relative_to(around.scaled_down(step)).slices
                cv2.copyTo(code[part], where[part], plane[inner.slices])
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
_CHROMA_FILTER = np.array([[1, 2, 1], [1, 2, 1]], np.float32) / 8


def _planes(image: NDArray[np.uint8], from_rgb: NDArray[np.float64]) -> list[NDArray[np.uint8]]:
    """Luma (H, W) and the two of chroma (H / 2, W / 2) of a picture (H, W, 3) with even sides."""
    luma, *chroma = channels(cv2.transform(np.ascontiguousarray(image), from_rgb))
    smoothed = [
        cv2.filter2D(plane, -1, _CHROMA_FILTER, anchor=(1, 0), borderType=cv2.BORDER_REPLICATE) for plane in chroma
    ]
    return [luma, *(np.asarray(plane, np.uint8)[::2, ::2] for plane in smoothed)]
