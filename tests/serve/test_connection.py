from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

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
        http = connection.TimeoutProtocol
        server = uvicorn.Server(uvicorn.Config(answer_late, port=0, http=http, lifespan="off", log_config=None))
        running = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        async with client.connect(f"ws://{host}:{port}") as socket:
            answered = await socket.recv()
        server.should_exit = True
        await running
        return answered

    monkeypatch.setattr(connection, "_TIMEOUT", 0.2)
    assert asyncio.run(answer()) == "late"
