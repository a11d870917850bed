"""What a connection may cost: bodies have a size, and whoever sends one has to go on sending."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lipsmith.serve.problems import Problem

UPLOADS: Final = "/v1/uploads"
_LARGEST: Final = 64 * 1024
_SILENCE: Final = 15.0
"""Seconds."""


class Bounds:
    """Middleware: a body other than an upload has at most 64 KiB, and no pause in one is longer than 15 s.

    `request.state.body_ended` says whether there is more to come.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on with a `receive` that raises `Problem`."""
        if scope["type"] == "http":
            state = scope.setdefault("state", {})
            state["body_ended"] = False
            receive = _Bounded(receive, None if scope["path"] == UPLOADS else _LARGEST, state)
        await self._app(scope, receive, send)


class _Bounded:
    def __init__(self, receive: Receive, largest: int | None, state: dict[str, Any]) -> None:
        self._receive, self._left, self._state = receive, largest, state

    async def __call__(self) -> Message:
        if self._state["body_ended"]:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), _SILENCE)
        except TimeoutError:
            raise Problem(408, "The body did not come; send the request again.", Connection="close") from None
        self._state["body_ended"] = not message.get("more_body")
        if self._left is not None:
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                raise Problem(413, "The body is longer than 64 KiB; only uploads may be.", Connection="close")
        return message


class Protocol(H11Protocol):
    """Closes a connection whose next request does not come, or does not end its headers, within 15 s."""

    _awaited: object = None
    """The request before the one that is waited for."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as asyncio's
        """Start the clock."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """Start the clock for the next request."""
        super().on_response_complete()
        self._wait()

    def handle_websocket_upgrade(self, event: Any) -> None:  # noqa: ANN401 - h11's
        """A socket may be silent."""
        self._awaited = self
        super().handle_websocket_upgrade(event)

    def _wait(self) -> None:
        self._awaited = self.cycle
        self.loop.call_later(_SILENCE, self._look, self.cycle)

    def _look(self, before: object) -> None:
        if self.cycle is before and self._awaited is before and not self.transport.is_closing():
            self.transport.close()
