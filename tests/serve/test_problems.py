"""Errors are problem documents with a sentence and its remedy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest
from fastapi import FastAPI, WebSocket
from sqlalchemy.exc import OperationalError
from starlette.types import Message

from lipsmith.serve import problems
from service import assert_problem

if TYPE_CHECKING:
    from fastapi.testclient import TestClient


def ask(app: FastAPI, method: str, path: str) -> httpx.Response:
    async def request() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.request(method, path)

    problems.install(app)
    return asyncio.run(request())


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/films", 405)])
def test_an_unknown_address_has_a_sentence(method: str, path: str, status: int) -> None:
    app = FastAPI()
    app.get("/films")(lambda: None)
    assert_problem(ask(app, method, path), status, "this address", "see /docs")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/healthz", "GET, HEAD"),
        ("OPTIONS", "/", "GET, HEAD"),
        ("GET", "/login", "POST"),
        ("PUT", "/v1/jobs", "GET, HEAD, POST"),
        ("PATCH", "/v1/jobs/0123456789abcdef0123456789abcdef", "GET, HEAD, DELETE"),
        ("POST", "/static/page.css", "GET, HEAD"),
        ("TRACE", "/v1/uploads", "POST"),
    ],
)
def test_a_method_that_does_not_exist_is_told_the_others(
    routes: TestClient, method: str, path: str, allowed: str
) -> None:
    response = routes.request(method, path)
    assert_problem(response, 405, "method does not exist")
    assert response.headers["Allow"] == allowed


def test_the_description_of_the_api_has_problem_documents_alone(routes: TestClient) -> None:
    described = routes.get("/openapi.json").json()
    assert "HTTPValidationError" not in described["components"]["schemas"]
    limited = described["paths"]["/v1/jobs"]["get"]["responses"]["422"]
    assert list(limited["content"]) == ["application/problem+json"]


def test_a_database_that_cannot_be_written_is_named() -> None:
    app = FastAPI()

    @app.get("/full")
    def full() -> None:
        raise OperationalError("INSERT", {}, OSError("database or disk is full"))

    assert_problem(ask(app, "GET", "/full"), 503, "full disk", "try again later")


def test_a_websocket_is_told_that_the_database_fails() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    socket = WebSocket({"type": "websocket", "path": "/v1/live"}, receive, send)
    assert asyncio.run(problems._handle_database(socket, OperationalError("SELECT", {}, OSError("I/O")))) is None
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], "full disk" in sent[1]["reason"]) == (1011, True)
