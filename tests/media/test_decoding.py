"""Decoding: repeated pictures, fields, transparency and the choice among several pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image

from lipsmith.media import probe, read_frames
from lipsmith.speech.mel import read_audio
from synthetic import make_film, speech
from video_samples import film, picture, pictures, snow, with_repeats, woven


def test_a_repeated_picture_is_a_frame(tmp_path: Path) -> None:
    images = [picture(64, 48, 60 + 10 * number) for number in range(10)]
    path = with_repeats(tmp_path / "a.mov", images, [4, 5, 9])
    frames = list(read_frames(path))
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(10)])
    for frame, number in zip(frames, [0, 1, 2, 3, 3, 3, 6, 7, 8, 8], strict=True):
        assert np.array_equal(frame.image, images[number])
    info = probe(path)
    assert (info.frames, info.rate, info.variable_rate) == (10, 25, False)


def moved(path: Path, recording: Path, seconds: int) -> Path:
    """A copy of the recording whose clock starts `seconds` later."""
    with av.open(recording) as given, av.open(path, "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in given.streams}
        for packet in given.demux():
            if packet.dts is not None and packet.pts is not None and packet.time_base is not None:
                ticks = int(seconds / packet.time_base)
                packet.dts, packet.pts = packet.dts + ticks, packet.pts + ticks
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
    return path


@pytest.mark.parametrize("backward", [False, True])
def test_joined_recordings_are_one_film_without_a_gap(
    tmp_path: Path, backward: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """As with `cat first.ts second.ts`, whose clocks differ by hours."""
    recording = make_film(tmp_path / "film.mp4", 1.0, size=(64, 64), audio=speech(1.0))
    parts = [moved(tmp_path / f"{seconds}.ts", recording, seconds) for seconds in (0, 20_000)]
    joined = tmp_path / "joined.ts"
    joined.write_bytes(b"".join(part.read_bytes() for part in (reversed(parts) if backward else parts)))
    times = np.array([frame.time for frame in read_frames(joined)])
    assert len(times) == 50
    assert np.diff(times) == pytest.approx(1 / 25, abs=0.02)
    assert read_audio(joined).size / 16_000 == pytest.approx(2 * read_audio(parts[0]).size / 16_000, abs=0.1)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "its clock jumps" in caplog.text


def combs(image: NDArray[np.uint8]) -> float:
    """How much rows differ from the mean of their neighbors."""
    rows = image.astype(float)
    return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())


INTERLACED = [
    (".mp4", None, {"x264-params": "tff=1"}),
    (".mkv", None, {"x264-params": "bff=1"}),
    (".mpg", None, {"flags": "+ildct+ilme", "field_order": "tt", "top": "1"}),
    (".mov", "prores_ks", {"flags": "+ildct", "field_order": "bb"}),
    (".mkv", "ffv1", {"field_order": "tt"}),
    (".mkv", "ffv1", {"field_order": "bb"}),
    (".mov", "cfhd", {"field_order": "tt"}),
    (".mov", "png", {"field_order": "tt"}),
    (".mov", "qtrle", {"field_order": "bb"}),
    (".mov", "r210", {"field_order": "tt"}),
]
PIXELS = {"prores_ks": "yuv422p10le", "cfhd": "yuv422p10le", "png": "rgb24", "qtrle": "rgb24", "r210": "gbrp10le"}


@pytest.mark.parametrize(("suffix", "codec", "options"), INTERLACED)
def test_interlaced_film_is_deinterlaced(
    tmp_path: Path, suffix: str, codec: str | None, options: dict[str, str]
) -> None:
    images = woven(8)
    pixels = PIXELS.get(codec or "")
    path = film(tmp_path / f"a{suffix}", images, codec=codec, options=options, pixel_format=pixels)
    frames = list(read_frames(path))
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(8)], abs=1e-6)
    assert combs(images[4]) > 5 * combs(frames[4].image)
    assert "deinterlaced" in " ".join(probe(path).remarks)


def test_progressive_film_is_unchanged(tmp_path: Path) -> None:
    images = woven(8)
    path = film(tmp_path / "a.mp4", images)
    assert combs(next(read_frames(path)).image) > 0.8 * combs(images[0])
    assert probe(path).remarks == ()


def cut_out() -> NDArray[np.uint8]:
    """(48, 64, 4): gray, with nothing in its left half."""
    image = np.full((48, 64, 4), 255, np.uint8)
    image[..., :3] = 90
    image[:, :32] = 0
    return image


TRANSPARENT = [
    ("a.webm", "libvpx-vp9", "yuva420p"),
    ("b.webm", "libvpx", "yuva420p"),
    ("a.mkv", "libvpx-vp9", "yuva420p"),
    ("a.mov", "prores_ks", "yuva444p10le"),
    ("b.mov", "png", "rgba"),
    ("c.mov", "qtrle", "argb"),
]


@pytest.mark.parametrize(("name", "codec", "pixels"), TRANSPARENT)
def test_transparency_in_a_film_becomes_white(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        options = {"auto-alt-ref": "0"} if codec == "libvpx" else {}
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cut_out(), format="rgba").reformat(format=pixels)))
        container.mux(stream.encode(None))
    for frame in read_frames(path):
        assert np.abs(frame.image[:, :24].astype(int) - 255).max() <= 2
        assert np.abs(frame.image[:, 40:].astype(int) - 90).max() <= 8
    assert "transparent" in " ".join(probe(path).remarks)


def test_transparency_in_an_animation_becomes_white(tmp_path: Path) -> None:
    images = [Image.fromarray(cut_out()), Image.fromarray(cut_out()[:, ::-1].copy())]
    images[0].save(tmp_path / "a.gif", save_all=True, append_images=images[1:], duration=100, disposal=2)
    frames = list(read_frames(tmp_path / "a.gif"))
    assert [frame.image[0, 0, 0] for frame in frames] == [255, 90]
    assert "transparent" in " ".join(probe(tmp_path / "a.gif").remarks)


def test_the_film_in_an_animated_avif_is_used(tmp_path: Path) -> None:
    """Beside it stands a still picture, which is also marked as default."""
    levels = (60, 120, 180)
    images = [Image.fromarray(picture(64, 48, level)) for level in levels]
    images[0].save(tmp_path / "a.avif", save_all=True, append_images=images[1:], duration=100)
    frames = list(read_frames(tmp_path / "a.avif"))
    assert [frame.time for frame in frames] == pytest.approx([0, 0.1, 0.2])
    assert [int(frame.image[47, 63, 2]) for frame in frames] == pytest.approx([30, 90, 150], abs=8)
    assert (probe(tmp_path / "a.avif").is_still, probe(tmp_path / "a.avif").remarks) == (False, ())


@pytest.mark.parametrize("suffix", [".mkv", ".mov", ".mp4"])
def test_the_default_video_stream_is_used(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    options = {"default_mode": "passthrough"} if suffix == ".mkv" else {}
    with av.open(str(path), "w", container_options=options) as container:
        streams: list[Any] = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, width, disposition in zip(streams, (32, 64), (Disposition(0), Disposition.default), strict=True):
            stream.width, stream.height, stream.pix_fmt, stream.disposition = width, 48, "yuv420p", disposition
        for number in range(3):
            for stream in streams:
                image = av.VideoFrame.from_ndarray(pictures(3, stream.width)[number], format="rgb24")
                container.mux(stream.encode(image))
        for stream in streams:
            container.mux(stream.encode(None))
    assert next(read_frames(path)).image.shape == (48, 64, 3)
    info = probe(path)
    assert info.width == 64
    assert "holds 2 video streams; stream 1, 64 x 48" in " ".join(info.remarks)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4", "mjpeg"])
def test_reordered_frames_in_avi_have_correct_times(tmp_path: Path, codec: str) -> None:
    """Also those that are stored in another order."""
    images = [picture(64, 48, 60 + 10 * number) for number in range(12)]
    pixels = "yuvj420p" if codec == "mjpeg" else None
    options = {"bf": "2"} if codec != "mjpeg" else {}
    path = film(tmp_path / "a.avi", images, codec=codec, options=options, pixel_format=pixels)
    frames = list(read_frames(path))
    assert [frame.time for frame in frames] == pytest.approx([number / 25 for number in range(12)])
    for frame, image in zip(frames, images, strict=True):
        errors = [np.abs(frame.image.astype(int) - other).mean() for other in images]
        assert images[int(np.argmin(errors))] is image


def test_a_late_start_in_avi_counts_frames_that_precede_the_key_frame(tmp_path: Path) -> None:
    """Those that an open group of pictures stores after it: they lack their references where reading starts there."""
    options = {"g": "24", "bf": "3", "x264-params": "open-gop=1:b-adapt=0:scenecut=0"}
    path = film(tmp_path / "a.avi", snow(200), codec="libx264", options=options)
    whole, part = (list(read_frames(path, start)) for start in (0.0, 7.0))
    assert [frame.time for frame in part] == [frame.time for frame in whole[175:]]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(part, whole[175:], strict=True))
