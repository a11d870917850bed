"""The multi-reference lip module, which encodes the appearance of lips and teeth (section 3.2.2, figure 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lipsmith.models.blocks import Unshuffle, conv3, res_blocks
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.flow import mean_over


class LipEncoder(nn.Module):
    """Encodes a lip reference and its sketch as f^l_i. Runs once per lip reference."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.top = config.top
        self.body = nn.Sequential(
            Unshuffle(4), conv3(64, config.coarse), res_blocks(config.coarse, config.blocks), nn.ReLU()
        )

    def forward(self, image: Tensor, sketch: Tensor) -> Tensor:
        """Image `(n, 3, S, S)` in [0, 1] and sketch `(n, 1, S, S)` to `(n, c2, H/4, S/4)` of the computed rows."""
        picture = torch.cat([image - 0.5, sketch], 1)[..., self.top :, :]
        features: Tensor = self.body(picture)
        return features


class NoLipEncoder(nn.Module):
    """Zeros in the shape of LipEncoder's features: the ablation without lip references."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.top, self.channels = config.top, config.coarse

    def forward(self, image: Tensor, sketch: Tensor) -> Tensor:
        """As LipEncoder."""
        count, _, height, width = image.shape
        return image.new_zeros(count, self.channels, (height - self.top) // 4, width // 4)


class LipFusion(nn.Module):
    """mean_i F([f^m, f^l_i]): the target's features fused with each lip reference's, averaged.

    F is a residual block on the concatenation. Its first convolution is the sum of a convolution of f^m and one of
    f^l_i, which is computed once a lip (`of_lips`); the last is linear, so it is applied to the mean. The result is the
    same for a fraction of the cost.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.from_target = conv3(channels, channels)
        self.from_lip = nn.Conv2d(channels, channels, 1)
        self.out = conv3(channels, channels)

    def of_lips(self, lips: Tensor) -> Tensor:
        """f^l `(n, c2, h, w)` to its part in the first convolution, same shape."""
        out: Tensor = self.from_lip(lips)
        return out

    def forward(self, target: Tensor, lips: Tensor) -> Tensor:
        """f^m `(b, c2, h, w)` and `of_lips` `(b, m, c2, h, w)` to `(b, c2, h, w)`."""
        hidden = self.from_target(target)[:, None] + lips
        out: Tensor = target + self.out(mean_over(torch.relu(hidden)))
        return out


class NoLips(nn.Module):
    """The target's features alone: the ablation without lip references."""

    def of_lips(self, lips: Tensor) -> Tensor:
        """Unchanged."""
        return lips

    def forward(self, target: Tensor, lips: Tensor) -> Tensor:
        """f^m `(b, c2, h, w)` unchanged."""
        return target
