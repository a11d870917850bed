"""Detects faces with BlazeFace (Bazarevsky et al. 2019), on tiles of the picture to find small faces."""

from __future__ import annotations

import hashlib
import io
import math
import os
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib import resources
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.errors import WeightsError
from lipsmith.face.crop import Square, around, direction, shrink
from lipsmith.face.landmarks import NUM_MESH
from lipsmith.media.color import Picture

BUNDLE = "face_landmarker.task"
SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
DETECTOR = "face_detector.tflite"
LANDMARKS = "face_landmarks_detector.tflite"

_STDERR = threading.Lock()
"""The process has one stderr: if two threads redirected it at once, one would not restore it."""

SIZE = 128  # pixels: side of the square that the face detector sees
MESH_SIZE = 256  # pixels: side of the square that the landmark network sees
MARGIN = 1.5
"""The landmark network was trained on squares of 1.5 times the face's box."""
EYE_CORNERS = (33, 263)  # points of the mesh: outer corners of the right and of the left eye
MIN_SCORE = 0.5
"""Minimum score, in (0, 1), of a reported face."""
SAME = 0.3
"""Intersection over union from which two candidates are the same face."""
GRIDS = ((16, 2), (8, 6))
"""Cells per side and anchors per cell, at strides 8 and 16."""
TURNED = 0.05
"""Minimum gain in score to accept a quarter turn: the correct one gains about 0.15 to 0.3."""
SMALLEST_TILE = 240
"""Side of a tile in source pixels at which faces of about 40 pixels are still detected."""


