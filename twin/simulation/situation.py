"""One patient and what is recorded so far in, what may be seen next and the risks given every sight out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import ClassVar, Self

import numpy as np
import pandas as pd

from data.errors import NotFound, Refused, WrongUsage
from data.schema import Specification
from twin.arrays import AS_THEY_ARE, Floats, Integers
from twin.models.dependence import Dependence
from twin.models.outcome import Rows
from twin.record import decision_matrix, states_seen
from twin.simulation.revealed import Revealed
from twin.simulation.states import NOT_APPLICABLE
from twin.simulation.transition import Transitions
from twin.simulation.tree import Tree
from twin.simulation.unfold import Individual, Unfolding
from twin.timeline import agrees, locate, plan_digits, plan_text


@dataclass(frozen=True, eq=False)
class StateModels:
    """What is learnt about the states between decisions: plain arrays, as they are stored with a twin."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    transitions: Transitions
    revealed: Mapping[str, Revealed]
    """By outcome; an outcome that is not there is not changed by any sight"""


@dataclass(frozen=True, eq=False)
class Paths:
    """Every way in which the steps may go for a patient under a plan."""

    moments: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]
    """(paths) of the states of every step in words"""
    states: Integers
    """(paths, steps) position of the state at each step"""
    probability: Floats
    """(1 + draws, paths); sums to 1"""


@dataclass(frozen=True, eq=False)
class StateDistribution:
    """What may be seen of one thing."""

    name: str
    label: str
    levels: tuple[str, ...]
    probability: Floats
    """(1 + draws, levels)"""


def shares(happened: Floats, free: Floats) -> Floats:
    """(rows, m) risks of those who were free: what happened (rows, m) among them (rows,), both as shares of all.

    Whoever cannot have lived to the moment is certain to die. The hazards given a path solve equations, so that a risk
    of 1 may come out a millionth above it.
    """
    living = free[:, None]
    return np.minimum(np.divide(happened, living, out=np.ones_like(happened), where=living > 0), 1.0)


