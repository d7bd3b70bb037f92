"""A patient and a policy in, the risks expected under it out: summed over all paths it can take, or by a sample."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import pandas as pd

from data.schema import OutcomeKind
from twin.arrays import Floats, Integers
from twin.simulation.policy import Habit, Manners, Policy, following
from twin.simulation.sampling import EVENT_ITSELF, cause_column, month_column, sample
from twin.simulation.situation import Situation, shares
from twin.simulation.states import UNOBSERVED
from twin.simulation.tree import Tree

PATH_LIMIT: Final = 20_000
"""Paths up to which a policy is answered by their sum; beyond it by a sample"""
SAMPLE: Final = 4_000
"""Trajectories of a sample: the standard error of a risk is at most 0.008"""


@dataclass(frozen=True, eq=False)
class PolicyRisks:
    """What is expected under a policy."""

    risks: Mapping[str, Floats]
    """By outcome, (1 + draws, m) or of the fit alone (1, m); one month for a yes-or-no outcome"""
    paths: int
    """Paths that were summed; 0 where a sample stands for them"""
    sampled: int
    """Trajectories of the sample; 0 where the sum is exact"""


@dataclass(frozen=True, eq=False)
class Branch:
    """The paths that a policy can take under one sequence of decisions."""

    digits: Floats
    tree: Tree
    kept: tuple[Integers, ...]
    """At each depth, the nodes that are reached"""
    chance: Floats
    """(k,) of the decisions along the way to each of the last nodes"""
    weights: Floats
    """(rows, k) of the decisions and of what is seen along the way; a manner that is chosen is certain"""


def under(
    situation: Situation,
    policy: Policy | str,
    months: Sequence[float] | Floats,
    *,
    draws: bool = False,
    limit: int = PATH_LIMIT,
    rng: np.random.Generator | None = None,
) -> PolicyRisks:
    """Risks under a policy, given what is recorded.

    Args:
        situation: The patient so far.
        policy: May depend on what is seen; or a plan by name.
        months: (m,) horizons, ascending.
        draws: Whether every draw is answered, or the fit alone: a policy has up to a thousand times a plan's paths.
        limit: Paths up to which they are summed; a sample stands for more, of the fit.
        rng: Of the sample; seeded with 0 by default.

    Raises:
        WrongUsage: the policy answers no probability, or the plan is incomplete.
    """
    asked = np.asarray(months, dtype=float)
    asking = situation if draws else situation.fit_only()
    branches = list(_branches(asking, Habit(asking, policy)))
    paths = sum(len(branch.chance) for branch in branches)
    if paths > limit:
        generator = np.random.default_rng(0) if rng is None else rng
        trajectories = sample(situation, policy, SAMPLE, generator, float(asked.max(initial=0.0)))
        return PolicyRisks(_shares(situation, trajectories, asked), 0, SAMPLE)
    happened = {outcome: np.zeros((1, 1)) for outcome in asking.individual.outcomes}
    free = {outcome: np.zeros(1) for outcome in asking.individual.outcomes}
    for branch in branches:
        unfolding = asking.unfolding(branch.digits, branch.kept)
        for outcome in asking.individual.outcomes:
            given, among = unfolding.incidences(outcome, asked)
            happened[outcome] = happened[outcome] + asking.collapsed(branch.weights, given)
            free[outcome] = free[outcome] + asking.collapsed(branch.weights, among)
    return PolicyRisks({outcome: shares(happened[outcome], free[outcome]) for outcome in happened}, paths, 0)


def carried_out(
    situation: Situation, plan: str, manners: Manners, months: Sequence[float] | Floats
) -> Mapping[str, Floats]:
    """Risks of a plan whose decisions are carried out in given manners; by outcome (1 + draws, m).

    A manner that is chosen, unlike one that is recorded, says nothing about the patient.

    Raises:
        WrongUsage: the plan is incomplete, or it or the cohort does not have such a manner.
    """
    return under(situation, following(situation.spec, plan, manners), months, draws=True, limit=sys.maxsize).risks


def _branches(asking: Situation, habit: Habit) -> Iterator[Branch]:
    """The sequences of decisions that the policy can take, each with the paths on which it takes them."""
    for answers in product((0.0, 1.0), repeat=len(asking.spec.decisions)):
        branch = _branch(asking, habit, np.array(answers))
        if branch is not None:
            yield branch


def _branch(asking: Situation, habit: Habit, digits: Floats) -> Branch | None:
    tree = asking.tree(digits)
    nodes, chance, weights = np.zeros(1, dtype=np.intp), np.ones(1), np.ones((tree.rows, 1))
    kept: list[Integers] = []
    for depth in range(len(tree.levels) + 1):
        chosen = np.full(len(nodes), UNOBSERVED, dtype=np.intp)
        for decision in range(len(digits)):
            if habit.depth(decision) == depth:
                yes = habit.yes(decision, tree, nodes, digits)
                here = yes if digits[decision] else 1.0 - yes
                chance, weights = chance * here, weights * here
                if depth < len(tree.levels) and tree.levels[depth].carries_out(decision, digits):
                    chosen = habit.manner(decision, tree, nodes, digits)
        taken = chance > 0
        nodes, chance, weights, chosen = nodes[taken], chance[taken], weights[:, taken], chosen[taken]
        kept.append(nodes)
        if not len(nodes):
            return None
        if depth < len(tree.levels):
            level = tree.levels[depth]
            parent, state = np.nonzero(level.possible(chosen) & level.agreeing(asking.observed[depth]))
            likely = np.where(chosen[parent] == UNOBSERVED, level.probability[:, nodes[parent], state], 1.0)
            chance, weights = chance[parent], weights[:, parent] * likely
            nodes = nodes[parent] * len(level.codes) + state
    return _without_idle_steps(digits, tree, kept, chance, weights)


def _without_idle_steps(digits: Floats, tree: Tree, kept: list[Integers], chance: Floats, weights: Floats) -> Branch:
    """The branch up to the last step whose states matter: averaged over all states, nothing changes."""
    while len(kept) > 1:
        states = len(tree.levels[len(kept) - 2].codes)
        if len(kept[-1]) != len(kept[-2]) * states:
            break
        by_parent = chance.reshape(-1, states)
        if (by_parent != by_parent[:, :1]).any():
            break
        kept, chance = kept[:-1], by_parent[:, 0]
        weights = weights.reshape(tree.rows, -1, states).sum(axis=2)
    return Branch(digits, tree, tuple(kept), chance, weights)


def _shares(asking: Situation, trajectories: pd.DataFrame, months: Floats) -> dict[str, Floats]:
    """What happened by each month in a sample."""
    result = {}
    for outcome in asking.individual.outcomes:
        if asking.spec.outcome(outcome).kind is OutcomeKind.BINARY:
            result[outcome] = np.array([[trajectories[outcome].mean()]])
            continue
        when = trajectories[month_column(outcome)].to_numpy(dtype=float)
        happened = trajectories[cause_column(outcome)].to_numpy(dtype=object) == EVENT_ITSELF
        result[outcome] = (happened[:, None] & (when[:, None] <= months)).mean(axis=0, keepdims=True)
    return result
