"""Who may enter, who they are, and what every answer carries.

A token admits; a random cookie says who somebody is. What a client makes can be seen only with its cookie.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipsmith.serve.problems import problem_response
from lipsmith.serve.settings import Settings

CLIENT: Final = "lipsmith_client"
SESSION: Final = "lipsmith_session"
_YEAR: Final = 365 * 86_400
_OPEN: Final = ("/", "/healthz", "/login")
_LOCAL: Final = {"localhost", "127.0.0.1", "::1", "[::1]"}
_SAFE: Final = {"GET", "HEAD", "OPTIONS"}

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), geolocation=()",
}


def session_of(token: str, owner: str) -> str:
    """What the page's cookie holds once its user has given the token; of no use to another client."""
    return hmac.new(token.encode(), owner.encode(), hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


@dataclass
class Guesses:
    """Wrong tokens by address: ten a minute, then none is looked at until the minute is over."""

    _wrong: dict[str, tuple[int, float]] = field(default_factory=dict)

    def wait(self, address: str) -> int:
        """Seconds until another token of this address is looked at."""
        count, until = self._wrong.get(address, (0, 0.0))
        return max(1, round(until - time.monotonic())) if count >= 10 and until > time.monotonic() else 0

    def add(self, address: str) -> None:
        """Count a wrong token."""
        now = time.monotonic()
        if len(self._wrong) > 10_000:
            self._wrong = {key: value for key, value in self._wrong.items() if value[1] > now}
        count, until = self._wrong.get(address, (0, 0.0))
        self._wrong[address] = (count + 1, until) if until > now else (1, now + 60)


class Gate:
    """Middleware: `request.state.owner` is the client, `request.state.admitted` whether the token was right."""

    def __init__(self, app: ASGIApp, settings: Settings, guesses: Guesses) -> None:
        self._app, self._settings, self._guesses = app, settings, guesses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what may not enter; pass on what may."""
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        known = request.cookies.get(CLIENT, "")
        owner = known if re.fullmatch(r"[0-9a-f]{32}", known) else secrets.token_hex(16)
        answer = _Dressed(send, None if owner == known or _anonymous(request) else cookie(request, CLIENT, owner))
        refusal = self._refusal(request, owner)
        if refusal is not None:
            await problem_response(*refusal)(scope, receive, answer)
            return
        request.state.owner = owner
        await self._app(scope, receive, answer)

    async def _socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a socket of a client that is known by its cookie; close any other before it is open."""
        request = HTTPConnection(scope)
        owner = request.cookies.get(CLIENT, "")
        if not re.fullmatch(r"[0-9a-f]{32}", owner) or self._refusal(request, owner) is not None:
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
            return
        request.state.owner = owner
        await self._app(scope, receive, send)

    def _refusal(self, request: HTTPConnection, owner: str) -> tuple[int, str, dict[str, str]] | None:
        host = request.headers.get("host", "")
        if self._settings.loopback and urlsplit(f"//{host}").hostname not in _LOCAL | {self._settings.host}:
            return 400, "The host is not one of this machine; use the address that the service printed.", {}
        if request.scope.get("method") not in _SAFE and _is_foreign(request, host):
            return 403, "The request comes from a page of another site; use the service's own.", {}
        if "authorization" in request.headers and (wait := self._guesses.wait(address_of(request))):
            return 429, "Too many wrong tokens; wait a minute.", {"Retry-After": str(wait)}
        request.state.admitted = self._admits(request, owner)
        if not request.state.admitted and request.url.path not in _OPEN and not _anonymous(request):
            return 401, "Send the token as Authorization: Bearer TOKEN, or log in.", {"WWW-Authenticate": "Bearer"}
        return None

    def _admits(self, request: HTTPConnection, owner: str) -> bool:
        if self._settings.token is None:
            return True
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if given:
            right = kind.lower() == "bearer" and same(given.strip(), self._settings.token)
            if not right:
                self._guesses.add(address_of(request))
            return right
        return same(request.cookies.get(SESSION, ""), session_of(self._settings.token, owner))


class _Dressed:
    """Sends an answer with the headers that all have, and a cookie where one is given."""

    def __init__(self, send: Send, new_cookie: str | None) -> None:
        self._send, self._cookie = send, new_cookie

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
            if self._cookie is not None:
                headers.append("Set-Cookie", self._cookie)
        await self._send(message)


def cookie(request: Request, name: str, value: str) -> str:
    """A Set-Cookie line that scripts and other sites cannot use."""
    secure = "; Secure" if request.url.scheme == "https" else ""
    return f"{name}={value}; Path=/; Max-Age={_YEAR}; HttpOnly; SameSite=Strict{secure}"


def _anonymous(request: HTTPConnection) -> bool:
    return request.url.path.startswith("/static/") or request.url.path == "/healthz"


def address_of(request: HTTPConnection) -> str:
    """Where a request comes from, as wrong tokens are counted."""
    return request.client.host if request.client else ""


def _is_foreign(request: HTTPConnection, host: str) -> bool:
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    return origin is not None and urlsplit(origin).netloc != host
