"""The application: page, API, health and metrics around one store and one worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from lipsmith import __version__
from lipsmith.serve import housekeeping, jobs, live, page, problems, uploads
from lipsmith.serve.bounds import Bounds
from lipsmith.serve.gate import Gate, Guesses
from lipsmith.serve.metrics import Counted, Metrics
from lipsmith.serve.service import Service
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Store
from lipsmith.serve.supervisor import Supervisor

_DESCRIPTION = "Send a film and a speech, ask for a dub, watch it, fetch it. Errors are problem documents (RFC 9457)."


def make_app(settings: Settings) -> FastAPI:
    """The application for a data folder that exists and is ours."""
    store = Store(settings.database)
    service = Service(settings, store, Supervisor(settings, store))
    metrics, guesses = Metrics(store, service.supervisor), Guesses()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        housekeeping.tidy(settings, store)
        tasks = [
            asyncio.create_task(service.supervisor.run()),
            asyncio.create_task(housekeeping.keep_tidy(settings, store)),
        ]
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        store.close()

    app = FastAPI(
        title="lipsmith",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service, app.state.guesses, app.state.live = service, guesses, set()
    problems.install(app)
    for router in (uploads.router, jobs.router, live.router, page.router):
        app.include_router(router)
    _add_state(app, service, metrics)
    page.mount(app)
    # The last one added is the first that a request meets.
    app.add_middleware(Bounds)
    app.add_middleware(Gate, settings=settings, guesses=guesses)
    app.add_middleware(Counted, metrics=metrics)
    return app


def _add_state(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["state"])
    def healthz() -> JSONResponse:
        """Whether the service answers and its worker runs: 200, or 503."""
        alive = service.supervisor.pid is not None
        state = {"status": "ok" if alive else "no worker", "version": __version__, "active": service.store.active()}
        return JSONResponse(state, 200 if alive else 503)

    @app.get("/metrics", tags=["state"])
    def figures() -> Response:
        """Jobs, answers and the worker, in Prometheus' text format."""
        return metrics.answer()
