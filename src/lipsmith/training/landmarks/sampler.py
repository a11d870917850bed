"""Footage in memory for the landmark generator, and windows drawn from it where the training runs.

All frames of all clips lie end to end in a few tensors on the device, so that a batch is a handful of gathers.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.data.clips import PreparedClip, load_clip, read_manifest
from lipsmith.errors import InputError
from lipsmith.face.landmarks import outer_lip_opening
from lipsmith.inference.speak import grid, resample
from lipsmith.speech.mel import MEL_RATE, mel_windows

_LOG = logging.getLogger(__name__)
_CANDIDATES = 4
"""Frames drawn for each reference, of which the evenly spaced ranks are kept."""


@dataclass(frozen=True)
class Window:
    """A batch of training windows."""

    speech: Tensor
    """(b, T, bands, 16)."""
    points: Tensor
    """(b, T, 131, 2) crop units: pose, then the content to predict."""
    references: Tensor
    """(b, N, 131, 2) crop units, lip opening rising."""


@dataclass(frozen=True)
class Footage:
    """Clips end to end at 25 frames a second; L frames, W windows, C clips."""

    points: Tensor
    """(L, 131, 2) float32."""
    openings: Tensor
    """(L,) distance of the outer lips."""
    speech: Tensor
    """(2 k + 1, L, bands, 16) float16: the speech round each frame, heard -k to k mel steps later."""
    first: Tensor
    """(C,) first frame of each clip."""
    length: Tensor
    """(C,) frames of each clip."""
    family: Tensor
    """(C, 2) first clip of the clip's identity, and how many it has; clips are sorted by identity."""
    window_first: Tensor
    """(W,) first frame of each window that is tracked throughout."""
    window_clip: Tensor
    """(W,) its clip."""
    cumulative: Tensor
    """(W,) float64, running sum of the windows' probabilities."""

    def to(self, device: torch.device) -> Footage:
        """The same on another device."""
        return Footage(**{name: value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class ReferenceRules:
    """Where a training window's references come from; the rest comes from the whole clip."""

    away: float = 0.4
    """Share of windows whose references come from the half of the clip away from the window."""
    sibling: float = 0.3
    """Share whose references come from some clip of the same identity."""
    fewest: int = 3
    """Least number of references in training, up to the model's."""


def load_footage(root: Path, split: str, window: int, shifts: int = 0) -> Footage:
    """The clips of `split` that hold `window` frames with a face in a row. Raises InputError where there is none."""
    records = sorted(read_manifest(root, split), key=lambda record: (record.identity, record.clip))
    clips = [load_clip(root, record, images=False) for record in records]
    whole = [clip for clip in clips if len(tracked_windows(_tracked(clip), window))]
    if not whole:
        raise InputError(
            f"{root}: no clip of the split '{split}' shows a face in {window} frames in a row; take a shorter window"
        )
    _LOG.info("%s: %d clips, %d of them without a whole window", split, len(clips), len(clips) - len(whole))
    return gather_footage(whole, window, shifts)


def gather_footage(clips: Sequence[PreparedClip], window: int, shifts: int = 0) -> Footage:
    """Footage of clips that are sorted by identity; `shifts`: mel steps that speech may be heard early or late."""
    ticks = [grid(clip.times) for clip in clips]
    points = [resample(clip.landmarks, clip.times, tick) for clip, tick in zip(clips, ticks, strict=True)]
    tracked = [_tracked(clip) for clip in clips]
    length = np.array([len(piece) for piece in points])
    first = np.concatenate([[0], np.cumsum(length)[:-1]])
    starts = [begin + tracked_windows(piece, window) for begin, piece in zip(first, tracked, strict=True)]
    window_clip = np.repeat(np.arange(len(clips)), [len(piece) for piece in starts])
    identities = np.unique([clip.record.identity for clip in clips], return_inverse=True)[1]
    everything = np.concatenate(points)
    return Footage(
        points=torch.from_numpy(everything),
        openings=torch.from_numpy(outer_lip_opening(everything).astype(np.float32)),
        speech=torch.from_numpy(_hear(clips, ticks, shifts)),
        first=torch.from_numpy(first),
        length=torch.from_numpy(length),
        family=torch.from_numpy(_families(identities)),
        window_first=torch.from_numpy(np.concatenate(starts)),
        window_clip=torch.from_numpy(window_clip),
        cumulative=torch.from_numpy(np.cumsum(balanced(identities[window_clip]))),
    )


def _tracked(clip: PreparedClip) -> NDArray[np.bool_]:
    """Whether a face was found, at 25 frames a second."""
    return resample(clip.tracked.astype(np.float32), clip.times, grid(clip.times)) > 0.5


def tracked_windows(tracked: NDArray[np.bool_], window: int) -> NDArray[np.intp]:
    """First frames of all windows in which a face was found in every frame."""
    lost = np.concatenate([[0], np.cumsum(~tracked)])
    return np.flatnonzero(lost[window:] == lost[:-window])


def balanced(identities: NDArray[np.intp]) -> NDArray[np.float64]:
    """Probability of each window: an identity weighs as the square root of its number of windows."""
    counts = np.bincount(identities)
    weight = 1 / np.sqrt(counts[identities])
    shares: NDArray[np.float64] = weight / weight.sum()
    return shares


def draw(
    footage: Footage, batch: int, window: int, references: int, rules: ReferenceRules, random: torch.Generator
) -> Window:
    """`batch` windows of `window` frames, each with `references` reference shapes."""
    device = footage.points.device
    chance = torch.rand(batch, device=device, dtype=torch.float64, generator=random)
    chosen = torch.searchsorted(footage.cumulative, chance).clamp_max(len(footage.window_first) - 1)
    frames = footage.window_first[chosen, None] + torch.arange(window, device=device)
    shift = torch.randint(len(footage.speech), (batch, 1), device=device, generator=random)
    return Window(
        speech=footage.speech[shift, frames].float(),
        points=footage.points[frames],
        references=footage.points[_references(footage, chosen, window, references, rules, random)],
    )


def _references(
    footage: Footage, chosen: Tensor, window: int, count: int, rules: ReferenceRules, random: torch.Generator
) -> Tensor:
    """Frames `(b, count)` at evenly spaced ranks of lip opening among frames drawn from where the rules say."""
    batch, device = len(chosen), chosen.device
    first, length = _ranges(footage, chosen, window, rules, random)
    spot = torch.rand(batch, _CANDIDATES * count, device=device, generator=random)
    candidates = first[:, None] + (spot * length[:, None]).long().clamp_max(length[:, None] - 1)
    order = footage.openings[candidates].argsort(dim=1)
    places = torch.linspace(0, _CANDIDATES * count - 1, count, device=device).round().long()
    return candidates.gather(1, order[:, places])


def _ranges(
    footage: Footage, chosen: Tensor, window: int, rules: ReferenceRules, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """First frame and number of frames `(b,)` from which each window takes its references."""
    clip = footage.window_clip[chosen]
    chance, spot = torch.rand(2, len(chosen), device=chosen.device, generator=random)
    begin, members = footage.family[clip].unbind(1)
    sibling = begin + (spot * members).long().clamp_max(members - 1)
    clip = torch.where(chance > 1 - rules.sibling, sibling, clip)
    first, length = footage.first[clip], footage.length[clip]
    late = 2 * (footage.window_first[chosen] - first) + window > length
    away = chance < rules.away
    half = length // 2
    first = torch.where(away & ~late, first + half, first)
    return first, torch.where(away, half, length)


def _hear(clips: Sequence[PreparedClip], ticks: Sequence[NDArray[np.float64]], shifts: int) -> NDArray[np.float16]:
    """(2 shifts + 1, L, 80, 16)."""
    moved = []
    for shift in range(-shifts, shifts + 1):
        pieces = [
            mel_windows(clip.mel, tick + shift / MEL_RATE).astype(np.float16)
            for clip, tick in zip(clips, ticks, strict=True)
        ]
        moved.append(np.concatenate(pieces))
    return np.stack(moved)


def _families(identities: NDArray[np.intp]) -> NDArray[np.int64]:
    _, first, inverse, count = np.unique(identities, return_index=True, return_inverse=True, return_counts=True)
    return np.stack([first[inverse], count[inverse]], axis=1).astype(np.int64)
