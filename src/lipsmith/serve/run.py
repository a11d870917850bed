"""Runs the service, and summarizes who can access it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import DatabaseError

from lipsmith.errors import LipsmithError, UsageError
from lipsmith.inference.model_folder import find_model, require_device
from lipsmith.serve.app import make_app
from lipsmith.serve.connection import TimeoutProtocol
from lipsmith.serve.housekeeping import data_folder
from lipsmith.serve.live import MAX_SESSIONS
from lipsmith.serve.settings import Settings

_CONNECTIONS: Final = 500
_CUT_OFF: Final = "ASGI callable returned without completing response."
"""uvicorn's words; that the response is not completed tells those who watch a job that it goes on."""


def serve(settings: Settings, started: Callable[[str], None]) -> None:
    """Serve until Ctrl-C or SIGTERM; calls `started` with the URL once the port is open.

    Raises `UsageError` if the data folder or the port is in use, the database cannot be used or the device does not
    exist, `WeightsError` if the model is missing or does not dub, `LipsmithError` if the service does not start.
    """
    # Workers would fail one after the other.
    _ = find_model(settings.model).settings
    require_device(settings.device)
    with data_folder(settings), _listening(settings) as listener:
        config = uvicorn.Config(
            _application(settings),
            http=TimeoutProtocol,
            ws="websockets-sansio",
            ws_max_size=1 << 20,
            ws_per_message_deflate=False,  # films do not shrink, and noise grows beyond that size
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=settings.proxy is not None,
            forwarded_allow_ips=settings.proxy,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=3,
        )
        host, port = listener.getsockname()[:2]
        server = uvicorn.Server(config)
        logging.getLogger("uvicorn.error").addFilter(partial(_is_no_cancellation, server))
        started(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
        # Newer releases exit with the code of another error if the start fails, and raise the signal that ended them.
        with suppress(SystemExit, KeyboardInterrupt):
            server.run([listener])
        if not server.started:
            raise LipsmithError("The service did not start; its log says why.")


def _application(settings: Settings) -> FastAPI:
    try:
        return make_app(settings)
    except DatabaseError as error:  # damaged, or of another version
        raise UsageError(
            f"{settings.database} cannot be used ({error.orig}); choose another --data, or remove {settings.data}."
        ) from error


def access_summary(settings: Settings) -> list[tuple[str, str]]:
    """Who can access what, and which limits apply, as (what, how) pairs."""
    checked = "Origin and Sec-Fetch-Site" if settings.public else "Origin, Sec-Fetch-Site and Host"
    admitted = "anyone with the token" if settings.token else "anyone on this machine"
    return [
        ("address", f"{settings.host} port {settings.port}"),
        ("reached from", _reach(settings)),
        ("proxy", f"{settings.proxy} says who a client is" if settings.proxy else "none is believed"),
        ("without a token", "/healthz, /static, and the login at /, /live, /login" if settings.token else "everything"),
        ("page, /v1, /docs, /metrics", admitted),
        ("an upload or a job", "only the client that created it, identified by a cookie"),
        ("pages of other sites", f"rejected by {checked}; no CORS"),
        ("requests to other servers", "none; WebRTC sends packets to the addresses in the offer of its client"),
        ("written to", f"{settings.data}, readable by this user only"),
        ("upload", f"{settings.max_upload / 1e6:g} MB and {settings.max_pixels / 1e6:.1f} million pixels at most"),
        ("film or speech", f"{settings.max_minutes:g} minutes at most"),
        ("client", f"{settings.jobs_per_client} active jobs and {settings.uploads_per_client} uploads at most"),
        ("all clients", f"{settings.jobs} active jobs and {_CONNECTIONS} connections at most"),
        ("worker", f"{settings.memory / 2**30:g} GiB of memory; CPU time in proportion to the length of the media"),
        ("live sessions", f"{MAX_SESSIONS} at a time, each a process with the memory limit of the worker"),
        ("retention", f"{settings.keep / 3600:g} hours: uploads after their last use, results after their end"),
    ]


def _is_no_cancellation(server: uvicorn.Server, record: logging.LogRecord) -> bool:
    """Whether a record is not about a request that the end of the service cut off, as that of a film half sent, or of
    the events of a job."""
    canceled = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not canceled and not (server.should_exit and record.getMessage() == _CUT_OFF)


def _reach(settings: Settings) -> str:
    if settings.loopback:
        return "this machine, and other machines through the proxy" if settings.public else "this machine only"
    return "other machines; put TLS in front"


def _listening(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"{settings.host} port {settings.port} is not available ({error}); choose another --host or --port."
        ) from error
