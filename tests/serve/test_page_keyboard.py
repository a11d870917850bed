"""The page for people who use the keyboard and a screen reader, in headless Chromium."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from chromium import fill_in, needs_chromium
from service import RunningService, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

pytestmark = needs_chromium


def contrast(one: list[float], other: list[float]) -> float:
    """Contrast of two colors by WCAG 2.2, each given as red, green and blue from 0 to 255."""
    luminances = []
    for color in (one, other):
        linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in color]
        luminances.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(luminances) + 0.05) / (min(luminances) + 0.05)


def press(page: Page, selector: str) -> None:
    """Press a button by the keyboard."""
    page.focus(selector)
    page.keyboard.press("Enter")


def wait_for_focus(page: Page, name: str) -> None:
    wait_until(lambda: page.evaluate("document.activeElement.id") == name)


def test_the_focus_follows_what_a_button_shows(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage, "long")
    press(page, "#preview")
    wait_for_focus(page, "work-title")
    assert page.inner_text("#ended") == ""
    wait_for_focus(page, "result-title")
    assert page.inner_text("#ended") == "The dub is done."
    press(page, "#whole")
    wait_for_focus(page, "work-title")
    press(page, "#cancel")
    wait_for_focus(page, "options-title")
    wait_until(lambda: page.locator("#history li").count() == 2)
    press(page, "#history li:last-child .open")
    wait_for_focus(page, "result-title")
    press(page, "#history li:last-child .remove")
    wait_for_focus(page, "history-title")


def test_progress_leaves_the_focus_at_cancel(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage, "long")
    press(page, "#dub")
    page.wait_for_selector('[data-stage="dubbing"][aria-current]')
    page.focus("#cancel")
    before = page.evaluate("document.getElementById('progress').value")
    wait_until(lambda: page.evaluate("document.getElementById('progress').value") > before)
    assert page.evaluate("document.activeElement.id") == "cancel"
    page.keyboard.press("Enter")
    wait_for_focus(page, "options-title")


def test_the_end_of_a_dub_takes_the_focus_from_nothing_else(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    press(page, "#dub")
    page.wait_for_selector("#history .open")
    page.focus("#history .open")
    page.wait_for_selector("#result:not([hidden])")
    wait_until(lambda: "done" in page.inner_text("#history"))
    assert page.evaluate("document.activeElement.ariaLabel").startswith("Open ")


def test_the_side_by_side_button_keeps_the_focus(page: Page, footage: dict[str, Path]) -> None:
    fill_in(page, footage)
    press(page, "#dub")
    page.wait_for_selector("#result:not([hidden])")
    films: list[object] = []
    page.on("download", lambda film: films.append(film))
    page.route("**/side-by-side", lambda route: route.fulfill(json={"state": "waiting", "progress": 0}))
    press(page, "#side")
    page.wait_for_selector("#side:has-text('Creating')")
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    page.unroute("**/side-by-side")
    page.wait_for_selector("#side:has-text('Download')")
    wait_until(lambda: page.evaluate("document.activeElement.id") == "side" and films)
    page.wait_for_timeout(500)
    assert len(films) == 1


def test_the_speech_of_one_face_keeps_the_focus_at_that_of_another(page: Page, couple: dict[str, Path]) -> None:
    fill_in(page, couple)
    page.click("#others summary")
    for face in ("1", "2"):
        page.select_option("#other-face", face)
        if face == "2":
            page.focus("#other-list button")
        page.set_input_files("#other-file", couple["speech"])
        page.wait_for_selector(f"#other-list li:has-text('Face {face} has')")
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove the speech of face 1"


def test_the_end_of_a_live_session_moves_the_focus_to_the_choice_of_a_film(
    context: BrowserContext, service: RunningService, footage: dict[str, Path]
) -> None:
    page = context.new_page()
    page.goto(f"{service.url}live")
    page.set_input_files("#film-file", footage["film"])
    page.wait_for_selector("#end:visible")
    press(page, "#end")
    wait_for_focus(page, "film-file")


def test_percentages_are_shown_but_not_spoken(page: Page, footage: dict[str, Path]) -> None:
    page.route("**/faces?*", lambda route: route.fulfill(status=202, json={"progress": 0.5, "faces": []}))
    page.set_input_files("#film-file", footage["film"])
    wait_until(lambda: "50 %" in page.inner_text("#faces-status"))
    assert page.get_attribute("#faces-status", "aria-live") == "off"
    page.unroute("**/faces?*")
    wait_until(lambda: "Found one face" in page.inner_text("#faces-status"))
    assert page.get_attribute("#faces-status", "aria-live") is None
    assert page.get_by_role("status").filter(has_text=" of ").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colors_have_enough_contrast(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.emulate_media(color_scheme=scheme)
    page.click("#options summary")

    def color(selector: str, kind: str) -> list[float]:
        style = page.eval_on_selector(selector, "(found, kind) => getComputedStyle(found)[kind]", kind)
        return [float(part) for part in re.findall(r"\d+", style)]

    grounds = [color("body", "backgroundColor"), color(".card", "backgroundColor")]
    page.focus("#theme")
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    lines = [color("#theme", "outlineColor"), color("#language", "borderTopColor")]
    texts = [color(name, "color") for name in ("body", ".card .hint", "nav a", ".problem")]
    assert all(contrast(line, ground) >= 3 for line in lines for ground in grounds)
    assert all(contrast(text, ground) >= 4.5 for text in texts for ground in grounds)


def test_the_reference_breaks_no_word_on_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 700})
    page.goto(f"{page.url}docs")
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    lines = "th => { const range = new Range(); range.selectNodeContents(th); return range.getClientRects().length; }"
    assert page.eval_on_selector("th:has-text('body')", lines) == 1
    assert page.evaluate("document.documentElement.scrollWidth") == 320
