"""Uploads and jobs in one SQLite file, which both processes write and which outlives them.

A job is any work of the worker: looking at an upload (`probe`), searching it for faces (`faces`), dubbing (`dub`), or
putting a dub beside its source (`side`).
Each change of state is one statement that names the state it starts from, so that neither process undoes the other.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import JSON, CursorResult, Engine, event, func, or_
from sqlmodel import Column, Field, Session, SQLModel, col, create_engine, delete, select, update

Kind = Literal["probe", "faces", "side", "dub"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
Row = TypeVar("Row", "Upload", "Job")

ACTIVE: Final = ("queued", "running")
PROBE, FACES, SIDE, PREVIEW, DUB = range(5)
"""Who goes first: what takes a moment, before what somebody has to wait for anyway."""


def new_id() -> str:
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


class Upload(SQLModel, table=True):
    """A file that a client sent. Its name on the disk is its `id`; the client's own name is never kept."""

    id: str = Field(default_factory=new_id, primary_key=True)
    owner: str = Field(index=True)
    bytes: int
    sha256: str = Field(index=True)
    created: float = Field(default_factory=time.time)
    used: float = Field(default_factory=time.time)


class Job(SQLModel, table=True):
    """Work for the worker, and what became of it."""

    id: str = Field(default_factory=new_id, primary_key=True)
    owner: str = Field(index=True)
    kind: str
    video: str = Field(index=True)
    speech: str | None = None
    options: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON))
    priority: int
    state: str = Field(default="queued", index=True)
    stage: str = "waiting"
    progress: float = 0.0
    eta: float | None = None
    figures: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON))
    problem: str | None = None
    cancel: bool = False
    attempts: int = 0
    created: float = Field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    updated: float = Field(default_factory=time.time)


_UPLOADS: Final = (col(Job.video), col(Job.speech), col(Job.options)["background"].as_string())
"""What a job cannot do without."""


def inputs_of(job: Job) -> dict[str, str]:
    """The uploads that a job reads, and what each is to it."""
    roles = {"background": job.options.get("background"), "speech": job.speech, "film": job.video}
    return {upload: role for role, upload in roles.items() if upload}


