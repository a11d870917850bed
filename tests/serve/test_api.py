"""The HTTP API, tested with httpx against the running command."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import video_samples
from dub_samples import no_face, write_wav
from lipsmith.client import Client
from lipsmith.errors import InputError, UsageError
from lipsmith.media import open_sound, probe, read_frames
from service import RunningService, assert_problem, upload_file, wait_for_faces, wait_for_job, wait_until
from synthetic import face_at, make_film, speech

UNKNOWN = "0" * 32
"""An id that no upload has."""

Uploads = dict[str, str]


def wait_for_analysis(client: httpx.Client, upload: str, state: str) -> None:
    wait_until(lambda: client.get(f"/v1/uploads/{upload}").json()["state"] == state)


def test_an_upload_returns_its_hash_and_later_its_properties(client: httpx.Client, film: Path) -> None:
    response = client.post("/v1/uploads", files={"file": ("../../film.mp4", film.read_bytes())})
    assert response.status_code == 201
    sent = response.json()
    assert response.headers["location"] == f"/v1/uploads/{sent['id']}"
    assert sent["sha256"] == hashlib.sha256(film.read_bytes()).hexdigest()
    assert sent["bytes"] == film.stat().st_size
    assert wait_for_faces(client, sent["id"]).status_code == 200
    seen = client.get(f"/v1/uploads/{sent['id']}").json()
    assert (seen["state"], seen["kind"], seen["width"], seen["height"]) == ("ready", "film", 160, 160)
    assert (seen["seconds"], seen["rate"], seen["sound"]) == (pytest.approx(0.4, abs=0.03), 25.0, True)


def test_the_same_file_is_the_same_upload_for_one_client(
    client: httpx.Client, service: RunningService, film: Path
) -> None:
    first = upload_file(client, film)
    assert upload_file(client, film) == first
    with service.client() as other:
        assert upload_file(other, film) != first


def test_faces_have_numbers_positions_and_thumbnails(client: httpx.Client, film: Path) -> None:
    (face,) = wait_for_faces(client, upload_file(client, film)).json()["faces"]
    assert (face["number"], face["shot"], face["frames"]) == (1, 0, 10)
    assert abs(face["x"] - 80) < 30
    assert face["thumbnail"].startswith("data:image/jpeg;base64,")


def test_a_dub_can_be_requested_and_downloaded(client: httpx.Client, uploads: Uploads, tmp_path: Path) -> None:
    response = client.post("/v1/jobs", json=uploads | {"compare": True})
    assert response.status_code == 202
    job = response.json()["id"]
    assert response.headers["location"] == f"/v1/jobs/{job}"
    done = wait_for_job(client, job)
    assert (done["state"], done["progress"], done["problem"]) == ("done", 1.0, None)
    assert done["figures"]["frames"] == 10  # type: ignore[index]
    for name in ("result", "before"):
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(client.get(f"/v1/jobs/{job}/{name}").content)
        assert (probe(path).width, probe(path).frames) == (160, 10)
        assert probe(path).has_audio
    assert "Synthetic" in probe(tmp_path / "result.mp4").metadata["comment"]


def test_a_side_by_side_film_does_not_need_the_uploads(
    client: httpx.Client, uploads: Uploads, service: RunningService, tmp_path: Path
) -> None:
    job = client.post("/v1/jobs", json=uploads | {"compare": True}).json()["id"]
    wait_for_job(client, job)
    for upload in uploads.values():
        assert client.delete(f"/v1/uploads/{upload}").status_code == 204
    worker = service.worker()  # a new one has not probed the uploads
    assert worker is not None
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: service.worker() not in (None, worker))
    wait_until(lambda: client.post(f"/v1/jobs/{job}/side-by-side").json()["state"] == "ready", 60)
    path = tmp_path / "side.mp4"
    path.write_bytes(client.get(f"/v1/jobs/{job}/side-by-side").content)
    assert (probe(path).width, probe(path).frames) == (320, 10)


def test_a_side_by_side_film_that_fails_is_reported_before_it_is_tried_again(
    client: httpx.Client, uploads: Uploads, service: RunningService
) -> None:
    job = client.post("/v1/jobs", json=uploads | {"compare": True}).json()["id"]
    wait_for_job(client, job)
    result = service.data / "jobs" / job / "result.mp4"
    film = result.read_bytes()
    result.write_bytes(b"damaged")
    wait_until(lambda: client.post(f"/v1/jobs/{job}/side-by-side").status_code == 422, 30)
    result.write_bytes(film)
    wait_until(lambda: client.post(f"/v1/jobs/{job}/side-by-side").json()["state"] == "ready", 60)


def test_what_can_be_read_has_a_head(client: httpx.Client, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads).json()["id"]
    wait_for_job(client, job)
    pages = ["/", "/live", "/docs", "/openapi.json", "/healthz", "/metrics"]
    for path in [*pages, "/v1/jobs", f"/v1/jobs/{job}", f"/v1/uploads/{uploads['video']}"]:
        response = client.head(path)
        assert (response.status_code, response.content) == (200, b""), path
        assert response.headers["content-type"] == client.get(path).headers["content-type"]


@pytest.mark.parametrize(("start", "linked"), [(None, True), (0.12, False)])
def test_before_shows_the_synchronized_footage(
    client: httpx.Client, uploads: Uploads, film: Path, tmp_path: Path, start: float | None, linked: bool
) -> None:
    job = client.post("/v1/jobs", json=uploads | {"compare": True, "start": start, "fit": "cut"}).json()["id"]
    assert wait_for_job(client, job)["state"] == "done"
    path = tmp_path / "before.mp4"
    path.write_bytes(client.get(f"/v1/jobs/{job}/before").content)
    assert (path.read_bytes() == film.read_bytes()) == linked
    skipped = round(25 * (start or 0))
    for filmed, shown in zip(list(read_frames(film))[skipped:], read_frames(path), strict=True):
        assert shown.time == pytest.approx(filmed.time - skipped / 25, abs=1e-3)
        assert abs(shown.image.astype(int) - filmed.image).mean() < 6


def test_results_support_range_requests(client: httpx.Client, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads).json()["id"]
    wait_for_job(client, job)
    whole = client.get(f"/v1/jobs/{job}/result")
    assert whole.headers["accept-ranges"] == "bytes"
    part = client.get(f"/v1/jobs/{job}/result", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    beyond = client.get(f"/v1/jobs/{job}/result", headers={"Range": f"bytes={10**9}-"})
    assert_problem(beyond, 416, str(len(whole.content)))
    assert beyond.headers["content-range"] == f"bytes */{len(whole.content)}"
    assert_problem(client.get(f"/v1/jobs/{job}/result", headers={"Range": "bytes=5-2"}), 400)
    assert client.head(f"/v1/jobs/{job}/result").headers["content-length"] == str(len(whole.content))


def test_events_report_every_change_and_then_end(client: httpx.Client, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads).json()["id"]
    with client.stream("GET", f"/v1/jobs/{job}/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        states = [json.loads(line[5:])["state"] for line in response.iter_lines() if line.startswith("data:")]
    assert states[-1] == "done"
    assert states == sorted(states, key=["queued", "running", "done"].index)


def test_a_preview_has_the_requested_length(client: httpx.Client, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads | {"preview": 0.2}).json()["id"]
    assert wait_for_job(client, job)["figures"]["frames"] == 5  # type: ignore[index]


def test_a_preview_says_the_first_words_of_a_film_whose_picture_begins_late(
    client: httpx.Client, uploads: Uploads, tmp_path: Path
) -> None:
    """Nothing is heard after its first picture. The sides of the result are even."""
    words = np.concatenate([speech(1.0)[8000:12800], np.zeros(4800, np.float32)])
    times = [0.4, 0.44, 0.48]
    late = video_samples.film(tmp_path / "a.mkv", [np.zeros((32, 32, 3), np.uint8)] * 3, audio=words, times=times)
    Image.fromarray(face_at(0, (161, 161))).save(tmp_path / "odd.png")
    fields = {"video": upload_file(client, tmp_path / "odd.png"), "speech": upload_file(client, late), "preview": 0.2}
    job = client.post("/v1/jobs", json=fields | {"side_by_side": True}).json()["id"]
    figures = wait_for_job(client, job)["figures"]
    path = tmp_path / "result.mp4"
    path.write_bytes(client.get(f"/v1/jobs/{job}/result").content)
    assert np.abs(np.concatenate(list(open_sound(path).blocks), axis=1)).max() > 0.05
    assert figures["width"] == probe(path).width  # type: ignore[index]


def test_a_job_can_select_a_part_and_a_face(client: httpx.Client, uploads: Uploads) -> None:
    request = uploads | {"start": 0.1, "end": 0.3, "face": "1", "side_by_side": True}
    done = wait_for_job(client, client.post("/v1/jobs", json=request).json()["id"])
    assert done["state"] == "done"
    failed = wait_for_job(client, client.post("/v1/jobs", json=request | {"face": "7"}).json()["id"])
    assert failed["state"] == "failed"
    assert "no face number 7" in str(failed["problem"])


def test_a_job_can_select_the_precision(client: httpx.Client, uploads: Uploads) -> None:
    films = set()
    for precision in ("float", "int8"):
        job = client.post("/v1/jobs", json=uploads | {"precision": precision}).json()["id"]
        done = wait_for_job(client, job)
        assert done["state"] == "done", done["problem"]
        films.add(client.get(f"/v1/jobs/{job}/result").content)
    assert len(films) == 2
    assert_problem(client.post("/v1/jobs", json=uploads | {"precision": "half"}), 422, "precision")


def test_a_job_can_add_a_background(client: httpx.Client, uploads: Uploads, service: RunningService) -> None:
    done = wait_for_job(
        client, client.post("/v1/jobs", json=uploads | {"background": uploads["speech"], "gain": -6}).json()["id"]
    )
    assert done["state"] == "done", done["problem"]
    with service.client() as other:
        assert_problem(other.post("/v1/jobs", json=uploads), 404)
    assert_problem(client.post("/v1/jobs", json=uploads | {"background": UNKNOWN}), 404)


def test_a_second_dub_reuses_the_prepared_clip(client: httpx.Client, uploads: Uploads, tmp_path: Path) -> None:
    first = wait_for_job(client, client.post("/v1/jobs", json=uploads).json()["id"])
    speech_ = upload_file(client, write_wav(tmp_path / "other.wav", speech(0.2)))
    second = wait_for_job(client, client.post("/v1/jobs", json=uploads | {"speech": speech_}).json()["id"])
    assert first["state"] == second["state"] == "done"
    assert second["figures"]["preparing_seconds"] < first["figures"]["preparing_seconds"]  # type: ignore[index]


def test_queued_and_running_jobs_can_be_canceled(client: httpx.Client, tmp_path: Path) -> None:
    video = upload_file(client, make_film(tmp_path / "film.mp4", 0.4, 25, (160, 160)))
    words = upload_file(client, write_wav(tmp_path / "long.wav", speech(50)))
    running, waiting = (client.post("/v1/jobs", json={"video": video, "speech": words}).json()["id"] for _ in range(2))
    wait_until(lambda: client.get(f"/v1/jobs/{running}").json()["stage"] == "dubbing")
    assert client.get(f"/v1/jobs/{waiting}").json()["ahead"] == 1
    assert client.delete(f"/v1/jobs/{waiting}").json()["state"] == "cancelled"
    assert_problem(client.delete(f"/v1/jobs/{waiting}"), 409)
    # A short job interrupts a long one.
    preview = client.post("/v1/jobs", json={"video": video, "speech": words, "preview": 0.1}).json()["id"]
    assert wait_for_job(client, preview)["state"] == "done"
    assert client.get(f"/v1/jobs/{running}").json()["state"] == "running"
    assert_problem(client.get(f"/v1/jobs/{running}/result"), 409)
    assert client.delete(f"/v1/jobs/{running}").status_code == 202
    assert wait_for_job(client, running)["state"] == "cancelled"
    assert_problem(client.get(f"/v1/jobs/{running}/result"), 409, "is cancelled", "request the dub again")
    assert [job["state"] for job in client.get("/v1/jobs").json()] == ["done", "cancelled", "cancelled"]


def test_footage_without_a_face_fails(client: httpx.Client, voice: Path, tmp_path: Path) -> None:
    sea = upload_file(client, no_face(tmp_path))
    assert_problem(wait_for_faces(client, sea), 422, "no face")
    job = client.post("/v1/jobs", json={"video": sea, "speech": upload_file(client, voice)}).json()["id"]
    failed = wait_for_job(client, job)
    assert failed["state"] == "failed"
    assert str(tmp_path.parent) not in str(failed["problem"])
    assert "uploads" not in str(failed["problem"])


def test_uploads_must_fit_their_role(client: httpx.Client, voice: Path, tmp_path: Path) -> None:
    words = upload_file(client, voice)
    silent = upload_file(client, make_film(tmp_path / "silent.mp4", 0.2, 25, (160, 160)))
    for upload in (words, silent):
        wait_for_analysis(client, upload, "ready")
    assert_problem(client.post("/v1/jobs", json={"video": words, "speech": words}), 422, "video")
    assert_problem(client.post("/v1/jobs", json={"video": silent, "speech": silent}), 422, "speech")


def test_sending_a_file_again_repeats_what_failed(service: RunningService, client: httpx.Client, film: Path) -> None:
    upload = upload_file(client, film)
    wait_for_analysis(client, upload, "ready")
    with closing(sqlite3.connect(service.data / "jobs.sqlite")) as database, database:
        database.execute("UPDATE job SET state = 'failed', problem = 'full' WHERE video = ?", (upload,))
    assert client.get(f"/v1/uploads/{upload}").json()["problem"] == "full"
    assert upload_file(client, film) == upload
    wait_for_analysis(client, upload, "ready")


def test_an_upload_is_deleted_with_what_was_prepared_of_it(
    service: RunningService, client: httpx.Client, tmp_path: Path
) -> None:
    voice = write_wav(tmp_path / "own.wav", speech(0.3))
    prepared = service.data / "clips" / hashlib.sha256(voice.read_bytes()).hexdigest()
    prepared.mkdir()
    upload = upload_file(client, voice)
    with service.client() as other:
        second = upload_file(other, voice)
        assert other.delete(f"/v1/uploads/{second}").status_code == 204  # also while it is probed
    assert prepared.exists()
    assert client.delete(f"/v1/uploads/{upload}").status_code == 204
    assert not prepared.exists()


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ({}, "video is missing"),
        ({"video": UNKNOWN, "speech": UNKNOWN, "color": "red"}, "color is unknown"),
        ({"video": UNKNOWN, "speech": UNKNOWN, "strength": 5}, "strength must be less than or equal to 2"),
        ({"video": UNKNOWN, "speech": UNKNOWN, "start": "soon"}, "start must be a valid number"),
        ({"video": "actor.mp4", "speech": UNKNOWN}, "video must be an id from an earlier response"),
        ({"video": UNKNOWN, "language": "English"}, "language must be three lowercase letters such as eng"),
        ({"video": UNKNOWN, "speeches": {"0": UNKNOWN}}, "speeches.0 must be greater than or equal to 1"),
        ({"video": UNKNOWN}, "Give speech, or speeches with one for each face"),
        (
            {"video": UNKNOWN, "speech": UNKNOWN, "speeches": {"1": UNKNOWN}},
            "Give speech, or speeches with one for each face",
        ),
        (
            {"video": UNKNOWN, "speech": UNKNOWN, "start": 2, "end": 2},
            "The end is not after the start; choose a later end",
        ),
    ],
)
def test_an_invalid_field_is_named_in_a_sentence(client: httpx.Client, field: dict[str, object], sentence: str) -> None:
    response = client.post("/v1/jobs", json=field)
    assert_problem(response, 422)
    assert response.json()["detail"] == f"{sentence}; see /docs."


def test_media_that_are_too_long_are_rejected(client: httpx.Client, tmp_path: Path) -> None:
    words = upload_file(client, write_wav(tmp_path / "long.wav", speech(61)))
    wait_for_analysis(client, words, "failed")
    assert client.get(f"/v1/uploads/{words}").json()["problem"].startswith("The file lasts 1.0 minutes")


def test_deleting_removes_rows_and_files(client: httpx.Client, service: RunningService, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads).json()["id"]
    wait_for_job(client, job)
    assert_problem(client.post(f"/v1/jobs/{job}/side-by-side"), 404, "dub again with compare")
    assert_problem(client.get(f"/v1/jobs/{job}/side-by-side"), 404, "create it first with POST")
    assert client.delete(f"/v1/jobs/{job}/result").status_code == 204
    assert_problem(client.get(f"/v1/jobs/{job}"), 404)
    assert not (service.data / "jobs" / job).exists()
    assert client.delete(f"/v1/uploads/{uploads['video']}").status_code == 204
    assert not (service.data / "uploads" / uploads["video"]).exists()


def test_invalid_bodies_are_rejected(client: httpx.Client) -> None:
    def post(content: bytes) -> httpx.Response:
        return client.post("/v1/uploads", files={"file": content})

    assert_problem(post(b""), 422, "empty")
    assert_problem(post(b"#EXTM3U\nfile:///etc/passwd\n"), 415, "convert")
    assert_problem(post(b"RIFF0000WAVE" + bytes(20_000_001)), 413, "20 MB")
    assert_problem(client.post("/v1/uploads", json={}), 415, "form")
    assert_problem(client.post("/v1/jobs", content=b"{}"), 415, "Content-Type")
    kind = {"Content-Type": "application/json"}
    assert_problem(client.post("/v1/jobs", content=b"{", headers=kind), 400, "JSON")
    for content in (b"\xff", b"[" * 60_000):
        assert_problem(client.post("/v1/jobs", content=content, headers=kind), 400, "see /docs")
    assert_problem(client.post("/v1/jobs", json=[]), 422, "must be an object with video and speech")


def test_the_jobs_of_a_client_are_limited(client: httpx.Client, tmp_path: Path) -> None:
    video = upload_file(client, make_film(tmp_path / "film.mp4", 0.4, 25, (160, 160)))
    request = {"video": video, "speech": upload_file(client, write_wav(tmp_path / "long.wav", speech(40)))}
    responses = [client.post("/v1/jobs", json=request) for _ in range(25)]
    rejected = [response for response in responses if response.status_code == 429]
    assert len(rejected) >= 5
    assert_problem(rejected[0], 429)
    assert int(rejected[0].headers["retry-after"]) > 0
    for response in responses:
        if response.status_code == 202:
            client.delete(response.headers["location"])


def test_health_metrics_and_api_description(client: httpx.Client) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    assert "lipsmith_worker_up 1.0" in client.get("/metrics").text
    described = client.get("/openapi.json").json()
    assert {"/v1/uploads", "/v1/uploads/{upload}/faces", "/v1/jobs", "/v1/jobs/{job}/result"} <= set(described["paths"])
    page = client.get("/docs").text
    assert "POST /v1/uploads" in page
    assert "the multipart field <code>file</code>" in page
    assert "`" not in page
    assert "http" not in page.replace("http.", "")


def test_the_python_client_dubs(service: RunningService, film: Path, voice: Path, tmp_path: Path) -> None:
    with Client(service.url) as client:
        video = client.upload(film)
        assert [face["number"] for face in client.faces(video, end=0.2)] == [1]
        with pytest.raises(TypeError, match="stop"):
            client.faces(video, stop=0.2)  # type: ignore[call-arg]
        job = client.dub(video, client.upload(voice), face="largest")
        assert [seen.state for seen in client.watch(job.id)][-1] == "done"
        assert probe(client.save(job.id, tmp_path / "dubbed.mp4")).frames == 10
        assert [seen.id for seen in client.jobs()] == [job.id]
        with pytest.raises(UsageError, match="has ended"):
            client.cancel(job.id)
        with pytest.raises(InputError, match="face"):
            client.dub(video, video, face="nose")
        with pytest.raises(InputError, match="cannot be read"):
            client.upload(tmp_path / "missing.mp4")
        (tmp_path / "empty.mp4").touch()
        with pytest.raises(InputError, match="empty"):
            client.upload(tmp_path / "empty.mp4")
        with pytest.raises(UsageError, match="create it first"):
            client.save(job.id, tmp_path / "missing" / "dubbed.mp4")
