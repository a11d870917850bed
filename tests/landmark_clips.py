"""Synthetic prepared clips without pictures: the mouth opens with the loudness of the speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord, PreparedClip, write_manifest
from lipsmith.evaluation.landmarks import TrainedGenerator
from lipsmith.face.landmarks import CONTENT, INNER_LIP, NUM_CONTENT, NUM_POINTS, OUTER_LIP, ranks
from lipsmith.inference.backend import Precision
from lipsmith.models.landmarks.config import LandmarkConfig
from lipsmith.speech.mel import MEL_LIMIT

MOUTH = LandmarkConfig(
    dim=16, layers=1, heads=2, feed_forward=16, window=7, speech_channels=(4, 4, 4, 4, 4), speech_residuals=0,
    points="perceptron", point_channels=(16,), temporal=1,
)  # fmt: skip
"""A tiny landmark generator."""
SIDES = {"upper": (13, 0), "lower": (14, 17)}


class LoudStages:
    """A generator that opens the mouth by the loudness in the middle of its mel window; with `peeks`, by the pose."""

    precision: Precision = "float"

    def __init__(self, peeks: bool = False) -> None:
        self.peeks = peeks

    def __call__(self, stage: str, /, **inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        if stage == "speech":
            return (inputs["mel"][:, 0, 0, 8:9] + MEL_LIMIT,)
        tokens, pose = inputs["tokens"], inputs["pose"]
        content = np.full((*tokens.shape[:2], NUM_CONTENT, 2), 0.5, np.float32)
        content[:, :, CONTENT.index(14), 1] += pose[:, :, 0, 0] if self.peeks else 0.01 * tokens[..., 0]
        return (content,)


LOUD = TrainedGenerator(LoudStages(), window=15, references=4)


def face(random: np.random.Generator) -> NDArray[np.float32]:
    """Return a face `(131, 2)` with a shut mouth, in crop units: scattered points, lips in place."""
    points = random.uniform(0.2, 0.8, (NUM_POINTS, 2))
    for lips in (OUTER_LIP, INNER_LIP):
        angle = np.linspace(np.pi, -np.pi, 20, endpoint=False)
        points[ranks(lips)] = 0.5 + np.stack([0.1 * np.cos(angle), 0.2 - 0.002 * np.sin(angle)], axis=1)
    return points.astype(np.float32)


def opened(shut: NDArray[np.float32], opening: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return `(F, 131, 2)`: the face `shut` with the middles of its lips `opening` apart."""
    points = np.repeat(shut[None], len(opening), axis=0)
    points[:, ranks(SIDES["upper"]), 1] -= opening[:, None] / 2
    points[:, ranks(SIDES["lower"]), 1] += opening[:, None] / 2
    return points


def talking_clip(seed: int, identity: str, split: str = "train", frames: int = 60, lag: float = 0.0) -> PreparedClip:
    """Return a clip at 25 frames a second whose speech becomes loud `lag` seconds after the mouth opens."""
    random = np.random.default_rng(seed)
    times = np.arange(frames) / 25
    moments = np.arange(int(frames * 3.2) + 16) / 80
    rates, phases = random.uniform(1, 3, 3), random.uniform(0, 6, 3)

    def loudness(at: NDArray[np.float64]) -> NDArray[np.float64]:
        waves = np.sin(2 * np.pi * np.outer(at, rates) + phases)
        return np.asarray(np.clip(0.5 + waves.mean(1), 0, 1))

    mel = np.repeat(-4 + 6 * loudness(moments - lag)[None], 80, axis=0).astype(np.float32)
    name = f"{split}/{identity}/{identity}_{seed:03}"
    return PreparedClip(
        record=ClipRecord(name, split, identity, f"{name}.mp4", frames, 25.0, frames / 25, 1.0),
        images=None,
        landmarks=opened(face(random), 0.06 * loudness(times + 0.02)),
        transforms=np.tile(0.01 * np.eye(2, 3, dtype=np.float32), (frames, 1, 1)),
        times=times,
        tracked=np.ones(frames, np.bool_),
        mel=mel,
    )


def write_clips(root: Path, clips: list[PreparedClip]) -> None:
    """Write geometry and sound of `clips` as `lipsmith prepare` does."""
    for clip in clips:
        path = root / f"{clip.record.clip}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = {name: getattr(clip, name) for name in ("landmarks", "transforms", "times", "tracked", "mel")}
        np.savez(path, **arrays)
    write_manifest(root, [clip.record for clip in clips])
