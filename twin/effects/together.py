"""Effects on several outcomes in, each shrunk towards the others out: what a decision does to one it may do to all.

Most deaths here follow a failure, and toxicities come of the same tissue: a decision, or a group of patients in which
it does more, moves related outcomes alike. Priors of one outcome at a time cannot say so; what chance makes of a few
events of one outcome then passes for an effect on it. So the effect terms of related outcomes are correlated before
anything is seen, as in a multivariate meta-analysis of correlated outcomes (Riley 2009,
doi:10.1111/j.1467-985X.2008.00593.x; Jackson, Riley & White 2011, doi:10.1002/sim.4172).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import ClassVar, Final

import numpy as np

from data.schema import Outcome, OutcomeKind
from twin.arrays import AS_THEY_ARE, Flags, Floats
from twin.effects.combination import CombinedEffects
from twin.effects.distribution import EffectDistribution, EffectTerm

RELATED: Final = 0.7
"""Correlation, before anything is seen, of the log ratios of one term on two related outcomes (assumed): knowing one,
the variance of the other is half of what it was"""


@dataclass(frozen=True, eq=False)
class Together:
    """The joint normal distribution of the effect terms of related outcomes."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    outcomes: tuple[str, ...]
    mean: Floats
    """(outcomes x q,) outcome after outcome"""
    covariance: Floats

    def draws(self, count: int, rng: np.random.Generator) -> dict[str, Floats]:
        """By outcome, (1 + count, q): the mean, then draws; those of one row belong together."""
        drawn = rng.multivariate_normal(self.mean, self.covariance, count, method="eigh")
        parts = np.split(np.vstack([self.mean, drawn]), len(self.outcomes), axis=1)
        return dict(zip(self.outcomes, parts, strict=True))


def related(outcomes: Sequence[Outcome]) -> list[list[Outcome]]:
    """Outcomes that a decision may move alike: those in time, and those that are judged once."""
    timed = [outcome for outcome in outcomes if outcome.kind is not OutcomeKind.BINARY]
    judged = [outcome for outcome in outcomes if outcome.kind is OutcomeKind.BINARY]
    return [group for group in (timed, judged) if len(group) > 1]


def put_together(
    outcomes: Sequence[Outcome],
    terms: Mapping[str, tuple[EffectTerm, ...]],
    effects: Mapping[str, CombinedEffects],
    apart: frozenset[str],
    weight: float,
) -> tuple[dict[str, CombinedEffects], tuple[Together, ...]]:
    """The same effects with the terms of related outcomes correlated a priori.

    Where all is normal the posterior under another prior is the posterior times the ratio of the priors: precisions
    add up, and the prior means being 0, nothing else changes.

    Args:
        outcomes: All of them.
        terms: By outcome, q terms.
        effects: By outcome, under priors of one outcome at a time.
        apart: Decisions whose effect on one outcome tells nothing of that on another.
        weight: Of published effects, and so of this prior: at 0 the cohort stands alone, at 1 each publication.

    Returns:
        By outcome, the effects; and the joint distributions of related outcomes.
    """
    if weight in (0.0, 1.0) or not any(terms.values()):
        return dict(effects), ()
    found, joint = dict(effects), []
    for group in related(outcomes):
        names = [outcome.name for outcome in group]
        together = _joined(names, terms, effects, apart, min(1.0, 2.0 * weight))
        joint.append(together)
        size = len(together.mean) // len(names)
        for k, name in enumerate(names):
            own = slice(k * size, (k + 1) * size)
            marginal = EffectDistribution(
                effects[name].combined.terms, together.mean[own], together.covariance[own, own]
            )
            found[name] = replace(effects[name], combined=marginal)
    return found, tuple(joint)


def _joined(
    names: Sequence[str],
    terms: Mapping[str, tuple[EffectTerm, ...]],
    effects: Mapping[str, CombinedEffects],
    apart: frozenset[str],
    times: float,
) -> Together:
    size = len(effects[names[0]].combined.mean)
    precision = np.zeros((len(names) * size, len(names) * size))
    for k, name in enumerate(names):
        own = slice(k * size, (k + 1) * size)
        precision[own, own] = np.linalg.inv(effects[name].combined.covariance)
    mean = np.concatenate([effects[name].combined.mean for name in names])
    weighted = precision @ mean
    sd = np.array([term.prior_sd for name in names for term in terms[name]])
    alike = np.array([_alike(term, apart) for name in names for term in terms[name]], dtype=bool)
    precision += times * _of_prior(sd, alike, size)
    covariance = np.linalg.inv(precision)
    covariance = (covariance + covariance.T) / 2.0
    return Together(tuple(names), covariance @ weighted, covariance)


def _alike(term: EffectTerm, apart: frozenset[str]) -> bool:
    return term.decision not in apart and term.prior_mean == 0.0


def _of_prior(sd: Floats, alike: Flags, size: int) -> Floats:
    """Precision of the correlated prior less that of the independent one: of the same terms of several outcomes."""
    difference = np.zeros((len(sd), len(sd)))
    for term in range(size):
        places = np.arange(term, len(sd), size)
        places = places[alike[places]]
        correlation = np.full((len(places), len(places)), RELATED) + (1.0 - RELATED) * np.eye(len(places))
        block = np.linalg.inv(correlation * np.outer(sd[places], sd[places])) - np.diag(sd[places] ** -2.0)
        for (i, one), (j, other) in product(enumerate(places), repeat=2):
            difference[one, other] = block[i, j]
    return difference
