"""Effects of decisions in, what each source says of each, on average and in patients whom its terms tell apart, out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, product
from typing import Final

import numpy as np
import pandas as pd

from data.evidence import Comparison, Condition, EffectTerm, Group
from data.schema import UNKNOWN, Column, Specification
from twin.arrays import Floats
from twin.effects.combination import CombinedEffects, EffectRow, Ratio
from twin.effects.distribution import EffectDistribution
from twin.record import InvalidValue, PatientRecord, Value

ON_AVERAGE: Final = "on average"
"""The average patient of the cohort"""
OTHERS: Final = "all others"
"""Whoever is in none of the groups that the terms of a decision name"""
STEPS: Final = (-1.5, 0.0, 1.5)
"""Which values of a number are looked at, in steps of its term from the centre: of a term per 10 years of age around 60
the ages 45, 60 and 75"""


def side_by_side(effects: CombinedEffects, spec: Specification) -> tuple[EffectRow, ...]:
    """Each decision on average and in its reference groups, in the order of its terms."""
    found: list[EffectRow] = []
    for decision in dict.fromkeys(term.decision for term in effects.prior.terms):
        groups = reference_groups([term for term in effects.prior.terms if term.decision == decision], spec)
        found.append(_on_average(effects, decision))
        found += [row for row in effects.summary(groups) if row.decision == decision]
    return tuple(found)


def reference_groups(terms: Sequence[EffectTerm], spec: Specification) -> dict[str, pd.DataFrame]:
    """Patients whom the terms of one decision tell apart, each made up of what the terms read and nothing else.

    A number is looked at below, at and above the centre of its term, a group in one member of it; beside groups there
    is one who is in none of them. Whoever cannot exist by the dictionary is left out.

    Returns:
        Label -> typed frame of one row; empty where the effect is the same for everybody.
    """
    grouped = [term for term in terms if term.group and not term.column]
    groups = {}
    for term in (term for term in terms if term.column):
        column = spec.column(term.column)
        for number in (term.centre + step * term.per for step in STEPS):
            label = f"{_said(column, number)}{f', {OTHERS}' if grouped else ''}"
            groups[label] = _member(Group.parse(term.group), spec, {term.column: number})
    centres = "".join(f", {_said(spec.column(t.column), t.centre)}" for t in terms if t.column and not t.group)
    for term in grouped:
        groups[f"{term.name.removeprefix('in ')}{centres}"] = _member(Group.parse(term.group), spec, {})
    if grouped and not centres:
        groups[OTHERS] = PatientRecord(spec, {}).to_frame()
    return {label: frame for label, frame in groups.items() if frame is not None}


def _said(column: Column, number: float) -> str:
    return f"{column.label.lower()} {number:g} {column.unit}".rstrip()


def _member(group: Group, spec: Specification, known: Mapping[str, Value]) -> pd.DataFrame | None:
    """Somebody of a group of whom some values are `known`, with as few others as it takes; ``None``: nobody is."""
    for values in _tried(group, spec):
        try:
            frame = PatientRecord(spec, {**values, **known}).to_frame()
        except InvalidValue:
            continue
        if group.membership(frame)[0] == 1.0:
            return frame
    return None


def _tried(group: Group, spec: Specification) -> Iterator[dict[str, Value]]:
    """Values of the columns of a group, unknown ones left out, among which there is a member if there is one at all."""
    conditions = [condition for clause in group.clauses for condition in clause]
    columns = [spec.column(name) for name in group.columns]
    candidates = [_candidates(c, [entry for entry in conditions if entry.column == c.name]) for c in columns]
    for values in product(*([None, *some] for some in candidates)):
        yield {name: value for name, value in zip(group.columns, values, strict=True) if value is not None}


def _candidates(column: Column, conditions: Sequence[Condition]) -> list[Value]:
    texts = [entry.value for entry in conditions]
    if column.is_numeric:
        return [*_numbers(texts)]
    others = column.levels if any(entry.comparison is Comparison.OTHER for entry in conditions) else ()
    return [level for level in dict.fromkeys([*texts, *others]) if level != UNKNOWN]


def _numbers(texts: Sequence[str]) -> list[float]:
    """The thresholds of a number, and what lies between, below and above them."""
    thresholds = sorted({float(text) for text in texts})
    between = [(low + high) / 2.0 for low, high in pairwise(thresholds)]
    return [*thresholds, *between, thresholds[0] - 1.0, thresholds[-1] + 1.0]


def _on_average(effects: CombinedEffects, decision: str) -> EffectRow:
    own = [term.decision == decision for term in effects.prior.terms]
    weights = np.where(own, effects.cohort.average, 0.0)
    learnt = decision in effects.cohort.decisions
    return EffectRow(
        decision=decision,
        group=ON_AVERAGE,
        prior=_ratio(effects.prior, weights),
        cohort=_ratio(effects.cohort.distribution, weights) if learnt else None,
        combined=_ratio(effects.combined, weights),
    )


def _ratio(distribution: EffectDistribution, weights: Floats) -> Ratio:
    (mean,), (sd,) = distribution.of(weights[None, :])
    return Ratio.of(float(mean), float(sd))
