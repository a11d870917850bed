"""Predicts lips and jaw for a whole recording in overlapping windows, scales their motion, and closes lips in silence.

The generator works at 25 frames a second. Footage of another rate is resampled to that grid, and the result back to the
frames' times.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from lipsmith.face.crop import ANCHORS
from lipsmith.face.landmarks import (
    INNER_LIP,
    LOWER_INNER,
    NUM_CONTENT,
    NUM_JAW,
    NUM_POSE,
    OUTER_LIP,
    UPPER_INNER,
    Floats,
    lip_opening,
    parts,
    ranks,
)
from lipsmith.inference.backend import Backend
from lipsmith.speech.mel import mel_windows

RATE: Final = 25.0
"""Frames a second at which the generator works."""
_BATCH: Final = 8
"""More at a time take no less time, but memory, which the networks keep."""
_OVERLAP: Final = 2
# Frames predicted at a time, and the overlap with the next piece, in which the two are blended.
_PIECE: Final = 200
_SHARED: Final = 50
_INNER: Final = NUM_CONTENT - len(INNER_LIP)
_UPPER_INNER, _LOWER_INNER = (np.array(ranks(side)) - NUM_POSE for side in (UPPER_INNER, LOWER_INNER))
_LIP_PAIRS: Final = tuple((_UPPER_INNER - shift, _LOWER_INNER - shift) for shift in (0, len(OUTER_LIP)))
"""Pairs of upper and lower points of the inner lips and of the outer lips."""
_CORNERS: Final = (_INNER, _INNER + 10)
# The lower lip moves with the jaw; the upper lip covers the remaining share.
_LOWER_SHARE: Final = 0.75
_JAW_REACH: Final = np.sin(np.linspace(0, np.pi, NUM_JAW))
_ALONG_JAW: Final = np.linspace(0, 1, NUM_JAW)[:, None]
_TOUCHING: Final = 0.007
"""Opening, crop units, at which lips are drawn together by a third of it; at half of it, by three quarters."""


def predict_content(
    backend: Backend,
    mel: NDArray[np.float32],
    times: NDArray[np.float64],
    pose: NDArray[np.float32],
    references: NDArray[np.float32],
    window: int,
) -> NDArray[np.float32]:
    """Jaw and lips `(F, 57, 2)` in crop units for frames at `times` `(F,)`, rising, in seconds of the speech.

    mel: `(80, steps)`, the speech. pose: `(F, 74, 2)` and references: `(N, 131, 2)`, crop units. `window`: frames per
    window. Every frame is the weighted mean of all windows that contain it, with larger weights near a window's middle.
    """
    ticks = grid(times)
    tokens = speech_tokens(backend, mel_windows(mel, ticks))
    content = content_on_grid(backend, tokens, resample(pose, times, ticks), references, window)
    return uncrossed(resample(content, ticks, times))


def predict_in_pieces(
    backend: Backend,
    mel: NDArray[np.float32],
    times: NDArray[np.float64],
    pose: NDArray[np.float32],
    references: NDArray[np.float32],
    window: int,
    content: NDArray[np.float32],
) -> None:
    """Write one run's `content` `(F, 57, 2)`, predicted in overlapping pieces that are blended."""
    for piece in parts(len(times), _PIECE):
        begin = max(0, piece.start - _SHARED)
        whole = slice(begin, piece.stop)
        found = predict_content(backend, mel, times[whole], pose[whole], references, window)
        shared = piece.start - begin
        share = np.linspace(0, 1, shared + 2)[1:-1, None, None]
        content[begin : piece.start] += share * (found[:shared] - content[begin : piece.start])
        content[piece] = found[shared:]


