"""A cohort in, the effects of its decisions on every outcome out: published evidence and the cohort's own, combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from data.cohort import Cohort
from data.evidence import load_evidence, load_state_terms, load_terms
from data.schema import Outcome
from twin.arrays import AS_THEY_ARE, Floats
from twin.behaviour import Behaviour, fit_behaviour
from twin.effects.cohort import cohort_effects
from twin.effects.combination import CombinedEffects, combine
from twin.effects.distribution import EffectTerm
from twin.effects.prior import joint_prior
from twin.effects.states import StateEffects, seen_states, state_shares
from twin.effects.together import Together, put_together
from twin.streams import stream


@dataclass(frozen=True, eq=False)
class Effects:
    """What decisions do, by outcome, and how they were taken."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    terms: tuple[EffectTerm, ...]
    """q terms, the same for every outcome"""
    by_outcome: Mapping[str, CombinedEffects]
    behaviour: Behaviour
    states: Mapping[str, StateEffects]
    """By outcome, what decisions do more in those who show a state, before the cohort is asked about that"""
    together: tuple[Together, ...] = ()
    """Of related outcomes; the others are independent"""

    def draws(self, count: int, seed: int) -> dict[str, Floats]:
        """By outcome, (1 + count, q) coefficients of the terms, the mean first; those of one row belong together."""
        joint = {name: found for one in self.together for name, found in one.draws(count, self._rng(seed, one)).items()}
        return {
            name: joint[name] if name in joint else effects.combined.draws(count, stream(seed, "effects", name))
            for name, effects in self.by_outcome.items()
        }

    def _rng(self, seed: int, one: Together) -> np.random.Generator:
        return stream(seed, "effects", *one.outcomes)


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
    evidence, listed, by_state = load_evidence(cohort.spec), load_terms(cohort.spec), load_state_terms(cohort.spec)
    behaviour = fit_behaviour(cohort, seed)
    copies = [completed.iloc[start : start + cohort.size] for start in range(0, len(completed), cohort.size)]
    later = [term.column for terms in by_state.values() for term in terms]
    later += [name for effect in evidence.effects if effect.used for name in effect.group.columns]
    shown = _with_seen(later, cohort, completed)
    found, states = {}, {}
    asked = {o.name: tuple(term for term in listed[o.name] if term.decision in varied) for o in outcomes}
    for outcome in outcomes:
        terms = asked[outcome.name]
        depending = seen_states(tuple(t for t in by_state[outcome.name] if t.decision in varied), cohort)
        shares = state_shares(depending, cohort, outcome)
        prior, states[outcome.name] = joint_prior(evidence, terms, depending, shares, outcome, shown)
        seen = cohort_effects(cohort, outcome, terms, behaviour, seed=seed, completed=copies)
        found[outcome.name] = combine(prior, seen, weight)
    combined, together = put_together(outcomes, asked, found, cohort.spec.brought_about, weight)
    return Effects(next(iter(asked.values()), ()), combined, behaviour, states, together)


def _with_seen(columns: Sequence[str], cohort: Cohort, completed: pd.DataFrame) -> pd.DataFrame:
    """The completed copies of a cohort with those of `columns` that were seen later, as they are recorded."""
    later = [name for name in dict.fromkeys(columns) if name not in completed and name in cohort.frame]
    rows = np.arange(len(completed)) % max(cohort.size, 1)
    return completed.assign(**{name: cohort.frame[name].to_numpy()[rows] for name in later})
