"""Findings of many rows at once: counted in full, listed as far as anyone reads."""

from __future__ import annotations

from data.findings import LISTED_PER_FILE, Finding, Findings, Severity


def test_rows_beyond_the_list_are_counted_and_remembered_but_not_built() -> None:
    built = []

    def finding_at(position: int) -> Finding:
        built.append(position)
        return Finding("bad", Severity.ERROR, rows[position], "c", "t", "x", "y", "z")

    rows = list(range(2, 5_002))
    findings = Findings()
    findings.add_rows(rows, finding_at)
    assert len(built) == LISTED_PER_FILE
    assert len(findings) == findings.counts["bad"] == 5_000
    assert findings.rows_with_errors() == set(rows)
    assert [finding.row for finding in findings.listed] == rows[:LISTED_PER_FILE]


def test_no_rows_are_no_finding() -> None:
    findings = Findings()
    findings.add_rows([], lambda _: Finding("bad", Severity.ERROR, 0, "", "", "", "", ""))
    assert (len(findings), findings.counts) == (0, {})
