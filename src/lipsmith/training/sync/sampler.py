"""Mouths and speech of all clips on the device, and stretches of them drawn at random."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.data.clips import ClipRecord, load_clip, read_manifest
from lipsmith.errors import InputError
from lipsmith.speech.mel import MEL_RATE

FPS: Final = 25.0
STEPS_PER_FRAME: Final = MEL_RATE / FPS
MEL_STEPS: Final = 16
WINDOW: Final = 5
_READERS: Final = 8


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
    """The clips of a split at 25 fps that have `shortest` frames; InputError where none has.

    `lag` holds what is known of each clip's offset, in frames.
    """

    def __init__(self, root: Path, split: str, device: torch.device, shortest: int) -> None:
        found = [record for record in read_manifest(root, split) if record.seconds * FPS >= shortest + 1]
        with ThreadPoolExecutor(_READERS) as pool:
            clips = list(pool.map(lambda record: _read(root, record), found))
        kept = [(record, clip) for record, clip in zip(found, clips, strict=True) if len(clip[0]) >= shortest]
        if not kept:
            seconds = (shortest + 1) / FPS
            raise InputError(f"{root}: no clip of the split '{split}' lasts {seconds:.1f} s; prepare longer footage")
        self.records = [record for record, _ in kept]
        self.device = device
        self.frames = torch.tensor([len(lower) for _, (lower, _) in kept], device=device)
        self.steps = torch.tensor([mel.shape[1] for _, (_, mel) in kept], device=device)
        self.first = torch.cumsum(self.frames, 0) - self.frames
        self.base = torch.cumsum(self.steps, 0) - self.steps
        self.mouths = torch.cat([torch.from_numpy(lower).to(device) for _, (lower, _) in kept])
        self.mel = torch.cat([torch.from_numpy(mel).to(device) for _, (_, mel) in kept], dim=1)
        self.lag = torch.zeros(len(kept), device=device)
        self.identities = np.unique([record.identity for record in self.records], return_inverse=True)[1]
        self.weights = torch.from_numpy(balanced(self.identities, self.frames.cpu().numpy())).to(device)

    def sample(self, count: int, length: int, margin: int, generator: torch.Generator) -> Stretches:
        """`count` stretches of `length` mouth windows, with speech `margin` frames further to both sides."""
        clips = torch.multinomial(self.weights, count, True, generator=generator)
        free = self.frames[clips] - (length + WINDOW - 1)
        draw = torch.rand(count, device=self.device, generator=generator)
        start = (draw * (free + 1)).long()
        span = torch.arange(length + WINDOW - 1, device=self.device)
        frames = self.mouths[(self.first[clips] + start)[:, None] + span]
        centres = start[:, None] + WINDOW // 2 + torch.arange(-margin, length + margin, device=self.device)
        mel, valid = self.speech(clips, centres + self.lag[clips][:, None])
        return Stretches(rearrange(frames, "b t h w c -> b t c h w").float() / 255, mel, valid)

    def speech(self, clips: Tensor, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Mel windows `(B, A, 80, 16)` of clips `(B,)` around frames `centres` `(B, A)`, and which exist `(B, A)`."""
        start = mel_start(centres)
        last = self.steps[clips][:, None] - MEL_STEPS
        valid = (start >= 0) & (start <= last)
        place = torch.minimum(start.clamp(min=0), last.clamp(min=0)) + self.base[clips][:, None]
        steps = place[..., None] + torch.arange(MEL_STEPS, device=self.device)
        return rearrange(self.mel[:, steps.clamp(max=self.mel.shape[1] - 1)], "m b a s -> b a m s").float(), valid


def mel_start(centres: Tensor) -> Tensor:
    """First mel step of the window centred on frame `centres` at 25 fps (which may be a fraction)."""
    return torch.floor(STEPS_PER_FRAME * (centres - WINDOW // 2) + 1e-4).long()


def balanced(identities: NDArray[np.intp], frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability of each clip `(C,)`: an identity's grows with the square root of its footage, a clip's within it
    with its length; else the voices of a few would be learnt by heart."""
    footage = np.bincount(identities, weights=frames)
    weight = frames / np.sqrt(footage[identities])
    return np.asarray(weight / weight.sum(), np.float64)


def _read(root: Path, record: ClipRecord) -> tuple[NDArray[np.uint8], NDArray[np.float16]]:
    """Lower halves `(F, S / 2, S, 3)` at 25 fps and the mel of one clip."""
    clip = load_clip(root, record)
    assert clip.images is not None
    grid = np.arange(0, clip.times[-1] + 0.5 / FPS, 1 / FPS)
    right = np.clip(np.searchsorted(clip.times, grid), 1, max(1, len(clip.times) - 1))
    nearer = np.abs(clip.times[right - 1] - grid) <= np.abs(clip.times[np.minimum(right, len(clip.times) - 1)] - grid)
    chosen = np.minimum(np.where(nearer, right - 1, right), len(clip.times) - 1)
    return clip.images[chosen, clip.images.shape[1] // 2 :], clip.mel.astype(np.float16)
