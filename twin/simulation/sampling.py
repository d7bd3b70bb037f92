"""A patient and a policy in, simulated trajectories out: states, decisions, and the times and causes of what happens.

Drawn step after step from the same distributions that the exact answers sum over, so that either checks the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.schema import OutcomeKind
from twin.arrays import Flags, Floats, Integers
from twin.models.dependence import Dependence
from twin.simulation.policy import Habit, Policy
from twin.simulation.situation import Situation
from twin.simulation.states import NOT_APPLICABLE, UNOBSERVED
from twin.simulation.transition import drawn_levels
from twin.simulation.tree import Tree
from twin.simulation.unfold import Unfolding
from twin.timeline import effect_months

EVENT_ITSELF: Final = "event"
"""Cause of a time: the outcome happened"""
STILL_FREE: Final = ""
"""Cause of a time: neither the outcome nor what forestalls it happened by the horizon"""


def month_column(outcome: str) -> str:
    """Name of the column of the times of an outcome."""
    return f"{outcome}_month"


def cause_column(outcome: str) -> str:
    """Name of the column that says what happened at that time: the outcome, or which other forestalled it."""
    return f"{outcome}_cause"


def sample(
    situation: Situation, policy: Policy | str, count: int, rng: np.random.Generator, horizon: float
) -> pd.DataFrame:
    """Trajectories from where the patient stands, by the fit.

    Given the states, the time of each outcome is drawn by itself: those of two outcomes in one row are not those of one
    course (the models know of each outcome how it competes with death, not how failures depend on each other).
    Yes-or-no outcomes are drawn together, each given the one before it on which it depends most. Where an
    earlier step is not recorded, its states are drawn as expected of those alive at that step.

    Args:
        situation: The patient so far.
        policy: May depend on what is seen; or a plan by name.
        count: How many.
        rng: Of the draws.
        horizon: Month up to which times are drawn.

    Returns:
        One row a trajectory. Every decision (0 or 1) and state in words, empty from death on; of each time-to-event
        outcome its month (`horizon` for those still free) and cause; of the others 0 or 1, NaN for the dead.
    """
    fit = situation.fit_only()
    walk = _Walk(fit, Habit(fit, policy), count, rng)
    steps = fit.models.transitions.steps
    for depth in range(len(steps) + 1):
        for decision in range(len(fit.spec.decisions)):
            if walk.habit.depth(decision) == depth:
                walk.decide(decision)
        if depth < len(steps):
            walk.see(depth)
    frame = pd.DataFrame(walk.columns)
    for name, values in _happenings(walk, horizon):
        frame[name] = values
    return _until_death(fit, frame, walk.digits)


@dataclass(eq=False)
class _Walk:
    """Trajectories on their way."""

    fit: Situation
    habit: Habit
    count: int
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.row = np.arange(self.count) % len(self.fit.rows.draw)
        self.digits = np.tile(np.nan_to_num(self.fit.recorded), (self.count, 1))
        self.nodes = np.zeros(self.count, dtype=np.intp)
        self.chosen = np.full(self.count, UNOBSERVED, dtype=np.intp)
        self.columns: dict[str, Floats | np.ndarray[tuple[int, ...], np.dtype[np.object_]]] = {}

    def groups(self) -> Iterator[tuple[Integers, Floats, Tree]]:
        """Trajectories with the same decisions so far, which share a tree."""
        for digits in np.unique(self.digits, axis=0):
            yield np.flatnonzero((self.digits == digits).all(axis=1)), digits, self.fit.tree(digits)

    def decide(self, decision: int) -> None:
        """Takes one decision in all; later ones count as recorded, or 0, meanwhile."""
        taken = np.zeros(self.count)
        self.chosen = np.full(self.count, UNOBSERVED, dtype=np.intp)
        for rows, digits, tree in self.groups():
            nodes, where = np.unique(self.nodes[rows], return_inverse=True)
            yes = self.habit.yes(decision, tree, nodes, digits)[where]
            taken[rows] = self.rng.random(len(rows)) < yes
            manner = self.habit.manner(decision, tree, nodes, digits)[where]
            self.chosen[rows] = np.where(taken[rows] == 1, manner, UNOBSERVED)
        self.digits[:, decision] = taken
        self.columns[self.fit.spec.decisions[decision].column] = taken

    def see(self, depth: int) -> None:
        """Draws the states of one step in all."""
        model = self.fit.models.transitions.steps[depth]
        names = [variable.name for variable in model.step.variables]
        names += [leaf.variable.name for leaf in model.leaves]
        shown = {name: np.full(self.count, NOT_APPLICABLE, dtype=object) for name in names}
        inputs = self.fit.individual.inputs[self.fit.rows.copy]
        for rows, digits, tree in self.groups():
            level, node, row = tree.levels[depth], self.nodes[rows], self.row[rows]
            states = len(level.codes)
            ahead = tree.ahead(self.fit.observed)[depth + 1].reshape(len(inputs), -1, states)
            possible = level.agreeing(self.fit.observed[depth])
            if model.step.manner:
                possible = possible & level.possible(self.chosen[rows])
            weights = level.probability[row, node] * possible * ahead[row, node]
            state = drawn_levels(weights, self.rng)
            self.nodes[rows] = node * states + state
            for variable in model.step.variables:
                words = [of_state[variable.name] for of_state in level.words]
                shown[variable.name][rows] = np.array(words, dtype=object)[state]
            leaves = model.draw_leaves(
                inputs[row],
                self.fit.rows.draw[row],
                digits,
                tree.histories(node, depth),
                level.codes[state],
                self.rng,
            )
            for leaf in model.leaves:
                if leaf.variable.name in leaves:
                    labels = np.array(leaf.variable.labels, dtype=object)
                    shown[leaf.variable.name][rows] = labels[leaves[leaf.variable.name]]
        self.columns.update(shown)


def _happenings(walk: _Walk, horizon: float) -> Iterator[tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]]]:
    """Columns of what happens to the trajectories."""
    spec = walk.fit.spec
    drawn: dict[str, tuple[Floats, Flags]] = {}
    for name in walk.fit.individual.outcomes:
        outcome = spec.outcome(name)
        if outcome.kind is OutcomeKind.BINARY:
            probability = np.zeros(walk.count)
            for rows, unfolding, place in _unfoldings(walk):
                probability[rows] = unfolding.probabilities(name)[walk.row[rows], place]
            given = _given(walk.fit.dependences, name, probability, drawn)
            drawn[name] = (probability, walk.rng.random(walk.count) < given)
            yield name, drawn[name][1].astype(float)
            continue
        months = np.full(walk.count, horizon)
        causes = np.full(walk.count, STILL_FREE, dtype=object)
        labels = np.array([EVENT_ITSELF, outcome.competing], dtype=object)
        for rows, unfolding, place in _unfoldings(walk):
            edges = unfolding.edges(np.array([horizon]))
            hazards = unfolding.increments(name, edges)[:, walk.row[rows], place]
            when, cause, ends = _times(hazards, edges, walk.fit.alive_until, walk.rng)
            months[rows[ends]], causes[rows[ends]] = when[ends], labels[cause[ends]]
        yield month_column(name), months
        yield cause_column(name), causes


def _given(
    dependences: Sequence[Dependence], name: str, probability: Floats, drawn: Mapping[str, tuple[Floats, Flags]]
) -> Floats:
    """(n,) probability of a yes-or-no outcome given the earlier one (probabilities, what was drawn) it depends on most.

    The odds ratio is that of patients of equal risk, so it holds whatever states made the risks what they are.
    """
    pairs = {
        one.second if one.first == name else one.first: one for one in dependences if name in (one.first, one.second)
    }
    earlier = [other for other in drawn if other in pairs]
    if not earlier:
        return probability
    other = max(earlier, key=lambda other: abs(pairs[other].log_odds_ratio[0]))
    return pairs[other].given(probability, *drawn[other])


def _unfoldings(walk: _Walk) -> Iterator[tuple[Integers, Unfolding, Integers]]:
    """Trajectories of one sequence of decisions, the nodes they reached, and the position of each one's among them."""
    for rows, digits, tree in walk.groups():
        nodes, place = np.unique(walk.nodes[rows], return_inverse=True)
        kept = [nodes]
        for level in reversed(tree.levels):
            kept.append(np.unique(kept[-1] // len(level.codes)))
        yield rows, walk.fit.unfolding(digits, tuple(reversed(kept))), place


def _times(
    hazards: Floats, edges: Floats, alive_until: float, rng: np.random.Generator
) -> tuple[Floats, Integers, Flags]:
    """Months (n,) at which n patients leave, by which cause, and whether before the last edge.

    Args:
        hazards: (causes, n, cells) cumulative over each cell; constant within it.
        edges: (cells + 1,) months
        alive_until: All are free until then.
        rng: Of the draws.
    """
    total = hazards.sum(axis=0)
    total[:, edges[:-1] < alive_until] = 0.0
    upper = np.cumsum(total, axis=1)
    target = rng.exponential(size=len(upper))
    ends = target < upper[:, -1]
    cell = np.minimum((upper <= target[:, None]).sum(axis=1), total.shape[1] - 1)
    every = np.arange(len(upper))
    within, here = upper[every, cell] - target, total[every, cell]
    share = np.divide(within, here, out=np.zeros_like(within), where=here > 0)
    when = edges[cell + 1] - share * np.diff(edges)[cell]
    return when, drawn_levels(hazards[:, every, cell].T, rng), ends


def _until_death(fit: Situation, frame: pd.DataFrame, digits: Floats) -> pd.DataFrame:
    """The trajectories without what would have come after death."""
    fatal = {outcome.competing for outcome in fit.spec.outcomes} & set(fit.individual.outcomes)
    for name in fatal:
        died = np.where(frame[cause_column(str(name))] == EVENT_ITSELF, frame[month_column(str(name))], np.inf)
        _blank(fit, frame, died, effect_months(fit.spec, digits))
    return frame


def _blank(fit: Situation, frame: pd.DataFrame, died: Floats, months: Floats) -> None:
    for position, decision in enumerate(fit.spec.decisions):
        frame[decision.column] = frame[decision.column].mask((died <= months[:, position]) & (months[:, position] > 0))
    for model in fit.models.transitions.steps:
        from_month = months[:, model.step.decision] if model.step.manner else np.full(len(frame), model.step.month)
        for variable in (*model.step.variables, *(leaf.variable for leaf in model.leaves)):
            frame[variable.name] = frame[variable.name].mask((died <= from_month) & (from_month > 0))
    for outcome in fit.spec.outcomes:
        if outcome.month is not None and outcome.name in frame:
            frame[outcome.name] = frame[outcome.name].mask(died <= outcome.month)
