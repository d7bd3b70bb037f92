"""A draft in, findings about values that every row needs and identifiers that only one row may have out."""

from __future__ import annotations

import pandas as pd

from data.checks.draft import Draft
from data.findings import Severity
from data.schema import Column


def check_completeness(draft: Draft, *, partial: bool = False) -> None:
    """Report required columns and cells that are absent, and patients that occur twice.

    Args:
        draft: what was read.
        partial: the patients are new ones, whose outcomes nobody can know.
    """
    last_known = draft.spec.moments[-1]
    for column in draft.spec.columns:
        if column.required and not (partial and column.available_from == last_known):
            _check_required(draft, column)
    _check_duplicates(draft)


def _check_required(draft: Draft, column: Column) -> None:
    if column.name not in draft.columns:
        remedy = "add the column, or name the source column in a mapping"
        draft.remark(column.name, "missing_column", Severity.ERROR, f"a column {column.name}", "no such column", remedy)
        return
    draft.report(
        draft.absent(column.name),
        column.name,
        "missing_value",
        Severity.ERROR,
        column.expected(),
        lambda _: "an empty cell or a code for missing",
        "fill in the value: every row needs it",
    )


def _check_duplicates(draft: Draft) -> None:
    key = draft.spec.key
    if key not in draft.columns:
        return
    values = draft.values(key)
    twice = values.duplicated(keep=False).to_numpy() & draft.recorded(key)
    first = pd.Series(draft.rows).groupby(values.to_numpy(dtype=object)).transform("min").to_numpy()
    last = pd.Series(draft.rows).groupby(values.to_numpy(dtype=object)).transform("max").to_numpy()

    def other_row(position: int) -> str:
        other = first[position] if first[position] != draft.rows[position] else last[position]
        return f"the same identifier as in row {int(other)}"

    remedy = "one row per patient: keep the right one, or give the patients identifiers of their own"
    draft.report(twice, key, "duplicate_patient", Severity.ERROR, "each identifier once", other_row, remedy)
