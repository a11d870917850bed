"""Starting the service, and telling what is open."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from lipsmith.errors import UsageError
from lipsmith.inference.model_folder import find_model
from lipsmith.serve.app import make_app
from lipsmith.serve.bounds import Protocol
from lipsmith.serve.housekeeping import data_folder
from lipsmith.serve.live import MOST_SESSIONS
from lipsmith.serve.settings import Settings

_CONNECTIONS = 500


def serve(settings: Settings, started: Callable[[str], None]) -> None:
    """Serve until interrupted; `started` gets the address once it can be opened.

    Raises `UsageError` where the folder or the port is another's, `WeightsError` where the model is missing.
    """
    find_model(settings.model)
    with data_folder(settings), _listening(settings) as listener:
        config = uvicorn.Config(
            make_app(settings),
            http=Protocol,
            ws="websockets-sansio",
            ws_max_size=1 << 20,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=3,
        )
        host, port = listener.getsockname()[:2]
        started(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
        uvicorn.Server(config).run([listener])


def what_is_open(settings: Settings) -> list[tuple[str, str]]:
    """What can be reached and by whom, what is bounded and how, as (what, how) pairs."""
    admitted = "whoever has the token" if settings.token else "everybody on this machine"
    return [
        ("address", f"{settings.host} port {settings.port}"),
        ("reached from", "this machine only" if settings.loopback else "other machines; put TLS in front"),
        ("without a token", "/healthz, /login, /static, and / which asks for it" if settings.token else "everything"),
        ("page, /v1, /docs, /metrics", admitted),
        ("an upload or job", "the client that made it, by its cookie"),
        ("other sites' pages", "refused: Origin, Sec-Fetch-Site and Host are checked, no CORS"),
        ("requests to other servers", "none"),
        ("written to", f"{settings.data} only, readable by this user only"),
        ("an upload", f"{settings.max_upload / 1e6:g} MB, {settings.max_pixels / 1e6:.1f} million pixels"),
        ("a film or speech", f"{settings.max_minutes:g} minutes"),
        ("a client", f"{settings.jobs_per_client} jobs at a time, {settings.uploads_per_client} uploads"),
        ("everybody", f"{settings.jobs} jobs at a time, {_CONNECTIONS} connections"),
        ("the worker", f"{settings.memory / 2**30:g} GiB, processor time by the length of the footage"),
        ("live sessions", f"{MOST_SESSIONS} at a time, each a process with the worker's memory bound"),
        ("kept for", f"{settings.keep / 3600:g} hours after its last use"),
    ]


def _listening(settings: Settings) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"{settings.host} port {settings.port} cannot be used ({error}); choose another --host or --port."
        ) from error
