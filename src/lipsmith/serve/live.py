"""The route of live sessions: PCM in, fragmented MP4 out, or WebRTC; each session runs in its own process."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect

from lipsmith.dubbing.options import STRONGEST
from lipsmith.live.sound import LEAST_RATE
from lipsmith.serve.service import Service
from lipsmith.serve.views import Id

_LOG = logging.getLogger(__name__)

MEDIA, STATE, SOUND, COMMAND, OFFER = b"m", b"s", b"p", b"c", b"o"
"""Kinds of messages between the server and the process of a session."""
HEADER: Final = struct.Struct(">cI")
"""Of each message: its kind, and how many bytes follow."""
COMMANDS: Final = ("flush", "interrupt")
MOST_SESSIONS: Final = 2
"""Sessions at a time of all clients: each takes a core and a half."""
_LARGEST: Final = 1 << 20
"""Bytes of one message of a client."""
_LONGEST_OFFER: Final = 1 << 16
_NOT_FOUND, _BUSY, _WRONG = 4404, 4429, 4400
_PATIENCE: Final = 3.0

Transport = Literal["mp4", "webrtc"]

router = APIRouter()


@router.websocket("/v1/live/{upload}")
async def live(
    socket: WebSocket,
    upload: Id,
    rate: Annotated[int, Query(ge=LEAST_RATE, le=192_000)] = 16_000,
    face: Annotated[str, Query(max_length=100)] = "largest",
    strength: Annotated[float, Query(ge=0, le=STRONGEST)] = 1.0,
    transport: Transport = "mp4",
) -> None:
    """A film or picture that speaks what it is sent.

    In: 16-bit mono PCM at `rate`, little endian, in binary messages of any even size; `flush` and `interrupt` in text
    messages. Out: text messages with the state as JSON, then fragmented MP4 in binary messages. With `webrtc`, a text
    message with the offer (SDP) is answered by the state `answer` with its `sdp`; sound and media then take that way,
    for as long as this socket is open. Closed with 4404 for an upload that does not exist, 4429 if too many sessions
    run, 4400 for any other message.
    """
    service: Service = socket.app.state.service
    found = await asyncio.to_thread(service.store.upload, upload, socket.state.owner)
    sessions: set[WebSocket] = socket.app.state.live
    await socket.accept()
    if found is None:
        await socket.close(_NOT_FOUND, "There is no such upload of yours; send the file again.")
        return
    if len(sessions) >= MOST_SESSIONS:
        await socket.close(_BUSY, "Too many live sessions run; try again later.")
        return
    words = {
        "settings": service.settings.for_worker(),
        "upload": upload,
        "sha256": found.sha256,
        "rate": rate,
        "face": face,
        "strength": strength,
        "transport": transport,
    }
    process = None
    try:
        with _counted(sessions, socket):
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "lipsmith.serve.live_session", json.dumps(words), stdin=PIPE, stdout=PIPE
            )
            await _bridge(socket, process)
    finally:
        if process is not None:
            await _end(process)


@contextmanager
def _counted(sessions: set[WebSocket], socket: WebSocket) -> Iterator[None]:
    """Count a session from before its process starts, or a burst of clients would pass the bound."""
    sessions.add(socket)
    try:
        yield
    finally:
        sessions.discard(socket)


async def _bridge(socket: WebSocket, process: Process) -> None:
    """Carry messages both ways until either side ends."""
    tasks = [asyncio.create_task(_to_session(socket, process)), asyncio.create_task(_from_session(socket, process))]
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    for task in done:
        with suppress(WebSocketDisconnect, ConnectionError, RuntimeError):
            task.result()


async def _to_session(socket: WebSocket, process: Process) -> None:
    assert process.stdin is not None
    while True:
        message: dict[str, Any] = dict(await socket.receive())
        if message["type"] == "websocket.disconnect":
            return
        sound, command = message.get("bytes"), message.get("text")
        if sound is not None and len(sound) % 2 == 0 and len(sound) <= _LARGEST:
            process.stdin.write(HEADER.pack(SOUND, len(sound)) + sound)
        elif command in COMMANDS:
            process.stdin.write(HEADER.pack(COMMAND, len(command)) + command.encode())
        elif command is not None and command.startswith("v=0") and len(command) <= _LONGEST_OFFER:
            offer = command.encode()
            process.stdin.write(HEADER.pack(OFFER, len(offer)) + offer)
        else:
            await socket.close(_WRONG, "Send 16-bit PCM in binary messages, and flush, interrupt or an offer in text.")
            return
        await process.stdin.drain()


async def _from_session(socket: WebSocket, process: Process) -> None:
    assert process.stdout is not None
    try:
        while True:
            kind, size = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
            content = await process.stdout.readexactly(size)
            if kind == MEDIA:
                await socket.send_bytes(content)
            else:
                await socket.send_text(content.decode())
    except asyncio.IncompleteReadError:
        await socket.close(1011, "The session has ended.")


async def _end(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()
