"""Files that end before the length that they declare are reported, and files that declare none are not."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from dub_samples import write_wav
from lipsmith.errors import InputError
from lipsmith.media import open_sound, read_frames
from lipsmith.media.completeness import require_whole_boxes
from synthetic import speech
from video_samples import film, snow


def make_sound(path: Path, codec: str) -> Path:
    samples = np.tile(speech(2.0), 3)[None]
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=16_000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        resampler = av.AudioResampler(format=stream.format, layout="mono", rate=16_000)
        for block in (*resampler.resample(frame), *resampler.resample(None)):
            out.mux(stream.encode(block))
        out.mux(stream.encode(None))
    return path


def make_film(path: Path) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    with av.open(str(path), "w", options={"movflags": "faststart"} if path.suffix == ".mp4" else {}) as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuvj420p"
        for _ in range(100):
            out.mux(stream.encode(av.VideoFrame.from_ndarray(noise)))
        out.mux(stream.encode(None))
    return path


def read(path: Path) -> float:
    """The seconds of a sound; of a film without sound, those before its last frame."""
    if path.suffix in (".mkv", ".avi", ".mp4"):
        return [frame.time for frame in read_frames(path)][-1]
    sound = open_sound(path)
    return float(sum(block.shape[1] for block in sound.blocks) / sound.rate)


def halved(path: Path) -> Path:
    half = path.with_stem("half")
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return half


@pytest.mark.parametrize(
    ("name", "codec"), [("a.wav", "pcm_s16le"), ("a.ogg", "libopus"), ("a.mp3", "libmp3lame"), ("a.mka", "libopus")]
)
def test_sound_that_ends_early_is_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, codec: str
) -> None:
    whole = make_sound(tmp_path / name, codec)
    assert read(whole) == pytest.approx(6, abs=0.1)
    assert caplog.messages == []
    half = halved(whole)
    for _ in range(2):
        assert 1.9 < read(half) < 4
    assert ("half.wav ends after 3.0 s, but its header says 6.0 s" in caplog.text) == (name == "a.wav")
    assert [line.rpartition(": ")[2] for line in caplog.messages] == ["it may be incomplete."]


@pytest.mark.parametrize("name", ["a.mkv", "a.avi", "a.mp4"])
def test_films_that_end_early_are_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str) -> None:
    whole = make_film(tmp_path / name)
    assert read(whole) == pytest.approx(3.96)
    assert caplog.messages == []
    half = halved(whole)
    for _ in range(2):
        assert 1 < read(half) < 2.5
    assert [line.rpartition(": ")[2] for line in caplog.messages if "incomplete" in line] == ["it may be incomplete."]


def test_animations_and_fragmented_films_that_end_early_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Their headers declare no length."""
    fragmented = {"movflags": "frag_keyframe+empty_moov"}
    options = {"g": "10"}
    film(tmp_path / "a.gif", snow(20))
    film(tmp_path / "a.mp4", snow(50), options=options, container_options=fragmented)
    for path in (tmp_path / "a.gif", tmp_path / "a.mp4"):
        whole = len(list(read_frames(path)))
        assert "incomplete" not in caplog.text
        assert len(list(read_frames(halved(path)))) < whole
        assert caplog.messages[-1].endswith("it may be incomplete.")
        caplog.clear()


def test_a_length_that_is_estimated_or_unknown_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert 2 < read(halved(make_sound(tmp_path / "a.aac", "aac"))) < 4
    piped = write_wav(tmp_path / "piped.wav", speech(2.0))
    piped.write_bytes(piped.read_bytes()[:4] + b"\xff" * 4 + piped.read_bytes()[8:])
    assert read(piped) == 2.0
    assert "incomplete" not in caplog.text


def test_a_sound_shorter_than_its_film_is_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as out:
        film, sound = out.add_stream("mjpeg", rate=25), out.add_stream("pcm_s16le", rate=16_000, layout="mono")
        film.width, film.height, film.pix_fmt = 64, 64, "yuvj420p"
        for _ in range(250):
            out.mux(film.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        frame = av.AudioFrame.from_ndarray(np.ones((1, 16_000), np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16_000, 80_000
        out.mux([*sound.encode(frame), *sound.encode(None), *film.encode(None)])
    assert read(path.rename(path.with_suffix(".mka"))) == 6.0
    assert caplog.messages == []


def box(kind: bytes, content: bytes = b"", length: int | None = None) -> bytes:
    return (8 + len(content) if length is None else length).to_bytes(4, "big") + kind + content


START = box(b"ftyp", b"isom") + box(b"moov", b"index")
LARGE = (1).to_bytes(4, "big") + b"mdat" + (20).to_bytes(8, "big") + b"data"


@pytest.mark.parametrize(
    "content",
    [START, START + LARGE, START + box(b"mdat", b"data", length=0), box(b"wide") + START, b"no film", b"RIFF"],
)
def test_boxes_that_end_with_the_file_are_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    require_whole_boxes(path)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (START[:-1], "its parts do not end with the file"),
        (START + LARGE[:-1], "its parts do not end with the file"),
        (START + LARGE[:12], "its parts do not end with the file"),
        (START + b"\0\0\0", "its parts do not end with the file"),
        (START + box(b"mdat", length=7), "its parts do not end with the file"),
        (box(b"ftyp", b"isom") + LARGE, "it has no index"),
    ],
)
def test_boxes_that_do_not_end_with_the_file_are_refused(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.mp4 is cut off or damaged: {why}; copy or download it again"):
        require_whole_boxes(path)
