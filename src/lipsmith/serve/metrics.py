"""Figures for a monitoring system, in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipsmith.serve.store import Store
from lipsmith.serve.supervisor import Supervisor


@dataclass
class Metrics:
    """Counters of one service, and what its store and its worker tell when asked."""

    store: Store
    supervisor: Supervisor
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self.requests = Counter(
            "lipsmith_requests", "Answers by method and status", ["method", "status"], registry=self.registry
        )
        self.registry.register(_State(self.store, self.supervisor))

    def answer(self) -> Response:
        """All of them."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class Counted:
    """Middleware that counts answers."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and note the status."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in _METHODS else "other"
                self._metrics.requests.labels(method, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, counted)


_METHODS = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH"}


@dataclass(eq=False)
class _State(Collector):
    """Asked for at each scrape."""

    store: Store
    supervisor: Supervisor

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("lipsmith_jobs", "Jobs that are kept", labels=["kind", "state"])
        for labels, count in self.store.counts().items():
            jobs.add_metric(labels, count)
        yield jobs
        alive = self.supervisor.pid is not None
        yield GaugeMetricFamily("lipsmith_worker_up", "Whether the worker runs", float(alive))
        yield GaugeMetricFamily("lipsmith_worker_restarts", "Workers that ended", float(self.supervisor.restarts))
