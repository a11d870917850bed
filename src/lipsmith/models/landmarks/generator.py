"""Speech to landmarks: speech, pose and reference shapes to lips and jaw, after IP_LAP's generator.

Run as two stages: `LandmarkGenerator.speech` once per video frame, `LandmarkGenerator.transformer` once per
window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from einops import pack, rearrange, reduce
from einops.layers.torch import Rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.face.landmarks import CONTOUR, LEFT_BROW, NOSE, NUM_CONTENT, NUM_JAW, NUM_POINTS, NUM_POSE, RIGHT_BROW
from lipsmith.models.mel_encoder import FeatureEncoder, MelEncoder

NUM_LIPS = NUM_CONTENT - NUM_JAW
NUM_STEADY = len(CONTOUR + RIGHT_BROW + LEFT_BROW + NOSE)
"""The first pose points, which do not blink."""

# Measured without any network on the strict halves of 57 clips of 30 people: 1.02 % L1, where the references' plain
# mean gives 1.22 %, the one nearest in pose 1.15 %; twice or half of either constant changes the third digit.
_NEARNESS = 3e-5
_TRUST = 0.75


@dataclass(frozen=True)
class LandmarkConfig:
    """Sizes of the landmark generator; the defaults are IP_LAP's."""

    dim: int = 512
    """Width of all tokens."""
    layers: int = 4
    """Transformer layers."""
    heads: int = 4
    """Attention heads."""
    feed_forward: int = 1024
    """Hidden width of the layers' feed-forward part."""
    dropout: float = 0.1
    """Dropout in training, 0..1."""
    window: int = 5
    """Frames T that the model sees together in training and, by default, at inference."""
    references: int = 15
    """Reference landmark sets N_l at inference; training draws up to as many."""
    features: Literal["mel", "posteriors"] = "mel"
    """What speech enters as: the 80-band mel, or phoneme posteriors."""
    bands: int = 80
    """Values per step of those features; 80 for the mel."""
    speech_channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Widths of the speech encoder: five levels for the mel, one for posteriors."""
    speech_residuals: int = 1
    """Residual convolutions per level of the mel encoder."""
    temporal: int = 0
    """Residual convolutions over the window's speech tokens, before the transformer."""
    points: Literal["convolutions", "perceptron"] = "convolutions"
    """What reads pose and reference points: strided 1-D convolutions along their order, or a perceptron."""
    point_channels: tuple[int, ...] = (64, 128, 256, 512)
    """Widths of those convolutions, or the one hidden width of the perceptron."""

    def __post_init__(self) -> None:
        if min(self.heads, self.window, self.references) < 1:
            raise ValueError("heads, window and references are at least 1")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")
        if self.dim % 2:
            raise ValueError(f"dim {self.dim} is odd; the position code needs sines and cosines in pairs")
        wanted = 5 if self.features == "mel" else 1
        if len(self.speech_channels) != wanted:
            raise ValueError(f"speech_channels of {self.features} need {wanted} widths, not {self.speech_channels}")


class LandmarkGenerator(nn.Module):
    """The speech encoder and the transformer; either may be exchanged for another with the same contract."""

    def __init__(self, speech: nn.Module, transformer: nn.Module) -> None:
        super().__init__()
        self.speech = speech
        self.transformer = transformer

    def forward(self, mel: Tensor, pose: Tensor, references: Tensor) -> Tensor:
        """Content `(b, T, 57, 2)` in crop units.

        mel: `(b, T, bands, 16)`, the speech round each frame. pose: `(b, T, 74, 2)`.
        references: `(b, N, 131, 2)`.
        """
        tokens = self.speech(rearrange(mel, "b t c s -> (b t) 1 c s"))
        tokens = rearrange(tokens, "(b t) d -> b t d", t=pose.shape[1])
        content: Tensor = self.transformer(tokens, pose, references)
        return content


def build_landmark_generator(config: LandmarkConfig) -> LandmarkGenerator:
    """The network that `config` describes, with random weights."""
    return LandmarkGenerator(build_speech_encoder(config), LandmarkTransformer(config))


def build_speech_encoder(config: LandmarkConfig) -> nn.Module:
    """The encoder of one frame's speech, by the kind of features it reads."""
    if config.features == "posteriors":
        return FeatureEncoder(config.bands, config.speech_channels[0], config.dim)
    a, b, c, d, e = config.speech_channels
    return MelEncoder((a, b, c, d, e), config.dim, config.speech_residuals)


