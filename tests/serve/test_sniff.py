"""Films, pictures and sounds are accepted; other formats that libav opens are rejected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dub_samples import write_png, write_wav
from lipsmith.serve.sniff import HEAD, looks_like_media, picture_pixels
from synthetic import speech
from video_samples import film, pictures, sound

FILMS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".ts", ".flv", ".mpg", ".gif", ".png", ".jpg", ".webp", ".bmp")


@pytest.mark.parametrize("suffix", FILMS)
def test_films_and_pictures_are_accepted(suffix: str, tmp_path: Path) -> None:
    path = film(tmp_path / f"film{suffix}", pictures(1 if suffix in FILMS[-4:] else 5))
    assert looks_like_media(path.read_bytes()[:HEAD])


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp3", "mp3"),
        ("a.m4a", "aac"),
        ("a.flac", "flac"),
        ("a.ogg", "libopus"),
        ("a.aac", "aac"),
        ("a.aiff", "pcm_s16be"),
    ],
)
def test_sounds_are_accepted(name: str, codec: str, tmp_path: Path) -> None:
    path = sound(tmp_path / name, speech(0.5)[None].repeat(1, 0), 48_000 if codec == "libopus" else 16_000, codec)
    assert looks_like_media(path.read_bytes()[:HEAD])
    assert looks_like_media(write_wav(tmp_path / "a.wav", speech(0.2)).read_bytes()[:HEAD])


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"#EXTM3U\n",
        b"ffconcat version 1.0",
        b"PK\x03\x04",
        b"<?xml",
        b"%PDF-1.7",
        b"\x7fELF",
        b"\xff\xff",
        "#EXTM3U".encode("utf-16"),
        b"RIFF\0\0\0\0RMID",
    ],
)
def test_other_formats_are_rejected(head: bytes) -> None:
    assert not looks_like_media(head + bytes(200))


@pytest.mark.parametrize("words", [b"G", b"Good morning"])
def test_a_short_text_is_no_transport_stream(words: bytes) -> None:
    assert not looks_like_media(words)


def test_random_bytes_are_rarely_accepted() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2000, 256), np.uint8)
    assert sum(looks_like_media(bytes(head)) for head in noise) < 10


def test_pixel_counts_are_read_from_the_header(tmp_path: Path) -> None:
    assert picture_pixels(write_png(tmp_path / "face.png").read_bytes()[:HEAD]) == 160 * 160
    for suffix in (".gif", ".bmp"):
        assert picture_pixels(film(tmp_path / f"a{suffix}", pictures(1)).read_bytes()[:HEAD]) == 64 * 48
    assert picture_pixels(b"\0\0\0\x18ftypisom") == 0
