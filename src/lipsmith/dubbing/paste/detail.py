"""Adds fine detail from the references' own pixels, which a crop of 128 pixels is too small to hold.

The networks output the flow to each reference and the weight of its detail, with which pictures of any size can be
warped. Detail coarser than `TRUSTED` pixels per crop comes from the networks, finer detail from the references. Inside
the mouth, where a mean of references merges their teeth, one reference gives coarser detail, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.paste.native import TOP, amplified
from lipsmith.dubbing.paste.shut_lips import LipLine, lip_line, with_line
from lipsmith.face.landmarks import Floats, inside_mouth
from lipsmith.inference.render import Drawing, Placed
from lipsmith.media.color import channels

TRUSTED: Final = 96
"""Pixels per crop up to which detail comes from the rendered picture."""
_AS_MEAN: Final = 0.357
"""Deviation, in pixels, of the Gaussian that cubic sampling needs to equal means over pixels: they differ by 51 dB."""
_DETAIL_REFERENCES: Final = 3
_SPREAD: Final = 1.5
"""Deviation, in cells of `TRUSTED` per crop, of what comes from the networks inside the mouth."""
_CELL: Final = 4
# So that references without weight have equal ones.
_NO_SHARE: Final = np.float32(1e-3)


@dataclass(frozen=True)
class Detail:
    """Detail of one frame's references."""

    pictures: list[NDArray[np.uint8]]
    """k of (rows, N, 4): native crops from `TOP` down, `with_amplitude`."""
    placed: Placed
    """Where the target's pixels lie in each reference."""
    share: NDArray[np.float32]
    """(k, H/4, S/4) in [0, 1]: weight of each reference's detail."""
    inside: NDArray[np.float32]
    """(S, S) in [0, 1]: the inside of the mouth, 0 on the lips."""
    references: NDArray[np.intp]
    """(k,) which references of the face they are."""
    within: NDArray[np.float32]
    """(k,): weight of each one's detail inside the mouth."""
    leader: int
    """Rank of the one that lends all detail there."""
    line: LipLine | None
    contrast: float = 1.0
    """Share of the references' contrast that the frame has; less than 1 in a fade."""


def details(
    native: Callable[[int], NDArray[np.uint8]],
    drawing: Drawing,
    references: NDArray[np.intp],
    points: Floats,
    nearby: NDArray[np.float32],
    depth: float | None,
) -> list[Detail]:
    """What the references lend n frames that are drawn together.

    `native`: the native crop of a reference from `TOP` down, `with_amplitude`; `references`: `(n, k)`, those of each
    frame; `points`: `(n, 131, 2)`, crop units, as rendered; `nearby`: `(n, n)`, how much each frame counts in the mean
    around each; `depth`: the `line_depth` of the references.
    """
    inside = [inside_mouth(of_frame, drawing.images.shape[1]) for of_frame in points]
    within = np.stack([_weights(share, where) for share, where in zip(drawing.share, inside, strict=True)])
    first = leaders(within, references, nearby).tolist()
    crops = [[native(one) for one in used] for used in references.tolist()]
    line = [lip_line(of_frame, depth) for of_frame in points]
    return [
        Detail(crops[n], drawing.placed.of(n), drawing.share[n], inside[n], references[n], within[n], first[n], line[n])
        for n in range(len(references))
    ]


def leaders(within: NDArray[np.float32], references: NDArray[np.intp], nearby: NDArray[np.float32]) -> NDArray[np.intp]:
    """Rank `(n,)` of the reference with the largest weight `within` the mouth `(n, k)` of each frame, in the mean of
    the frames `nearby`: one that leads in a single frame would show other teeth there. The others as of `details`.
    """
    weights = np.zeros((len(within), references.max() + 1), np.float32)
    np.put_along_axis(weights, references, within, axis=1)
    return np.asarray(np.take_along_axis(nearby @ weights, references, axis=1).argmax(1))


