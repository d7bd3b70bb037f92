"""A cohort and its ratings in, how far expected ratings of patients the model never saw lie from theirs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold

from data.cohort import Cohort
from data.errors import WrongUsage
from data.schema import Role
from data.symptoms import ITEM, WEEK, SymptomTable
from twin.arrays import Floats, Integers
from twin.metrics.intervals import estimate, resample_counts
from twin.record import decision_matrix
from twin.state import Known
from twin.symptoms.curves import SymptomCurves
from twin.symptoms.fitting import fit_symptoms
from twin.threads import one_thread
from twin.timeline import plan_text, question_moment

ALL: Final = "all"
"""Stands for all items together; such a row without a week is of all weeks."""


def score_symptoms(
    cohort: Cohort,
    table: SymptomTable,
    *,
    known_weeks: Sequence[float] = (),
    truth: Floats | None = None,
    folds: int = 5,
    resamples: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Cross-validate expected ratings, from what is known at first and under the plan that was given.

    Args:
        cohort: n patients.
        table: their ratings.
        known_weeks: weeks whose ratings of the held-out patient are shown to the model, which then expects later ones.
        truth: (n, items, weeks) expected ratings of a synthetic cohort under the plan that was given; not with
            `known_weeks`, as they are expected before any rating is known.
        folds: parts of the cohort, each held out once.
        resamples: of the scored patients, behind each 95 % interval.
        seed: of folds and resamples.

    Returns:
        One row an item and week, then `ALL` items by week, then `ALL` without a week. `ratings` scored; `rmse` (with
        `rmse_lower`, `rmse_upper`) and `mae`; the same of the mean of the item and week as `mean_rmse`, `mean_mae`;
        `difference` of the two RMSE with its interval, below 0 where the model is better; `range_coverage` with its
        interval, the share of ratings within their range, and `range_width`, how many ratings it holds less one. With
        `truth`: `truth_rmse`, `mean_truth_rmse`, `interval_coverage` and `interval_width` of the mean.

    Raises:
        WrongUsage: `truth` together with `known_weeks`, or of another shape than the ratings.
    """
    ratings = table.ratings(cohort.frame[cohort.spec.key].tolist())
    if truth is not None and (known_weeks or truth.shape != ratings.shape):
        raise WrongUsage(
            f"a truth of shape {truth.shape} with {len(known_weeks)} known weeks",
            remedy=f"give shape {ratings.shape} and no known weeks",
        )
    shown = np.where(np.isin(table.questionnaire.weeks, list(known_weeks)), ratings, np.nan)
    with one_thread():
        held_out = _held_out(cohort, table, shown, _folds(cohort.size, folds, seed))
    names = [*table.questionnaire.names, ALL]
    items, weeks = len(table.questionnaire.items), len(table.questionnaire.weeks)
    groups = _Groups(items, weeks, resample_counts(cohort.size, resamples, seed))
    scored = {**_against_ratings(held_out, ratings, groups), **_against_truth(held_out, truth, groups)}
    index = [(names[item], week) for item, week in groups.labels(table.questionnaire.weeks)]
    rows = pd.DataFrame(index, columns=[ITEM, WEEK])
    return pd.concat([rows, pd.DataFrame(scored)], axis=1)


@dataclass(frozen=True, eq=False)
class _HeldOut:
    """Curves of every patient by a model that never saw them, each (n, items, weeks)."""

    mean: Floats
    lower: Floats
    upper: Floats
    range_lower: Floats
    range_upper: Floats
    average: Floats
    """Mean rating of the other patients at the item and week"""


def _folds(patients: int, folds: int, seed: int) -> Integers:
    """(n,) the fold in which each patient is held out."""
    result = np.empty(patients, dtype=np.intp)
    for fold, (_, held_out) in enumerate(KFold(folds, shuffle=True, random_state=seed).split(np.empty(patients))):
        result[held_out] = fold
    return result


