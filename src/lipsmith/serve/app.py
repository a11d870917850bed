"""The FastAPI application: page, API, health and metrics, with one store and one worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse

from lipsmith import __version__
from lipsmith.serve import housekeeping, jobs, live, page, problems, uploads
from lipsmith.serve.auth import AuthMiddleware, FailedLogins
from lipsmith.serve.connection import BodyLimits
from lipsmith.serve.metrics import Metrics, RequestCounter
from lipsmith.serve.service import Service
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import Store
from lipsmith.serve.supervisor import Supervisor

_DESCRIPTION = (
    "Upload a film and a speech, request a dub, download the result. Errors are problem documents (RFC 9457)."
)


def make_app(settings: Settings) -> FastAPI:
    """The application for a data folder that exists and is locked."""
    store = Store(settings.database)
    service = Service(settings, store, Supervisor(settings, store))
    metrics, failed_logins = Metrics(store, service.supervisor), FailedLogins()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        housekeeping.remove_leftovers(settings, store)
        tasks = [
            asyncio.create_task(service.supervisor.run()),
            asyncio.create_task(housekeeping.expire_periodically(settings, store)),
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
    sessions = asyncio.Semaphore(live.MAX_SESSIONS)
    app.state.service, app.state.failed_logins, app.state.live = service, failed_logins, sessions
    problems.install(app)
    for router in (uploads.router, jobs.router, live.router, page.router):
        app.include_router(router)
    _add_status_routes(app, service, metrics)
    page.mount(app)
    # The middleware added last runs first.
    app.add_middleware(BodyLimits)
    app.add_middleware(AuthMiddleware, settings=settings, failed_logins=failed_logins)
    app.add_middleware(RequestCounter, metrics=metrics)
    return app


def _add_status_routes(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", tags=["state"])
    def healthz() -> JSONResponse:
        """200 if the worker is running, otherwise 503."""
        alive = service.supervisor.pid is not None
        active = service.store.count_active()
        state = {"status": "ok" if alive else "no worker", "version": __version__, "active": active}
        return JSONResponse(state, 200 if alive else 503)

    @app.head("/metrics", include_in_schema=False)
    @app.get("/metrics", tags=["state"])
    def metrics_text() -> Response:
        """Metrics of jobs, requests and the worker in the Prometheus text format."""
        return metrics.response()
