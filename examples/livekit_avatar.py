"""An avatar for LiveKit Agents: the agent's voice comes out of a film, on a CPU, in the agent's own process.

    pip install lipsmith livekit-agents

    from livekit.agents.voice.avatar import AvatarOptions, AvatarRunner, QueueAudioOutput
    from livekit_avatar import LipsmithVideo, options_for

    clip = Clip.load("anna")                        # of Clip.save
    agent_session.output.audio = queue = QueueAudioOutput()
    runner = AvatarRunner(ctx.room, audio_recv=queue, video_gen=LipsmithVideo(clip), options=options_for(clip))
    await runner.start()

Ask the person whom the film shows for consent, and tell those who talk to the agent that it is synthetic.
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
"""Hz of the avatar's voice; what the agent sends at another rate is resampled."""


def options_for(clip: Clip) -> AvatarOptions:
    """What `AvatarRunner` is told of the frames that `LipsmithVideo` yields."""
    width, height = clip.size
    frame_rate = float(clip.source.footage.rate)
    return AvatarOptions(
        video_width=width, video_height=height, video_fps=frame_rate, audio_sample_rate=RATE, audio_channels=1
    )


class LipsmithVideo(VideoGenerator):  # type: ignore[misc]
    """The interface of LiveKit's avatars around a live session."""

    def __init__(self, clip: Clip) -> None:
        self._session = Live(clip, RATE)
        self._speaking = self._ending = False

    async def push_audio(self, frame: Any) -> None:  # noqa: ANN401 - rtc.AudioFrame or AudioSegmentEnd
        """The agent's voice as it is synthesized, and the end of what it has to say."""
        if isinstance(frame, AudioSegmentEnd):
            self._session.flush()
            self._ending = True
            return
        samples = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels).T
        self._session.push(samples, frame.sample_rate)
        self._speaking, self._ending = True, False

    def clear_buffer(self) -> None:
        """Somebody interrupts the agent."""
        self._session.interrupt()
        self._ending = self._speaking

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Pictures without an end, the sound of what is said, and a mark where it ends."""
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
    """The next frame; None where there is none. A StopIteration cannot leave a thread."""
    return next(frames, None)
