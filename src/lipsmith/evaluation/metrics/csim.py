"""Identity similarity (CSIM): cosine of face-recognition embeddings of generated and real face.

The embeddings are those of SFace (Zhong et al., 2021), whose weights are third-party: `lipsmith weights` lists them.
Published figures mostly come from ArcFace, whose cosines differ, so compare systems by the figures of one network
only; `lipsmith score` computes them for any system.

Only the lower half of a face is generated, so the figure says how far that half keeps the person, not how well the
system draws a whole face.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def csim(generated: NDArray[np.float64], real: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cosine `(B,)` in [-1, 1], higher is better, of each embedding `(B, 128)` with the mean of the real ones
    `(R, 128)`.

    Embeddings are unit vectors, as of `lipsmith.inference.people.FaceRecognizer`.
    """
    mean = real.mean(0)
    return np.asarray(generated @ (mean / np.linalg.norm(mean)), np.float64)
