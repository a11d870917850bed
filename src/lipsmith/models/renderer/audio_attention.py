"""Audio-aware cross-attention from positions of the face to the speech (section 3.2.2, figure 4).

With a single audio token the softmax would be constant. Here the mel window is kept as a map of tokens; each spatial
position attends to them, and the result is added to the features: f + f_g.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.blocks import conv3, zeroed


class MelTokens(nn.Module):
    """E_a: encodes the mel window of a frame, 80 bands by 16 steps, as a map of 10 x 8 tokens."""

    TOKENS = 80

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, (2, 1), 1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, (2, 1), 1),
            nn.ReLU(),
            conv3(64, channels, 2),
        )
        self.position = nn.Parameter(torch.randn(1, self.TOKENS, channels) * 0.02)

    def forward(self, mel: Tensor) -> Tensor:
        """Mel `(b, 1, 80, 16)` in [-4, 4] to tokens `(b, 80, c)`."""
        tokens: Tensor = rearrange(self.body(mel / 4), "b c bands steps -> b (bands steps) c")
        return tokens + self.position


class AudioAttention(nn.Module):
    """f + softmax(Q K^T / sqrt(d)) V, with Q from the face and K, V from the speech; one head."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.tokens = MelTokens(channels)
        self.place = nn.Parameter(torch.randn(1, height * width, channels) * 0.02)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = zeroed(nn.Linear(channels, channels))

    def forward(self, features: Tensor, mel: Tensor) -> Tensor:
        """Features `(b, c, h, w)` and mel `(b, 1, 80, 16)` to features of the same shape."""
        height = features.shape[2]
        # Of the place alone, so that an exported network holds it.
        asked = F.linear(rearrange(features, "b c h w -> b 1 (h w) c"), self.query.weight) + self.query(self.place)
        key, value = self.key_value(self.tokens(mel)[:, None]).chunk(2, dim=-1)
        # Attention is linear in the values, of which there are fewer than places.
        heard: Tensor = F.scaled_dot_product_attention(asked, key, F.linear(value, self.out.weight)) + self.out.bias
        return features + rearrange(heard, "b 1 (h w) c -> b c h w", h=height)


class NoAudio(nn.Module):
    """The features alone: the ablation without audio."""

    def forward(self, features: Tensor, mel: Tensor) -> Tensor:
        """Features `(b, c, h, w)` unchanged."""
        return features
