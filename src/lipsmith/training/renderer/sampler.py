"""Loads footage for the renderer, and draws batches from it on the device.

Sampling follows the strict protocol: a clip is split in two; one side gives references and lips, the other targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from lipsmith.data.clips import ClipRecord, PreparedClip, load_clip
from lipsmith.errors import InputError
from lipsmith.evaluation.protocols import FrameChoice, strict_frames
from lipsmith.face.crop import still_points
from lipsmith.face.landmarks import NUM_POSE, draw_sketches, outer_lip_opening, point_weights
from lipsmith.face.references import ELSEWHERE, ELSEWHERE_WEIGHT, MIDDLE, POOL
from lipsmith.speech.mel import mel_windows
from lipsmith.training.renderer.config import PictureTraining
from lipsmith.training.store import Spans, end_to_end, even_ranks, few_ranks, make_spans, pick, read_ahead

MIN_SPLIT_FRAMES: Final = 16
"""Minimum frames of a clip to be split in two."""
TRUE, MOVED = 0, 1
"""The variants of a frame's points: as tracked, and with the errors of predictions in the content."""
_NEVER: Final = 1e3


@dataclass(frozen=True)
class Pictures:
    """Images with their sketches and points, any number of leading axes."""

    images: Tensor
    """(..., 3, S, S) float in [0, 1]."""
    sketches: Tensor
    """(..., n, S, S) float in [0, 1]."""
    points: Tensor
    """(..., 131, 2) crop units, as the network gets them: perhaps with perturbed lips and jaw."""
    shown: Tensor
    """(..., 131, 2) crop units, as the images show them."""
    still: Tensor
    """(..., 2, 2) crop units: two fixed background points."""


@dataclass(frozen=True)
class Batch:
    """B clips with R pool references, m lips and K targets each; every target selects k references of the pool."""

    pool: Pictures
    lips: Pictures
    targets: Pictures
    mel: Tensor
    """(B, K, 1, 80, 16)."""
    chosen: Tensor
    """(B, K, k) indices into the pool."""


Choose = Callable[[PreparedClip], FrameChoice | None]


