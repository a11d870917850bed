"""Runs the renderer on a batch, encoding each reference and lip once for all targets, and prepares the loss inputs."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from lipsmith.models.lip_detector import LipDetector
from lipsmith.models.renderer.alignment import References
from lipsmith.models.renderer.network import Rendered, Renderer
from lipsmith.models.vgg import VGG
from lipsmith.training.losses.lips import LIPS, shut_as_asked
from lipsmith.training.losses.renderer import BACKGROUND_WEIGHT, Comparison, face_mask, mouth_weight
from lipsmith.training.renderer.sampler import Batch

UNMOVED: Final = 1e-5
"""Distance between asked and shown points, crop units, up to which they are the same; augmentation may round."""


class Inputs(NamedTuple):
    """The tensors of a Batch that networks use: a flat tuple, which wrappers and torch.compile take apart."""

    pool_images: Tensor
    pool_sketches: Tensor
    pool_points: Tensor
    pool_still: Tensor
    lip_images: Tensor
    lip_sketches: Tensor
    images: Tensor
    sketches: Tensor
    points: Tensor
    still: Tensor
    mel: Tensor
    chosen: Tensor


class RenderBatch(nn.Module):
    """The network on a batch whose targets select references from a pool; each reference is encoded once."""

    def __init__(self, network: Renderer) -> None:
        super().__init__()
        self.network = network

    def forward(self, given: Inputs) -> tuple[Tensor, Tensor]:
        """Image `(B * K, 3, S, S)` and aligned references `(B * K, 3, H, S)`."""
        clips, targets, _ = given.chosen.shape
        pool = given.pool_images.flatten(0, 1), given.pool_sketches.flatten(0, 1)
        fine, coarse = self.network.encode_reference(*pool)
        lips = self.network.encode_lip(given.lip_images.flatten(0, 1), given.lip_sketches.flatten(0, 1))
        row = torch.arange(clips, device=given.chosen.device)[:, None, None]

        def choose(pool: Tensor) -> Tensor:
            return pool[row, given.chosen].flatten(0, 1)

        references = References(
            images=choose(given.pool_images),
            points=choose(given.pool_points),
            still=choose(given.pool_still),
            fine=choose(rearrange(fine, "(b r) c h w -> b r c h w", b=clips)),
            coarse=choose(rearrange(coarse, "(b r) c h w -> b r c h w", b=clips)),
        )
        rendered = self.network.render(
            given.images.flatten(0, 1),
            given.sketches.flatten(0, 1),
            given.points.flatten(0, 1),
            given.still.flatten(0, 1),
            given.mel.flatten(0, 1),
            references,
            repeat(lips, "(b m) c h w -> (b t) m c h w", b=clips, t=targets),
        )
        return rendered.image, rendered.aligned


def render_batch(network: nn.Module, batch: Batch) -> Rendered:
    """Run a network on batches, such as RenderBatch, possibly wrapped or compiled, on a batch."""
    pool, lips, targets = batch.pool, batch.lips, batch.targets
    image, aligned = network(
        Inputs(
            *(pool.images, pool.sketches, pool.points, pool.still, lips.images, lips.sketches),
            *(targets.images, targets.sketches, targets.points, targets.still, batch.mel, batch.chosen),
        )
    )
    return Rendered(image, aligned)


def compare(
    rendered: Rendered,
    batch: Batch,
    top: int,
    vgg: VGG | None,
    detector: LipDetector | None = None,
    perceptual_share: float = 1.0,
    shift: tuple[int, int] = (0, 0),
) -> Comparison:
    """The inputs of the loss: the computed rows, with zero weight above S/2, where nothing is generated.

    With a lip detector, it alone judges the faces of targets whose content was moved, because the truth does not show
    what was asked for.
    """
    truth, points = batch.targets.images.flatten(0, 1), batch.targets.points.flatten(0, 1)
    shown, size = batch.targets.shown.flatten(0, 1), truth.shape[-1]
    face = face_mask(points, size)
    weight = mouth_weight(points, size) * torch.lerp(torch.full_like(face, BACKGROUND_WEIGHT), face.new_ones(1), face)
    if detector is not None:
        moved = ((points - shown).abs().amax((1, 2)) > UNMOVED)[:, None, None, None]
        face, weight = face * ~moved, weight * (1 - face * moved)
    weight[..., : size // 2, :] = 0
    truth, weight, face = truth[..., top:, :], weight[..., top:, :], face[..., top:, :]
    context = size // 2 - top
    aligned = torch.cat([truth[..., :context, :], rendered.aligned[..., context:, :].float()], 2)
    image = rendered.image.float()
    lips = None if detector is None else _lips(detector, image, batch.targets.images.flatten(0, 1), points, shown)
    return Comparison(image[..., top:, :], aligned, truth, weight, face, vgg, lips, perceptual_share, shift)


def _lips(detector: LipDetector, image: Tensor, truth: Tensor, asked: Tensor, shown: Tensor) -> tuple[Tensor, Tensor]:
    """Lips `(B, 40, 2)` found in images, and those to find: what is found in the truth, moved as the request demands.

    The detector errs about a person more than a picture does; compared with its own finding, that cancels. Lips that
    are asked shut are to be found shut, whatever is found in the truth.
    """
    around, moved = asked[:, LIPS].mean(1), (asked - shown)[:, LIPS]
    with torch.no_grad():
        wanted = shut_as_asked(detector.detect(truth, around - moved.mean(1)) + moved, asked[:, LIPS])
    return detector.detect(image, around), wanted
