"""The fragmented MP4 stream: frames at their times, with complete sound."""

from __future__ import annotations

import io
import json

import av
import numpy as np
import pytest

from lipsmith.errors import UsageError
from lipsmith.live import LiveFrame
from lipsmith.live.stream import SOUND_RATE, FragmentedMP4
from synthetic import face_at, speech


@pytest.mark.parametrize("size", [(64, 48), (65, 47)])
def test_the_stream_decodes_to_its_frames_and_sound(size: tuple[int, int]) -> None:
    stream, rate = FragmentedMP4(*size, 25, 16000, "fast"), 16000
    numbers = [0, 1, 2, 5, 6, 7, 8, 9]  # two are skipped
    fragments, written = [], 0
    for number in numbers:
        end = round((number + 1) / 25 * rate)
        sound = speech(1.0)[written:end]
        fragments.append(stream.add(LiveFrame(face_at(number / 25, size), sound, number, number / 25)))
        written = end
    # Each fragment is written at once.
    assert all(fragments[1:])
    whole = b"".join([*fragments, stream.close()])
    with av.open(io.BytesIO(whole), "r") as film:
        decoded = list(film.decode(video=0))
        assert json.loads(film.metadata["description"])["model"] == "fast"
    width, height = size
    for number, frame in zip(numbers, decoded, strict=True):
        assert (frame.width, frame.height) == (width + width % 2, height + height % 2)
        shown = frame.to_ndarray(format="rgb24")[:height, :width].astype(int)
        assert np.abs(shown - face_at(number / 25, size)).mean() < 8
    times = [frame.time for frame in decoded]
    # The encoder delay of AAC, 1,024 samples, shifts everything but the first frame.
    assert times[0] == 0
    assert times[1:] == pytest.approx([number / 25 + 1024 / SOUND_RATE for number in numbers[1:]], abs=1e-3)
    assert seconds_of_sound(b"".join(fragments)) == pytest.approx(0.4, abs=0.08)
    assert seconds_of_sound(whole) >= 0.4  # the encoder keeps the last sound until the stream closes


def test_a_player_that_joins_waits_at_most_two_seconds_for_a_picture() -> None:
    stream, silence = FragmentedMP4(64, 48, 12.5, 16000, "fast"), np.zeros(1280, np.float32)
    parts = [stream.add(LiveFrame(face_at(n / 25, (64, 48)), silence, n, n / 12.5)) for n in range(60)]
    with av.open(io.BytesIO(b"".join([*parts, stream.close()])), "r") as film:
        keys = [n for n, packet in enumerate(film.demux(video=0)) if packet.is_keyframe]
    assert keys == [0, 25, 50]


def test_a_closed_stream_may_be_closed_again_but_takes_no_frame() -> None:
    stream, frame = FragmentedMP4(64, 48, 25, 16000, "fast"), LiveFrame(face_at(0, (64, 48)), speech(0.04), 0, 0.0)
    assert stream.add(frame)
    assert stream.close()
    assert stream.close() == b""
    with pytest.raises(UsageError, match="The stream is closed; open another one"):
        stream.add(frame)


def seconds_of_sound(stream: bytes) -> float:
    with av.open(io.BytesIO(stream), "r") as film:
        assert film.streams.audio[0].rate == SOUND_RATE
        return sum(frame.samples for frame in film.decode(audio=0)) / SOUND_RATE


def test_the_sound_is_there_to_its_last_millisecond() -> None:
    stream, rate, priming = FragmentedMP4(64, 48, 25, 16000, "fast"), 16000, 1024
    tone = (np.sin(2 * np.pi * 440 * np.arange(rate // 25) / rate) / 2).astype(np.float32)
    whole = stream.add(LiveFrame(face_at(0, (64, 48)), tone, 0, 0.0)) + stream.close()
    with av.open(io.BytesIO(whole), "r") as film:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    end = priming + SOUND_RATE // 25
    assert np.abs(heard[end - SOUND_RATE // 1000 : end]).max() > 0.2
