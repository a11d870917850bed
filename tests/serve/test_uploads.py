"""Routes of uploads, without a worker: what is counted, refused, kept and queued."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the service needs the serve extra")

import httpx
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy.exc import OperationalError

from lipsmith.serve.service import Service
from lipsmith.serve.store import Store, Upload
from service import assert_problem, upload_file

WORDS, MUSIC = b"RIFF0000WAVE", b"RIFF0001WAVE"


def stored(idle: Service) -> list[str]:
    """Names of the files of uploads."""
    return [path.name for path in idle.settings.upload("one").parent.iterdir()]


def send(routes: TestClient, content: bytes) -> httpx.Response:
    response: httpx.Response = routes.post("/v1/uploads", files={"file": content})
    return response


@pytest.mark.parametrize(("content", "status"), [(b"", 422), (b"dear diary", 415), (WORDS + bytes(100), 413)])
def test_a_refused_upload_leaves_no_file_and_does_not_count(
    routes: TestClient, idle: Service, content: bytes, status: int
) -> None:
    """A client may send four at once, and have five."""
    idle.settings = replace(idle.settings, max_upload=100, uploads_per_client=5)
    for _ in range(6):
        assert_problem(send(routes, content), status)
    assert stored(idle) == []
    assert {upload_file(routes, WORDS + bytes([number])) for number in range(5)} == set(stored(idle))
    assert_problem(send(routes, MUSIC), 429, "too many uploads")


def test_the_disk_must_have_room_for_what_a_client_announces(
    routes: TestClient, idle: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most for what the service accepts."""
    sizes: list[int] = []
    monkeypatch.setattr(Service, "check_disk", lambda idle, size: sizes.append(size))
    request = routes.build_request("POST", "/v1/uploads", files={"file": WORDS})
    routes.send(request)
    assert sizes[0] == int(request.headers["content-length"])
    idle.settings = replace(idle.settings, max_upload=20)
    sizes.clear()
    assert_problem(send(routes, WORDS * 2), 413)
    assert sizes[0] == 20


def test_an_upload_whose_probe_the_queue_refuses_is_not_stored(routes: TestClient, idle: Service) -> None:
    idle.settings = replace(idle.settings, jobs_per_client=1)
    first = upload_file(routes, WORDS)
    assert_problem(send(routes, MUSIC), 429, "too many active jobs")
    assert stored(idle) == [first]
    assert idle.store.ids()[0] == {first}


def test_an_upload_that_the_database_does_not_take_is_not_stored(
    routes: TestClient, idle: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk needs the space of its file."""
    add = Store.add

    def fail(store: Store, row: Any) -> Any:  # noqa: ANN401 - an upload or a job
        if isinstance(row, Upload):
            raise OperationalError("INSERT", {}, OSError("database or disk is full"))
        return add(store, row)

    monkeypatch.setattr(Store, "add", fail)
    assert_problem(send(routes, WORDS), 503, "full disk")
    assert stored(idle) == []


def test_a_file_that_is_gone_is_stored_again(routes: TestClient, idle: Service) -> None:
    first = upload_file(routes, WORDS)
    idle.settings.upload(first).unlink()
    assert upload_file(routes, WORDS) != first
    assert len(stored(idle)) == 1


def test_a_file_that_was_never_probed_is_probed_when_it_is_sent_again(routes: TestClient, idle: Service) -> None:
    upload = upload_file(routes, WORDS)
    idle.store.delete(jobs=list(idle.store.ids()[1]))
    assert upload_file(routes, WORDS) == upload
    assert idle.store.counts_by_state() == {("probe", "queued"): 1}


def test_what_failed_is_tried_again_when_a_file_is_sent_again(routes: TestClient, idle: Service) -> None:
    upload = upload_file(routes, WORDS)
    routes.get(f"/v1/uploads/{upload}/faces")
    while (job := idle.store.claim()) is not None:
        idle.store.finish(job.id, "failed", {}, "The disk was full.")
    assert_problem(routes.get(f"/v1/uploads/{upload}/faces"), 422, "disk was full")
    assert upload_file(routes, WORDS) == upload
    assert idle.store.counts_by_state() == {("probe", "queued"): 1}
    assert routes.get(f"/v1/uploads/{upload}/faces").json()["state"] == "waiting"


@pytest.mark.parametrize(("pixels", "status"), [(48, 201), (47, 413)])
def test_a_picture_has_the_most_pixels_that_the_service_allows(
    routes: TestClient, idle: Service, pixels: int, status: int
) -> None:
    idle.settings = replace(idle.settings, max_pixels=pixels)
    picture = io.BytesIO()
    Image.new("RGB", (8, 6)).save(picture, "PNG")
    assert send(routes, picture.getvalue()).status_code == status


def test_faces_are_looked_for_once_in_each_part(routes: TestClient, idle: Service) -> None:
    upload = upload_file(routes, WORDS)
    parts: list[dict[str, Any]] = [{}, {"start": 1.0}, {"end": 2.0}, {"start": 1.0, "end": 2.0}]
    for part in 2 * parts:
        response = routes.get(f"/v1/uploads/{upload}/faces", params=part)
        assert (response.status_code, response.headers["retry-after"]) == (202, "1")
    assert idle.store.counts_by_state()["faces", "queued"] == 4
    for part in parts:
        job = idle.store.latest("faces", upload, {"start": None, "end": None} | part)
        assert job is not None


@pytest.mark.parametrize("part", [{}, {"start": 1.0}])
def test_faces_of_other_clients_are_not_looked_for(routes: TestClient, idle: Service, part: dict[str, float]) -> None:
    upload = upload_file(TestClient(routes.app, base_url="http://localhost"), WORDS)
    assert_problem(routes.get(f"/v1/uploads/{upload}/faces", params=part), 404, "no such upload")
    assert idle.store.counts_by_state() == {("probe", "queued"): 1}


@pytest.mark.parametrize("part", [{"end": 0.0}, {"start": 1.0, "end": 1.0}, {"start": 2.0, "end": 1.0}])
def test_faces_of_no_footage_are_not_looked_for(routes: TestClient, idle: Service, part: dict[str, float]) -> None:
    upload = upload_file(routes, WORDS)
    assert_problem(routes.get(f"/v1/uploads/{upload}/faces", params=part), 422, "end is not after start")
    assert idle.store.counts_by_state() == {("probe", "queued"): 1}


def test_a_canceled_search_for_faces_begins_again(routes: TestClient, idle: Service) -> None:
    upload = upload_file(routes, WORDS)
    for _ in range(2):
        assert routes.get(f"/v1/uploads/{upload}/faces").json()["state"] == "waiting"
        job = idle.store.latest("faces", upload, {"start": None, "end": None})
        assert job is not None
        idle.store.cancel(job.id)
    assert idle.store.counts_by_state()["faces", "cancelled"] == 2


def test_a_search_for_faces_is_stopped_in_its_part_alone(routes: TestClient, idle: Service) -> None:
    address = f"/v1/uploads/{upload_file(routes, WORDS)}/faces"
    for part in ({}, {"start": 1.0}):
        routes.get(address, params=part)
    for part, status in (({"start": 1.0}, 204), ({"end": 2.0}, 204), ({"start": -1.0}, 422)):
        assert routes.delete(address, params=part).status_code == status
    other = TestClient(routes.app, base_url="http://localhost")
    assert_problem(other.delete(address), 404, "no such upload")
    assert idle.store.counts_by_state() == {("probe", "queued"): 1, ("faces", "queued"): 1}
