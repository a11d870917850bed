"""Unusable films and recordings, and unusual ones that must work."""

from __future__ import annotations

import wave
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipsmith.dubbing.scan import ArrayStore, Face
from lipsmith.media import VideoWriter
from lipsmith.progress import Progress
from synthetic import face_at, make_film, speech

SIZE = (160, 160)
Make = Callable[[Path], Path]


def write_wav(path: Path, samples: NDArray[np.float32], rate: int = 16_000, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.repeat(samples, channels) * 32767).astype(np.int16).tobytes())
    return path


def write_film(path: Path, images: list[NDArray[np.uint8]], fps: float = 25) -> Path:
    with VideoWriter(path, images[0].shape[1], images[0].shape[0], fps) as film:
        for image in images:
            film.write(image)
    return path


def filled(name: str, content: bytes) -> Make:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def missing(folder: Path) -> Path:
    return folder / "none.mp4"


def silent_film(folder: Path) -> Path:
    return make_film(folder / "silent.mp4", 0.2, 25, SIZE)


def cut_off(folder: Path, share: float = 0.02) -> Path:
    whole = make_film(folder / "whole.mp4", 0.4, 25, SIZE).read_bytes()
    path = folder / "cut.mp4"
    path.write_bytes(whole[: round(len(whole) * share)])
    return path


def no_face(folder: Path) -> Path:
    return write_film(folder / "sea.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 5)


def no_samples(folder: Path) -> Path:
    return write_wav(folder / "none.wav", np.zeros(0, np.float32))


def recording(folder: Path) -> Path:
    return write_wav(folder / "only.wav", speech(0.2))


BAD_VIDEOS: dict[str, Make] = {
    "missing": missing,
    "empty": filled("empty.mp4", b""),
    "damaged": filled("damaged.mp4", bytes(range(256)) * 40),
    "text": filled("notes.mp4", b"dear diary\n" * 50),
    "cut off": cut_off,
    "a recording": recording,
    "an empty folder": lambda folder: folder,
    "no face": no_face,
}
BAD_SPEECHES: dict[str, Make] = {
    "missing": missing,
    "empty": filled("empty.wav", b""),
    "damaged": filled("damaged.mp3", bytes(range(256)) * 40),
    "text": filled("notes.wav", b"dear diary\n" * 50),
    "without sound": silent_film,
    "zero length": no_samples,
    "an empty folder": lambda folder: folder,
    "a picture": lambda folder: write_png(folder / "face.png"),
}


def write_png(path: Path) -> Path:
    cv2.imwrite(str(path), face_at(0, SIZE)[..., ::-1])
    return path


def crossing(folder: Path) -> Path:
    """Film of two faces that pass each other, one in front."""
    images = []
    for number in range(14):
        canvas = np.full((160, 400, 3), 60, np.uint8)
        canvas[:, 20 * number : 20 * number + 130] = face_at(0, (130, 160))
        x = 260 - 20 * number
        canvas[20:140, x : x + 100] = face_at(0.4, (100, 120))
        images.append(canvas)
    return write_film(folder / "crossing.mp4", images)


def leaving(folder: Path) -> Path:
    images = [face_at(0, SIZE)] * 5 + [np.full((160, 160, 3), 80, np.uint8)] * 5
    return write_film(folder / "leaving.mp4", images)


def damaged_middle(folder: Path) -> Path:
    with VideoWriter(folder / "film.mkv", *SIZE, 25) as film:
        for number in range(20):
            film.write(face_at(number / 25, SIZE))
    content = bytearray((folder / "film.mkv").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    (folder / "film.mkv").write_bytes(content)
    return folder / "film.mkv"


def two_faces(swap: bool = False, time: float = 0) -> NDArray[np.uint8]:
    """Frame of 440 x 240: a small face on the left of a large one, on a gradient."""
    y, x = np.mgrid[:240, :440]
    canvas = np.stack([x * 200 // 440, y * 200 // 240, (x + y) // 4], -1).astype(np.uint8)
    large = face_at(time, (240, 240))
    canvas[40:200, 10:170] = cv2.resize(large, (160, 160), interpolation=cv2.INTER_AREA)
    canvas[:, 190:430] = large
    return np.ascontiguousarray(canvas[:, ::-1]) if swap else canvas


ODD_VIDEOS: dict[str, Make] = {
    "one frame": lambda folder: write_film(folder / "one.mp4", [face_at(0, SIZE)]),
    "120 a second": lambda folder: make_film(folder / "fast.mp4", 0.2, 120, SIZE),
    "a picture": lambda folder: write_png(folder / "face.png"),
    "odd sides": lambda folder: make_film(folder / "odd.mp4", 0.2, 25, (161, 157)),
    "the face leaves": leaving,
    "faces cross": crossing,
    "cut off": lambda folder: cut_off(folder, 0.8),
    "damaged in the middle": damaged_middle,
    "a name with spaces": lambda folder: make_film(folder / "mein Film, 1:2 'é'.mp4", 0.2, 25, SIZE),
}


class Stopping:
    """Raises an error after the frame with that number was rendered."""

    def __init__(self, after: int, error: BaseException) -> None:
        self._after, self._error = after, error

    def __call__(self, title: str) -> AbstractContextManager[Progress | None]:
        return nullcontext(self._count if "dubbing" in title else None)

    def _count(self, done: int, total: int) -> None:
        if done == self._after:
            raise self._error


def plain_face(number: int, shot: int = 0, size: float = 50, x: float = 0, frames: int = 10) -> Face:
    """Return a face without pictures."""
    none = np.zeros((0, 131, 2), np.float32)
    return Face(
        number,
        shot,
        np.arange(frames),
        none,
        np.zeros((0, 2, 3)),
        np.zeros(0, np.float32),
        np.zeros(0, bool),
        ArrayStore().put(none),
        none,
        np.zeros((0, 2, 2), np.float32),
        np.zeros(0, np.intp),
        none,
        size,
        (x, 0),
        (0, 1),
        number - 1,
    )
