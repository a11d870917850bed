"""The page's files, the login, and the API's description for people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, FastAPI, Form, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from lipsmith import web
from lipsmith.serve.gate import SESSION, Guesses, address_of, cookie, same, session_of
from lipsmith.serve.problems import Problem
from lipsmith.serve.reference import reference
from lipsmith.serve.service import owner_of, service_of

_FILES: Final = Path(web.__file__).parent / "static"

router = APIRouter(include_in_schema=False)


def mount(app: FastAPI) -> None:
    """Serve scripts and styles, which are nobody's secret."""
    app.mount("/static", StaticFiles(directory=_FILES), name="static")


@router.get("/")
def index(request: Request) -> FileResponse:
    """The page, or the login where a token is needed and was not given."""
    return FileResponse(_FILES / ("index.html" if request.state.admitted else "login.html"))


@router.get("/live")
def live() -> FileResponse:
    """The page of live sessions."""
    return FileResponse(_FILES / "live.html")


@router.post("/login")
def login(request: Request, token: Annotated[str, Form(max_length=1024)]) -> Response:
    """Give the token once; the page's cookie then stands for it."""
    expected, guesses = service_of(request).settings.token, guesses_of(request)
    if wait := guesses.wait(address_of(request)):
        raise Problem(429, "Too many wrong tokens; wait a minute.", Retry_After=str(wait))
    if expected is None:
        return RedirectResponse("/", 303)
    if not same(token, expected):
        guesses.add(address_of(request))
        return RedirectResponse("/?wrong", 303)
    session = cookie(request, SESSION, session_of(expected, owner_of(request)))
    return RedirectResponse("/", 303, {"Set-Cookie": session})


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The API, route by route."""
    return HTMLResponse(reference(request.app.openapi()))


def guesses_of(request: Request) -> Guesses:
    """Wrong tokens so far."""
    guesses: Guesses = request.app.state.guesses
    return guesses
