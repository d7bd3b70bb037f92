"""A patient and the decisions of a plan in, every way in which the steps can go and its probability out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from data.schema import Specification
from twin.arrays import Flags, Floats, Integers
from twin.simulation.states import UNOBSERVED
from twin.simulation.transition import StepModel, Transitions


@dataclass(frozen=True, eq=False)
class Level:
    """One step of a tree: every node of the level before has the same possible states."""

    model: StepModel
    codes: Integers
    """(states, variables)"""
    probability: Floats
    """(rows, nodes before, states) of each state, given the node before, in those alive then"""
    acts_from: float
    """Month from which the state bears on the hazards"""

    @cached_property
    def indicators(self) -> Floats:
        """(states, width of the step) one column a level."""
        return self.model.step.indicators(self.codes)

    @cached_property
    def words(self) -> tuple[dict[str, str], ...]:
        """(states) what each state is called, by variable."""
        names = [variable.name for variable in self.model.step.variables]
        return tuple(dict(zip(names, self.model.step.words(codes), strict=True)) for codes in self.codes)

    @property
    def columns(self) -> slice:
        """Where the levels of this step stand in a whole history."""
        return slice(self.model.before, self.model.before + self.model.step.width)

    def carries_out(self, decision: int, digits: Floats) -> bool:
        """Whether it is here that the manner of a decision shows, under decisions (d,)."""
        step = self.model.step
        return step.manner and step.decision == decision and bool(step.applies(digits))

    def possible(self, chosen: Integers) -> Flags:
        """(k, states) which states can follow where levels (k,) of the manner are chosen, `UNOBSERVED` for none."""
        return np.asarray((self.codes[:, 0] == chosen[:, None]) | (chosen == UNOBSERVED)[:, None])

    def agreeing(self, observed: Integers) -> Flags:
        """(states,) whether a state agrees with what is recorded (variables,); what cannot be is passed over."""
        agrees = self.codes == observed
        return np.asarray((agrees | ~agrees.any(axis=0)).all(axis=1))


@dataclass(frozen=True, eq=False)
class Tree:
    """Every way in which the steps can go under one plan.

    The nodes of level l are numbered ``node of level l - 1 x states of level l + state``; before the first step there
    is one node. A path is a node of the last level.
    """

    rows: int
    """How many rows the draws have"""
    levels: tuple[Level, ...]

    @classmethod
    def grow(
        cls, transitions: Transitions, spec: Specification, inputs: Floats, draw: Integers, digits: Floats
    ) -> Self:
        """The tree of a patient.

        Args:
            transitions: What is seen at every step.
            spec: The disease.
            inputs: (rows, p) of the patient, as each row of the draws reads them.
            draw: (rows,) which draw each row is of.
            digits: (d,) 0 or 1.
        """
        levels: list[Level] = []
        history = np.zeros((1, 0))
        for model in transitions.steps:
            probability = model.probabilities(inputs, draw, digits, history)
            level = Level(model, model.step.space(digits), probability, model.step.acts_from(spec, digits))
            levels.append(level)
            states = len(level.codes)
            below = np.tile(level.indicators, (len(history), 1))
            history = np.hstack([np.repeat(history, states, axis=0), below])
        return cls(len(inputs), tuple(levels))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of nodes at each level, that before the first step included."""
        sizes = [1]
        for level in self.levels:
            sizes.append(sizes[-1] * len(level.codes))
        return tuple(sizes)

    @property
    def paths(self) -> int:
        """Number of paths."""
        return self.sizes[-1]

    def ancestors(self, nodes: Integers, depth: int) -> list[Integers]:
        """For each level up to `depth`, (k,) the state on the way to `nodes` of that depth (a number of levels)."""
        states = []
        for level in reversed(self.levels[:depth]):
            nodes, state = np.divmod(nodes, len(level.codes))
            states.append(state)
        return states[::-1]

    def histories(self, nodes: Integers, depth: int) -> Floats:
        """(k, levels of the steps passed) what was seen on the way to `nodes`, as indicators."""
        states = self.ancestors(nodes, depth)
        blocks = [level.indicators[state] for level, state in zip(self.levels, states, strict=False)]
        return np.hstack([np.zeros((len(nodes), 0)), *blocks])

    def agreeing(self, observed: Sequence[Integers]) -> list[Integers]:
        """At each depth, the nodes that agree with what is recorded at every step (variables,) on the way."""
        nodes = np.zeros(1, dtype=np.intp)
        kept = [nodes]
        for level, seen in zip(self.levels, observed, strict=True):
            states = np.flatnonzero(level.agreeing(seen))
            nodes = (nodes[:, None] * len(level.codes) + states).ravel()
            kept.append(nodes)
        return kept

    def ahead(self, observed: Sequence[Integers]) -> list[Floats]:
        """At each depth, (rows, nodes) probability that the steps after it show what is recorded."""
        chance = [np.ones((self.rows, self.paths))]
        for level, seen in zip(reversed(self.levels), reversed(observed), strict=True):
            agreeing = level.probability * level.agreeing(seen)
            chance.append((agreeing * chance[-1].reshape(agreeing.shape)).sum(axis=2))
        return chance[::-1]

    def telling(self, kept: Sequence[Integers]) -> int:
        """The depth of the last step at which what is recorded tells anything, of the nodes that agree with it.

        Averaged over all states of a step, what is given them is what was given before.
        """
        for depth in range(len(self.levels), 0, -1):
            if len(kept[depth]) < len(kept[depth - 1]) * len(self.levels[depth - 1].codes):
                return depth
        return 0

    def probabilities(self, depth: int, chosen: Collection[int] = ()) -> Floats:
        """(rows, nodes) of every node of a depth from the start; steps at which a state is chosen do not count."""
        result = np.ones((self.rows, 1))
        for position, level in enumerate(self.levels[:depth]):
            chance = np.ones_like(level.probability) if position in chosen else level.probability
            result = (result[:, :, None] * chance).reshape(self.rows, -1)
        return result


