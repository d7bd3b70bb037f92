"""A cohort in, the effects of its decisions on every outcome out: published evidence and the cohort's own, combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from data.cohort import Cohort
from data.evidence import load_evidence, load_terms
from data.schema import Outcome
from twin.arrays import AS_THEY_ARE, Floats
from twin.behaviour import Behaviour, fit_behaviour
from twin.effects.cohort import cohort_effects
from twin.effects.combination import CombinedEffects, combine
from twin.effects.distribution import EffectTerm
from twin.effects.prior import evidence_prior


@dataclass(frozen=True, eq=False)
class Effects:
    """What decisions do, by outcome, and how they were taken."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    terms: tuple[EffectTerm, ...]
    """q terms, the same for every outcome"""
    by_outcome: Mapping[str, CombinedEffects]
    behaviour: Behaviour

    def draws(self, count: int, seed: int) -> dict[str, Floats]:
        """By outcome, (1 + count, q) coefficients of the terms; row 0 is the mean."""
        seeds = np.random.SeedSequence(seed).spawn(len(self.by_outcome))
        return {
            name: effects.combined.draws(count, np.random.default_rng(own))
            for (name, effects), own in zip(self.by_outcome.items(), seeds, strict=True)
        }


def estimate_effects(
    cohort: Cohort,
    outcomes: Sequence[Outcome],
    varied: frozenset[str],
    completed: pd.DataFrame,
    weight: float,
    seed: int,
) -> Effects:
    """The effects of the decisions that a cohort can compare.

    Args:
        cohort: n patients.
        outcomes: On which.
        varied: Decision columns that can be compared.
        completed: The cohort with missing values filled in, one or several copies stacked.
        weight: Of published effects: 0 the cohort alone, 0.5 each by its variance, 1 the publications alone.
        seed: Of the folds.
    """
    evidence, listed = load_evidence(cohort.spec), load_terms(cohort.spec)
    behaviour = fit_behaviour(cohort, seed)
    copies = [completed.iloc[start : start + cohort.size] for start in range(0, len(completed), cohort.size)]
    found = {}
    terms: tuple[EffectTerm, ...] = ()
    for outcome in outcomes:
        terms = tuple(term for term in listed[outcome.name] if term.decision in varied)
        prior = evidence_prior(evidence, terms, outcome, completed)
        seen = cohort_effects(cohort, outcome, terms, behaviour, seed=seed, completed=copies)
        found[outcome.name] = combine(prior, seen, weight)
    return Effects(terms, found, behaviour)
