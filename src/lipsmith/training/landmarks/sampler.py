"""Footage for the landmark generator, and windows drawn from it on the device."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.config import require_range
from lipsmith.data.clips import PreparedClip, load_clip, read_manifest
from lipsmith.data.phonemes import clip_phonemes
from lipsmith.errors import InputError, counted
from lipsmith.face.landmarks import NUM_POSE, mouth_width, outer_lip_opening
from lipsmith.inference.speak import RATE, grid, resample
from lipsmith.speech.mel import MEL_RATE, mel_windows
from lipsmith.speech.phonemes import BILABIAL, GROUPS, Phonemes
from lipsmith.training.store import Spans, end_to_end, even_ranks, few_ranks, make_spans, pick, read_ahead

_LOG = logging.getLogger(__name__)
_BUMP = 1.5
"""Frames, the standard deviation of the activity of a phoneme about its time."""
_WITHIN = 0.9
"""Activity of a frame that a phoneme falls into."""
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
    other_pose: Tensor
    """(b, T, 74, 2) crop units, the pose of the same or another moment of the clip."""
    phonemes: Tensor
    """(b, T, g) 0..1, how much of each frame each group of phonemes is; NaN where nothing is known."""
    bilabial: Tensor
    """(b, T) bool, the middle frames of p, b and m."""


@dataclass(frozen=True)
class Footage:
    """Clips end to end at 25 frames per second; L frames, W windows, C clips, sorted by identity."""

    points: Tensor
    """(L, 131, 2) float32."""
    openings: Tensor
    """(L,) distance of the outer lips."""
    widths: Tensor
    """(L,) distance of the mouth's corners."""
    phonemes: Tensor
    """(L, g) float16, as of `Window`."""
    bilabial: Tensor
    """(L,) bool."""
    speech: Tensor
    """(L, 2 k + 1, bands, 16) float16: the speech around each frame, -k to k mel steps later."""
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
    full: float = 0.0
    """Share of steps with as many references as the model has; the others have a random number."""
    single: float = 0.0
    """Share of steps with a single reference."""
    scarce: float = 0.0
    """Share of windows whose references are mouths open alike, as in a shot whose person is silent."""
    still_pose: float = 0.0
    """Share of windows whose head stands still, as at a moment nearby."""
    shifted_pose: float = 0.0
    """Share of windows whose head moves as it did a little before or after."""
    pose_shift: int = 15
    """Frames by which these moments are away, up to: syllables pass, the head hardly turns."""
    pose_apart: int = 0
    """Frames by which they are away at least, where the clip is long enough."""

    def __post_init__(self) -> None:
        require_range(self, 1, inf, "fewest")
        require_range(self, 0, 1, "away", "sibling", "full", "single", "scarce", "still_pose", "shifted_pose")
        require_range(self, 0, inf, "pose_shift")
        require_range(self, 0, self.pose_shift, "pose_apart")
        for one, other in (("away", "sibling"), ("full", "single"), ("still_pose", "shifted_pose")):
            if getattr(self, one) + getattr(self, other) > 1 + 1e-9:  # 1e-9: sums of decimal fractions are inexact
                raise ValueError(f"{one} and {other} are shares of one whole, so their sum is at most 1")


def load_footage(root: Path, window: int, shifts: int, device: torch.device, phonemes: bool) -> Footage:
    """The clips of `train` that hold `window` frames with a face in a row; `phonemes`: with what is said.

    Raises InputError where there is none, UsageError where phonemes must be recognized and cannot be.
    """
    records = sorted(read_manifest(root, "train"), key=lambda record: (record.identity, record.clip))
    clips = list(read_ahead(partial(load_clip, root, images=False), records))
    whole = [clip for clip in clips if len(whole_windows(clip, window))]
    if not whole:
        raise InputError(
            f"{root}: no clip of the split 'train' shows a face in {window} frames in a row; take a shorter window."
        )
    _LOG.info("train: %s, %d without a whole window", counted(len(clips), "clip"), len(clips) - len(whole))
    spoken = clip_phonemes(root, [clip.record for clip in whole]) if phonemes else {}
    return gather_footage(whole, window, shifts, device, spoken)


def gather_footage(
    clips: Sequence[PreparedClip],
    window: int,
    shifts: int = 0,
    device: torch.device | str = "cpu",
    phonemes: Mapping[str, Phonemes] = MappingProxyType({}),
) -> Footage:
    """Footage of clips that are sorted by identity; `shifts`: mel steps by which speech may be early or late."""
    identities = [clip.record.identity for clip in clips]
    starts = [whole_windows(clip, window) for clip in clips]
    frames = make_spans([len(grid(clip.times)) for clip in clips], identities, device)
    windows = make_spans([len(each) for each in starts], identities, device)
    pieces = (_at_25(clip, shifts) | _said(clip, phonemes.get(clip.record.clip)) for clip in clips)
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
        "widths": mouth_width(points).astype(np.float32),
        "speech": np.stack(speech, axis=1).astype(np.float16),
    }


