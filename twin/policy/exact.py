"""What lies ahead of patients in; the value of every option at every question out, under the best policy or another.

Three binary decisions and discrete states in between can be solved exactly: backwards in time, the loss that a history
adds is summed over the states that follow it and the better option is taken (Bellman 1957, ISBN 978-0-691-14668-3;
expectimax). That holds for any weights of the losses, which need not be known before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np

from twin.arrays import Flags, Floats
from twin.policy.prospects import Prospects
from twin.timeline import OPEN

NO, YES = 0, 1
TIE: Final = 1e-12
"""An option is better only by more than this: of two alike ones "no" is taken."""


@dataclass(frozen=True, eq=False)
class Question:
    """A decision as it comes up after earlier ones, in n patients with each history that can have been seen."""

    so_far: str
    """Decisions before it; open ones as ``-``"""
    decision: int
    """Its position"""
    probability: Floats
    """(n, histories) of each history, had the decisions before it been taken"""
    losses: Floats
    """(n, histories, 2, outcomes) what a history adds to each loss with "no" and "yes", going on as the policy does"""
    allowed: Flags
    """(n, 2) options that are possible"""

    def costs(self, weights: Floats) -> Floats:
        """(n, histories, 2) what each option adds to the loss, by weights (n, outcomes); infinite where barred."""
        costs = np.einsum("nhao,no->nha", self.losses, weights)
        return np.where(self.allowed[:, None, :], costs, np.inf)

    def values(self, weights: Floats) -> Floats:
        """(n, histories, 2) utility to be expected with each option given the history; -infinite where it is barred."""
        likely = self.probability[..., None]
        costs = self.costs(weights)
        return np.asarray(1.0 - np.divide(costs, likely, out=np.full_like(costs, np.inf), where=likely > 0))

    def given(self, option: int) -> Floats:
        """(n, histories, outcomes) losses given the history, with an option."""
        likely = self.probability[..., None]
        here = self.losses[:, :, option]
        return np.divide(here, likely, out=np.zeros_like(here), where=likely > 0)


Decide = Callable[[Question], Floats]
"""A policy: (n, histories) probability of "yes" at a question"""


@dataclass(frozen=True, eq=False)
class Course:
    """How n patients fare under a policy, from the next open decision on."""

    questions: Mapping[str, Question]
    """By the decisions before them; the first is the next open decision's"""
    yes: Mapping[str, Floats]
    """By question, (n, histories) probability of "yes" """

    @property
    def first(self) -> Question:
        """The next open decision's question; it has one history."""
        return next(iter(self.questions.values()))

    @property
    def losses(self) -> Floats:
        """(n, outcomes) to be expected."""
        first = self.first
        return _taken(first.losses, self.yes[first.so_far])[:, 0]

    def value(self, weights: Floats) -> Floats:
        """(n,) utility to be expected, for weights (n, outcomes)."""
        return np.asarray(1.0 - (self.losses * weights).sum(axis=1))


def keys(prospects: Prospects) -> tuple[str, ...]:
    """The keys of all questions, in time."""
    found = []
    for position, decision in enumerate(prospects.open):
        for answers in product("01", repeat=position):
            key = list(prospects.so_far)
            for earlier, answer in zip(prospects.open, answers, strict=False):
                key[earlier] = answer
            found.append((decision, "".join(key)))
    return tuple(key for _, key in found)


def everything(prospects: Prospects) -> Flags:
    """(n, decisions, 2) with every option allowed."""
    return np.ones((prospects.size, len(prospects.spec.decisions), 2), dtype=bool)


def follow(prospects: Prospects, decide: Decide, allowed: Flags | None = None) -> Course:
    """How patients fare under a policy.

    Args:
        prospects: Of n patients.
        decide: The policy; what it says of an option that is barred does not count.
        allowed: (n, decisions, 2) options that are possible, at least one of each decision; all by default.
    """
    allowed = everything(prospects) if allowed is None else allowed
    questions: dict[str, Question] = {}
    yes: dict[str, Floats] = {}
    to_come: dict[str, Floats] = {plan: ahead.losses for plan, ahead in prospects.ahead.items()}
    for key in reversed(keys(prospects)):
        decision = next(k for k in prospects.open if key[k] == OPEN)
        options = [key[:decision] + digit + key[decision + 1 :] for digit in "01"]
        probability = reaching(prospects, key, decision)
        shape = (*probability.shape, -1, len(prospects.outcomes))
        losses = np.stack([to_come[option].reshape(shape).sum(axis=2) for option in options], axis=2)
        question = Question(key, decision, probability, losses, allowed[:, decision])
        open_to = np.asarray(question.allowed.all(axis=1))
        answer = np.where(open_to[:, None], decide(question), question.allowed[:, [YES]])
        questions[key], yes[key], to_come[key] = question, answer, _taken(losses, answer)
    order = keys(prospects)
    return Course({key: questions[key] for key in order}, {key: yes[key] for key in order})


