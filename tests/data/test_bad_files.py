"""Every file that an outsider would try first gives the right finding, on the right row and column, and no cohort."""

from __future__ import annotations

import pytest
from fixtures.bad_files import BAD_FILES, GOOD, BadFile

from data.findings import Severity
from data.importing import check_source
from data.schema import Specification


def test_the_file_from_which_the_bad_ones_are_made_is_good(spec: Specification) -> None:
    checked = check_source(GOOD, "good.csv", spec)
    # No edition of TNM is recorded, which is worth a note and no more.
    assert (checked.report.exit, checked.report.counts) == (0, {"staging_incomplete": 1})
    assert checked.cohort is not None
    assert checked.report.rows == checked.report.kept == checked.cohort.size == 3


@pytest.mark.parametrize("bad", BAD_FILES, ids=lambda bad: bad.name)
def test_a_bad_file_is_named_where_it_is_bad(bad: BadFile, spec: Specification) -> None:
    checked = check_source(bad.content, "bad.csv", spec)
    found = [f for f in checked.report.findings if (f.code, f.row, f.column) == (bad.code, bad.row, bad.column)]
    assert found, f"got {[str(finding) for finding in checked.report.findings]}"
    assert any(bad.says in f"{finding.got} {finding.remedy}" for finding in found), [str(f) for f in found]
    assert checked.report.exit == bad.exit
    assert all(finding.expected and finding.got and finding.remedy for finding in checked.report.findings)


@pytest.mark.parametrize("bad", [bad for bad in BAD_FILES if bad.exit != 3], ids=lambda bad: bad.name)
def test_a_refused_file_yields_no_cohort(bad: BadFile, spec: Specification) -> None:
    checked = check_source(bad.content, "bad.csv", spec)
    assert checked.cohort is None
    assert (checked.report.kept, checked.report.digest) == (0, "")


@pytest.mark.parametrize("bad", [bad for bad in BAD_FILES if bad.exit == 1 and bad.row > 1], ids=lambda bad: bad.name)
def test_leaving_the_bad_row_out_keeps_the_others(bad: BadFile, spec: Specification) -> None:
    strict = check_source(bad.content, "bad.csv", spec)
    checked = check_source(bad.content, "bad.csv", spec, skip_bad_rows=True)
    assert checked.report.exit == 3
    assert checked.cohort is not None
    assert bad.row in checked.report.left_out_rows
    assert checked.report.kept == checked.cohort.size == checked.report.rows - len(checked.report.left_out_rows)
    errors = {f.row for f in strict.report.findings if f.severity is Severity.ERROR}
    assert set(checked.report.left_out_rows) == errors


def test_all_problems_are_reported_at_once(spec: Specification) -> None:
    content = GOOD.replace(b"63,male", b"630,mal").replace(b"T3,N2", b"T9,N9").replace(b"12,1", b"12,1,1")
    found = {(f.code, f.row, f.column) for f in check_source(content, "bad.csv", spec).report.findings}
    assert found >= {
        ("out_of_range", 2, "age_years"),
        ("unknown_level", 2, "sex"),
        ("unknown_level", 3, "t_stage"),
        ("unknown_level", 3, "n_stage"),
        ("ragged_row", 4, ""),
    }
