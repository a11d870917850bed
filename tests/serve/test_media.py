from __future__ import annotations

import base64
import io
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from double import make_dubber
from dub_samples import write_wav
from lipsmith.errors import InputError
from lipsmith.media import VideoWriter
from lipsmith.media.sound import to_frame
from lipsmith.serve.media import describe_faces, inspect
from synthetic import FACE, make_film


def test_the_thumbnail_of_a_face_that_leaves_and_returns_shows_it(tmp_path: Path) -> None:
    there = np.r_[0:10, 40:50]
    with VideoWriter(tmp_path / "film.mp4", 320, 320, 25) as film:
        for frame in range(50):
            film.write(np.full((320, 320, 3), 255 * (frame in there), np.uint8), frame / 25)
    (face,) = make_dubber().prepare(FACE).faces
    transforms = np.repeat(face.transforms, len(there), axis=0)
    face = replace(face, frames=there, transforms=transforms, seconds=(0.0, 49 / 25))
    (described,) = describe_faces(tmp_path / "film.mp4", [face], np.arange(50) / 25)
    _, encoded = described["thumbnail"].split(",")
    assert np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))).mean() > 250


def test_a_sound_without_samples_is_refused(tmp_path: Path) -> None:
    assert inspect(write_wav(tmp_path / "one.wav", np.zeros(1, np.float32)), 10**6, 1)["kind"] == "sound"
    with pytest.raises(InputError, match=r"none.wav has an empty sound track; give a recording"):
        inspect(write_wav(tmp_path / "none.wav", np.zeros(0, np.float32)), 10**6, 1)


def test_a_damaged_avif_is_an_input_error(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "a.avif")
    content = (tmp_path / "a.avif").read_bytes()
    (tmp_path / "a.avif").write_bytes(content.replace(b"pitm", b"xxxx"))
    with pytest.raises(InputError, match=r"a\.avif cannot be read as a picture"):
        inspect(tmp_path / "a.avif", 10**6, 1)


def test_a_film_of_negative_length_is_measured(tmp_path: Path) -> None:
    """The limits of length and of CPU time follow it; the system takes a negative limit for none."""
    path = make_film(tmp_path / "film.mkv", 0.4, 25, (64, 64))
    content = path.read_bytes()
    at = content.index(b"\x44\x89\x88") + 3  # Duration, of 8 bytes
    path.write_bytes(content[:at] + struct.pack(">d", -1e9) + content[at + 8 :].replace(b"DURATION", b"SOMETHIN"))
    assert inspect(path, 10**6, 1)["seconds"] == pytest.approx(0.36)


@pytest.mark.parametrize("suffix", [".mka", ".ogg"])
def test_a_file_whose_clock_begins_late_lasts_from_its_first_frame(tmp_path: Path, suffix: str) -> None:
    """As a part of a broadcast; by its end alone, it would exceed the limit of one minute."""
    path = tmp_path / f"speech{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libopus", rate=48_000, layout="mono")
        for begin in range(0, 96_000, 960):
            frame = to_frame(np.zeros((1, 960), np.float32), 48_000, 90 * 48_000 + begin)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert inspect(path, 10**6, 1)["seconds"] == pytest.approx(2, abs=0.05)
