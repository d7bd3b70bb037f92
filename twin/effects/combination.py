"""Effects from trials and from a cohort in, one distribution with a chosen weight of either and their conflicts out.

Both are normal on the scale of log ratios, so that they combine by their precisions. Moving the weight away from the
middle discounts one side, as a power prior does (Ibrahim & Chen 2000, doi:10.1214/ss/1009212673): neither side ever
counts for more than its own standard errors say.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pandas as pd

from data.errors import WrongUsage
from twin.arrays import AS_THEY_ARE, Floats
from twin.effects.cohort import CohortEstimate
from twin.effects.distribution import Z_90, EffectDistribution, EffectTerm, term_matrix

DISAGREEMENT_Z: Final = 1.96
"""Beyond this many standard errors of the difference, by chance alone in one comparison out of twenty"""


UNEVEN_SHARE: Final = 0.5
"""Of the systematic error, how much may differ from patient to patient, per unit of a term that does (assumed): who is
treated in spite of age is fitter than who is treated at 50, so that effects by age are confounded as the effect is"""


@dataclass(frozen=True)
class Ratio:
    """A hazard or odds ratio with its 90 % interval."""

    ratio: float
    lower: float
    upper: float

    @classmethod
    def of(cls, mean: float, sd: float) -> Ratio:
        """From the mean and the standard deviation of its logarithm."""
        return cls(math.exp(mean), math.exp(mean - Z_90 * sd), math.exp(mean + Z_90 * sd))

    def __str__(self) -> str:
        return f"{self.ratio:.2f} ({self.lower:.2f}-{self.upper:.2f})"


@dataclass(frozen=True)
class Conflict:
    """How far trials and cohort are apart in what a decision does to the average patient of the cohort."""

    decision: str
    prior: Ratio
    cohort: Ratio
    """With sampling error only: what is beyond it is not chance"""
    z: float
    """Log ratio of the cohort less that of the trials, in standard errors of the difference"""
    p_value: float
    """Two-sided"""

    @property
    def flagged(self) -> bool:
        """Whether they disagree by more than chance."""
        return abs(self.z) > DISAGREEMENT_Z

    @property
    def sentence(self) -> str:
        """For a page."""
        return self._against(f"trials {self.prior}")

    @property
    def sentence_without_prior(self) -> str:
        """For a page, where the prior rests on sources whose figures must not be printed."""
        return self._against("a prior assumed from sources that nobody here could read")

    def _against(self, prior: str) -> str:
        p = f"p {self.p_value:.2f}" if self.p_value >= 0.01 else "p below 0.01"
        compared = f"cohort {self.cohort} against {prior}"
        if self.flagged:
            return f"{compared}: they disagree ({p}); who gets the treatment is not random here"
        return f"{compared}: no more apart than chance explains ({p})"


@dataclass(frozen=True)
class EffectRow:
    """What a decision does in a group of patients: the geometric mean of their ratios, from each source."""

    decision: str
    group: str
    prior: Ratio
    cohort: Ratio | None
    """With sampling error only; ``None`` where the cohort cannot teach it"""
    combined: Ratio


@dataclass(frozen=True, eq=False)
class CombinedEffects:
    """Effects of q terms from published evidence, from a cohort, and from both."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    prior: EffectDistribution
    cohort: CohortEstimate
    combined: EffectDistribution
    weight: float
    """0: the cohort alone; 0.5: both by their variances; 1: the trials alone"""
    conflicts: tuple[Conflict, ...]
    """One a decision that the cohort teaches"""

    def summary(self, groups: Mapping[str, pd.DataFrame]) -> tuple[EffectRow, ...]:
        """Every decision in every group, side by side.

        Args:
            groups: Label of a group -> its patients, as typed columns known at baseline; one row is one patient.
        """
        decisions = dict.fromkeys(term.decision for term in self.prior.terms)
        return tuple(
            self._row(decision, label, term_matrix(self.prior.terms, frame).mean(axis=0))
            for decision in decisions
            for label, frame in groups.items()
        )

    def _row(self, decision: str, label: str, multipliers: Floats) -> EffectRow:
        weights = _only(self.prior.terms, decision, multipliers)
        learnt = decision in self.cohort.decisions
        return EffectRow(
            decision=decision,
            group=label,
            prior=_ratio(self.prior, weights),
            cohort=_ratio(self.cohort.distribution, weights) if learnt else None,
            combined=_ratio(self.combined, weights),
        )


def combine(prior: EffectDistribution, cohort: CohortEstimate, weight: float = 0.5) -> CombinedEffects:
    """Effects from trials and cohort together.

    The precision of the trials counts ``min(1, 2 weight)`` times, that of the cohort ``min(1, 2 (1 - weight))`` times:
    at the ends the other side counts for nothing and the result is the one side as it is. Before that the variance of
    each decision's effect in the cohort is enlarged by the square of its `confounding_sd`, an error that all its
    patients share, and that of each term that differs between patients by the square of `UNEVEN_SHARE` of it. What the
    cohort cannot teach follows the trials at any weight.

    Args:
        prior: Of q terms.
        cohort: Of the same terms.
        weight: 0 to 1.

    Raises:
        WrongUsage: another weight, or other terms.
    """
    if not 0.0 <= weight <= 1.0:
        raise WrongUsage(f"weight {weight:g} of the trials", remedy="give a number from 0 (none) to 1 (nothing else)")
    if prior.terms != cohort.distribution.terms:
        raise WrongUsage("trials and cohort speak of different terms", remedy="estimate both with the same terms")
    combined = _combined(prior, _widened(cohort), cohort, weight)
    return CombinedEffects(prior, cohort, combined, weight, _conflicts(prior, cohort))


