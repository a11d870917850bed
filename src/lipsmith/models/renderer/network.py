"""The renderer from landmarks to a face: the alignment and rendering models (section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.models.blocks import Unshuffle, conv3, flat, grouped, res_blocks
from lipsmith.models.renderer.alignment import Aligned, Alignment, FlowAlignment, NoAlignment, References, Request
from lipsmith.models.renderer.audio_attention import AudioAttention, NoAudio
from lipsmith.models.renderer.config import RendererConfig
from lipsmith.models.renderer.decoder import Decoder
from lipsmith.models.renderer.encoders import ReferenceEncoder, TargetEncoder
from lipsmith.models.renderer.learned_alignment import LearnedAlignment
from lipsmith.models.renderer.light import LightMatch
from lipsmith.models.renderer.lip_module import LipEncoder, LipFusion, NoLipEncoder, NoLips

ALIGNMENTS: Final[dict[str, Callable[[RendererConfig], Alignment]]] = {
    "flow": FlowAlignment,
    "learned": LearnedAlignment,
    "none": NoAlignment,
}


@dataclass(frozen=True)
class Rendered:
    """A batch of rendered targets."""

    image: Tensor
    """(b, 3, S, S), about [0, 1], not clamped: the target's upper half, the generated lower half."""
    aligned: Tensor
    """(b, 3, H, S): the references' aligned mean in the computed rows, in the target's light, before rendering."""


@dataclass(frozen=True)
class MaskedTarget:
    """The visible part of a batch of targets, in the computed rows."""

    known: Tensor
    """(b, 3, H, S): the upper half minus 0.5, zero below."""
    sketches: Tensor
    """(b, 2k+1, H, S)."""


@dataclass(frozen=True)
class EncodedTarget(MaskedTarget):
    """A masked target with its features."""

    fine: Tensor
    """(b, c1, H/2, S/2), f^m1."""
    coarse: Tensor
    """(b, c2, H/4, S/4), f^m2."""


