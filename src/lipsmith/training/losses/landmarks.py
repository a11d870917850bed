"""Losses of the landmark generator: position, velocity, and amplitude of lip gestures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf

import torch
from einops import reduce
from torch import Tensor
from torch.nn import functional as F

from lipsmith.config import require_range
from lipsmith.face.landmarks import CONTENT, INNER_LIP, NUM_JAW, OUTER_LIP, TOUCHING
from lipsmith.training.losses.lips import lip_gaps

TERMS = ("l1", "velocity", "concordance", "closure", "plosive", "phonemes")
"""The loss terms, each of which has a weight of its name."""
_FLOOR = 2e-3
"""Crop units: movement below this is the tracker's noise, not speech."""
_NEAR = 2
"""Frames around a plosive within which the lips touch."""
_CHORDS = [[CONTENT.index(point) for point in pair] for pair in ((78, 308), (0, 17))]
"""Ends of the inner width and of the outer opening, among the content points."""


@dataclass(frozen=True)
class LandmarkLossWeights:
    """Factors of the loss's terms, and of the points within them."""

    l1: float = 1.0
    """Mean absolute error of the points, crop units."""
    velocity: float = 1.0
    """Error of their one-step displacements."""
    concordance: float = 0.0
    """One minus the concordance of lip gestures within a window; keeps the amplitude of the mouth."""
    closure: float = 0.0
    """How far predicted lips are open where true lips touch, crop units."""
    plosive: float = 0.0
    """How far they stay open throughout p, b and m of those that true lips close at, crop units."""
    phonemes: float = 0.0
    """Cross entropy of the phonemes that are read off the speech tokens."""
    outer: float = 1.0
    """Weight of outer lip points; a jaw point weighs 1."""
    inner: float = 1.0
    """Weight of inner lip points."""

    def __post_init__(self) -> None:
        require_range(self, 0, inf, *asdict(self))


def landmark_loss(
    prediction: Tensor, truth: Tensor, weights: LandmarkLossWeights, bilabial: Tensor | None = None
) -> dict[str, Tensor]:
    """The terms by name, not yet weighted; `weights` decides which there are, and how points weigh within them.

    prediction, truth: content `(b, T, 57, 2)`, crop units. bilabial: `(b, T)`, which frames are nearest to a p, b or m.
    """
    points = point_weights(weights).to(prediction)
    terms = {
        "l1": position_error(prediction, truth, points),
        "velocity": velocity_error(prediction, truth, points),
    }
    if weights.concordance:
        terms["concordance"] = discordance(gestures(prediction), gestures(truth))
    if weights.closure:
        terms["closure"] = left_open(prediction, truth)
    if weights.plosive and bilabial is not None:
        terms["plosive"] = plosives_left_open(prediction, truth, bilabial)
    return terms


def point_weights(weights: LandmarkLossWeights) -> Tensor:
    """Weights `(57,)` of the content points, of mean one."""
    raw = torch.tensor([1.0] * NUM_JAW + [weights.outer] * len(OUTER_LIP) + [weights.inner] * len(INNER_LIP))
    return raw / raw.mean()


def position_error(prediction: Tensor, truth: Tensor, points: Tensor) -> Tensor:
    """Weighted L1 of points `(b, T, p, 2)`, crop units."""
    return (points[:, None] * (prediction - truth).abs()).mean()


def velocity_error(prediction: Tensor, truth: Tensor, points: Tensor) -> Tensor:
    """Weighted norm of the difference of one-step displacements, crop units a frame; zero for a single frame."""
    if prediction.shape[1] < 2:
        return prediction.sum() * 0
    error = (prediction - truth).diff(dim=1)
    return (points * (error.square().sum(-1) + 1e-12).sqrt()).mean()


def gestures(content: Tensor) -> Tensor:
    """Curves `(b, T, 11)` of content `(b, T, 57, 2)`, crop units: nine gaps, inner width, outer opening.

    All nine gaps: of the middle one alone mouths learn to open to a point.
    """
    ends = torch.tensor(_CHORDS, device=content.device)
    chords = content[:, :, ends[:, 0]] - content[:, :, ends[:, 1]]
    return torch.cat([gaps(content), (chords.square().sum(-1) + 1e-12).sqrt()], dim=2)


def gaps(content: Tensor) -> Tensor:
    """How far the lower inner lip of content `(b, T, 57, 2)` lies under the upper, `(b, T, 9)` crop units."""
    return lip_gaps(content[:, :, NUM_JAW:])


def left_open(prediction: Tensor, truth: Tensor) -> Tensor:
    """Mean over all frames of what gaps exceed the true ones by, where the true lips' middles touch; crop units."""
    true_gaps = gaps(truth)
    shut = true_gaps[:, :, 4:5] < TOUCHING
    excess = (gaps(prediction).abs() - true_gaps.clamp_min(TOUCHING / 4)).clamp_min(0)
    return (excess * shut).mean()


def plosives_left_open(prediction: Tensor, truth: Tensor, bilabial: Tensor) -> Tensor:
    """Least mean gap within two frames of each p, b and m at which the true lips' middles touch.

    Less a quarter of touching; mean over those phonemes, crop units.
    """
    closed = bilabial & (_least(gaps(truth)[:, :, 4].abs()) < TOUCHING)
    excess = (_least(gaps(prediction).abs().mean(2)) - TOUCHING / 4).clamp_min(0)
    return (excess * closed).sum() / closed.sum().clamp_min(1)


def _least(curves: Tensor) -> Tensor:
    """The least of curves `(b, T)` within two frames of each."""
    return -F.max_pool1d(-curves, 2 * _NEAR + 1, stride=1, padding=_NEAR)


def phoneme_error(logits: Tensor, activity: Tensor) -> Tensor:
    """Binary cross entropy of groups of phonemes `(b, T, g)`; activity: 0..1, NaN where nothing is known."""
    known = activity.isfinite()
    error = F.binary_cross_entropy_with_logits(logits, activity.nan_to_num(), reduction="none")
    return (error * known).sum() / known.sum().clamp_min(1)


def discordance(prediction: Tensor, truth: Tensor) -> Tensor:
    """One minus Lin's concordance correlation over time, of curves `(b, T, g)`, averaged; 0 for equal curves, to 2.

    Lin (1989): 2 cov / (var + var' + (mean - mean')^2). Unlike Pearson's r it also depends on amplitude, which
    an L1 loss alone halves. Where the truth hardly moves, the floor keeps noise from mattering.
    """
    mean, mean_true = (reduce(x, "b t g -> b 1 g", "mean") for x in (prediction, truth))
    a, b = prediction - mean, truth - mean_true
    spread = a.square().mean(1) + b.square().mean(1) + (mean - mean_true).square().mean(1)
    concordance = (2 * (a * b).mean(1) + _FLOOR**2) / (spread + _FLOOR**2)
    return (1 - concordance).mean()