@dataclass(frozen=True, eq=False)
class Situation:
    """A patient as recorded so far."""

    spec: Specification
    models: StateModels
    frame: pd.DataFrame
    """One row"""
    individual: Individual
    rows: Rows
    recorded: Floats
    """(d,) decisions taken, NaN where open"""
    observed: tuple[Integers, ...]
    """For each step, (variables,) what is recorded"""
    alive_until: float
    dependences: tuple[Dependence, ...] = ()
    """Of pairs of yes-or-no outcomes; without them, those are drawn independently"""
    _trees: dict[str, Tree] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        spec: Specification,
        models: StateModels,
        frame: pd.DataFrame,
        individual: Individual,
        assumed: Floats | None = None,
        alive_until: float | None = None,
        dependences: tuple[Dependence, ...] = (),
    ) -> Self:
        """The situation of the patient in the one row of `frame`.

        Args:
            spec: The disease.
            models: Of the states.
            frame: One row, only what is known so far.
            individual: The same patient as the models from time zero see them.
            assumed: (d,) decisions with those filled in that the cohort holds; as recorded by default.
            alive_until: Month to which the patient is known to have lived; judged from the record by default.
            dependences: Of pairs of yes-or-no outcomes.
        """
        recorded = decision_matrix(spec, frame)
        if assumed is None:
            assumed = recorded[0]
        if alive_until is None:
            alive_until = float(locate(spec, recorded, assumed[None], states_seen(spec, frame)).alive_until[0])
        observed = tuple(model.step.codes(frame)[0] for model in models.transitions.steps)
        rows = Rows.of(individual.draws, len(individual.inputs))
        return cls(spec, models, frame, individual, rows, assumed, observed, alive_until, dependences)

    def fit_only(self) -> Situation:
        """The same without draws: a policy has far more paths than a plan, and is answered for the fit."""
        return replace(self, rows=Rows.of(0, len(self.individual.inputs)))

    def tree(self, digits: Floats) -> Tree:
        """Every way in which the steps can go under decisions (d,); those after the last step do not matter."""
        last = max((model.step.decision for model in self.models.transitions.steps), default=-1)
        key = plan_text(digits[: last + 1])
        if key not in self._trees:
            inputs = self.individual.inputs[self.rows.copy]
            self._trees[key] = Tree.grow(self.models.transitions, self.spec, inputs, self.rows.draw, digits)
        return self._trees[key]

    def paths(self, plan: str) -> Paths:
        """What may have been seen and may yet be seen under a plan, given what is recorded.

        Raises:
            WrongUsage: the plan is incomplete or no plan.
            Refused: it disagrees with a decision taken.
        """
        tree = self.tree(self._digits(plan))
        depth = len(tree.levels)
        nodes = tree.agreeing(self.observed)[-1]
        weights = self.rows.collapsed(tree.probabilities(depth)[:, nodes])
        return self._paths(tree, nodes, weights)

    def _paths(self, tree: Tree, nodes: Integers, weights: Floats) -> Paths:
        ancestors = tree.ancestors(nodes, len(tree.levels))
        states = np.column_stack([np.zeros((len(nodes), 0), dtype=np.intp), *ancestors])
        labels = tuple(
            tuple(
                word
                for level, state in zip(tree.levels, of_path, strict=True)
                for word in level.words[int(state)].values()
            )
            for of_path in states
        )
        moments = tuple(level.model.step.moment for level in tree.levels)
        return Paths(moments, labels, states, weights / weights.sum(axis=1, keepdims=True))

    def risks(
        self, plan: str, months: Sequence[float] | Floats, outcomes: Sequence[str] | None = None
    ) -> dict[str, Floats]:
        """Risks of every outcome given what is recorded, averaged over what is not.

        Args:
            plan: Complete; agrees with the decisions taken.
            months: (m,) horizons, ascending.
            outcomes: Which of them; all by default.

        Returns:
            By outcome, (1 + draws, m); one month for a yes-or-no outcome.

        Raises:
            WrongUsage: the plan is incomplete or no plan.
            Refused: it disagrees with a decision taken.
        """
        digits = self._digits(plan)
        tree = self.tree(digits)
        kept = tree.agreeing(self.observed)
        depth = tree.telling(kept)
        weights = tree.probabilities(depth)[:, kept[depth]]
        unfolding = self.unfolding(digits, tuple(kept[: depth + 1]))
        asked = np.asarray(months, dtype=float)
        result = {}
        for outcome in self.individual.outcomes if outcomes is None else outcomes:
            happened, free = unfolding.incidences(outcome, asked)
            result[outcome] = shares(self.collapsed(weights, happened), self.collapsed(weights, free))
        return result

    def collapsed(self, weights: Floats, values: Floats) -> Floats:
        """(1 + draws, ...) of values (rows, k, ...) summed with weights (rows, k)."""
        return self.rows.collapsed(np.einsum("rk,rk...->r...", weights, values))

    def risks_by_path(self, plan: str, months: Sequence[float] | Floats) -> tuple[Paths, dict[str, Floats]]:
        """The same given each of the paths that agree with what is recorded.

        Returns:
            The paths, and by outcome (1 + draws, paths, m).
        """
        digits = self._digits(plan)
        tree = self.tree(digits)
        kept = tree.agreeing(self.observed)
        weights = tree.probabilities(len(tree.levels))[:, kept[-1]]
        unfolding = self.unfolding(digits, tuple(kept))
        asked = np.asarray(months, dtype=float)
        result = {}
        for outcome in self.individual.outcomes:
            happened, free = unfolding.incidences(outcome, asked)
            among = self.rows.collapsed(weights * free)[..., None]
            with_it = self.rows.collapsed(weights[..., None] * happened)
            result[outcome] = np.divide(with_it, among, out=np.zeros_like(with_it), where=among > 0)
        return self._paths(tree, kept[-1], self.rows.collapsed(weights)), result

    def unfolding(self, digits: Floats, kept: tuple[Integers, ...]) -> Unfolding:
        """The hazards at some nodes of the tree under decisions (d,)."""
        return Unfolding(
            self.spec,
            self.individual,
            self.rows,
            self.models.revealed,
            self.alive_until,
            digits,
            self.tree(digits),
            kept,
        )

    def states(
        self, plan: str, moment: str, chosen: Mapping[int, int] = MappingProxyType({})
    ) -> tuple[StateDistribution, ...]:
        """What may be seen at a step in those alive then, given what is recorded: what is carried on, then the leaves.

        Args:
            plan: Complete; agrees with the decisions taken.
            moment: Of the step.
            chosen: By position of an earlier step, the level of a manner that is chosen there and not drawn.

        Raises:
            NotFound: nothing is seen at that moment.
            WrongUsage: the plan is incomplete or no plan.
            Refused: it disagrees with a decision taken.
        """
        digits = self._digits(plan)
        tree = self.tree(digits)
        moments = [level.model.step.moment for level in tree.levels]
        if moment not in moments:
            raise NotFound.named("step", moment, moments)
        depth = moments.index(moment)
        level, step = tree.levels[depth], tree.levels[depth].model.step
        if not bool(step.applies(digits)):
            sure = self.rows.collapsed(np.ones((len(self.rows.draw), 1)))
            return tuple(StateDistribution(v.name, v.label, (NOT_APPLICABLE,), sure) for v in step.variables)
        observed = [np.array([chosen[k]]) if k in chosen else seen for k, seen in enumerate(self.observed)]
        after = tree.agreeing(observed)[depth + 1]
        weights = tree.probabilities(depth + 1, chosen)[:, after]
        parent, state = np.divmod(after, len(level.codes))
        total = self.rows.collapsed(weights).sum(axis=1, keepdims=True)
        shown = []
        for position, variable in enumerate(step.variables):
            each = np.eye(len(variable.levels))[level.codes[state, position]]
            probability = self.rows.collapsed(weights @ each) / total
            shown.append(StateDistribution(variable.name, variable.label, variable.labels, probability))
        histories = tree.histories(parent, depth)
        leaves = level.model.leaf_probabilities(
            self.individual.inputs[self.rows.copy], self.rows.draw, digits, histories, level.codes[state]
        )
        for leaf in level.model.leaves:
            mean = np.einsum("rk,rkl->rl", weights, leaves[leaf.variable.name])
            probability = self.rows.collapsed(mean) / total
            shown.append(StateDistribution(leaf.variable.name, leaf.variable.label, leaf.variable.labels, probability))
        return tuple(shown)

    def _digits(self, plan: str) -> Floats:
        digits = plan_digits(self.spec, plan)
        if np.isnan(digits).any():
            raise WrongUsage(f"plan '{plan}' leaves a decision open", remedy="give every digit")
        so_far = plan_text(self.recorded)
        if not agrees(plan, so_far):
            raise Refused(
                f"plan '{plan}' disagrees with the decisions taken ({so_far})",
                remedy=f"name a plan that goes on from {so_far}",
            )
        return digits
