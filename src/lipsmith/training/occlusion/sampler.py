"""Holds drawn pairs on the device, and puts objects and captions before the filmed ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from lipsmith.training.occlusion.captions import Captions, Covered
from lipsmith.training.occlusion.objects import Random, blurred, occluded
from lipsmith.training.occlusion.pairs import Pairs
from lipsmith.training.store import make_spans, pick

_BEYOND: Final = 0.25
"""Weight of what a dub does not change."""
_NEAR: Final = 5
"""Cells that the mask is widened by, in all."""
_SECOND: Final = 0.1
"""Share of the pictures with two objects."""
_LENT: Final = 0.4
"""Share of the objects that the drawn picture shows, too."""
_CAPTIONED: Final = 0.35
"""Share of the pictures with objects that have a caption instead."""


@dataclass(frozen=True)
class Occluded:
    """B pictures before which something lies, or nothing."""

    pictures: Tensor
    """(B, 6, h, w) in [0, 1], filmed and drawn."""
    opacity: Tensor
    """(B, h, w) in [0, 1], of what lies before the face."""
    weight: Tensor
    """(B, h, w), how much each place counts."""


class DrawnPairs:
    """Frames of people, filmed and drawn."""

    def __init__(self, pairs: Sequence[Pairs], people: Sequence[str], captions: Captions, device: torch.device) -> None:
        """`pairs` of clips, the person in each, and `captions` to choose from."""
        self.spans = make_spans([len(pair.mask) for pair in pairs], people, device)
        self.filmed, self.drawn = (
            torch.cat([torch.from_numpy(pair[side]) for pair in pairs]).permute(0, 3, 1, 2).to(device)
            for side in (0, 1)
        )
        self.mask = torch.cat([torch.from_numpy(pair.mask) for pair in pairs]).to(device)
        self.captions = captions

    def __len__(self) -> int:
        return len(self.mask)

    def draw(self, count: int, clean_share: float, generator: torch.Generator) -> Occluded:
        """A random batch: a share of `clean_share` has nothing before the face."""
        clips = self.spans.draw(count, generator)
        frames = pick(self.spans.first[clips], self.spans.length[clips], 1, generator)[:, 0]
        others = torch.randint(0, len(self), (count,), device=frames.device, generator=generator)
        return self.occluded(frames, others, clean_share, Random(generator))

    def occluded(self, frames: Tensor, others: Tensor, clean_share: float, random: Random) -> Occluded:
        """The given frames with objects, whose surface may be taken from the frames `others`; both `(B,)`."""
        count = len(frames)
        filmed, drawn, other = (
            pictures[rows].float() / 255
            for pictures, rows in ((self.filmed, frames), (self.drawn, frames), (self.filmed, others))
        )
        (covered, opacity), lendable = self._before(filmed, drawn, other, random)
        drawn = torch.where(random.some(_LENT, count), lent(drawn, *lendable, random), drawn)
        clean = random.some(clean_share, count)
        covered, opacity = torch.where(clean, filmed, covered), torch.where(clean, 0.0, opacity)
        pictures = torch.cat(_relit(covered, _shifted(drawn, random), random), 1)
        weight = _BEYOND + F.max_pool2d(self.mask[frames][:, None], _NEAR, 1, _NEAR // 2)
        mirrored = random.some(0.5, count)
        sides = [torch.where(mirrored, one.flip(3), one) for one in (pictures, opacity, weight)]
        return Occluded(sides[0], sides[1][:, 0], sides[2][:, 0])

    def _before(self, filmed: Tensor, drawn: Tensor, other: Tensor, random: Random) -> tuple[Covered, Covered]:
        """Filmed pictures with an object or a caption before each, and what of it the drawn ones may show."""
        covered, opacity = occluded(filmed, other, random)
        twice = slice(0, ceil(_SECOND * len(filmed)))
        covered[twice], more = occluded(covered[twice], other.flip(0)[twice], random)
        opacity[twice] = torch.maximum(opacity[twice], more)
        captioned = random.some(_CAPTIONED, len(filmed))
        written, shown = self.captions.over(filmed, drawn, random)
        return _chosen(captioned, written, (covered, opacity)), _chosen(captioned, shown, (covered, opacity))

    def plain(self, frames: Tensor) -> Tensor:
        """Pictures `(B, 6, h, w)` of frames `(B,)` with nothing before the face and unchanged."""
        return torch.cat([self.filmed[frames], self.drawn[frames]], 1).float() / 255


def _chosen(which: Tensor, one: Covered, other: Covered) -> Covered:
    return torch.where(which, one[0], other[0]), torch.where(which, one[1], other[1])


def lent(drawn: Tensor, covered: Tensor, opacity: Tensor, random: Random) -> Tensor:
    """Drawn pictures `(B, 3, h, w)` whose references show the object, too: bent, beside its place, and in parts only.

    `covered`: `(B, 3, h, w)`, filmed with the object; `opacity`: `(B, 1, h, w)` of the object.
    """
    count, (rows, columns) = len(drawn), drawn.shape[-2:]
    bend = torch.stack([random.smooth(count, 3, drawn) for _ in range(2)], -1)
    moved = 0.05 * random.normal(count, 1, 1, 2) + random.between(0, 0.05, count, 1, 1, 1) * bend
    still = torch.eye(2, 3, device=drawn.device).repeat(count, 1, 1)
    places = F.affine_grid(still, [count, 3, rows, columns], align_corners=False)
    layers = torch.cat([covered, opacity], 1)
    bent = F.grid_sample(layers, places + moved, padding_mode="border", align_corners=False)
    parts = torch.sigmoid(3 * random.smooth(count, 3, drawn)[:, None] + random.between(-1, 4, count, 1, 1, 1))
    return torch.lerp(drawn, bent[:, :3], bent[:, 3:] * parts)


def _shifted(drawn: Tensor, random: Random) -> Tensor:
    """Drawn pictures, some of which lie a little beside the filmed ones."""
    count = len(drawn)
    theta = torch.eye(2, 3, device=drawn.device).repeat(count, 1, 1)
    theta[:, :, 2] = random.some(0.6, count)[:, 0, 0] * 0.0094 * random.normal(count, 2)
    theta[:, 1, 2] *= 2  # the grid spans half as much from top to bottom
    places = F.affine_grid(theta, list(drawn.shape), align_corners=False)
    return F.grid_sample(drawn, places, padding_mode="border", align_corners=False)


def _relit(filmed: Tensor, drawn: Tensor, random: Random) -> list[Tensor]:
    """Both pictures in another light; the filmed one apart from that with soft shadows, blur and noise: none of these
    is an object."""
    count = len(filmed)
    gain = torch.exp(0.15 * random.normal(count, 1, 1, 1) + 0.04 * random.normal(count, 3, 1, 1))
    gamma = torch.exp(0.15 * random.normal(count, 1, 1, 1))
    filmed, drawn = (picture.clamp_min(1e-4) ** gamma * gain for picture in (filmed, drawn))
    filmed = filmed * torch.exp(0.05 * random.normal(count, 1, 1, 1) + 0.015 * random.normal(count, 3, 1, 1))
    shadows = 0.16 * random.smooth(count, 2, filmed)[:, None]
    filmed = filmed * torch.exp(torch.where(random.some(0.35, count), shadows, 0.0))
    filmed, drawn = (_softened(picture, most, random) for picture, most in ((filmed, 0.8), (drawn, 0.6)))
    noise = random.between(0, 0.02, count, 1, 1, 1) * random.some(0.6, count)
    filmed = filmed + noise * random.normal(*filmed.shape)
    gray = random.some(0.08, count)
    both = (torch.where(gray, picture.mean(1, keepdim=True), picture) for picture in (filmed, drawn))
    return [picture.clamp(0, 1) for picture in both]


def _softened(pictures: Tensor, most: float, random: Random) -> Tensor:
    soft = blurred(pictures, float(random.between(0.3, most, 1)))
    return torch.where(random.some(0.3, len(pictures)), soft, pictures)
