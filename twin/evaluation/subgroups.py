"""A model's held-out risks in the groups that a specification names: risks in, one row a group out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.cohort import Cohort
from data.schema import AuditGroup, Column, ColumnType
from twin.arrays import Flags, Floats, Integers
from twin.capability import MIN_EVENTS
from twin.evaluation.scores import Sample
from twin.evaluation.targets import Target
from twin.metrics.censoring import aalen_johansen
from twin.metrics.discrimination import harrell_c
from twin.metrics.intervals import MetricValue, estimate

SMALLEST_GROUP: Final = 20
"""Patients below which only the number of patients is told: figures of so few are noise, and near to a person."""

NOT_RECORDED: Final = "not recorded"


@dataclass(frozen=True, slots=True)
class Subgroup:
    """How well one group of patients is served; figures are ``None`` where they are suppressed."""

    column: str
    group: str
    patients: int
    suppressed: bool
    """Whether the group is too small for figures"""
    events: int | None = None
    concordance: MetricValue | None = None
    """Harrell's C among the patients of the group; for a yes-or-no outcome this is the AUC. ``None`` for fewer than
    `MIN_EVENTS` events"""
    predicted: float | None = None
    """Mean predicted risk by the last horizon"""
    observed: float | None = None
    """Risk by the last horizon as seen (Aalen-Johansen)"""
    observed_less_predicted: MetricValue | None = None
    """Calibration in the large: above 0, the risk of the group is stated too low"""


def subgroups(cohort: Cohort, target: Target, risks: Floats, sample: Sample) -> tuple[Subgroup, ...]:
    """Every audited group that has patients with this outcome recorded, in the order of the specification.

    Args:
        cohort: All patients.
        target: n of them.
        risks: (n, months of the target) held-out risks.
        sample: Resampling counts and folds of the n.
    """
    return tuple(
        _subgroup(column, name, members, target, risks, sample)
        for column, name, members in audited_groups(cohort, target.rows)
    )


def audited_groups(cohort: Cohort, rows: Integers) -> Iterator[tuple[str, str, Flags]]:
    """Column, name and members (n,) of every audited group that has any of the n patients at `rows` of a cohort."""
    frame = cohort.frame.iloc[rows]
    for audit in cohort.spec.audit_groups:
        if cohort.records(audit.column):
            for name, members in _groups(frame[audit.column], cohort.spec.column(audit.column), audit):
                if members.any():
                    yield audit.column, name, members


def _groups(values: pd.Series, column: Column, audit: AuditGroup) -> Iterator[tuple[str, Flags]]:
    if audit.above is not None:
        named = f"{audit.above:g} {column.unit}"
        yield f"above {named}", (values > audit.above).to_numpy(dtype=bool)
        yield f"{named} or below", (values <= audit.above).to_numpy(dtype=bool)
    else:
        for level in _levels(values, column):
            yield _in_words(level), (values == level).to_numpy(dtype=bool)
    yield NOT_RECORDED, values.isna().to_numpy(dtype=bool)


def _levels(values: pd.Series, column: Column) -> list[object]:
    if column.type is ColumnType.CATEGORY:
        return list(column.levels)
    return sorted(values.dropna().unique().tolist())


def _in_words(level: object) -> str:
    return ("yes" if level else "no") if isinstance(level, float) else str(level).replace("_", " ")


def _subgroup(column: str, name: str, members: Flags, target: Target, risks: Floats, sample: Sample) -> Subgroup:
    patients = int(members.sum())
    if patients < SMALLEST_GROUP:
        return Subgroup(column, name, patients, suppressed=True)
    observed, counts = target.observed.take(members), sample.counts[:, members]
    month = target.horizons[-1]
    risk = risks[members, target.column(month)]
    seen = aalen_johansen(observed, counts).at(np.array([month]))[:, 0]
    concordance = estimate(harrell_c(observed, risk, counts, sample.folds[members]))
    drawn = counts.sum(axis=1)
    stated = np.divide(counts @ risk, drawn, out=np.full(len(drawn), np.nan), where=drawn > 0)
    return Subgroup(
        column,
        name,
        patients,
        suppressed=False,
        events=observed.events,
        concordance=concordance if observed.events >= MIN_EVENTS else None,
        predicted=float(stated[0]),
        observed=float(seen[0]),
        observed_less_predicted=estimate(seen - stated),
    )
