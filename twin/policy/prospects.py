"""A fitted twin and patients in; every way to decide, and every state to be seen on the way, with its losses out.

For each plan and each history that can be seen before its last open decision, `Ahead` holds how likely the history is
and what it adds to each loss. What the histories add sums up to the losses of the plan, so that the worth of a policy
is a sum over histories, and the best policy a minimum over options and a sum over states in turn, for any weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import exprel

from data.schema import OutcomeKind, Specification
from twin.arrays import Floats, Integers
from twin.models.candidates.incidence import cumulative_incidence
from twin.models.outcome import Patients
from twin.policy.utility import HORIZON_MONTHS
from twin.prediction import FittedTwin
from twin.simulation.individual import MarginalIndividuals
from twin.simulation.states import Step
from twin.simulation.tree import Tree
from twin.simulation.unfold import FINE, Accuracy, Unfolding
from twin.timeline import OPEN, plan_digits

COARSE: Final = Accuracy(np.array([0.0, 3.0, 6.0, 12.0, 24.0, 36.0, 48.0]), 0.01)
"""For hundreds of histories: what one adds to a loss is then right to 0.002 on average (tested), while the losses of
each plan are set to what they are exactly."""
FEW_HISTORIES: Final = 32
"""Up to so many they are followed as finely as risks are stated"""
PATIENTS_AT_ONCE: Final = 64
"""Whose histories are held in memory together"""
SAME_DIGITS: Final = 9
"""Completed copies that agree in so many decimals are one."""


@dataclass(frozen=True, eq=False)
class Sight:
    """A step on the way: every history before it can be followed by each of its states."""

    step: Step
    codes: Integers
    """(states, variables) levels, as of `Step.space`"""

    @property
    def states(self) -> int:
        """Number of states."""
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class Ahead:
    """What lies ahead of n patients under one plan, up to its last open decision.

    Histories are numbered from the next open decision on: ``history so far x states of the step + state``.
    """

    sights: tuple[Sight, ...]
    """Steps between the next open decision and the last"""
    probability: Floats
    """(n, histories) in those who stand here; sums to 1"""
    losses: Floats
    """(n, histories, outcomes) what each history adds to each loss"""

    def histories(self, depth: int) -> int:
        """Number of histories after so many steps."""
        return int(np.prod([sight.states for sight in self.sights[:depth]], dtype=int))


@dataclass(frozen=True, eq=False)
class Prospects:
    """What lies ahead of n patients who have the same decisions open, by the fit."""

    spec: Specification
    outcomes: tuple[str, ...]
    rows: Integers
    """(n,) positions of the patients in the frame that was asked about"""
    so_far: str
    """Decisions taken or held; open ones as ``-``"""
    steps_behind: int
    """Steps before the next open decision"""
    ahead: Mapping[str, Ahead]
    """By complete plan"""

    @property
    def size(self) -> int:
        """Number of patients."""
        return len(self.rows)

    @property
    def plans(self) -> tuple[str, ...]:
        """Complete plans that go on from here."""
        return tuple(self.ahead)

    @cached_property
    def open(self) -> tuple[int, ...]:
        """Positions of the open decisions, in time."""
        return tuple(k for k, digit in enumerate(self.so_far) if digit == OPEN)

    def losses(self, plan: str) -> Floats:
        """(n, outcomes) of a complete plan that is followed whatever is seen."""
        return np.asarray(self.ahead[plan].losses.sum(axis=1))


@dataclass(frozen=True, eq=False)
class _Copies:
    """Patients in completed copies, each copy a row; those of a patient follow one another."""

    individuals: MarginalIndividuals
    weight: Floats
    """(copies,) sums to 1 over those of a patient"""
    first: Integers
    """(n,) where each patient's copies begin"""

    @classmethod
    def of(cls, twin: FittedTwin, frame: pd.DataFrame) -> _Copies:
        """The patients of `frame`; copies that are alike are one."""
        known = twin.marginal.known(frame, twin.spec)
        completed = twin.marginal.completed(known)
        inputs = completed.inputs
        read = twin.marginal.read(completed)
        picked: list[Integers] = []
        weights: list[Floats] = []
        for patient in range(known.size):
            both = np.hstack([inputs[:, patient], read.terms[:, patient]]).round(SAME_DIGITS)
            _, unlike, counts = np.unique(both, axis=0, return_index=True, return_counts=True)
            picked.append(unlike * known.size + patient)
            weights.append(counts / len(inputs))
        rows = np.concatenate(picked)
        first = np.cumsum([0, *map(len, picked[:-1])])
        copy, of = np.divmod(rows, known.size)
        patients = Patients(inputs[copy, of][None], read.terms[copy, of][None])
        columns = completed.frame.iloc[rows].reset_index(drop=True)
        individuals = MarginalIndividuals(twin.spec, twin.marginal, patients, columns)
        return cls(individuals, np.concatenate(weights), first)

    def by_patient(self, values: Floats) -> Floats:
        """(n, ...) sums over each patient's copies."""
        return np.asarray(np.add.reduceat(values, self.first, axis=0))


@dataclass(frozen=True, eq=False)
class Standing:
    """Patients who stand at the same place: the same decisions open, the same states recorded."""

    rows: Integers
    """Positions in the frame"""
    so_far: str
    next_open: int
    """Position of the next open decision"""
    alive_until: float
    observed: tuple[Integers, ...]
    """For each step, (variables,) what is recorded"""


