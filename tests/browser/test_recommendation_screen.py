"""The recommended sequence in a browser: advice first, both options beside it, and what is asked carried along."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_first_minutes import choose, no_traceback, settle, turn_to

TITLE = "Recommended sequence"


def opened(page: Page) -> None:
    page.goto("/")
    settle(page)
    turn_to(page, TITLE)


def fix(page: Page, decision: str, choice: str) -> None:
    page.get_by_role("radiogroup", name=decision).get_by_role("radio", name=choice).click()
    settle(page)


def test_one_screen_without_clicks_holds_advice_figure_and_agreement(page: Page) -> None:
    opened(page)
    expect(page.get_by_role("heading", level=2)).to_contain_text("Induction chemotherapy:")
    figure = page.get_by_label(re.compile("Differences of the losses"))
    expect(figure.locator("svg").first).to_be_visible()
    for said in (re.compile("^Gain of"), re.compile("Most likely sequence"), re.compile("Next-best sequence")):
        expect(page.get_by_text(said).first).to_be_visible()
    seen = [page.get_by_role("heading", level=2), figure, page.get_by_role("heading", name="Comparable patients")]
    boxes = [each.first.bounding_box() for each in seen]
    assert all(box is not None and box["y"] + box["height"] <= 900 for box in boxes), boxes
    no_traceback(page)


def test_patient_and_what_is_ruled_out_go_along_to_the_twin_and_back(page: Page) -> None:
    opened(page)
    choose(page, "Patient", "SYN-00007")
    fix(page, "Induction chemotherapy", "yes")
    expect(page.get_by_role("heading", level=2)).to_contain_text("only induction chemotherapy is possible")
    turn_to(page, "Twin")
    expect(page.get_by_role("heading", level=1)).to_contain_text("SYN-00007")
    page.get_by_role("combobox", name="Plan A").click()
    assert all(re.search(r"\(1\d\d\)", text) for text in page.get_by_role("option").all_inner_texts())
    page.keyboard.press("Escape")
    fix(page, "Induction chemotherapy", "free")
    turn_to(page, TITLE)
    expect(page.get_by_role("heading", level=2)).not_to_contain_text("only")
    no_traceback(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_that_opens_is_accessible(browser: Browser, dashboard: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=dashboard, color_scheme=scheme)
    page = context.new_page()
    opened(page)
    for title in ("How much each loss counts", "What would be decided later", "Every sequence, followed"):
        page.get_by_text(title).click()
    expect(page.get_by_role("slider", name="Death")).to_be_visible()
    settle(page)
    found = [
        (each["id"], [node["html"][:200] for node in each["nodes"]]) for each in Axe().run(page).response["violations"]
    ]
    context.close()
    assert found == []


def test_on_a_phone_the_advice_comes_first_and_nothing_scrolls_sideways(browser: Browser, dashboard: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, base_url=dashboard)
    page = context.new_page()
    page.goto("/")
    settle(page)
    page.goto("/recommendation")
    expect(page.get_by_role("heading", name="Who agrees")).to_be_visible()
    settle(page)
    figure = page.get_by_label(re.compile("Differences of the losses"))
    expect(figure.locator("svg").first).to_be_visible()
    numbers = figure.locator("text", has_text=re.compile(r"^\S+ \(\S+ to \S+\)$"))
    boxes = [number.bounding_box() for number in numbers.all()]
    advice, chooser = (
        each.bounding_box()
        for each in (page.get_by_role("heading", level=2), page.get_by_role("combobox", name="Patient"))
    )
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    context.close()
    assert overflow <= 0
    assert boxes
    assert all(box is not None and box["x"] + box["width"] <= 390 for box in boxes)
    assert advice is not None
    assert chooser is not None
    assert advice["y"] < chooser["y"]