@dataclass(frozen=True, eq=False)
class Scores:
    """What each state of a tree says about some hazards, with what it says about the states to come."""

    periods: Floats
    """(periods,) months at which they begin, the first 0"""
    by_level: tuple[Floats, ...]
    """For each level, (causes, rows, nodes before or 1, states, periods) log multiplier of the hazards"""

    @classmethod
    def of(cls, tree: Tree, ratios: Sequence[tuple[float, Floats]]) -> Self:
        """The multipliers of every state from the last level to the first.

        What is expected to follow a state is part of what the state says: a poor response to induction speaks of a poor
        response to radiotherapy. To first order, hazards given two sights then differ from those before by the two
        multipliers and one normalisation, as they were learnt.

        Args:
            tree: Of the patient and plan.
            ratios: (causes, rows, width) log ratios of all levels of all steps, each with the month from which they are
                added to those before; a level acts from its own month on in any case.
        """
        begins = [max(level.acts_from, month) for level in tree.levels for month, _ in ratios]
        periods = np.unique([0.0, *begins])
        by_level: list[Floats] = []
        later: Floats | None = None
        for depth in range(len(tree.levels) - 1, -1, -1):
            level = tree.levels[depth]
            score = sum(
                np.einsum("krh,sh->krs", added[:, :, level.columns], level.indicators)[:, :, None, :, None]
                * (max(level.acts_from, month) <= periods)
                for month, added in ratios
            )
            score = np.asarray(score)
            if later is not None:
                causes, rows, _, states, _ = score.shape
                score = score + later.reshape(causes, rows, -1, states, len(periods))
            by_level.append(score)
            later = _expected(level.probability, score)
        return cls(periods, tuple(reversed(by_level)))

    def at(self, depth: int, nodes: Integers) -> Floats:
        """(causes, rows, k, states, periods) of the states that follow `nodes` of a depth."""
        score = self.by_level[depth]
        return score[:, :, nodes if score.shape[2] > 1 else np.zeros(len(nodes), dtype=np.intp)]


def _expected(probability: Floats, score: Floats) -> Floats:
    """(causes, rows, nodes, periods) log of the multiplier expected over the states that follow each node."""
    causes, rows, each, _, periods = score.shape
    result = np.zeros((causes, rows, probability.shape[1], periods))
    for cause in range(causes):
        for period in range(periods):
            multiplier = np.exp(score[cause, ..., period])
            if each == 1:
                expected = np.matmul(probability, multiplier.transpose(0, 2, 1))[..., 0]
            else:
                expected = np.einsum("rns,rns->rn", probability, multiplier)
            result[cause, ..., period] = np.log(expected)
    return result
