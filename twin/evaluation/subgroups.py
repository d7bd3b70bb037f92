"""Held-out risks of every model in the groups that a specification names: risks in, one row a group out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pandas as pd

from data.cohort import Cohort
from data.schema import AuditGroup, Column, ColumnType
from twin.arrays import Flags, Floats, Integers
from twin.capability import MIN_EVENTS
from twin.evaluation.held_out import TWIN, ModelRisks
from twin.evaluation.scores import AUC, HARRELL_C, Sample, Scores, essentials, scores
from twin.evaluation.targets import Target
from twin.metrics.censoring import aalen_johansen
from twin.metrics.intervals import MetricValue, estimate

SMALLEST_GROUP: Final = 20
"""Patients below which only the number of patients is told: figures of so few are noise, and near to a person."""

NOT_RECORDED: Final = "not recorded"


@dataclass(frozen=True, slots=True)
class Subgroup:
    """How well one group of patients is served; nothing but its size where figures are suppressed."""

    column: str
    group: str
    patients: int
    suppressed: bool
    """Whether the group is too small for figures"""
    events: int | None = None
    predicted: float | None = None
    """Mean risk by the last horizon that the twin predicts"""
    observed: float | None = None
    """Risk by the last horizon as seen (Aalen-Johansen)"""
    observed_less_predicted: MetricValue | None = None
    """Calibration of the twin in the large: above 0, the risk of the group is stated too low"""
    models: Mapping[str, Scores] = field(default_factory=dict)
    """The twin first, then the reference models: ranks among the patients of the group, error, and observed over
    predicted risk by the last horizon. No ranks with fewer than `MIN_EVENTS` with or without the event"""


def subgroups(cohort: Cohort, target: Target, risks: ModelRisks, sample: Sample) -> tuple[Subgroup, ...]:
    """Every audited group that has patients with this outcome recorded, in the order of the specification.

    Args:
        cohort: All patients.
        target: n of them.
        risks: (n, months of the target) held-out risks of each model.
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


def _subgroup(column: str, name: str, members: Flags, target: Target, risks: ModelRisks, sample: Sample) -> Subgroup:
    patients = int(members.sum())
    if patients < SMALLEST_GROUP:
        return Subgroup(column, name, patients, suppressed=True)
    group = replace(target, rows=target.rows[members], observed=target.observed.take(members))
    resampled = Sample(sample.counts[:, members], sample.folds[members])
    of_group = {model: of_model[members] for model, of_model in risks.items()}
    month, observed = group.horizons[-1], group.observed
    seen = aalen_johansen(observed, resampled.counts).at(np.array([month]))[:, 0]
    drawn = resampled.counts.sum(axis=1)
    total = resampled.counts @ of_group[TWIN][:, group.column(month)]
    stated = np.divide(total, drawn, out=np.full(len(drawn), np.nan), where=drawn > 0)
    ranked = min(observed.events, observed.size - observed.events) >= MIN_EVENTS
    return Subgroup(
        column,
        name,
        patients,
        suppressed=False,
        events=observed.events,
        predicted=float(stated[0]),
        observed=float(seen[0]),
        observed_less_predicted=estimate(seen - stated),
        models={model: _scores(group, of_model, resampled, ranked) for model, of_model in of_group.items()},
    )


def _scores(group: Target, risks: Floats, sample: Sample, ranked: bool) -> Scores:
    found = essentials(group, risks, sample)
    return scores({metric: values for metric, values in found.items() if ranked or metric not in (HARRELL_C, AUC)})
