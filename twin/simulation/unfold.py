"""A patient's hazards before anything is seen and a tree of sights in, the hazards at each of its nodes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np
import pandas as pd

from data.schema import OutcomeKind, Specification
from twin.arrays import Floats, Integers
from twin.models.candidates.incidence import cumulative_incidence
from twin.models.outcome import CELL_MONTHS, Rows
from twin.simulation.reveal import CLOSE, reveal_probability, scales
from twin.simulation.revealed import Revealed
from twin.simulation.tree import Scores, Tree
from twin.timeline import effect_months


@dataclass(frozen=True, eq=False)
class Accuracy:
    """How finely hazards are followed through a tree."""

    cuts: Floats
    """Months at which cells are cut, besides those at which something changes"""
    close: float
    """Of `twin.simulation.reveal`: where Newton's method stops"""


FINE: Final = Accuracy(np.arange(0.0, 1200.0, CELL_MONTHS), CLOSE)
"""As risks are stated"""


class Individual(Protocol):
    """What the models from time zero say about one patient."""

    @property
    def outcomes(self) -> Sequence[str]:
        """Names of the outcomes that are predicted."""

    @property
    def inputs(self) -> Floats:
        """(copies, p) completed and encoded."""

    @property
    def completed(self) -> pd.DataFrame:
        """The copies, one a row, as columns: who is in a group of patients is read from them."""

    @property
    def draws(self) -> int:
        """Number of draws besides the fit."""

    def increments(self, outcome: str, digits: Floats, rows: Rows, edges: Floats) -> tuple[Floats, Floats | None]:
        """(rows, cells) cumulative hazard over each cell of the outcome, and of what forestalls it, if anything."""

    def probability(self, outcome: str, digits: Floats, rows: Rows) -> Floats:
        """(rows,) of a yes-or-no outcome."""


@dataclass(frozen=True, eq=False)
class Unfolding:
    """Some nodes of the tree of a patient under one plan, and the way to them."""

    spec: Specification
    individual: Individual
    rows: Rows
    revealed: Mapping[str, Revealed]
    alive_until: float
    digits: Floats
    """(d,) 0 or 1"""
    tree: Tree
    kept: tuple[Integers, ...]
    """At each depth, ascending nodes, up to those that are asked about; each one's parent is among those before"""
    accuracy: Accuracy = FINE
    ratios: Mapping[str, Floats] | None = None
    """As of `all_ratios`, where they are known from another plan"""

    def incidences(self, outcome: str, months: Floats) -> tuple[Floats, Floats]:
        """Of an outcome, at each node: what happens from `alive_until` on, as shares of all at time zero.

        Returns:
            (rows, k, m) who has it by each of `months` (m,), and (rows, k) who was free until `alive_until`. Of a
            yes-or-no outcome, its probability (rows, k, 1) and ones.
        """
        if self.spec.outcome(outcome).kind is OutcomeKind.BINARY:
            probability = self.probabilities(outcome)
            return probability[..., None], np.ones_like(probability)
        edges = self.edges(months)
        hazards = self.increments(outcome, edges)
        origin = int(np.searchsorted(edges, self.alive_until))
        read = np.searchsorted(edges, np.maximum(months, self.alive_until))
        happened = cumulative_incidence(hazards[0], hazards[1] if len(hazards) > 1 else None)
        free = np.exp(-hazards[..., :origin].sum(axis=(0, 3)))
        return np.maximum(happened[..., read] - happened[..., [origin]], 0.0), free

    def edges(self, months: Floats) -> Floats:
        """Ends of the cells: where risks are read, where decisions and states act, and a few in between."""
        last = max(float(np.max(months, initial=0.0)), self.alive_until)
        acting = [level.acts_from for level in self.tree.levels]
        cuts = [self.accuracy.cuts, effect_months(self.spec, self.digits), acting, months]
        whole = np.unique(np.concatenate([*cuts, [0.0, self.alive_until]]))
        return whole[whole <= last]

    def increments(self, outcome: str, edges: Floats) -> Floats:
        """(causes, rows, k, cells) cumulative hazards at each node over the cells between `edges`."""
        event, rival = self.individual.increments(outcome, self.digits, self.rows, edges)
        before = np.stack([hazard for hazard in (event, rival) if hazard is not None])
        current = before[:, :, None, :]
        if outcome not in self.revealed or len(self.kept) == 1:
            return np.repeat(current, len(self.kept[-1]), axis=2)
        scores = self._scores[outcome]
        period = np.searchsorted(scores.periods, edges[:-1], side="right") - 1
        for depth in range(len(self.kept) - 1):
            current = self._down(depth, scores, current, period)
        return current

    def _down(self, depth: int, scores: Scores, current: Floats, period: Integers) -> Floats:
        """From the nodes of a depth to those of the next."""
        nodes = self.kept[depth]
        parent, state = self._parents(depth)
        probability = self.tree.levels[depth].probability[:, nodes]
        states = probability.shape[2]
        if states == 1:
            return np.asarray(current[:, :, parent])
        log_multipliers = scores.at(depth, nodes)
        causes, rows, count, cells = current.shape
        scale = scales(
            current.reshape(causes, rows * count, cells),
            probability.reshape(rows * count, states),
            log_multipliers.reshape(causes, rows * count, states, -1),
            period,
            self.accuracy.close,
        ).reshape(current.shape)
        multiplier = np.exp(log_multipliers[:, :, parent, state])
        return np.asarray(scale[:, :, parent] * multiplier[..., period])

    def probabilities(self, outcome: str) -> Floats:
        """(rows, k) probability of a yes-or-no outcome at each node."""
        current = self.individual.probability(outcome, self.digits, self.rows)[:, None]
        if outcome not in self.revealed or len(self.kept) == 1:
            return np.repeat(current, len(self.kept[-1]), axis=1)
        scores = self._scores[outcome]
        judged = self.spec.outcome(outcome).month
        period = len(scores.periods) if judged is None else int(np.searchsorted(scores.periods, judged, side="right"))
        for depth in range(len(self.kept) - 1):
            nodes = self.kept[depth]
            parent, state = self._parents(depth)
            probability = self.tree.levels[depth].probability[:, nodes]
            rows, count, states = probability.shape
            log_odds = np.broadcast_to(scores.at(depth, nodes)[0, ..., period - 1], probability.shape)
            given = reveal_probability(
                current.reshape(-1),
                probability.reshape(-1, states),
                log_odds.reshape(-1, states),
                self.accuracy.close,
            )
            current = given.reshape(rows, count, states)[:, parent, state]
        return current

    def _parents(self, depth: int) -> tuple[Integers, Integers]:
        """For each node kept of the next depth, the position of its parent among those kept, and its state."""
        node, state = np.divmod(self.kept[depth + 1], len(self.tree.levels[depth].codes))
        return np.searchsorted(self.kept[depth], node), state

    @cached_property
    def _scores(self) -> dict[str, Scores]:
        own = self.ratios or all_ratios(self.revealed, self.individual, self.rows)
        return {
            name: Scores.of(self.tree, revealed.ratios_from(self.spec, self.digits, own[name], self.rows))
            for name, revealed in self.revealed.items()
        }


def all_ratios(revealed: Mapping[str, Revealed], individual: Individual, rows: Rows) -> dict[str, Floats]:
    """By outcome, (causes, rows, width) log ratio of every level of every step in a patient, whatever the plan."""
    return {name: one.ratios(individual.completed, rows) for name, one in revealed.items()}
