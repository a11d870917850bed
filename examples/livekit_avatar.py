"""An avatar for LiveKit Agents: dubs a film with the voice of the agent, on a CPU, in the process of the agent.

    pip install . livekit-agents                    # in the clone of lipsmith

    from livekit.agents.voice.avatar import AvatarOptions, AvatarRunner, QueueAudioOutput
    from lipsmith import Clip
    from livekit_avatar import LipsmithVideo, options_for

    clip = Clip.load("anna")                        # written by Clip.save
    agent_session.output.audio = queue = QueueAudioOutput()
    runner = AvatarRunner(ctx.room, audio_recv=queue, video_gen=LipsmithVideo(clip), options=options_for(clip))
    await runner.start()

Ask the person in the film for consent, and tell users of the agent that the video is synthetic.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarOptions, VideoGenerator

from lipsmith import Clip
from lipsmith.live import Live, LiveFrame

RATE = 24_000
"""Audio rate of the avatar in Hz; other rates are resampled."""


def options_for(clip: Clip) -> AvatarOptions:
    """Options of `AvatarRunner` for the frames of `LipsmithVideo`."""
    width, height = clip.size
    return AvatarOptions(
        video_width=width,
        video_height=height,
        video_fps=Live(clip, RATE).frame_rate,
        audio_sample_rate=RATE,
        audio_channels=1,
    )


class LipsmithVideo(VideoGenerator):  # type: ignore[misc]
    """A LiveKit video generator that runs a live session."""

    def __init__(self, clip: Clip) -> None:
        self._session = Live(clip, RATE)
        self._speaking = self._ending = False

    async def push_audio(self, frame: Any) -> None:  # noqa: ANN401 - rtc.AudioFrame or AudioSegmentEnd
        """Push a frame of the agent's voice, or the end of a speech segment."""
        if isinstance(frame, AudioSegmentEnd):
            self._session.flush()
            self._ending = True
            return
        samples = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels).T
        self._session.push(samples, frame.sample_rate)
        self._speaking, self._ending = True, False

    def clear_buffer(self) -> None:
        """Interrupt the current speech."""
        self._session.interrupt()
        self._ending = self._speaking

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield video frames continuously, audio frames during speech, and a mark at the end of each segment."""
        frames = self._session.frames()
        while (frame := await asyncio.to_thread(_next, frames)) is not None:
            height, width = frame.image.shape[:2]
            yield rtc.VideoFrame(width, height, rtc.VideoBufferType.RGB24, frame.image.tobytes())
            if not self._speaking:
                continue
            sound = (frame.sound * 32767).astype(np.int16)
            yield rtc.AudioFrame(sound.tobytes(), RATE, 1, len(sound))
            if self._ending and not self._session.waiting:
                self._speaking = self._ending = False
                yield AudioSegmentEnd()

    async def aclose(self) -> None:
        """End the session."""
        self._session.close()


def _next(frames: Iterator[LiveFrame]) -> LiveFrame | None:
    """The next frame, or None at the end, because a StopIteration cannot be raised out of a thread."""
    return next(frames, None)