class Footage:
    """Frames of many clips, concatenated on one device. Raises InputError if all clips are too short.

    `choose` divides a clip into frames to rebuild and allowed references, for validation.
    """

    def __init__(
        self,
        root: Path,
        records: Sequence[ClipRecord],
        neighbors: int,
        device: torch.device,
        choose: Choose = strict_frames,
    ) -> None:
        splits = ", ".join(sorted({record.split for record in records}))
        records = [record for record in records if record.frames >= MIN_SPLIT_FRAMES]
        if not records:
            raise InputError(f"{root}: no clip of {splits} has {MIN_SPLIT_FRAMES} frames; prepare longer footage.")
        self.neighbors = neighbors
        self.records = records
        self.spans = make_spans([record.frames for record in records], [record.identity for record in records], device)
        self.choices: list[FrameChoice | None] = []
        tensors = end_to_end(self._read(root, choose), sum(record.frames for record in records), device)
        self.images, self.sketches = tensors["images"], tensors["sketches"]
        self.points, self.still, self.mel = tensors["points"], tensors["still"], tensors["mel"]
        self.openings = tensors["openings"]

    def _read(self, root: Path, choose: Choose) -> Iterator[dict[str, NDArray[Any]]]:
        for arrays, choice in read_ahead(partial(_load, root, choose), self.records):
            self.choices.append(choice)
            yield arrays

    def only_allowed(self) -> Spans:
        """The spans from the first to the last allowed frame of each clip; empty for clips without a choice."""
        ends = [(0, 0) if choice is None else (choice.allowed[0], choice.allowed[-1] + 1) for choice in self.choices]
        low, high = torch.tensor(np.array(ends), device=self.images.device).unbind(1)
        weights = self.spans.weights * (high > low)
        return replace(self.spans, first=self.spans.first + low, length=high - low, weights=weights)

    def pictures(self, frames: Tensor, variant: Tensor | int = TRUE, context: int = 0) -> Pictures:
        """Frames `(...)` by number; with `context`, also the sketches of that many neighbors on either side.

        `variant`: of points and sketches, TRUE or MOVED, for all frames or for each `(...)`.
        """
        offsets = torch.arange(-context, context + 1, device=frames.device)
        around = self.spans.clamp(frames[..., None] + offsets, self.spans.clip_of(frames)[..., None])
        which = variant[..., None] if isinstance(variant, Tensor) else variant
        return Pictures(
            images=rearrange(self.images[frames], "... h w c -> ... c h w").float() / 255,
            sketches=self.sketches[around, which].float() / 255,
            points=self.points[frames, variant],
            shown=self.points[frames, TRUE],
            still=self.still[frames],
        )

    def draw(self, config: PictureTraining, generator: torch.Generator) -> Batch:
        """A random batch with the sizes of `config`."""
        device = self.images.device
        clips = self.spans.draw(config.clips, generator)
        shares = torch.rand(config.clips, 3, device=device, generator=generator)
        cut = (self.spans.length[clips] * (0.35 + 0.3 * shares[:, 0])).long()
        before = shares[:, 1] < 0.5
        known, asked = (self._range(clips, cut, side) for side in (before, ~before))
        shown = pick(*known, POOL, generator)
        lips = pick(*known, config.model.lips, generator)
        if config.scarce_share:
            shown, lips = self._scarce(shown, lips, config.scarce_share, generator)
        targets = self._targets(*asked, config.targets, generator)
        moved = torch.rand(targets.shape, device=device, generator=generator) < config.moved_share
        random = torch.rand(*targets.shape, POOL, device=device, generator=generator)
        near = self.costs(targets, shown, moved.long())
        cost = torch.where(shares[:, 2, None, None] < config.nearest_share, near, random)
        cost = torch.where(_repeated(shown)[:, None], cost + _NEVER, cost)
        # A dub has more references, but only the best of each target are encoded.
        each = cost.topk(-(-config.pool // config.targets), dim=-1, largest=False).indices
        kept = each.transpose(1, 2).flatten(1)[:, : config.pool]
        pool = shown.gather(1, kept)
        cost = cost.gather(2, kept[:, None].expand(-1, config.targets, -1)) + _NEVER * _repeated(pool)[:, None]
        return Batch(
            pool=self.pictures(pool),
            lips=self.pictures(lips),
            targets=self.pictures(targets, moved.long(), self.neighbors),
            mel=self.mel[targets].float()[:, :, None],
            chosen=cost.topk(config.model.references, dim=-1, largest=False).indices,
        )

    def _scarce(self, shown: Tensor, lips: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """References `(B, R)` and lips `(B, m)`; in a `share` of the clips, of few mouths or one, all open alike."""
        clips, total = shown.shape
        scarce = torch.rand(clips, 1, device=shown.device, generator=generator) < share
        first, count = few_ranks(clips, total, generator)
        ranked = shown.gather(1, self.openings[shown].argsort(1))
        few = ranked.gather(1, first + torch.arange(total, device=shown.device) % count)
        spread = ranked.gather(1, even_ranks(first, count, lips.shape[1]))
        return torch.where(scarce, few, shown), torch.where(scarce, spread, lips)

    def costs(self, targets: Tensor, pool: Tensor, variant: Tensor | int = TRUE) -> Tensor:
        """Cost `(B, K, R)` of frames `pool` `(B, R)` as references of frames `targets` `(B, K)`, as in
        `face.references.costs`."""
        weights = torch.from_numpy(point_weights()).to(targets.device)
        shapes = (self.points[targets, variant] * weights).flatten(2), (self.points[pool, TRUE] * weights).flatten(2)
        there, other = torch.view_as_complex(self.still[targets]), torch.view_as_complex(self.still[pool])
        turn_and_scale = (other[..., 1] - other[..., 0])[:, None] / (there[..., 1] - there[..., 0])[..., None]
        moved = other[:, None, :, 0] + turn_and_scale * (MIDDLE - there[..., :1])
        # Not by a matrix product, in which squares cancel: in TF32, two thirds of the nearest would be others.
        apart = torch.cdist(*shapes, compute_mode="donot_use_mm_for_euclid_dist")
        return apart + ELSEWHERE_WEIGHT * (moved - MIDDLE).abs().clamp_max(ELSEWHERE)

    def _targets(self, first: Tensor, length: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """Frames `(B, count)` to rebuild, of ranges `(B,)`."""
        return pick(first, length, count, generator)

    def _range(self, clips: Tensor, cut: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """First frame and number of frames `(B,)` on one side of the split points."""
        low = torch.where(before, 0, cut)
        high = torch.where(before, cut, self.spans.length[clips])
        return self.spans.first[clips] + low, high - low


class SuccessiveFootage(Footage):
    """Footage whose targets are successive frames."""

    def _targets(self, first: Tensor, length: Tensor, count: int, generator: torch.Generator) -> Tensor:
        return pick(first, length - count + 1, 1, generator) + torch.arange(count, device=first.device)


def _load(root: Path, choose: Choose, record: ClipRecord) -> tuple[dict[str, NDArray[Any]], FrameChoice | None]:
    """Frames of one clip, with points and sketches in both variants, and the roles that `choose` gives them."""
    clip = load_clip(root, record)
    assert clip.images is not None
    choice = choose(clip)
    rest = clip.landmarks if choice is None else clip.landmarks[choice.allowed]
    moved = moved_content(
        clip.landmarks, rest[:, NUM_POSE:].mean(0), np.random.default_rng(crc32(record.clip.encode()))
    )
    points = np.stack([clip.landmarks, moved])
    sketches = np.stack([draw_sketches(variant, clip.images.shape[1]) for variant in points], axis=1)
    arrays: dict[str, NDArray[Any]] = {
        "images": clip.images,
        "sketches": sketches,
        "points": points.swapaxes(0, 1).astype(np.float32),
        "openings": outer_lip_opening(clip.landmarks).astype(np.float32),
        "still": still_points(clip.transforms).astype(np.float32),
        "mel": mel_windows(clip.mel, clip.times).astype(np.float16),
    }
    return arrays, choice


def _repeated(frames: Tensor) -> Tensor:
    """Whether an entry of `(B, R)` repeats an earlier entry of its row."""
    return (frames[:, :, None] == frames[:, None, :]).tril(-1).any(-1)


def moved_content(
    points: NDArray[np.float32], mean: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Points `(F, 131, 2)` with the errors of predictions in the content: wrong amplitude around the `mean` content
    `(57, 2)`, drift, noise."""
    frames = len(points)
    content = points[:, NUM_POSE:]
    amplitude = 1 + 0.35 * _wander(rng, (frames, 1, 1), 6)
    drift = 0.006 * _wander(rng, (frames, 1, 2), 6) + 0.002 * _wander(rng, (frames, 57, 2), 2)
    moved = points.copy()
    moved[:, NUM_POSE:] = mean + amplitude * (content - mean) + drift
    return moved


def _wander(rng: np.random.Generator, shape: tuple[int, ...], frames: float) -> NDArray[np.float32]:
    """Gaussian noise of unit variance, smoothed over about `frames` frames."""
    reach = int(3 * frames)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / frames) ** 2)
    kernel /= np.sqrt((kernel**2).sum())
    noise = rng.standard_normal((shape[0] + 2 * reach, *shape[1:]))
    windows = np.lib.stride_tricks.sliding_window_view(noise, len(kernel), axis=0)
    return np.asarray(windows @ kernel, np.float32)


def fixed_batches(
    footage: Footage, config: PictureTraining, every: int = 8, variant: int = TRUE
) -> Iterator[tuple[ClipRecord, Batch]]:
    """Validation batches, one per clip that has frames to rebuild: its pool, and every n-th of its targets.

    For a network with references at ranks of lip opening, the pool is as many references as in training. A pool that is
    smaller than that is used whole.
    `variant`: TRUE or MOVED content points of the targets.
    """
    device = footage.images.device
    for record, start, frames in zip(footage.records, footage.spans.first, footage.choices, strict=True):
        if frames is None:
            continue
        pool = start + torch.from_numpy(frames.pool).to(device)[None]
        ranks = torch.linspace(0, pool.shape[1] - 1, config.model.lips, device=device).round().long()
        targets = start + torch.from_numpy(frames.targets[::every]).to(device)[None]
        lips = footage.pictures(pool[:, ranks])
        if config.model.by_ranks:
            pool = pool[:, _middle_ranks(pool.shape[1], config.model.references)]
        cost = footage.costs(targets, pool, variant)
        yield (
            record,
            Batch(
                pool=footage.pictures(pool),
                lips=lips,
                targets=footage.pictures(targets, variant, footage.neighbors),
                mel=footage.mel[targets].float()[:, :, None],
                chosen=cost.topk(min(config.model.references, pool.shape[1]), dim=-1, largest=False).indices,
            ),
        )


def _middle_ranks(total: int, count: int) -> Tensor:
    """The middles `(count,)` of `count` equal parts of `total` ranks."""
    return ((torch.arange(count) + 0.5) * total / count).long()
