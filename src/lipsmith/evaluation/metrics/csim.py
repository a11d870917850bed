"""Identity similarity (CSIM): cosine of face-recognition embeddings of generated and real face."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.models.third_party import third_party

# Eye centers, nose tip and mouth corners in the 112 x 112 pictures on which ArcFace-style recognition networks are
# trained.
TEMPLATE: Final = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
_EYES: Final = ((33, 133, 159, 145), (263, 362, 386, 374))
_SINGLE: Final = (4, 61, 291)
_SIDE: Final = 112


class Recognizer:
    """SFace (Zhong et al., 2021) behind five-point alignment."""

    def __init__(self, path: Path | None = None, threads: int = 1) -> None:
        """Load from `path` or from the third-party weights. Raises WeightsError if they are missing."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            str(path or third_party("sface")), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, images: NDArray[np.uint8], meshes: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Unit embeddings `(B, 128)` of RGB pictures `(B, H, W, 3)` with faces at meshes `(B, 478, 2)`, pixels."""
        return np.stack([self._embed(image, mesh) for image, mesh in zip(images, meshes, strict=True)])

    def _embed(self, image: NDArray[np.uint8], mesh: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        aligned = cv2.warpAffine(image, _alignment(five_points(mesh)), (_SIDE, _SIDE))
        # The network takes RGB in 0..255; OpenCV's wrapper would take BGR and swap it.
        picture = np.ascontiguousarray(aligned.transpose(2, 0, 1)[None], np.float32)
        vector = np.asarray(self._session.run(None, {"data": picture})[0][0], np.float64)
        unit: NDArray[np.float64] = vector / max(float(np.linalg.norm(vector)), 1e-9)
        return unit


def csim(generated: NDArray[np.float64], real: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine `(B,)` in [-1, 1], higher is better, of each embedding `(B, 128)` with the mean of the real ones
    `(R, 128)`."""
    mean = real.mean(0)
    return np.asarray(generated @ (mean / np.linalg.norm(mean)), np.float64)


def five_points(mesh: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Eyes, nose and mouth corners `(5, 2)` of a mesh `(478, 2)`, starting with the eye on the left of the picture."""
    eyes = [mesh[list(eye)].mean(0) for eye in _EYES]
    return np.stack([*eyes, *mesh[list(_SINGLE)]]).astype(np.float64)


def _alignment(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Least-squares similarity `(2, 3)` from the five points (pixel centers at halves) to the template."""
    source = (points[:, 0] - 0.5) + 1j * (points[:, 1] - 0.5)
    target = TEMPLATE[:, 0] + 1j * TEMPLATE[:, 1]
    centered = source - source.mean()
    factor = (np.conj(centered) @ (target - target.mean())) / (np.abs(centered) ** 2).sum()
    shift = target.mean() - factor * source.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
