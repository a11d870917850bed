"""Prepared clips in which the brightness of a mouth is the loudness of the speech, so that sync is learned quickly."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lipsmith.data.clips import ClipRecord, write_manifest

SIDE = 32


def write_clips(root: Path, lags: dict[str, list[int]], frames: int = 50, seed: int = 0) -> list[ClipRecord]:
    """Write a clip for each lag (frames by which the speech is late) of each split, each of another identity."""
    random = np.random.default_rng(seed)
    records = []
    for split, values in lags.items():
        for number, lag in enumerate(values):
            record = ClipRecord(
                f"{split}/p{number}/c{number}", split, f"p{number}", "made", frames, 25.0, frames / 25, 1.0
            )
            _write(root / record.clip, frames, lag, random)
            records.append(record)
    write_manifest(root, records)
    return records


def _write(path: Path, frames: int, lag: int, random: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    loudness = np.clip(np.convolve(random.uniform(-0.5, 1.5, frames + 40), np.ones(2) / 2, "same"), 0, 1)
    film = cv2.VideoWriter(str(path) + ".mp4", cv2.VideoWriter.fourcc(*"mp4v"), 25, (SIDE, SIDE))
    for frame in range(frames):
        image = np.full((SIDE, SIDE, 3), 60, np.uint8)
        image[20:28, 8:24] = int(40 + 180 * loudness[frame + 20])
        film.write(image)
    film.release()
    times = (np.arange(int(frames * 3.2)) + 0.5) / 3.2 - 0.5 - lag + 20
    level = np.interp(times, np.arange(len(loudness)), loudness)
    mel = np.tile((level * 6 - 3)[None], (80, 1)).astype(np.float16)
    np.savez(
        str(path) + ".npz",
        landmarks=np.full((frames, 131, 2), 0.5, np.float32),
        mesh=np.full((frames, 478, 2), 0.5, np.float16),
        transforms=np.tile(np.eye(2, 3, dtype=np.float32), (frames, 1, 1)),
        times=np.arange(frames) / 25,
        tracked=np.ones(frames, bool),
        mel=mel,
    )
