"""What all routes share: settings, the store, the worker, and the rules of accepting work."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from fastapi import Request

from lipsmith.serve.problems import Problem
from lipsmith.serve.settings import Settings
from lipsmith.serve.store import FACES, PROBE, Job, Store, Upload
from lipsmith.serve.supervisor import Supervisor

_SOON = "10"


@dataclass
class Service:
    """One running service."""

    settings: Settings
    store: Store
    supervisor: Supervisor
    _accepting: Lock = field(default_factory=Lock)

    def submit(self, job: Job) -> Job:
        """Accept a job. Raises `Problem` 429 where its owner, or everybody together, has too many already."""
        with self._accepting:
            if self.store.active(job.owner) >= self.settings.jobs_per_client:
                raise Problem(429, "You have too many jobs waiting; let one end or cancel one.", Retry_After=_SOON)
            if self.store.active() >= self.settings.jobs:
                raise Problem(429, "The queue is full; try again in a while.", Retry_After=_SOON)
            return self.store.add(job)

    def look(self, kind: str, upload: Upload, options: dict[str, Any]) -> Job:
        """Let the worker look at an upload, which is a `probe` or a search for `faces`."""
        priority = PROBE if kind == "probe" else FACES
        return self.submit(Job(owner=upload.owner, kind=kind, video=upload.id, options=options, priority=priority))

    def refuse_upload(self, owner: str) -> None:
        """Raise `Problem` 429 where an owner has too many uploads, or the disk is nearly full."""
        if self.store.uploads_of(owner) >= self.settings.uploads_per_client:
            raise Problem(429, "You have too many uploads; delete one or wait until one expires.", Retry_After="600")
        if shutil.disk_usage(self.settings.data).free < self.settings.spare_disk + self.settings.max_upload:
            raise Problem(429, "The disk is nearly full; try again when older results have expired.", Retry_After="600")

    def upload(self, name: str, owner: str) -> Upload:
        """An owner's upload. Raises `Problem` 404 for any other."""
        upload = self.store.upload(name, owner)
        if upload is None:
            raise Problem(404, "There is no such upload of yours; it may have expired, so send the file again.")
        return upload

    def dub(self, name: str, owner: str) -> Job:
        """An owner's dub. Raises `Problem` 404 for any other job."""
        job = self.store.job(name, owner)
        if job is None or job.kind != "dub":
            raise Problem(404, "There is no such job of yours; it may have expired.")
        return job


def service_of(request: Request) -> Service:
    """The service that a request is for."""
    service: Service = request.app.state.service
    return service


def owner_of(request: Request) -> str:
    """The client that a request comes from."""
    owner: str = request.state.owner
    return owner
