"""The renderer on a whole batch: every reference and lip is encoded once, whatever the number of targets it serves."""

from __future__ import annotations

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from lipsmith.models.alignment import References
from lipsmith.models.renderer import Rendered, Renderer
from lipsmith.train.renderer_data import Batch


class RenderBatch(nn.Module):
    """The network on a batch whose targets choose their references from a pool: each reference is encoded once."""

    def __init__(self, network: Renderer) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        pool_images: Tensor,
        pool_sketches: Tensor,
        pool_points: Tensor,
        pool_still: Tensor,
        lip_images: Tensor,
        lip_sketches: Tensor,
        images: Tensor,
        sketches: Tensor,
        points: Tensor,
        still: Tensor,
        mel: Tensor,
        chosen: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """The tensors of a Batch to image `(B * K, 3, S, S)` and aligned references `(B * K, 3, H, S)`."""
        clips, targets, _ = chosen.shape
        fine, coarse = self.network.encode_reference(pool_images.flatten(0, 1), pool_sketches.flatten(0, 1))
        lips = self.network.encode_lip(lip_images.flatten(0, 1), lip_sketches.flatten(0, 1))
        row = torch.arange(clips, device=chosen.device)[:, None, None]

        def choose(pool: Tensor) -> Tensor:
            return pool[row, chosen].flatten(0, 1)

        references = References(
            images=choose(pool_images),
            points=choose(pool_points),
            still=choose(pool_still),
            fine=choose(rearrange(fine, "(b r) c h w -> b r c h w", b=clips)),
            coarse=choose(rearrange(coarse, "(b r) c h w -> b r c h w", b=clips)),
        )
        rendered = self.network.render(
            images.flatten(0, 1),
            sketches.flatten(0, 1),
            points.flatten(0, 1),
            still.flatten(0, 1),
            mel.flatten(0, 1),
            references,
            repeat(lips, "(b m) c h w -> (b t) m c h w", b=clips, t=targets),
        )
        return rendered.image, rendered.aligned


def render_batch(network: nn.Module, batch: Batch) -> Rendered:
    """A RenderBatch network, wrapped or compiled or not, on a batch."""
    pool, lips, targets = batch.pool, batch.lips, batch.targets
    image, aligned = network(
        *(pool.images, pool.sketches, pool.points, pool.still, lips.images, lips.sketches),
        *(targets.images, targets.sketches, targets.points, targets.still, batch.mel, batch.chosen),
    )
    return Rendered(image, aligned)