def best(weights: Floats) -> Decide:
    """The policy that takes the better option, for weights (n, outcomes)."""

    def decide(question: Question) -> Floats:
        costs = question.costs(weights)
        return np.asarray(costs[..., YES] < costs[..., NO] - TIE, dtype=float)

    return decide


def solve(prospects: Prospects, weights: Floats, allowed: Flags | None = None) -> Course:
    """The best policy, for weights (n, outcomes) or (outcomes,).

    Args:
        prospects: Of n patients.
        weights: Of the losses.
        allowed: As of `follow`.
    """
    return follow(prospects, best(spread(weights, prospects.size)), allowed)


def spread(weights: Floats, patients: int) -> Floats:
    """(patients, outcomes) of weights (outcomes,) that are the same for all, or (patients, outcomes)."""
    return np.broadcast_to(weights, (patients, weights.shape[-1]))


def plan_values(prospects: Prospects, weights: Floats) -> Floats:
    """(n, plans) utility of every plan that is followed whatever is seen, for weights as of `solve`."""
    own = spread(weights, prospects.size)
    losses = np.stack([prospects.losses(plan) for plan in prospects.plans], axis=1)
    return np.asarray(1.0 - np.einsum("npo,no->np", losses, own))


def plan_probabilities(prospects: Prospects, course: Course, first: Floats | None = None) -> Floats:
    """(n, plans) how likely patients are to end with each plan.

    Args:
        prospects: Of n patients.
        course: Under which policy.
        first: (n,) probability of "yes" at the first question in its place.
    """
    reached = reach(prospects, course, first)
    return np.column_stack([reached[plan].sum(axis=1) for plan in prospects.plans])


def reach(prospects: Prospects, course: Course, first: Floats | None = None) -> dict[str, Floats]:
    """How likely patients come to each question, and to the end of each plan, with each history.

    Arguments as of `plan_probabilities`.

    Returns:
        By key of the question, or plan, (n, histories).
    """
    reached: dict[str, Floats] = {prospects.so_far: np.ones((prospects.size, 1))}
    for key, question in course.questions.items():
        yes = course.yes[key]
        if first is not None and key == prospects.so_far:
            yes = first[:, None]
        for option, chance in ((NO, 1.0 - yes), (YES, yes)):
            then = f"{key[: question.decision]}{option}{key[question.decision + 1 :]}"
            reached[then] = _onwards(prospects, then, reached[key] * chance, question)
    return reached


def reaching(prospects: Prospects, key: str, decision: int) -> Floats:
    """(n, histories) probability of every history before a decision, after the decisions of `key` before it."""
    ahead = prospects.through(key)
    histories = ahead.histories(len(ahead.seen_before(decision)))
    return np.asarray(ahead.probability.reshape(prospects.size, histories, -1).sum(axis=2))


def _onwards(prospects: Prospects, key: str, reached: Floats, question: Question) -> Floats:
    """(n, histories) chance of being at each history of the next question (or at the end) after chances `reached`."""
    later = [k for k in prospects.open if k > question.decision]
    if not later:
        return reached
    then = reaching(prospects, key, later[0]).reshape(*reached.shape, -1)
    before = question.probability[..., None]
    given = np.divide(then, before, out=np.zeros_like(then), where=before > 0)
    return np.asarray((reached[..., None] * given).reshape(len(reached), -1))


def _taken(losses: Floats, yes: Floats) -> Floats:
    """(n, histories, outcomes) of losses (n, histories, 2, outcomes) with probabilities of "yes" (n, histories)."""
    return np.asarray(losses[:, :, NO] * (1.0 - yes)[..., None] + losses[:, :, YES] * yes[..., None])
