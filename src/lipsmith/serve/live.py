"""The WebSocket route of live sessions: PCM in, fragmented MP4 or WebRTC out; each session is a process."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, WebSocket, WebSocketDisconnect

from lipsmith.dubbing.options import STRONGEST
from lipsmith.live.sound import MIN_RATE
from lipsmith.serve.problems import FAILED, INVALID
from lipsmith.serve.service import Service, owner_of, service_of
from lipsmith.serve.store import Upload
from lipsmith.serve.views import Faces, Id

MEDIA, STATE, SOUND, COMMAND, OFFER = b"m", b"s", b"p", b"c", b"o"
"""Types of messages between the server and the process of a session."""
HEADER: Final = struct.Struct(">cI")
"""Header of a message: its type and the number of bytes that follow."""
COMMANDS: Final = ("flush", "interrupt")
MAX_SESSIONS: Final = 2
"""Concurrent sessions of all clients; each uses about 1.5 cores."""
_MAX_MESSAGE: Final = 1 << 20
"""Most bytes of one message from a client."""
_MAX_OFFER: Final = 1 << 16
_CLOSE_NOT_FOUND, _CLOSE_BUSY = 4404, 4429
_EXIT_TIMEOUT: Final = 3.0

Transport = Literal["mp4", "webrtc"]

router = APIRouter()


@router.websocket("/v1/live/{upload}")
async def live(
    socket: WebSocket,
    upload: Id,
    rate: Annotated[int, Query(ge=MIN_RATE, le=192_000)] = 16_000,
    face: Faces = "largest",
    strength: Annotated[float, Query(ge=0, le=STRONGEST)] = 1.0,
    transport: Transport = "mp4",
) -> None:
    """Dub a film or picture live with the speech that the client sends.

    In: 16-bit mono PCM at `rate`, little endian, in binary messages of any even size; `flush` and `interrupt` as text
    messages. Out: the state as JSON in text messages, then fragmented MP4 in binary messages. With `webrtc`, the client
    sends its offer (SDP) as a text message and receives the state `answer` with the `sdp`; audio and video then use
    WebRTC until this socket or the connection closes. Close codes: 4404 unknown upload, 4429 too many sessions, 4400
    invalid parameter or message.
    """
    service = service_of(socket)
    found = await asyncio.to_thread(service.store.upload, upload, owner_of(socket))
    slots: asyncio.Semaphore = socket.app.state.live
    await socket.accept()
    if found is None:
        await socket.close(_CLOSE_NOT_FOUND, "You have no such upload; send the file again.")
        return
    try:
        async with asyncio.timeout(_EXIT_TIMEOUT + 1):  # the process of a session that has ended may still exit
            await slots.acquire()
    except TimeoutError:
        with suppress(WebSocketDisconnect):  # a client may leave while it waits
            await socket.close(_CLOSE_BUSY, "Too many live sessions are running; try again later.")
        return
    arguments = {
        "settings": service.settings.for_process(),
        "upload": upload,
        "sha256": found.sha256,
        "rate": rate,
        "face": face,
        "strength": strength,
        "transport": transport,
    }
    try:
        await _run(socket, service, found, json.dumps(arguments))
    finally:
        slots.release()


def packed(kind: bytes, content: bytes) -> bytes:
    """A message between the server and the process of a session."""
    return HEADER.pack(kind, len(content)) + content


async def _run(socket: WebSocket, service: Service, upload: Upload, arguments: str) -> None:
    """Start the process of a session, and relay messages until one side ends."""
    command = (sys.executable, "-m", "lipsmith.serve.live_session", arguments)
    with service.live_use(upload), service.settings.temporary_folder() as folder:
        environment = service.settings.environment() | {"TMPDIR": str(folder)}
        process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=environment)
        keeping = asyncio.create_task(_keep(service, upload))
        try:
            await _relay(socket, process)
        finally:
            keeping.cancel()
            await _stop(process)


async def _keep(service: Service, upload: Upload) -> None:
    """Keep the footage of a session from expiring."""
    while True:
        await asyncio.to_thread(service.refresh, upload)
        await asyncio.sleep(service.settings.expiry_interval)


async def _relay(socket: WebSocket, process: Process) -> None:
    """Relay messages in both directions until one side ends."""
    tasks = [
        asyncio.create_task(_forward_to_session(socket, process)),
        asyncio.create_task(_forward_to_client(socket, process)),
    ]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        with suppress(WebSocketDisconnect, ConnectionError, RuntimeError):
            task.result()


async def _forward_to_session(socket: WebSocket, process: Process) -> None:
    assert process.stdin is not None
    while True:
        message: dict[str, Any] = dict(await socket.receive())
        if message["type"] == "websocket.disconnect":
            return
        sound, command = message.get("bytes"), message.get("text")
        if sound is not None and len(sound) % 2 == 0 and len(sound) <= _MAX_MESSAGE:
            process.stdin.write(packed(SOUND, sound))
        elif command in COMMANDS:
            process.stdin.write(packed(COMMAND, command.encode()))
        elif command is not None and command.startswith("v=0") and len(command) <= _MAX_OFFER:
            process.stdin.write(packed(OFFER, command.encode()))
        else:
            await socket.close(INVALID, "Send 16-bit PCM in binary messages, and flush, interrupt or an offer in text.")
            return
        await process.stdin.drain()


async def _forward_to_client(socket: WebSocket, process: Process) -> None:
    assert process.stdout is not None
    failed = False
    try:
        while True:
            kind, size = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
            content = await process.stdout.readexactly(size)
            if kind == MEDIA:
                await socket.send_bytes(content)
            else:
                failed = json.loads(content)["state"] == "failed"
                await socket.send_text(content.decode())
    except asyncio.IncompleteReadError:
        await (socket.close() if failed else socket.close(FAILED, "The session has ended."))


async def _stop(process: Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _EXIT_TIMEOUT)
    except TimeoutError:
        process.kill()
        await process.wait()
