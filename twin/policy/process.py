"""Patients at their next question in; the decisions and states that follow, to be drawn by tables, out.

An episode is a patient with weights: at each open decision somebody says no (0) or yes (1), then the states up to the
next decision are drawn given the history. The reward comes at the end: ``1 - weights . losses``, the losses being those
to be expected after that history, with weights that add up to 1. Nothing is discounted. An option that is barred acts
as the one that is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from twin.arrays import Flags, Floats, Integers
from twin.policy.exact import NO, YES, everything, keys, reaching
from twin.policy.observation import Layout, Singles
from twin.policy.patients import Patients
from twin.policy.preferences import Preferences
from twin.policy.prospects import Prospects
from twin.timeline import OPEN

END: Final = -1
"""Stands for the question after the last"""
OPTIONS: Final = (NO, YES)

Actions: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Node:
    """A question with every history that can have been seen before it, of n patients."""

    key: str
    """Decisions before it; open ones as ``-``"""
    decision: int
    seen: Floats
    """(histories, states) indicators"""
    then: tuple[int, int]
    """Position of the next question after no and yes, or `END`"""
    onwards: tuple[Floats, Floats]
    """After no and yes, (n, histories, k): where a question follows, the probability that the state is one of the
    first ones, up to each; where none does, the losses to be expected (k outcomes)"""


@dataclass(frozen=True, eq=False)
class Process:
    """The decisions and states of n patients who stand at the same place."""

    layout: Layout
    inputs: Floats
    """(n, inputs) encoded"""
    nodes: tuple[Node, ...]
    """In time; the first is the next open decision"""
    allowed: Flags
    """(n, decisions, 2) options that are possible"""

    @classmethod
    def of(cls, patients: Patients, allowed: Flags | None = None) -> Self:
        """The process of patients.

        Args:
            patients: Who stand at the same place.
            allowed: (n, decisions, 2) options that are possible, at least one of each decision; all by default.
        """
        allowed = everything(patients.prospects) if allowed is None else allowed
        order = keys(patients.prospects)
        return cls(patients.layout, patients.inputs, tuple(_node(patients, order, key) for key in order), allowed)

    @property
    def patients(self) -> int:
        """Number of patients."""
        return len(self.inputs)

    def observe(self, place: Place) -> Singles:
        """(k, size) observations."""
        result = np.empty((place.size, self.layout.size), dtype=np.float32)
        for number, node in enumerate(self.nodes):
            here = np.flatnonzero(place.node == number)
            inputs, seen = self.inputs[place.patient[here]], node.seen[place.history[here]]
            result[here] = self.layout.rows(inputs, seen, node.key, place.weights[here])
        return result

    def masks(self, place: Place) -> Flags:
        """(k, 2) options that are possible."""
        decisions = np.array([node.decision for node in self.nodes])
        return np.asarray(self.allowed[place.patient, decisions[place.node]])

    def act(self, place: Place, actions: Actions, uniform: Floats) -> tuple[Integers, Integers, Floats]:
        """What follows from actions (k,).

        Args:
            place: Where k patients are.
            actions: (k,) 0 no or 1 yes.
            uniform: (k,) random numbers, by which the states are drawn.

        Returns:
            (k,) the next question, or `END`; (k,) the history there; (k,) rewards.
        """
        masks = self.masks(place)
        actions = np.where(masks[np.arange(place.size), actions], actions, 1 - actions)
        node, history, reward = np.full(place.size, END), np.zeros(place.size, dtype=np.intp), np.zeros(place.size)
        for number, option in ((number, option) for number in range(len(self.nodes)) for option in OPTIONS):
            here = np.flatnonzero((place.node == number) & (actions == option))
            if not here.size:
                continue
            onwards = self.nodes[number].onwards[option][place.patient[here], place.history[here]]
            node[here] = then = self.nodes[number].then[option]
            if then == END:
                reward[here] = 1.0 - (onwards * place.weights[here]).sum(axis=1)
                continue
            states = onwards.shape[1]
            state = np.minimum((uniform[here, None] >= onwards).sum(axis=1), states - 1)
            history[here] = place.history[here] * states + state
        return node, history, reward


@dataclass(frozen=True, eq=False)
class Place:
    """Where k patients are in a process."""

    patient: Integers
    """(k,) which patient"""
    weights: Floats
    """(k, outcomes) that add up to 1"""
    node: Integers
    """(k,) position of the question"""
    history: Integers
    """(k,) what was seen before it"""

    @property
    def size(self) -> int:
        """Number of patients."""
        return len(self.patient)

    @classmethod
    def start(cls, process: Process, preferences: Preferences, rng: np.random.Generator, count: int) -> Self:
        """Patients and weights drawn at random, at the first question."""
        nowhere = np.zeros(count, dtype=np.intp)
        patient = rng.integers(process.patients, size=count)
        return cls(patient, preferences.draw(rng, count), nowhere, nowhere)


def _node(patients: Patients, order: Sequence[str], key: str) -> Node:
    decision, seen = key.index(OPEN), patients.seen(key)
    after = [key[:decision] + answer + key[decision + 1 :] for answer in "01"]
    then = [order.index(option) if OPEN in option else END for option in after]
    onwards = [_onwards(patients.prospects, len(seen), option) for option in after]
    return Node(key, decision, seen, (then[NO], then[YES]), (onwards[NO], onwards[YES]))


def _onwards(prospects: Prospects, histories: int, key: str) -> Floats:
    """(n, histories, states) cumulative probabilities of the states before the next question, or losses at the end."""
    ahead = prospects.through(key)
    if OPEN not in key:
        likely = ahead.probability[..., None]
        return np.asarray(np.divide(ahead.losses, likely, out=np.zeros_like(ahead.losses), where=likely > 0))
    chances = reaching(prospects, key, key.index(OPEN)).reshape(prospects.size, histories, -1)
    cumulative = np.cumsum(chances, axis=2)
    total = cumulative[..., -1:]
    return np.asarray(np.divide(cumulative, total, out=np.ones_like(cumulative), where=total > 0))
