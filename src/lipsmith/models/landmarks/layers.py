"""Layers of the landmark generator: point encoders, position code, transformer layer, residual convolutions."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from einops import pack, rearrange
from einops.layers.torch import Rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.face.landmarks import NUM_POINTS
from lipsmith.models.landmarks.config import LandmarkConfig


class PointEncoder(nn.Module):
    """Encodes a set of points in a fixed order as one token; `features` maps `(n, 4, p)` to `(n, dim)`."""

    def __init__(self, features: nn.Module) -> None:
        super().__init__()
        self.features = features

    def forward(self, points: Tensor, deviation: Tensor) -> Tensor:
        """Tokens `(b, n, dim)` of points `(b, n, p, 2)` and their deviation from the references' mean."""
        # Centered and scaled to order one: a face fills the crop, and a mouth moves by a twentieth of it.
        inputs, _ = pack([2 * (points - 0.5), 20 * deviation], "b n p *")
        batch = inputs.shape[0]
        token: Tensor = self.features(rearrange(inputs, "b n p c -> (b n) c p"))
        tokens: Tensor = rearrange(token, "(b n) d -> b n d", b=batch)
        return tokens


def build_point_encoder(config: LandmarkConfig) -> PointEncoder:
    """The encoder of the 131 points that `config` describes."""
    if config.points == "perceptron":
        (width,) = config.point_channels
        layers = [nn.Linear(4 * NUM_POINTS, width), nn.GELU(), nn.Linear(width, config.dim)]
        return PointEncoder(nn.Sequential(Rearrange("n c p -> n (c p)"), *layers))
    widths, length = (4, *config.point_channels), NUM_POINTS
    for _ in config.point_channels:
        length = (length + 1) // 2
    levels = [_StridedResidual(width, next_width) for width, next_width in pairwise(widths)]
    project = nn.Linear(length * widths[-1], config.dim)
    return PointEncoder(nn.Sequential(*levels, Rearrange("n c p -> n (c p)"), project))


def sinusoids(length: int, dim: int, like: Tensor) -> Tensor:
    """Sinusoidal position encoding `(1, length, dim)` ("Attention is all you need", 3.5), with dtype and device of
    `like`."""
    index = torch.arange(length, device=like.device, dtype=torch.float32)
    rates = torch.exp(torch.arange(0, dim, 2, device=like.device) * (-math.log(10000.0) / dim))
    angles = torch.outer(index, rates)
    code: Tensor = rearrange([angles.sin(), angles.cos()], "two t d -> 1 t (d two)")
    return code.to(like.dtype)


class EncoderLayer(nn.Module):
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
        """Tokens `(b, t, dim)` to the same shape."""
        first, second = self.norms
        x = first(x + self.drop(self.attend(x)))
        output: Tensor = second(x + self.drop(self.feed_forward(x)))
        return output

    def attend(self, x: Tensor) -> Tensor:
        """Self-attention of all tokens `(b, t, dim)` of a window, to the same shape."""
        query, key, value = rearrange(self.project_in(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        output: Tensor = self.project_out(rearrange(attended, "b h t d -> b t (h d)"))
        return output


class TemporalResidual(nn.Module):
    """x + gelu(conv(norm(x))) over three neighboring tokens in time."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.convolution = nn.Conv1d(dim, dim, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens `(b, t, dim)` to the same shape."""
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
