"""A draft in, findings about recorded stage groups that the specification's staging table contradicts out."""

from __future__ import annotations

import numpy as np

from data.checks.draft import Draft
from data.findings import Severity
from data.reader.table import BoolArray
from data.schema import UNKNOWN, Role


def check_stage_group(draft: Draft) -> None:
    """Warn where the recorded group is another than the one that the table gives for the recorded categories.

    The column of the table that the dictionary keeps for checks is what the others imply; an empty cell stands for any
    value. A patient whom no row of the table describes is not judged.
    """
    table = draft.spec.stage_groups
    if not table:
        return
    implied = next(name for name in table[0] if draft.spec.column(name).role is Role.CHECK)
    conditions = [name for name in table[0] if name != implied]
    needed = [name for name in conditions if all(row[name] for row in table)]
    absent = [name for name in needed if not draft.records(name)]
    if len(absent) == len(needed):
        return
    for name in absent:
        draft.remark(
            name,
            "staging_incomplete",
            Severity.INFO,
            f"{name}, by which the other columns of staging are read",
            "nothing recorded",
            f'record it, or state it in the mapping, e.g. "derive": {{"{name}": {{"constant": ...}}}}',
        )
    if not absent and draft.records(implied):
        _compare(draft, conditions, implied)


def _compare(draft: Draft, conditions: list[str], implied: str) -> None:
    expected = np.full(len(draft.rows), None, dtype=object)
    for row in draft.spec.stage_groups:
        applies = np.logical_and.reduce([_equals(draft, name, row[name]) for name in conditions if row[name]])
        expected[applies] = row[implied]
    recorded = draft.values(implied).to_numpy(dtype=object)
    judged = draft.recorded(implied) & (recorded != UNKNOWN) & np.array([group is not None for group in expected])
    said = [draft.said(name) for name in conditions if name in draft.columns]
    draft.report(
        judged & (recorded != expected),
        implied,
        "stage_group_disagrees",
        Severity.WARNING,
        "the group that the recorded categories imply",
        lambda at: f"{recorded[at]}, where {', '.join(say(at) for say in said)} give {expected[at]}",
        "check the categories, the edition and the recorded group",
    )


def _equals(draft: Draft, name: str, value: str) -> BoolArray:
    if name not in draft.columns:
        return np.zeros(len(draft.rows), dtype=np.bool_)
    if draft.spec.column(name).is_numeric:
        return np.asarray(draft.numbers(name) == float(value), dtype=np.bool_)
    return (draft.values(name) == value).to_numpy(dtype=np.bool_)
