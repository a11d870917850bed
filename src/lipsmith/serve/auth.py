"""Authentication: an access token admits a client, a random cookie identifies it. Also the headers of all responses.

Uploads and jobs are visible only to the client whose cookie created them.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipsmith.files import write_whole
from lipsmith.serve.problems import problem_response
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import new_id

CLIENT: Final = "lipsmith_client"
SESSION: Final = "lipsmith_session"
_YEAR: Final = 365 * 86_400
_LOGIN_PATHS: Final = ("/", "/live", "/login")
_LOCAL_HOSTS: Final = {"localhost", "127.0.0.1", "::1", "[::1]"}
_SAFE_METHODS: Final = {"GET", "HEAD", "OPTIONS"}
_OWNER: Final = re.compile(r"[0-9a-f]{32}")

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


def session_value(settings: Settings, owner: str) -> str:
    """Value of the session cookie after a login; it is bound to one client, and tells nothing about the token."""
    assert settings.token is not None
    key = _secret(settings.data / "secret") + settings.token.encode()
    return hmac.new(key, owner.encode(), hashlib.sha256).hexdigest()


@lru_cache
def _secret(path: Path) -> bytes:
    """The secret of a service, created once. Without it, cookies made of guessed tokens would
    try these without a limit."""
    if not path.is_file():
        with write_whole(path) as beside:
            beside.chmod(0o600)
            beside.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


def equal_secrets(given: str, expected: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(given.encode(), expected.encode())


@dataclass
class FailedLogins:
    """Wrong tokens by IP address. After ten in a minute, no token is checked until the minute is over."""

    _wrong: dict[str, tuple[int, float]] = field(default_factory=dict)

    def wait(self, address: str) -> int:
        """Seconds until another token from this address is checked; 0 for now."""
        count, until = self._wrong.get(address, (0, 0.0))
        return max(1, round(until - time.monotonic())) if count >= 10 and until > time.monotonic() else 0

    def add(self, address: str) -> None:
        """Count a wrong token."""
        now = time.monotonic()
        if len(self._wrong) > 10_000:
            self._wrong = {key: value for key, value in self._wrong.items() if value[1] > now}
        count, until = self._wrong.get(address, (0, 0.0))
        self._wrong[address] = (count + 1, until) if until > now else (1, now + 60)


class AuthMiddleware:
    """Middleware that sets `request.state.owner` (id of the client) and `request.state.admitted` (authorized)."""

    def __init__(self, app: ASGIApp, settings: Settings, failed_logins: FailedLogins) -> None:
        self._app, self._settings, self._failed_logins = app, settings, failed_logins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application for an authorized request; reject any other."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cookies = _take_cookies(scope)
        request, sent = Request(scope), cookies.get(CLIENT, "")
        owner = sent if _OWNER.fullmatch(sent) else new_id()
        respond = _WithHeaders(send, None if owner == sent or _is_public(request) else cookie(request, CLIENT, owner))
        error = self._find_error(request, owner, cookies.get(SESSION, ""))
        if error is not None:
            await problem_response(*error)(scope, receive, respond)
            return
        request.state.owner = owner
        await self._app(scope, receive, respond)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Accept a WebSocket only from a client with a cookie that is authorized."""
        cookies = _take_cookies(scope)
        request, owner, session = HTTPConnection(scope), cookies.get(CLIENT, ""), cookies.get(SESSION, "")
        if not _OWNER.fullmatch(owner) or self._find_error(request, owner, session) is not None:
            await send({"type": "websocket.close", "code": 1008, "reason": "refused"})
            return
        request.state.owner = owner
        await self._app(scope, receive, send)

    def _find_error(self, request: HTTPConnection, owner: str, session: str) -> tuple[int, str, dict[str, str]] | None:
        host = request.headers.get("host", "")
        if not self._settings.public and _name_in(host) not in _LOCAL_HOSTS | {self._settings.host}:
            return 400, "The Host header does not name this machine; use the address that the service printed.", {}
        if request.scope.get("method") not in _SAFE_METHODS and _is_cross_site(request, host):
            return 403, "The request comes from a page of another site; use the page of this service.", {}
        if _token_in(request) and (wait := self._failed_logins.wait(address_of(request))):
            return 429, "Too many wrong tokens; wait a minute.", {"Retry-After": str(wait)}
        request.state.admitted = self._is_authorized(request, owner, session)
        if not request.state.admitted and request.scope["path"] not in _LOGIN_PATHS and not _is_public(request):
            what = "The token is wrong; send that of the service" if _token_in(request) else "Send the token"
            return 401, f"{what} as Authorization: Bearer TOKEN, or log in.", {"WWW-Authenticate": "Bearer"}
        return None

    def _is_authorized(self, request: HTTPConnection, owner: str, session: str) -> bool:
        if self._settings.token is None:
            return True
        if given := _token_in(request):
            valid = equal_secrets(given, self._settings.token)
            if not valid:
                self._failed_logins.add(address_of(request))
            return valid
        return equal_secrets(session, session_value(self._settings, owner))


class _WithHeaders:
    """A `send` that adds the common headers to a response, and a cookie if one is given."""

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
    """Set-Cookie value of a cookie that scripts and other sites cannot read."""
    secure = "; Secure" if request.url.scheme == "https" else ""
    return f"{name}={value}; Path=/; Max-Age={_YEAR}; HttpOnly; SameSite=Strict{secure}"


def _take_cookies(scope: Scope) -> dict[str, str]:
    """The cookies of this service, by name; removes all from the request.

    Starlette and FastAPI would unquote all of them, which takes Python before 3.11.10 quadratic time: 15 s for a
    single header.
    """
    headers = scope["headers"]
    sent = b";".join(value for name, value in headers if name == b"cookie").decode("latin-1")
    scope["headers"] = [(name, value) for name, value in headers if name != b"cookie"]
    pairs = (part.strip().partition("=") for part in sent.split(";"))
    return {name: value for name, _, value in pairs if name in (CLIENT, SESSION)}


def _token_in(request: HTTPConnection) -> str | None:
    """The token that a request sends; None for other credentials, such as the password of a proxy."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip() if kind.lower() == "bearer" else None


def _is_public(request: HTTPConnection) -> bool:
    path: str = request.scope["path"]  # that of the URL depends on the header Host in older releases of Starlette
    return path.startswith("/static/") or path == "/healthz"


def _name_in(host: str) -> str | None:
    """The name or address in a Host header; None if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def address_of(request: HTTPConnection) -> str:
    """IP address of the client; with IPv6 that of its network, in which it has 2^64."""
    host = request.client.host if request.client else ""
    with suppress(ValueError):
        address = ipaddress.IPv6Address(host)
        return str(address.ipv4_mapped or ipaddress.IPv6Network((int(address), 64), strict=False))
    return host


def _is_cross_site(request: HTTPConnection, host: str) -> bool:
    origin = request.headers.get("origin")
    if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
        return True
    return origin is not None and origin.partition("://")[2] != host
