"""LiveKit's avatar example against a stub of LiveKit: what a runner pushes, and what it gets."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Protocol

import numpy as np
import pytest

from double import make_dubber
from synthetic import face_at, speech

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "livekit_avatar.py"


@dataclass
class AudioFrame:
    """As `livekit.rtc.AudioFrame`."""

    data: bytes
    sample_rate: int
    num_channels: int
    samples_per_channel: int


@dataclass
class VideoFrame:
    """As `livekit.rtc.VideoFrame`."""

    width: int
    height: int
    type: str
    data: bytes


class AudioSegmentEnd:
    """As `livekit.agents.voice.avatar.AudioSegmentEnd`."""


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example's module, on a stub of the packages that it needs."""
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
    spec = importlib.util.spec_from_file_location("livekit_avatar", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def voice(seconds: float) -> AudioFrame:
    samples = (32767 * speech(seconds)).astype(np.int16)
    return AudioFrame(samples.tobytes(), 16000, 1, len(samples))


class Avatar(Protocol):
    """What LiveKit's runner asks of a generator of pictures."""

    async def push_audio(self, frame: object) -> None: ...

    def clear_buffer(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[object]: ...

    async def aclose(self) -> None: ...


async def talked(avatar: Avatar, seconds: float, interrupted: bool = False) -> list[object]:
    """What the runner gets until the segment has ended, and a picture more."""
    got: list[object] = []
    async for item in avatar:
        got.append(item)
        if len(got) == 2:
            await avatar.push_audio(voice(seconds))
            if not interrupted:
                await avatar.push_audio(AudioSegmentEnd())
        if interrupted and sum(isinstance(i, AudioFrame) for i in got) == 10:
            avatar.clear_buffer()
        if any(isinstance(i, AudioSegmentEnd) for i in got) and isinstance(item, VideoFrame):
            await avatar.aclose()
            break
    return got


def test_what_the_agent_says_comes_with_its_pictures_and_an_end(example: ModuleType) -> None:
    clip = make_dubber().prepare([face_at(number / 25, (120, 120)) for number in range(5)])
    got = asyncio.run(talked(example.LipsmithVideo(clip), 0.4))
    pictures = [item for item in got if isinstance(item, VideoFrame)]
    sound = np.concatenate([np.frombuffer(item.data, np.int16) for item in got if isinstance(item, AudioFrame)])
    assert {(picture.width, picture.height, len(picture.data)) for picture in pictures} == {(120, 120, 120 * 120 * 3)}
    assert len(sound) / example.RATE == pytest.approx(0.6, abs=0.13)
    assert np.abs(sound).max() > 1000
    assert isinstance(got[-2], AudioSegmentEnd)
    assert isinstance(got[0], VideoFrame)
    assert isinstance(got[1], VideoFrame)
    options = example.options_for(clip)
    assert (options.audio_sample_rate, options.audio_channels) == (example.RATE, 1)


def test_an_interrupted_agent_falls_silent(example: ModuleType) -> None:
    clip = make_dubber().prepare([face_at(number / 25, (120, 120)) for number in range(5)])
    got = asyncio.run(talked(example.LipsmithVideo(clip), 30.0, interrupted=True))
    assert isinstance(got[-2], AudioSegmentEnd)
    assert sum(isinstance(item, AudioFrame) for item in got) < 25
