"""A session over WebRTC: the audio of a peer in, video and audio out, without the buffering of a media player."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from fractions import Fraction
from threading import Thread
from typing import Final

import numpy as np
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from lipsmith.errors import InputError, missing_extra
from lipsmith.live.session import Live, LiveFrame
from lipsmith.media.container import CLOCK

try:
    from aiortc import (
        InvalidStateError,
        MediaStreamTrack,
        RTCConfiguration,
        RTCPeerConnection,
        RTCSessionDescription,
    )
    from aiortc.mediastreams import MediaStreamError
except ModuleNotFoundError as missing:
    raise missing_extra("WebRTC", "live", missing) from missing

_LOG = logging.getLogger(__name__)

_PACKET_SECONDS: Final = 0.02  # seconds of sound per packet
_OFFER_ERRORS: Final = (ValueError, AssertionError, LookupError, AttributeError, InvalidStateError)
"""Errors of aiortc for an invalid offer; it documents none."""
_MAX_QUEUED: Final = 3  # queued frames; beyond it, the oldest is dropped


class SessionTracks:
    """Video and audio tracks of a session; a thread iterates over its frames."""

    def __init__(self, session: Live) -> None:
        """Start the thread. Call this within the event loop that sends the tracks."""
        self._session, self._loop = session, asyncio.get_running_loop()
        self.video, self.audio = _VideoTrack(), _AudioTrack(session.rate)
        Thread(target=self._run, name="lipsmith-webrtc").start()  # no daemon: the program's end would abort it

    def _run(self) -> None:
        try:
            for frame in self._session.frames():
                self._call(self._add, frame)
        except Exception:
            if not self._loop.is_closed():  # otherwise the program ends, and refuses work in threads
                _LOG.exception("the session failed")
        finally:
            self._call(self._end)

    def _call(self, function: Callable[..., None], *arguments: LiveFrame) -> None:
        """Call `function` in the event loop; the session ends with the loop."""
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the loop is closed
            self._session.close()

    def _add(self, frame: LiveFrame) -> None:
        self.video.add(frame)
        self.audio.add(frame)

    def _end(self) -> None:
        self.video.stop()
        self.audio.stop()


class _VideoTrack(MediaStreamTrack):
    kind = "video"

    def __init__(self) -> None:
        super().__init__()
        self._frames: asyncio.Queue[LiveFrame] = asyncio.Queue()

    def add(self, frame: LiveFrame) -> None:
        if self._frames.qsize() >= _MAX_QUEUED:
            self._frames.get_nowait()
        self._frames.put_nowait(frame)

    async def recv(self) -> VideoFrame:
        frame = await self._frames.get()
        height, width = frame.image.shape[:2]
        even = np.pad(frame.image, [(0, height % 2), (0, width % 2), (0, 0)], "edge")  # H.264 has no odd sides
        sent = VideoFrame.from_ndarray(even, format="rgb24")
        sent.pts, sent.time_base = round(frame.time * CLOCK), Fraction(1, CLOCK)
        return sent


class _AudioTrack(MediaStreamTrack):
    kind = "audio"

    def __init__(self, rate: int) -> None:
        super().__init__()
        self._rate, self._size = rate, round(_PACKET_SECONDS * rate)
        self._packets: asyncio.Queue[NDArray[np.int16]] = asyncio.Queue()
        self._remainder = np.zeros(0, np.int16)
        self._sent = 0
        self._is_connected = False

    def add(self, frame: LiveFrame) -> None:
        if not self._is_connected:  # what waited for the connection would delay all sound after it
            return
        samples = np.concatenate([self._remainder, (frame.sound * 32767).astype(np.int16)])
        complete = len(samples) // self._size * self._size
        for packet in samples[:complete].reshape(-1, self._size):
            self._packets.put_nowait(packet)
        self._remainder = samples[complete:]

    async def recv(self) -> AudioFrame:
        self._is_connected = True
        packet = await self._packets.get()
        sent = AudioFrame.from_ndarray(packet[None], format="s16", layout="mono")
        sent.sample_rate, sent.time_base = self._rate, Fraction(1, self._rate)
        sent.pts = self._sent
        self._sent += len(packet)
        return sent


async def answer(session: Live, offer: str) -> tuple[RTCPeerConnection, str]:
    """Accept the SDP `offer` of a peer: push its audio to `session` and send it the frames. Returns connection and SDP.

    Session and connection close together; if the session fails, its `error` says why. There is no STUN or TURN server,
    so the peers must reach each other directly. Raises `InputError` for an invalid offer.
    """
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # by default, aiortc asks a server of Google

    @connection.on("track")
    def receive_audio(track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            tasks.add(asyncio.ensure_future(_push(session, track)))

    @connection.on("connectionstatechange")
    async def close_session() -> None:
        if connection.connectionState in ("closed", "failed"):
            session.close()
            await connection.close()

    tasks: set[asyncio.Future[None]] = set()
    try:
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        tracks = SessionTracks(session)
        tracks.video.on("ended", connection.close)  # a sender waits forever for frames of a track that has ended
        connection.addTrack(tracks.video)
        connection.addTrack(tracks.audio)
        await connection.setLocalDescription(await connection.createAnswer())
    except _OFFER_ERRORS as error:
        session.close()
        await connection.close()
        raise InputError(
            "The offer is not a valid WebRTC session description; send the result of createOffer."
        ) from error
    return connection, connection.localDescription.sdp


async def _push(session: Live, track: MediaStreamTrack) -> None:
    """Push the audio of a track to the session until the track ends; the session ends with audio that it refuses."""
    try:
        while True:
            frame = await track.recv()
            assert isinstance(frame, AudioFrame)
            samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels)).T
            session.push(samples, frame.sample_rate)
    except MediaStreamError:  # the end of the track
        return
    except Exception:
        _LOG.exception("the audio of the peer was refused")
        session.close()
