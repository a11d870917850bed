"""Routes of the page, the login and the API reference."""

from __future__ import annotations

import mimetypes
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, FastAPI, Form, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from lipsmith import web
from lipsmith.serve.auth import SESSION, FailedLogins, address_of, cookie, equal_secrets, session_value
from lipsmith.serve.reference import reference
from lipsmith.serve.service import owner_of, service_of

_FILES: Final = Path(web.__file__).parent / "static"
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


def mount(app: FastAPI) -> None:
    """Serve the scripts and styles, which need no token."""
    # Programs on Windows register other types for these, with which a browser refuses them.
    for suffix, kind in _TYPES.items():
        mimetypes.add_type(kind, suffix)
    app.mount("/static", StaticFiles(directory=_FILES), name="static")


@router.head("/")
@router.get("/")
def index(request: Request) -> FileResponse:
    """The page, or the login form for a client that is not authorized."""
    return _page(request, "index.html")


@router.head("/live")
@router.get("/live")
def live(request: Request) -> FileResponse:
    """The live page, or the login form for a client that is not authorized."""
    return _page(request, "live.html")


@router.post("/login")
def login(request: Request, token: Annotated[str, Form(max_length=1024)]) -> Response:
    """Check the token and set a session cookie."""
    settings = service_of(request).settings
    failed_logins: FailedLogins = request.app.state.failed_logins
    if failed_logins.wait(address_of(request)):
        return RedirectResponse("/?wait", 303)  # to the form, because a browser would show a problem document as it is
    if settings.token is None:
        return RedirectResponse("/", 303)
    if not equal_secrets(token, settings.token):
        failed_logins.add(address_of(request))
        return RedirectResponse("/?wrong", 303)
    session = cookie(request, SESSION, session_value(settings, owner_of(request)))
    return RedirectResponse("/", 303, {"Set-Cookie": session})


@router.head("/docs")
@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """The API reference."""
    return HTMLResponse(reference(request.app.openapi()))


def _page(request: Request, name: str) -> FileResponse:
    return FileResponse(_FILES / (name if request.state.admitted else "login.html"))
