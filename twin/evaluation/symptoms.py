"""A cohort and its ratings in, how far expected ratings of held-out patients lie from theirs out, beside item means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from data.cohort import Cohort
from data.errors import Refused
from data.symptoms import ITEM, WEEK, Questionnaire, SymptomTable
from twin.metrics.intervals import MetricValue
from twin.symptoms.model import LEVEL
from twin.symptoms.score import ALL, score_symptoms

WORST: Final = 3
"""Items, each at its worst week, that are named for the size of their error"""


@dataclass(frozen=True, slots=True)
class SymptomScore:
    """One item at one week, or several together."""

    item: str
    """`ALL` for all items"""
    label: str
    week: float | None
    """``None`` for all weeks"""
    ratings: int
    """Held-out answers that are scored"""
    rmse: MetricValue
    """Of the expected rating, in points of the scale"""
    mean_rmse: float | None
    """Of the mean of the other patients at the item and week"""
    difference: MetricValue
    """The first less the second: below 0 where the model is nearer"""
    range_coverage: MetricValue
    """Share of the answers within the range stated for them"""


@dataclass(frozen=True, slots=True)
class SymptomEvaluation:
    """How well ratings are expected, at time zero and under the plan that was given."""

    level: float
    """Share of answers that a range is meant to hold"""
    lowest: float
    highest: float
    """Ends of the scale"""
    overall: SymptomScore
    by_week: tuple[SymptomScore, ...]
    """All items together"""
    by_item: tuple[SymptomScore, ...]
    """Every item at every week that is scored"""
    worst: tuple[SymptomScore, ...]
    """The `WORST` items of largest error, largest first, each at its worst week"""


def evaluate_symptoms(
    cohort: Cohort, table: SymptomTable, folds: int, resamples: int, seed: int
) -> SymptomEvaluation | str:
    """Cross-validate the ratings of a cohort, or say why they cannot be.

    Args:
        cohort: n patients.
        table: Their ratings.
        folds: Parts of the cohort, each held out once.
        resamples: Of the scored patients.
        seed: Of folds and resamples.
    """
    try:
        found = score_symptoms(cohort, table, folds=folds, resamples=resamples, seed=seed)
    except Refused as reason:
        return reason.what
    scored = [_score(row, table.questionnaire) for row in found.to_dict("records") if row["ratings"] > 0]
    by_item = tuple(one for one in scored if one.item != ALL)
    ordered = sorted(by_item, key=lambda one: one.rmse.value or 0.0, reverse=True)
    at_worst = {one.item: one for one in reversed(ordered)}
    worst = sorted(at_worst.values(), key=ordered.index)
    return SymptomEvaluation(
        level=LEVEL,
        lowest=table.questionnaire.lowest,
        highest=table.questionnaire.highest,
        overall=next(one for one in scored if one.item == ALL and one.week is None),
        by_week=tuple(one for one in scored if one.item == ALL and one.week is not None),
        by_item=by_item,
        worst=tuple(worst[:WORST]),
    )


def _score(row: dict[Any, Any], asked: Questionnaire) -> SymptomScore:
    return SymptomScore(
        item=row[ITEM],
        label="All items" if row[ITEM] == ALL else asked.item(row[ITEM]).label,
        week=_number(row[WEEK]),
        ratings=int(row["ratings"]),
        rmse=_metric(row, "rmse"),
        mean_rmse=_number(row["mean_rmse"]),
        difference=_metric(row, "difference"),
        range_coverage=_metric(row, "range_coverage"),
    )


def _metric(row: dict[Any, Any], name: str) -> MetricValue:
    return MetricValue(*(_number(row[f"{name}{end}"]) for end in ("", "_lower", "_upper")))


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
