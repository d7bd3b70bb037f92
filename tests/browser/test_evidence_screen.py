"""The Evidence page in a browser: figures, tables and words for each outcome, and the way there from the twin."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, Page, expect

from tests.browser.test_first_minutes import choose, no_traceback, settle, turn_to


def test_evidence_stands_in_the_navigation_and_shows_a_figure_a_decision(page: Page) -> None:
    page.goto("/")
    settle(page)
    turn_to(page, "Evidence")
    for decision in ("Induction chemotherapy", "Concurrent chemotherapy", "Neck dissection"):
        figure = page.get_by_label(re.compile(f"{decision} and death: hazard ratios"))
        expect(figure).to_be_visible()
        expect(figure.locator("svg").first).to_be_visible()
    expect(page.get_by_text(re.compile("python -m twin fit --cohort demonstration --evidence-weight"))).to_be_visible()
    no_traceback(page)


def test_another_outcome_changes_every_figure(page: Page) -> None:
    page.goto("/")
    settle(page)
    turn_to(page, "Evidence")
    choose(page, "Outcome", "Feeding tube")
    expect(page.get_by_label(re.compile("and feeding tube at 6 months: odds ratios"))).to_have_count(3)
    expect(page.get_by_text("no published effect; wide prior").first).to_be_visible()
    no_traceback(page)


def test_evidence_on_a_phone_in_the_dark_does_not_scroll_sideways(browser: Browser, dashboard: str) -> None:
    context = browser.new_context(viewport={"width": 400, "height": 844}, base_url=dashboard, color_scheme="dark")
    page = context.new_page()
    page.goto("/")
    settle(page)
    page.goto("/evidence")
    expect(page.get_by_role("heading", name="Can the cohort compare them?")).to_be_visible()
    settle(page)
    ratios = page.get_by_text(re.compile(r"^\d\.\d\d \(\d\.\d\d-\d\.\d\d\)$"))
    expect(ratios.first).to_be_visible()  # the browser draws the figures after the page's script has ended
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    boxes = [ratio.bounding_box() for ratio in ratios.all()]
    context.close()
    assert overflow <= 0
    assert all(box is not None and box["x"] + box["width"] <= 400 for box in boxes)
