"""Reading: every container, rate, size, orientation and color, and files that are not whole."""

from __future__ import annotations

import gc
import logging
import struct
import weakref
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lipsmith.errors import InputError
from lipsmith.media import probe, read_frames
from lipsmith.media import reading as module
from video_samples import click, difference, film, joined, picture, pictures, snow, sound

FILMS = [".mp4", ".mov", ".mkv", ".webm", ".avi", ".mjpeg"]
STILLS = [".png", ".jpg", ".webp", ".bmp"]


@pytest.mark.parametrize("suffix", FILMS)
def test_every_container_yields_each_frame_once_in_order(tmp_path: Path, suffix: str) -> None:
    images = pictures(12)
    path = film(tmp_path / f"a{suffix}", images)
    frames = list(read_frames(path))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(12)], abs=1e-9)
    assert max(difference(frame.image, image) for frame, image in zip(frames, images, strict=True)) <= 12
    info = probe(path)
    assert (info.width, info.height, info.rate, info.frames) == (64, 48, 25, 12)
    assert info.duration == pytest.approx(12 / 25)
    assert not info.is_still
    assert not info.variable_rate
    assert not info.has_audio


@pytest.mark.parametrize("suffix", STILLS)
def test_a_still_picture_is_one_frame_at_zero(tmp_path: Path, suffix: str) -> None:
    image = picture(61, 47)
    path = film(tmp_path / f"a{suffix}", [image])
    (frame,) = read_frames(path)
    assert (frame.time, frame.index) == (0.0, 0)
    assert difference(frame.image, image) <= 8
    assert probe(path).is_still


def test_an_animated_webp_has_its_own_message(tmp_path: Path) -> None:
    path = film(tmp_path / "a.webp", pictures(3), codec="libwebp_anim")
    for read in (probe, lambda path: next(read_frames(path))):
        with pytest.raises(InputError, match="animated WebP"):
            read(path)


def test_an_animation_keeps_its_times(tmp_path: Path) -> None:
    path = film(tmp_path / "a.gif", pictures(5), rate=10, times=[0, 0.1, 0.3, 0.4, 0.9])
    frames = list(read_frames(path))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.3, 0.4, 0.9], abs=0.005)
    assert probe(path).variable_rate
    assert not probe(path).is_still


def test_a_film_of_one_frame_is_read(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", [picture(64, 48)])
    assert len(list(read_frames(path))) == 1
    assert probe(path).frames == 1


def test_transparent_pixels_are_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    film(path, [picture(8, 8)], pixel_format="rgba")
    assert difference(next(read_frames(path)).image, picture(8, 8)) == 0
    data = bytearray(path.read_bytes())
    assert data[25] == 6  # color type: RGB with alpha
    film(path, [np.zeros((8, 8, 3), np.uint8)], pixel_format="ya8")
    assert difference(next(read_frames(path)).image, np.zeros((8, 8, 3), np.uint8)) == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(50), Fraction(25, 2)])
def test_times_are_exact_at_any_rate(tmp_path: Path, suffix: str, rate: Fraction) -> None:
    path = film(tmp_path / f"a{suffix}", pictures(10), rate)
    times = [frame.time for frame in read_frames(path)]
    assert times == pytest.approx([float(i / rate) for i in range(10)], abs=6e-4)
    assert float(probe(path).rate) == pytest.approx(float(rate), rel=1e-4)
    assert not probe(path).variable_rate


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_times_of_a_variable_rate_are_kept(tmp_path: Path, suffix: str) -> None:
    times = [0, 0.04, 0.1, 0.12, 0.3, 0.31, 0.5, 0.55, 0.61, 0.9]
    path = film(tmp_path / f"a{suffix}", pictures(10), 25, times=times)
    assert [frame.time for frame in read_frames(path)] == pytest.approx(times, abs=1e-3)
    info = probe(path)
    assert info.variable_rate
    assert float(info.rate) == pytest.approx(10 / 0.94, rel=0.01)


def test_the_first_frame_is_at_time_zero(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", pictures(5), times=[3 + i / 25 for i in range(5)])
    assert [frame.time for frame in read_frames(path)] == pytest.approx([i / 25 for i in range(5)], abs=1e-3)


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.4), (0.2, None), (0.2, 0.4), (7.0, 7.2), (7.02, None), (99, None)])
def test_a_part_equals_that_of_the_whole_film(tmp_path: Path, start: float, end: float | None) -> None:
    path = film(tmp_path / "a.mp4", pictures(200, 32, 32), options={"g": "50", "bf": "2"})
    whole = [f for f in read_frames(path) if f.time >= start - 1e-6 and (end is None or f.time < end - 1e-6)]
    part = list(read_frames(path, start, end))
    assert [frame.time for frame in part] == [frame.time for frame in whole]
    assert [frame.index for frame in part] == list(range(len(whole)))
    assert all(difference(a.image, b.image) == 0 for a, b in zip(part, whole, strict=True))


