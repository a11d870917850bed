"""The page in headless Chromium: from the film to the download.

With LIPSMITH_SHOTS=FOLDER the film is demo/actor.mp4, and a screenshot of every state is written there.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from chromium import ASK_SLOWLY, SHOTS, TIMEOUT_MS, fill_in, is_loaded, needs_chromium, screenshot
from lipsmith.media import probe
from service import RunningService, run_service, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Route

pytestmark = needs_chromium


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
    page.wait_for_selector("#history li:nth-child(2)")
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


def test_a_dub_can_be_canceled_after_a_reload(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage, "long")
    page.click("#dub")
    page.wait_for_selector('[data-stage="dubbing"][aria-current]')
    page.reload()
    page.wait_for_selector('[data-stage="dubbing"][aria-current]')
    page.click("#cancel")
    page.wait_for_selector("#work", state="hidden")
    assert "canceled" in page.inner_text("#options-problem")
    wait_until(lambda: "canceled" in page.inner_text("#history"))
    page.reload()
    wait_until(lambda: "canceled" in page.inner_text("#history"))


@pytest.mark.parametrize("status", [None, 507])
def test_a_file_that_could_not_be_sent_can_be_sent_again(
    context: BrowserContext, service: RunningService, footage: dict[str, Path], status: int | None
) -> None:
    page = context.new_page()
    page.goto(service.url)
    page.route("**/v1/uploads", lambda route: route.fulfill(status=status) if status else route.abort())
    page.set_input_files("#film-file", footage["film"])
    page.wait_for_selector("#film-problem:not([hidden])")
    page.unroute("**/v1/uploads")
    page.click("#film-again")
    page.wait_for_selector("#film-status:has-text('Found')")
    assert not page.is_visible("#film-again")


def test_a_file_that_the_service_refuses_is_not_sent_again(page: Page, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"no film")
    page.set_input_files("#film-file", tmp_path / "film.mp4")
    page.wait_for_selector("#film-problem:not([hidden])")
    assert not page.is_visible("#film-again")


@pytest.mark.parametrize("status", [None, 502])
def test_a_lost_connection_is_reported_and_made_again(
    context: BrowserContext, service: RunningService, footage: dict[str, Path], status: int | None
) -> None:
    page = context.new_page()
    page.goto(service.url)
    fill_in(page, footage)
    page.route("**/events", lambda route: route.fulfill(status=status) if status else route.abort())
    page.click("#dub")
    wait_until(lambda: "does not respond" in page.inner_text("#work-status"))
    page.unroute("**/events")
    page.wait_for_selector("#result:not([hidden])")


@pytest.mark.parametrize("failure", [{"status": 500, "json": {"detail": "Internal error."}}, {"body": '{"id": '}])
def test_one_failure_is_not_the_loss_of_a_job(
    context: BrowserContext, service: RunningService, footage: dict[str, Path], failure: dict[str, Any]
) -> None:
    page = context.new_page()
    page.goto(service.url)
    fill_in(page, footage)
    failed: list[Route] = []

    def fail_once(route: Route) -> None:
        if failed:
            route.continue_()
        else:
            failed.append(route)
            page.unroute("**/events")
            route.fulfill(**failure)

    page.route("**/events", lambda route: route.fulfill(status=500))
    page.route(re.compile("/v1/jobs/[0-9a-f]+$"), fail_once)
    page.click("#dub")
    wait_until(lambda: page.evaluate("true") and failed)
    wait_until(lambda: page.is_visible("#result") or page.is_visible("#options-problem"))
    assert page.inner_text("#options-problem") == ""


def test_a_failure_that_lasts_is_reported(
    context: BrowserContext, service: RunningService, footage: dict[str, Path]
) -> None:
    page = context.new_page()
    page.clock.install()
    page.goto(service.url)
    fill_in(page, footage)
    failure = {"status": 500, "json": {"detail": "Internal error."}}
    page.route(re.compile("/v1/jobs/[0-9a-f]+"), lambda route: route.fulfill(**failure))
    page.click("#dub")
    wait_until(lambda: page.clock.fast_forward(1000) or page.is_visible("#options-problem"), 20)
    assert page.inner_text("#options-problem") == "Internal error."
    assert page.is_hidden("#work")


def test_a_job_that_is_gone_is_not_waited_for(
    context: BrowserContext, service: RunningService, footage: dict[str, Path]
) -> None:
    page = context.new_page()
    page.goto(service.url)
    fill_in(page, footage)
    page.route(
        re.compile("/v1/jobs/[0-9a-f]+"), lambda route: route.fulfill(status=404, json={"detail": "It is gone."})
    )
    page.click("#dub")
    page.wait_for_selector("#options-problem:has-text('It is gone.')")
    assert page.is_hidden("#work")


def test_an_analysis_goes_on_when_the_connection_is_back(
    context: BrowserContext, service: RunningService, footage: dict[str, Path]
) -> None:
    page = context.new_page()
    page.goto(service.url)
    page.route("**/v1/uploads/*", lambda route: route.abort())
    page.set_input_files("#film-file", footage["film"])
    wait_until(lambda: "waiting for it" in page.inner_text("#film-status"))
    page.route("**/faces?*", lambda route: route.fulfill(status=502))
    page.unroute("**/v1/uploads/*")
    wait_until(lambda: "waiting for it" in page.inner_text("#faces-status"))
    page.unroute("**/faces?*")
    page.wait_for_selector("#faces .face")


@pytest.mark.parametrize("path", ["", "live"])
def test_a_browser_that_blocks_cookies_is_asked_for_them(
    context: BrowserContext, service: RunningService, footage: dict[str, Path], path: str
) -> None:
    page = context.new_page()
    page.add_init_script("Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } })")
    page.goto(f"{service.url}{path}")
    page.set_input_files("#film-file", footage["film"])
    page.wait_for_selector("#film-problem:has-text('needs cookies')")


@pytest.mark.parametrize("path", ["", "live"])
def test_a_browser_without_scripts_is_asked_for_them(browser: Browser, service: RunningService, path: str) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.goto(f"{service.url}{path}")
        assert "needs JavaScript" in page.inner_text("main")


def test_a_speech_that_is_replaced_while_it_is_analyzed_leaves_no_problem(page: Page, footage: dict[str, Path]) -> None:
    held: list[Route] = []
    page.route("**/v1/uploads/*", lambda route: route.continue_() if held else held.append(route))
    page.set_input_files("#speech-file", footage["speech"])
    wait_until(lambda: page.inner_text("#speech-status") == "Analyzing" and held)
    page.set_input_files("#speech-file", footage["film"])
    wait_until(lambda: "Found" in page.inner_text("#speech-status"))
    assert page.is_hidden("#speech-problem")


ASKS = "() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"


def test_a_page_with_a_file_half_sent_is_not_left_unasked(page: Page, footage: dict[str, Path]) -> None:
    held: list[Route] = []
    page.route("**/v1/uploads", lambda route: held.append(route))
    page.set_input_files("#film-file", footage["film"])
    wait_until(lambda: page.evaluate(ASKS) and held)
    held[0].continue_()
    wait_until(lambda: not page.evaluate(ASKS))


def test_a_page_that_records_is_not_left_unasked(page: Page) -> None:
    page.click("#speech-record")
    wait_until(lambda: page.inner_text("#speech-record") == "Stop recording")
    assert page.evaluate(ASKS)
    page.wait_for_timeout(500)
    page.click("#speech-record")
    wait_until(lambda: "Found: sound" in page.inner_text("#speech-status"))
    assert not page.evaluate(ASKS)


def test_a_file_that_is_gone_before_it_is_sent_is_reported(
    context: BrowserContext, service: RunningService, footage: dict[str, Path], tmp_path: Path
) -> None:
    page = context.new_page()
    page.add_init_script(
        "const { send } = XMLHttpRequest.prototype;"
        "XMLHttpRequest.prototype.send = function (body) { window.go = () => send.call(this, body); };"
    )
    page.goto(service.url)
    film = tmp_path / "film.mp4"
    film.write_bytes(footage["film"].read_bytes())
    page.set_input_files("#film-file", film)
    film.unlink()
    page.evaluate("go()")
    page.wait_for_selector("#film-problem:has-text('check the file and the connection')")


def test_the_theme_reaches_every_page(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.click("#theme")
    dark = page.evaluate(ground)
    assert dark != light
    for path in ("", "live", "docs"):
        page.goto(page.url.rsplit("/", 1)[0] + "/" + path)
        assert page.evaluate(ground) == dark


def test_the_theme_button_follows_the_system(page: Page) -> None:
    page.emulate_media(color_scheme="light")
    page.reload()
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: page.get_attribute("#theme", "aria-pressed") == "true", 5)
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_a_double_click_starts_one_dub(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    for ended in (1, 2):
        page.dblclick("#dub")
        wait_until(lambda ended=ended: page.locator("#history li:has-text('done')").count() == ended)  # type: ignore[misc]
        assert page.locator("#history li").count() == ended


def test_trimming_detects_faces_again(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    page.focus("#start")
    with page.expect_response(lambda answer: "faces?start=0.1" in answer.url and answer.status == 200):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("#faces .face")
    assert page.inner_text("#start-shown") == "0.1 s"


def test_an_unusable_film_shows_a_problem(page: Page, footage: dict[str, Path], tmp_path: Path) -> None:
    notes = tmp_path / "notes.mp4"
    notes.write_text("dear diary\n" * 50)
    page.set_input_files("#film-file", notes)
    page.wait_for_selector("#film-problem:not([hidden])")
    assert "not a known film" in page.inner_text("#film-problem")
    screenshot(page, "5-problem")
    page.set_input_files("#film-file", footage["speech"])
    wait_until(lambda: "only sound" in page.inner_text("#film-problem"))
    assert "a film or picture" in page.inner_text("#missing")


def test_a_file_that_is_dropped_beside_a_box_does_not_replace_the_page(page: Page) -> None:
    drop = "(kind) => document.body.dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true }))"
    assert [page.evaluate(drop, kind) for kind in ("dragover", "drop")] == [False, False]


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
    page.evaluate(ASK_SLOWLY)
    page.dblclick("#speech-record")
    wait_until(lambda: page.inner_text("#speech-record") == "Stop recording")
    time.sleep(1)
    assert page.evaluate("streams.length") == 1
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
        page.evaluate("document.getElementById('result').hidden = false")
        assert page.evaluate("document.getElementById('place').clientWidth") > 150
        right = "document.getElementById('{}').getBoundingClientRect().right"
        assert page.evaluate(right.format("strength")) == page.evaluate(right.format("options-title"))
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
        for _ in range(9):
            page.request.post(f"{service.url}login", form={"token": "wrong horse"})
        page.fill("#token", "correct horse")
        page.keyboard.press("Enter")
        page.wait_for_selector("#wait:not([hidden])")
        assert page.is_hidden("#wrong")


def test_the_login_admits_to_the_page(context: BrowserContext, tmp_path: Path) -> None:
    with run_service(tmp_path / "data", "--token", "correct horse") as service:
        page = context.new_page()
        page.goto(service.url)
        page.fill("#token", "correct horse")
        page.keyboard.press("Enter")
        page.wait_for_selector("#film-drop")
        assert page.inner_text("#history-empty") == "Nothing yet."