def speech_tokens(backend: Backend, windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Tokens `(n, d)` of speech windows `(n, bands, 16)`."""
    tokens: list[NDArray[np.float32]] = []
    for batch in _batches(windows[:, None]):
        tokens += backend("speech", mel=batch)
    return np.concatenate(tokens)


def _batches(rows: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """At most `_BATCH` rows each, and nearly equal: a network rounds differently where the last batch has one row."""
    return np.array_split(rows, -(-len(rows) // _BATCH))


def content_on_grid(
    backend: Backend,
    tokens: NDArray[np.float32],
    pose: NDArray[np.float32],
    references: NDArray[np.float32],
    window: int,
) -> NDArray[np.float32]:
    """Content `(G, 57, 2)` for tokens `(G, d)` and pose `(G, 74, 2)` at 25 frames a second."""
    length = min(window, len(tokens))
    starts = window_starts(len(tokens), length)
    index = starts[:, None] + np.arange(length)
    return overlap_average(run_windows(backend, tokens[index], pose[index], references), starts, len(tokens))


def run_windows(
    backend: Backend,
    tokens: NDArray[np.float32],
    pose: NDArray[np.float32],
    references: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Content `(w, T, 57, 2)` of windows of tokens `(w, T, d)` and pose `(w, T, 74, 2)`, all with one reference set."""
    pieces: list[NDArray[np.float32]] = []
    for of_tokens, of_pose in zip(_batches(tokens), _batches(pose), strict=True):
        repeated = np.repeat(references[None].astype(np.float32), len(of_tokens), axis=0)
        pieces += backend("landmarks", tokens=of_tokens, pose=of_pose, references=repeated)
    return np.concatenate(pieces)


def overlap_average(pieces: NDArray[np.float32], starts: NDArray[np.intp], frames: int) -> NDArray[np.float32]:
    """`(frames, 57, 2)` from windows `(w, T, 57, 2)` that begin at `starts` and together cover all frames."""
    length = pieces.shape[1]
    weights = triangle(length)[:, None, None]
    total = np.zeros((frames, *pieces.shape[2:]), np.float64)
    share = np.zeros((frames, 1, 1), np.float64)
    for start, piece in zip(starts, pieces, strict=True):
        total[start : start + length] += weights * piece
        share[start : start + length] += weights
    return (total / share).astype(np.float32)


def window_starts(frames: int, length: int) -> NDArray[np.intp]:
    """First frames of windows that cover `frames` frames, each frame except the outermost at least twice."""
    stride = max(1, length // _OVERLAP)
    last = frames - length
    return np.unique(np.append(np.arange(0, last + 1, stride), last))


def triangle(length: int) -> NDArray[np.float64]:
    """Weights `(length,)` in (0, 1], highest in the middle, because predictions at the ends of a window have less
    context."""
    center = (length - 1) / 2
    weights: NDArray[np.float64] = 1 - np.abs(np.arange(length) - center) / (center + 1)
    return weights


def grid(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ticks at 25 a second from the first time to at least the last."""
    count = 1 + int(np.ceil((times[-1] - times[0]) * RATE - 1e-6))
    ticks: NDArray[np.float64] = times[0] + np.arange(count) / RATE
    return ticks


def resample(
    values: NDArray[np.floating[Any]], times: NDArray[np.float64], new_times: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Values `(F, ...)` at rising `times`, interpolated at `new_times` by a cubic through the points.

    The curve passes through the given values and is smooth between them; beyond the ends the first and last values
    hold.
    """
    if len(times) == len(new_times) and np.allclose(times, new_times, rtol=0, atol=1e-4):
        return values.astype(np.float32)
    flat = values.reshape(len(values), -1).astype(np.float64)
    if len(times) == 1:
        return np.repeat(values.astype(np.float32), len(new_times), axis=0)
    curve = _hermite(flat, times, np.clip(new_times, times[0], times[-1]))
    return curve.reshape(len(new_times), *values.shape[1:]).astype(np.float32)


def _hermite(
    flat: NDArray[np.float64], times: NDArray[np.float64], new_times: NDArray[np.float64]
) -> NDArray[np.float64]:
    slopes = np.gradient(flat, times, axis=0)
    left = np.clip(np.searchsorted(times, new_times, side="right") - 1, 0, len(times) - 2)
    span = (times[left + 1] - times[left])[:, None]
    u = (new_times - times[left])[:, None] / span
    start, end = flat[left], flat[left + 1]
    start_slope, end_slope = slopes[left] * span, slopes[left + 1] * span
    curve: NDArray[np.float64] = (
        start * (1 + 2 * u) * (1 - u) ** 2
        + start_slope * u * (1 - u) ** 2
        + end * u**2 * (3 - 2 * u)
        + end_slope * u**2 * (u - 1)
    )
    return curve


def driven(points: Floats, references: Floats, strength: float) -> NDArray[np.float32]:
    """Content `(F, 57, 2)` to ask of the renderer: `with_strength`, and lips that nearly touch are closed further.

    Lips asked to be a hair apart would be drawn open, with a line of teeth between them. Shapes as of `with_strength`.
    """
    content = with_strength(points, references, strength)
    return close_lips(content, np.exp(-((lip_opening(content) / _TOUCHING) ** 2)), 0.0)


def with_strength(points: Floats, references: Floats, strength: float) -> NDArray[np.float32]:
    """Content `(F, 57, 2)` of `points` `(F, 131, 2)`, with its distance from rest scaled by `strength`.

    `references`: `(N, 131, 2)` of the same person; both in crop units. A `strength` of 1 changes nothing, 0 gives the
    rest position, 2 twice the motion.
    """
    content = np.array(points[:, NUM_POSE:], np.float32)
    if strength == 1:
        return content
    content += np.float32(strength - 1) * (content - rest(points, references))
    return uncrossed(content)


def rest(points: Floats, references: Floats) -> NDArray[np.float32]:
    """Content at rest `(F, 57, 2)`: the mean of `references` `(N, 131, 2)` in the head pose of `points` `(F, 131, 2)`.

    An affine map, fitted to points that move with the skull, applies the head pose to the mean face.
    """
    mean, anchors = references.mean(0), ranks(ANCHORS)
    to_pose = np.linalg.pinv(_homogeneous(mean[anchors])) @ points[:, anchors]
    return np.asarray(_homogeneous(mean[NUM_POSE:]) @ to_pose, np.float32)


def _homogeneous(points: Floats) -> Floats:
    return np.concatenate([points, np.ones_like(points[:, :1])], 1)


def uncrossed(content: NDArray[np.float32]) -> NDArray[np.float32]:
    """Content `(F, 57, 2)` in which no point of the lower lip is above its partner on the upper lip; crossed pairs meet
    halfway.

    Above means on the nose's side of the line between the mouth corners.
    """
    moved = content.copy()
    along = moved[:, _CORNERS[1]] - moved[:, _CORNERS[0]]
    down = np.stack([-along[:, 1], along[:, 0]], -1) / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    gap = ((moved[:, _LOWER_INNER] - moved[:, _UPPER_INNER]) * down[:, None]).sum(-1)
    step = np.minimum(gap, 0)[..., None] / 2 * down[:, None]
    for upper, lower in _LIP_PAIRS:
        moved[:, upper] += step
        moved[:, lower] -= step
    return moved


def close_lips(content: Floats, amount: NDArray[np.float64], rest: float) -> NDArray[np.float32]:
    """Mouths `(F, 57, 2)` closed by `amount` `(F,)`: 0 keeps them, 1 closes to the opening `rest` or keeps a smaller
    one.

    The lower lip moves three quarters of the way, together with the chin, and the upper lip the rest.
    """
    moved = np.array(content, np.float32)
    gap = moved[:, _LOWER_INNER] - moved[:, _UPPER_INNER]
    share = amount * np.clip(1 - rest / np.maximum(lip_opening(moved), 1e-9), 0, 1)
    step = gap * share[:, None, None]
    for upper, lower in _LIP_PAIRS:
        moved[:, lower] -= _LOWER_SHARE * step
        moved[:, upper] += (1 - _LOWER_SHARE) * step
    moved[:, :NUM_JAW] -= _LOWER_SHARE * _JAW_REACH[:, None] * step[:, 4:5]
    return moved


def with_jaw_ends(content: NDArray[np.float32], filmed: Floats) -> NDArray[np.float32]:
    """Content `(F, 57, 2)` whose jaw is moved sideways until its ends, below the ears, are those of the `filmed` one
    `(F, 57, 2)`: a predicted jaw lags behind a head that turns.

    Only sideways, because the filmed ends go up and down with the filmed words.
    """
    moved, ends = content.copy(), [0, NUM_JAW - 1]
    across = filmed[:, ends[1]] - filmed[:, ends[0]]
    across = (across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9))[:, None]
    off = ((filmed - content)[:, ends] * across).sum(-1, keepdims=True)
    moved[:, :NUM_JAW] += (off[:, :1] + _ALONG_JAW * (off[:, 1:] - off[:, :1])) * across
    return moved


def resting_opening(points: Floats) -> float:
    """Opening of the inner lips of references `(N, 131, 2)` at nearly their most closed."""
    return float(np.percentile(lip_opening(points), 10))
