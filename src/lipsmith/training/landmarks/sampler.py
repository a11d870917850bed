"""Footage for the landmark generator, and windows drawn from it on the device."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.data.clips import PreparedClip, load_clip, read_manifest
from lipsmith.errors import InputError
from lipsmith.face.landmarks import outer_lip_opening
from lipsmith.inference.speak import grid, resample
from lipsmith.speech.mel import MEL_RATE, mel_windows
from lipsmith.training.store import Spans, end_to_end, make_spans, pick, read_ahead

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
    """Clips end to end at 25 frames per second; L frames, W windows, C clips, sorted by identity."""

    points: Tensor
    """(L, 131, 2) float32."""
    openings: Tensor
    """(L,) distance of the outer lips."""
    speech: Tensor
    """(L, 2 k + 1, bands, 16) float16: the speech round each frame, -k to k mel steps later."""
    frames: Spans
    """Where each clip's frames lie."""
    windows: Spans
    """Where each clip's windows lie; clips are drawn by these."""
    window_first: Tensor
    """(W,) first frame of each window that is tracked throughout."""
    family: Tensor
    """(C, 2) first clip of the clip's identity, and how many it has."""


@dataclass(frozen=True)
class ReferenceRules:
    """Where a training window's references come from; the rest comes from the whole clip."""

    away: float = 0.4
    """Share of windows whose references come from the half of the clip away from the window."""
    sibling: float = 0.3
    """Share whose references come from some clip of the same identity."""
    fewest: int = 3
    """Least number of references in training, up to the model's."""


def load_footage(root: Path, split: str, window: int, shifts: int, device: torch.device) -> Footage:
    """The clips of `split` that hold `window` frames with a face in a row. Raises InputError where there is none."""
    records = sorted(read_manifest(root, split), key=lambda record: (record.identity, record.clip))
    clips = list(read_ahead(partial(load_clip, root, images=False), records))
    whole = [clip for clip in clips if len(tracked_windows(_tracked(clip), window))]
    if not whole:
        raise InputError(
            f"{root}: no clip of the split '{split}' shows a face in {window} frames in a row; take a shorter window"
        )
    _LOG.info("%s: %d clips, %d of them without a whole window", split, len(clips), len(clips) - len(whole))
    return gather_footage(whole, window, shifts, device)


def gather_footage(
    clips: Sequence[PreparedClip], window: int, shifts: int = 0, device: torch.device | str = "cpu"
) -> Footage:
    """Footage of clips that are sorted by identity; `shifts`: mel steps by which speech may be early or late."""
    identities = [clip.record.identity for clip in clips]
    starts = [tracked_windows(_tracked(clip), window) for clip in clips]
    frames = make_spans([len(grid(clip.times)) for clip in clips], identities, device)
    windows = make_spans([len(each) for each in starts], identities, device)
    pieces = (_at_25(clip, shifts) for clip in clips)
    firsts = zip(frames.first.tolist(), starts, strict=True)
    return Footage(
        **end_to_end(pieces, int(frames.length.sum()), device),
        frames=frames,
        windows=windows,
        window_first=torch.from_numpy(np.concatenate([first + each for first, each in firsts])).to(device),
        family=torch.from_numpy(_families(identities)).to(device),
    )


def _at_25(clip: PreparedClip, shifts: int) -> dict[str, NDArray[Any]]:
    """Points, openings and speech of a clip at 25 frames per second."""
    ticks = grid(clip.times)
    points = resample(clip.landmarks, clip.times, ticks).astype(np.float32)
    speech = [mel_windows(clip.mel, ticks + shift / MEL_RATE) for shift in range(-shifts, shifts + 1)]
    return {
        "points": points,
        "openings": outer_lip_opening(points).astype(np.float32),
        "speech": np.stack(speech, axis=1).astype(np.float16),
    }


def _tracked(clip: PreparedClip) -> NDArray[np.bool_]:
    """Whether a face was found, at 25 frames a second."""
    return resample(clip.tracked.astype(np.float32), clip.times, grid(clip.times)) > 0.5


def tracked_windows(tracked: NDArray[np.bool_], window: int) -> NDArray[np.intp]:
    """First frames of all windows in which a face was found in every frame."""
    lost = np.concatenate([[0], np.cumsum(~tracked)])
    return np.flatnonzero(lost[window:] == lost[:-window])


def draw(
    footage: Footage, batch: int, window: int, references: int, rules: ReferenceRules, random: torch.Generator
) -> Window:
    """`batch` windows of `window` frames, each with `references` reference shapes."""
    device = footage.points.device
    clips = footage.windows.draw(batch, random)
    chosen = pick(footage.windows.first[clips], footage.windows.length[clips], 1, random)
    frames = footage.window_first[chosen] + torch.arange(window, device=device)
    shift = torch.randint(footage.speech.shape[1], (batch, 1), device=device, generator=random)
    first, length = _reference_ranges(footage, clips, frames, rules, random)
    return Window(
        speech=footage.speech[frames, shift].float(),
        points=footage.points[frames],
        references=footage.points[_references(footage, first, length, references, random)],
    )


def _references(footage: Footage, first: Tensor, length: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Frames `(b, count)` at evenly spaced ranks of lip opening among frames drawn from a range each."""
    candidates = pick(first, length, _CANDIDATES * count, random)
    order = footage.openings[candidates].argsort(dim=1)
    places = torch.linspace(0, _CANDIDATES * count - 1, count, device=first.device).round().long()
    return candidates.gather(1, order[:, places])


def _reference_ranges(
    footage: Footage, clips: Tensor, frames: Tensor, rules: ReferenceRules, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """First frame and number of frames `(b,)` from which windows `(b, T)` of clips `(b,)` take their references."""
    chance, spot = torch.rand(2, len(clips), device=clips.device, generator=random)
    begin, members = footage.family[clips].unbind(1)
    sibling = begin + (spot * members).long().clamp_max(members - 1)
    lent = torch.where(chance > 1 - rules.sibling, sibling, clips)
    first, length = footage.frames.first[lent], footage.frames.length[lent]
    late = frames[:, 0] - first + frames[:, -1] + 1 - first > length
    away = chance < rules.away
    half = length // 2
    first = torch.where(away & ~late, first + half, first)
    return first, torch.where(away, half, length)


def _families(identities: Sequence[str]) -> NDArray[np.int64]:
    names = np.asarray(identities)
    _, first, inverse, count = np.unique(names, return_index=True, return_inverse=True, return_counts=True)
    return np.stack([first[inverse], count[inverse]], axis=1).astype(np.int64)
