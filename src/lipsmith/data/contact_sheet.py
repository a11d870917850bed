"""Draws a contact sheet of prepared clips, to inspect crops, landmarks and the match of mouth and speech.

Each clip gets a tile with its name, length and share of tracked frames; the frame with the widest open mouth, without
and with the mesh and the sketch; and below it the mouth opening over the mel spectrogram, on one time axis.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.data.clips import ClipRecord, PreparedClip, load_clip, load_mesh, read_crops, read_manifest
from lipsmith.face.landmarks import draw_sketches, lip_opening
from lipsmith.progress import Progress
from lipsmith.speech.mel import MEL_LIMIT, MEL_RATE

COLUMNS: Final = 4
"""Tiles per row."""
FACE: Final = 224
"""Side of a drawn crop, pixels."""
LABEL: Final = 22
"""Height of the line of text, pixels."""
CURVE: Final = 88
"""Height of the mel spectrogram, pixels."""
GAP: Final = 10
"""Gap between tiles, pixels."""
WIDEST: Final = 0.2
"""Mouth opening at the top of the plot, as a share of the crop; a normally open mouth reaches half of it."""

_BACKGROUND: Final = (24, 24, 28)
_TEXT: Final = (230, 230, 230)
_MESH: Final = (80, 200, 255)
_SKETCH: Final = (255, 240, 60)
_OPENING: Final = (255, 255, 255)
_LOST: Final = (255, 70, 70)
_SHOWN: Final = (255, 160, 40)

Image = NDArray[np.uint8]


def contact_sheet(root: Path, count: int = 24, split: str | None = None, progress: Progress | None = None) -> Image:
    """A sheet `(H, W, 3)` RGB of `count` clips of a prepared folder or of one split, from different people first.

    `progress` is called with the number of tiles drawn and their total. Raises InputError if there is no such clip, or
    if a file is missing or damaged.
    """
    chosen = choose(read_manifest(root, *filter(None, [split])), count)
    tiles = []
    for record in chosen:
        tiles.append(draw_tile(root, record))
        if progress:
            progress(len(tiles), len(chosen))
    return _arranged(tiles)


def choose(records: Sequence[ClipRecord], count: int) -> list[ClipRecord]:
    """At most `count` records: one per person, then a second per person; people are spread evenly over the manifest."""
    people: dict[str, list[ClipRecord]] = defaultdict(list)
    for record in records:
        people[record.identity].append(record)
    chosen: list[ClipRecord] = []
    for turn in zip_longest(*people.values()):
        present = [record for record in turn if record is not None]
        room = min(count - len(chosen), len(present))
        chosen += [present[place * len(present) // room] for place in range(room)]
    return chosen


def draw_tile(root: Path, record: ClipRecord) -> Image:
    """The tile `(LABEL + FACE + CURVE, 2 FACE, 3)` RGB of one clip. Raises InputError if its files are damaged."""
    clip = load_clip(root, record, images=False)
    opening = np.where(clip.tracked, lip_opening(clip.landmarks), -1)
    shown = int(opening.argmax())
    bare = read_crops(root / f"{record.clip}.mp4", shown + 1)[shown]
    face = np.asarray(cv2.resize(bare, (FACE, FACE), interpolation=cv2.INTER_CUBIC), np.uint8)
    marked = mark(face, clip.landmarks[shown], load_mesh(root, record)[shown])
    return np.concatenate([_label(record), np.concatenate([face, marked], 1), draw_curve(clip, shown)])


def mark(face: Image, points: NDArray[np.float32], mesh: NDArray[np.float32]) -> Image:
    """A crop `(S, S, 3)` with the mesh `(478, 2)` as dots and the sketch of `(131, 2)` points as lines, crop units."""
    size = len(face)
    marked = face.copy()
    for x, y in np.clip(mesh, -1, 2) * size - 0.5:
        cv2.circle(marked, (round(float(x) * 16), round(float(y) * 16)), 10, _MESH, cv2.FILLED, cv2.LINE_AA, 4)
    ink = draw_sketches(points[None], size)[0][..., None] / 255
    return np.asarray(np.round(marked * (1 - ink) + np.array(_SKETCH) * ink), np.uint8)


def draw_curve(clip: PreparedClip, shown: int) -> Image:
    """Mel `(CURVE, 2 FACE, 3)` with the mouth opening over it, and marks at the shown frame and at frames without a
    face."""
    width = 2 * FACE
    seconds = max(clip.record.seconds, float(clip.times[-1]), 1 / MEL_RATE)
    columns = (np.arange(width) + 0.5) / width * seconds * MEL_RATE
    steps = np.clip(np.round(columns).astype(int), 0, clip.mel.shape[1] - 1)
    level = np.round((clip.mel[::-1, steps] + MEL_LIMIT) / (2 * MEL_LIMIT) * 170).astype(np.uint8)
    strip = cv2.applyColorMap(cv2.resize(level, (width, CURVE)), cv2.COLORMAP_INFERNO)[..., ::-1].copy()
    x = clip.times / seconds * width
    y = (CURVE - 2) - np.clip(lip_opening(clip.landmarks) / WIDEST, 0, 1) * (CURVE - 4)
    for lost in x[~clip.tracked]:
        cv2.line(strip, (round(float(lost)), CURVE - 6), (round(float(lost)), CURVE), _LOST, 2)
    cv2.line(strip, (round(float(x[shown])), 0), (round(float(x[shown])), CURVE), _SHOWN, 1)
    curve = np.round(np.stack([x, y], -1) * 16).astype(np.int32)
    cv2.polylines(strip, [curve], False, _OPENING, 1, cv2.LINE_AA, 4)
    return np.asarray(strip, np.uint8)


def _label(record: ClipRecord) -> Image:
    line = np.full((LABEL, 2 * FACE, 3), _BACKGROUND, np.uint8)
    ending = f"  {record.frames} frames  {100 * record.tracked:.1f} % tracked"
    # OpenCV's fonts are ASCII; long names are shortened at the start, because they differ at the end.
    name = record.clip.encode("ascii", "replace").decode()
    room = 2 * FACE // 8 - len(ending)
    text = (name if len(name) <= room else "..." + name[3 - room :]) + ending
    cv2.putText(line, text, (3, LABEL - 7), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _TEXT, 1, cv2.LINE_AA)
    return line


def _arranged(tiles: Sequence[Image]) -> Image:
    columns = min(COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    height, width = tiles[0].shape[:2]
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), _BACKGROUND, np.uint8)
    for place, tile in enumerate(tiles):
        y, x = GAP + place // columns * (height + GAP), GAP + place % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = tile
    return sheet
