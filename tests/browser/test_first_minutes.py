"""What a new user sees after `make app`: a patient, risks in per cent, figures that answer to the controls."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

PAGES = {
    "Twin": "Plan A",
    "Recommended sequence": "Who agrees",
    "Patients": "Open the twin",
    "Cohorts": "Can answer",
    "Evidence": "Can the cohort compare them?",
}


def turn_to(page: Page, title: str) -> None:
    page.get_by_role("link", name=title, exact=True).click()
    expect(page.get_by_text(PAGES[title], exact=True).first).to_be_visible()
    settle(page)


def settle(page: Page) -> None:
    """Wait until the page's script has run and everything stale is redrawn."""
    expect(page.locator("[data-testid='stApp'][data-test-script-state='notRunning']")).to_be_visible()


def choose(page: Page, label: str, typed: str) -> None:
    box = page.get_by_role("combobox", name=label)
    box.click()
    box.fill(typed)
    page.get_by_role("option").first.click()
    settle(page)


def no_traceback(page: Page) -> None:
    assert page.get_by_text(re.compile("Traceback|fault of ours")).count() == 0


def test_first_screen_shows_a_patient_with_risks_and_a_figure(page: Page) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("SYN-00001")
    expect(page.get_by_text("demonstration data")).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d+ % \(\d+-\d+\)")).first).to_be_visible()
    figure = page.get_by_label(re.compile("Risk over time. Death by month 60: plan A"))
    expect(figure.first).to_be_visible()
    settle(page)
    no_traceback(page)


def test_choosing_a_patient_changes_who_is_shown_and_what_is_said(page: Page) -> None:
    page.goto("/")
    settle(page)
    # While the page is drawn anew the former figure stays below the new one.
    figure = page.get_by_label(re.compile("Risk over time")).first
    before = figure.get_attribute("aria-label") or ""
    choose(page, "Patient", "SYN-00007")
    expect(page.get_by_role("heading", level=1)).to_contain_text("SYN-00007")
    expect(figure).not_to_have_attribute("aria-label", before)
    no_traceback(page)


def test_fixing_a_decision_leaves_only_the_plans_that_agree(page: Page) -> None:
    page.goto("/")
    settle(page)
    control = page.get_by_role("radiogroup", name="Induction chemotherapy")
    control.get_by_role("radio", name="yes").click()
    settle(page)
    page.get_by_role("combobox", name="Plan A").click()
    plans = [re.search(r"\((\d{3})\)", text).group(1) for text in page.get_by_role("option").all_inner_texts()]
    assert sorted(plans) == ["100", "101", "110", "111"]


def test_fixing_every_decision_changes_no_number_of_the_plan_that_is_left(page: Page) -> None:
    page.goto("/")
    settle(page)
    figure = page.get_by_label(re.compile("Risk over time"))
    risks = re.compile(r"plan A \((\d+)\) ([^,;.]+)")
    free = risks.findall(figure.get_attribute("aria-label") or "")
    decisions = ("Induction chemotherapy", "Concurrent chemotherapy", "Neck dissection")
    for decision, digit in zip(decisions, free[0][0], strict=True):
        control = page.get_by_role("radiogroup", name=decision)
        control.get_by_role("radio", name="yes" if digit == "1" else "no").click()
        settle(page)
    expect(page.get_by_role("combobox", name="Plan B")).to_have_count(0)
    assert len(free) == 3
    assert risks.findall(figure.get_attribute("aria-label") or "") == free


def test_horizon_reaches_the_figure(page: Page) -> None:
    page.goto("/")
    settle(page)
    horizon = page.get_by_role("spinbutton", name="Horizon, months")
    horizon.fill("36")
    horizon.press("Enter")
    expect(page.get_by_label(re.compile("Death by month 36")).first).to_be_visible()


def test_a_patient_is_found_and_opened_from_the_list(page: Page) -> None:
    page.goto("/")
    settle(page)
    turn_to(page, "Patients")
    page.get_by_role("textbox", name="Search identifier").fill("00042")
    page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile("^1 of 536 patients"))).to_be_visible()
    page.get_by_role("button", name="Open the twin").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("SYN-00042")
    no_traceback(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("title", list(PAGES))
def test_no_accessibility_violation(browser: Browser, dashboard: str, title: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, base_url=dashboard, color_scheme=scheme)
    page = context.new_page()
    page.goto("/")
    settle(page)
    turn_to(page, title)
    results = Axe().run(page)
    found = [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]])
        for violation in results.response["violations"]
    ]
    context.close()
    assert found == []


def test_phone_width_has_no_sideways_scroll(browser: Browser, dashboard: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, base_url=dashboard)
    page = context.new_page()
    page.goto("/")
    settle(page)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    context.close()
    assert overflow <= 0
