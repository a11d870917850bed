"""The training task of Wav2Lip's generator: L1 and the sync loss of a frozen judge, on the footage of ours."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from lipsmith.evaluation.metrics.judge import load_syncnet
from lipsmith.inference.model_folder import find_model
from lipsmith.models.peers.wav2lip import Wav2Lip, generate
from lipsmith.models.sync.syncnet import WINDOW
from lipsmith.training.losses.adversarial import Adversary
from lipsmith.training.losses.expert import expert_loss
from lipsmith.training.renderer.batch import Inputs, render_batch
from lipsmith.training.renderer.config import Wav2LipTraining
from lipsmith.training.renderer.picture_task import PictureTask
from lipsmith.training.renderer.sampler import Batch, SuccessiveFootage


class Wav2LipBatch(nn.Module):
    """The network on a batch, whose pictures are resized to 96 pixels and back."""

    def __init__(self, network: Wav2Lip, top: int) -> None:
        super().__init__()
        self.network = network
        self.top = top

    def forward(self, given: Inputs) -> tuple[Tensor, Tensor]:
        """Whole faces `(B K, 3, S, S)` and their references' computed rows `(B K, 3, H, S)`."""
        row = torch.arange(len(given.chosen), device=given.chosen.device)[:, None]
        references = given.pool_images[row, given.chosen[..., 0]].flatten(0, 1)
        faces = generate(self.network, given.images.flatten(0, 1), references, given.mel.flatten(0, 1))
        return faces, references[..., self.top :, :]


class Wav2LipTask(PictureTask):
    """Trains `Wav2Lip` with one random reference for five successive targets."""

    footage_class = SuccessiveFootage

    def __init__(self, config: Wav2LipTraining) -> None:
        super().__init__(config)
        self.config: Wav2LipTraining = config
        self.weights = asdict(config.weights)

    def load_judges(self, device: torch.device) -> None:
        """Load the lip-sync judge. Raises WeightsError if it is missing."""
        self.judge = load_syncnet(find_model(self.config.judge)).requires_grad_(False).to(device)

    def build(self) -> Wav2LipBatch:
        """The generator on batches."""
        return Wav2LipBatch(Wav2Lip(self.config.model), self.config.model.top)

    def identity(self) -> dict[str, Any]:
        """The system and its architecture."""
        return {"system": self.config.system, "model": asdict(self.config.model)}

    def losses(self, network: nn.Module, batch: Batch, done: float, adversary: Adversary | None) -> dict[str, Tensor]:
        """L1 of the whole face, and from `sync_from` on the sync loss."""
        with self.precision:
            faces = render_batch(network, batch).image.float()
        terms = {"pixel": F.l1_loss(faces, batch.targets.images.flatten(0, 1))}
        if done >= self.config.sync_from:
            windows = rearrange(faces, "(b t) c h w -> b t c h w", t=WINDOW)
            terms["sync"] = expert_loss(self.judge, windows, batch.mel[:, WINDOW // 2])
        return terms
