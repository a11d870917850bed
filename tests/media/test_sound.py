"""Sound: many channels into few at the level of the voice, samples that are none, and a picture that begins late."""

from __future__ import annotations

import struct
import wave
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.media import open_sound
from lipsmith.media import sound as media_sound
from lipsmith.media.decoding import decoded_sound
from lipsmith.speech.recording import load_speech
from video_samples import click, loudest, pictures, sound

RATE = 16_000


def read(path: Path, whole: bool = False) -> NDArray[np.float32]:
    opened = open_sound(path, whole=whole)
    samples = np.concatenate(list(opened.blocks), axis=1)
    assert len(samples) == opened.channels
    return samples


def level(samples: NDArray[np.float32]) -> float:
    """RMS."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def tone(hertz: float = 440, peak: float = 0.5) -> NDArray[np.float32]:
    return (peak * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)


def placed(path: Path, layout: str, channels: Sequence[str], wave: NDArray[np.float32]) -> Path:
    """A file of that layout in which only `channels` sound."""
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    samples = np.zeros((len(names), len(wave)), np.float32)
    for name in channels:
        samples[names.index(name)] = wave
    codec = {".wav": "pcm_s16le", ".flac": "flac", ".w64": "pcm_s24le", ".caf": "pcm_s16le", ".aiff": "pcm_s16be"}[
        path.suffix
    ]
    return sound(path, samples, RATE, codec, layout)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".w64", ".caf", ".aiff"])
@pytest.mark.parametrize(
    ("layout", "channel", "left", "right"),
    [
        ("5.1", "FC", 0.7071, 0.7071),
        ("5.1", "FL", 1, 0),
        ("5.1", "BR", 0, 0.7071),
        ("7.1", "FC", 0.7071, 0.7071),
        ("quad", "BL", 0.7071, 0),
        ("4.0", "BC", 0.5, 0.5),
    ],
)
def test_each_channel_position_has_its_weight(
    tmp_path: Path, suffix: str, layout: str, channel: str, left: float, right: float
) -> None:
    mixed = read(placed(tmp_path / f"a{suffix}", layout, [channel], tone()))
    assert [level(side) / level(tone()) for side in mixed] == pytest.approx([left, right], abs=0.005)


def test_eight_planes_of_sound_do_not_crash(tmp_path: Path) -> None:
    """PyAV 18.1 reads a ninth from behind them."""
    samples = np.zeros((8, RATE), np.float32)
    samples[2] = tone()
    path = sound(tmp_path / "a.m4a", samples, RATE, "aac", "7.1")
    assert [level(side) for side in read(path)] == pytest.approx([0.7071 * level(tone())] * 2, rel=0.05)


@pytest.mark.parametrize("labels", [(1, 1), (0, 0), (1 << 16, 1 << 16 | 1)], ids=["both left", "unknown", "discrete"])
def test_two_channels_in_any_order_are_read(tmp_path: Path, labels: tuple[int, int]) -> None:
    """In a CAF whose channel descriptions (Apple's specification, `mChannelLabel`) libav cannot convert."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return kind + struct.pack(">q", len(data)) + data

    form = struct.pack(">d4sIIIII", RATE, b"lpcm", 0, 4, 1, 2, 16)
    layout = struct.pack(">III", 0, 0, 2) + b"".join(struct.pack(">II3f", label, 0, 0, 0, 0) for label in labels)
    data = np.round(32767 * np.stack([tone(), 0 * tone()], 1)).astype(">i2").tobytes()
    path = tmp_path / "a.caf"
    path.write_bytes(b"caff\0\1\0\0" + chunk(b"desc", form) + chunk(b"chan", layout) + chunk(b"data", bytes(4) + data))
    assert [level(side) for side in read(path)] == pytest.approx([level(tone()), 0], rel=0.01)


def test_a_mix_above_full_scale_is_scaled_by_its_peak(tmp_path: Path) -> None:
    mixed = read(placed(tmp_path / "a.wav", "5.1", ["FL", "FR", "FC", "BL", "BR"], tone(peak=0.8)))
    assert np.abs(mixed).max() == pytest.approx(1, abs=0.01)
    assert level(mixed) == pytest.approx(level(tone(peak=1.0)), rel=0.01)


def test_speech_only_in_the_low_frequency_channel_is_kept(tmp_path: Path) -> None:
    """FLAC has a place for each of six channels, whatever a recorder puts there."""
    assert level(read(placed(tmp_path / "a.flac", "5.1", ["LFE"], tone()))) == pytest.approx(level(tone()), rel=0.01)
    loud = read(placed(tmp_path / "b.flac", "5.1", ["FC", "LFE"], tone()))
    assert level(loud) == pytest.approx(0.7071 * level(tone()), rel=0.01)


def tracks(path: Path, *channels: NDArray[np.float32], rate: int = RATE) -> Path:
    """A WAV without a speaker mask, as recorders write it."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(32767 * np.stack(channels, 1)).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize("rate", [1, 2**31 - 1])
def test_a_sample_rate_that_makes_hours_or_gigabytes_of_kilobytes_is_refused(tmp_path: Path, rate: int) -> None:
    with pytest.raises(InputError, match="no sound that can be decoded; give a file with sound"):
        load_speech(tracks(tmp_path / "a.wav", tone(), rate=rate))


@pytest.mark.parametrize("count", [3, 4, 6, 8])
def test_all_tracks_of_a_recorder_are_mixed(tmp_path: Path, count: int, caplog: pytest.LogCaptureFixture) -> None:
    for sounding in range(count):
        silent = [np.zeros(RATE, np.float32)] * count
        path = tracks(tmp_path / f"{sounding}.wav", *silent[:sounding], tone(), *silent[sounding + 1 :])
        with caplog.at_level("INFO", "lipsmith"):
            mixed = read(path)
        assert len(mixed) == 1
        assert level(mixed) == pytest.approx(level(tone()), rel=0.01)
        assert f"its {count} tracks are mixed to mono" in caplog.text


def test_equal_tracks_keep_their_level_and_opposite_ones_do_not_cancel(tmp_path: Path) -> None:
    assert level(read(tracks(tmp_path / "a.wav", *[tone()] * 4))) == pytest.approx(level(tone()), rel=0.01)
    opposite = tracks(tmp_path / "b.wav", tone(), -tone(), np.zeros(RATE, np.float32))
    assert level(read(opposite)) == pytest.approx(level(tone()), rel=0.01)


@pytest.mark.parametrize(("bits", "suffix"), [(32, ".wav"), (64, ".wav"), (32, ".mka"), (32, ".mov")])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e4])
def test_invalid_samples_are_reported_with_their_time(tmp_path: Path, bits: int, suffix: str, wrong: float) -> None:
    samples = tone()[None].copy()
    samples[:, 8000:8100] = wrong
    path = tmp_path / f"a{suffix}"
    if suffix == ".wav":
        data = samples.astype(f"<f{bits // 8}").tobytes()
        form = struct.pack("<IHHIIHH", 16, 3, 1, RATE, RATE * bits // 8, bits // 8, bits)
        head = b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + form
        path.write_bytes(head + b"data" + struct.pack("<I", len(data)) + data)
    else:
        sound(path, samples, RATE, "pcm_f32le")
    for heard in (read, load_speech):
        with pytest.raises(InputError, match=r"at 0\.50 s (contains NaN or infinite samples|reaches 10000)"):
            heard(path)


def test_the_choice_among_several_sounds_is_reported_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.mka"
    with av.open(str(path), "w") as container:
        streams: list[Any] = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        for stream, language, peak in zip(streams, ("deu", "eng"), (0.5, 0.1), strict=True):
            stream.metadata["language"] = language
            samples = np.round(32767 * tone(peak=peak)).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
            container.mux(stream.encode(frame))
    with caplog.at_level("INFO", "lipsmith"):
        assert level(read(path)) == pytest.approx(level(tone()), rel=0.01)
        read(path)
    assert caplog.messages == [f"{path} holds 2 sound streams; stream 0 (deu) is used, as in players."]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".mov", ".ts"])
def test_a_speech_includes_sound_before_the_first_picture(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(click(0.5, 2.5, RATE)[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        packets = [*audio.encode(frame), *audio.encode(None)]
        for number, image in enumerate(pictures(25)):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture.pts, picture.time_base = number + 30, Fraction(1, 25)
            packets += video.encode(picture)
        for packet in sorted(packets + video.encode(None), key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)
    whole, beside = read(path, whole=True), read(path)
    assert loudest(whole[0], RATE) == pytest.approx(0.5, abs=0.07)
    assert load_speech(path).seconds == pytest.approx(whole.shape[1] / RATE, abs=0.01)
    assert whole.shape[1] - beside.shape[1] == pytest.approx(1.2 * RATE, abs=0.1 * RATE)


def test_no_sound_is_lost_where_blocks_of_vorbis_change_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There libav gives packets of Ogg a shorter duration than they have samples, which marks padding in MP4 only."""

    def in_short_packets(source: Any) -> Iterator[av.AudioFrame]:  # noqa: ANN401
        for frame in decoded_sound(source):
            frame.duration = frame.samples - 1
            yield frame

    path = sound(tmp_path / "a.ogg", tone()[None], RATE, "flac")
    monkeypatch.setattr(media_sound, "decoded_sound", in_short_packets)
    assert read(path).shape[1] == RATE


def test_sound_at_the_wanted_rate_passes_unchanged() -> None:
    resampler = media_sound.Resampler(RATE, RATE)
    blocks = [np.random.default_rng(size).uniform(-1.5, 1.5, (1, size)).astype(np.float32) for size in (1, 640, 333)]
    assert all(np.array_equal(np.concatenate(resampler(block), axis=1), block) for block in blocks)
    assert resampler.end() == []
