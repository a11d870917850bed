"""Routes of dubs, without a worker: who may use what, and when clients are told."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")

from fastapi.testclient import TestClient

from lipsmith.serve import jobs
from lipsmith.serve.service import Service
from lipsmith.serve.store import Job
from lipsmith.serve.supervisor import Supervisor
from service import assert_problem, upload_file

WORDS, MUSIC = b"RIFF0000WAVE", b"RIFF0001WAVE"
ME = "me"


def probed(idle: Service, upload: str, problem: str | None = None, **figures: object) -> str:
    """The upload after its probe."""
    while (job := idle.store.claim()) is not None:
        state = "failed" if problem and job.video == upload else "done"
        idle.store.finish(job.id, state, figures if job.video == upload else {}, problem)  # type: ignore[arg-type]
    return upload


def requested(routes: TestClient, **fields: object) -> str:
    """The id of a dub that was accepted."""
    response = routes.post("/v1/jobs", json=fields)
    assert response.status_code == 202, response.text
    return str(response.json()["id"])


def ended(idle: Service, job: str, state: Any = "done") -> None:  # noqa: ANN401 - a state
    while (claimed := idle.store.claim()) is not None:
        idle.store.finish(claimed.id, state if claimed.id == job else "done", {})


def in_role(role: str, upload: str, other: str) -> dict[str, object]:
    """A request that uses `upload` in a role, and another one in the others."""
    if role == "speeches: 2":
        return {"video": other, "speeches": {"1": other, "2": upload}}
    return {"video": other, "speech": other, role: upload}


def test_a_gain_without_a_background_is_refused(routes: TestClient) -> None:
    film, words = upload_file(routes, WORDS), upload_file(routes, MUSIC)
    response = routes.post("/v1/jobs", json={"video": film, "speech": words, "gain": -6})
    assert_problem(response, 422, "The gain has no background to change; give a background")
    requested(routes, video=film, speech=words, gain=-12)


def test_a_face_may_be_given_by_the_number_that_faces_have(routes: TestClient) -> None:
    film, words = upload_file(routes, WORDS), upload_file(routes, MUSIC)
    for face in (2, "2, 1"):
        job = requested(routes, video=film, speech=words, face=face)
        assert routes.get(f"/v1/jobs/{job}").json()["options"]["face"] == str(face)
    for wrong in (0, True, 2.0, [2]):
        response = routes.post("/v1/jobs", json={"video": film, "speech": words, "face": wrong})
        assert_problem(response, 422, "face must be largest, left, right, all, or face numbers such as 2 or 1,4")


ROLES = ("video", "speech", "speeches: 2", "background")


@pytest.mark.parametrize("role", ROLES)
def test_uploads_of_other_clients_have_no_role(routes: TestClient, idle: Service, role: str) -> None:
    own = upload_file(routes, WORDS)
    foreign = upload_file(TestClient(routes.app, base_url="http://localhost"), MUSIC)
    assert_problem(routes.post("/v1/jobs", json=in_role(role, foreign, own)), 404, "no such upload")
    assert ("dub", "queued") not in idle.store.counts_by_state()


@pytest.mark.parametrize("role", ROLES)
def test_an_upload_that_cannot_be_read_has_no_role(routes: TestClient, idle: Service, role: str) -> None:
    other = upload_file(routes, MUSIC)
    broken = probed(idle, upload_file(routes, WORDS), "The file is damaged.")
    refused = routes.post("/v1/jobs", json=in_role(role, broken, other))
    assert_problem(refused, 422, f"{role}: The file is damaged.")


@pytest.mark.parametrize("role", ROLES)
def test_only_the_video_may_be_silent(routes: TestClient, idle: Service, role: str) -> None:
    other = upload_file(routes, MUSIC)
    silent = probed(idle, upload_file(routes, WORDS), kind="film", sound=False)
    response = routes.post("/v1/jobs", json=in_role(role, silent, other))
    if role == "video":
        assert response.status_code == 202
    else:
        assert_problem(response, 422, f"{role}: The file has no sound; choose a recording.")


def test_dubs_of_uploads_that_are_not_probed_yet_are_queued(
    routes: TestClient, idle: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the worker is told at once."""
    told: list[int] = []
    upload = upload_file(routes, WORDS)
    monkeypatch.setattr(Supervisor, "notify", lambda supervisor: told.append(idle.store.count_active()))
    requested(routes, video=upload, speech=upload)
    assert told == [2]