def prospects(twin: FittedTwin, frame: pd.DataFrame, standing: Standing) -> Iterator[Prospects]:
    """What lies ahead of patients who stand at the same place, some of them at a time.

    Args:
        twin: The models.
        frame: Typed columns; what is known so far.
        standing: Where the patients are.
    """
    plans = [plan for plan in twin.plans if _goes_on(plan, standing.so_far)]
    behind = sum(model.step.decision < standing.next_open for model in twin.states.transitions.steps)
    last = max(k for k, digit in enumerate(standing.so_far) if digit == OPEN)
    depth = sum(model.step.decision < last for model in twin.states.transitions.steps)
    rows = standing.rows
    while len(rows):
        some, rows = rows[:PATIENTS_AT_ONCE], rows[PATIENTS_AT_ONCE:]
        copies = _Copies.of(twin, frame.iloc[some].reset_index(drop=True))
        builder = _Builder(twin, copies, standing, behind, depth)
        yield Prospects(
            spec=twin.spec,
            outcomes=twin.outcomes,
            rows=some,
            so_far=standing.so_far,
            steps_behind=behind,
            ahead={plan: builder.ahead(plan) for plan in plans},
        )


def horizon_months(twin: FittedTwin) -> float:
    """Month by which losses are counted: `HORIZON_MONTHS`, or the end of a shorter follow-up."""
    return min(HORIZON_MONTHS, twin.last_month) if twin.marginal.hazards else HORIZON_MONTHS


def _goes_on(plan: str, so_far: str) -> bool:
    return all(taken in (OPEN, digit) for digit, taken in zip(plan, so_far, strict=True))


@dataclass(frozen=True, eq=False)
class _Builder:
    """Works out what lies ahead of patients who stand at one place, in completed copies."""

    twin: FittedTwin
    copies: _Copies
    standing: Standing
    behind: int
    """Steps before the next open decision"""
    depth: int
    """Steps before the last open decision"""

    def ahead(self, plan: str) -> Ahead:
        """What lies ahead under one plan."""
        tree, digits = self._tree(plan), plan_digits(self.twin.spec, plan)
        kept = tree.agreeing(self.standing.observed)
        weights = tree.probabilities(self.depth)[:, kept[self.depth]] * self.copies.weight[:, None]
        hidden = len(kept[self.behind])
        few = len(kept[self.depth]) <= FEW_HISTORIES
        losses = self._losses(self._unfolding(digits, tree, kept[: self.depth + 1], FINE if few else COARSE), weights)
        losses = losses.reshape(len(losses), hidden, -1, losses.shape[-1]).sum(axis=1)
        if not few:
            telling = tree.telling(kept)
            at_once = tree.probabilities(telling)[:, kept[telling]] * self.copies.weight[:, None]
            exact = self._losses(self._unfolding(digits, tree, kept[: telling + 1], FINE), at_once)
            total = losses.sum(axis=1)
            losses *= np.divide(exact.sum(axis=1), total, out=np.ones_like(total), where=total > 0)[:, None]
        likely = self.copies.by_patient(weights)
        likely = likely.reshape(len(likely), hidden, -1).sum(axis=1)
        sights = tuple(Sight(level.model.step, level.codes) for level in tree.levels[self.behind : self.depth])
        return Ahead(sights, likely / likely.sum(axis=1, keepdims=True), losses)

    def _tree(self, plan: str) -> Tree:
        individuals = self.copies.individuals
        digits = plan_digits(self.twin.spec, plan)
        draw = individuals.rows.draw
        return Tree.grow(self.twin.states.transitions, self.twin.spec, individuals.inputs, draw, digits)

    def _unfolding(self, digits: Floats, tree: Tree, kept: list[Integers], accuracy: Accuracy) -> Unfolding:
        individuals, until = self.copies.individuals, self.standing.alive_until
        revealed = self.twin.states.revealed
        rows = individuals.rows
        return Unfolding(self.twin.spec, individuals, rows, revealed, until, digits, tree, tuple(kept), accuracy)

    def _losses(self, unfolding: Unfolding, weights: Floats) -> Floats:
        """(n, nodes, outcomes) what each node, of weight (copies, nodes), adds to each loss."""
        result = []
        for outcome in self.twin.outcomes:
            lost, free = loss(unfolding, outcome, horizon_months(self.twin))
            here = self.copies.by_patient(weights * free).sum(axis=1, keepdims=True)
            result.append(self.copies.by_patient(weights * lost) / here)
        return np.stack(result, axis=-1)


def loss(unfolding: Unfolding, outcome: str, horizon: float) -> tuple[Floats, Floats]:
    """(rows, nodes) loss of an outcome at each node, as a share of all at time zero, and who of them still stand here.

    Args:
        unfolding: Of the nodes.
        outcome: Which.
        horizon: Month by which events count, and over which months of life are lost.
    """
    kind = unfolding.spec.outcome(outcome).kind
    if kind is OutcomeKind.BINARY:
        probability = unfolding.probabilities(outcome)
        return probability, np.ones_like(probability)
    edges = unfolding.edges(np.array([horizon]))
    hazards = unfolding.increments(outcome, edges)
    origin = int(np.searchsorted(edges, unfolding.alive_until))
    free = np.exp(-hazards[..., :origin].sum(axis=(0, 3)))
    if kind is OutcomeKind.COMPETING:
        happened = cumulative_incidence(hazards[0], hazards[1] if len(hazards) > 1 else None)
        return np.maximum(happened[..., -1] - happened[..., origin], 0.0), free
    within = hazards[0, ..., origin:]
    start = np.concatenate([np.zeros((*within.shape[:-1], 1)), np.cumsum(within, axis=-1)[..., :-1]], axis=-1)
    lived = (np.exp(-start) * exprel(-within)) @ np.diff(edges[origin:])
    return free * (edges[-1] - edges[origin] - lived) / horizon, free
