"""A twin and patients who stand at the same place in; what lies ahead of all of them, and how an agent sees it, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self, TypeAlias

import numpy as np
import pandas as pd

from twin.arrays import Flags, Floats, Integers
from twin.policy.exact import Question
from twin.policy.observation import Layout, Singles, encoded
from twin.policy.prospects import Ahead, Prospects, Sight, prospects
from twin.policy.standing import Standing
from twin.prediction import FittedTwin
from twin.simulation.states import UNOBSERVED
from twin.threads import one_thread

HIDDEN: Final = 0.5
"""Chance that a variable is hidden by a veil"""

Veil: TypeAlias = tuple[Flags, ...]
"""For each step on the way, (variables,) which are not recorded"""


@dataclass(frozen=True, eq=False)
class Patients:
    """n patients who stand at the same place."""

    layout: Layout
    prospects: Prospects
    inputs: Floats
    """(n, inputs) encoded, averaged over completed copies"""
    behind: Floats
    """(states,) indicators of what was seen before the next open decision, as by `Layout.behind`"""

    @classmethod
    def of(cls, twin: FittedTwin, frame: pd.DataFrame, standing: Standing) -> Self:
        """The patients of `standing` in `frame`, at least one."""
        with one_thread():
            return cls.with_ahead(twin, frame, standing, joined(list(prospects(twin, frame, standing))))

    @classmethod
    def with_ahead(cls, twin: FittedTwin, frame: pd.DataFrame, standing: Standing, ahead: Prospects) -> Self:
        """Some of the patients of `standing` in `frame`, of whom it is known what lies ahead."""
        layout = Layout.of(twin)
        inputs = encoded(twin, frame.iloc[ahead.rows].reset_index(drop=True))
        return cls(layout, ahead, inputs, layout.behind(twin, standing))

    @property
    def size(self) -> int:
        """Number of patients."""
        return self.prospects.size

    def take(self, rows: Integers) -> Self:
        """Some of them."""
        return replace(self, prospects=some(self.prospects, rows), inputs=self.inputs[rows])

    def seen(self, key: str) -> Floats:
        """(histories, states) indicators at the question that comes up after the decisions of `key`."""
        return self.layout.seen(self.prospects, key, self.behind)

    def veiled(self, hidden: Veil) -> Self:
        """The same patients, of whom some of what there is to be seen is never recorded.

        What is hidden is summed over, so that what is best is best for whoever does not know it.

        Args:
            hidden: For each step on the way, (variables,) which are not recorded.
        """
        ahead = {plan: _veiled(of, hidden) for plan, of in self.prospects.ahead.items()}
        return replace(self, prospects=replace(self.prospects, ahead=ahead))

    def veil(self, rng: np.random.Generator) -> Veil:
        """Each variable of each step on the way hidden or not, by chance."""
        (sights, *_) = (of.sights for of in self.prospects.ahead.values())
        return tuple(rng.random(len(sight.step.variables)) < HIDDEN for sight in sights)

    def observe(self, question: Question, weights: Floats) -> Singles:
        """(n, histories, size) observations at a question, for weights (n, outcomes)."""
        return self.layout.observe(self.inputs, self.seen(question.so_far), question.so_far, weights)


def joined(parts: Sequence[Prospects]) -> Prospects:
    """Prospects of patients who stand at the same place, at least one part, as one."""
    first = parts[0]
    ahead = {
        plan: Ahead(
            of_first.sights,
            np.concatenate([part.ahead[plan].probability for part in parts]),
            np.concatenate([part.ahead[plan].losses for part in parts]),
        )
        for plan, of_first in first.ahead.items()
    }
    return replace(first, rows=np.concatenate([part.rows for part in parts]), ahead=ahead)


def some(ahead: Prospects, rows: Integers) -> Prospects:
    """Prospects of the patients at positions `rows`."""
    taken = {plan: Ahead(of.sights, of.probability[rows], of.losses[rows]) for plan, of in ahead.ahead.items()}
    return replace(ahead, rows=ahead.rows[rows], ahead=taken)


def _veiled(ahead: Ahead, hidden: Veil) -> Ahead:
    sights, likely, losses = [], ahead.probability[..., None], ahead.losses
    before, after = 1, likely.shape[1]
    for sight, unseen in zip(ahead.sights, hidden, strict=True):
        codes, merged = np.unique(np.where(unseen, UNOBSERVED, sight.codes), axis=0, return_inverse=True)
        after //= sight.states
        likely, losses = (
            _summed(
                values.reshape(len(values), before, sight.states, after, values.shape[-1]), merged.ravel(), len(codes)
            )
            for values in (likely, losses)
        )
        sights.append(Sight(sight.step, codes))
        before *= len(codes)
    return Ahead(tuple(sights), likely.reshape(len(likely), -1), losses.reshape(len(losses), before, -1))


def _summed(values: Floats, merged: Integers, states: int) -> Floats:
    """(n, before, states, after, ...) sums of (n, before, s, after, ...) over states `merged` (s,) into the same."""
    result = np.zeros((*values.shape[:2], states, *values.shape[3:]))
    for state, into in enumerate(merged.tolist()):
        result[:, :, into] += values[:, :, state]
    return result
