"""Milliseconds of face tracking by stage, on one core: `python benchmarks/face.py CLIP [CLIP ...] [--json FILE]`.

Figures are CPU time of one thread, which other load affects only through the caches.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face import FaceDetector, FaceMesh, FaceTracker
from lipsmith.face.cuts import CutDetector, DissolveDetector, thumbnail
from lipsmith.face.detector import mesh_square


def milliseconds(call: Callable[[], object], repeat: int = 60) -> float:
    """Median processor time of a call."""
    call()
    taken = []
    for _ in range(repeat):
        start = time.thread_time()
        call()
        taken.append(time.thread_time() - start)
    return float(np.median(taken)) * 1e3


def pictures(path: Path, side: int, count: int) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as film:
        frames = islice(film.decode(video=0), count)
        return [np.asarray(cv2.resize(f.to_ndarray(format="rgb24"), (side, side)), np.uint8) for f in frames]


def stages(image: NDArray[np.uint8]) -> dict[str, float]:
    """Each stage separately, on a picture with a face."""
    detector, mesh, tracker, is_cut, dissolve = (
        FaceDetector(),
        FaceMesh(),
        FaceTracker(),
        CutDetector(),
        DissolveDetector(),
    )
    crop = mesh_square(tracker.track(image).faces[0].mesh)
    wide = np.full((720, 1280, 3), 128, np.uint8)
    return {
        "cut_ms": milliseconds(lambda: is_cut(thumbnail(image))),
        "dissolve_ms": milliseconds(lambda: dissolve(thumbnail(image))),
        "crop_ms": milliseconds(lambda: crop.pixels(image, 256, cv2.BORDER_REPLICATE)),
        "mesh_ms": milliseconds(lambda: mesh(image, crop)),
        "detect_ms": milliseconds(lambda: next(detector.coarse_to_fine(image))),
        "track_ms": milliseconds(lambda: tracker.track(image)),
        "thorough_720p_ms": milliseconds(lambda: list(detector.coarse_to_fine(wide)), 3),
    }


def whole(paths: list[Path], side: int) -> dict[str, float]:
    """Share of frames with a face and frames a second over whole clips, decoding left out."""
    frames = found = 0
    taken = 0.0
    for path in paths:
        tracker = FaceTracker()
        for image in pictures(path, side, 100):
            start = time.thread_time()
            found += bool(tracker.track(image).faces)
            taken += time.thread_time() - start
            frames += 1
    return {"fps": frames / taken, "found_percent": 100 * found / frames, "frames": frames, "clips": len(paths)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, help="films with a face in the first frame")
    parser.add_argument("--side", type=int, default=300, help="side of the square frames, pixels")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    figures = stages(pictures(options.clips[0], options.side, 1)[0]) | whole(options.clips, options.side)
    for name, value in figures.items():
        print(f"{name:18} {value:9.2f}")
    if options.json:
        settings = {"side": options.side, "clips": [str(path) for path in options.clips]}
        options.json.write_text(json.dumps({"figures": figures, "settings": settings, "rows": []}, indent=1))


if __name__ == "__main__":
    main()
