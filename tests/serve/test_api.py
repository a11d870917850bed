"""The API as its clients see it, asked by httpx of the running command."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import httpx
import pytest

from dub_samples import no_face, write_wav
from lipsmith.client import Client
from lipsmith.errors import InputError, UsageError
from lipsmith.media import probe, read_frames
from service import Running, ended, found_faces, running, send
from synthetic import make_film, speech

Uploads = dict[str, str]


def assert_problem(answer: httpx.Response, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert (document["status"], document["type"]) == (status, "about:blank")
    assert document["title"]
    assert all(word in document["detail"] for word in words), document["detail"]


def test_an_upload_is_known_by_its_hash_and_then_by_what_it_holds(client: httpx.Client, film: Path) -> None:
    answer = client.post("/v1/uploads", files={"file": ("../../film.mp4", film.read_bytes())})
    assert answer.status_code == 201
    sent = answer.json()
    assert answer.headers["location"] == f"/v1/uploads/{sent['id']}"
    assert sent["sha256"] == hashlib.sha256(film.read_bytes()).hexdigest()
    assert sent["bytes"] == film.stat().st_size
    assert found_faces(client, sent["id"]).status_code == 200
    seen = client.get(f"/v1/uploads/{sent['id']}").json()
    assert (seen["state"], seen["kind"], seen["width"], seen["height"]) == ("ready", "film", 160, 160)
    assert (seen["seconds"], seen["rate"], seen["sound"]) == (pytest.approx(0.4, abs=0.03), 25.0, True)


def test_the_same_file_again_is_the_same_upload(client: httpx.Client, service: Running, film: Path) -> None:
    first = send(client, film)
    assert send(client, film) == first
    with service.client() as other:
        assert send(other, film) != first


def test_faces_have_numbers_places_and_pictures(client: httpx.Client, film: Path) -> None:
    (face,) = found_faces(client, send(client, film)).json()["faces"]
    assert (face["number"], face["shot"], face["frames"]) == (1, 0, 10)
    assert abs(face["x"] - 80) < 30
    assert face["thumbnail"].startswith("data:image/jpeg;base64,")


def test_a_dub_is_accepted_made_and_fetched(client: httpx.Client, uploads: Uploads, tmp_path: Path) -> None:
    answer = client.post("/v1/jobs", json=uploads | {"compare": True})
    assert answer.status_code == 202
    job = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/jobs/{job}"
    done = ended(client, job)
    assert (done["state"], done["progress"], done["problem"]) == ("done", 1.0, None)
    assert done["figures"]["frames"] == 10  # type: ignore[index]
    for name in ("result", "before"):
        path = tmp_path / f"{name}.mp4"
        path.write_bytes(client.get(f"/v1/jobs/{job}/{name}").content)
        assert (probe(path).width, probe(path).frames) == (160, 10)
        assert probe(path).has_audio
    assert "Synthetic" in probe(tmp_path / "result.mp4").metadata["comment"]


@pytest.mark.parametrize(("start", "linked"), [(None, True), (0.12, False)])
def test_before_shows_the_footage_in_step(
    client: httpx.Client, uploads: Uploads, film: Path, tmp_path: Path, start: float | None, linked: bool
) -> None:
    job = client.post("/v1/jobs", json=uploads | {"compare": True, "start": start, "fit": "cut"}).json()["id"]
    assert ended(client, job)["state"] == "done"
    path = tmp_path / "before.mp4"
    path.write_bytes(client.get(f"/v1/jobs/{job}/before").content)
    assert (path.read_bytes() == film.read_bytes()) == linked
    skipped = round(25 * (start or 0))
    for filmed, shown in zip(list(read_frames(film))[skipped:], read_frames(path), strict=True):
        assert shown.time == pytest.approx(filmed.time - skipped / 25, abs=1e-3)
        assert abs(shown.image.astype(int) - filmed.image).mean() < 6


def test_a_result_is_served_in_ranges(client: httpx.Client, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads).json()["id"]
    ended(client, job)
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


def test_events_tell_of_every_change_and_end(client: httpx.Client, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads).json()["id"]
    with client.stream("GET", f"/v1/jobs/{job}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        states = [json.loads(line[5:])["state"] for line in answer.iter_lines() if line.startswith("data:")]
    assert states[-1] == "done"
    assert states == sorted(states, key=["queued", "running", "done"].index)


def test_a_preview_ends_early(client: httpx.Client, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads | {"preview": 0.2}).json()["id"]
    assert ended(client, job)["figures"]["frames"] == 5  # type: ignore[index]


def test_a_stretch_and_its_face_are_chosen(client: httpx.Client, uploads: Uploads) -> None:
    wanted = uploads | {"start": 0.1, "end": 0.3, "face": "1", "side_by_side": True}
    done = ended(client, client.post("/v1/jobs", json=wanted).json()["id"])
    assert done["state"] == "done"
    failed = ended(client, client.post("/v1/jobs", json=wanted | {"face": "7"}).json()["id"])
    assert failed["state"] == "failed"
    assert "no face number 7" in str(failed["problem"])


def test_the_numbers_of_the_renderer_are_chosen(client: httpx.Client, uploads: Uploads) -> None:
    films = set()
    for precision in ("float", "int8"):
        job = client.post("/v1/jobs", json=uploads | {"precision": precision}).json()["id"]
        done = ended(client, job)
        assert done["state"] == "done", done["problem"]
        films.add(client.get(f"/v1/jobs/{job}/result").content)
    assert len(films) == 2
    assert_problem(client.post("/v1/jobs", json=uploads | {"precision": "half"}), 422, "precision")


def test_music_is_heard_under_the_speech(client: httpx.Client, uploads: Uploads, service: Running) -> None:
    done = ended(
        client, client.post("/v1/jobs", json=uploads | {"background": uploads["speech"], "gain": -6}).json()["id"]
    )
    assert done["state"] == "done", done["problem"]
    with service.client() as other:
        assert_problem(other.post("/v1/jobs", json=uploads), 404)
    assert_problem(client.post("/v1/jobs", json=uploads | {"background": "0" * 32}), 404)


def test_another_speech_needs_no_preparing(client: httpx.Client, uploads: Uploads, tmp_path: Path) -> None:
    first = ended(client, client.post("/v1/jobs", json=uploads).json()["id"])
    speech_ = send(client, write_wav(tmp_path / "other.wav", speech(0.2)))
    second = ended(client, client.post("/v1/jobs", json=uploads | {"speech": speech_}).json()["id"])
    assert first["state"] == second["state"] == "done"
    assert second["figures"]["preparing_seconds"] < first["figures"]["preparing_seconds"]  # type: ignore[index]


def test_a_job_is_cancelled_waiting_and_running(client: httpx.Client, tmp_path: Path) -> None:
    video = send(client, make_film(tmp_path / "film.mp4", 0.4, 25, (160, 160)))
    words = send(client, write_wav(tmp_path / "long.wav", speech(50)))
    running_, waiting = (client.post("/v1/jobs", json={"video": video, "speech": words}).json()["id"] for _ in range(2))
    while client.get(f"/v1/jobs/{running_}").json()["stage"] != "dubbing":
        time.sleep(0.05)
    assert client.get(f"/v1/jobs/{waiting}").json()["ahead"] == 1
    assert client.delete(f"/v1/jobs/{waiting}").json()["state"] == "cancelled"
    assert_problem(client.delete(f"/v1/jobs/{waiting}"), 409)
    # What takes a moment does not wait for what takes minutes.
    preview = client.post("/v1/jobs", json={"video": video, "speech": words, "preview": 0.1}).json()["id"]
    assert ended(client, preview)["state"] == "done"
    assert client.get(f"/v1/jobs/{running_}").json()["state"] == "running"
    assert_problem(client.get(f"/v1/jobs/{running_}/result"), 409)
    assert client.delete(f"/v1/jobs/{running_}").status_code == 202
    assert ended(client, running_)["state"] == "cancelled"
    assert [job["state"] for job in client.get("/v1/jobs").json()] == ["done", "cancelled", "cancelled"]


def test_footage_without_a_face_is_a_problem(client: httpx.Client, voice: Path, tmp_path: Path) -> None:
    sea = send(client, no_face(tmp_path))
    assert_problem(found_faces(client, sea), 422, "no face")
    job = client.post("/v1/jobs", json={"video": sea, "speech": send(client, voice)}).json()["id"]
    failed = ended(client, job)
    assert failed["state"] == "failed"
    assert str(tmp_path.parent) not in str(failed["problem"])
    assert "uploads" not in str(failed["problem"])


def test_a_speech_is_no_film_and_a_silent_film_no_speech(client: httpx.Client, voice: Path, tmp_path: Path) -> None:
    words, silent = send(client, voice), send(client, make_film(tmp_path / "silent.mp4", 0.2, 25, (160, 160)))
    while any(client.get(f"/v1/uploads/{name}").json()["state"] == "waiting" for name in (words, silent)):
        time.sleep(0.05)
    assert_problem(client.post("/v1/jobs", json={"video": words, "speech": words}), 422, "video")
    assert_problem(client.post("/v1/jobs", json={"video": silent, "speech": silent}), 422, "speech")


def test_what_lasts_too_long_is_refused_before_it_is_decoded(client: httpx.Client, tmp_path: Path) -> None:
    words = send(client, write_wav(tmp_path / "long.wav", speech(61)))
    while (seen := client.get(f"/v1/uploads/{words}").json())["state"] == "waiting":
        time.sleep(0.05)
    assert (seen["state"], "1.0 minutes" in seen["problem"]) == ("failed", True)


def test_nobody_sees_what_is_anothers(client: httpx.Client, service: Running, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads).json()["id"]
    ended(client, job)
    with service.client() as other:
        assert other.get("/v1/jobs").json() == []
        for path in ("", "/events", "/result", "/before"):
            assert_problem(other.get(f"/v1/jobs/{job}{path}"), 404)
        assert_problem(other.delete(f"/v1/jobs/{job}"), 404)
        assert_problem(other.delete(f"/v1/jobs/{job}/result"), 404)
        assert_problem(other.get(f"/v1/uploads/{uploads['video']}"), 404)
        assert_problem(other.get(f"/v1/uploads/{uploads['video']}/faces"), 404)
        assert_problem(other.post("/v1/jobs", json=uploads), 404)
    assert client.get(f"/v1/jobs/{job}/result").status_code == 200


def test_what_is_removed_is_gone(client: httpx.Client, service: Running, uploads: Uploads) -> None:
    job = client.post("/v1/jobs", json=uploads).json()["id"]
    ended(client, job)
    assert client.delete(f"/v1/jobs/{job}/result").status_code == 204
    assert_problem(client.get(f"/v1/jobs/{job}"), 404)
    assert not (service.data / "jobs" / job).exists()
    assert client.delete(f"/v1/uploads/{uploads['video']}").status_code == 204
    assert not (service.data / "uploads" / uploads["video"]).exists()


def test_bodies_that_cannot_be_taken_are_problems(client: httpx.Client) -> None:
    def answer(content: bytes) -> httpx.Response:
        return client.post("/v1/uploads", files={"file": content})

    assert_problem(answer(b""), 400, "empty")
    assert_problem(answer(b"#EXTM3U\nfile:///etc/passwd\n"), 415, "convert")
    assert_problem(answer(b"RIFF0000WAVE" + bytes(20_000_001)), 413, "20 MB")
    assert_problem(client.post("/v1/uploads", json={}), 415, "form")
    assert_problem(client.post("/v1/jobs", content=b"{}"), 415, "Content-Type")
    kind = {"Content-Type": "application/json"}
    assert_problem(client.post("/v1/jobs", content=b"{", headers=kind), 400, "JSON")


def test_too_many_jobs_of_one_client_are_too_many(client: httpx.Client, tmp_path: Path) -> None:
    video = send(client, make_film(tmp_path / "film.mp4", 0.4, 25, (160, 160)))
    wanted = {"video": video, "speech": send(client, write_wav(tmp_path / "long.wav", speech(40)))}
    answers = [client.post("/v1/jobs", json=wanted) for _ in range(25)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 5
    assert_problem(refused[0], 429)
    assert int(refused[0].headers["retry-after"]) > 0
    for answer in answers:
        if answer.status_code == 202:
            client.delete(answer.headers["location"])


def test_every_answer_carries_the_headers_of_security(client: httpx.Client) -> None:
    for path in ("/", "/v1/jobs", "/static/style.css", "/nothing"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
    set_cookie = httpx.get(client.base_url).headers["set-cookie"]
    assert "HttpOnly" in set_cookie
    assert "SameSite=Strict" in set_cookie


def test_pages_of_other_sites_are_refused(client: httpx.Client) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert_problem(client.post("/v1/jobs", json={}, headers=headers), 403)
    assert_problem(client.get("/v1/jobs", headers={"Host": "evil.example"}), 400)


def test_health_metrics_and_the_description(client: httpx.Client) -> None:
    assert client.get("/healthz").json()["status"] == "ok"
    assert "lipsmith_worker_up 1.0" in client.get("/metrics").text
    described = client.get("/openapi.json").json()
    assert {"/v1/uploads", "/v1/uploads/{upload}/faces", "/v1/jobs", "/v1/jobs/{job}/result"} <= set(described["paths"])
    page = client.get("/docs").text
    assert "POST /v1/uploads" in page
    assert "http" not in page.replace("http.", "")


def test_a_token_admits(tmp_path: Path) -> None:
    with running(tmp_path / "data", "--host", "0.0.0.0", LIPSMITH_TOKEN="correct horse") as service:
        url = service.url.replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(base_url=url) as client:
            assert_problem(client.get("/v1/jobs"), 401)
            assert client.get("/v1/jobs").headers["www-authenticate"] == "Bearer"
            assert_problem(client.get("/v1/jobs", headers={"Authorization": "Bearer wrong"}), 401)
            assert client.get("/v1/jobs", headers={"Authorization": "Bearer correct horse"}).json() == []
            assert_problem(client.get("/metrics"), 401)
            assert client.get("/healthz").status_code == 200
            assert "password" in client.get("/").text
            assert client.post("/login", data={"token": "wrong horse"}).headers["location"] == "/?wrong"
            assert_problem(client.get("/v1/jobs"), 401)
            assert client.post("/login", data={"token": "correct horse"}).headers["location"] == "/"
            assert client.get("/v1/jobs").json() == []
            for _ in range(10):
                client.post("/login", data={"token": "wrong horse"})
            answer = client.post("/login", data={"token": "correct horse"})
            assert_problem(answer, 429)
            assert int(answer.headers["retry-after"]) > 0


def test_the_client_library_dubs(service: Running, film: Path, voice: Path, tmp_path: Path) -> None:
    with Client(service.url) as client:
        video = client.upload(film)
        assert [face["number"] for face in client.faces(video, end=0.2)] == [1]
        job = client.dub(video, client.upload(voice), face="largest")
        assert [seen.state for seen in client.watch(job.id)][-1] == "done"
        assert probe(client.save(job.id, tmp_path / "dubbed.mp4")).frames == 10
        assert [seen.id for seen in client.jobs()] == [job.id]
        with pytest.raises(UsageError, match="has ended"):
            client.cancel(job.id)
        with pytest.raises(InputError, match="face"):
            client.dub(video, video, face="nose")
