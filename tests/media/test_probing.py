"""What a probe tells of long films, uneven clocks, several streams and colors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from lipsmith.media import probe, read_frames
from lipsmith.media.color import ColorTags
from lipsmith.media.container import Chapter, libav_chapter
from video_samples import film, pictures, snow, with_sounds

SMALL = pictures(2, 32, 32)


def clocked(path: Path, times: Sequence[float], last: float | None = None, start: float = 0.0) -> Path:
    """A film of frames at these seconds, of which the last one lasts as long as is said."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25, options={"bf": "0"})
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        video.codec_context.time_base = Fraction(1, 1000)
        if start:
            container.set_chapters([libav_chapter(0, Chapter(start + times[1], start + times[2], "One"))])
        packets = []
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(SMALL[number % 2], format="rgb24")
            frame.pts, frame.time_base = round(1000 * (time + start)), Fraction(1, 1000)
            packets += video.encode(frame)
        packets += video.encode(None)
        if last is not None:
            packets[-1].duration = round(last / packets[-1].time_base)
        for packet in packets:
            container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".avi"])
@pytest.mark.parametrize("count", [250, 251])
def test_the_length_of_a_film_is_known_however_long_it_is(tmp_path: Path, suffix: str, count: int) -> None:
    """Only its first 250 packets are read."""
    info = probe(film(tmp_path / f"a{suffix}", SMALL * (count // 2) + SMALL[: count % 2]))
    assert (info.frames, info.rate, info.variable_rate) == (count, 25, False)
    assert info.duration == pytest.approx(count / 25, abs=2e-3)


def test_of_a_film_that_was_cut_off_only_what_is_there_counts(tmp_path: Path) -> None:
    """Its header declares 20 frames."""
    path = film(tmp_path / "a.mkv", snow(20))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    info, there = probe(path), len(list(read_frames(path)))
    assert 5 < there < 15
    assert info.frames == pytest.approx(there, abs=1)
    assert info.duration == pytest.approx(there / 25, abs=0.05)


def test_the_length_of_a_long_film_is_that_of_its_picture(tmp_path: Path) -> None:
    """Its sound is a second longer."""
    path = film(tmp_path / "a.mp4", SMALL * 150, audio=np.zeros(13 * 16_000, np.float32))
    assert probe(path).duration == pytest.approx(12)


def test_the_length_of_a_long_film_does_not_depend_on_its_beginning(tmp_path: Path) -> None:
    """Matroska declares when it ends; it begins at the fifth second, as if it was cut out of another one."""
    info = probe(clocked(tmp_path / "a.mkv", (np.arange(300) / 25).tolist(), start=5.0))
    assert (info.duration, info.frames) == (pytest.approx(12), 300)


def test_a_film_is_uneven_even_if_it_is_even_on_average(tmp_path: Path) -> None:
    times = np.cumsum([0.0, *[0.03, 0.04, 0.05] * 8])
    info = probe(clocked(tmp_path / "a.mp4", times.tolist()))
    assert info.variable_rate
    assert float(info.rate) == pytest.approx(25, rel=0.01)


def test_a_film_of_one_frame_is_a_still(tmp_path: Path) -> None:
    assert probe(film(tmp_path / "a.mp4", SMALL[:1])).is_still
    assert not probe(film(tmp_path / "b.mp4", SMALL)).is_still


def with_pixels(path: Path, aspect: Fraction, degrees: int = 0) -> Path:
    """Write a film of 64 x 48 pixels of a shape, which is shown turned by `degrees`."""
    cos, sin = ((65_536 * x) for x in {0: (1, 0), 90: (0, 1), 180: (-1, 0)}[degrees])
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25, options={"crf": "4"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        video.codec_context.sample_aspect_ratio = aspect
        video.set_display_matrix((cos, sin, 0, -sin, cos, 0, 0, 0, 1 << 30))
        for image in pictures(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
    return path


@pytest.mark.parametrize(("degrees", "aspect"), [(0, Fraction(9, 8)), (90, Fraction(8, 9)), (180, Fraction(9, 8))])
def test_the_shape_of_pixels_turns_with_the_picture(tmp_path: Path, degrees: int, aspect: Fraction) -> None:
    info = probe(with_pixels(tmp_path / "a.mp4", Fraction(9, 8), degrees))
    assert (info.width, info.height) == ((48, 64) if degrees == 90 else (64, 48))
    assert (info.sample_aspect, info.remarks) == (aspect, ())


@pytest.mark.parametrize(
    ("aspect", "degrees", "size"),
    [(Fraction(4, 3), 0, (86, 48)), (Fraction(4, 3), 90, (48, 86)), (Fraction(1, 2), 0, (64, 96))],
)
def test_oblong_pixels_become_square(tmp_path: Path, aspect: Fraction, degrees: int, size: tuple[int, int]) -> None:
    """In oblong ones, faces are too narrow or too wide for the networks."""
    path = with_pixels(tmp_path / "a.mp4", aspect, degrees)
    info = probe(path)
    assert (info.width, info.height, info.sample_aspect) == (*size, 1)
    assert "not square" in info.remarks[0]
    stored = np.rot90(pictures(3)[0], -degrees // 90)
    for as_filmed in (False, True):
        image = np.asarray(next(read_frames(path, as_filmed=as_filmed)).image)
        assert np.abs(image - cv2.resize(stored, size).astype(float)).mean() < 3


def test_an_absurd_shape_of_pixels_does_not_scale(tmp_path: Path) -> None:
    assert probe(with_pixels(tmp_path / "a.mp4", Fraction(100, 1))).width == 64


def test_the_rate_of_a_long_uneven_film_is_that_of_all_of_it(tmp_path: Path) -> None:
    """It has 300 frames in 20 s, and then 300 in 6 s."""
    uneven = np.cumsum(np.tile([0.05, 1 / 12], 150))
    info = probe(clocked(tmp_path / "a.mp4", [0.0, *uneven, *(uneven[-1] + 0.02 * np.arange(1, 300))]))
    assert info.variable_rate
    assert info.frames == 600
    assert info.duration == pytest.approx(26, abs=0.1)
    assert float(info.rate) == pytest.approx(600 / 26, rel=0.01)


def test_the_last_frame_counts_as_long_as_it_lasts(tmp_path: Path) -> None:
    """In MP4, which says how long."""
    times = [0.0, 0.04, 0.08, 0.12]
    assert probe(clocked(tmp_path / "a.mp4", times)).duration == pytest.approx(0.16)
    assert probe(clocked(tmp_path / "b.mp4", times, last=2.0)).duration == pytest.approx(2.12)


def test_frames_before_the_beginning_of_an_edit_do_not_count(tmp_path: Path) -> None:
    """As in films that a phone has trimmed without encoding them again."""
    path = film(tmp_path / "a.mp4", pictures(20), options={"bf": "0"})
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 16  # the time at which its first edit begins
    with av.open(str(path)) as container:
        assert container.streams.video[0].time_base is not None
        begin = round(Fraction(8, 25) / container.streams.video[0].time_base)
    content[at : at + 4] = (int.from_bytes(content[at : at + 4], "big") + begin).to_bytes(4, "big")
    path.write_bytes(content)
    info = probe(path)
    assert info.frames == len(list(read_frames(path))) == 12
    assert info.duration == pytest.approx(12 / 25)


def test_chapters_count_from_the_first_picture(tmp_path: Path) -> None:
    (chapter,) = probe(clocked(tmp_path / "a.mkv", [0.04 * number for number in range(50)], start=5.0)).chapters
    assert (chapter.start, chapter.end, chapter.title) == (pytest.approx(0.04), pytest.approx(0.08), "One")


def test_of_several_pictures_the_one_that_is_used_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        for width in (32, 64):
            video: Any = container.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = width, 48, "yuv420p"
        for stream in container.streams.video:
            for image in pictures(3, stream.width, 48):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode(None))
    info = probe(path)
    (said,) = info.remarks
    assert f"holds 2 video streams; stream {(info.width == 64) * 1}, {info.width} x 48, is used" in said


@pytest.mark.parametrize("key", ["location", "com.apple.quicktime.location.ISO6709", "MAKE", "GPSPosition", "Model"])
def test_private_metadata_are_told_in_any_case(tmp_path: Path, key: str) -> None:
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        container.metadata[key] = "X"
        video: Any = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        for image in SMALL:
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode(None))
    info = probe(tmp_path / "a.mkv")
    assert any("location and device" in said for said in info.remarks)
    assert info.metadata[key.lower()] == "X"


def test_an_undetermined_language_is_not_told(tmp_path: Path) -> None:
    (said,) = probe(with_sounds(tmp_path / "a.mp4", ("eng", "und", "und"))).remarks
    assert said.endswith("besides the replaced sound: 2 x audio.")


@pytest.mark.parametrize(
    ("options", "said"), [({}, "more than 8 bits per channel"), ({"x264-params": "transfer=smpte2084"}, "is HDR (PQ)")]
)
def test_ten_bits_are_told_once(tmp_path: Path, options: dict[str, str], said: str) -> None:
    path = film(tmp_path / "a.mp4", snow(3), pixel_format="yuv420p10le", options=options)
    info = probe(path)
    (told,) = info.remarks
    assert said in told
    assert (info.tags == ColorTags()) == (info.transfer == 16)


def test_what_rgb_does_not_declare_is_bt709(tmp_path: Path) -> None:
    info = replace(probe(film(tmp_path / "a.mp4", SMALL)), pixel_format="gbrp", primaries=2, transfer=2)
    assert info.tags == ColorTags()
    assert replace(info, primaries=9).tags == ColorTags(primaries=9)


def test_copies_of_pictures_and_of_rare_matrices_have_tags_that_players_know(tmp_path: Path) -> None:
    """YCgCo becomes BT.709, as all that is copied by way of RGB."""
    assert probe(film(tmp_path / "a.png", SMALL[:1])).tags == ColorTags()
    info = replace(probe(film(tmp_path / "a.mp4", SMALL)), colorspace=8, primaries=9, transfer=14)
    assert info.tags == ColorTags(primaries=9, transfer=14)
