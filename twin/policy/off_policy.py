"""What n patients were given and how they fared in, what a policy would have been worth to them out.

A policy is valued from patients whom it did not treat. Who was treated as it would have treated them counts for more
than one patient: by the ratio of the policy's probability of what was decided to the physicians', multiplied over the
decisions. Two estimators, and a mixture of them:

* weighted importance sampling, the mean of the returns so weighted, by weights that add up to one. It is biased by an
  amount that vanishes as n grows, and never leaves the range of the returns;
* doubly robust (Jiang & Li 2016, arXiv:1511.03722; Thomas & Brunskill 2016, arXiv:1604.00923): the values that a model
  expects at the first decision, corrected at every decision by the weighted difference of what came of it to what the
  model expected of it. Right if the physicians' probabilities are, whatever the model says, and right if the model is,
  whatever the probabilities are. A model whose values are all 0 leaves plain importance sampling;
* weighted doubly robust (Thomas & Brunskill): the same with the weights of each decision adding up to one.

What they rest on: everything that moved both a decision and how the patient fared is in the probabilities
(`twin.policy.sensitivity` asks what if not), and the physicians sometimes did what the policy would do. Patients who
did not live to a decision, or for whom there is none to take, pass it by: nothing is weighted there. A decision that is
not known although it was taken cannot be passed by; such patients, or that decision, are left out beforehand, which for
the decision means that the physicians keep taking it. So it is with a decision that an outcome can bring about
(`Outcome.triggers`), which is recorded alike whether planned or brought about.

Returns may be pseudo-observations (`twin.policy.observed_utility`). Intervals are percentiles of resampled patients;
probabilities, values of the model and pseudo-observations count as given, so that their own error is not in them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

import numpy as np

from data.errors import Refused
from twin.arrays import AS_THEY_ARE, Flags, Floats
from twin.metrics.intervals import MetricValue, estimate

FEWEST_EFFECTIVE: Final = 30.0
"""Effective sample size below which nothing is claimed of a policy"""
SAME: Final = 1e-6
"""Difference up to which two values of a model are one: they may come from different sums"""


class Estimator(StrEnum):
    """How a value is estimated."""

    WEIGHTED = "weighted importance sampling"
    DOUBLY_ROBUST = "doubly robust"
    WEIGHTED_DOUBLY_ROBUST = "weighted doubly robust"


@dataclass(frozen=True, eq=False)
class Treated:
    """What was decided for n patients at T decisions in time, and how they fared.

    Raises:
        ValueError: arrays differ in shape, or a decision that was taken lacks a probability, the target's not within
            0 to 1, or the physicians' not above 0 and up to 1.
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    taken: Floats
    """(n, T) 0 or 1; NaN where there was no decision to take"""
    target: Floats
    """(n, T) probability under the policy of the option that was taken; not read where there was no decision"""
    behaviour: Floats
    """(n, T) probability that the physicians gave to it"""
    returns: Floats
    """(n,) utility of each patient"""

    def __post_init__(self) -> None:
        if not self.taken.shape == self.target.shape == self.behaviour.shape or self.taken.ndim != 2:
            raise ValueError("taken, target and behaviour must be tables of one shape")
        if self.returns.shape != self.taken.shape[:1] or not np.isfinite(self.returns).all():
            raise ValueError("returns must be finite, one a patient")
        here = self.reached
        if not np.isin(self.taken[here], (0.0, 1.0)).all():
            raise ValueError("decisions are 0, 1 or NaN")
        if not ((self.target[here] >= 0) & (self.target[here] <= 1)).all():
            raise ValueError("the policy's probabilities must be from 0 to 1")
        if not ((self.behaviour[here] > 0) & (self.behaviour[here] <= 1)).all():
            raise ValueError("the physicians' probabilities of what they decided must be above 0 and up to 1")

    @property
    def size(self) -> int:
        """Number of patients."""
        return len(self.returns)

    @property
    def reached(self) -> Flags:
        """(n, T) whether there was a decision to take."""
        return ~np.isnan(self.taken)

    def weights(self, largest: float = math.inf) -> Floats:
        """(n, T) product of the ratios of the decisions so far; one of more than `largest` counts as `largest`."""
        ratios = np.divide(self.target, self.behaviour, out=np.ones_like(self.taken), where=self.reached)
        return np.asarray(np.minimum(ratios.cumprod(axis=1), largest))

    def final_weights(self, largest: float = math.inf) -> Floats:
        """(n,) those of all decisions; 1 where there were none."""
        return np.hstack([np.ones((self.size, 1)), self.weights(largest)])[:, -1]


