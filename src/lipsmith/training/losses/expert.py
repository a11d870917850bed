"""Wav2Lip's sync loss: what a frozen lip-sync judge says of generated pictures."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from lipsmith.models.sync.syncnet import SyncNet

_LEAST = 1e-4


def expert_loss(judge: SyncNet, pictures: Tensor, mel: Tensor) -> Tensor:
    """-log P, the mean over clips, with P = (1 + cosine) / 2 of the embeddings of mouths and speech.

    The published judge has embeddings of positive numbers, whose cosine is P itself; ours has unit vectors.

    Args:
        judge: The network; its weights should not require a gradient.
        pictures: `(b, 5, 3, S, S)` successive crops in [0, 1].
        mel: `(b, 1, 80, 16)`, the speech around the third picture.
    """
    mouths = judge.mouths(rearrange(pictures, "b t c h w -> (b t) c h w"))
    mouth, speech = judge(rearrange(mouths, "(b t) c h w -> b t c h w", b=len(mel)), mel)
    loss: Tensor = -((1 + (mouth * speech).sum(-1)) / 2).clamp_min(_LEAST).log().mean()
    return loss
