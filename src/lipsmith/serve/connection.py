"""Limits of a connection: the size of a request body, and timeouts for slow clients."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from lipsmith.serve.problems import Problem

UPLOADS: Final = "/v1/uploads"
_MAX_BODY: Final = 64 * 1024
"""Bytes of a body other than an upload."""
_TIMEOUT: Final = 15.0
"""Seconds without data after which a request is aborted."""


class BodyLimits:
    """Middleware that limits bodies other than uploads to 64 KiB, and pauses within a body to 15 s.

    `request.state.body_begun` tells whether the body was asked for, `body_ended` whether the whole was received.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application with a `receive` that raises `Problem` at the limits."""
        if scope["type"] == "http":
            state = scope.setdefault("state", {})
            state["body_begun"] = state["body_ended"] = False
            receive = _LimitedReceive(receive, None if scope["path"] == UPLOADS else _MAX_BODY, state)
        await self._app(scope, receive, send)


class _LimitedReceive:
    def __init__(self, receive: Receive, limit: int | None, state: dict[str, Any]) -> None:
        self._receive, self._remaining, self._state = receive, limit, state

    async def __call__(self) -> Message:
        if self._state["body_ended"]:
            return await self._receive()
        self._state["body_begun"] = True
        try:
            message = await asyncio.wait_for(self._receive(), _TIMEOUT)
        except TimeoutError:
            raise Problem(408, "The request body timed out; send the request again.", Connection="close") from None
        self._state["body_ended"] = not message.get("more_body")
        if self._remaining is not None:
            self._remaining -= len(message.get("body", b""))
            if self._remaining < 0:
                raise Problem(
                    413, "The request body is larger than 64 KiB; send files to /v1/uploads.", Connection="close"
                )
        return message


class TimeoutProtocol(H11Protocol):
    """Closes a connection that does not send the complete headers of its next request within 15 s."""

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - as asyncio's
        """Start the timer."""
        super().connection_made(transport)
        self._start_timer(None)

    def on_response_complete(self) -> None:
        """Start the timer for the next request, unless that one was sent already and begins at once."""
        ended = self.cycle
        super().on_response_complete()
        self._start_timer(ended)

    def handle_websocket_upgrade(self, event: Any) -> None:  # noqa: ANN401 - h11's
        """A WebSocket has no timeout."""
        self._timer.cancel()
        super().handle_websocket_upgrade(event)

    def _start_timer(self, previous: object) -> None:
        self._timer = self.loop.call_later(_TIMEOUT, self._close_if_idle, previous)

    def _close_if_idle(self, previous: object) -> None:
        if self.cycle is previous and not self.transport.is_closing():
            self.transport.close()
