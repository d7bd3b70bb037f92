"""A fitted twin and patients in; every way to decide, and every state to be seen on the way, with its losses out.

For each plan and each history that can be seen before its last open decision, `Ahead` holds how likely the history is
and what it adds to each loss. What the histories add sums up to the losses of the plan, so that the worth of a policy
is a sum over histories, and the best policy a minimum over options and a sum over states in turn, for any weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import exprel

from data.schema import OutcomeKind, Specification
from twin.arrays import Floats, Integers
from twin.models.candidates.incidence import cumulative_incidence
from twin.models.outcome import EventModel, Patients, Rows, plan_increments
from twin.policy.standing import Standing
from twin.policy.utility import HORIZON_MONTHS
from twin.prediction import FittedTwin
from twin.simulation.individual import MarginalIndividual
from twin.simulation.states import UNOBSERVED, Step
from twin.simulation.tree import Level, Tree
from twin.simulation.unfold import FINE, Accuracy, Unfolding, all_ratios
from twin.timeline import OPEN, agrees, effect_months, plan_digits

COARSE: Final = Accuracy(np.array([0.0, 3.0, 6.0, 18.0, 36.0]), 0.01)
"""For hundreds of histories: what one adds to a loss is then right to 0.002 on average (tested), while the losses of
each plan are set to what they are exactly."""
MIDDLE: Final = Accuracy(np.array([0.0, 3.0, 6.0, 8.0, 10.0, 12.0, 15.0, 18.0, 24.0, 30.0, 36.0, 48.0]), 0.01)
"""For patients in whom states are recorded, and for draws: nine in ten losses are right to 0.003 (tested)"""
PATIENTS_AT_ONCE: Final = 128
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

    def summing_up_to(self, losses: Floats) -> Ahead:
        """The same with the histories' parts in proportion, so that they sum up to losses (n, outcomes)."""
        total = self.losses.sum(axis=1)
        share = np.divide(losses, total, out=np.ones_like(total), where=total > 0)
        return replace(self, losses=self.losses * share[:, None])

    def seen_before(self, decision: int) -> tuple[Sight, ...]:
        """The steps on the way to a decision."""
        return tuple(sight for sight in self.sights if sight.step.decision < decision)

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

    def through(self, key: str) -> Ahead:
        """What lies ahead under a plan that goes through a question, by the decisions before it.

        Histories up to the question are those of every such plan.
        """
        return self.ahead[key.replace(OPEN, "0")]

    def losses(self, plan: str) -> Floats:
        """(n, outcomes) of a complete plan that is followed whatever is seen."""
        return np.asarray(self.ahead[plan].losses.sum(axis=1))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows of the draws of several patients: the fit in every completed copy, or every further draw in one of them.

    Those of a patient follow one another, and of those, those that are summed up with each other.
    """

    individual: MarginalIndividual
    rows: Rows
    weight: Floats
    """(rows,) sums to 1 over those that are summed up"""
    first: Integers
    """(sums,) where those that are summed up begin"""
    patients: int

    @classmethod
    def fit(cls, twin: FittedTwin, frame: pd.DataFrame) -> _Rows:
        """The fit in the patients of `frame`; copies that are alike are one."""
        completed, read = _completed(twin, frame)
        picked: list[Integers] = []
        weights: list[Floats] = []
        for patient in range(len(frame)):
            both = np.hstack([read.inputs[:, patient], read.terms[:, patient]]).round(SAME_DIGITS)
            _, unlike, counts = np.unique(both, axis=0, return_index=True, return_counts=True)
            picked.append(unlike * len(frame) + patient)
            weights.append(counts / read.copies)
        individual = _of_copies(twin, completed, read, np.concatenate(picked))
        copies = sum(map(len, picked))
        rows = Rows(np.zeros(copies, dtype=np.intp), np.arange(copies), copies)
        first = np.cumsum([0, *map(len, picked[:-1])])
        return cls(individual, rows, np.concatenate(weights), first, len(frame))

    @classmethod
    def drawn(cls, twin: FittedTwin, frame: pd.DataFrame) -> _Rows:
        """Every further draw in the patients of `frame`, each in the copy that `Rows.of` gives it."""
        completed, read = _completed(twin, frame)
        draws, patients = twin.marginal.draws, len(frame)
        individual = _of_copies(twin, completed, read, np.arange(read.copies * patients))
        of_draw = Rows.of(draws, read.copies).copy[read.copies :]
        copy = (of_draw * patients + np.arange(patients)[:, None]).ravel()
        rows = Rows(np.tile(np.arange(1, draws + 1), patients), copy, read.copies * patients)
        return cls(individual, rows, np.ones(len(copy)), np.arange(len(copy)), patients)

    def by_patient(self, values: Floats) -> Floats:
        """(n, ...) or (n x draws, ...) sums of values (rows, ...) over those that are summed up."""
        return np.asarray(np.add.reduceat(values, self.first, axis=0))


def _completed(twin: FittedTwin, frame: pd.DataFrame) -> tuple[pd.DataFrame, Patients]:
    """Completed copies of the patients of `frame` as columns, copy after copy, and as the models read them."""
    completed = twin.marginal.completed(twin.marginal.known(frame, twin.spec))
    return completed.frame, twin.marginal.read(completed)


def _of_copies(twin: FittedTwin, columns: pd.DataFrame, read: Patients, rows: Integers) -> MarginalIndividual:
    """The individual whose copies are some of those of several patients."""
    copy, patient = np.divmod(rows, read.inputs.shape[1])
    one_each = Patients(read.inputs[copy, patient][:, None], read.terms[copy, patient][:, None])
    return MarginalIndividual(twin.spec, twin.marginal, one_each, columns.iloc[rows].reset_index(drop=True))


def prospects(twin: FittedTwin, frame: pd.DataFrame, standing: Standing) -> Iterator[Prospects]:
    """What lies ahead of patients who stand at the same place, some of them at a time.

    Args:
        twin: The models.
        frame: Typed columns; what is known so far.
        standing: Where the patients are.
    """
    for start in range(0, len(standing.rows), PATIENTS_AT_ONCE):
        rows = standing.rows[start : start + PATIENTS_AT_ONCE]
        asked = frame.iloc[rows].reset_index(drop=True)
        builder, plans = _Builder(twin, standing, _Rows.fit(twin, asked)), going_on(twin, standing)
        if standing.nothing_seen and not standing.barred:
            exact = _from_time_zero(twin, asked, standing, 0, FINE)[0]
            ahead = {plan: builder.ahead(plan, COARSE).summing_up_to(exact[:, k]) for k, plan in enumerate(plans)}
        else:
            ahead = {plan: builder.ahead(plan, MIDDLE) for plan in plans}
        yield Prospects(twin.spec, twin.outcomes, rows, standing.so_far, builder.behind, ahead)


def drawn_losses(twin: FittedTwin, frame: pd.DataFrame, standing: Standing, rows: Integers) -> Floats:
    """(draws, n, plans, outcomes) losses of whole plans that go on from where patients stand, by every draw.

    Args:
        twin: The models.
        frame: As of `prospects`.
        standing: Where the patients are.
        rows: (n,) positions of those who are asked about.
    """
    asked = frame.iloc[rows].reset_index(drop=True)
    if standing.nothing_seen:
        return _from_time_zero(twin, asked, standing, twin.marginal.draws, MIDDLE)[1:]
    builder = _Builder(twin, standing, _Rows.drawn(twin, asked))
    losses = np.stack([builder.at_once(plan, MIDDLE) for plan in going_on(twin, standing)], axis=1)
    return np.moveaxis(losses.reshape(len(rows), -1, *losses.shape[1:]), 1, 0)


def _from_time_zero(
    twin: FittedTwin, asked: pd.DataFrame, standing: Standing, draws: int, accuracy: Accuracy
) -> Floats:
    """(1 + draws, n, plans, outcomes) losses of whole plans where no state is recorded: all of them at once."""
    marginal, spec, horizon = twin.marginal, twin.spec, horizon_months(twin)
    digits = np.array([plan_digits(spec, plan) for plan in going_on(twin, standing)])
    months = effect_months(spec, digits)
    cuts = np.concatenate([accuracy.cuts, months.ravel(), [horizon, standing.alive_until]])
    edges = np.unique(cuts[cuts <= horizon])
    of_term = marginal.decision_of_term(spec)
    result = np.empty((1 + draws, len(asked), len(digits), len(twin.outcomes)))
    for chosen, patients in marginal.batches(marginal.known(asked, spec)):
        rows = Rows.of(draws, patients.copies)
        for k, outcome in enumerate(twin.outcomes):
            of_outcome = result[..., k]
            if outcome in marginal.binaries:
                of_outcome[:, chosen] = marginal.binaries[outcome].risks(patients, rows, of_term, digits)
                continue
            fitted = marginal.hazards[outcome]
            models = [fitted.event] if fitted.rival is None else [fitted.event, fitted.rival]
            hazards = [plan_increments(model, patients, rows, of_term, digits, months, edges) for model in models]
            for plan, causes in enumerate(zip(*hazards, strict=True)):
                kind = spec.outcome(outcome).kind
                lost, free = _lost(kind, np.stack(causes), edges, standing.alive_until, horizon)
                of_outcome[:, chosen, plan] = rows.collapsed(lost) / rows.collapsed(free)
    return result


def going_on(twin: FittedTwin, standing: Standing) -> tuple[str, ...]:
    """Complete plans that go on from where patients stand."""
    return tuple(plan for plan in twin.plans if agrees(plan, standing.so_far))


def horizon_months(twin: FittedTwin) -> float:
    """Month by which losses are counted: `HORIZON_MONTHS`, or the end of a shorter follow-up."""
    return min(HORIZON_MONTHS, twin.last_month) if twin.marginal.hazards else HORIZON_MONTHS


@dataclass(frozen=True, eq=False)
class _AllPlans:
    """An individual whose hazards are worked out for all plans at once, when the first of them is asked for."""

    of: MarginalIndividual
    digits: Floats
    """(plans, d)"""
    _hazards: dict[tuple[str, bytes], list[tuple[Floats, Floats | None]]] = field(default_factory=dict, repr=False)

    @property
    def outcomes(self) -> Sequence[str]:
        return self.of.outcomes

    @property
    def inputs(self) -> Floats:
        return self.of.inputs

    @property
    def completed(self) -> pd.DataFrame:
        return self.of.completed

    @property
    def draws(self) -> int:
        return self.of.draws

    def increments(self, outcome: str, digits: Floats, rows: Rows, edges: Floats) -> tuple[Floats, Floats | None]:
        """As of `MarginalIndividual`."""
        key = (outcome, edges.tobytes())
        if key not in self._hazards:
            hazards = self.of.marginal.hazards[outcome]
            event = self._each(hazards.event, rows, edges)
            rival = [None] * len(event) if hazards.rival is None else self._each(hazards.rival, rows, edges)
            self._hazards[key] = list(zip(event, rival, strict=True))
        return self._hazards[key][int(np.flatnonzero((self.digits == digits).all(axis=1))[0])]

    def _each(self, model: EventModel, rows: Rows, edges: Floats) -> list[Floats]:
        of_term, months = self.of.marginal.decision_of_term(self.of.spec), effect_months(self.of.spec, self.digits)
        found = plan_increments(model, self.of.patient, rows, of_term, self.digits, months, edges)
        return [hazard[:, 0] for hazard in found]

    def probability(self, outcome: str, digits: Floats, rows: Rows) -> Floats:
        """As of `MarginalIndividual`."""
        return self.of.probability(outcome, digits, rows)


@dataclass(frozen=True, eq=False)
class _Builder:
    """Works out what lies ahead of patients who stand at one place."""

    twin: FittedTwin
    standing: Standing
    of: _Rows

    @cached_property
    def _individual(self) -> _AllPlans:
        digits = np.array([plan_digits(self.twin.spec, plan) for plan in going_on(self.twin, self.standing)])
        return _AllPlans(self.of.individual, digits)

    @cached_property
    def _ratios(self) -> dict[str, Floats]:
        return all_ratios(self.twin.states.revealed, self.of.individual, self.of.rows)

    @property
    def behind(self) -> int:
        """Steps before the next open decision."""
        return self._steps_before(self.standing.next_open)

    def _steps_before(self, decision: int) -> int:
        return sum(model.step.decision < decision for model in self.twin.states.transitions.steps)

    def ahead(self, plan: str, accuracy: Accuracy) -> Ahead:
        """What lies ahead under one plan."""
        tree = self._tree(plan)
        depth = self._steps_before(max(k for k, digit in enumerate(self.standing.so_far) if digit == OPEN))
        kept = tree.agreeing(self.standing.observed)
        hidden = len(kept[self.behind])
        losses, likely = self._at(plan, tree, kept[: depth + 1], accuracy)
        losses = losses.reshape(len(losses), hidden, -1, losses.shape[-1]).sum(axis=1)
        likely = likely.reshape(len(likely), hidden, -1).sum(axis=1)
        sights = tuple(Sight(level.model.step, level.codes) for level in tree.levels[self.behind : depth])
        return Ahead(sights, likely / likely.sum(axis=1, keepdims=True), losses)

    def at_once(self, plan: str, accuracy: Accuracy) -> Floats:
        """(sums, outcomes) losses of a whole plan, averaged over everything that may be seen."""
        tree = self._tree(plan)
        kept = tree.agreeing(self.standing.observed)
        losses, _ = self._at(plan, tree, kept[: tree.telling(kept) + 1], accuracy)
        return np.asarray(losses.sum(axis=1))

    def _tree(self, plan: str) -> Tree:
        digits, draw = plan_digits(self.twin.spec, plan), self.of.rows.draw
        inputs = self.of.individual.inputs[self.of.rows.copy]
        return Tree.grow(self.twin.states.transitions, self.twin.spec, inputs, draw, digits)

    def _probabilities(self, tree: Tree, depth: int) -> Floats:
        """(rows, nodes) of every node of a depth, without the manners that are barred from here on.

        A manner that is not chosen because it is not possible says nothing about the patient.
        """
        if not self.standing.barred:
            return tree.probabilities(depth)
        behind = self.behind
        ahead = (self._without_barred(level) for level in tree.levels[behind:depth])
        return replace(tree, levels=(*tree.levels[:behind], *ahead)).probabilities(depth)

    def _without_barred(self, level: Level) -> Level:
        step = level.model.step
        if not step.manner or level.codes[0, 0] == UNOBSERVED:
            return level
        column = self.twin.spec.decisions[step.decision].column
        possible = [
            (column, value) not in self.standing.barred for value in [values[0] for values in step.variables[0].levels]
        ]
        chance = level.probability * np.array(possible, dtype=float)[level.codes[:, 0]]
        total = chance.sum(axis=2, keepdims=True)
        return level if not total.all() else replace(level, probability=chance / total)

    def _at(self, plan: str, tree: Tree, kept: list[Integers], accuracy: Accuracy) -> tuple[Floats, Floats]:
        """What each node of the last depth adds to each loss (sums, nodes, outcomes), and its weight (sums, nodes)."""
        weights = self._probabilities(tree, len(kept) - 1)[:, kept[-1]] * self.of.weight[:, None]
        unfolding = Unfolding(
            self.twin.spec,
            self._individual,
            self.of.rows,
            self.twin.states.revealed,
            self.standing.alive_until,
            plan_digits(self.twin.spec, plan),
            tree,
            tuple(kept),
            accuracy,
            self._ratios,
        )
        result = []
        for outcome in self.twin.outcomes:
            lost, free = loss(unfolding, outcome, horizon_months(self.twin))
            here = self.of.by_patient(weights * free).sum(axis=1, keepdims=True)
            result.append(self.of.by_patient(weights * lost) / here)
        return np.stack(result, axis=-1), self.of.by_patient(weights)


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
    return _lost(kind, hazards, edges, unfolding.alive_until, horizon)


def _lost(
    kind: OutcomeKind, hazards: Floats, edges: Floats, alive_until: float, horizon: float
) -> tuple[Floats, Floats]:
    """(...,) loss by cumulative hazards (causes, ..., cells) over cells between edges, and who is free at the start.

    In a cell with a constant hazard h the share ``(1 - exp(-h)) / h`` of its months is lived by those alive at its
    beginning, which makes the restricted mean exact.
    """
    origin = int(np.searchsorted(edges, alive_until))
    free = np.exp(-hazards[..., :origin].sum(axis=(0, -1)))
    if kind is OutcomeKind.COMPETING:
        happened = cumulative_incidence(hazards[0], hazards[1] if len(hazards) > 1 else None)
        return np.maximum(happened[..., -1] - happened[..., origin], 0.0), free
    within = hazards[0, ..., origin:]
    start = np.concatenate([np.zeros((*within.shape[:-1], 1)), np.cumsum(within, axis=-1)[..., :-1]], axis=-1)
    lived = (np.exp(-start) * exprel(-within)) @ np.diff(edges[origin:])
    return free * (edges[-1] - edges[origin] - lived) / horizon, free