def _said(clip: PreparedClip, phonemes: Phonemes | None) -> dict[str, NDArray[Any]]:
    """Activity of the groups of phonemes, as bumps of 1.5 frames, and the frames nearest to a bilabial."""
    ticks = grid(clip.times)
    activity = np.full((len(ticks), len(GROUPS)), np.nan if phonemes is None else 0.0, np.float16)
    bilabial = np.zeros(len(ticks), np.bool_)
    for symbol, moment in phonemes or ():
        bump = np.exp(-0.5 * ((ticks - moment) * RATE / _BUMP) ** 2)
        for group, symbols in enumerate(GROUPS):
            if symbol in symbols:
                activity[:, group] = np.maximum(activity[:, group], bump)
        if symbol in BILABIAL and bump.max() > _WITHIN:
            bilabial[bump.argmax()] = True
    return {"phonemes": activity, "bilabial": bilabial}


def _usable(clip: PreparedClip) -> NDArray[np.bool_]:
    """Whether a face was found and the sound is known, at 25 frames a second.

    Speech that was moved leaves digital silence at one end of the clip, where the mouth goes on speaking.
    """
    ticks = grid(clip.times)
    offset, end = clip.record.offset, clip.mel.shape[1] / MEL_RATE
    known = (ticks >= max(0.0, -offset)) & (ticks <= end - max(0.0, offset))
    return np.asarray(known & (resample(clip.tracked.astype(np.float32), clip.times, ticks) > 0.5))


def whole_windows(clip: PreparedClip, window: int) -> NDArray[np.intp]:
    """First frames, at 25 a second, of a clip's windows that training may draw: every frame is usable."""
    unusable = np.concatenate([[0], np.cumsum(~_usable(clip))])
    return np.flatnonzero(unusable[window:] == unusable[:-window])


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
        references=footage.points[_references(footage, first, length, references, rules.scarce, random)],
        other_pose=footage.points[_other_frames(footage, clips, frames, rules, random)][:, :, :NUM_POSE],
        phonemes=footage.phonemes[frames].float(),
        bilabial=footage.bilabial[frames],
    )


def _other_frames(
    footage: Footage, clips: Tensor, frames: Tensor, rules: ReferenceRules, random: torch.Generator
) -> Tensor:
    """Frames `(b, T)` that lend their pose: the windows' own, a run nearby, or one frame of it over and over."""
    chance, spot = torch.rand(2, len(clips), 1, device=clips.device, generator=random)
    last = footage.frames.length[clips] - frames.shape[1]
    away = (2 * spot - 1) * (rules.pose_shift - rules.pose_apart)
    begin = frames[:, :1] + (away + away.sign() * rules.pose_apart).round().long()
    first = footage.frames.first[clips, None]
    begin = torch.minimum(torch.maximum(begin, first), first + last[:, None])
    run = begin + torch.arange(frames.shape[1], device=clips.device)
    lent = torch.where(chance < rules.still_pose + rules.shifted_pose, run, frames)
    return torch.where(chance < rules.still_pose, run[:, :1].expand_as(lent), lent)


def _references(
    footage: Footage, first: Tensor, length: Tensor, count: int, share: float, random: torch.Generator
) -> Tensor:
    """Frames `(b, count)` at evenly spaced ranks of lip opening among frames drawn from a range each; in a `share` of
    the rows, mouths open alike."""
    total = _CANDIDATES * count
    candidates = pick(first, length, total, random)
    if count == 1:
        return _extreme(footage, candidates, random)
    scarce = torch.rand(len(first), 1, device=first.device, generator=random) < share
    begin, few = few_ranks(len(first), total, random)
    places = even_ranks(torch.where(scarce, begin, 0), torch.where(scarce, few, total), count)
    return candidates.gather(1, footage.openings[candidates].argsort(dim=1).gather(1, places))


def _extreme(footage: Footage, candidates: Tensor, random: torch.Generator) -> Tensor:
    """One `(b, 1)` of the candidates `(b, c)`: any, the widest mouth, the most open or the most closed one.

    A user with a single picture has one with a smile as often as not.
    """
    choice = torch.randint(4, (len(candidates),), device=candidates.device, generator=random)
    widths, openings = footage.widths[candidates], footage.openings[candidates]
    first = torch.zeros_like(choice)  # which is any, because candidates have no order
    places = torch.stack([first, widths.argmax(1), openings.argmax(1), openings.argmin(1)])
    place = places.gather(0, choice[None])[0]
    return candidates.gather(1, place[:, None])


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