@dataclass(frozen=True)
class Region:
    """A part of a frame, `(h, w)`, onto which the crop of a face is placed."""

    to_crop: NDArray[np.float64]
    """(2, 3): from its pixels to those of the crop, in OpenCV's convention."""
    height: int
    width: int
    side: int
    """Side S of the crop, pixels."""

    @cached_property
    def scale(self) -> float:
        """Pixels of the crop per pixel of the frame."""
        return float(np.hypot(*self.to_crop[:, 0]))

    @property
    def step(self) -> int:
        """Pixels from one computed value to the next: 2 where the crop is enlarged at least twofold, else 1."""
        return 2 if self.scale <= 0.5 else 1

    def smooth(self, values: NDArray[np.float32], border: int = cv2.BORDER_REPLICATE) -> NDArray[np.float32]:
        """Values `(H / c, S / c, ...)` of the crop's last rows, at any resolution, in this part: `(h, w, ...)`.

        Bilinear; beyond the crop, what the OpenCV constant `border` says.
        """
        return self.enlarged(self.coarse(values, border))

    def coarse(self, values: NDArray[np.float32], border: int = cv2.BORDER_REPLICATE) -> NDArray[np.float32]:
        """The same at every `step`-th pixel."""
        cell = self.side / values.shape[1]
        matrix = self.to_crop / cell
        matrix[:, 2] += 0.5 / cell - 0.5 + (matrix[:, 0] + matrix[:, 1]) * (self.step - 1) / 2
        matrix[1, 2] -= self.side / cell - len(values)
        matrix[:, :2] *= self.step
        size = (-(-self.width // self.step), -(-self.height // self.step))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(values, matrix, size, flags=flags, borderMode=border), np.float32)

    def enlarged(self, coarse: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values of every `step`-th pixel, interpolated at every pixel."""
        if self.step == 1:
            return coarse
        larger = cv2.resize(coarse, None, fx=self.step, fy=self.step, interpolation=cv2.INTER_LINEAR)
        return np.asarray(larger[: self.height, : self.width], np.float32)


def with_detail(
    drawn: NDArray[np.float32], detail: Detail, region: Region, mask: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The rendered crop in a region of the film, `(h, w, 3)` in 0..255, with the references' detail added.

    `drawn`: the crop's last rows, `(rows, S, 3)`; `mask`: `(S, S)` in [0, 1], where in the crop the detail is visible.
    """
    lower = _lent(detail, region, mask)
    image = np.asarray(cv2.add(lower, _correction(drawn, lower, region, detail.inside)), np.float32)
    return with_line(image, detail.line, detail.contrast, region.to_crop, region.side)


def _lent(detail: Detail, region: Region, mask: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weighted mean of the references in the region, `(h, w, 3)`."""
    everywhere, ranks = detail.placed.above_everywhere(), _lenders(detail, mask)
    believed = cv2.resize(np.moveaxis(detail.share[ranks], 0, -1) + _NO_SHARE, everywhere.shape[::-1])
    layers = cv2.merge([everywhere, _led(np.asarray(believed, np.float32), detail.inside)])
    above, total, *others = channels(region.smooth(np.asarray(layers, np.float32)))
    lent = _both_lips(detail, ranks[0], above, region)
    for rank, share in zip(ranks[1:], others, strict=True):
        # In single precision, which takes OpenCV half as long as 8 bits.
        lent = np.asarray(cv2.blendLinear(lent, _both_lips(detail, rank, above, region), total, share), np.float32)
        total += share
    pixels = region.side / (detail.pictures[0].shape[1] * region.scale)
    return amplified(lent, pixels) * np.float32(detail.contrast)


def _correction(
    drawn: NDArray[np.float32], lower: NDArray[np.float32], region: Region, inside: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The rendered crop minus the references `lower` `(h, w, 3)`, without fine detail: `(h, w, 3)`."""
    trusted = min(1.0, TRUSTED / region.side * region.scale)
    small = (max(1, round(region.width * trusted)), max(1, round(region.height * trusted)))
    coarse = cv2.subtract(_reduced(drawn, region, small), cv2.resize(lower, small, interpolation=cv2.INTER_AREA))
    if inside.any():
        within = np.clip(_reduced(inside[-len(drawn) :], region, small), 0, 1)
        coarse = cv2.blendLinear(cv2.GaussianBlur(coarse, (0, 0), _SPREAD), coarse, within, 1 - within)
    return np.asarray(cv2.resize(coarse, (region.width, region.height), interpolation=cv2.INTER_CUBIC), np.float32)


def _led(believed: NDArray[np.float32], inside: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights `(H, S, n)` of references, of which the first takes all `inside` `(S, S)` the mouth."""
    if believed.ndim < 3 or (box := extent(inside[-len(believed) :])) is None:
        return believed
    share = inside[-len(believed) :][box][..., None]
    taken = share * believed[box]
    believed[box] -= taken
    believed[box][..., 0] += taken.sum(-1)
    return believed


def _reduced(drawn: NDArray[np.float32], region: Region, size: tuple[int, int]) -> NDArray[np.float32]:
    """The crop's last rows `(rows, S)` or `(rows, S, 3)` in the region, at the smaller `size` (width, height)."""
    step = np.array([region.width, region.height]) / size
    matrix = region.to_crop.copy()
    matrix[:, 2] += matrix[:, :2] @ (step - 1) / 2
    matrix[1, 2] -= region.side - len(drawn)
    matrix[:, :2] *= step
    blurred = cv2.GaussianBlur(drawn, (0, 0), _AS_MEAN * region.scale * step.max())
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(blurred, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _lenders(detail: Detail, mask: NDArray[np.float32]) -> list[int]:
    """The `_DETAIL_REFERENCES` references with the largest weight under the mask. The first leads inside the mouth if
    that is open."""
    highest = [int(rank) for rank in np.argsort(-_weights(detail.share, mask), kind="stable")]
    leader = detail.leader if detail.inside.any() else highest[0]
    return [leader, *(rank for rank in highest if rank != leader)][:_DETAIL_REFERENCES]


def _weights(share: NDArray[np.float32], where: NDArray[np.float32]) -> NDArray[np.float32]:
    """The weight `(k,)` of each reference's detail in a part `(S, S)` of the crop."""
    rows, size = share.shape[1] * _CELL, share.shape[:0:-1]
    weights: NDArray[np.float32] = (share * cv2.resize(where[-rows:], size, interpolation=cv2.INTER_AREA)).sum((1, 2))
    return weights


def _both_lips(detail: Detail, rank: int, above: NDArray[np.float32], region: Region) -> NDArray[np.float32]:
    """The native crop of a reference in the region, `(h, w, 4)`, by the flows of either side of the lips' middle line.

    `above`: `(h, w)` in [0, 1]. Where the sides meet, the picture is the mean of both lips. At the mean of the flows
    would be what is between the reference's lips: its teeth.
    """
    picture = detail.pictures[rank]
    side = np.float32(picture.shape[1])
    planes = detail.placed.sides(rank) * side
    planes[::2] -= 0.5
    planes[1::2] -= 0.5 + int(TOP * side)
    positions = channels(region.coarse(np.asarray(cv2.merge(list(planes)), np.float32)))

    def sampled(of_side: NDArray[np.float32], part: tuple[slice, slice]) -> NDArray[np.float32]:
        x, y = (region.enlarged(place)[part] for place in of_side)
        return np.asarray(cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)

    whole = sampled(positions[:2], (slice(None), slice(None)))
    if (part := extent(above)) is not None:
        share = above[part]
        whole[part] = cv2.blendLinear(sampled(positions[2:], part), whole[part], share, 1 - share)
    return whole


def extent(values: NDArray[np.float32]) -> tuple[slice, slice] | None:
    """The smallest part, rows and columns, of `(h, w)` values that contains all above zero; None if there are none."""
    x, y, width, height = cv2.boundingRect((values > 0).view(np.uint8))
    return (slice(y, y + height), slice(x, x + width)) if width else None
