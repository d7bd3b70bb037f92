"""A way of deciding that may look at what was seen in, the probability and manner of each decision in a patient out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from data.errors import WrongUsage
from data.schema import Decision, Specification
from twin.arrays import Floats, Integers
from twin.simulation.situation import Situation
from twin.simulation.states import UNOBSERVED
from twin.simulation.tree import Tree
from twin.timeline import plan_digits


@dataclass(frozen=True)
class Choice:
    """How a decision is taken."""

    yes: float
    """Probability"""
    manner: str | None = None
    """How a yes is carried out: a value of the decision's manner; drawn as physicians choose it where none is given"""


Policy = Callable[[Decision, pd.DataFrame, Mapping[str, str]], float | Choice]
"""A choice, or the probability of a yes alone, given a decision, the patient's row, and what was decided (``"0"``,
``"1"``) and seen before"""

Manners = Mapping[str, str]
"""By the column of a decision's manner, the value in which a yes is to be carried out"""
AS_PHYSICIANS_CHOOSE: Final[Manners] = MappingProxyType({})


def applying(spec: Specification, plan: str, manners: Manners) -> Manners:
    """Those of decisions that a plan takes.

    Raises:
        WrongUsage: a column is the manner of no decision.
    """
    known = {decision.manner: digit for decision, digit in zip(spec.decisions, plan, strict=True) if decision.manner}
    for column in manners:
        if column not in known:
            named = ", ".join(map(str, known)) or "none"
            raise WrongUsage(f"{column} is the manner of no decision", remedy=f"manners of decisions: {named}")
    return {column: manner for column, manner in manners.items() if known[column] == "1"}


def following(spec: Specification, plan: str, manners: Manners) -> Policy:
    """The policy that follows a plan and carries out its decisions in given manners.

    Args:
        spec: The disease.
        plan: Complete.
        manners: Physicians choose where none is given.

    Raises:
        WrongUsage: the plan is incomplete, or a manner is that of no decision, or of one that the plan declines.
    """
    _refuse_open(spec, plan)
    for column in manners.keys() - applying(spec, plan, manners).keys():
        raise WrongUsage(
            f"plan '{plan}' declines what {column} '{manners[column]}' would carry out",
            remedy="name manners of decisions that the plan takes",
        )
    digits = {decision.column: digit for decision, digit in zip(spec.decisions, plan, strict=True)}
    return lambda decision, _row, _history: Choice(float(digits[decision.column]), manners.get(decision.manner or ""))


def manner_levels(situation: Situation, plan: str, manners: Manners) -> dict[int, int]:
    """By position of the step, the level at which manners of decisions that a plan takes are chosen.

    Raises:
        WrongUsage: the cohort does not know such a manner, or another one is recorded.
    """
    chosen = applying(situation.spec, plan, manners)
    decisions = {decision.manner: position for position, decision in enumerate(situation.spec.decisions)}
    return dict(_manner_level(situation, decisions[column], manner) for column, manner in chosen.items())


def _manner_level(situation: Situation, decision: int, manner: str) -> tuple[int, int]:
    """Position of the step at which the manner of a decision shows, and its level."""
    column = situation.spec.decisions[decision].column
    steps = [model.step for model in situation.models.transitions.steps]
    position = next((k for k, step in enumerate(steps) if step.manner and step.decision == decision), None)
    if position is None:
        raise WrongUsage(
            f"{column} cannot be carried out with '{manner}': the cohort knows no two manners of it",
            remedy="leave the manner out",
        )
    (variable,) = steps[position].variables
    level, recorded = variable.level(manner), int(situation.observed[position][0])
    if recorded not in (UNOBSERVED, level):
        raise WrongUsage(
            f"{column} cannot be carried out with '{manner}': '{variable.labels[recorded]}' is recorded",
            remedy="clear the record or leave the manner out",
        )
    return position, level


def _refuse_open(spec: Specification, plan: str) -> None:
    if np.isnan(plan_digits(spec, plan)).any():
        raise WrongUsage(f"plan '{plan}' leaves a decision open", remedy="give every digit")


@dataclass(frozen=True, eq=False)
class Habit:
    """A policy, or a plan by name, in one patient; asked once for every history.

    Raises:
        WrongUsage: the plan is incomplete or no plan.
    """

    situation: Situation
    policy: Policy | str
    _answers: dict[tuple[str, int], Choice] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.policy, str):
            _refuse_open(self.situation.spec, self.policy)

    def depth(self, decision: int) -> int:
        """How many steps come before a decision."""
        return sum(model.step.decision < decision for model in self.situation.models.transitions.steps)

    def yes(self, decision: int, tree: Tree, nodes: Integers, digits: Floats) -> Floats:
        """(k,) probability of a yes at nodes (k,) before a decision, after earlier ones (d,)."""
        recorded = self.situation.recorded[decision]
        if not np.isnan(recorded):
            return np.full(len(nodes), recorded)
        if isinstance(self.policy, str):
            return np.full(len(nodes), float(self.policy[decision]))
        return np.array([choice.yes for choice in self._choices(self.policy, decision, tree, nodes, digits)])

    def manner(self, decision: int, tree: Tree, nodes: Integers, digits: Floats) -> Integers:
        """(k,) level of the decision's manner that is chosen for a yes at the same nodes; `UNOBSERVED` for none.

        A decision that is taken is past: its manner is what is recorded, or what physicians may have chosen.
        """
        if not np.isnan(self.situation.recorded[decision]) or isinstance(self.policy, str):
            return np.full(len(nodes), UNOBSERVED, dtype=np.intp)
        choices = self._choices(self.policy, decision, tree, nodes, digits)
        return np.array([self._level(decision, choice.manner) for choice in choices], dtype=np.intp)

    def _level(self, decision: int, manner: str | None) -> int:
        return UNOBSERVED if manner is None else _manner_level(self.situation, decision, manner)[1]

    def _choices(self, policy: Policy, decision: int, tree: Tree, nodes: Integers, digits: Floats) -> list[Choice]:
        so_far = "".join(str(int(digit)) for digit in digits[:decision])
        return [self._ask(policy, decision, tree, int(node), so_far) for node in nodes]

    def _ask(self, policy: Policy, decision: int, tree: Tree, node: int, so_far: str) -> Choice:
        key = (so_far, node)
        if key not in self._answers:
            spec = self.situation.spec
            history = {spec.decisions[k].column: digit for k, digit in enumerate(so_far)}
            states = tree.ancestors(np.array([node]), self.depth(decision))
            for level, state in zip(tree.levels, states, strict=False):
                history.update(level.words[int(state[0])])
            answer = policy(spec.decisions[decision], self.situation.frame, history)
            choice = answer if isinstance(answer, Choice) else Choice(float(answer))
            self._refuse_impossible(choice, decision)
            self._answers[key] = choice
        return self._answers[key]

    def _refuse_impossible(self, choice: Choice, decision: int) -> None:
        column = self.situation.spec.decisions[decision].column
        if not 0.0 <= choice.yes <= 1.0:
            raise WrongUsage(f"the policy says {choice.yes:g} for {column}", remedy="return a probability")
        if choice.manner is not None and choice.yes == 0.0:
            raise WrongUsage(
                f"the policy declines {column} and would carry it out with '{choice.manner}'",
                remedy="leave the manner out",
            )
        self._level(decision, choice.manner)
