"""Effects of decisions in, how much more each does in those who show a state before it out.

A state cannot change what is said before it is seen. So a decision has its effect on average there, and a state term
says how far the effect is apart in those who show the state and in the others once it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np

from data.cohort import Cohort
from data.evidence import StateTerm
from data.schema import Outcome
from twin.arrays import AS_THEY_ARE, Floats
from twin.effects.combination import Ratio
from twin.effects.distribution import EffectDistribution

PATIENTS_WORTH: Final = 10.0
"""Events that the share of a state among all patients counts for, beside those that are counted (assumed)"""


@dataclass(frozen=True, eq=False)
class StateEffects:
    """Normal distribution of k state terms given the q effect terms of the same outcome."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    terms: tuple[StateTerm, ...]
    shares: Floats
    """(k,) how much of the average effect is of patients who show each state"""
    mean: Floats
    """(k,) where the effect terms have the values `given`"""
    given: Floats
    """(q,)"""
    slope: Floats
    """(k, q) by how much the mean moves with each effect term"""
    covariance: Floats
    """(k, k) that is left"""

    @classmethod
    def of(
        cls,
        terms: tuple[StateTerm, ...],
        shares: Floats,
        effects: EffectDistribution,
        mean: Floats,
        covariance: Floats,
    ) -> Self:
        """From a joint distribution: of the state terms the means (k,), and their rows (k, q + k) of the covariance."""
        across, own = np.split(covariance, [len(effects.mean)], axis=1)
        slope = np.asarray(np.linalg.solve(effects.covariance, across.T).T, dtype=np.float64)
        left = own - slope @ across.T
        return cls(terms, shares, mean, effects.mean, slope, left)

    def beside(self, effects: EffectDistribution) -> tuple[Floats, Floats]:
        """Means and standard deviations (k,) where the effect terms are distributed as `effects`."""
        covariance = self.covariance + self.slope @ effects.covariance @ self.slope.T
        return self.mean + self.slope @ (effects.mean - self.given), np.sqrt(np.diag(covariance))

    def draws(self, effects: Floats, rng: np.random.Generator) -> Floats:
        """(1 + count, k) one for each draw (1 + count, q) of the effect terms; row 0 is the mean."""
        result = np.asarray(self.mean + (effects - self.given) @ self.slope.T)
        if self.terms:
            noise = rng.multivariate_normal(np.zeros(len(self.terms)), self.covariance, len(effects) - 1, method="eigh")
            result[1:] += noise
        return result


@dataclass(frozen=True)
class StateRow:
    """What a decision does more in those who show a state: the ratio of its ratio there to that in the others."""

    decision: str
    name: str
    """Of the state, as a part of a sentence"""
    assumed: Ratio
    used: Ratio
    taught: bool
    """Whether the cohort has a say in what is used"""


def seen_states(terms: tuple[StateTerm, ...], cohort: Cohort) -> tuple[StateTerm, ...]:
    """The terms whose state is recorded in somebody."""
    return tuple(term for term in terms if not np.isnan(term.membership(cohort.frame)).all())


def state_shares(terms: tuple[StateTerm, ...], cohort: Cohort, outcome: Outcome) -> Floats:
    """(k,) share of the patients with a state among those who have the outcome, for k terms that are seen.

    The ratio of a decision on average is one of events, so that a state counts by the events in those who show it. With
    few events it is near the share of all patients.
    """
    frame = cohort.frame
    recorded = frame[outcome.event].to_numpy(dtype=float) if outcome.event in frame else np.zeros(len(frame))
    shares = np.zeros(len(terms))
    for k, term in enumerate(terms):
        shown = term.membership(frame)
        known = ~np.isnan(shown)
        happened = known & (recorded == 1)
        of_all = PATIENTS_WORTH * shown[known].mean()
        shares[k] = (of_all + shown[happened].sum()) / (PATIENTS_WORTH + happened.sum())
    return shares
