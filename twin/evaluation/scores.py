"""Scores of one model's held-out risks of one outcome: a target and risks in, metrics of every resample out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from data.schema import OutcomeKind
from twin.arrays import Floats, Integers
from twin.evaluation.targets import Target
from twin.metrics import accuracy, binary, calibration, discrimination
from twin.metrics.censoring import aalen_johansen, ipcw
from twin.metrics.intervals import MetricValue, estimate, over_resamples
from twin.metrics.observed import Observed


class Metric(NamedTuple):
    """A metric, and the month of its horizon; 0 where it has none."""

    name: str
    month: float = 0.0


HARRELL_C: Final = Metric("harrell_c")
UNO_C: Final = Metric("uno_c")
AUC: Final = Metric("auc")
BRIER: Final = Metric("brier")
INTEGRATED_BRIER: Final = Metric("integrated_brier")
IN_THE_LARGE: Final = "observed_over_predicted"

SKILLS: Final = {INTEGRATED_BRIER: Metric("integrated_brier_skill"), BRIER: Metric("brier_skill")}
"""What is compared with saying the average, and the name of the comparison."""

COMPARED: Final = (HARRELL_C, UNO_C, INTEGRATED_BRIER, AUC, BRIER)
"""Metrics of the whole that say how good a model is: those in which two models are set against each other."""

DISTANCES: Final = ("largest_calibration_gap", "ece")
"""Metrics that measure a distance from 0."""

Draws: TypeAlias = dict[Metric, Floats]
"""(1 + resamples,) values of each metric, the first those of the sample itself."""

Scores: TypeAlias = Mapping[str, MetricValue | Mapping[str, MetricValue]]
"""Metric -> value, or metric -> month as text -> value."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Who is scored: resampling counts (1 + resamples, n) of the target's patients, and their folds (n,)."""

    counts: Floats
    folds: Integers


def draws(target: Target, risks: Floats, sample: Sample) -> Draws:
    """Every metric of held-out `risks` (n, months of the target), for the sample and its resamples.

    Patients are ranked within their folds only.
    """
    if target.is_binary:
        return _binary(target, risks[:, 0], sample)
    result = _over_time(target, risks, sample)
    for month in target.horizons:
        result.update(_at(target, risks[:, target.column(month)], month, sample))
    return result


def essentials(target: Target, risks: Floats, sample: Sample) -> Draws:
    """Ranks, error and calibration in the large, which small groups of patients can bear, too."""
    last = target.horizons[-1]
    risk = risks[:, target.column(last)]
    large = {Metric(IN_THE_LARGE): in_the_large(target, risk, last, sample.counts)}
    if target.is_binary:
        positive = target.observed.event_by(last)
        area = over_resamples(lambda counts: discrimination.auc(positive, risk, counts, sample.folds), sample.counts)
        squares = over_resamples(lambda counts: binary.brier(positive, risk, counts), sample.counts)
        return {AUC: area, BRIER: squares, **large}
    rank = over_resamples(
        lambda counts: discrimination.harrell_c(target.observed, risk, counts, sample.folds), sample.counts
    )
    brier = over_resamples(
        lambda counts: accuracy.integrated_brier(target.observed, risks, target.months, counts), sample.counts
    )
    return {HARRELL_C: rank, INTEGRATED_BRIER: brier, **large}


def in_brief(target: Target, risks: Floats, sample: Sample) -> Draws:
    """The metrics by which predictions of several kinds are compared: those of the whole, and of the last horizon."""
    last = target.horizons[-1]
    risk = risks[:, target.column(last)]
    if target.is_binary:
        positive = target.observed.event_by(last)
        slope = over_resamples(
            lambda counts: calibration.recalibration(positive, risk, counts, calibration.LOGIT)[0], sample.counts
        )
    else:
        slope = over_resamples(
            lambda counts: calibration.recalibration_at(target.observed, risk, last, counts)[0], sample.counts
        )
    return {**essentials(target, risks, sample), Metric("calibration_slope"): slope}


def in_the_large(target: Target, risk: Floats, month: float, counts: Floats) -> Floats:
    """(1 + resamples,) observed risk by a month (Aalen-Johansen) over the mean predicted one, 1 when all is well."""
    seen = over_resamples(lambda some: aalen_johansen(target.observed, some).at(np.array([month])), counts)[:, 0]
    stated = counts @ risk / counts.sum(axis=1)
    return np.asarray(np.divide(seen, stated, out=np.full_like(seen, np.nan), where=stated > 0))


