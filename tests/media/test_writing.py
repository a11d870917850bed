"""Writing: what goes in comes back, in size, time, color and sound, and a failure leaves nothing behind."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lipsmith.errors import LipsmithError, UsageError
from lipsmith.media import VideoWriter, open_sound, probe, read_frames
from lipsmith.media.color import ColorTags, FrameToRGB, RGBToFrame
from lipsmith.media.container import Chapter
from lipsmith.media.sound import sound_of
from lipsmith.speech.mel import read_audio
from simulated import little_room
from video_samples import click, difference, film, loudest, picture, pictures, sound

SLICES = {1, 5}
"""Types of H.264's units that hold a picture or a part of one."""

HALTING = [*np.arange(20) / 25, 0.96, 1.3]
CONTAINERS = [".mp4", ".m4v", ".mov", ".mkv"]


def written(path: Path, images: list[NDArray[np.uint8]], rate: Fraction | float = 25, **options: Any) -> Path:  # noqa: ANN401
    height, width = images[0].shape[:2]
    with VideoWriter(path, width, height, rate, **options) as writer:
        for image in images:
            writer.write(image)
    return path


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_written_frames_are_read_back(tmp_path: Path, suffix: str) -> None:
    images = pictures(20)
    frames = list(read_frames(written(tmp_path / f"a{suffix}", images, crf=4)))
    assert [frame.time for frame in frames] == pytest.approx([i / 25 for i in range(20)], abs=1e-9)
    assert max(difference(frame.image, image) for frame, image in zip(frames, images, strict=True)) <= 8
    assert [path.name for path in tmp_path.iterdir()] == [f"a{suffix}"]


@pytest.mark.parametrize(
    ("width", "height"), [(64, 50), (62, 48), (63, 48), (64, 47), (61, 47), (2, 2), (1, 1), (1, 9)]
)
def test_every_size_plays_everywhere(tmp_path: Path, width: int, height: int, caplog: pytest.LogCaptureFixture) -> None:
    image = picture(width, height)
    with caplog.at_level(logging.INFO, "lipsmith"):
        path = written(tmp_path / "a.mp4", [image] * 2, crf=1)
    frame = next(read_frames(path)).image
    assert frame.shape == (height + height % 2, width + width % 2, 3)
    assert probe(path).pixel_format == "yuv420p"
    if min(width, height) > 2:
        whole = np.pad(image, [(0, height % 2), (0, width % 2), (0, 0)], "edge")
        assert difference(frame, whole) <= 8
    repeated = {(0, 0): None, (1, 0): "last column is", (0, 1): "last row is", (1, 1): "last column and row are"}
    said = repeated[width % 2, height % 2]
    assert (said in caplog.text) if said else not caplog.text


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), Fraction(30000, 1001), 50, 29.97, Fraction(1234567, 98765)])
def test_every_frame_rate_is_kept(tmp_path: Path, suffix: str, rate: Fraction | float) -> None:
    path = written(tmp_path / f"a{suffix}", pictures(30), rate)
    exact = [float(i / Fraction(rate)) for i in range(30)]
    assert [frame.time for frame in read_frames(path)] == pytest.approx(exact, abs=1e-3)
    info = probe(path)
    assert float(info.rate) == pytest.approx(float(rate), rel=1e-4)
    assert info.duration == pytest.approx(30 / float(rate), abs=1.1e-3)
    assert not info.variable_rate


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.floats(0.005, 0.5), min_size=2, max_size=12), suffix=st.sampled_from([".mp4", ".mkv"]))
def test_variable_times_are_read_back(tmp_path: Path, gaps: list[float], suffix: str) -> None:
    times = np.cumsum([0.0, *gaps])
    path = tmp_path / f"a{suffix}"
    with VideoWriter(path, 32, 32, 25) as writer:
        for time in times:
            writer.write(picture(32, 32), float(time))
    assert [frame.time for frame in read_frames(path)] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("times", [[0.0], [0.0, 0.04, 0.08], [0.0, 0.04, 0.9, 1.0, 1.1, 1.5, 1.52, 1.9], HALTING])