@dataclass(frozen=True, eq=False)
class ModelValues:
    """What a model expects of n patients at T decisions, as known at each of them.

    The value of the policy must be the mean of the values of the options under the policy's probabilities, by the same
    model: otherwise right probabilities do not make up for a wrong model.

    Raises:
        ValueError: the arrays differ in shape.
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    taken: Floats
    """(n, T) of the option that was taken and the policy from then on: q; not read where there was no decision"""
    policy: Floats
    """(n, T) of the policy from that decision on: v"""

    def __post_init__(self) -> None:
        if self.taken.shape != self.policy.shape or self.taken.ndim != 2:
            raise ValueError("the values of the model must be tables of one shape")


@dataclass(frozen=True)
class OffPolicySettings:
    """How a policy is valued.

    Raises:
        Refused: a largest weight that is not positive.
    """

    largest_weight: float = math.inf
    """To which larger products of ratios are truncated (Ionides 2008, doi:10.1198/106186008X320456, with the square
    root of n): less variance for some bias. Not truncated by default: the bias has no interval."""

    def __post_init__(self) -> None:
        if not self.largest_weight > 0:
            raise Refused(f"a largest weight of {self.largest_weight:g}", remedy="give a number above 0, such as 30")


@dataclass(frozen=True)
class PolicyValue:
    """What a policy would have been worth to the patients, by one estimator."""

    estimator: Estimator
    value: MetricValue
    """Mean utility"""
    difference: MetricValue
    """The same less what was observed under the physicians, in the same resamples"""
    effective_sample_size: float
    """As many unweighted patients would tell as much, by Kish (1965, ISBN 978-0-471-48900-9), of the weights of all
    decisions. Of a doubly robust estimate it is a lower bound: as far as its model is right, weights matter less."""
    claim: bool
    """Whether the policy may be compared with the physicians at all"""
    reason: str
    """Why not; empty where it may"""

    @property
    def better(self) -> bool:
        """Whether the policy is shown to be better than the physicians, confounding that nobody recorded apart."""
        return self.claim and self.difference.lower is not None and self.difference.lower > 0

    def as_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "estimator": self.estimator.value,
            "value": self.value.as_dict(),
            "difference": self.difference.as_dict(),
            "effective_sample_size": self.effective_sample_size,
            "claim": self.claim,
            "better": self.better,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class OffPolicyEvaluation:
    """A policy as observed patients show it."""

    patients: int
    agreeing: int
    """Of them, in whom the policy could have decided all that was decided"""
    largest_share: float
    """Of the weight, in one patient"""
    truncated: int
    """Patients whose weight was truncated"""
    physicians: MetricValue
    """Mean utility as observed"""
    values: Mapping[Estimator, PolicyValue]

    def as_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "patients": self.patients,
            "agreeing": self.agreeing,
            "largest_share": self.largest_share,
            "truncated": self.truncated,
            "physicians": self.physicians.as_dict(),
            "values": {estimator.name.lower(): value.as_dict() for estimator, value in self.values.items()},
        }


def of_option_taken(yes: Floats, taken: Floats) -> Floats:
    """(n, T) probability of what was decided, from the probability of "yes"; NaN where there was no decision."""
    return np.where(taken == 1, yes, np.where(taken == 0, 1.0 - yes, np.nan))


def effective_sample_size(weights: Floats) -> float:
    """Square of the sum of weights (n,) over the sum of their squares (Kish 1965); 0 where all are 0."""
    squares = float(weights @ weights)
    return float(weights.sum()) ** 2 / squares if squares > 0 else 0.0


def off_policy(
    treated: Treated, model: ModelValues | None, counts: Floats, settings: OffPolicySettings | None = None
) -> OffPolicyEvaluation:
    """The value of a policy by every estimator.

    Args:
        treated: n patients.
        model: Values of the same patients, by models not fitted on them; the doubly robust estimators need them.
        counts: (1 + resamples, n) as of `twin.metrics.intervals.resample_counts`.
        settings: Truncation.

    Raises:
        ValueError: shapes differ, or the model lacks a value at a decision that was taken, or contradicts itself.
        Refused: there are no patients.
    """
    if not treated.size:
        raise Refused("no patients to value a policy from", remedy="choose a larger group")
    largest = (settings or OffPolicySettings()).largest_weight
    found = {Estimator.WEIGHTED: importance_sampling(treated, counts, largest)}
    if model is not None:
        found[Estimator.DOUBLY_ROBUST] = doubly_robust(treated, model, counts, largest)
        found[Estimator.WEIGHTED_DOUBLY_ROBUST] = weighted_doubly_robust(treated, model, counts, largest)
    weights = treated.final_weights(largest)
    observed = as_observed(treated, counts)
    effective = effective_sample_size(weights)
    return OffPolicyEvaluation(
        patients=treated.size,
        agreeing=int((weights > 0).sum()),
        largest_share=float(weights.max() / weights.sum()) if weights.any() else 0.0,
        truncated=int((treated.final_weights() > largest).sum()),
        physicians=estimate(observed),
        values={name: _value(name, drawn, observed, effective) for name, drawn in found.items()},
    )


def as_observed(treated: Treated, counts: Floats) -> Floats:
    """(resamples,) mean return under the physicians, of counts (resamples, n)."""
    return _mean(treated.returns, counts, np.ones(treated.size))


def importance_sampling(treated: Treated, counts: Floats, largest: float = math.inf) -> Floats:
    """(resamples,) weighted importance sampling, of counts (resamples, n); NaN where no weight is above 0."""
    return _mean(treated.returns, counts, treated.final_weights(largest))


def doubly_robust(treated: Treated, model: ModelValues, counts: Floats, largest: float = math.inf) -> Floats:
    """(resamples,) sequential doubly robust values, of counts (resamples, n).

    Raises:
        ValueError: shapes differ, or the model lacks a value at a decision that was taken, or contradicts itself.
    """
    first, surprise = _surprises(treated, model)
    return _mean(first + (treated.weights(largest) * surprise).sum(axis=1), counts, np.ones(treated.size))


def weighted_doubly_robust(treated: Treated, model: ModelValues, counts: Floats, largest: float = math.inf) -> Floats:
    """(resamples,) the same with the weights of each decision adding up to one.

    They add up over all patients, with those who passed the decision by at the weight they had come with. A decision
    at which no weight is left corrects nothing: the model stands alone there.

    Raises:
        ValueError: shapes differ, or the model lacks a value at a decision that was taken, or contradicts itself.
    """
    first, surprise = _surprises(treated, model)
    weights = treated.weights(largest)
    total = _mean(first, counts, np.ones(treated.size))
    for t in range(weights.shape[1]):
        total = total + np.nan_to_num(_mean(surprise[:, t], counts, weights[:, t]))
    return total


def _surprises(treated: Treated, model: ModelValues) -> tuple[Floats, Floats]:
    """Value at the first decision (n,), and what came of each decision less what was expected of it (n, T).

    What comes of a decision is the value of the policy at the next one, or the return where there is none. Where there
    was no decision both values are those of the next: nothing is a surprise.
    """
    if model.taken.shape != treated.taken.shape:
        raise ValueError(f"values of the model have shape {model.taken.shape}, decisions {treated.taken.shape}")
    if not np.isfinite(model.taken[treated.reached] + model.policy[treated.reached]).all():
        raise ValueError("the model lacks a value at a decision that was taken")
    certain = treated.reached & (treated.target == 1)
    if (np.abs(model.taken - model.policy)[certain] > SAME).any():
        raise ValueError("of an option that the policy takes for certain, the value must be that of the policy")
    then = treated.returns
    surprise = np.zeros_like(treated.taken)
    for t in reversed(range(treated.taken.shape[1])):
        here = treated.reached[:, t]
        surprise[:, t] = np.where(here, then - model.taken[:, t], 0.0)
        then = np.where(here, model.policy[:, t], then)
    return then, surprise


def _mean(values: Floats, counts: Floats, weights: Floats) -> Floats:
    """(resamples,) weighted means of values (n,), of counts (resamples, n); NaN where there is no weight."""
    total = counts @ weights
    means = np.divide(counts @ (weights * values), total, out=np.full(len(counts), np.nan), where=total > 0)
    return np.asarray(means)


def _value(estimator: Estimator, drawn: Floats, observed: Floats, effective: float) -> PolicyValue:
    difference = estimate(drawn - observed)
    reason = _reason(difference, effective)
    return PolicyValue(estimator, estimate(drawn), difference, effective, not reason, reason)


def _reason(difference: MetricValue, effective: float) -> str:
    """Why nothing is claimed; empty where something may be."""
    if effective < FEWEST_EFFECTIVE:
        return (
            f"the patients treated as the policy would tell as much as {effective:.0f} would, "
            f"and {FEWEST_EFFECTIVE:.0f} are needed"
        )
    return "" if difference.lower is not None else "no interval: too many resamples have nobody treated so"
