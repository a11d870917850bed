"""Earlier dubs on the page in headless Chromium: opened, removed, and used again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chromium import fill_in, needs_chromium
from service import RunningService, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = needs_chromium


def dub(page: Page, button: str = "#dub") -> None:
    """Dub, and wait for the result."""
    page.click(button)
    page.wait_for_selector("#result:not([hidden])")


def test_a_removed_dub_is_no_longer_shown(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    dub(page)
    page.wait_for_selector("#history .remove")
    page.click("#history .remove")
    page.wait_for_selector("#result", state="hidden")
    page.wait_for_selector("#history-empty:not([hidden])")


def test_a_dub_that_another_tab_removed_is_reported(
    page: Page, context: BrowserContext, service: RunningService, footage: dict[str, Path]
) -> None:
    fill_in(page, footage)
    dub(page)
    other = context.new_page()
    other.goto(service.url)
    other.wait_for_selector("#history .open")
    page.click("#history .remove")
    page.wait_for_selector("#history-empty:not([hidden])")
    other.click("#history .open")
    other.wait_for_selector("#history-problem:not([hidden])")
    assert "no such job" in other.inner_text("#history-problem")
    assert other.is_hidden("#result")
    assert other.locator("#history li").count() == 0


def test_a_whole_dub_needs_consent_as_its_preview_does(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    dub(page, "#preview")
    assert page.is_enabled("#whole")
    page.uncheck("#consent")
    assert page.is_disabled("#whole")


def test_the_film_of_an_earlier_dub_replaces_another_one(page: Page, footage: dict[str, Path], tmp_path: Path) -> None:
    fill_in(page, footage)
    dub(page)
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(footage["film"].read_bytes() + (8).to_bytes(4, "big") + b"free")
    page.set_input_files("#film-file", copy)
    assert not page.is_checked("#consent")  # of other people
    page.check("#consent")
    page.wait_for_selector("#dub:enabled")
    assert page.is_visible("#film-video")
    page.click("#again")
    wait_until(lambda: "film of that dub" in page.inner_text("#film-status"))
    assert page.is_hidden("#film-video")
    assert not page.is_checked("#consent")


def test_a_page_that_the_browser_returns_to_has_no_choices_of_before(page: Page, couple: dict[str, Path]) -> None:
    """The browser knows the controls by their order alone, which depends on the number of faces."""
    choices = "() => [...document.querySelectorAll('input')].map((input) => [input.id, input.value, input.checked])"
    before = page.evaluate(choices)
    address = page.url
    fill_in(page, couple)
    for face in (0, 1):
        page.locator("#faces .face").nth(face).click()
    page.click("#options summary")
    page.focus("#strength")
    page.keyboard.press("End")
    for selector in ("#side-by-side", "#label", 'input[name="tail"][value="keep"]'):
        page.check(selector)
    page.goto(f"{address}docs")
    page.go_back()
    page.wait_for_selector("#missing:has-text('a film or picture')")
    assert [new for new, old in zip(page.evaluate(choices), before, strict=True) if new != old] == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(59.94, "59.9 s"), (59.97, "1 min 0 s"), (90, "1 min 30 s"), (119.7, "2 min 0 s")],
)
def test_no_time_has_sixty_seconds(page: Page, seconds: float, shown: str) -> None:
    script = "async (value) => (await import('/static/dom.js')).formatSeconds(value)"
    assert page.evaluate(script, seconds) == shown
