"""Freely usable footage: the public-domain face of demo/ in motion, with its free voice. A detector trained on
photographs finds this face, but would not find a drawn one.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.media import VideoWriter
from lipsmith.media.sound import sound_of

DEMO = Path(__file__).resolve().parents[1] / "demo"
FACE = DEMO / "face.png"
SPEECH = DEMO / "speech.wav"
SPEECH_RATE = 16_000
_FILMS: dict[tuple[object, ...], bytes] = {}


@dataclass(frozen=True)
class Motion:
    """Amplitude of the head's motion to either side, once in `period` seconds."""

    shift: float = 0.0
    """Fraction of the picture's width."""
    turn: float = 0.0
    """Degrees."""
    scale: float = 0.0
    """Fraction of its size."""
    period: float = 2.0
    """Seconds."""


STILL = Motion()
NODDING = Motion(shift=0.03, turn=5.0, scale=0.04)


def face_at(time: float, size: tuple[int, int] = (320, 320), motion: Motion = NODDING) -> NDArray[np.uint8]:
    """Return the face at `time` seconds: (H, W, 3) uint8 RGB for `size` (W, H), as large as fits, edges repeated."""
    picture = _face()
    height, width = picture.shape[:2]
    swing = np.sin(2 * np.pi * time / motion.period)
    zoom = min(size[0] / width, size[1] / height) * (1 + motion.scale * swing)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), motion.turn * swing, zoom)
    matrix[:, 2] += (size[0] * (0.5 + motion.shift * swing) - width / 2, size[1] / 2 - height / 2)
    moved = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


@cache
def _face() -> NDArray[np.uint8]:
    picture = cv2.imread(str(FACE), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def speech(seconds: float | None = None) -> NDArray[np.float32]:
    """Return the demo's voice, (n,) float32 in [-1, 1] at 16 kHz, repeated or cut to `seconds` if given."""
    with wave.open(str(SPEECH)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    length = len(samples) if seconds is None else round(seconds * SPEECH_RATE)
    return np.resize(samples, length).astype(np.float32)


def make_film(
    path: Path,
    seconds: float = 2.0,
    fps: float = 25.0,
    size: tuple[int, int] = (320, 320),
    motion: Motion = NODDING,
    audio: NDArray[np.float32] | None = None,
) -> Path:
    """Write a film of the moving face, silent unless `audio` (n,) at 16 kHz is given, and return its path.

    A film that was made before in this process is copied.
    """
    key = path.suffix, seconds, fps, size, motion, None if audio is None else audio.tobytes()
    if key in _FILMS:
        path.write_bytes(_FILMS[key])
        return path
    sound = None if audio is None else sound_of(audio, SPEECH_RATE)
    with VideoWriter(path, *size, fps, sound=sound) as film:
        for index in range(round(seconds * fps)):
            film.write(face_at(index / fps, size, motion), index / fps)
    _FILMS[key] = path.read_bytes()
    return path


def large_face_enters(frames: int = 40) -> list[NDArray[np.uint8]]:
    """Return frames of 440 x 240: a small face on the left; one three times as large enters from the right."""
    small, large = face_at(0, (80, 80)), face_at(0, (240, 240))
    y, x = np.mgrid[:240, :440]
    empty = np.stack([x * 200 // 440, y * 200 // 240, (x + y) // 4], -1).astype(np.uint8)
    images = []
    for number in range(frames):
        image = empty.copy()
        image[20:100, 10:90] = small
        left = max(440 - 20 * number, 190)
        image[:, left : left + 240] = large[:, : 440 - left]
        images.append(image)
    return images
