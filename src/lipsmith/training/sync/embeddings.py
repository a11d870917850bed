"""Computes distances of mouths and speech over whole clips with a judge in training."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.evaluation.metrics.lse import REACH, shift_distances
from lipsmith.models.sync.syncnet import WINDOW, SyncNet, windows
from lipsmith.training.sync.sampler import SyncFootage

_SPEECH_BATCH: Final = 1024
"""Speech windows embedded at a time."""
_MOUTH_BATCH: Final = 256
"""Mouth windows embedded at a time (300 MB)."""


@torch.no_grad()
def clip_distances(net: SyncNet, footage: SyncFootage, clips: int | None = None) -> list[NDArray[np.float32]]:
    """For each clip `(W, 2 REACH + 1)`, like `shift_distances`, for the footage on disk without offset correction.

    `clips`: only for this many first clips.
    """
    mouth = _mouth_embeddings(net, footage, clips)
    speech = _speech_embeddings(net, footage, clips)
    counts = (footage.frames.length[:clips] - WINDOW + 1).tolist()
    wider = [count + 2 * REACH for count in counts]
    pairs = zip(mouth.split(counts), speech.split(wider), strict=True)  # type: ignore[no-untyped-call]
    return [shift_distances(m.numpy(), s.numpy()) for m, s in pairs]


def _mouth_embeddings(net: SyncNet, footage: SyncFootage, clips: int | None) -> Tensor:
    """Embeddings of all complete windows of all clips, concatenated, `(sum of W, E)`, on the CPU."""
    parts = []
    for first, count in zip(footage.frames.first[:clips].tolist(), footage.frames.length[:clips].tolist(), strict=True):
        for begin in range(first, first + count - WINDOW + 1, _MOUTH_BATCH):
            end = min(begin + _MOUTH_BATCH + WINDOW - 1, first + count)
            frames = rearrange(footage.mouths[begin:end], "f h w c -> f c h w").float() / 255
            size = (net.config.height, net.config.width)
            scaled = torch.nn.functional.interpolate(frames, size, mode="bilinear", antialias=True)
            parts.append(net.mouth(windows(scaled)).cpu())
    return torch.cat(parts)


def _speech_embeddings(net: SyncNet, footage: SyncFootage, clips: int | None) -> Tensor:
    """Embeddings of the window of every frame and of `REACH` more on both sides; NaN without sound; on the CPU."""
    parts, owners, centers = [], [], []
    for clip, count in enumerate(footage.frames.length[:clips].tolist()):
        center = torch.arange(WINDOW // 2 - REACH, count - WINDOW // 2 + REACH, device=footage.mouths.device)
        centers.append(center)
        owners.append(torch.full_like(center, clip))
    pairs = zip(torch.cat(owners).split(_SPEECH_BATCH), torch.cat(centers).split(_SPEECH_BATCH), strict=True)  # type: ignore[no-untyped-call]
    for owner, center in pairs:
        mel, valid = footage.speech(owner, center[:, None])
        embedding = net.speech(mel).masked_fill(~valid, torch.nan)
        parts.append(embedding.cpu())
    return torch.cat(parts)
