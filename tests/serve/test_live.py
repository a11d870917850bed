"""Live sessions of the service: PCM in, fragmented MP4 or WebRTC out."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import av
import httpx
import numpy as np
import pytest

from service import RunningService, upload_file
from synthetic import make_film, speech

sync_client = pytest.importorskip("websockets.sync.client", reason="live sessions need the serve extra")
websockets = pytest.importorskip("websockets.exceptions")


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_film(tmp_path_factory.mktemp("live") / "film.mp4", 0.4, 12.5, (160, 160))


@contextmanager
def connect(
    service: RunningService, client: httpx.Client, upload: str, query: str = "", **headers: str
) -> Iterator[object]:
    """An open WebSocket of this client."""
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    url = f"{service.url}v1/live/{upload}{query}".replace("http", "ws", 1)
    with sync_client.connect(url, additional_headers={"Cookie": cookies} | headers, max_size=1 << 24) as socket:
        yield socket


def wait_until_ready(socket: object) -> dict[str, object]:
    """The first state after `preparing`."""
    while True:
        state: dict[str, object] = json.loads(socket.recv(timeout=120))  # type: ignore[attr-defined]
        if state["state"] != "preparing":
            return state


def receive_media(socket: object, seconds: float) -> bytes:
    """The media received in the `seconds` after the first message."""
    parts, deadline = [], 0.0
    while not deadline or time.monotonic() < deadline:
        parts.append(socket.recv(timeout=60))  # type: ignore[attr-defined]
        deadline = deadline or time.monotonic() + seconds
    return b"".join(parts)


def test_pushed_speech_comes_back_as_a_film(service: RunningService, client: httpx.Client, face: Path) -> None:
    upload = upload_file(client, face)
    words = (32767 * speech(0.6)).astype("<i2").tobytes()
    with connect(service, client, upload) as socket:
        state = wait_until_ready(socket)
        assert (state["state"], state["width"], state["height"]) == ("ready", 160, 160)
        for begin in range(0, len(words), 640):
            socket.send(words[begin : begin + 640])  # type: ignore[attr-defined]
        socket.send("flush")  # type: ignore[attr-defined]
        media = receive_media(socket, 4)
    with av.open(io.BytesIO(media), "r") as film:
        frames = [frame.time for frame in film.decode(video=0)]
    with av.open(io.BytesIO(media), "r") as film:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    assert len(frames) > 3
    assert frames == sorted(frames)
    assert np.abs(sound).max() > 0.1
    # The clip is stored, so the next session starts at once.
    assert len(list((service.data / "clips").iterdir())) == 1
    with connect(service, client, upload) as socket:
        assert wait_until_ready(socket)["state"] == "ready"


def test_a_film_without_a_face_fails(service: RunningService, client: httpx.Client, tmp_path: Path) -> None:
    from lipsmith.media import VideoWriter

    with VideoWriter(tmp_path / "gray.mp4", 64, 64, 25) as film:
        film.write(np.full((64, 64, 3), 128, np.uint8))
    with connect(service, client, upload_file(client, tmp_path / "gray.mp4")) as socket:
        state = wait_until_ready(socket)
        assert state["state"] == "failed"
        assert "no face" in str(state["problem"]).lower()
        assert str(service.data) not in str(state["problem"])


def close_code(socket: object) -> int:
    """The close code of the server; earlier messages are ignored."""
    with pytest.raises(websockets.ConnectionClosed) as closed:
        wait_until_closed(socket)
    return int(closed.value.rcvd.code)


def wait_until_closed(socket: object) -> NoReturn:
    """Receive messages until `websockets.ConnectionClosed` is raised."""
    while True:
        socket.recv(timeout=60)  # type: ignore[attr-defined]


def test_uploads_of_other_clients_are_not_found(service: RunningService, client: httpx.Client, face: Path) -> None:
    upload = upload_file(client, face)
    with service.client() as other:
        other.get("/")
        with connect(service, other, upload) as socket:
            assert close_code(socket) == 4404


def test_a_message_of_a_megabyte_of_noise_is_taken(service: RunningService, client: httpx.Client, face: Path) -> None:
    with connect(service, client, upload_file(client, face)) as socket:
        socket.send(np.random.default_rng(0).bytes(1 << 20))  # type: ignore[attr-defined]
        assert wait_until_ready(socket)["state"] == "ready"
        assert receive_media(socket, 0.5)
        assert socket.protocol.extensions == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("message", ["sing", b"odd"])
def test_an_invalid_message_closes_the_session(
    service: RunningService, client: httpx.Client, face: Path, message: str | bytes
) -> None:
    with connect(service, client, upload_file(client, face)) as socket:
        socket.send(message)  # type: ignore[attr-defined]
        assert close_code(socket) == 4400


def test_a_message_of_two_megabytes_closes_the_session(
    service: RunningService, client: httpx.Client, face: Path
) -> None:
    with connect(service, client, upload_file(client, face)) as socket:
        # While the client is still sending, the system may cut it off before it reads why.
        with suppress(websockets.ConnectionClosed):
            socket.send(b"\0" * (1 << 21))  # type: ignore[attr-defined]
        with pytest.raises(websockets.ConnectionClosed) as closed:
            wait_until_closed(socket)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        ({"Origin": "https://elsewhere.example"}, "v1/live/{}"),
        ({"Sec-Fetch-Site": "cross-site"}, "v1/live/{}"),
        ({"Host": "elsewhere.example"}, "v1/live/{}"),
        ({}, "v1/live/..%2f..%2fetc"),
        ({}, "v1/other"),
    ],
)
def test_unauthorized_connections_are_rejected(
    service: RunningService, client: httpx.Client, face: Path, headers: dict[str, str], path: str
) -> None:
    upload = upload_file(client, face)
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    url = f"{service.url}{path.format(upload)}".replace("http", "ws", 1)
    with pytest.raises((websockets.InvalidStatus, websockets.InvalidMessage)):
        sync_client.connect(url, additional_headers={"Cookie": cookies} | headers)
    with pytest.raises(websockets.InvalidStatus):
        sync_client.connect(f"{service.url}v1/live/{upload}".replace("http", "ws", 1))


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("rate=5", "rate must be greater than or equal to 4000."),
        ("strength=loud", "strength must be a valid number."),
        ("transport=pigeon", "transport must be 'mp4' or 'webrtc'."),
        ("face=nose", "face must be largest, left, right, all, or face numbers such as 2 or 1,4."),
    ],
)
def test_invalid_parameters_close_the_session_and_say_why(
    service: RunningService, client: httpx.Client, face: Path, query: str, reason: str
) -> None:
    upload = upload_file(client, face)
    with (
        pytest.raises(websockets.ConnectionClosed) as closed,
        connect(service, client, upload, f"?{query}") as socket,
    ):
        socket.recv(timeout=60)  # type: ignore[attr-defined]
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4400, reason)


def test_a_webrtc_peer_receives_video_and_audio(service: RunningService, client: httpx.Client, face: Path) -> None:
    aiortc = pytest.importorskip("aiortc", reason="WebRTC needs the live extra")

    async def call(socket: object) -> tuple[int, int]:
        caller: Any = aiortc.RTCPeerConnection()
        tracks: dict[str, Any] = {}
        caller.addTransceiver("audio", direction="sendrecv")
        caller.addTransceiver("video", direction="recvonly")
        caller.on("track", lambda track: tracks.__setitem__(track.kind, track))
        await caller.setLocalDescription(await caller.createOffer())
        socket.send(caller.localDescription.sdp)  # type: ignore[attr-defined]
        answer = wait_until_ready(socket)
        assert answer["state"] == "answer"
        await caller.setRemoteDescription(aiortc.RTCSessionDescription(answer["sdp"], "answer"))
        picture = await asyncio.wait_for(tracks["video"].recv(), 60)
        assert (await asyncio.wait_for(tracks["audio"].recv(), 60)).samples
        await caller.close()
        return picture.width, picture.height

    with connect(service, client, upload_file(client, face), query="?rate=48000&transport=webrtc") as socket:
        assert wait_until_ready(socket)["state"] == "ready"
        assert asyncio.run(call(socket)) == (160, 160)