class Renderer(nn.Module):
    """The renderer: `encode_reference` runs once per reference, `encode_lip` once per lip, `render` once per frame."""

    def __init__(self, config: RendererConfig) -> None:
        super().__init__()
        self.config = config
        region = (config.face_size - config.top) // 4, config.face_size // 4
        self.reference_encoder = ReferenceEncoder(config)
        self.target_encoder = TargetEncoder(config)
        self.alignment = ALIGNMENTS[config.alignment](config)
        self.light = LightMatch(config)
        self.masked_encoder = nn.Sequential(
            Unshuffle(4),
            conv3(16 * (3 + config.sketches), config.coarse),
            res_blocks(config.coarse, config.blocks),
        )
        self.lip_encoder = LipEncoder(config) if config.lip_module == "mean" else NoLipEncoder(config)
        self.lip_fusion = LipFusion(config.coarse) if config.lip_module == "mean" else NoLips()
        self.audio = AudioAttention(config.coarse, *region) if config.audio == "attention" else NoAudio()
        self.decoder = Decoder(config)

    def freeze_alignment(self) -> None:
        """Train only the rendering model: masked and lip encoders, lip fusion, speech, decoder."""
        for part in (self.reference_encoder, self.target_encoder, self.alignment):
            part.requires_grad_(False)

    def encode_reference(self, image: Tensor, sketch: Tensor) -> tuple[Tensor, Tensor]:
        """f^r1, f^r2 of references `(n, 3, S, S)` and sketches `(n, 1, S, S)`."""
        fine, coarse = self.reference_encoder(image, sketch)
        return fine, coarse

    def encode_lip(self, image: Tensor, sketch: Tensor) -> Tensor:
        """f^l of lip references `(n, 3, S, S)` and sketches `(n, 1, S, S)`."""
        lips: Tensor = self.lip_fusion.of_lips(self.lip_encoder(image, sketch))
        return lips

    def render(
        self,
        target: Tensor,
        sketches: Tensor,
        points: Tensor,
        still: Tensor,
        mel: Tensor,
        references: References,
        lips: Tensor,
    ) -> Rendered:
        """Render targets.

        Args:
            target: `(b, 3, S, S)` in [0, 1]; its lower half is masked here, so its content does not matter.
            sketches: `(b, 2k+1, S, S)` in [0, 1], the target's in the middle.
            points: `(b, 131, 2)` crop units: the target's pose, the requested content.
            still: `(b, 2, 2)` crop units: `lipsmith.face.crop.still_points` of the target's crop.
            mel: `(b, 1, 80, 16)` in [-4, 4].
            references: k per target.
            lips: `(b, m, c2, h, w)` from `encode_lip`.
        """
        masked = self.encode_target(self.mask(target, sketches))
        aligned = self.align(masked, points, still, references)
        lower, lit = self.paint(masked, aligned, mel, lips)
        return Rendered(torch.cat([target[..., : self.config.face_size // 2, :], lower], 2), lit)

    def mask(self, target: Tensor, sketches: Tensor) -> MaskedTarget:
        """Mask the lower half of targets `(b, 3, S, S)` and crop the sketches `(b, 2k+1, S, S)`."""
        top, half = self.config.top, self.config.face_size // 2
        return as_masked(target[..., top:half, :], sketches[..., top:, :])

    def encode_target(self, masked: MaskedTarget) -> EncodedTarget:
        """Encode what is visible of targets."""
        features = self.target_encoder(torch.cat([masked.known, masked.sketches], 1))
        return EncodedTarget(masked.known, masked.sketches, *features)

    def align(self, masked: EncodedTarget, points: Tensor, still: Tensor, references: References) -> Aligned:
        """Warp the references onto the target; shapes as in `render`."""
        request = Request(points, references.points, masked.sketches, masked.known, masked.coarse)
        aligned: Aligned = self.alignment(request, still, references)
        return aligned

    def paint(self, masked: EncodedTarget, aligned: Aligned, mel: Tensor, lips: Tensor) -> tuple[Tensor, Tensor]:
        """Fuse the warped references, lip references and speech: the lower half `(b, 3, S/2, S)` and
        `Rendered.aligned`; other shapes as in `render`."""
        lit = self.light(masked.known, aligned.image)
        encoded = self.masked_encoder(torch.cat([masked.known, masked.sketches], 1))
        lower: Tensor = self.decoder(
            self.audio(self.lip_fusion(encoded, lips), mel),
            torch.cat([masked.coarse, aligned.coarse], 1),
            torch.cat([masked.fine, aligned.fine], 1),
            torch.cat([masked.known, lit], 1),
        )
        return lower, lit

    def forward(
        self,
        target: Tensor,
        sketches: Tensor,
        points: Tensor,
        still: Tensor,
        mel: Tensor,
        reference_images: Tensor,
        reference_sketches: Tensor,
        reference_points: Tensor,
        reference_still: Tensor,
        lip_images: Tensor,
        lip_sketches: Tensor,
    ) -> Rendered:
        """The complete model; references and lips are `(b, k or m, 3, S, S)`, their sketches have 1 channel."""
        count, lip_count = reference_images.shape[1], lip_images.shape[1]
        fine, coarse = self.encode_reference(flat(reference_images), flat(reference_sketches))
        lips = self.encode_lip(flat(lip_images), flat(lip_sketches))
        references = References(
            reference_images, reference_points, reference_still, grouped(fine, count), grouped(coarse, count)
        )
        return self.render(target, sketches, points, still, mel, references, grouped(lips, lip_count))


def as_masked(known: Tensor, sketches: Tensor) -> MaskedTarget:
    """Targets of which only the computed rows above S/2, `(b, 3, S/2 - top, S)`, are known, so that the mouth of the
    source cannot leak; `sketches`: `(b, 2k+1, H, S)`."""
    return MaskedTarget(F.pad(known - 0.5, (0, 0, 0, sketches.shape[-2] - known.shape[-2])), sketches)
