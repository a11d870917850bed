"""State shared by all routes: settings, store and worker, with the quotas of clients."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Annotated, Any, Final

from fastapi import Depends
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from lipsmith.serve.housekeeping import remove_partial_clips
from lipsmith.serve.problems import Problem
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import FACES, PROBE, Job, Store, Upload
from lipsmith.serve.supervisor import Supervisor

_RETRY: Final = "10"
"""Seconds until a client should try again."""
_UPLOADS_AT_ONCE: Final = 4
"""Most uploads that one client sends at the same time."""


@dataclass
class Service:
    """One running service."""

    settings: Settings
    store: Store
    supervisor: Supervisor
    _accepting: Lock = field(default_factory=Lock)
    _counting: Lock = field(default_factory=Lock)
    """Never held while the database or the disk is waited for, because the event loop takes it."""
    _receiving: Counter[str] = field(default_factory=Counter)
    """Number of uploads that are being received, by owner."""
    _live: list[Upload] = field(default_factory=list)
    """The upload of each live session."""

    def submit(self, job: Job) -> Job:
        """Queue a job. Raises `Problem` 429 if its owner, or the whole service, has too many active jobs, or the disk
        is nearly full."""
        self.check_disk(0)
        with self._accepting:
            if self.store.count_active(job.owner) >= self.settings.jobs_per_client:
                raise Problem(429, "You have too many active jobs; wait or cancel one.", Retry_After=_RETRY)
            if self.store.count_active() >= self.settings.jobs:
                raise Problem(429, "The queue is full; try again later.", Retry_After=_RETRY)
            return self.store.add(job)

    def submit_analysis(self, kind: str, upload: Upload, options: dict[str, Any]) -> Job:
        """Queue the analysis of an upload: `kind` is `probe` or `faces`."""
        priority = PROBE if kind == "probe" else FACES
        return self.submit(Job(owner=upload.owner, kind=kind, video=upload.id, options=options, priority=priority))

    def begin_upload(self, owner: str, size: int) -> None:
        """Count an upload of `size` bytes until `end_upload`.

        It reserves no space, which idle clients could exhaust: check the disk again as bytes arrive. Raises `Problem`
        429 if an owner has too many uploads or the disk is nearly full.
        """
        stored = self.store.count_uploads(owner)
        self.check_disk(size)
        with self._counting:
            receiving = self._receiving[owner]
            if receiving >= _UPLOADS_AT_ONCE:
                raise Problem(429, "You are sending too many files at once; wait for one.", Retry_After=_RETRY)
            if stored + receiving >= self.settings.uploads_per_client:
                raise Problem(
                    429, "You have too many uploads; delete one or wait until one expires.", Retry_After="600"
                )
            self._receiving[owner] += 1

    def end_upload(self, owner: str) -> None:
        """End what `begin_upload` began."""
        with self._counting:
            self._receiving -= Counter([owner])

    def check_disk(self, size: int) -> None:
        """Raise `Problem` 429 if `size` bytes more would fill the disk."""
        if shutil.disk_usage(self.settings.data).free < self.settings.spare_disk + size:
            raise Problem(429, "The disk is nearly full; try again when older results have expired.", Retry_After="600")

    @contextmanager
    def live_use(self, upload: Upload) -> Iterator[None]:
        """Count an upload as in use by a live session, whose process ends with the block."""
        self._live.append(upload)
        try:
            yield
        finally:
            self._live.remove(upload)
            if all(used.sha256 != upload.sha256 for used in self._live):
                remove_partial_clips(self.settings.clips(upload.sha256))

    def in_use(self, upload: str) -> bool:
        """Whether a dub or a live session uses an upload."""
        return any(used.id == upload for used in self._live) or self.store.is_dubbed(upload)

    def refresh(self, upload: Upload) -> None:
        """Keep an upload, and the clips that live sessions prepared of it, from expiring for now."""
        with suppress(SQLAlchemyError):
            self.store.upload(upload.id, upload.owner)
        for clip in self.settings.clips(upload.sha256).glob("*"):
            with suppress(OSError):  # sessions rename and remove folders meanwhile
                os.utime(clip)

    def upload(self, name: str, owner: str) -> Upload:
        """An upload of this owner. Raises `Problem` 404 if there is none."""
        upload = self.store.upload(name, owner)
        if upload is None:
            raise Problem(404, "You have no such upload; it may have expired, so send the file again.")
        return upload

    def dub(self, name: str, owner: str) -> Job:
        """A dub of this owner. Raises `Problem` 404 if there is none."""
        job = self.store.job(name, owner)
        if job is None or job.kind != "dub":
            raise Problem(404, "You have no such job; it may have expired.")
        return job


def service_of(request: HTTPConnection) -> Service:
    """The service of the application that handles a request or a WebSocket."""
    service: Service = request.app.state.service
    return service


def owner_of(request: HTTPConnection) -> str:
    """The id of the client that sent a request or opened a WebSocket."""
    owner: str = request.state.owner
    return owner


ServiceDep = Annotated[Service, Depends(service_of)]
OwnerDep = Annotated[str, Depends(owner_of)]