def _over_time(target: Target, risks: Floats, sample: Sample) -> Draws:
    observed, folds, tau = target.observed, sample.folds, target.horizons[-1]
    last = risks[:, target.column(tau)]
    brier = over_resamples(lambda counts: accuracy.brier_curve(observed, risks, target.months, counts), sample.counts)
    metrics: dict[Metric, Callable[[Floats], Floats]] = {
        HARRELL_C: lambda counts: discrimination.harrell_c(observed, last, counts, folds),
        UNO_C: lambda counts: discrimination.uno_c(observed, last, tau, counts, folds),
    }
    if target.outcome.kind is OutcomeKind.SURVIVAL:
        seen, survival = _until(target, risks)
        metrics[Metric("d_calibration_p")] = lambda counts: calibration.d_calibration(seen, survival, counts)
    return {
        **{metric: over_resamples(compute, sample.counts) for metric, compute in metrics.items()},
        INTEGRATED_BRIER: accuracy.mean_over_time(brier, target.months),
        **{Metric(BRIER.name, target.origin + month): brier[:, target.column(month)] for month in target.horizons},
    }


def _until(target: Target, risks: Floats) -> tuple[Observed, Floats]:
    """What is seen until the last horizon, and each patient's predicted survival at the time that ends it."""
    end = target.horizons[-1]
    time = np.minimum(target.observed.time, end)
    event = np.where(target.observed.time <= end, target.observed.event, 0)
    above = np.clip(np.searchsorted(target.months, time), 1, len(target.months) - 1)
    share = (time - target.months[above - 1]) / (target.months[above] - target.months[above - 1])
    rows = np.arange(len(time))
    return Observed(time, event), 1.0 - (1.0 - share) * risks[rows, above - 1] - share * risks[rows, above]


def _at(target: Target, risk: Floats, month: float, sample: Sample) -> Draws:
    positive = target.observed.event_by(month)

    def metrics(counts: Floats) -> Floats:
        weights = ipcw(target.observed, month, counts)
        return np.column_stack(
            [
                discrimination.auc(positive, risk, weights, sample.folds),
                *calibration.recalibration(positive, risk, weights, calibration.CLOGLOG),
                calibration.groups_at(target.observed, risk, month, counts).largest_gap,
            ]
        )

    names = ("auc", "calibration_slope", "calibration_intercept", "largest_calibration_gap")
    values = over_resamples(metrics, sample.counts)
    found = {Metric(name, target.origin + month): values[:, k] for k, name in enumerate(names)}
    return {**found, Metric(IN_THE_LARGE, target.origin + month): in_the_large(target, risk, month, sample.counts)}


def _binary(target: Target, risk: Floats, sample: Sample) -> Draws:
    positive = target.observed.event_by(target.horizons[0])

    def metrics(counts: Floats) -> Floats:
        return np.column_stack(
            [
                discrimination.auc(positive, risk, counts, sample.folds),
                binary.brier(positive, risk, counts),
                binary.expected_calibration_error(positive, risk, counts),
                *calibration.recalibration(positive, risk, counts, calibration.LOGIT),
            ]
        )

    names = ("auc", "brier", "ece", "calibration_slope", "calibration_intercept")
    values = over_resamples(metrics, sample.counts)
    found = {Metric(name): values[:, k] for k, name in enumerate(names)}
    return {**found, Metric(IN_THE_LARGE): in_the_large(target, risk, target.horizons[0], sample.counts)}


def with_skill(model: Draws, average: Draws) -> Draws:
    """`model` with the share of the error of saying the average that it avoids."""
    found = {skill: accuracy.skill(model[of], average[of]) for of, skill in SKILLS.items() if of in model}
    return {**model, **found}


def without_slope(model: Draws) -> Draws:
    """`model` without calibration slopes: one risk for everybody has no slope but that of chance between folds."""
    return {metric: values for metric, values in model.items() if metric.name != "calibration_slope"}


def scores(model: Draws) -> Scores:
    """Every metric with its interval."""
    whole = {metric.name: _value(metric, values) for metric, values in model.items() if not metric.month}
    by_month: dict[str, dict[str, MetricValue]] = {metric.name: {} for metric in model if metric.month}
    for metric, values in model.items():
        if metric.month:
            by_month[metric.name][f"{metric.month:g}"] = _value(metric, values)
    return {**whole, **by_month}


def _value(metric: Metric, values: Floats) -> MetricValue:
    return estimate(values, recentred=metric.name in DISTANCES)


def differences(model: Draws, reference: Draws) -> Mapping[str, MetricValue]:
    """The model less a reference, resample by resample."""
    return {
        metric.name: estimate(model[metric] - reference[metric])
        for metric in COMPARED
        if metric in model and metric in reference
    }


@dataclass(frozen=True, slots=True)
class CalibrationGroup:
    """Patients of similar predicted risk: what was predicted and what was seen."""

    patients: int
    predicted: float
    observed: MetricValue


def calibration_groups(target: Target, risks: Floats, sample: Sample) -> tuple[CalibrationGroup, ...]:
    """Fifths of predicted risk at the last horizon, lowest first; the observed risk is by Aalen-Johansen."""
    month = target.horizons[-1]
    groups = calibration.groups_at(target.observed, risks[:, target.column(month)], month, sample.counts)
    return tuple(
        CalibrationGroup(int(patients), float(groups.predicted[0, k]), estimate(groups.observed[:, k]))
        for k, patients in enumerate(groups.patients)
    )
