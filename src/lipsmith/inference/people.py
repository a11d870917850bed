"""Face recognition: groups the tracked faces of a film by person, across shots."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.crop import similarity
from lipsmith.face.landmarks import NUM_POINTS, Floats, ranks, turn
from lipsmith.models.third_party import third_party, weights_path

_LOG = logging.getLogger(__name__)

# Eye centers, nose tip and mouth corners in the 112 x 112 pictures on which ArcFace-style recognition networks are
# trained.
TEMPLATE: Final = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
_EYES: Final = ((33, 133, 159, 145), (263, 362, 386, 374))
_NOSE_AND_MOUTH: Final = (4, 61, 291)
_INPUT_SIZE: Final = 112

MIN_SIMILARITY: Final = 0.5
"""Smallest cosine of the mean embeddings of two faces of one person. In 84 films of 53 people, it is at least 0.65 for
the same person and at most 0.45 for different people (`benchmarks/people.py`)."""
_MAX_CROPS: Final = 3
"""Reference crops of a face from which its embedding is computed: the most frontal ones."""
_FOREHEAD: Final = 0.15
"""Fraction of a crop by which its upper edge is padded, because the network expects more of the forehead."""


class FaceRecognizer:
    """SFace (Zhong et al., 2021) behind five-point alignment."""

    def __init__(self, path: Path | None = None) -> None:
        """Load from `path` or from the third-party weights. Raises WeightsError if they are missing or damaged."""
        # Not ONNX Runtime, which takes twice as long for this network.
        self._network = cv2.dnn.readNetFromONNX(str(path or third_party("sface")))

    def __call__(self, images: NDArray[np.uint8], meshes: Floats) -> NDArray[np.float64]:
        """Unit embeddings `(B, 128)` of RGB pictures `(B, H, W, 3)` with faces at meshes `(B, 478, 2)`, pixels."""
        return np.stack([self.embed(image, five_points(mesh)) for image, mesh in zip(images, meshes, strict=True)])

    def embed(self, image: NDArray[np.uint8], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit embedding `(128,)` of an RGB picture with a face at `five_points` `(5, 2)`, pixels."""
        aligned = cv2.warpAffine(image, alignment(points), (_INPUT_SIZE, _INPUT_SIZE))
        # The network takes RGB in 0..255; OpenCV's wrapper would take BGR and swap it.
        picture = np.ascontiguousarray(aligned.transpose(2, 0, 1)[None], np.float32)
        self._network.setInput(picture)
        return _unit(np.asarray(self._network.forward()[0], np.float64))

    def mean(self, crops: NDArray[np.uint8], points: Floats) -> NDArray[np.float64]:
        """Unit mean embedding `(128,)` of a face's crops `(R, S, S, 3)`, `points` `(R, 131, 2)` in crop units."""
        frontal = np.argsort(turn(points), kind="stable")[:_MAX_CROPS]
        margin = round(_FOREHEAD * crops.shape[1])
        found = []
        for crop, own in zip(crops[frontal], points[frontal], strict=True):
            extended = np.pad(crop, ((margin, 0), (0, 0), (0, 0)), mode="edge")
            found.append(self.embed(extended, five_points(own) * crop.shape[1] + (0, margin)))
        return _unit(np.sum(found, axis=0))


def five_points(mesh: Floats) -> NDArray[np.float64]:
    """Eyes, nose and mouth corners `(5, 2)` of a mesh `(478, 2)` or of its 131 points, starting with the eye on the
    left of the picture."""
    places = ranks if len(mesh) == NUM_POINTS else list
    eyes = [mesh[places(eye)].mean(0) for eye in _EYES]
    return np.stack([*eyes, *mesh[places(_NOSE_AND_MOUTH)]]).astype(np.float64)


def alignment(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares similarity `(2, 3)` from the five points (pixel centers at halves) to the template."""
    return similarity(points - 0.5, TEMPLATE, np.ones(len(TEMPLATE)))


def embed_faces(faces: Iterable[tuple[NDArray[np.uint8], Floats]]) -> NDArray[np.float64] | None:
    """Embeddings `(N, 128)` of faces, each with its crops and points as of `FaceRecognizer.mean`.

    None, and a log line, if the recognizer's weights are missing. Raises `WeightsError` if they are damaged.
    """
    weights = weights_path("sface")
    if not weights.is_file():
        _LOG.info(
            "Faces get new numbers after cuts, because %s is missing in %s; see lipsmith weights.",
            weights.name,
            weights.parent,
        )
        return None
    recognizer = FaceRecognizer()
    return np.stack([recognizer.mean(crops, points) for crops, points in faces])


def people(embeddings: NDArray[np.float64], frames: Sequence[NDArray[np.intp]]) -> list[int]:
    """Person number of each of N faces; people are numbered from 1 in order of appearance.

    Agglomerative clustering: merges the two most similar people until no pair reaches `MIN_SIMILARITY`. Faces that
    share a frame are never merged. `embeddings`: `(N, 128)`, unit; `frames`: the frame numbers of each face, rising.
    """
    members = [[face] for face in range(len(frames))]
    sums = embeddings * np.sqrt([len(seen) for seen in frames])[:, None]
    similarity = embeddings @ embeddings.T
    similarity[_share_frames(frames)] = -np.inf
    np.fill_diagonal(similarity, -np.inf)
    while similarity.max(initial=-np.inf) >= MIN_SIMILARITY:
        first, second = sorted(map(int, np.unravel_index(similarity.argmax(), similarity.shape)))
        members[first] += members[second]
        sums[first] += sums[second]
        excluded = np.isneginf(similarity[first]) | np.isneginf(similarity[second])
        units = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)
        similarity[first] = similarity[:, first] = np.where(excluded, -np.inf, units @ units[first])
        similarity[second], similarity[:, second], members[second] = -np.inf, -np.inf, []
    # The first face of a person keeps the others, so people are in order of appearance.
    numbers = {face: number for number, faces in enumerate(filter(None, members), 1) for face in faces}
    return [numbers[face] for face in range(len(frames))]


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """The vector `(n,)`, scaled to length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float64)


def _share_frames(frames: Sequence[NDArray[np.intp]]) -> NDArray[np.bool_]:
    """`(N, N)`: whether two faces appear in the same frame."""
    shared = np.zeros((len(frames), len(frames)), bool)
    for one, seen in enumerate(frames):
        for other in range(one + 1, len(frames)):
            if frames[other][0] <= seen[-1] and seen[0] <= frames[other][-1]:
                shared[one, other] = shared[other, one] = np.isin(seen, frames[other], assume_unique=True).any()
    return shared