def test_the_last_frame_lasts_until_the_given_end(tmp_path: Path, times: list[float], suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with VideoWriter(path, 32, 32, 25, end=3.2) as writer:
        for time in times:
            writer.write(picture(32, 32), time)
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(3.2e6, abs=2e3)
    assert [frame.time for frame in read_frames(path)] == pytest.approx(times, abs=1e-3)


@pytest.mark.parametrize("color_range", [1, 2])
@pytest.mark.parametrize("matrix", [1, 5, 6, 7, 9])
def test_colors_and_tags_are_read_back(tmp_path: Path, color_range: int, matrix: int) -> None:
    image = picture(64, 48)
    source = probe(written(tmp_path / "source.mp4", [image] * 2))
    like = replace(source, color_range=color_range, colorspace=matrix, primaries=9, transfer=6)
    path = written(tmp_path / "a.mp4", [image] * 2, like=like, crf=1)
    info = probe(path)
    assert (info.color_range, info.colorspace, info.primaries, info.transfer) == (color_range, matrix, 9, 6)
    error = next(read_frames(path)).image.astype(int) - image
    assert np.abs(error).max() <= 7
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.7


def test_undeclared_colors_stay_undeclared_and_equal(tmp_path: Path) -> None:
    source = film(tmp_path / "source.mp4", pictures(3))
    frames = [frame.image for frame in read_frames(source)]
    path = written(tmp_path / "a.mp4", frames, like=probe(source), crf=1)
    assert probe(path).colorspace == probe(source).colorspace == 2
    assert difference(next(read_frames(path)).image, frames[0]) <= 5


@pytest.mark.parametrize(("transfer", "white", "display"), [(16, 0.58, 0), (16, 0.58, 4000), (18, 0.75, 0)])
def test_hdr_becomes_sdr_with_a_remark(tmp_path: Path, transfer: int, white: float, display: int) -> None:
    """BT.2408: diffuse white is 58 % of PQ's scale and 75 % of HLG's; both are white in the result, and
    ocher stays ocher, whatever the peak of the mastering display.
    """
    volume = f":master-display=G(8500,39850)B(6550,2300)R(35400,14600)WP(15635,16450)L({display}0000,50)"
    path = tmp_path / "hdr.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            "libx265", rate=25, options={"x265-params": "log-level=none:bframes=0" + volume * (display > 0), "crf": "4"}
        )
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = transfer, 9, 9, 1
        for _ in range(2):
            codes = [np.full((64, 64), round(64 + 876 * white), "<u2"), *np.full((2, 32, 32), 512, "<u2")]
            for code, ocher in zip(codes, (64 + 350, 464, 530), strict=True):
                code[:, len(code) // 2 :] = ocher
            frame = av.VideoFrame(64, 64, "yuv420p10le")
            for plane, code in zip(frame.planes, codes, strict=True):
                plane.update(np.pad(code, [(0, 0), (0, plane.line_size // 2 - code.shape[1])]).tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    info = probe(path)
    assert info.transfer == transfer
    assert "is HDR" in " ".join(info.remarks)
    frames = [frame.image for frame in read_frames(path)]
    assert difference(frames[0][:, :24], np.full((64, 24, 3), 255, np.uint8)) <= 12
    red, green, blue = frames[0][:, 40:].reshape(-1, 3).mean(0)
    assert red > green + 10 > blue + 30
    result = probe(written(tmp_path / "a.mp4", frames, like=info))
    assert (result.transfer, result.primaries, result.colorspace, result.pixel_format) == (1, 1, 1, "yuv420p")


def test_a_film_of_a_still_picture_declares_its_colors(tmp_path: Path) -> None:
    still = probe(film(tmp_path / "a.png", [picture(64, 48)]))
    info = probe(written(tmp_path / "a.mp4", pictures(3), like=still))
    assert (info.color_range, info.colorspace, info.primaries, info.transfer) == (1, 1, 1, 1)


@given(
    color=st.tuples(*[st.integers(0, 255)] * 3),
    matrix=st.sampled_from([1, 4, 5, 6, 7, 9]),
    color_range=st.sampled_from([1, 2]),
    size=st.sampled_from([(8, 8), (7, 8)]),
)
@settings(max_examples=60)
def test_conversion_inverts_itself(
    color: tuple[int, int, int], matrix: int, color_range: int, size: tuple[int, int]
) -> None:
    image = np.broadcast_to(np.array(color, np.uint8), (size[1], size[0], 3))
    frame = RGBToFrame(ColorTags(color_range, matrix), *size)(image)
    assert difference(FrameToRGB()(frame)[: size[1], : size[0]], image) <= 3


def test_frames_that_change_size_are_scaled_to_the_first() -> None:
    to_rgb = FrameToRGB()
    for size in ((64, 48), (32, 24), (128, 96)):
        frame = RGBToFrame(ColorTags(), *size)(picture(*size))
        assert difference(to_rgb(frame), picture(64, 48)) <= 12


@pytest.mark.parametrize("keys", [["comment"], ["comment", "lipsmith", "title"], ["lipsmith.model"]])
@pytest.mark.parametrize("suffix", CONTAINERS)
def test_metadata_are_read_back(tmp_path: Path, suffix: str, keys: list[str]) -> None:
    metadata = {key: f"Made with care: {key} ü\n2" for key in keys}
    path = written(tmp_path / f"a{suffix}", pictures(2), metadata=metadata)
    assert metadata.items() <= probe(path).metadata.items()


def test_the_index_comes_first_in_mp4(tmp_path: Path) -> None:
    data = written(tmp_path / "a.mp4", pictures(5)).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 13000])
def test_a_click_keeps_its_time(tmp_path: Path, suffix: str, rate: int) -> None:
    wave = click(0.61, 1.1037, rate)
    path = written(tmp_path / f"a{suffix}", pictures(40), sound=sound_of(wave, rate))
    heard = read_audio(path)
    assert loudest(heard, 16000) == pytest.approx(0.61, abs=2e-3)
    assert abs(heard[round(0.61 * 16000)]) > 0.5


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.6037, 4.0])
def test_the_sound_is_complete_for_any_length_of_the_picture(tmp_path: Path, seconds: float) -> None:
    wave = click(seconds - 0.002, seconds, 16000)
    path = written(tmp_path / "a.mp4", pictures(25), sound=sound_of(wave, 16000))
    heard = read_audio(path)
    assert len(heard) == pytest.approx(len(wave), abs=1)
    assert loudest(heard, 16000) == pytest.approx(seconds - 0.002, abs=2e-3)
    assert len(list(read_frames(path))) == 25


def test_the_sound_of_a_file_keeps_its_rate_and_channels(tmp_path: Path) -> None:
    stereo = np.stack([click(0.3, 1.5, 44100), click(1.2, 1.5, 44100)])
    source = sound(tmp_path / "a.wav", stereo, 44100, layout="stereo")
    copy = open_sound(written(tmp_path / "a.mp4", pictures(25), sound=open_sound(source)))
    samples = np.concatenate(list(copy.blocks), axis=1)
    assert (copy.rate, copy.channels) == (44100, 2)
    assert samples.shape == stereo.shape
    assert [loudest(channel, 44100) for channel in samples] == pytest.approx([0.3, 1.2], abs=2e-3)


@pytest.mark.parametrize(("rate", "expected"), [(16000, 64), (48000, 96)])
def test_each_channel_has_the_kilobits_that_its_rate_needs(tmp_path: Path, rate: int, expected: int) -> None:
    noise = np.random.default_rng(0).normal(0, 0.05, (1, 3 * rate)).astype(np.float32)
    path = written(tmp_path / "a.mp4", pictures(3), sound=open_sound(sound(tmp_path / "a.wav", noise, rate)))
    with av.open(str(path)) as film:
        kilobits = sum(packet.size for packet in film.demux(audio=0)) * 8 / 3 / 1000
    assert kilobits == pytest.approx(expected, rel=0.15)


def test_surround_sound_becomes_stereo(tmp_path: Path) -> None:
    source = sound(tmp_path / "a.wav", np.repeat(click(0.5, 1.0, 48000)[None], 6, axis=0), 48000, layout="5.1")
    assert open_sound(written(tmp_path / "a.mp4", pictures(5), sound=open_sound(source))).channels == 2


def test_a_picture_is_one_slice_whatever_the_number_of_cores(tmp_path: Path) -> None:
    with av.open(str(written(tmp_path / "film.mp4", pictures(5, 320, 240)))) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    assert [sum(kind in SLICES for kind in units(packet)) for packet in packets] == [1] * 5


def units(packet: bytes) -> list[int]:
    """The types of the units of H.264 in a packet of an MP4 file, each after four bytes of its length."""
    kinds, at = [], 0
    while at < len(packet):
        kinds.append(packet[at + 4] & 31)
        at += 4 + int.from_bytes(packet[at : at + 4], "big")
    return kinds


def test_an_existing_film_is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    path = written(tmp_path / "a.mp4", pictures(3))
    before = path.read_bytes()
    with pytest.raises(ValueError), VideoWriter(path, 64, 48, 25) as writer:
        writer.write(picture(48, 64))
    assert path.read_bytes() == before
    written(path, pictures(7))
    assert len(list(read_frames(path))) == 7
    assert [child.name for child in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ValueError, SystemExit])