def _widened(cohort: CohortEstimate) -> Floats:
    """(q, q) covariance of the cohort's estimate, systematic error included."""
    terms, covariance = cohort.distribution.terms, cohort.distribution.covariance.copy()
    for decision in cohort.decisions:
        shift = cohort.confounding_sd * _shared(terms, decision)
        covariance += np.outer(shift, shift)
    differing = np.array([bool(term.column or term.group) for term in terms], dtype=bool) & cohort.learnt
    return np.asarray(covariance + np.diag(np.where(differing, UNEVEN_SHARE * cohort.confounding_sd, 0.0) ** 2))


def _shared(terms: tuple[EffectTerm, ...], decision: str) -> Floats:
    """(q,) how the coefficients move when a decision's effect moves by 1 in all patients alike.

    By the effect itself; where there is none, by those of the groups that stand in its place.
    """
    mine = [term.decision == decision and not term.column for term in terms]
    itself = [chosen and not term.group for chosen, term in zip(mine, terms, strict=True)]
    return np.array(itself if any(itself) else mine, dtype=float)


def _combined(prior: EffectDistribution, widened: Floats, cohort: CohortEstimate, weight: float) -> EffectDistribution:
    known = np.flatnonzero(cohort.learnt)
    if weight == 1.0 or not len(known):
        return EffectDistribution(prior.terms, prior.mean, prior.covariance)
    block = np.ix_(known, known)
    mean, covariance = _pooled(
        (prior.mean[known], prior.covariance[block], min(1.0, 2.0 * weight)),
        (cohort.distribution.mean[known], widened[block], min(1.0, 2.0 * (1.0 - weight))),
    )
    return _carried(prior, cohort, mean, covariance)


def _pooled(*sources: tuple[Floats, Floats, float]) -> tuple[Floats, Floats]:
    """Mean and covariance of sources (mean, covariance, how often it counts) by their precisions."""
    counted = [(mean, covariance / times) for mean, covariance, times in sources if times > 0]
    if len(counted) == 1:
        return counted[0]
    precisions = [np.linalg.inv(covariance) for _, covariance in counted]
    covariance = np.linalg.inv(sum(precisions))
    mean = covariance @ sum(precision @ mean for precision, (mean, _) in zip(precisions, counted, strict=True))
    return mean, (covariance + covariance.T) / 2.0


def _carried(prior: EffectDistribution, cohort: CohortEstimate, mean: Floats, covariance: Floats) -> EffectDistribution:
    """All terms, the learnt ones distributed as (mean, covariance) and the others given them as in the prior."""
    known, open_ = np.flatnonzero(cohort.learnt), np.flatnonzero(~cohort.learnt)
    whole = prior.covariance
    slope = np.linalg.solve(whole[np.ix_(known, known)], whole[np.ix_(known, open_)]).T
    joint_mean, joint = prior.mean.copy(), whole.copy()
    joint_mean[known] = mean
    joint_mean[open_] += slope @ (mean - prior.mean[known])
    joint[np.ix_(known, known)] = covariance
    joint[np.ix_(open_, known)] = slope @ covariance
    joint[np.ix_(known, open_)] = covariance @ slope.T
    joint[np.ix_(open_, open_)] += slope @ (covariance - whole[np.ix_(known, known)]) @ slope.T
    return EffectDistribution(prior.terms, joint_mean, joint)


def _conflicts(prior: EffectDistribution, cohort: CohortEstimate) -> tuple[Conflict, ...]:
    return tuple(_conflict(prior, cohort, decision) for decision in cohort.decisions)


def _conflict(prior: EffectDistribution, cohort: CohortEstimate, decision: str) -> Conflict:
    weights = _only(prior.terms, decision, cohort.average)
    trials, seen = (_of(distribution, weights) for distribution in (prior, cohort.distribution))
    z = (seen[0] - trials[0]) / math.hypot(seen[1], trials[1])
    return Conflict(decision, Ratio.of(*trials), Ratio.of(*seen), z, math.erfc(abs(z) / math.sqrt(2.0)))


def _only(terms: tuple[EffectTerm, ...], decision: str, multipliers: Floats) -> Floats:
    """(q,) multipliers of the terms of one decision, 0 for the others."""
    return np.where([term.decision == decision for term in terms], multipliers, 0.0)


def _ratio(distribution: EffectDistribution, weights: Floats) -> Ratio:
    return Ratio.of(*_of(distribution, weights))


def _of(distribution: EffectDistribution, weights: Floats) -> tuple[float, float]:
    mean, sd = distribution.of(weights[None, :])
    return float(mean[0]), float(sd[0])
