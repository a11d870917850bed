"""Errors are problem documents with a sentence and its remedy."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from lipsmith.serve import problems
from service import assert_problem


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("PUT", "/films", 405)])
def test_an_unknown_address_has_a_sentence(method: str, path: str, status: int) -> None:
    app = FastAPI()
    app.get("/films")(lambda: None)
    problems.install(app)

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.request(method, path)

    assert_problem(asyncio.run(ask()), status, "this address", "see /docs")