@pytest.mark.parametrize("frames", [0, 1, 60])
def test_an_interruption_leaves_no_files(tmp_path: Path, kind: type[BaseException], frames: int) -> None:
    def interrupted() -> None:
        with VideoWriter(tmp_path / "a.mp4", 64, 48, 25, sound=sound_of(click(0.1, 3, 16000), 16000)) as writer:
            assert len(list(tmp_path.iterdir())) == 1
            for image in pictures(frames):
                writer.write(image)
            raise kind

    with pytest.raises(kind):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_film_without_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LipsmithError, match="no frame"), VideoWriter(tmp_path / "a.mp4", 64, 48, 25):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_frame_of_another_size_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 x 48"), VideoWriter(tmp_path / "a.mp4", 64, 48, 25) as writer:
        writer.write(picture(48, 64))
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_type_are_rejected(tmp_path: Path) -> None:
    floats: Any = np.zeros((48, 64, 3), np.float32)
    with pytest.raises(ValueError, match="float32"), VideoWriter(tmp_path / "a.mp4", 64, 48, 25) as writer:
        writer.write(floats)


def test_an_encoder_error_is_one_sentence(tmp_path: Path) -> None:
    image = np.zeros((2, 20_000, 3), np.uint8)
    with pytest.raises(LipsmithError, match=r"was not written: .*\.$"):
        written(tmp_path / "a.mp4", [image])
    assert list(tmp_path.iterdir()) == []