class Store:
    """The file at `path`, made where it does not exist."""

    def __init__(self, path: Path, durable: bool = True) -> None:
        """With `durable`, what was accepted survives a loss of power; else only the end of a process."""
        self._engine = _engine(path, durable)
        SQLModel.metadata.create_all(self._engine, tables=[_table(Upload), _table(Job)])

    def close(self) -> None:
        """Let go of the file."""
        self._engine.dispose()

    def add(self, row: Row) -> Row:
        """Keep a new upload or job."""
        with self._session() as session:
            session.add(row)
        return row

    def upload(self, name: str, owner: str) -> Upload | None:
        """An upload of this owner, whose time of last use becomes now."""
        mine = (col(Upload.id) == name, col(Upload.owner) == owner)
        if not self._execute(update(Upload).where(*mine).values(used=time.time())):
            return None
        with self._session() as session:
            return session.exec(select(Upload).where(*mine)).first()

    def same_upload(self, sha256: str, owner: str) -> Upload | None:
        """What this owner sent before with the same content."""
        with self._session() as session:
            return session.exec(select(Upload).where(Upload.sha256 == sha256, Upload.owner == owner)).first()

    def uploads_of(self, owner: str) -> int:
        """How many uploads an owner has."""
        with self._session() as session:
            return session.exec(select(func.count()).select_from(Upload).where(Upload.owner == owner)).one()

    def job(self, name: str, owner: str) -> Job | None:
        """A job of this owner."""
        with self._session() as session:
            return session.exec(select(Job).where(Job.id == name, Job.owner == owner)).first()

    def dubs(self, owner: str, limit: int) -> Sequence[Job]:
        """The dubs of this owner, newest first."""
        chosen = select(Job).where(Job.owner == owner, Job.kind == "dub").order_by(col(Job.created).desc())
        with self._session() as session:
            return session.exec(chosen.limit(limit)).all()

    def look(self, kind: Kind, video: str, options: dict[str, Any]) -> Job | None:
        """The newest `probe` or `faces` of an upload with these options."""
        chosen = select(Job).where(Job.kind == kind, Job.video == video).order_by(col(Job.created).desc())
        with self._session() as session:
            return next((job for job in session.exec(chosen) if job.options == options), None)

    def active(self, owner: str | None = None, upload: str | None = None) -> int:
        """How many jobs wait or run: of everybody, of an owner, or of those that need an upload."""
        chosen = select(func.count()).select_from(Job).where(col(Job.state).in_(ACTIVE))
        if owner is not None:
            chosen = chosen.where(Job.owner == owner)
        if upload is not None:
            chosen = chosen.where(or_(*(needed == upload for needed in _UPLOADS)))
        with self._session() as session:
            return session.exec(chosen).one()

    def ahead(self, job: Job) -> int:
        """How many jobs run before a waiting one."""
        earlier = (col(Job.priority) < job.priority) | (
            (col(Job.priority) == job.priority) & (col(Job.created) < job.created)
        )
        chosen = select(func.count()).select_from(Job).where(col(Job.state).in_(ACTIVE), earlier)
        with self._session() as session:
            return session.exec(chosen).one()

    def counts(self) -> dict[tuple[str, str], int]:
        """Jobs by kind and state."""
        chosen = select(Job.kind, Job.state, func.count()).group_by(Job.kind, Job.state)
        with self._session() as session:
            return {(kind, state): count for kind, state, count in session.exec(chosen)}

    def cancel(self, name: str) -> bool:
        """Cancel a job that waits, or ask the worker to end one that runs; False where it has ended already."""
        now = time.time()
        waits = update(Job).where(col(Job.id) == name, col(Job.state) == "queued")
        if self._execute(waits.values(state="cancelled", stage="cancelled", finished=now, updated=now)):
            return True
        runs = update(Job).where(col(Job.id) == name, col(Job.state) == "running")
        return self._execute(runs.values(cancel=True)) > 0

    def claim(self, last: int = DUB) -> Job | None:
        """The next job, now running; of priorities up to `last` only."""
        chosen = select(Job).where(Job.state == "queued", Job.priority <= last)
        with self._session() as session:
            job = session.exec(chosen.order_by(col(Job.priority), col(Job.created)).limit(1)).first()
        if job is None:
            return None
        job.state, job.started, job.updated = "running", time.time(), time.time()
        change = update(Job).where(col(Job.id) == job.id, col(Job.state) == "queued")
        claimed = self._execute(change.values(state=job.state, started=job.started, updated=job.updated))
        return job if claimed else None

    def report(self, name: str, stage: str, progress: float, eta: float | None) -> bool:
        """Note how far a running job is; False where its owner cancelled it."""
        runs = update(Job).where(col(Job.id) == name, col(Job.state) == "running", col(Job.cancel).is_(False))
        return self._execute(runs.values(stage=stage, progress=progress, eta=eta, updated=time.time())) > 0

    def finish(self, name: str, state: State, figures: dict[str, Any], problem: str | None = None) -> None:
        """End a running job."""
        now = time.time()
        ended: dict[str, Any] = {"state": state, "stage": state, "eta": None, "figures": figures, "problem": problem}
        if state == "done":
            ended["progress"] = 1.0
        runs = update(Job).where(col(Job.id) == name, col(Job.state) == "running")
        self._execute(runs.values(**ended, finished=now, updated=now))

    def running(self) -> Sequence[Job]:
        """Jobs that run, the latest first: the one that the worker is at, then the one that it interrupted."""
        with self._session() as session:
            return session.exec(select(Job).where(Job.state == "running").order_by(col(Job.started).desc())).all()

    def requeue(self, blamed: str | None = None) -> None:
        """Let running jobs wait again, because their worker is gone; `blamed` is the one that may have ended it."""
        again = {"state": "queued", "stage": "waiting", "progress": 0.0, "eta": None, "updated": time.time()}
        with self._session() as session:
            if blamed is not None:
                counted = update(Job).where(col(Job.id) == blamed).values(attempts=Job.attempts + 1)
                session.exec(counted)
            session.exec(update(Job).where(col(Job.state) == "running", col(Job.cancel).is_(False)).values(**again))
            ended = {"state": "cancelled", "stage": "cancelled", "finished": time.time()}
            session.exec(update(Job).where(col(Job.state) == "running").values(**ended))

    def expired(self, before: float) -> tuple[Sequence[str], Sequence[str]]:
        """Ids of uploads last used, and of jobs ended, before this time; those of active jobs are left out."""
        needed = select(*_UPLOADS).where(col(Job.state).in_(ACTIVE))
        with self._session() as session:
            busy = {name for names in session.exec(needed) for name in names}
            uploads = session.exec(select(Upload.id).where(Upload.used < before)).all()
            jobs = session.exec(select(Job.id).where(col(Job.finished) < before)).all()
        return [name for name in uploads if name not in busy], jobs

    def forget(self, uploads: Sequence[str] = (), jobs: Sequence[str] = ()) -> None:
        """Remove uploads with what was found in them, and jobs."""
        with self._session() as session:
            session.exec(delete(Job).where(col(Job.id).in_(jobs)))
            session.exec(delete(Job).where(col(Job.video).in_(uploads), col(Job.kind) != "dub"))
            session.exec(delete(Upload).where(col(Upload.id).in_(uploads)))

    def known(self) -> tuple[set[str], set[str]]:
        """Ids of all uploads and of all jobs."""
        with self._session() as session:
            return set(session.exec(select(Upload.id))), set(session.exec(select(Job.id)))

    @contextmanager
    def _session(self) -> Iterator[Session]:
        with Session(self._engine, expire_on_commit=False) as session:
            yield session
            session.commit()

    def _execute(self, statement: Any) -> int:  # noqa: ANN401 - updates of either table
        with self._session() as session:
            done = session.exec(statement)
            assert isinstance(done, CursorResult)
            return done.rowcount


def _engine(path: Path, durable: bool) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")

    return engine


def _table(model: type[SQLModel]) -> Any:  # noqa: ANN401 - SQLModel adds it at run time
    return vars(model)["__table__"]
