"""How far lips and jaw move from rest: less or more than predicted, without lips that pass through each other."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.crop import ANCHORS
from lipsmith.face.landmarks import CONTENT, INNER_LIP, NUM_POSE, OUTER_LIP, Floats, ranks

_UPPER_INNER: Final = [CONTENT.index(point) for point in INNER_LIP[1:10]]
_LOWER_INNER: Final = [CONTENT.index(point) for point in INNER_LIP[:10:-1]]
_UPPER_OUTER: Final = [CONTENT.index(point) for point in OUTER_LIP[1:10]]
_LOWER_OUTER: Final = [CONTENT.index(point) for point in OUTER_LIP[:10:-1]]
_CORNERS: Final = [CONTENT.index(INNER_LIP[0]), CONTENT.index(INNER_LIP[10])]


def with_strength(points: Floats, references: Floats, strength: float) -> NDArray[np.float32]:
    """Content `(F, 57, 2)` of `points` `(F, 131, 2)` whose distance from rest is `strength` times as large.

    `references`: `(N, 131, 2)`, the person's; both in crop units. A `strength` of 1 changes nothing, 0 gives rest,
    2 twice the motion.
    """
    content = np.array(points[:, NUM_POSE:], np.float32)
    if strength == 1:
        return content
    content += np.float32(strength - 1) * (content - rest(points, references))
    return _uncrossed(content)


def rest(points: Floats, references: Floats) -> NDArray[np.float32]:
    """Content at rest `(F, 57, 2)`: the mean of `references` `(N, 131, 2)` in the head pose of `points` `(F, 131, 2)`.

    An affine map, fitted to points that bone carries, turns and tilts the mean face as the head.
    """
    mean, anchors = references.mean(0), ranks(ANCHORS)
    to_pose = np.linalg.pinv(_homogeneous(mean[anchors])) @ points[:, anchors]
    return np.asarray(_homogeneous(mean[NUM_POSE:]) @ to_pose, np.float32)


def _homogeneous(points: Floats) -> Floats:
    return np.concatenate([points, np.ones_like(points[:, :1])], 1)


def _uncrossed(content: NDArray[np.float32]) -> NDArray[np.float32]:
    """Content in which no point of the lower lip is above its partner of the upper lip: both meet half way."""
    along = content[:, _CORNERS[1]] - content[:, _CORNERS[0]]
    down = np.stack([-along[:, 1], along[:, 0]], -1) / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    gap = ((content[:, _LOWER_INNER] - content[:, _UPPER_INNER]) * down[:, None]).sum(-1)
    step = np.minimum(gap, 0)[..., None] / 2 * down[:, None]
    for upper, lower in ((_UPPER_INNER, _LOWER_INNER), (_UPPER_OUTER, _LOWER_OUTER)):
        content[:, upper] += step
        content[:, lower] -= step
    return content
