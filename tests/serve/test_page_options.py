"""The options of the page in headless Chromium, and speeches for several faces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from chromium import fill_in, needs_chromium, screenshot
from lipsmith.serve.views import DubRequest
from service import wait_until
from synthetic import make_film

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = needs_chromium


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
    sent: dict[str, Any] = request.value.post_data_json or {}
    assert set(sent) == set(DubRequest.model_fields)
    assert (sent["tail"], sent["fit"], sent["face"], sent["gain"]) == ("keep", "hold", "left", -40)
    assert sent["precision"] == "float"
    assert (sent["strength"], sent["side_by_side"], sent["language"], sent["label"]) == (2, True, "deu", True)
    assert sent["background"] == sent["speech"]
    page.wait_for_selector("#result:not([hidden])")
    page.click("#music-remove")
    assert page.inner_text("#music-status") == ""
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/jobs")) as request:
        page.click("#preview")
    assert "gain" not in (request.value.post_data or "")  # the service refuses one without a background


def choose_speech_of_second_face(page: Page, couple: dict[str, Path]) -> None:
    page.click("#others summary")
    page.select_option("#other-face", "2")
    page.set_input_files("#other-file", couple["speech"])
    page.wait_for_selector("#other-list li")


def test_two_faces_get_speeches_of_their_own(page: Page, couple: dict[str, Path]) -> None:
    fill_in(page, couple)
    choose_speech_of_second_face(page, couple)
    screenshot(page, "9-speeches")
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/v1/jobs")) as request:
        page.click("#preview")
    sent: dict[str, Any] = request.value.post_data_json or {}
    assert sent["speech"] is None
    assert set(sent["speeches"]) == {"1", "2"}
    page.wait_for_selector("#result:not([hidden])")
    page.click("#other-list button")
    assert page.query_selector("#other-list li") is None


def test_speeches_of_faces_in_another_part_are_to_be_chosen_again(page: Page, couple: dict[str, Path]) -> None:
    fill_in(page, couple)
    choose_speech_of_second_face(page, couple)
    page.focus("#start")
    page.keyboard.press("ArrowRight")
    assert "again" in page.inner_text("#others-problem")
    page.wait_for_selector("#others:not([hidden])")
    assert page.query_selector("#other-list li") is None
    assert page.is_visible("#others-problem")
    page.set_input_files("#other-file", couple["speech"])
    page.wait_for_selector("#other-list li")
    assert page.is_hidden("#others-problem")


def test_silent_music_is_rejected_and_can_be_removed(page: Page, footage: dict[str, Path], tmp_path: Path) -> None:
    fill_in(page, footage)
    page.click("#options summary")
    page.set_input_files("#music-file", make_film(tmp_path / "silent.mp4", 0.2, 25, (160, 160)))
    page.wait_for_selector("#music-problem:not([hidden])")
    assert "music" in page.inner_text("#missing")
    assert page.is_disabled("#dub")
    page.click("#music-remove")
    page.wait_for_selector("#dub:enabled")
