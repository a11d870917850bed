"""Uploads and jobs in one SQLite file, which the server and the worker share.

A job is one task of the worker: to probe an upload (`probe`), to find its faces (`faces`), to dub (`dub`), or to write
source and dub side by side (`side`; its `video` is the dub, because the upload may have been deleted). Each change of
state is one SQL statement that requires the previous state, so neither process can overwrite a change of the other.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import JSON, CursorResult, Engine, String, cast, event, func
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import aliased
from sqlmodel import Column, Field, Session, SQLModel, col, create_engine, delete, select, update

Kind = Literal["probe", "faces", "side", "dub"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
Row = TypeVar("Row", "Upload", "Job")

ACTIVE: Final = ("queued", "running")
PROBE, FACES, SIDE, PREVIEW, DUB = range(5)
"""Lower numbers run first: short jobs before long ones."""


def new_id() -> str:
    """128 random bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


class Upload(SQLModel, table=True):
    """A file that a client sent. It is stored under its `id`; the client's file name is never stored."""

    id: str = Field(default_factory=new_id, primary_key=True)
    owner: str = Field(index=True)
    bytes: int
    sha256: str = Field(index=True)
    created: float = Field(default_factory=time.time)
    used: float = Field(default_factory=time.time)


class Job(SQLModel, table=True):
    """A task for the worker, with its state and result."""

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


def inputs_of(job: Job) -> dict[str, str]:
    """The uploads that a job reads, and the role of each."""
    if job.kind == "side":
        return {}
    video = "file" if job.kind == "probe" else "film"  # what it is for is not known yet
    roles = {job.options.get("background"): "background", job.speech: "speech", job.video: video}
    return dict.fromkeys(speeches_of(job).values(), "speech") | {key: roles[key] for key in roles if key}


def speeches_of(job: Job) -> dict[int, str]:
    """The uploads with the speech of each face; empty if one speech serves all."""
    return {int(face): upload for face, upload in job.options.get("speeches", {}).items()}