@lru_cache(maxsize=1)
def read_bundle() -> dict[str, bytes]:
    """The bundle's files by name.

    Raises:
        WeightsError: the bundled file is missing or is not the published file.
    """
    path = resources.files("lipsmith") / "assets" / BUNDLE
    if not path.is_file():
        raise WeightsError(f"{path}: the face model is missing; install lipsmith again.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise WeightsError(f"{path}: the face model is not the published file; install lipsmith again.")
    with zipfile.ZipFile(io.BytesIO(content)) as bundle:
        return {name: bundle.read(name) for name in (DETECTOR, LANDMARKS)}


@contextmanager
def _native_stderr_discarded() -> Iterator[None]:
    """Hides a line that LiteRT prints in each process and no setting disables; real failures raise exceptions."""
    with _STDERR:
        sys.stderr.flush()
        kept = os.dup(2)
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class Network:
    """One network of the bundle; it processes one image at a time."""

    def __init__(self, name: str, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        # A program of Windows without a console has no stderr.
        with _native_stderr_discarded() if sys.stderr else nullcontext():
            self._interpreter = Interpreter(model_content=read_bundle()[name], num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """The outputs, in the model file's order, for one image (S, S, 3) float32."""
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return list(map(self._interpreter.get_tensor, self._outputs))


class FaceMesh:
    """Landmark network: predicts 478 points from a square around a face, and the probability of a face."""

    def __init__(self, threads: int = 1) -> None:
        self._network = Network(LANDMARKS, threads)

    def __call__(self, image: Picture, crop: Square) -> tuple[NDArray[np.float32], float]:
        """Mesh (478, 2) in source pixels and score in [0, 1].

        Args:
            image: RGB (H, W, 3).
            crop: about 1.5 times the face's box, eyes level; it may extend beyond the picture.
        """
        pixels = crop.pixels(image, MESH_SIZE, cv2.BORDER_REPLICATE)
        points, presence, *_ = self._network(np.multiply(pixels, np.float32(1 / 255), dtype=np.float32))
        mesh = points.reshape(NUM_MESH, 3)[:, :2] / MESH_SIZE
        return crop.to_source(mesh), float(1 / (1 + np.exp(-presence.item())))


def mesh_square(mesh: NDArray[np.float32]) -> Square:
    """The crop to search in the next frame: the box of mesh (478, 2), eyes level, enlarged by `MARGIN`."""
    right, left = EYE_CORNERS
    return around(mesh, direction(mesh[right], mesh[left]), MARGIN)


@dataclass(frozen=True)
class Detection:
    """A detected face. Coordinates are source pixels."""

    box: tuple[float, float, float, float]
    """x0, y0, x1, y1: brows to chin."""
    keypoints: NDArray[np.float32]
    """(6, 2): right eye, left eye, nose tip, mouth, right ear, left ear."""
    score: float
    """In [0, 1]."""

    @property
    def crop(self) -> Square:
        """The input square of the landmark network: eyes level, 1.5 times the box."""
        x0, y0, x1, y1 = self.box
        side = MARGIN * max(x1 - x0, y1 - y0)
        return Square((x0 + x1) / 2, (y0 + y1) / 2, side, direction(*self.keypoints[:2]))

    def scaled(self, factor: float) -> Detection:
        """The same face in a picture `factor` times as large."""
        x0, y0, x1, y1 = (factor * side for side in self.box)
        return Detection((x0, y0, x1, y1), np.float32(factor) * self.keypoints, self.score)


def anchors() -> NDArray[np.float32]:
    """Anchor centers (896, 2) in [0, 1], in the order of the network's outputs."""
    centers = [
        ((column + 0.5) / cells, (row + 0.5) / cells)
        for cells, count in GRIDS
        for row, column in product(range(cells), range(cells))
        for _ in range(count)
    ]
    return np.array(centers, np.float32)


def decode(
    regressors: NDArray[np.float32], logits: NDArray[np.float32], centers: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Candidates with a score of at least `MIN_SCORE`: points (n, 8, 2) in [0, 1] and scores (n,).

    The points are the box's two corners, then the six keypoints.

    Args:
        regressors: (896, 16), pixels of the 128-pixel input: box center and size, then keypoints,
            all but the size relative to the anchor's center.
        logits: (896,).
        centers: the anchors (896, 2).
    """
    scores = (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32)
    keep = (scores >= MIN_SCORE) & (regressors[:, 2:4] > 0).all(-1)
    values = regressors[keep].reshape(-1, 8, 2) / SIZE
    center = values[:, 0] + centers[keep]
    half = values[:, 1] / 2
    keypoints = values[:, 2:] + centers[keep][:, None]
    return np.concatenate([(center - half)[:, None], (center + half)[:, None], keypoints], 1), scores[keep]


def overlap(box: NDArray[np.floating], boxes: NDArray[np.floating], of_smaller: bool = False) -> NDArray[np.float32]:
    """Intersection of box (4,) with boxes (n, 4), over the union, or over the smaller of the two."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), -1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(boxes[:, 2:] - boxes[:, :2], -1)
    whole = np.minimum(area, areas) if of_smaller else area + areas - shared
    return np.asarray(shared / np.maximum(whole, 1e-9), np.float32)


def suppress(
    points: NDArray[np.float32], scores: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weighted non-maximum suppression: overlapping candidates become their mean, weighted by score.

    Args:
        points: (n, 8, 2), the first two the corners of the box.
        scores: (n,).
    """
    kept, kept_scores = [], []
    boxes = points[:, :2].reshape(-1, 4)
    left = np.argsort(-scores)
    while len(left):
        same = overlap(boxes[left[0]], boxes[left]) >= SAME
        same[0] = True
        group = left[same]
        kept.append(np.average(points[group], axis=0, weights=scores[group]))
        kept_scores.append(scores[group[0]])
        left = left[~same]
    return np.array(kept, np.float32).reshape(-1, 8, 2), np.array(kept_scores, np.float32)


def tiles(width: int, height: int, side: float) -> list[Square]:
    """Squares of `side` source pixels that cover the picture, neighbors overlapping by half or more."""

    def middles(length: int) -> NDArray[np.float64]:
        count = int(np.ceil(2 * (length - side) / side)) + 1 if length > side else 1
        return np.linspace(side / 2, length - side / 2, count) if count > 1 else np.array([length / 2])

    return [Square(x, y, side) for y in middles(height) for x in middles(width)]


def levels(width: int, height: int) -> list[list[Square]]:
    """Squares to search, most likely first: the whole picture, smaller and smaller tiles, the picture in quarter
    turns."""
    short, long = sorted((width, height))
    whole = Square(width / 2, height / 2, float(long))
    sides = [short / 2**k for k in range(3)]
    fine = [tiles(width, height, side) for side in sides if SMALLEST_TILE <= side < 0.9 * long]
    return [[whole], *fine, quarter_turns(whole)]


def quarter_turns(square: Square) -> list[Square]:
    """The same square rotated left, right and upside down."""
    return [replace(square, angle=square.angle + quarter * math.pi / 2) for quarter in (1, -1, 2)]


class FaceDetector:
    """Face detector for pictures of any size."""

    def __init__(self, threads: int = 1) -> None:
        self._network = Network(DETECTOR, threads)
        self._anchors = anchors()

    def coarse_to_fine(
        self, image: Picture, small: bool = True, wanted: Callable[[Square], bool] | None = None
    ) -> Iterator[list[Detection]]:
        """Faces in `wanted` squares of image (H, W, 3) RGB, level by level: a caller that has enough stops and saves
        the rest. Without `small` the finest tiles, which find the smallest faces, and quarter turns are left out."""
        height, width = image.shape[:2]
        searched = [list(filter(wanted, squares)) for squares in levels(width, height)]
        for squares in filter(None, searched if small else searched[:-2] or searched[:1]):
            # Reduced once for the level, because its tiles overlap; by an even factor, which is fastest.
            factor = max(1, int(squares[0].side / SIZE) // 2 * 2)
            corners = np.array([[0, 0], [width, height]])
            part = np.asarray(image) if factor == 1 else shrink(image, corners, factor).image
            found = [one.scaled(factor) for tile in squares for one in self.search(part, tile.divided(factor))]
            yield distinct(found)

    def upright(self, image: Picture, detection: Detection) -> Detection:
        """The same face in image (H, W, 3), detected again at the quarter turn with the best score.

        The network also detects rotated faces, with a lower score, but then mistakes the chin for the brow.
        """
        around_it = replace(detection.crop.scaled(1.5), angle=0.0)
        turned = [one for square in quarter_turns(around_it) for one in self.search(image, square)]
        box = np.array(detection.box)
        same = [one for one in turned if overlap(box, np.array([one.box]), of_smaller=True)[0] > 0.5]
        best = max(same, key=lambda one: one.score, default=detection)
        return best if best.score > detection.score + TURNED else detection

    def search(self, image: Picture, square: Square) -> list[Detection]:
        """Faces in one region of image (H, W, 3), in any order; sizes from a tenth of its side to all of it."""
        pixels = square.pixels(image, SIZE)
        outputs = self._network(pixels.astype(np.float32) / 127.5 - 1)
        regressors, logits = sorted(outputs, key=lambda output: -output.shape[-1])
        points, scores = suppress(*decode(regressors[0], logits[0, :, 0], self._anchors))
        return [_detection(square.to_source(p), float(score)) for p, score in zip(points, scores, strict=True)]


def _detection(points: NDArray[np.float32], score: float) -> Detection:
    corners = points[:2]  # in a rotated square the first may be right of or below the second
    (x0, y0), (x1, y1) = corners.min(0).tolist(), corners.max(0).tolist()
    return Detection((x0, y0, x1, y1), points[2:], score)


def distinct(found: list[Detection]) -> list[Detection]:
    """Detections of several tiles without duplicates, best first; a part of a face is a duplicate of it."""
    kept: list[Detection] = []
    for one in sorted(found, key=lambda detection: -detection.score):
        boxes = np.array([other.box for other in kept]).reshape(-1, 4)
        if not (overlap(np.array(one.box), boxes, of_smaller=True) > 0.5).any():
            kept.append(one)
    return kept