def test_the_newest_dubs_are_listed(routes: TestClient) -> None:
    upload = upload_file(routes, WORDS)
    made = [requested(routes, video=upload, speech=upload) for _ in range(3)]
    listed = routes.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["id"] for job in listed] == made[:0:-1]


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_dub_is_not_deleted_while_it_may_be_written(routes: TestClient, idle: Service, state: str) -> None:
    upload = probed(idle, upload_file(routes, WORDS))
    job = requested(routes, video=upload, speech=upload)
    idle.settings.job(job).mkdir()
    if state == "running":
        idle.store.claim()
    assert_problem(routes.delete(f"/v1/jobs/{job}/result"), 409, "still active; cancel it first")
    assert idle.settings.job(job).is_dir()
    assert routes.get(f"/v1/jobs/{job}").json()["state"] == state


@pytest.mark.parametrize(
    ("state", "remedy"),
    [("queued", "wait until it is done"), ("failed", "request the dub again"), ("cancelled", "request the dub again")],
)
def test_films_of_unfinished_dubs_are_not_served(routes: TestClient, idle: Service, state: str, remedy: str) -> None:
    upload = probed(idle, upload_file(routes, WORDS))
    job = requested(routes, video=upload, speech=upload)
    idle.settings.job(job).mkdir()
    idle.settings.film(job, "result").write_bytes(b"half a film")
    if state != "queued":
        ended(idle, job, state)
    assert_problem(routes.get(f"/v1/jobs/{job}/result"), 409, f"The job is {state} and has no result; {remedy}.")


def test_a_browser_shows_a_film_and_saves_it_under_its_own_name(routes: TestClient, idle: Service) -> None:
    upload = upload_file(routes, WORDS)
    job = requested(routes, video=upload, speech=upload)
    ended(idle, job)
    idle.settings.job(job).mkdir()
    for name in ("result", "before"):
        idle.settings.film(job, name).write_bytes(name.encode())
        response = routes.get(f"/v1/jobs/{job}/{name}")
        assert response.content == name.encode()
        assert response.headers["content-disposition"] == f'inline; filename="{name}-{job[:8]}.mp4"'


def test_a_side_by_side_film_that_is_being_created_is_waited_for(routes: TestClient, idle: Service) -> None:
    upload = upload_file(routes, WORDS)
    job = requested(routes, video=upload, speech=upload)
    ended(idle, job)
    idle.settings.job(job).mkdir()
    idle.settings.film(job, "before").touch()
    side = f"/v1/jobs/{job}/side-by-side"
    assert_problem(routes.get(side), 404, "create it first with POST")
    for claim in (lambda: None, idle.store.claim):
        assert routes.post(side).json()["state"] == "waiting"
        claim()
        assert_problem(routes.get(side), 409, "is being created; wait until it is ready")


def dub(idle: Service) -> Job:
    return idle.store.add(Job(owner=ME, kind="dub", video="film", priority=4))


async def states(idle: Service, job: str, after_first: Any = lambda: None) -> list[str]:  # noqa: ANN401 - a callback
    """The states of which a client is told within a few seconds."""
    told: list[str] = []
    response = await jobs.stream_events(job, idle, ME)
    async with asyncio.timeout(10):
        async for event in response.body_iterator:
            told.append(cast("Any", event).data.partition('"state":"')[2].partition('"')[0])
            after_first()
    return told


def test_events_end_when_their_dub_expires(idle: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_POLL_INTERVAL", 0.01)
    job = dub(idle)
    assert asyncio.run(states(idle, job.id, lambda: idle.store.delete(jobs=[job.id]))) == ["queued"]


def test_a_change_is_told_once(idle: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often the dub is read meanwhile."""
    reads: list[int] = []
    own = Service.dub

    def read(service: Service, name: str, owner: str) -> Job:
        reads.append(1)
        if len(reads) == 5:
            ended(service, name)
        return own(service, name, owner)

    monkeypatch.setattr(jobs, "_POLL_INTERVAL", 0.01)
    monkeypatch.setattr(Service, "dub", read)
    assert asyncio.run(states(idle, dub(idle).id)) == ["queued", "done"]


def test_a_change_while_a_dub_is_read_is_not_missed(idle: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Service.dub

    def read(service: Service, name: str, owner: str) -> Job:
        found = own(service, name, owner)
        if found.state == "queued" and len(reads) == 1:
            ended(service, name)
            loops[0].call_soon_threadsafe(service.supervisor._publish_change)
        reads.append(1)
        return found

    async def follow() -> list[str]:
        loops.append(asyncio.get_running_loop())
        return await states(idle, dub(idle).id)

    reads: list[int] = []
    loops: list[asyncio.AbstractEventLoop] = []
    monkeypatch.setattr(jobs, "_POLL_INTERVAL", 60.0)
    monkeypatch.setattr(Service, "dub", read)
    assert asyncio.run(follow()) == ["queued", "done"]
