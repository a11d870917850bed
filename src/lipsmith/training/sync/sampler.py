"""Holds mouths and speech of all clips on the device, and draws random stretches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.data.clips import ClipRecord, load_clip, read_manifest
from lipsmith.errors import InputError
from lipsmith.evaluation.metrics.judge import FPS, on_grid
from lipsmith.models.sync.syncnet import WINDOW
from lipsmith.speech.mel import MEL_RATE
from lipsmith.speech.mel import WINDOW as MEL_STEPS
from lipsmith.training.store import end_to_end, make_spans, pick, read_ahead

_STEPS_PER_FRAME: Final = MEL_RATE / FPS


@dataclass(frozen=True)
class Stretches:
    """B stretches of L mouth windows and the A = L + 2 M speech windows around them."""

    frames: Tensor
    """(B, L + 4, 3, h, w) in [0, 1]: lower halves of crops."""
    mel: Tensor
    """(B, A, 80, 16) in [-4, 4]."""
    valid: Tensor
    """(B, A) bool: speech windows that lie inside the clip."""


class SyncFootage:
    """The clips of a split at 25 fps with at least `shortest` frames. Raises InputError if there are none.

    `lag`: the estimated offset of each clip, in frames.
    """

    def __init__(self, root: Path, split: str, device: torch.device, shortest: int) -> None:
        found = [record for record in read_manifest(root, split) if record.seconds * FPS >= shortest + 1]
        clips = zip(found, read_ahead(partial(_read, root), found), strict=True)
        kept = [(record, lower, mel) for record, (lower, mel) in clips if len(lower) >= shortest]
        if not kept:
            seconds = (shortest + 1) / FPS
            raise InputError(f"{root}: no clip of the split '{split}' lasts {seconds:.1f} s; prepare longer footage.")
        self.records = [record for record, _, _ in kept]
        names = [record.identity for record in self.records]
        self.identities = np.unique(names, return_inverse=True)[1]
        self.frames = make_spans([len(lower) for _, lower, _ in kept], names, device)
        self.steps = make_spans([len(mel) for _, _, mel in kept], names, device)
        frames, steps = int(self.frames.length.sum()), int(self.steps.length.sum())
        self.mouths = end_to_end(({"mouths": lower} for _, lower, _ in kept), frames, device)["mouths"]
        self.mel = end_to_end(({"mel": mel} for _, _, mel in kept), steps, device)["mel"]
        self.lag = torch.zeros(len(kept), device=device)

    def sample(self, count: int, length: int, margin: int, generator: torch.Generator) -> Stretches:
        """`count` stretches of `length` mouth windows, with speech `margin` frames beyond on both sides."""
        clips = self.frames.draw(count, generator)
        taken = length + WINDOW - 1
        start = pick(torch.zeros_like(clips), self.frames.length[clips] - taken + 1, 1, generator)
        span = torch.arange(taken, device=start.device)
        frames = self.mouths[self.frames.first[clips][:, None] + start + span]
        centers = start + WINDOW // 2 + torch.arange(-margin, length + margin, device=start.device)
        mel, valid = self.speech(clips, centers + self.lag[clips][:, None])
        return Stretches(rearrange(frames, "b t h w c -> b t c h w").float() / 255, mel, valid)

    def speech(self, clips: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
        """Mel windows `(B, A, 80, 16)` of clips `(B,)` around frames `centers` `(B, A)`, and whether they exist
        `(B, A)`."""
        start = mel_start(centers)
        last = self.steps.length[clips][:, None] - MEL_STEPS
        valid = (start >= 0) & (start <= last)
        place = torch.minimum(start.clamp(min=0), last.clamp(min=0)) + self.steps.first[clips][:, None]
        steps = place[..., None] + torch.arange(MEL_STEPS, device=place.device)
        return rearrange(self.mel[steps.clamp(max=len(self.mel) - 1)], "b a s m -> b a m s").float(), valid


def mel_start(centers: Tensor) -> Tensor:
    """First mel step of the window centered on frame `centers` at 25 fps (may be fractional)."""
    return torch.floor(_STEPS_PER_FRAME * (centers - WINDOW // 2) + 1e-4).long()


def _read(root: Path, record: ClipRecord) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Lower halves `(F, S / 2, S, 3)` at 25 fps and the mel `(steps, 80)` of one clip."""
    clip = load_clip(root, record)
    assert clip.images is not None
    return clip.images[on_grid(clip.times)[0], clip.images.shape[1] // 2 :], clip.mel.T.astype(np.float16)