class LandmarkTransformer(nn.Module):
    """Fuses reference, speech and pose tokens; speech positions become lips, pose positions the jaw.

    Predicts the offset from what the references alone let expect at the frame's pose (`expected_content`), which
    is also what an untrained model gives.
    """

    _UNIT = 0.05
    """Crop units per unit of the network: about the spread of a mouth."""

    def __init__(self, config: LandmarkConfig) -> None:
        super().__init__()
        dim = config.dim
        self.read_reference = _point_encoder(config, NUM_POINTS)
        self.read_pose = _point_encoder(config, NUM_POINTS)
        self.temporal = nn.Sequential(*(_TemporalResidual(dim) for _ in range(config.temporal)))
        self.normalise = nn.LayerNorm(dim)
        self.modality = nn.Parameter(0.02 * torch.randn(3, dim))
        self.layers = nn.ModuleList(
            _Layer(dim, config.heads, config.feed_forward, config.dropout) for _ in range(config.layers)
        )
        self.drop = nn.Dropout(config.dropout)
        self.lips = _zeroed(nn.Linear(dim, NUM_LIPS * 2))
        self.jaw = _zeroed(nn.Linear(dim, NUM_JAW * 2))

    def forward(self, tokens: Tensor, pose: Tensor, references: Tensor) -> Tensor:
        """Content `(b, T, 57, 2)`, crop units, for any T and N.

        tokens: `(b, T, d)` of the speech encoder. pose: `(b, T, 74, 2)` and references: `(b, N, 131, 2)`, in
        crop units.
        """
        frames, count = tokens.shape[1], references.shape[1]
        pose = steadied(pose)
        mean = reduce(references, "b n p c -> b 1 p c", "mean")
        expected = expected_content(pose, references)
        face = torch.cat([pose, expected], dim=2)
        position = sinusoids(frames, tokens.shape[2], tokens)
        of_reference, of_speech, of_pose = self.modality
        seen = self.normalise(self.read_reference(references, references - mean)) + of_reference
        heard = self.normalise(self.temporal(tokens)) + of_speech + position
        posed = self.normalise(self.read_pose(face, face - mean)) + of_pose + position
        sequence = self.drop(torch.cat([seen, heard, posed], dim=1))
        for layer in self.layers:
            sequence = layer(sequence)
        lips = rearrange(self.lips(sequence[:, count : count + frames]), "b t (p c) -> b t p c", c=2)
        jaw = rearrange(self.jaw(sequence[:, count + frames :]), "b t (p c) -> b t p c", c=2)
        content: Tensor = expected + self._UNIT * torch.cat([jaw, lips], dim=2)
        return content


def steadied(pose: Tensor, frames: float = 3.0) -> Tensor:
    """Pose `(b, T, 74, 2)` averaged over time by a Gaussian of standard deviation `frames`.

    Nose, cheeks and ears of the mesh twitch with the jaw, at the rate of syllables. Left in, they tell what the
    original mouth said: a good score on own speech, and the old words shining through when the speech is new. Heads
    move more slowly.
    """
    index = torch.arange(pose.shape[1], device=pose.device, dtype=torch.float32)
    weights = torch.softmax(-((index[:, None] - index) ** 2) / (2 * frames**2), dim=-1)
    return torch.einsum("ts,bspc->btpc", weights.to(pose.dtype), pose)


def expected_content(pose: Tensor, references: Tensor) -> Tensor:
    """Content `(b, T, 57, 2)` that the references let expect without speech, crop units.

    The mean of the references' content, each moved as the head has moved since, those nearest in pose weighing
    most. pose: `(b, T, 74, 2)`, references: `(b, N, 131, 2)`.

    "As the head moved" is a share of the least-squares similarity of the steady pose points. Of centred points
    x -> y that is a complex factor sum(conj(x) y) / sum(|x|^2) (Umeyama in 2-D). All products are of small
    deviations from the references' mean, so that half precision does no harm.
    """
    shapes, content = references[:, :, :NUM_STEADY], references[:, :, NUM_POSE:]
    mean, mean_content = shapes.mean(1, keepdim=True), content.mean(1, keepdim=True)
    dy, dx = pose[:, :, :NUM_STEADY] - mean, shapes - mean
    x = shapes - shapes.mean(2, keepdim=True)
    power = x.square().sum((2, 3)).clamp_min(1e-8)[:, None]
    growth = (_dot(dy, x) - (dx * x).sum((2, 3))[:, None]) / power
    turn = (_dot(dy, _quarter_turn(x)) - (dx * _quarter_turn(x)).sum((2, 3))[:, None]) / power
    apart = dy.square().sum((2, 3))[:, :, None] + dx.square().sum((2, 3))[:, None] - 2 * _dot(dy, dx)
    weights = torch.softmax(-apart / (2 * NUM_STEADY * _NEARNESS), dim=2)
    arm = content - shapes.mean(2, keepdim=True)
    shift = dy.mean(2, keepdim=True) - _mix(weights, dx.mean(2, keepdim=True))
    moved = _mix(weights * growth, arm) + _mix(weights * turn, _quarter_turn(arm)) + shift
    return mean_content + _mix(weights, content - mean_content) + _TRUST * moved


