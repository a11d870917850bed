"""A session over WebRTC, with both peers in one process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from threading import Event
from typing import Any

import numpy as np
import pytest

from double import make_dubber
from lipsmith.errors import InputError
from lipsmith.live import Live, LiveFrame
from synthetic import face_at, speech

aiortc = pytest.importorskip("aiortc", reason="WebRTC needs the live extra")

from aiortc.mediastreams import AudioStreamTrack  # noqa: E402
from av import AudioFrame  # noqa: E402

from lipsmith.live.webrtc import _AudioTrack, _push, answer  # noqa: E402


class Voice(AudioStreamTrack):
    """The demo speech, in packets of 20 ms in real time."""

    async def recv(self) -> AudioFrame:
        frame: Any = await super().recv()  # paced, silent, at 8 kHz
        begin = int(frame.time * 16000)
        samples = (32767 * np.take(speech(), range(begin, begin + 320), mode="wrap")).astype(np.int16)
        packet = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        packet.sample_rate, packet.pts, packet.time_base = frame.sample_rate, frame.pts, frame.time_base
        return packet


async def call() -> tuple[list[tuple[int, int]], float]:
    """Sizes of 20 received pictures, and the peak level of the received audio."""
    clip = make_dubber().prepare([face_at(number / 25, (128, 96)) for number in range(6)])
    session, peer = Live(clip, 48000), aiortc.RTCPeerConnection()
    peer.addTrack(Voice())
    peer.addTransceiver("video", direction="recvonly")
    received: dict[str, object] = {}
    peer.on("track", lambda track: received.__setitem__(track.kind, track))
    await peer.setLocalDescription(await peer.createOffer())
    connection, sdp = await answer(session, peer.localDescription.sdp)
    await peer.setRemoteDescription(aiortc.RTCSessionDescription(sdp, "answer"))
    video, audio = received["video"], received["audio"]
    sizes, loudest = [], 0.0
    for _ in range(20):
        picture = await asyncio.wait_for(video.recv(), 60)  # type: ignore[attr-defined]
        sizes.append((picture.width, picture.height))
    for _ in range(1000):
        packet = await asyncio.wait_for(audio.recv(), 60)  # type: ignore[attr-defined]
        loudest = max(loudest, float(np.abs(packet.to_ndarray()).max()) / 32767)
        if loudest > 0.05:
            break
    await peer.close()
    await connection.close()
    session.close()
    return sizes, loudest


def test_a_peer_receives_video_and_audio() -> None:
    sizes, loudest = asyncio.run(call())
    assert set(sizes) == {(128, 96)}
    assert loudest > 0.05


def test_sound_from_before_the_connection_is_not_sent() -> None:
    def live_frame(level: float) -> LiveFrame:
        return LiveFrame(np.zeros((2, 2, 3), np.uint8), np.full(320, level, np.float32), 0, 0.0)

    async def first_level() -> int:
        track = _AudioTrack(16000)
        track.add(live_frame(0.25))
        packet = asyncio.ensure_future(track.recv())
        await asyncio.sleep(0)
        track.add(live_frame(0.5))
        return int((await packet).to_ndarray().max())

    assert asyncio.run(first_level()) == int(0.5 * 32767)


def test_the_packets_of_sound_follow_each_other_at_any_frame_rate() -> None:
    sound, size = speech(0.4), 533  # samples of a frame at 30 frames per second

    async def packets() -> list[AudioFrame]:
        track = _AudioTrack(16000)
        first = asyncio.ensure_future(track.recv())
        await asyncio.sleep(0)
        for begin in range(0, len(sound), size):
            part = sound[begin : begin + size]
            track.add(LiveFrame(np.zeros((2, 2, 3), np.uint8), part, begin // size, begin / 16000))
        return [await first, *[await track.recv() for _ in range(len(sound) // 320 - 1)]]

    received = asyncio.run(packets())
    assert [packet.pts for packet in received] == [320 * number for number in range(20)]
    samples = np.concatenate([packet.to_ndarray()[0] for packet in received])
    np.testing.assert_array_equal(samples, (sound * 32767).astype(np.int16))


def test_a_session_that_fails_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    answered = Event()

    def fail(session: Live) -> Iterator[LiveFrame]:
        answered.wait()
        raise RuntimeError("the disk is full")
        yield

    async def call() -> None:
        connection, _ = await answer(session, await offer())
        answered.set()
        for _ in range(500):
            if connection.connectionState == "closed":
                return
            await asyncio.sleep(0.02)
        pytest.fail("the connection stays open")

    monkeypatch.setattr(Live, "frames", fail)
    session = Live(make_dubber().prepare([face_at(0, (128, 96))]), 48000)
    asyncio.run(call())
    assert session._next_due(0.0, 0) is None  # closed
    assert "the disk is full" in caplog.text


def test_the_end_of_the_event_loop_ends_the_session_and_its_thread(caplog: pytest.LogCaptureFixture) -> None:
    async def call() -> None:
        await answer(session, await offer())
        [thread] = [thread for thread in threading.enumerate() if thread.name == "lipsmith-webrtc"]
        assert not thread.daemon  # the end of the program waits for it
        threads.append(thread)

    session = Live(make_dubber().prepare([face_at(0, (128, 96))]), 48000)
    threads: list[threading.Thread] = []
    asyncio.run(call())
    threads[0].join(60)
    assert not threads[0].is_alive()
    assert session._next_due(0.0, 0) is None  # closed
    assert "failed" not in caplog.text


def test_audio_that_is_refused_ends_the_session(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise InputError("The speech contains NaN or infinite samples; push finite ones.")

    async def push(session: Live) -> None:
        await asyncio.wait_for(_push(session, Voice()), 10)

    monkeypatch.setattr(Live, "push", refuse)
    session = Live(make_dubber().prepare([face_at(0, (128, 96))]), 48000)
    asyncio.run(push(session))
    assert session._next_due(0.0, 0) is None  # closed
    assert "NaN" in caplog.text


async def offer() -> str:
    """The offer of a peer that then stays away."""
    peer = aiortc.RTCPeerConnection()
    for kind in ("audio", "video"):
        peer.addTransceiver(kind, direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    sdp = str(peer.localDescription.sdp)
    await peer.close()
    return sdp


def test_no_other_server_is_asked_for_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def call() -> None:
        sdp = await offer()
        monkeypatch.setattr(aiortc.RTCIceGatherer, "getDefaultIceServers", lambda *_: pytest.fail("a STUN server"))
        connection, _ = await answer(session, sdp)
        await connection.close()

    session = Live(make_dubber().prepare([face_at(0, (128, 96))]), 48000)
    asyncio.run(call())


@pytest.mark.parametrize("offer", ["v=0", "v=0\r\nm=audio x\r\n", "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"])
def test_an_invalid_offer_is_rejected_and_closes_the_session(offer: str) -> None:
    session = Live(make_dubber().prepare([face_at(0, (128, 96))]), 48000)
    with pytest.raises(InputError, match="createOffer"):
        asyncio.run(answer(session, offer))
    assert list(session.frames()) == []