def _held_out(cohort: Cohort, table: SymptomTable, shown: Floats, folds: Integers) -> _HeldOut:
    spec = cohort.spec
    first = Known.at(cohort.frame, spec, question_moment(spec, 0)).frame
    states = [column.name for column in spec.having(Role.STATE) if column.name in cohort.frame]
    found = np.full((6, *shown.shape), np.nan)
    for fold in np.unique(folds):
        training, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        # Nothing is asked at later landmarks, and without states no regressions are fitted there.
        others = replace(cohort, frame=cohort.frame.drop(columns=states).iloc[training].reset_index(drop=True))
        model = fit_symptoms(others, table)
        given = model.capability.with_held(spec, decision_matrix(spec, cohort.frame))
        plans = np.array([plan_text(digits) for digits in np.nan_to_num(given)])
        for plan in np.unique(plans[held_out]):
            rows = held_out[plans[held_out] == plan]
            curves = model.curves(first.iloc[rows].reset_index(drop=True), str(plan), observed=shown[rows])
            found[:5, rows] = _stacked(curves)
        found[5, held_out] = model.stages[0].location
    return _HeldOut(*found)


def _stacked(curves: SymptomCurves) -> Floats:
    return np.stack([curves.mean, curves.lower, curves.upper, curves.range_lower, curves.range_upper])


@dataclass(frozen=True, eq=False)
class _Groups:
    """The groups of answers that are scored together, and how often each patient is in each resample."""

    items: int
    weeks: int
    counts: Floats
    """(1 + resamples, n)"""

    def labels(self, weeks: Sequence[float]) -> list[tuple[int, float]]:
        """Item (one past the last for all of them) and week (NaN for all of them) of each group."""
        each = [(item, week) for item in range(self.items + 1) for week in weeks]
        return [*each, (self.items, float("nan"))]

    def means(self, values: Floats) -> Floats:
        """(1 + resamples, groups) mean of `values` (n, items, weeks) over what is not NaN, in every resample."""
        known = ~np.isnan(values)
        total = self.sums(np.where(known, values, 0.0))
        number = self.sums(known.astype(float))
        return np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)

    def sums(self, values: Floats) -> Floats:
        """(1 + resamples, groups) sums of `values` (n, items, weeks) in every resample."""
        by_answer = (self.counts @ values.reshape(len(values), -1)).reshape(-1, self.items, self.weeks)
        by_week = by_answer.sum(axis=1, keepdims=True)
        each = np.concatenate([by_answer, by_week], axis=1).reshape(len(by_answer), -1)
        return np.column_stack([each, by_week.sum(axis=(1, 2))])


def _against_ratings(held_out: _HeldOut, ratings: Floats, groups: _Groups) -> dict[str, Floats | list[float | None]]:
    rmse, mean_rmse = (np.sqrt(groups.means((ratings - m) ** 2)) for m in (held_out.mean, held_out.average))
    within = (ratings >= held_out.range_lower) & (ratings <= held_out.range_upper)
    scored = ~np.isnan(ratings) & ~np.isnan(held_out.mean)
    width = np.where(scored, held_out.range_upper - held_out.range_lower, np.nan)
    return {
        "ratings": groups.sums(scored.astype(float))[0],
        **_with_interval("rmse", rmse),
        "mae": groups.means(np.abs(ratings - held_out.mean))[0],
        "mean_rmse": mean_rmse[0],
        "mean_mae": groups.means(np.abs(ratings - held_out.average))[0],
        **_with_interval("difference", rmse - mean_rmse),
        **_with_interval("range_coverage", groups.means(np.where(scored, within, np.nan))),
        "range_width": groups.means(width)[0],
    }


def _against_truth(held_out: _HeldOut, truth: Floats | None, groups: _Groups) -> dict[str, Floats]:
    if truth is None:
        return {}
    within = (truth >= held_out.lower) & (truth <= held_out.upper)
    return {
        "truth_rmse": np.sqrt(groups.means((truth - held_out.mean) ** 2)[0]),
        "mean_truth_rmse": np.sqrt(groups.means((truth - held_out.average) ** 2)[0]),
        "interval_coverage": groups.means(np.where(np.isnan(truth), np.nan, within))[0],
        "interval_width": groups.means(held_out.upper - held_out.lower)[0],
    }


def _with_interval(name: str, values: Floats) -> dict[str, list[float | None]]:
    """The first of (1 + resamples, groups) values with the interval of the others."""
    found = [estimate(values[:, group]) for group in range(values.shape[1])]
    return {
        name: [one.value for one in found],
        f"{name}_lower": [one.lower for one in found],
        f"{name}_upper": [one.upper for one in found],
    }
