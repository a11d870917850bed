"""The LiveKit avatar example with a stub of LiveKit."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Protocol

import numpy as np
import pytest

from double import make_dubber
from synthetic import face_at, speech

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass
class AudioFrame:
    """Stub of `livekit.rtc.AudioFrame`."""

    data: bytes
    sample_rate: int
    num_channels: int
    samples_per_channel: int


@dataclass
class VideoFrame:
    """Stub of `livekit.rtc.VideoFrame`."""

    width: int
    height: int
    type: str
    data: bytes


class AudioSegmentEnd:
    """Stub of `livekit.agents.voice.avatar.AudioSegmentEnd`."""


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the example, imported with stubs of LiveKit."""
    rtc = SimpleNamespace(AudioFrame=AudioFrame, VideoFrame=VideoFrame, VideoBufferType=SimpleNamespace(RGB24="rgb24"))
    avatar = SimpleNamespace(AudioSegmentEnd=AudioSegmentEnd, AvatarOptions=SimpleNamespace, VideoGenerator=object)
    for name, module in {
        "livekit": SimpleNamespace(rtc=rtc),
        "livekit.rtc": rtc,
        "livekit.agents": ModuleType("livekit.agents"),
        "livekit.agents.voice": ModuleType("livekit.agents.voice"),
        "livekit.agents.voice.avatar": avatar,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delitem(sys.modules, "livekit_avatar", raising=False)
    return importlib.import_module("livekit_avatar")


def voice(seconds: float) -> AudioFrame:
    samples = (32767 * speech(seconds)).astype(np.int16)
    return AudioFrame(samples.tobytes(), 16000, 1, len(samples))


class Avatar(Protocol):
    """The interface that the runner of LiveKit calls."""

    async def push_audio(self, frame: object) -> None: ...

    def clear_buffer(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[object]: ...

    async def aclose(self) -> None: ...


async def collect(avatar: Avatar, seconds: float, interrupted: bool = False) -> list[object]:
    """The items that the avatar yields until one video frame after the end of the segment."""
    items: list[object] = []
    async for item in avatar:
        items.append(item)
        if len(items) == 2:
            await avatar.push_audio(voice(seconds))
            if not interrupted:
                await avatar.push_audio(AudioSegmentEnd())
        if interrupted and sum(isinstance(i, AudioFrame) for i in items) == 10:
            avatar.clear_buffer()
        if any(isinstance(i, AudioSegmentEnd) for i in items) and isinstance(item, VideoFrame):
            await avatar.aclose()
            break
    return items


def test_speech_yields_video_audio_and_a_segment_end(example: ModuleType) -> None:
    clip = make_dubber().prepare([face_at(number / 25, (120, 120)) for number in range(5)])
    items = asyncio.run(collect(example.LipsmithVideo(clip), 0.4))
    pictures = [item for item in items if isinstance(item, VideoFrame)]
    sound = np.concatenate([np.frombuffer(item.data, np.int16) for item in items if isinstance(item, AudioFrame)])
    assert {(picture.width, picture.height, len(picture.data)) for picture in pictures} == {(120, 120, 120 * 120 * 3)}
    assert len(sound) / example.RATE == pytest.approx(0.6, abs=0.13)
    assert np.abs(sound).max() > 1000
    assert isinstance(items[-2], AudioSegmentEnd)
    assert isinstance(items[0], VideoFrame)
    assert isinstance(items[1], VideoFrame)
    options = example.options_for(clip)
    assert (options.audio_sample_rate, options.audio_channels) == (example.RATE, 1)


def test_options_have_the_frame_rate_of_the_session(example: ModuleType) -> None:
    """Of a film whose long frames lower the average, a session yields more frames per second than the average."""
    clip = make_dubber().prepare([face_at(number / 25, (120, 120)) for number in range(5)])
    uneven = replace(clip, times=np.arange(5) / 50)
    assert example.options_for(uneven).video_fps == pytest.approx(50)


def test_an_interrupted_avatar_falls_silent(example: ModuleType) -> None:
    clip = make_dubber().prepare([face_at(number / 25, (120, 120)) for number in range(5)])
    items = asyncio.run(collect(example.LipsmithVideo(clip), 30.0, interrupted=True))
    assert isinstance(items[-2], AudioSegmentEnd)
    assert sum(isinstance(item, AudioFrame) for item in items) < 25
