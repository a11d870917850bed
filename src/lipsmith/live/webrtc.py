"""A session over WebRTC: the caller's microphone in, pictures and voice out, without the buffers of a player."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from fractions import Fraction
from threading import Thread
from typing import Final

import numpy as np
from aiortc import InvalidStateError, MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, VideoFrame
from numpy.typing import NDArray

from lipsmith.errors import InputError
from lipsmith.live.session import Live, LiveFrame

_CLOCK: Final = 90_000
_PACKET: Final = 0.02  # seconds of sound a packet
_NO_OFFER: Final = (ValueError, AssertionError, LookupError, AttributeError, InvalidStateError)
"""What aiortc raises for text that is not an offer; it promises no error of its own."""
_WAITING: Final = 3  # frames that wait to be sent before the oldest is dropped


class SessionTracks:
    """The pictures and the sound of a session as two tracks; the session's frames are taken by a thread."""

    def __init__(self, session: Live) -> None:
        """Begin to take frames; to be called within the event loop that sends them."""
        self._session, self._loop = session, asyncio.get_running_loop()
        self.video, self.audio = _VideoTrack(), _AudioTrack(session.rate)
        Thread(target=self._take, daemon=True).start()

    def _take(self) -> None:
        for frame in self._session.frames():
            with suppress(RuntimeError):  # the loop has ended, and the session soon will
                self._loop.call_soon_threadsafe(self._add, frame)
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end)

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
        if self._frames.qsize() >= _WAITING:
            self._frames.get_nowait()
        self._frames.put_nowait(frame)

    async def recv(self) -> VideoFrame:
        frame = await self._frames.get()
        sent = VideoFrame.from_ndarray(frame.image, format="rgb24")
        sent.pts, sent.time_base = round(frame.time * _CLOCK), Fraction(1, _CLOCK)
        return sent


class _AudioTrack(MediaStreamTrack):
    kind = "audio"

    def __init__(self, rate: int) -> None:
        super().__init__()
        self._rate, self._size = rate, round(_PACKET * rate)
        self._packets: asyncio.Queue[NDArray[np.int16]] = asyncio.Queue()
        self._rest = np.zeros(0, np.int16)
        self._sent = 0

    def add(self, frame: LiveFrame) -> None:
        samples = np.concatenate([self._rest, (frame.sound * 32767).astype(np.int16)])
        whole = len(samples) // self._size * self._size
        for packet in samples[:whole].reshape(-1, self._size):
            self._packets.put_nowait(packet)
        self._rest = samples[whole:]

    async def recv(self) -> AudioFrame:
        packet = await self._packets.get()
        sent = AudioFrame.from_ndarray(packet[None], format="s16", layout="mono")
        sent.sample_rate, sent.time_base = self._rate, Fraction(1, self._rate)
        sent.pts = self._sent
        self._sent += len(packet)
        return sent


async def answer(session: Live, offer: str) -> tuple[RTCPeerConnection, str]:
    """Accept a browser's `offer` (SDP): its audio is pushed to `session`, whose frames it gets; our SDP is returned.

    The session closes with the connection. No STUN and no TURN server is asked: both ends must reach each other. Raises
    InputError for an offer that is not one.
    """
    connection = RTCPeerConnection()

    @connection.on("track")
    def hear(track: MediaStreamTrack) -> None:
        if track.kind == "audio":
            listening.add(asyncio.ensure_future(_push(session, track)))

    @connection.on("connectionstatechange")
    async def look() -> None:
        if connection.connectionState in ("closed", "failed"):
            session.close()
            await connection.close()

    listening: set[asyncio.Future[None]] = set()
    try:
        await connection.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        tracks = SessionTracks(session)
        connection.addTrack(tracks.video)
        connection.addTrack(tracks.audio)
        await connection.setLocalDescription(await connection.createAnswer())
    except _NO_OFFER as error:
        session.close()
        await connection.close()
        raise InputError(
            "The offer is no session description of a WebRTC peer; send what createOffer returns."
        ) from error
    return connection, connection.localDescription.sdp


async def _push(session: Live, track: MediaStreamTrack) -> None:
    """Push what the microphone takes in, until it ends."""
    with suppress(MediaStreamError):
        while True:
            frame = await track.recv()
            assert isinstance(frame, AudioFrame)
            samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels)).T
            session.push(samples, frame.sample_rate)