SOUGHT = [
    (".mp4", None, "24"),
    (".mkv", None, "24"),
    (".flv", None, "24"),
    (".avi", None, "24"),
    (".avi", "libx264", "24"),
    (".ts", None, "24"),
    (".ts", None, "250"),
    (".ts", "mpeg4", "24"),
    (".mpg", None, "24"),
    (".h264", None, "24"),
]


@pytest.mark.parametrize(("suffix", "codec", "gop"), SOUGHT)
def test_a_late_start_loses_no_frame(tmp_path: Path, suffix: str, codec: str | None, gop: str) -> None:
    path = film(tmp_path / f"a{suffix}", snow(200), codec=codec, options={"g": gop, "bf": "2"})
    whole = list(read_frames(path))
    for start in np.arange(5.1, 7.9, 0.4):
        part = list(read_frames(path, start, start + 0.4))
        there = [frame for frame in whole if start - 1e-6 <= frame.time < start + 0.4 - 1e-6]
        assert [frame.time for frame in part] == pytest.approx([frame.time for frame in there], abs=1e-9)
        assert all(difference(a.image, b.image) == 0 for a, b in zip(part, there, strict=True))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".flv", ".avi", ".ts", ".mpg"])
def test_a_late_start_seeks_to_a_key_frame(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / f"a{suffix}", snow(200), options={"g": "12"})
    monkeypatch.setattr(module, "_from_the_beginning", lambda path: pytest.fail("the film was opened again"))
    assert next(read_frames(path, 7.0)).time == pytest.approx(7.0, abs=1e-3)


@pytest.mark.parametrize("as_filmed", [False, True])
def test_frames_of_another_size_are_scaled_to_the_first(tmp_path: Path, as_filmed: bool) -> None:
    sizes = [(64, 48), (32, 24)]
    options = {"g": "25", "bf": "0"}
    parts = [film(tmp_path / f"{w}.h264", pictures(150, w, h), options=options) for w, h in sizes]
    path = joined(tmp_path / "a.mkv", parts)
    whole, part = (list(read_frames(path, start, as_filmed=as_filmed)) for start in (0.0, 7.0))
    assert len(whole) == 300
    assert {frame.image.shape for frame in whole} == {(48, 64, 3)}
    assert all(
        difference(np.asarray(a.image), np.asarray(b.image)) == 0 for a, b in zip(part, whole[175:], strict=True)
    )


ONE = 65536
MATRICES = {
    "upright": ((1, 0, 0, 1), lambda image: image, 0),
    "clockwise": ((0, 1, -1, 0), lambda image: np.rot90(image, -1), 90),
    "upside down": ((-1, 0, 0, -1), lambda image: np.rot90(image, 2), 180),
    "counterclockwise": ((0, -1, 1, 0), lambda image: np.rot90(image, 1), 270),
    "left to right": ((-1, 0, 0, 1), lambda image: image[:, ::-1], 0),
    "top to bottom": ((1, 0, 0, -1), lambda image: image[::-1], 180),
    "transposed": ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2), 270),
    "transversed": ((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2), 90),
}


@pytest.mark.parametrize("case", MATRICES)
def test_display_matrices_are_applied(tmp_path: Path, case: str) -> None:
    (a, b, c, d), shown, rotation = MATRICES[case]
    image = picture(64, 48)
    matrix = [a * ONE, b * ONE, 0, c * ONE, d * ONE, 0, 0, 0, 1 << 30]
    path = film(tmp_path / "a.mp4", [image, image], matrix=matrix)
    frame = next(read_frames(path)).image
    assert difference(frame, shown(image)) <= 6
    assert difference(np.asarray(next(read_frames(path, as_filmed=True)).image), shown(image)) <= 6
    assert frame.flags.c_contiguous
    info = probe(path)
    assert (info.height, info.width) == frame.shape[:2]
    assert info.rotation == rotation


