"""How well the physicians' decisions are foretold: a cohort in, quality of its behaviour model out.

The probability of a decision is also its propensity, on which comparisons of treatments rest: what matters there is
that it is calibrated. In some hundred patients the expected calibration error is mostly chance (perfect probabilities
of 500 patients show about .04), so that what is left without it, slope and intercept stand beside it. A propensity that
ranks nearly perfectly is no gain; it says that patients with and without the treatment have little in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.cohort import Cohort
from data.schema import Decision
from twin.arrays import Flags
from twin.behaviour import Behaviour, cross_folds, fit_behaviour, triggered
from twin.capability import capability
from twin.metrics.binary import brier, debiased_calibration_error, expected_calibration_error
from twin.metrics.calibration import LOGIT, recalibration
from twin.metrics.discrimination import auc
from twin.metrics.intervals import MetricValue, estimate, resample_counts
from twin.models.followup import FIRST_DAY_MONTHS
from twin.record import decision_matrix
from twin.timeline import effect_months


@dataclass(frozen=True, slots=True)
class DecisionEvaluation:
    """How well one decision is foretold in patients on whom it was not learnt."""

    decision: str
    label: str
    patients: int
    """Who came to the decision, and in whom it is recorded"""
    given: int
    auc: MetricValue
    ece: MetricValue
    """Expected calibration error over tenths of the probability"""
    debiased_ece: MetricValue
    """The same without what chance adds, as a root mean square (`binary.debiased_calibration_error`)"""
    calibration_slope: MetricValue
    """1 is right; below 1, probabilities are too extreme"""
    calibration_intercept: MetricValue
    """0 is right; above 0, probabilities are too low"""
    brier: MetricValue


def evaluate_decisions(cohort: Cohort, resamples: int, seed: int) -> tuple[DecisionEvaluation, ...]:
    """Every decision that the cohort can teach, with 95 % bootstrap intervals.

    Args:
        cohort: n patients.
        resamples: Of the patients who came to the decision.
        seed: Of the folds and of the resamples.
    """
    behaviour = fit_behaviour(cohort, seed)
    taught = [decision for decision in cohort.spec.decisions if decision.column in behaviour.decisions]
    return tuple(_evaluated(cohort, behaviour, decision, resamples, seed) for decision in taught)


def _evaluated(
    cohort: Cohort, behaviour: Behaviour, decision: Decision, resamples: int, seed: int
) -> DecisionEvaluation:
    rows = came_to(cohort, decision)
    yes = cohort.frame[decision.column].to_numpy(dtype=float)[rows] == 1
    probability = behaviour.out_of_fold(decision.column)[rows]
    folds = cross_folds(cohort.size, seed)[rows].astype(np.int64)
    counts = resample_counts(len(yes), resamples, seed)
    slope, intercept = recalibration(yes, probability, counts, LOGIT)
    return DecisionEvaluation(
        decision=decision.column,
        label=decision.label,
        patients=len(yes),
        given=int(yes.sum()),
        auc=estimate(auc(yes, probability, counts, folds)),
        ece=estimate(expected_calibration_error(yes, probability, counts), recentred=True),
        debiased_ece=estimate(debiased_calibration_error(yes, probability, counts), recentred=True),
        calibration_slope=estimate(slope),
        calibration_intercept=estimate(intercept),
        brier=estimate(brier(yes, probability, counts)),
    )


def came_to(cohort: Cohort, decision: Decision) -> Flags:
    """(patients,) in whom a decision is recorded and who lived to it, unless an outcome brought it about.

    These are the patients on whom `twin.behaviour` learns it.
    """
    spec = cohort.spec
    values = capability(cohort).with_held(spec, decision_matrix(spec, cohort.frame))
    k = spec.decisions.index(decision)
    followed = np.full(cohort.size, np.inf)
    if spec.follow_up in cohort.frame:
        recorded = cohort.frame[spec.follow_up].to_numpy(dtype=float)
        followed = np.where(np.isnan(recorded), np.inf, np.maximum(recorded, FIRST_DAY_MONTHS))
    lived = followed > effect_months(spec, values)[:, k]
    return np.asarray(~np.isnan(values[:, k]) & lived & ~triggered(cohort, decision.column))
