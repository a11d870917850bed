"""The page in headless Chromium.

With LIPSMITH_SHOTS=FOLDER the film is demo/actor.mp4, and a screenshot of every state is written there.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from dub_samples import two_faces, write_wav
from lipsmith.media import VideoWriter, probe
from lipsmith.serve.views import DubRequest
from service import RunningService, run_service, wait_until
from synthetic import DEMO, SPEECH, make_film, speech

sync_api = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SHOTS = os.environ.get("LIPSMITH_SHOTS")
FLAGS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")

TIMEOUT_MS = 600_000 if SHOTS else 90_000

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("footage")
    if SHOTS:
        return {"film": DEMO / "actor.mp4", "speech": SPEECH, "long": SPEECH}
    return {
        "film": make_film(folder / "film.mp4", 0.6, 25, (160, 160), audio=speech(0.6)),
        "speech": write_wav(folder / "speech.wav", speech(0.4)),
        "long": write_wav(folder / "long.wav", speech(40)),
    }


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    created = browser.new_context(viewport={"width": 900, "height": 800}, accept_downloads=True)
    created.set_default_timeout(TIMEOUT_MS)
    yield created
    created.close()


@pytest.fixture
def page(context: BrowserContext, service: RunningService) -> Iterator[Page]:
    """The page; script errors, console errors and requests to other servers fail the test."""
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    opened.on("request", lambda request: errors.append(request.url) if is_foreign(request.url, service.url) else None)
    opened.goto(service.url)
    yield opened
    assert [line for line in errors if "status of 4" not in line] == []


def is_foreign(request: str, own: str) -> bool:
    return not request.startswith(("blob:", "data:")) and urlsplit(request).netloc != urlsplit(own).netloc


def screenshot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def fill_in(page: Page, footage: dict[str, Path], words: str = "speech") -> None:
    """Choose film and speech, wait for faces, and give consent."""
    page.set_input_files("#film-file", footage["film"])
    page.set_input_files("#speech-file", footage[words])
    page.wait_for_selector("#faces .face")
    page.check("#consent")
    page.wait_for_selector("#dub:enabled")


def is_loaded(page: Page, name: str) -> bool:
    return bool(page.evaluate(f"document.getElementById('{name}').readyState > 1"))


def test_a_dub_from_upload_to_download(page: Page, footage: dict[str, Path], tmp_path: Path) -> None:
    screenshot(page, "1-empty")
    assert page.is_disabled("#preview")
    assert "Still needed" in page.inner_text("#missing")
    fill_in(page, footage)
    assert "Found: film" in page.inner_text("#film-status")
    page.click("#faces .face")
    assert page.is_checked('input[name="who"][value="chosen"]')
    page.check("#label")
    screenshot(page, "2-found")
    page.click("#preview")
    page.wait_for_selector("#result:not([hidden])")
    assert page.is_visible("#whole")
    page.click("#whole")
    page.wait_for_selector("#work:not([hidden])")
    if SHOTS:
        wait_until(lambda: page.evaluate("document.getElementById('progress').value > 0.3"))
    screenshot(page, "3-work")
    page.wait_for_selector("#result:not([hidden])")
    wait_until(lambda: is_loaded(page, "after") and is_loaded(page, "before"))
    screenshot(page, "4-result")
    with page.expect_download() as download:
        page.click("#download")
    dubbed = tmp_path / "dubbed.mp4"
    download.value.save_as(dubbed)
    width = probe(dubbed).width
    assert download.value.suggested_filename.endswith(".mp4")
    with page.expect_download() as download:
        page.click("#side")
    both = tmp_path / "both.mp4"
    download.value.save_as(both)
    assert (probe(both).width, probe(both).frames) == (2 * width, probe(dubbed).frames)
    assert page.locator("#history li").count() == 2
    page.locator("#history .remove").first.click()
    wait_until(lambda: page.locator("#history li").count() == 1)


def test_the_player_works_by_keyboard(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    page.focus("#dub")
    page.keyboard.press("Enter")
    page.wait_for_selector("#result:not([hidden])")
    wait_until(lambda: is_loaded(page, "after") and is_loaded(page, "before"))
    page.focus("#cut")
    page.keyboard.press("Home")
    assert page.evaluate("document.getElementById('compare').style.getPropertyValue('--cut')") == "0%"
    page.keyboard.press("End")
    assert page.evaluate("document.getElementById('compare').style.getPropertyValue('--cut')") == "100%"
    page.check('input[name="sound"][value="before"]')
    assert page.evaluate("[after.muted, before.muted].join()") == "true,false"
    page.evaluate("document.getElementById('after').playbackRate = 0.1")
    page.focus("#play")
    page.keyboard.press("Space")
    wait_until(lambda: page.evaluate("document.getElementById('after').currentTime > 0.01"))
    page.keyboard.press("Space")
    wait_until(
        lambda: page.evaluate("document.getElementById('after').paused && document.getElementById('before').paused")
    )
    place = "document.getElementById('{}').currentTime"
    page.focus("#place")
    page.keyboard.press("ArrowRight")
    wait_until(lambda: abs(page.evaluate(f"{place.format('after')} - {place.format('before')}")) < 0.05)
    page.click("#again")
    assert page.is_disabled("#dub")
    assert page.is_visible("#film-found")
    page.set_input_files("#speech-file", footage["long"])
    page.wait_for_selector("#dub:enabled")


def test_a_dub_can_be_canceled(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage, "long")
    page.click("#dub")
    page.wait_for_selector('[data-stage="dubbing"][aria-current]')
    page.click("#cancel")
    page.wait_for_selector("#work", state="hidden")
    wait_until(lambda: "cancelled" in page.inner_text("#history"))
    page.reload()
    wait_until(lambda: "cancelled" in page.inner_text("#history"))


def test_trimming_detects_faces_again(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    page.focus("#start")
    with page.expect_response(lambda answer: "faces?start=0.1" in answer.url and answer.status == 200):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#faces .face")
    assert page.inner_text("#start-shown") == "0.1 s"


def test_an_unusable_film_shows_a_problem(page: Page, tmp_path: Path) -> None:
    notes = tmp_path / "notes.mp4"
    notes.write_text("dear diary\n" * 50)
    page.set_input_files("#film-file", notes)
    page.wait_for_selector("#film-problem:not([hidden])")
    assert "not a known film" in page.inner_text("#film-problem")
    screenshot(page, "5-problem")


def test_all_options_are_sent(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    page.click("#options summary")
    page.set_input_files("#music-file", footage["speech"])
    page.wait_for_selector("#music-remove:not([hidden])")
    wait_until(lambda: "Found: sound" in page.inner_text("#music-status"))
    page.focus("#gain")
    page.keyboard.press("Home")
    assert page.inner_text("#gain-shown") == "40 dB softer than in its file"
    page.focus("#strength")
    page.keyboard.press("End")
    for name, value in (("tail", "keep"), ("fit", "hold"), ("precision", "float"), ("who", "left")):
        page.check(f'input[name="{name}"][value="{value}"]')
    page.check("#side-by-side")
    page.fill("#language", "deu")
    page.check("#label")
    screenshot(page, "8-options")
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/jobs")) as request:
        page.click("#preview")
    sent = request.value.post_data_json
    assert set(sent) == set(DubRequest.model_fields)
    assert (sent["tail"], sent["fit"], sent["face"], sent["gain"]) == ("keep", "hold", "left", -40)
    assert sent["precision"] == "float"
    assert (sent["strength"], sent["side_by_side"], sent["language"], sent["label"]) == (2, True, "deu", True)
    assert sent["background"] == sent["speech"]
    page.wait_for_selector("#result:not([hidden])")
    page.click("#music-remove")
    assert page.inner_text("#music-status") == ""


def test_two_faces_get_speeches_of_their_own(page: Page, footage: dict[str, Path], tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "two.mp4", 440, 240, 25) as film:
        for number in range(8):
            film.write(two_faces(time=number / 25), number / 25)
    fill_in(page, footage | {"film": tmp_path / "two.mp4"})
    page.click("#others summary")
    page.select_option("#other-face", "2")
    page.set_input_files("#other-file", footage["speech"])
    page.wait_for_selector("#other-list li")
    screenshot(page, "9-speeches")
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/jobs")) as request:
        page.click("#preview")
    sent = request.value.post_data_json
    assert sent["speech"] is None
    assert set(sent["speeches"]) == {"1", "2"}
    page.wait_for_selector("#result:not([hidden])")
    page.click("#other-list button")
    assert page.query_selector("#other-list li") is None


def test_silent_music_is_rejected_and_can_be_removed(page: Page, footage: dict[str, Path], tmp_path: Path) -> None:
    fill_in(page, footage)
    page.click("#options summary")
    page.set_input_files("#music-file", make_film(tmp_path / "silent.mp4", 0.2, 25, (160, 160)))
    page.wait_for_selector("#music-problem:not([hidden])")
    assert "music" in page.inner_text("#missing")
    assert page.is_disabled("#dub")
    page.click("#music-remove")
    page.wait_for_selector("#dub:enabled")


def test_recording_with_the_camera(page: Page) -> None:
    page.click("#film-record")
    wait_until(lambda: page.evaluate("document.getElementById('camera').currentTime > 1"))
    page.click("#film-record")
    # On a busy machine the recording may have too few frames to count as a film.
    wait_until(lambda: "640 x 480" in page.inner_text("#film-status"))
    assert "with sound" in page.inner_text("#film-status")
    # The fake camera shows a clock.
    page.wait_for_selector("#film-problem:not([hidden])")
    assert "no face" in page.inner_text("#film-problem")


def test_recording_with_the_microphone(page: Page) -> None:
    page.click("#speech-record")
    wait_until(lambda: page.inner_text("#speech-record") == "Stop recording")
    time.sleep(1)
    page.click("#speech-record")
    wait_until(lambda: "Found: sound" in page.inner_text("#speech-status"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(
    browser: Browser, service: RunningService, footage: dict[str, Path], scheme: str
) -> None:
    with browser.new_context(viewport={"width": 375, "height": 700}, color_scheme=scheme) as phone:  # type: ignore[arg-type]
        phone.set_default_timeout(TIMEOUT_MS)
        page = phone.new_page()
        page.goto(service.url)
        fill_in(page, footage)
        page.click("#options summary")
        if SHOTS:
            page.click("#preview")
            page.wait_for_selector("#result:not([hidden])")
            wait_until(lambda: is_loaded(page, "after") and is_loaded(page, "before"))
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 24, 29)"
        assert dark == (scheme == "dark")
        screenshot(page, f"6-phone-{scheme}")


def test_every_control_has_an_accessible_name(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    nameless = page.evaluate(
        "[...document.querySelectorAll('button, input, a, progress')]"
        ".filter(e => !(e.textContent.trim() || e.labels?.length || e.ariaLabel)).map(e => e.outerHTML)"
    )
    assert nameless == []


def test_the_login_checks_the_token(context: BrowserContext, tmp_path: Path) -> None:
    with run_service(tmp_path / "data", "--token", "correct horse") as service:
        page = context.new_page()
        page.goto(service.url)
        page.fill("#token", "wrong horse")
        page.keyboard.press("Enter")
        page.wait_for_selector("#wrong:not([hidden])")
        screenshot(page, "7-login")
        page.fill("#token", "correct horse")
        page.keyboard.press("Enter")
        page.wait_for_selector("#film-drop")
        assert page.inner_text("#history-empty") == "Nothing yet."