@pytest.mark.parametrize(
    ("tag", "case"),
    [
        (1, "upright"),
        (2, "left to right"),
        (3, "upside down"),
        (4, "top to bottom"),
        (5, "transposed"),
        (6, "clockwise"),
        (7, "transversed"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_photographs_are_rotated_by_exif(tmp_path: Path, tag: int, case: str, order: str) -> None:
    image = picture(64, 48)
    path = film(tmp_path / "a.jpg", [image])
    tiff = struct.pack(f"{order}2sHIHHHIHHI", b"II" if order == "<" else b"MM", 42, 8, 1, 274, 3, 1, tag, 0, 0)
    payload = b"Exif\0\0" + tiff
    jpeg = path.read_bytes()
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:])
    assert difference(next(read_frames(path)).image, MATRICES[case][1](image)) <= 8


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_declared_colors_are_respected(tmp_path: Path, color_range: int, matrix: int) -> None:
    image = picture(64, 48)
    tags = (color_range, matrix)
    path = film(tmp_path / "a.mp4", [image] * 2, pixel_format="yuv444p", tags=tags, options={"crf": "0"})
    error = next(read_frames(path)).image.astype(int) - image
    assert np.abs(error).max() <= 2
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.2
    info = probe(path)
    assert (info.color_range, info.colorspace) == tags


def test_a_truncated_film_is_read_as_far_as_possible(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = film(tmp_path / "a.mp4", pictures(60), container_options={"movflags": "faststart"}, options={"g": "10"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    frames = list(read_frames(path))
    assert 20 <= len(frames) < 60
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(len(frames))])


def test_damage_in_the_middle_is_skipped_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = film(tmp_path / "a.mp4", pictures(100, 160, 120), options={"g": "10", "crf": "18"})
    data = bytearray(path.read_bytes())
    middle = len(data) // 3
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        times = [frame.time for frame in read_frames(path)]
    assert 50 < len(times) < 100
    assert times[-1] == pytest.approx(99 / 25)
    assert all(later > earlier for earlier, later in pairwise(times))
    assert "damaged" in caplog.text
    assert str(path) in caplog.text


def unreadable(folder: Path, case: str) -> Path:
    path = folder / "a.mp4"
    if case == "empty":
        path.touch()
    elif case == "text":
        path.write_text("This is not a film.\n" * 100)
    elif case == "plain text":
        path = folder / "a.txt"
        path.write_text("This is not a film.\n" * 100)
    elif case == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(50_000))
    elif case == "header cut off":
        path.write_bytes(film(folder / "b.mp4", pictures(50)).read_bytes()[:5000])
    elif case == "folder":
        path.mkdir()
    elif case == "sound only":
        path = sound(folder / "a.wav", click(0.1, 0.5, 16000)[None], 16000)
    elif case == "no frame whole":
        film(path, pictures(5), container_options={"movflags": "faststart"})
        data = path.read_bytes()
        path.write_bytes(data[: data.index(b"mdat") + 4] + bytes(len(data) - data.index(b"mdat") - 4))
    return path


CASES = ["missing", "empty", "text", "plain text", "noise", "header cut off", "folder", "sound only", "no frame whole"]


@pytest.mark.parametrize("case", CASES)
def test_other_files_are_input_errors(tmp_path: Path, case: str) -> None:
    path = unreadable(tmp_path, case)
    for read in (probe, lambda path: next(read_frames(path))):
        with pytest.raises(InputError, match=path.name) as error:
            read(path)
        assert str(error.value).count("\n") == 0
        assert str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{film}\n#EXT-X-ENDLIST\n"),
        ("a.mp4", "ffconcat version 1.0\nfile film.mp4\n"),
        ("a.sdp", "v=0\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"),
    ],
)
def test_a_file_that_names_others_opens_none_of_them(tmp_path: Path, name: str, text: str) -> None:
    other, path = film(tmp_path / "film.mp4", pictures(3)), tmp_path / name
    path.write_text(text.format(film=other))
    with pytest.raises(InputError, match=name if name.endswith("sdp") else "playlist"):
        probe(path)


def test_file_names_may_have_special_characters(tmp_path: Path) -> None:
    for name in ("a b.mp4", "http:x.mp4", "-a.mp4", "100%d.mp4", "Zoë's 映画.mp4"):
        path = film(tmp_path / "plain.mp4", pictures(3)).rename(tmp_path / name)
        assert len(list(read_frames(path))) == 3


def test_a_picture_named_like_a_sequence_is_read_itself(tmp_path: Path) -> None:
    for name in ("a1.ppm", "a2.ppm", "a%d.ppm"):
        Image.new("L", (64, 48), 255 * (name == "a%d.ppm")).save(tmp_path / name)
    (frame,) = read_frames(tmp_path / "a%d.ppm")
    assert frame.image.min() == 255


def test_a_reader_holds_only_a_few_frames(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", pictures(120, 64, 64))
    references: list[weakref.ref[NDArray[np.uint8]]] = []
    most = 0
    for frame in read_frames(path):
        references.append(weakref.ref(frame.image))
        gc.collect(0)
        most = max(most, sum(reference() is not None for reference in references))
    assert len(references) == 120
    assert most <= 3


def test_reading_can_stop_early(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", pictures(30))
    reader = read_frames(path)
    assert len(list(islice(reader, 3))) == 3
    reader.close()  # type: ignore[attr-defined]
    path.unlink()


def test_sound_and_metadata_are_reported(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", pictures(5), audio=click(0.1, 0.5, 16000))
    info = probe(path)
    assert info.has_audio
    assert info.path == path
    assert "encoder" in info.metadata


def test_real_footage_has_the_frames_it_declares(clips: Path) -> None:
    for path in sorted((clips / "test").glob("*.mp4"))[:3]:
        info = probe(path)
        frames = list(read_frames(path))
        assert len(frames) == info.frames
        assert frames[0].image.shape == (info.height, info.width, 3)


@pytest.mark.parametrize("count", [1, 2])
def test_a_last_frame_that_lasts_long_is_part_of_the_film(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    path = tmp_path / "slides.gif"
    slides = [Image.new("RGB", (16, 16), color) for color in ("red", "green")][:count]
    slides[0].save(path, save_all=True, append_images=slides[1:], duration=[500, 8000][:count])
    assert len(list(read_frames(path))) == count
    assert "may be incomplete" not in caplog.text
