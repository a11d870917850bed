from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from lipsmith.serve import connection
from service import assert_problem

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


@pytest.mark.parametrize(("size", "status"), [(65_536, 404), (65_537, 413)])
def test_a_body_that_is_no_upload_has_at_most_64_kib(routes: TestClient, size: int, status: int) -> None:
    body = json.dumps({"video": "0" * 32, "speech": "1" * 32}).encode()
    headers = {"Content-Type": "application/json"}
    assert_problem(routes.post("/v1/jobs", content=body.ljust(size), headers=headers), status)


def test_a_websocket_is_not_closed_when_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    client = pytest.importorskip("websockets.asyncio.client", reason="live sessions need the serve extra")

    async def answer_late(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.sleep(0.6)
        await send({"type": "websocket.send", "text": "late"})

    async def answer() -> object:
        async with _serving(answer_late) as (host, port), client.connect(f"ws://{host}:{port}") as socket:
            return await socket.recv()

    monkeypatch.setattr(connection, "_TIMEOUT", 0.2)
    assert asyncio.run(answer()) == "late"


@pytest.mark.parametrize("before", [0, 1])
def test_a_slow_answer_arrives_also_if_its_request_was_sent_before_the_last_was_answered(
    monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await asyncio.sleep(0.6)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def answers() -> bytes:
        async with _serving(answer) as (host, port):
            reader, writer = await asyncio.open_connection(host, port)
            for path in [*before * ["/fast"], "/slow"]:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return await reader.read()  # until the idle connection is closed

    monkeypatch.setattr(connection, "_TIMEOUT", 0.2)
    assert asyncio.run(answers()).count(b"200 OK") == before + 1


@asynccontextmanager
async def _serving(app: ASGIApp) -> AsyncIterator[tuple[str, int]]:
    config = uvicorn.Config(app, port=0, http=connection.TimeoutProtocol, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    await running
