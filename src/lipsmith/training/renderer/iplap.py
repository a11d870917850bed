"""The training task of IP_LAP's renderer: first the alignment alone, then everything, on the footage of ours."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn

from lipsmith.models.peers.iplap import EncodedReferences, IplapRenderer
from lipsmith.training.renderer.batch import Inputs
from lipsmith.training.renderer.config import IplapTraining
from lipsmith.training.renderer.picture_task import AlignedTask


class IplapBatch(nn.Module):
    """The network on a batch; each reference is encoded once."""

    def __init__(self, network: IplapRenderer) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Inputs) -> tuple[Tensor, Tensor]:
        """As `RenderBatch`, without points, still points and lips."""
        encoded = self.network.encode(given.pool_images, given.pool_sketches)
        row = torch.arange(len(given.chosen), device=given.chosen.device)[:, None, None]
        levels = (encoded.images, encoded.full, encoded.half)
        references = EncodedReferences(*(rearrange(x[row, given.chosen], "b t k ... -> (b t) k ...") for x in levels))
        targets = (level.flatten(0, 1) for level in (given.images, given.sketches, given.mel))
        image, warped = self.network(*targets, references)
        return image, warped[..., self.network.config.top :, :]


class IplapTask(AlignedTask):
    """Trains `IplapRenderer` with the paper's loss on the lower half, which is what it may change.

    The published loss covers the whole crop, of which the upper half is an input.
    """

    def __init__(self, config: IplapTraining) -> None:
        super().__init__(config)
        self.config: IplapTraining = config

    def build(self) -> IplapBatch:
        """The renderer on batches."""
        return IplapBatch(IplapRenderer(self.config.model))

    def identity(self) -> dict[str, Any]:
        """The system and its architecture."""
        return {"system": self.config.system, "model": asdict(self.config.model)}
