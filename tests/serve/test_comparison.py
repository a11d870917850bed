from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from double import make_dubber
from lipsmith.media import open_sound, probe, read_frames
from lipsmith.serve.comparison import join_sides, write_before
from synthetic import face_at, make_film, speech


def film_with_damaged_sound(path: Path, begin: int, aspect: Fraction = Fraction(1)) -> Path:
    """A film of 10 frames whose samples are NaN from frame `begin` on, and whose pixels are `aspect` times as wide as
    high."""
    with av.open(str(path), "w") as film:
        picture = film.add_stream("libx264", rate=25)
        picture.width, picture.height, picture.pix_fmt = 160, 160, "yuv420p"
        picture.codec_context.sample_aspect_ratio = aspect
        sound = film.add_stream("pcm_f32le", rate=16_000, layout="mono")
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(face_at(index / 25, (160, 160)), format="rgb24")
            film.mux(picture.encode(frame))
            samples = np.full((1, 640), np.nan if index >= begin else 0, np.float32)
            block = av.AudioFrame.from_ndarray(samples, format="flt", layout="mono")
            block.sample_rate, block.pts = 16_000, 640 * index
            film.mux(sound.encode(block))
        film.mux(picture.encode(None))
        film.mux(sound.encode(None))
    return path


@pytest.mark.parametrize("begin", [0, 5])
def test_footage_with_damaged_sound_is_compared(tmp_path: Path, begin: int) -> None:
    clip = make_dubber().prepare(film_with_damaged_sound(tmp_path / "film.mkv", begin))
    before = tmp_path / "before.mp4"
    write_before(clip, clip.dub(speech(0.4)), before).save(tmp_path / "out.mp4")
    assert len(list(read_frames(before))) == 10


def test_the_footage_to_compare_sounds_as_in_the_film(tmp_path: Path) -> None:
    time = np.arange(12_800) / 16_000
    sound = np.where(time < 0.4, 0, 0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    film, before = make_film(tmp_path / "film.mkv", 0.8, 25, (160, 160), audio=sound), tmp_path / "before.mp4"
    clip = make_dubber().prepare(film, start=0.2)
    write_before(clip, clip.dub(speech(0.4)), before).save(tmp_path / "out.mp4")
    samples = np.concatenate(list(open_sound(before, 16_000).blocks), axis=1)[0]
    assert len(samples) / 16_000 == pytest.approx(0.4, abs=0.05)
    assert np.argmax(np.abs(samples) > 0.2) / 16_000 == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize("height", [160, 162])
def test_the_footage_to_compare_has_the_colors_of_the_film(tmp_path: Path, height: int) -> None:
    """Also if its height is no multiple of 4."""
    film = make_film(tmp_path / "film.mkv", 0.2, 25, (160, height))
    clip, before = make_dubber().prepare(film), tmp_path / "before.mp4"
    write_before(clip, clip.dub(speech(0.2)), before).save(tmp_path / "out.mp4")
    for shown, filmed in zip(read_frames(before), read_frames(film), strict=True):
        differences = np.abs(np.asarray(shown.image, float) - np.asarray(filmed.image))
        assert differences.mean((1, 2)).max() < 10


@pytest.mark.parametrize(("aspect", "shown"), [(Fraction(12, 11), Fraction(12, 11)), (Fraction(2), Fraction(1))])
def test_footage_with_wide_pixels_is_compared_in_its_own_shape(
    tmp_path: Path, aspect: Fraction, shown: Fraction
) -> None:
    """Very wide ones become square."""
    clip = make_dubber().prepare(film_with_damaged_sound(tmp_path / "film.mkv", 10, aspect))
    before, after, both = (tmp_path / f"{name}.mp4" for name in ("before", "after", "both"))
    write_before(clip, clip.dub(speech(0.4)), before).save(after)
    join_sides(before, after, both, lambda done, total: None)
    films = [probe(film) for film in (before, after, both)]
    assert [film.sample_aspect for film in films] == [shown] * 3
    width = round(160 * aspect / shown)
    assert [film.width for film in films] == [width, width, 2 * width]
