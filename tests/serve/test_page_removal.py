"""Uploads that are removed on the page in headless Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chromium import fill_in, needs_chromium, screenshot
from service import RunningService, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = needs_chromium


def chosen_film(page: Page, service: RunningService, film: Path) -> str:
    """Choose a film, wait for its analysis, and return the address of its upload."""
    with page.expect_response(lambda answer: answer.status == 201) as sent:
        page.set_input_files("#film-file", film)
    wait_until(lambda: "Found" in page.inner_text("#film-status"))
    return f"{service.url}v1/uploads/{sent.value.json()['id']}"


def test_film_and_speech_are_removed_from_the_page_and_the_service(
    page: Page, service: RunningService, footage: dict[str, Path]
) -> None:
    assert page.is_hidden("#film-remove")
    film = chosen_film(page, service, footage["film"])
    fill_in(page, footage)
    screenshot(page, "10-remove")
    page.click("#film-remove")
    page.wait_for_selector("#film-found", state="hidden")
    assert page.request.get(film).status == 404
    assert page.is_hidden("#film-remove")
    assert page.inner_text("#film-status") == ""
    assert page.evaluate("document.activeElement.id") == "film-file"
    page.click("#speech-remove")
    page.wait_for_selector("#speech-audio", state="hidden")
    assert "a film or picture, a speech" in page.inner_text("#missing")


def test_a_film_is_removed_while_its_faces_are_detected(
    page: Page, service: RunningService, footage: dict[str, Path]
) -> None:
    page.route("**/faces?*", lambda route: route.fulfill(status=202, json={"progress": 0, "faces": []}))
    film = chosen_film(page, service, footage["film"])
    page.click("#film-remove")
    page.wait_for_selector("#film-found", state="hidden")
    assert page.request.get(film).status == 404
    assert page.inner_text("#film-status") == page.inner_text("#film-problem") == ""


def test_a_file_that_serves_twice_is_kept_for_its_other_place(
    page: Page, service: RunningService, footage: dict[str, Path]
) -> None:
    film = chosen_film(page, service, footage["film"])
    fill_in(page, footage | {"speech": footage["film"]})
    page.click("#speech-remove")
    page.wait_for_selector("#speech-remove", state="hidden")
    assert page.request.get(film).status == 200


def test_a_film_that_is_dubbed_stays(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage, "long")
    page.click("#dub")
    page.wait_for_selector("#work:not([hidden])")
    page.click("#film-remove")
    page.wait_for_selector("#film-problem:not([hidden])")
    assert "cancel or end it first" in page.inner_text("#film-problem")
    assert page.is_visible("#film-found")
    page.click("#cancel")
    page.wait_for_selector("#work", state="hidden")


def test_a_preview_of_a_removed_film_offers_no_dub_of_another(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    page.click("#preview")
    page.wait_for_selector("#whole:enabled")
    page.click("#film-remove")
    page.wait_for_selector("#whole", state="hidden")
    assert page.is_visible("#download")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_speech_that_is_not_wanted_any_more_is_not_sent_on(
    page: Page, couple: dict[str, Path], replaced: bool
) -> None:
    fill_in(page, couple)
    page.click("#others summary")
    sent: list[Route] = []
    page.route("**/v1/uploads", lambda route: sent.append(route))
    page.set_input_files("#other-file", couple["long"])
    wait_until(lambda: page.is_disabled("#dub") and sent)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/v1/uploads")):
        if replaced:
            page.set_input_files("#other-file", couple["speech"])
        else:
            page.click("#other-list button")
    assert page.locator("#other-list li").count() == replaced
    if not replaced:
        assert page.inner_text("#other-status") == page.inner_text("#missing") == ""