def _dot(frames: Tensor, shapes: Tensor) -> Tensor:
    """`(b, T, N)` inner products of `(b, T, p, 2)` with `(b, N, p, 2)`."""
    return torch.einsum("b t p c, b n p c -> b t n", frames, shapes)


def _mix(weights: Tensor, shapes: Tensor) -> Tensor:
    """`(b, T, p, 2)`: shapes `(b, N, p, 2)` summed with weights `(b, T, N)`."""
    return torch.einsum("b t n, b n p c -> b t p c", weights, shapes)


def _quarter_turn(points: Tensor) -> Tensor:
    return torch.stack((-points[..., 1], points[..., 0]), dim=-1)


class PointEncoder(nn.Module):
    """One token for a set of points in a fixed order; `features` reads `(n, 4, p)` and gives `(n, dim)`."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, points: Tensor, deviation: Tensor) -> Tensor:
        """Tokens `(b, n, dim)` of points `(b, n, p, 2)` and their deviation from the references' mean."""
        # Centred and scaled to order one: a face fills the crop, a mouth's movement a twentieth of it.
        inputs, _ = pack([2 * (points - 0.5), 20 * deviation], "b n p *")
        batch = inputs.shape[0]
        token: Tensor = self.features(rearrange(inputs, "b n p c -> (b n) c p"))
        tokens: Tensor = rearrange(token, "(b n) d -> b n d", b=batch)
        return tokens


def _point_encoder(config: LandmarkConfig, points: int) -> PointEncoder:
    """The reader of `points` points that `config` describes."""
    if config.points == "perceptron":
        (width,) = config.point_channels
        layers = [nn.Linear(4 * points, width), nn.GELU(), nn.Linear(width, config.dim)]
        return PointEncoder(nn.Sequential(Rearrange("n c p -> n (c p)"), *layers))
    widths, length = (4, *config.point_channels), points
    for _ in config.point_channels:
        length = (length + 1) // 2
    levels = [_StridedResidual(width, next_width) for width, next_width in pairwise(widths)]
    project = nn.Linear(length * widths[-1], config.dim)
    return PointEncoder(nn.Sequential(*levels, Rearrange("n c p -> n (c p)"), project))


def sinusoids(length: int, dim: int, like: Tensor) -> Tensor:
    """Sinusoidal position code `(1, length, dim)` ("Attention is all you need", 3.5), like `like`."""
    index = torch.arange(length, device=like.device, dtype=torch.float32)
    rates = torch.exp(torch.arange(0, dim, 2, device=like.device) * (-math.log(10000.0) / dim))
    angles = torch.outer(index, rates)
    code: Tensor = rearrange([angles.sin(), angles.cos()], "two t d -> 1 t (d two)")
    return code.to(like.dtype)


class _Layer(nn.Module):
    """Post-norm transformer encoder layer."""

    def __init__(self, dim: int, heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.project_in = nn.Linear(dim, 3 * dim)
        self.project_out = nn.Linear(dim, dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, feed_forward), nn.ReLU(), nn.Dropout(dropout), nn.Linear(feed_forward, dim)
        )
        self.drop = nn.Dropout(dropout)
        self.norms = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim)])

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.norms
        x = first(x + self.drop(self.attend(x)))
        output: Tensor = second(x + self.drop(self.feed_forward(x)))
        return output

    def attend(self, x: Tensor) -> Tensor:
        query, key, value = rearrange(self.project_in(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        output: Tensor = self.project_out(rearrange(attended, "b h t d -> b t (h d)"))
        return output


class _TemporalResidual(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.convolution = nn.Conv1d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        mixed = self.convolution(rearrange(self.norm(x), "b t d -> b d t"))
        return x + F.gelu(rearrange(mixed, "b d t -> b t d"))


class _StridedResidual(nn.Module):
    def __init__(self, width: int, next_width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv1d(width, next_width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm1d(next_width),
            nn.ReLU(),
            nn.Conv1d(next_width, next_width, 3, padding=1, bias=False),
            nn.BatchNorm1d(next_width),
        )
        self.shortcut = nn.Conv1d(width, next_width, 1, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.main(x) + self.shortcut(x))


def _zeroed(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