def test_paths_that_are_not_writable_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "missing" / "a.mp4", tmp_path / "file" / "a.mp4"):
        with pytest.raises(UsageError, match="cannot be written"), VideoWriter(path, 64, 48, 25):
            pass


def test_invalid_arguments_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.mp4, \.m4v, \.mov, \.mkv"):
        VideoWriter(tmp_path / "a.gif", 64, 48, 25)
    (tmp_path / "b.mp4").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        VideoWriter(tmp_path / "b.mp4", 64, 48, 25)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="file size limits are POSIX")
def test_a_full_disk_is_an_error_and_leaves_no_files(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 128, 128, 3), dtype=np.uint8)
    with little_room(100_000), pytest.raises(LipsmithError, match="disk is full"):
        written(tmp_path / "a.mp4", list(noise), crf=1)
    assert list(tmp_path.iterdir()) == []


def test_the_result_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    path = written(tmp_path / "a.mp4", pictures(2))
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


def test_the_pixel_aspect_ratio_is_kept(tmp_path: Path) -> None:
    like = replace(probe(written(tmp_path / "b.mp4", pictures(2))), sample_aspect=Fraction(9, 8))
    assert probe(written(tmp_path / "a.mp4", pictures(2), like=like)).sample_aspect == Fraction(9, 8)


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("count", [1, 5])
def test_the_last_frame_is_shown_as_long_as_the_others(tmp_path: Path, suffix: str, count: int) -> None:
    with av.open(str(written(tmp_path / f"a{suffix}", pictures(count, 32, 32)))) as container:
        assert container.duration == 40_000 * count


@pytest.mark.parametrize(("cut", "seconds"), [(False, 1.0), (True, 0.4)])
def test_sound_ends_with_the_picture_only_if_it_is_cut(tmp_path: Path, cut: bool, seconds: float) -> None:
    wave = sound_of(click(0.1, 1.0, 16000), 16000)
    path = written(tmp_path / "a.mp4", pictures(10), sound=wave, end=0.4, cut=cut)
    assert len(read_audio(path)) / 16000 == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_sound_is_stored_beside_its_picture(tmp_path: Path, suffix: str) -> None:
    """Otherwise a player reads a whole film before it shows its beginning with sound."""
    wave = sound_of(click(0.1, 20.0, 8000), 8000)
    path = written(tmp_path / f"a{suffix}", pictures(2, 32, 32) * 250, sound=wave)
    reached = {"video": 0.0, "audio": 0.0}
    with av.open(str(path)) as container:
        for packet in sorted((p for p in container.demux() if p.size), key=lambda packet: packet.pos or 0):
            reached[packet.stream.type] = float((packet.pts or 0) * packet.time_base)
            assert abs(reached["video"] - reached["audio"]) < 3


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_chapters_and_language_are_read_back(tmp_path: Path, suffix: str) -> None:
    chapters = [Chapter(0.0, 0.48, "One"), Chapter(0.48, 0.8, "Two ü")]
    wave = sound_of(click(0.1, 0.8, 16000), 16000)
    path = written(tmp_path / f"a{suffix}", pictures(20), sound=wave, chapters=chapters, language="fra")
    found = probe(path).chapters
    assert [(c.title, round(c.start, 2), round(c.end, 2)) for c in found] == [("One", 0, 0.48), ("Two ü", 0.48, 0.8)]
    with av.open(str(path)) as container:
        assert container.streams.audio[0].language in ("fra", "fre")
    copy = written(tmp_path / f"b{suffix}", pictures(20), sound=open_sound(path))
    with av.open(str(copy)) as container:
        assert container.streams.audio[0].language in ("fra", "fre")
