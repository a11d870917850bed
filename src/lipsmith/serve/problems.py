"""Errors as problem documents (RFC 9457)."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException
from starlette.routing import Match

from lipsmith.serve.views import IN_WORDS

_LOG = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_MAX_LENGTH: Final = 300
_MAX_REASON: Final = 123
"""Bytes of the reason for which a WebSocket is closed (RFC 6455)."""
FAILED: Final = 1011
"""Close code of a WebSocket whose service fails."""
INVALID: Final = 4400
"""Close code of a WebSocket whose client sent something invalid."""

_ROUTING: Final = {
    400: "The body cannot be read; see /docs for what to send.",  # such as JSON that is not UTF-8, or nested too deeply
    404: "There is nothing at this address; see /docs for those of the service.",
    405: "The method does not exist at this address; see /docs for those that it takes.",
}
"""What a client reads if its request reaches no route, by the status."""
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_SENTENCES: Final = {
    "missing": "is missing",
    "extra_forbidden": "is unknown",
    "model_attributes_type": "must be an object with video and speech",
}
"""What pydantic says without a verb or in its own terms, by the type of its error."""
_SHOULD: Final = re.compile(r"^\w+ should (?=be|have)")
_REASON: Final = re.compile(r", unable to .*")


class Problem(HTTPException):
    """An HTTP error; `detail` is one sentence with the remedy."""

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        """`headers`: extra headers, with underscores for hyphens."""
        hyphenated = {name.replace("_", "-"): value for name, value in headers.items()}
        super().__init__(status, detail, hyphenated or None)


class ProblemDocument(BaseModel):
    """The body of an error."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


def problem_response(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The response for an error."""
    document = ProblemDocument(title=HTTPStatus(status).phrase, status=status, detail=detail)
    return JSONResponse(document.model_dump(), status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error response of the application a problem document."""
    app.add_exception_handler(HTTPException, _handle_http)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_exception_handler(WebSocketRequestValidationError, _handle_socket_validation)
    app.add_exception_handler(OperationalError, _handle_database)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, _handle_unexpected)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI entries for the errors of a route."""
    content = {MEDIA_TYPE: {"schema": ProblemDocument.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


async def _handle_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    own = isinstance(error, Problem)
    detail = error.detail if own else _ROUTING.get(error.status_code, error.detail)
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_at(request))
    return problem_response(error.status_code, detail, headers)


def _methods_at(request: Request) -> list[str]:
    """All methods that the path takes (RFC 9110, 10.2.1); Starlette lists those of the first of its routes alone.

    No route knows the files of the page. Starlette serves them, and older versions of it do not list their methods.
    """
    routes, scope = request.app.routes, request.scope
    taken = [m for m in METHODS if any(route.matches({**scope, "method": m})[0] is Match.FULL for route in routes)]
    return taken or ["GET", "HEAD"]


async def _handle_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return problem_response(400, "The body is not valid JSON; send an object with video and speech.")
    if first["loc"] == ("body",) and "json" not in request.headers.get("content-type", ""):
        return problem_response(415, "The body is not declared as JSON; send it with Content-Type: application/json.")
    return problem_response(422, f"{_complaint(first)}; see /docs.")


async def _handle_socket_validation(socket: WebSocket, error: Exception) -> None:
    assert isinstance(error, WebSocketRequestValidationError)
    await socket.accept()  # a refused socket cannot say why
    await socket.close(INVALID, f"{_complaint(error.errors()[0])}."[:_MAX_REASON])


def _complaint(error: Mapping[str, Any]) -> str:
    """What is wrong with which part of a request, by the first of pydantic's errors."""
    where, *names = (str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "value_error":
        sentence = str(error["ctx"]["error"])
        return sentence[0].upper() + sentence[1:]
    name = ".".join(names)[:_MAX_LENGTH] or f"The {where}"
    if error["type"] == "string_pattern_mismatch":
        return f"{name} must be {IN_WORDS[error['ctx']['pattern']]}"
    said = _SENTENCES.get(error["type"]) or _SHOULD.sub("must ", _REASON.sub("", error["msg"]))
    return f"{name} {said}"[:_MAX_LENGTH]


async def _handle_database(request: Request | WebSocket, error: Exception) -> JSONResponse | None:
    _LOG.error("%s failed", request.scope["path"], exc_info=error)
    sentence = "The database of the service fails, as on a full disk; try again later."
    if isinstance(request, WebSocket):
        await request.accept()
        await request.close(FAILED, sentence)
        return None
    return problem_response(503, sentence)


async def _handle_unexpected(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(500, "Internal error; see the log of the service.")
