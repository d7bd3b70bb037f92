"""A fitted twin and an outcome in, what each decision does more in those who show a state before it out."""

from __future__ import annotations

from typing import Final

import numpy as np

from twin.effects.combination import Ratio
from twin.effects.states import StateRow
from twin.prediction import FittedTwin

INTERVAL: Final = (5.0, 95.0)
"""Percentiles"""


def state_rows(twin: FittedTwin, outcome: str) -> tuple[StateRow, ...]:
    """Ratios of what a decision does in those who show a state to what it does in the others, by source."""
    if outcome not in twin.effects.states or outcome not in twin.states.revealed:
        return ()
    effects = twin.effects.states[outcome]
    means, sds = effects.beside(twin.effects.by_outcome[outcome].prior)
    held = {term: Ratio.of(float(mean), float(sd)) for term, mean, sd in zip(effects.terms, means, sds, strict=True)}
    found = []
    for acting in twin.states.revealed[outcome].acting:
        low, high = np.percentile(acting.ratios[1:], INTERVAL)
        used = Ratio(*(float(np.exp(value)) for value in (acting.ratios[0], low, high)))
        found.append(StateRow(acting.term.decision, acting.term.name, held[acting.term], used, acting.taught))
    return tuple(found)
