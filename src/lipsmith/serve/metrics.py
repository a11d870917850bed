"""Metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lipsmith.serve.problems import METHODS
from lipsmith.serve.store import Store
from lipsmith.serve.supervisor import Supervisor


class Metrics:
    """Metrics of one service: a request counter, and gauges read from the store and the supervisor at each scrape."""

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        self._registry = CollectorRegistry()
        labels = ["method", "status"]
        self.requests = Counter("lipsmith_requests", "Responses by method and status", labels, registry=self._registry)
        self._registry.register(_StateCollector(store, supervisor))

    def response(self) -> Response:
        """All metrics in the text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class RequestCounter:
    """Middleware that counts responses."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application and count the status of its response."""

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._metrics.requests.labels(method, str(message["status"])).inc()
            await send(message)

        await self._app(scope, receive, send_counted)


@dataclass(eq=False)
class _StateCollector(Collector):
    """Gauges that are computed at each scrape."""

    store: Store
    supervisor: Supervisor

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs = GaugeMetricFamily("lipsmith_jobs", "Stored jobs by kind and state", labels=["kind", "state"])
        for labels, count in self.store.counts_by_state().items():
            jobs.add_metric(labels, count)
        yield jobs
        alive = self.supervisor.pid is not None
        yield GaugeMetricFamily("lipsmith_worker_up", "Whether the worker is running", float(alive))
        yield GaugeMetricFamily("lipsmith_worker_restarts", "Number of worker exits", float(self.supervisor.restarts))
