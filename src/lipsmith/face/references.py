"""Selects reference frames: a pool that covers the mouth shapes, and the references of the pool nearest to a target.

Lip opening is the distance between mesh points 0 and 17, and references are at evenly spaced ranks of it, as in IP_LAP,
whose settings the paper takes over for inference (section 4.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.face.captions import caption, inpainted, without_bar
from lipsmith.face.crop import UNIT_SQUARE, Part, apply, crop_image, fit_transforms, invert, shrink
from lipsmith.face.landmarks import OUTER_LIP, Floats, distances, outer_lip_opening, parts, ranks, turn

if TYPE_CHECKING:
    from lipsmith.face.cuts import Dissolve
    from lipsmith.media import Frame
    from lipsmith.media.color import Picture

MOST_CANDIDATES: Final = 75
"""Maximum number of pictures kept per face. When it is reached, every second one is dropped: the rest stay evenly
spread over time, with the distribution of mouth shapes of the whole shot."""
_PLAIN: Final = 256
"""Pictures of at least this side, pixels, are kept as JPEG, which takes a tenth of the memory."""
_LOOKED_AT: Final = 8
"""Pictures of a face, at least, that are searched for captions before all are."""
_MARGIN: Final = 0.1
"""Margin of a picture around the crop, in crop sides: the smoothed crop differs slightly from the frame's crop."""

POOL: Final = 60
PAPER_POOL: Final = 25
LANDMARK_SETS: Final = 15
_FEW: Final = 5

# A head at another place in the picture is lit differently; beyond this share of a crop the penalty is constant.
ELSEWHERE_WEIGHT: Final = 0.4
ELSEWHERE: Final = 0.05
# Point of the crop at which that displacement is measured: between mouth and chin.
MIDDLE: Final = 0.5 + 0.75j

# A new reference replaces one in use only if it is nearer by this share of the typical distance.
STICKINESS: Final = 0.25
MEAN_FRAMES: Final = 2
"""Neighboring frames on each side over which costs are averaged."""

# On a head turned further than this (0 frontal, 1 profile) half of the mouth is inaccurate in the mesh.
_TURNED: Final = 0.75
_BLURRED: Final = 0.5
_LIPS: Final = ranks(OUTER_LIP)
_ENOUGH: Final = 0.25
"""Least share of the pictures that must show the whole mouth if the others are to be left out."""
_NEIGHBORS: Final = 6
"""Frames before and after one, whose sharpness its own is compared with."""


class Candidate(NamedTuple):
    """The part of one frame that its crop may need."""

    frame: int
    """Number of the frame in the film."""
    part: Part
    """Large pictures are `(1, n, 1)` bytes of JPEG."""

    def crop(self, transform: Floats, size: int) -> NDArray[np.uint8]:
        """The crop `(size, size, 3)` for a transform `(2, 3)` from the film's pixels."""
        return crop_image(self._image, self.part.own(transform), size)

    def jpeg(self) -> NDArray[np.uint8]:
        """The picture as JPEG, `(1, n, 1)` bytes."""
        return self.part.image if self._is_encoded else encoded(self.part.image)

    def without_caption(self, points: Floats) -> Candidate:
        """This, or one with skin in the place of letters over its face `points` `(131, 2)` in the film's pixels."""
        image = self._image
        covered = caption(image, (points - self.part.origin) / self.part.step)
        return self if covered is None else self._with(inpainted(image, covered))

    def without_bar(self, row: int) -> Candidate:
        """This, or one without the bar that begins at a row of the film."""
        image = self._image
        clean = without_bar(image, (row - self.part.origin[1]) / self.part.step[1])
        return self if clean is image else self._with(clean)

    def _with(self, image: NDArray[np.uint8]) -> Candidate:
        return self._replace(part=self.part._replace(image=encoded(image) if self._is_encoded else image))

    @property
    def _image(self) -> NDArray[np.uint8]:
        return decoded(self.part.image) if self._is_encoded else self.part.image

    @property
    def _is_encoded(self) -> bool:
        return bool(self.part.image.shape[-1] == 1)


