"""An analyst brings a real, dirty file on the screen, fits a twin on it and opens a patient."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_first_minutes import no_traceback, settle, turn_to

MAPPING = Path(__file__).parents[1] / "fixtures" / "radcure_mapping.json"


@pytest.mark.slow
def test_from_a_dirty_file_to_a_patient_and_what_cannot_be_answered(page: Page, radcure_file: Path) -> None:
    page.goto("/")
    settle(page)
    turn_to(page, "Cohorts")
    page.get_by_role("tab", name="Bring a cohort").click()
    page.locator("input[type=file]").first.set_input_files(radcure_file)
    expect(page.get_by_text("Mapping (edit it here)")).to_be_visible()
    expect(page.get_by_text(re.compile("Length FU: a time without a unit"))).to_be_visible()
    settle(page)
    page.locator("input[type=file]").nth(1).set_input_files(MAPPING)
    expect(page.get_by_role("textbox", name="Mapping (edit it here)")).to_have_value(re.compile('"time_zero"'))
    settle(page)
    expect(page.get_by_text("Not importable as it is")).to_be_visible()
    page.get_by_text("Leave rows with errors out").click()
    expect(page.get_by_text("775 would be kept")).to_be_visible()

    page.get_by_role("textbox", name="Name of the cohort").fill("pmh")
    page.keyboard.press("Tab")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_text("Cohort pmh is imported")).to_be_visible()

    page.get_by_role("tab", name="In the store").click()
    page.get_by_role("combobox", name="Cohort").click()
    page.get_by_role("option", name="pmh").click()
    expect(page.get_by_text("Compare induction chemotherapy: not recorded in this cohort")).to_be_visible()
    expect(page.get_by_text("Compare neck dissection: not recorded in this cohort")).to_be_visible()
    expect(page.get_by_text("Predict feeding tube at 6 months: not recorded in this cohort")).to_be_visible()
    page.get_by_role("button", name="Fit a twin").click()
    expect(page.get_by_text(re.compile(r"^Fitted$"))).to_be_visible(timeout=240_000)

    turn_to(page, "Twin")
    expect(page.get_by_text("time counted from diagnosis")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("RADCURE")
    expect(page.get_by_text("demonstration data")).to_have_count(0)
    no_traceback(page)


@pytest.mark.parametrize(
    ("name", "content", "finding"),
    [
        ("archive.csv", b"PK\x03\x04\x14\x00\x06\x00" + b"\x00" * 40, "zip archive"),
        ("empty.csv", b"", "empty"),
        ("latin.csv", "patient_id,sex\nA,Müller\n".encode("latin-1"), "UTF-8"),
    ],
    ids=["an archive", "nothing", "latin-1"],
)
def test_a_bad_file_ends_in_findings_never_in_a_traceback(
    page: Page, tmp_path: Path, name: str, content: bytes, finding: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    page.goto("/")
    settle(page)
    turn_to(page, "Cohorts")
    page.get_by_role("tab", name="Bring a cohort").click()
    page.locator("input[type=file]").first.set_input_files(path)
    expect(page.get_by_text("Not importable as it is")).to_be_visible()
    expect(page.get_by_text(re.compile("0 rows read"))).to_be_visible()
    expect(page.get_by_text(re.compile(rf"error \w+ \(.*{finding}")).first).to_be_visible()
    no_traceback(page)