class Store:
    """The database at `path`, created if missing."""

    def __init__(self, path: Path, durable: bool = True) -> None:
        """With `durable`, commits survive a power failure; without it, only a crash of the process.

        Raises SQLAlchemy's `DatabaseError` for a file that is no database, or lacks columns.
        """
        self._engine = _engine(path, durable)
        SQLModel.metadata.create_all(self._engine, tables=[_table(Upload), _table(Job)])
        with self._session() as session:
            for columns in (select(Upload), select(Job)):
                session.exec(columns.limit(0))

    def close(self) -> None:
        """Close the database."""
        self._engine.dispose()

    def add(self, row: Row) -> Row:
        """Insert an upload or a job."""
        with self._session() as session:
            session.add(row)
        return row

    def upload(self, name: str, owner: str) -> Upload | None:
        """An upload of this owner; updates its time of last use."""
        conditions = (col(Upload.id) == name, col(Upload.owner) == owner)
        with suppress(OperationalError):  # an upload can be read while the disk is full
            self._execute(update(Upload).where(*conditions).values(used=time.time()))
        with self._session() as session:
            return session.exec(select(Upload).where(*conditions)).first()

    def find_upload(self, sha256: str, owner: str) -> Upload | None:
        """An upload of this owner with this content, if there is one."""
        with self._session() as session:
            return session.exec(select(Upload).where(Upload.sha256 == sha256, Upload.owner == owner)).first()

    def holds(self, sha256: str) -> bool:
        """Whether an upload of anyone has this content."""
        with self._session() as session:
            return session.exec(select(Upload.id).where(Upload.sha256 == sha256)).first() is not None

    def count_uploads(self, owner: str) -> int:
        """Number of uploads of an owner."""
        with self._session() as session:
            return session.exec(select(func.count()).select_from(Upload).where(Upload.owner == owner)).one()

    def job(self, name: str, owner: str) -> Job | None:
        """A job of this owner."""
        with self._session() as session:
            return session.exec(select(Job).where(Job.id == name, Job.owner == owner)).first()

    def dubs(self, owner: str, limit: int) -> Sequence[Job]:
        """The dubs of this owner, newest first."""
        query = select(Job).where(Job.owner == owner, Job.kind == "dub").order_by(col(Job.created).desc())
        with self._session() as session:
            return session.exec(query.limit(limit)).all()

    def latest(self, kind: Kind, video: str, options: dict[str, Any]) -> Job | None:
        """The newest job of this kind for an upload or a dub, with exactly these options."""
        query = select(Job).where(Job.kind == kind, Job.video == video, Job.options == options)
        with self._session() as session:
            return session.exec(query.order_by(col(Job.created).desc()).limit(1)).first()

    def count_active(self, owner: str | None = None) -> int:
        """Number of queued and running jobs: all, or those of an owner."""
        query = select(func.count()).select_from(Job).where(col(Job.state).in_(ACTIVE))
        if owner is not None:
            query = query.where(Job.owner == owner)
        with self._session() as session:
            return session.exec(query).one()

    def is_dubbed(self, upload: str) -> bool:
        """Whether a queued or running dub uses an upload."""
        # Ids are random, so no other part of the options contains one.
        in_options = cast(col(Job.options), String).contains(upload)
        uses = (col(Job.video) == upload) | (col(Job.speech) == upload) | in_options
        with self._session() as session:
            active = select(Job.id).where(Job.kind == "dub", col(Job.state).in_(ACTIVE), uses)
            return session.exec(active).first() is not None

    def count_ahead(self, job: Job) -> int:
        """Number of jobs ahead of a queued job."""
        running = select(func.count()).select_from(Job).where(Job.state == "running", Job.priority <= job.priority)
        with self._session() as session:
            queued = session.exec(_in_turn(select(Job.id))).all()
            return session.exec(running).one() + (queued.index(job.id) if job.id in queued else 0)

    def counts_by_state(self) -> dict[tuple[str, str], int]:
        """Number of jobs by kind and state."""
        query = select(Job.kind, Job.state, func.count()).group_by(Job.kind, Job.state)
        with self._session() as session:
            return {(kind, state): count for kind, state, count in session.exec(query)}

    def cancel(self, name: str) -> bool:
        """Cancel a queued job, or ask the worker to cancel a running one. False if the job has ended."""
        now = time.time()
        queued = update(Job).where(col(Job.id) == name, col(Job.state) == "queued")
        queued = queued.values(state="cancelled", stage="cancelled", finished=now, updated=now)
        runs = update(Job).where(col(Job.id) == name, col(Job.state) == "running").values(cancel=True)
        with self._session() as session:  # one transaction, because an exited worker's job is queued again
            return session.exec(queued).rowcount > 0 or session.exec(runs).rowcount > 0

    def claim(self, last: int = DUB) -> Job | None:
        """Take the next queued job with priority `last` or lower and mark it as running."""
        with self._session() as session:
            job = session.exec(_in_turn(select(Job)).where(Job.priority <= last).limit(1)).first()
        if job is None:
            return None
        job.state, job.started, job.updated = "running", time.time(), time.time()
        change = update(Job).where(col(Job.id) == job.id, col(Job.state) == "queued")
        claimed = self._execute(change.values(state=job.state, started=job.started, updated=job.updated))
        return job if claimed else None

    def report(self, name: str, stage: str, progress: float, eta: float | None) -> bool:
        """Store the progress of a running job. False if its owner canceled it."""
        runs = update(Job).where(col(Job.id) == name, col(Job.state) == "running", col(Job.cancel).is_(False))
        return self._execute(runs.values(stage=stage, progress=progress, eta=eta, updated=time.time())) > 0

    def finish(self, name: str, state: State, figures: dict[str, Any], problem: str | None = None) -> None:
        """Store the final state of a running job."""
        now = time.time()
        ended: dict[str, Any] = {"state": state, "stage": state, "eta": None, "figures": figures, "problem": problem}
        if state == "done":
            ended["progress"] = 1.0
        runs = update(Job).where(col(Job.id) == name, col(Job.state) == "running")
        self._execute(runs.values(**ended, finished=now, updated=now))

    def running(self) -> Sequence[Job]:
        """Running jobs: the current one, then the one it interrupted, which has a higher priority number."""
        with self._session() as session:
            return session.exec(select(Job).where(Job.state == "running").order_by(col(Job.priority))).all()

    def requeue(self, suspect: str | None = None) -> None:
        """Queue running jobs again after their worker exited. `suspect`: the id of the job that may have crashed it."""
        restarted = {"state": "queued", "stage": "waiting", "progress": 0.0, "eta": None, "updated": time.time()}
        with self._session() as session:
            if suspect is not None:
                attempted = update(Job).where(col(Job.id) == suspect).values(attempts=Job.attempts + 1)
                session.exec(attempted)
            session.exec(update(Job).where(col(Job.state) == "running", col(Job.cancel).is_(False)).values(**restarted))
            ended = {"state": "cancelled", "stage": "cancelled", "finished": time.time()}
            session.exec(update(Job).where(col(Job.state) == "running").values(**ended))

    def expired(self, before: float) -> tuple[Sequence[str], Sequence[str]]:
        """Ids of uploads last used, and of jobs finished, before a time. Uploads of active jobs are kept, and probes
        as long as their upload."""
        active = select(Job).where(col(Job.state).in_(ACTIVE))
        with self._session() as session:
            busy = {name for job in session.exec(active) for name in inputs_of(job)}
            uploads = session.exec(select(Upload.id).where(Upload.used < before)).all()
            needless = (col(Job.kind) != "probe") | col(Job.video).not_in(select(Upload.id))
            jobs = session.exec(select(Job.id).where(col(Job.finished) < before, needless)).all()
        return [name for name in uploads if name not in busy], jobs

    def delete(self, uploads: Sequence[str] = (), jobs: Sequence[str] = ()) -> None:
        """Delete jobs, dubs with their `side` jobs, and uploads with their `probe` and `faces` jobs."""
        with self._session() as session:
            session.exec(delete(Job).where(col(Job.id).in_(jobs)))
            session.exec(delete(Job).where(col(Job.video).in_([*uploads, *jobs]), col(Job.kind) != "dub"))
            session.exec(delete(Upload).where(col(Upload.id).in_(uploads)))

    def forget_failures(self, upload: str, probe: str) -> None:
        """Delete the failed `probe` and `faces` jobs of an upload but its latest probe, so that they may be tried
        again."""
        with self._session() as session:
            ended = (col(Job.id) != probe) & col(Job.state).in_(("failed", "cancelled"))
            session.exec(delete(Job).where(col(Job.video) == upload, col(Job.kind) != "dub", ended))

    def ids(self) -> tuple[set[str], set[str]]:
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


def _in_turn(query: Any) -> Any:  # noqa: ANN401 - selects jobs or ids
    """The queued jobs by priority. Among equals, owners take turns, beginning with the one served longest ago."""
    own, earlier = (col(Job.owner), col(Job.priority)), aliased(Job)
    same = (col(earlier.owner) == own[0], col(earlier.priority) == own[1], col(earlier.state) != "queued")
    served = select(func.max(earlier.started)).where(*same).correlate(Job).scalar_subquery()
    turn = func.row_number().over(partition_by=own, order_by=col(Job.created))
    waiting_since = func.min(Job.created).over(partition_by=own)
    return query.where(Job.state == "queued").order_by(Job.priority, turn, func.coalesce(served, 0), waiting_since)


def _engine(path: Path, durable: bool) -> Engine:
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's own type
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")

    return engine


def _table(model: type[SQLModel]) -> Any:  # noqa: ANN401 - SQLModel adds it at run time
    return vars(model)["__table__"]