class Candidates:
    """The candidates of one face, at most `MOST_CANDIDATES`, offered frame by frame."""

    def __init__(self, size: int) -> None:
        """`size`: side of the crops to be cut from them, pixels; larger faces are kept downscaled."""
        self._size = size
        self._offered, self._stride = 0, 1
        self.kept: list[Candidate] = []

    def offer(self, frame: Frame, points: Floats) -> None:
        """Offer the next frame that shows the face; only some frames are kept. `points`: `(131, 2)` in its pixels."""
        row = self._offered
        self._offered += 1
        if row % self._stride:
            return
        if len(self.kept) == MOST_CANDIDATES:
            self.kept, self._stride = self.kept[::2], 2 * self._stride
            if row % self._stride:
                return
        self.kept.append(Candidate(frame.index, self._part(frame.image, points)))

    def split(self, dissolve: Dissolve) -> Candidates:
        """Keep those of the shot before a dissolve, and return those after it; mixtures are no references."""
        later = Candidates(self._size)
        later.kept = [candidate for candidate in self.kept if candidate.frame >= dissolve.end]
        self.kept = [candidate for candidate in self.kept if candidate.frame <= dissolve.begin]
        return later

    def _part(self, image: Picture, points: Floats) -> Part:
        corners = apply(invert(fit_transforms(points[None])[0]), UNIT_SQUARE * (1 + 2 * _MARGIN) - _MARGIN)
        factor = max(1, int(np.ptp(corners, axis=0).max()) // (2 * self._size))
        part = shrink(image, corners, factor)
        return part._replace(image=encoded(part.image)) if max(part.image.shape) > _PLAIN else part


def in_view(points: Floats, size: tuple[int, int]) -> NDArray[np.intp]:
    """Indices of the faces `(n, 131, 2)`, pixels, with the whole mouth in a picture of that width and height; of all
    faces if these are too few. Of others a reference shows the picture's last row, drawn out."""
    lips = points[:, _LIPS]
    inside = ((lips >= 0) & (lips <= size)).all((1, 2))
    return np.flatnonzero(inside if inside.mean() >= _ENOUGH else np.ones_like(inside))


def without_captions(candidates: Sequence[Candidate], points: Floats) -> list[Candidate]:
    """The candidates of a face with `points` `(n, 131, 2)` in the film's pixels, without captions; the very same ones
    if those that are looked at have none."""
    some = slice(None, None, max(1, len(candidates) // _LOOKED_AT))
    looked_at = zip(candidates[some], points[some], strict=True)
    if all(candidate.without_caption(place) is candidate for candidate, place in looked_at):
        return list(candidates)
    return [candidate.without_caption(place) for candidate, place in zip(candidates, points, strict=True)]


def encoded(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """JPEG, `(1, n, 1)` bytes, of an image `(h, w, 3)`."""
    settings = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)  # a reversed view would be copied pixel by pixel
    return np.asarray(cv2.imencode(".jpg", bgr, settings)[1], np.uint8).reshape(1, -1, 1)


def decoded(jpeg: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image `(h, w, 3)` of `encoded`."""
    return np.asarray(cv2.imdecode(jpeg.ravel(), cv2.IMREAD_COLOR_RGB), np.uint8)


def paper_pool_size(frames: int) -> int:
    """Number of references in the paper: a fifth of the clip's `frames`, at least 5 and at most 25."""
    return min(frames, max(_FEW, min(PAPER_POOL, frames // 5)))


def choose_pool(points: Floats, sharpness: Floats | None = None, count: int | None = None) -> NDArray[np.intp]:
    """Indices `(count,)` of frames at evenly spaced ranks of lip opening, by rising opening; the sharpest near each
    rank.

    `points`: `(F, 131, 2)` in crop units; `sharpness`: `(F,)`, any positive unit, None if unknown; `count`: by default
    all usable frames, at most `POOL`. Frames blurred more than their neighbors and strongly turned ones are skipped if
    enough others remain. If there are fewer frames than `count`, some are repeated.
    """
    usable = _usable(points, sharpness, PAPER_POOL if count is None else count)
    count = min(POOL, len(usable)) if count is None else count
    order = usable[np.argsort(outer_lip_opening(points[usable]), kind="stable")]
    if sharpness is None or len(order) <= count:
        return np.asarray(order[np.round(np.linspace(0, len(order) - 1, count)).astype(int)])
    step = (len(order) - 1) / max(1, count - 1)
    # The ranges are disjoint, so that no frame is selected twice.
    edges = np.clip(np.ceil(step * (np.arange(count + 1) - 0.5)), 0, len(order)).astype(int)
    return np.array([_sharpest(order[low:high], sharpness) for low, high in pairwise(edges)])


def choose_landmarks(points: Floats, count: int = LANDMARK_SETS) -> NDArray[np.intp]:
    """Indices `(count,)` of the reference landmark sets of the landmark generator."""
    return choose_pool(points, None, count)


def nearest(cost: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """The `k` references of lowest cost for each target, `(F, k)`; the whole pool if it has fewer.

    `cost`: `(F, R)` of successive frames, from `costs`. It is averaged over neighboring frames, and a reference in use
    is kept until another is clearly nearer, so that the picture does not flicker.
    """
    if len(cost) < 2:
        return np.argsort(cost, axis=1, kind="stable")[:, :k]
    cost = _averaged(cost)
    margin = STICKINESS * float(np.median(cost))
    chosen = np.empty((len(cost), min(k, cost.shape[1])), np.intp)
    for frame, row in enumerate(cost):
        chosen[frame] = _followed(row, chosen[frame - 1] if frame else None, k, margin)
    return chosen


def undercut(cost: NDArray[np.float32], chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """The references `(n, k)` of successive frames: those `chosen`, unless another is clearly nearer.

    A replacement then counts as in use: it stays until another is clearly nearer.

    `cost`: `(n, R)`, which has more terms than the one by which `chosen` was found.
    """
    found = chosen.copy()
    for frame, row in enumerate(cost):
        margin = STICKINESS * float(np.median(row))
        eased = row.copy()
        eased[np.setdiff1d(found[max(0, frame - 1)], chosen[frame])] -= margin
        found[frame] = _followed(eased, chosen[frame], chosen.shape[1], margin)
    return found


def costs(
    target: Floats, pool: Floats, still: NDArray[np.float32], pool_still: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Cost of each reference for each target, `(F, R)`: distance in pose, mouth shape and position in the picture.

    `target`: `(F, 131, 2)` and `pool`: `(R, 131, 2)` in crop units; `still`: `(F, 2, 2)` and `pool_still`: `(R, 2, 2)`,
    their `lipsmith.face.crop.still_points`.
    """
    found = distances(target, pool)
    for part in parts(len(found)):
        found[part] += ELSEWHERE_WEIGHT * np.minimum(_elsewhere(still[part], pool_still), ELSEWHERE)
    return found


def sharpness_of(image: NDArray[np.uint8]) -> float:
    """Square of the Laplacian of the green channel of a crop `(h, w, 3)`, median over 64 tiles; low for blurred crops.

    A caption or a microphone is in few tiles, so it does not make a crop sharp.
    """
    green = image[..., 1].astype(np.float32)
    laplacian = green[:-2, 1:-1] + green[2:, 1:-1] + green[1:-1, :-2] + green[1:-1, 2:] - 4 * green[1:-1, 1:-1]
    return float(np.median(cv2.resize(np.square(laplacian), (8, 8), interpolation=cv2.INTER_AREA)))


def _usable(points: Floats, sharpness: Floats | None, count: int) -> NDArray[np.intp]:
    good = turn(points) < _TURNED
    if sharpness is not None:
        good &= np.asarray(sharpness) >= _BLURRED * _neighborhood(np.asarray(sharpness))
    return np.flatnonzero(good) if good.sum() >= count else np.arange(len(points))


def _neighborhood(values: Floats) -> Floats:
    """Running median `(n,)`. Motion blurs few frames; where many are soft, the footage is, and references match it."""
    padded = np.pad(values, _NEIGHBORS, mode="reflect" if len(values) > _NEIGHBORS else "edge")
    median: Floats = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * _NEIGHBORS + 1), axis=-1)
    return median


def _sharpest(frames: NDArray[np.intp], sharpness: Floats) -> np.intp:
    best: np.intp = frames[np.argmax(np.asarray(sharpness)[frames])]
    return best


def _followed(cost: NDArray[np.float32], before: NDArray[np.intp] | None, k: int, margin: float) -> NDArray[np.intp]:
    """The `k` references of lowest cost; those already in use cost `margin` less and keep their slots."""
    if before is None:
        return np.argsort(cost, kind="stable")[:k]
    eased = cost.copy()
    eased[before] -= margin
    best = np.argsort(eased, kind="stable")[: len(before)]
    slots, same = before.copy(), before[:, None] == best
    slots[~same.any(1)] = best[~same.any(0)]
    return slots


def _averaged(cost: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(cost, ((MEAN_FRAMES, MEAN_FRAMES), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * MEAN_FRAMES + 1, axis=0)
    mean: NDArray[np.float32] = windows.mean(-1, dtype=np.float32)
    return mean


def _elsewhere(still: NDArray[np.float32], pool_still: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distance of the background point at a target's `MIDDLE` from its position in each reference, `(F, R)` crop
    units."""
    there, other = (points[..., 0] + 1j * points[..., 1] for points in (still, pool_still))
    turn_and_scale = (other[:, 1] - other[:, 0]) / (there[:, 1] - there[:, 0])[:, None]
    moved = other[:, 0] + turn_and_scale * (MIDDLE - there[:, :1])
    return np.asarray(np.abs(moved - MIDDLE), np.float32)
