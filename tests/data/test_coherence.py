"""Contradictions between columns, each beside the nearest thing that is none."""

from __future__ import annotations

import itertools

import pytest
from fixtures.bad_files import HEADER, ROWS, table, with_columns

from data.findings import Finding
from data.importing import check_source
from data.schema import Specification


def found(content: bytes, spec: Specification, code: str) -> list[Finding]:
    return [finding for finding in check_source(content, "cohort.csv", spec).report.findings if finding.code == code]


def seventh(t: int, n: int) -> str:
    """AJCC Cancer Staging Manual, 7th edition (2010), oropharynx, M0; the letters of IVA and IVB left away."""
    if t == 4 or n >= 2:
        return "IV"
    return "III" if t == 3 or n == 1 else ("I", "II")[t - 1]


def eighth_positive(t: int, n: int) -> str:
    """AJCC Cancer Staging Manual, 8th edition (2017), HPV-mediated oropharynx, clinical, M0."""
    if t == 4 or n == 3:
        return "III"
    return "II" if t == 3 or n == 2 else "I"


CASES = [
    *((7, hpv, t, n, seventh(t, n)) for hpv in ("positive", "") for t in (1, 2, 3, 4) for n in range(4)),
    *((8, "positive", t, n, eighth_positive(t, n)) for t in range(5) for n in range(4)),
    # Without HPV the groups of the eighth edition are those of the seventh: T and N changed, the table did not.
    *((8, "negative", t, n, seventh(t, n)) for t in (1, 2, 3, 4) for n in range(4)),
]


def test_stage_groups_are_those_of_the_manual(spec: Specification) -> None:
    lines, wrong_rows = [], set()
    for number, ((edition, hpv, t, n, group), said) in enumerate(
        itertools.product(CASES, ("I", "II", "III", "IV")), start=2
    ):
        lines.append(f"P-{number},60,male,T{t},N{n},12,0,{edition},{hpv},{said}")
        if said != group:
            wrong_rows.add(number)
    content = table(*lines, header=HEADER + ",tnm_edition,hpv_status,stage_group")
    assert {finding.row for finding in found(content, spec, "stage_group_disagrees")} == wrong_rows


@pytest.mark.parametrize("hpv", ["", "positive", "negative"])
def test_a_stage_group_that_nobody_recorded_is_not_judged(spec: Specification, hpv: str) -> None:
    content = with_columns(tnm_edition="8", hpv_status=hpv, stage_group="unknown")
    assert not found(content, spec, "stage_group_disagrees")


def test_without_an_edition_stage_groups_are_not_judged_and_that_is_said(spec: Specification) -> None:
    content = with_columns(stage_group="I")
    assert not found(content, spec, "stage_group_disagrees")
    [note] = found(content, spec, "staging_incomplete")
    assert (note.severity, note.target) == ("info", "tnm_edition")


FOLLOW_UP = 60.0


@pytest.mark.parametrize(
    ("months", "event", "code"),
    [
        ("60", "1", None),
        ("12", "1", None),
        ("60", "0", None),
        ("59.95", "0", None),
        ("60.05", "1", "event_just_after_last_contact"),
        ("60.2", "1", "event_after_last_contact"),
        ("60.2", "0", "event_after_last_contact"),
        ("59", "0", "censored_before_last_contact"),
        ("0", "1", "event_at_time_zero"),
        ("", "1", "event_without_time"),
        ("", "0", "censoring_without_time"),
        ("12", "", "time_without_event"),
    ],
)
def test_failures_lie_within_the_follow_up(spec: Specification, months: str, event: str, code: str | None) -> None:
    """Row 3 is followed for 60 months; row 2 keeps both columns recorded."""
    content = table(
        ROWS[0] + ",34.5,0", ROWS[1] + f",{months},{event}", header=HEADER + ",lrf_months,locoregional_failure"
    )
    report = check_source(content, "cohort.csv", spec).report
    about_times = {(f.code, f.row) for f in report.findings if f.severity != "info"}
    assert about_times == ({(code, 3)} if code else set())


def test_a_death_that_forestalls_a_failure_is_coherent(spec: Specification) -> None:
    content = table("P-1,63,male,T2,N1,20,1,20,0", header=HEADER + ",df_months,distant_failure")
    assert check_source(content, "cohort.csv", spec).report.exit == 0


def test_an_event_without_its_time_column_is_said_once(spec: Specification) -> None:
    [finding] = found(with_columns(distant_failure="1"), spec, "half_an_outcome")
    assert (finding.row, finding.target, finding.severity) == (0, "distant_failure", "warning")


def test_a_cause_of_death_that_is_unknown_is_no_contradiction(spec: Specification) -> None:
    assert not found(with_columns(cause_of_death="unknown"), spec, "cause_without_death")


def test_an_unreadable_decision_is_one_finding_not_two(spec: Specification) -> None:
    report = check_source(with_columns(induction_chemo="maybe", ic_response_primary="CR"), "cohort.csv", spec).report
    assert report.counts == {"not_a_flag": 1, "staging_incomplete": 1}


def test_an_unreadable_required_cell_is_not_also_missing(spec: Specification) -> None:
    report = check_source(table("P-1,old,male,T2,N1,20,1"), "cohort.csv", spec).report
    assert report.counts == {"not_a_number": 1, "staging_incomplete": 1}


@pytest.mark.parametrize(
    ("header", "cells", "code"),
    [
        ("censored", "1 1 0", None),
        ("alive", "yes yes no", None),
        ("vital_status", "Alive Alive Dead", None),
        ("censored", "1 0 0", "status_columns_disagree"),
        ("vital_status", "Alive Dead Dead", "status_columns_disagree"),
        ("censored", "0 0 1", "status_columns_reversed"),
        ("disease_status", "1 1 1", None),
        ("status", "1 1 1", None),
    ],
)
def test_a_second_status_column_is_compared(spec: Specification, header: str, cells: str, code: str | None) -> None:
    lines = (f"{row},{cell}" for row, cell in zip(ROWS, cells.split(), strict=True))
    counts = check_source(table(*lines, header=f"{HEADER},{header}"), "cohort.csv", spec).report.counts
    assert {name for name in counts if name.startswith("status")} == ({code} if code else set())
