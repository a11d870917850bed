"""The renderer's loss: the paper's five terms (section 3.2.3), two of pixels and two of lips, as named functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from lipsmith.face.landmarks import JAW, OUTER_LIP, ranks
from lipsmith.models.vgg import VGG
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.losses.lips import LIPS, gap_error, lip_error
from lipsmith.training.losses.perceptual import perceptual_loss, style_loss

MOUTH_WEIGHT: Final = 3.0
"""What pixels at the middle of the mouth weigh in addition."""
MOUTH_RADIUS: Final = 0.12
"""Standard deviation of the Gaussian by which that falls off, crop units."""
FACE_MARGIN: Final = 0.02
"""How far the edge of a face mask lies outside the jaw line, crop units."""
BACKGROUND_WEIGHT: Final = 0.6
"""Weight of pixels outside the face."""
OCTAVES: Final = 4
"""Resolutions at which pixels are compared, each half of the one before."""
SHALLOW, DEEP = (1, 2, 3), (3, 4, 5)
"""Stages of VGG whose features of a picture, and of the picture at half its size, are compared."""


def mouth_weight(points: Tensor, size: int) -> Tensor:
    """Weights `(B, 1, S, S)` of mean about 1: more near the lips of points `(B, 131, 2)`."""
    center = points[:, LIPS].mean(1)
    axis = (torch.arange(size, device=points.device) + 0.5) / size
    dx = axis - center[:, :1]
    dy = axis - center[:, 1:]
    squared = rearrange(dy.square(), "b h -> b h 1") + rearrange(dx.square(), "b w -> b 1 w")
    return (1 + MOUTH_WEIGHT * torch.exp(-squared / (2 * MOUTH_RADIUS**2)))[:, None]


def face_mask(points: Tensor, size: int) -> Tensor:
    """Masks `(B, 1, S, S)` in [0, 1]: 1 inside the jaw line of points `(B, 131, 2)`, with a soft edge just outside it.

    Four fifths of a crop's squared error lie outside: collars, hair and a background that moves relative to the head.
    The network's inputs determine little of it, and a dub does not change it. Unweighted, this error would swamp the
    error on the face.
    """
    start, end = points[:, ranks(JAW[:-1]), :, None, None], points[:, ranks(JAW[1:]), :, None, None]
    axis = (torch.arange(size, device=points.device) + 0.5) / size
    along = end - start

    def side(x: Tensor, y: Tensor) -> Tensor:
        return along[:, :, 0] * (y - start[:, :, 1]) - along[:, :, 1] * (x - start[:, :, 0])

    lips = points[:, ranks(OUTER_LIP)].mean(1)[:, None, :, None, None]
    inwards = torch.sign(side(lips[:, :, 0], lips[:, :, 1]).sum(1, keepdim=True))
    distance = inwards * side(axis, axis[:, None]) / along.norm(dim=2).clamp_min(1e-4)
    return torch.sigmoid((distance.amin(1) + FACE_MARGIN) / (FACE_MARGIN / 2))[:, None]


def pixel_loss(fake: Tensor, real: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean absolute difference of images `(B, 3, H, W)`, original and blurred; mean over OCTAVES.

    An edge that is several pixels off gives no gradient to a flow at full resolution, but does at a resolution at which
    the edges overlap.
    """
    difference, losses = fake - real, []
    for octave in range(OCTAVES):
        if octave:
            difference, weight = F.avg_pool2d(difference, 2), F.avg_pool2d(weight, 2)
        losses.append((weight * difference.abs()).mean())
    return torch.stack(losses).mean()


def face_window(rows: Tensor, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """The part of computed rows `(B, C, H, S)` that contains generated faces, `(B, C, 9S/16, 3S/4)`.

    It starts slightly above S/2 and omits an eighth on each side, because VGG and the adversary cost more than the
    network and do not need the rest. `shift`: displacement up and to the right in pixels, within the rows.
    """
    size = rows.shape[-1]
    bottom, left = rows.shape[-2] - shift[0], size // 8 + shift[1]
    return rows[..., max(0, bottom - 9 * size // 16) : bottom, left : left + 3 * size // 4]


@dataclass
class Comparison:
    """Inputs of the loss terms: the computed rows of a batch, and their VGG features, computed once on demand."""

    image: Tensor
    """(B, 3, H, S) generated."""
    aligned: Tensor
    """(B, 3, H, S) aligned references; above S/2 the target's own rows."""
    truth: Tensor
    """(B, 3, H, S)."""
    weight: Tensor
    """(B, 1, H, S), zero in rows that are not generated, small outside the face."""
    face: Tensor
    """(B, 1, H, S) in [0, 1]: region in which VGG and the adversary get the picture; elsewhere they get the truth, as
    in a dub."""
    vgg: VGG | None
    lips: tuple[Tensor, Tensor] | None = None
    """(B, 40, 2) each, crop units: the lips that a detector found in the image, and those that it should find."""
    perceptual_share: float = 1.0
    """Share of the B pictures that VGG processes, evenly spread over the clips."""
    shift: tuple[int, int] = (0, 0)
    """Shift of the `face_window`."""

    @cached_property
    def generated_face(self) -> Tensor:
        """(B, 3, h, w): the image inside the face and the truth around it, in the `face_window`."""
        return self._face(self.image)

    @cached_property
    def true_face(self) -> Tensor:
        """(B, 3, h, w): the truth in the `face_window`."""
        return face_window(self.truth, self.shift)

    @cached_property
    def of_image(self) -> list[Tensor]:
        """Features of the generated picture."""
        return self._features(self.generated_face)

    @cached_property
    def of_aligned(self) -> list[Tensor]:
        """Features of the aligned references."""
        return self._features(self._face(self.aligned))

    @cached_property
    def of_truth(self) -> list[Tensor]:
        """Features of the truth."""
        with torch.no_grad():
            return self._features(self.true_face)

    @property
    def found_and_wanted(self) -> tuple[Tensor, Tensor]:
        """`lips`, where there is a detector."""
        assert self.lips is not None
        return self.lips

    def _face(self, picture: Tensor) -> Tensor:
        return face_window(torch.lerp(self.truth, picture, self.face), self.shift)

    def _features(self, faces: Tensor) -> list[Tensor]:
        assert self.vgg is not None
        count = max(1, round(self.perceptual_share * len(faces)))
        picture = faces[torch.arange(count, device=faces.device) * len(faces) // count]
        shallow: list[Tensor] = self.vgg(picture, SHALLOW)
        deep: list[Tensor] = self.vgg(F.avg_pool2d(picture, 2), DEEP)
        return shallow + deep


TERMS: Final[dict[str, Callable[[Comparison], Tensor]]] = {
    "pixel": lambda c: pixel_loss(c.image, c.truth, c.weight),
    "aligned_pixel": lambda c: pixel_loss(c.aligned, c.truth, c.weight),
    "warped": lambda c: perceptual_loss(c.of_aligned, c.of_truth),
    "content": lambda c: perceptual_loss(c.of_image, c.of_truth),
    "style": lambda c: style_loss(c.of_image, c.of_truth),
    "lips": lambda c: 100 * lip_error(*c.found_and_wanted),
    "gaps": lambda c: 100 * gap_error(*c.found_and_wanted),
}


def renderer_terms(comparison: Comparison, names: Iterable[str], adversary: Adversary | None) -> dict[str, Tensor]:
    """The named terms of TERMS, and the adversary's two terms if there is one."""
    terms = {name: TERMS[name](comparison) for name in names}
    return terms | (adversary.judge(comparison.generated_face, comparison.true_face) if adversary else {})
