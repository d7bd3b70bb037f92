"""The bytes of a file of ratings in, every problem as a finding and, where nothing stands against it, a table out.

Cells follow the rules of cohort files (delimiters, decimal comma, spellings of a missing cell): the same reader reads
both.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from data.cells import CellReader, Fault, TypedColumn, Value, read_column
from data.checks.draft import Draft
from data.checks.identifiers import Pseudonymiser, report_identifiers
from data.cohort import Cohort
from data.findings import WHOLE_FILE, Finding, Findings, Severity
from data.reader.limits import COMMAND_LINE_LIMITS, Limits
from data.reader.marker import check_specification, read_marker
from data.reader.read import read_table
from data.reader.table import RawTable
from data.schema import Column, ColumnType, Role
from data.symptoms.questionnaire import Questionnaire
from data.symptoms.table import ITEM, PATIENT, RATING, WEEK, SymptomTable

_REQUIRED: Final = (PATIENT, ITEM, WEEK)
"""Columns of which every row needs a value; a rating may be missing."""


@dataclass(frozen=True, slots=True)
class CheckedSymptoms:
    """What a check of a file saw, and the table that may be stored; ``None`` when there is an error."""

    findings: Findings
    rows: int | None
    """Rows read; ``None`` where the file is no table at all"""
    table: SymptomTable | None


@dataclass(frozen=True)
class _Cells(CellReader):
    """Reads cells of ratings; says what can be done about a fault in such a file."""

    remedy: str = ""
    """A file of ratings has no mapping that could turn a cell into another."""

    def read(self, cell: str) -> Value | Fault:
        """The value of one trimmed cell, or why it has none."""
        found = CellReader.read(self, cell)
        return replace(found, remedy=self.remedy) if isinstance(found, Fault) else found


def check_symptoms(
    content: bytes,
    cohort: Cohort,
    questionnaire: Questionnaire,
    *,
    limits: Limits = COMMAND_LINE_LIMITS,
    pseudonymiser: Pseudonymiser | None = None,
) -> CheckedSymptoms:
    """Check a file of ratings as a whole; every fault of the input is a finding, never an exception.

    Args:
        content: the bytes of the file: columns `patient_id, item, week, rating`, one row a rating; items by name, weeks
            from the start of the clock, and the rating may be missing.
        cohort: whose patients may occur.
        questionnaire: what was asked.
        limits: how large the file may be.
        pseudonymiser: the one the cohort was imported with; ``None`` where identifiers stand as they are.
    """
    findings = Findings()
    text = read_table(content, findings, limits)
    if text is None:
        return CheckedSymptoms(findings, None, None)
    _check_marker(text, cohort, findings)
    columns = _columns(questionnaire)
    if pseudonymiser is None:
        key = PATIENT if PATIENT in text.columns else None
        report_identifiers(text, key, {name: name for name in columns}, findings)
    _report_other_columns(text, columns, findings)
    draft = Draft(cohort.spec, text.rows, findings, confidential=frozenset({PATIENT}))
    remedies = _remedies(questionnaire)
    for name, column in columns.items():
        _read(draft, text, column, remedies.get(name, ""))
    if pseudonymiser is not None and PATIENT in draft.columns:
        draft.columns[PATIENT] = _pseudonymous(draft.columns[PATIENT], pseudonymiser)
    if all(name in draft.columns for name in columns):
        _check_patients(draft, cohort)
        _check_duplicates(draft)
        _check_answers(draft)
    table = None if findings.has(Severity.ERROR) else _table(draft, questionnaire)
    return CheckedSymptoms(findings, text.records, table)


def _check_marker(text: RawTable, cohort: Cohort, findings: Findings) -> None:
    """Report a file that says it belongs to another disease, or invented ratings of patients who are not."""
    marker = read_marker(text.comments, findings)
    check_specification(marker, cohort.spec.name, findings)
    if marker.synthetic and not cohort.synthetic:
        expected, got = f"ratings that the patients of cohort '{cohort.name}' gave", "ratings marked as invented"
        remedy = "import the ratings of these patients; invented ones go with an invented cohort"
        findings.add(Finding("synthetic_ratings", Severity.ERROR, WHOLE_FILE, "", "", expected, got, remedy))


def _remedies(asked: Questionnaire) -> dict[str, str]:
    """What to do about a cell that cannot be read, by column."""
    return {
        ITEM: "write the name of one of the items; questions in other words are not guessed",
        WEEK: f"count weeks from the {asked.counted_from}, and leave out visits of other weeks",
        RATING: "correct the rating, or leave the cell empty where the question was not answered",
    }


def _columns(asked: Questionnaire) -> dict[str, Column]:
    """The canonical columns, as a dictionary describes those of a cohort."""
    weeks = tuple(f"{week:g}" for week in asked.weeks)
    return {
        PATIENT: _column(PATIENT, "Patient identifier", ColumnType.STRING),
        ITEM: _column(ITEM, "Symptom", ColumnType.CATEGORY, levels=asked.names),
        WEEK: _column(WEEK, "Week", ColumnType.INTEGER, levels=weeks, bounds=(asked.weeks[0], asked.weeks[-1])),
        RATING: _column(RATING, "Rating", ColumnType.INTEGER, bounds=(asked.lowest, asked.highest)),
    }


def _column(
    name: str,
    label: str,
    kind: ColumnType,
    levels: tuple[str, ...] = (),
    bounds: tuple[float, float] | None = None,
) -> Column:
    return Column(
        name=name,
        label=label,
        type=kind,
        unit="",
        levels=levels,
        minimum=bounds[0] if bounds else None,
        maximum=bounds[1] if bounds else None,
        available_from="",
        role=Role.KEY if name == PATIENT else Role.CHECK,
        required=name in _REQUIRED,
        identifier=name == PATIENT,
        aliases=(),
    )


def _read(draft: Draft, text: RawTable, column: Column, remedy: str) -> None:
    name = column.name
    draft.sources[name] = name
    if name not in text.columns:
        named = f"name the columns {PATIENT}, {ITEM}, {WEEK} and {RATING}"
        draft.remark(name, "missing_column", Severity.ERROR, f"a column {name}", "no such column", named)
        return
    reader = _Cells(column, text.decimal_comma, remedy=remedy)
    draft.columns[name] = read_column(text.columns[name], reader, draft.place(name), text.rows, draft.findings)
    if column.required:
        draft.report(
            draft.absent(name),
            name,
            "missing_value",
            Severity.ERROR,
            column.expected(),
            lambda _: "an empty cell or a code for missing",
            "fill in the value: only a rating may be missing",
        )


def _pseudonymous(column: TypedColumn, pseudonymiser: Pseudonymiser) -> TypedColumn:
    hashed = column.values.map(lambda text: None if text is None else pseudonymiser.pseudonym(text))
    return TypedColumn(hashed.astype(object), column.invalid)


def _report_other_columns(text: RawTable, columns: dict[str, Column], findings: Findings) -> None:
    for name in text.columns:
        if name not in columns:
            expected = "one of " + ", ".join(columns)
            got, remedy = "another column", "nothing to do: it is ignored"
            findings.add(Finding("unused_column", Severity.INFO, WHOLE_FILE, name, "", expected, got, remedy))


def _check_patients(draft: Draft, cohort: Cohort) -> None:
    known = draft.values(PATIENT).isin(cohort.frame[cohort.spec.key]).to_numpy(dtype=np.bool_)
    draft.report(
        ~known & draft.recorded(PATIENT),
        PATIENT,
        "patient_not_in_cohort",
        Severity.ERROR,
        f"a patient of cohort '{cohort.name}'",
        lambda _: "another identifier",
        "correct the identifier, or import the patient with the cohort first",
    )


def _check_duplicates(draft: Draft) -> None:
    rated = pd.DataFrame({name: draft.values(name).to_numpy(dtype=object) for name in _REQUIRED})
    complete = rated.notna().all(axis=1).to_numpy(dtype=np.bool_)
    twice = rated.duplicated(keep=False).to_numpy(dtype=np.bool_) & complete
    rows = pd.Series(draft.rows)[twice].groupby([rated.loc[twice, name] for name in _REQUIRED])
    first, last = rows.transform("min"), rows.transform("max")

    def other_row(position: int) -> str:
        other = first[position] if first[position] != draft.rows[position] else last[position]
        return f"the same patient, item and week as in row {int(other)}"

    draft.report(
        twice,
        RATING,
        "duplicate_rating",
        Severity.ERROR,
        "each patient, item and week once",
        other_row,
        "keep the right one of the rows: which one counts cannot be guessed",
    )


def _check_answers(draft: Draft) -> None:
    if len(draft.rows) and draft.absent(RATING).all():
        expected, got = "a rating in one of the rows", "none"
        draft.remark(RATING, "no_ratings", Severity.ERROR, expected, got, "export the table again")


def _table(draft: Draft, questionnaire: Questionnaire) -> SymptomTable:
    frame = pd.DataFrame(
        {
            PATIENT: draft.values(PATIENT).astype(object),
            ITEM: draft.values(ITEM).astype(object),
            WEEK: draft.numbers(WEEK),
            RATING: draft.numbers(RATING),
        }
    )
    return SymptomTable(questionnaire, frame)
