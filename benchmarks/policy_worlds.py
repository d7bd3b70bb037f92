"""Two synthetic worlds in, the exact value of any treatment policy on patients it was not learnt from out.

A policy answers each decision from what is recorded before it: induction from baseline; concurrent therapy also from
what was decided and from the responses to induction; dissection also from the agent and the responses to radiotherapy.
Nothing is drawn: all histories a patient may show are enumerated, and what no record shows (frailty or fitness, and
values that are missing at baseline) is summed over in its true distribution, given each history.

Utility is that of `twin.policy.utility`. A toxicity counts in those who live to be judged.

What policies see is all that is recorded, but for three simplifications, the same for every policy and for the optimum:
responses are always recorded (but of a neck without nodes, as in the cohorts); toxicities and dose changes of a
treatment that was given, dose and fractions are missing; they have their true part in the choice of the agent all the
same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Protocol

import numpy as np
import pandas as pd

from data.cohort import Cohort
from data.errors import WrongUsage
from twin.arrays import Flags, Floats, Integers
from twin.policy.utility import Weights

PATIENTS_AT_ONCE: Final = 24
"""Patients summed over together: the working arrays then stay within the processor's cache."""
ROWS_AT_ONCE: Final = 100_000
"""Most rows of a frame that a policy is asked about at once"""
TOLERANCE: Final = 1e-5
"""Utility of a patient up to which histories that hardly matter are not put to a policy"""

Value = str | float
History = Mapping[str, Value]
"""Values by column"""


class Decide(Protocol):
    """A treatment policy."""

    def __call__(self, decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
        """(k,) probability of a yes.

        Args:
            decision: Column of the decision, one of `PolicyWorld.decisions`.
            patients: (k,) positions in the cohort asked about; a patient comes with many histories, and so does the
                identifier in `frame`.
            frame: k rows, typed as a cohort's, of every column that is known strictly before the decision.
        """


@dataclass(frozen=True)
class Histories:
    """What may be seen between decisions, as it is recorded; h, g and r options."""

    induction: tuple[History, ...]
    """Without induction (first), and with each pair of responses to it"""
    concurrent: tuple[History, ...]
    """Without concurrent therapy (first), and with each agent"""
    radiotherapy: tuple[History, ...]
    """Each pair of responses"""

    @property
    def shape(self) -> tuple[int, int, int]:
        """How many there are: h, g and r."""
        return len(self.induction), len(self.concurrent), len(self.radiotherapy)


@dataclass(frozen=True, eq=False)
class Choices:
    """Probability of a yes of n patients (or s hidden states) after everything that may be seen."""

    induction: Floats
    """(n,)"""
    concurrent: Floats
    """(n, h)"""
    dissection: Floats
    """(n, h, g, r), or what broadcasts to it"""


@dataclass(frozen=True, eq=False)
class Hidden:
    """s states in which the records leave some patients: what is true of each, beyond what is recorded.

    Options h, g and r are those of `Histories`; an axis of 2 is a decision, no first.
    """

    patient: Integers
    """(s,) ascending positions among the patients asked for"""
    chance: Floats
    """(s,) probability, given the record at baseline"""
    after_induction: Floats
    """(s, h) probability of each history given its decision"""
    agents: Floats
    """(s, 2, g) probability of each agent given that concurrent therapy is given or not, by induction"""
    responses: Floats
    """(s, h, 2, r) probability of each pair of responses, by concurrent therapy"""
    losses: Floats
    """(s, 2, g, r, 2) weighted loss, by induction, agent, responses and dissection"""
    habits: Choices
    """Of the physicians, who also see what is hidden"""


@dataclass(frozen=True, eq=False)
class PolicyWorld:
    """A cohort to learn from, and n other patients on whom the value of every policy is known."""

    name: str
    cohort: Cohort
    asked: Cohort
    """The n others"""
    outcomes: tuple[str, ...]
    """That count in this world"""
    weights: Weights
    histories: Histories
    unrecorded: Mapping[str, Flags]
    """(n,) patients in whom a column that comes after baseline is never recorded"""
    losses: Floats = field(repr=False)
    """(n, h, g, r, 2) weighted loss times the probability of the history given its decisions"""
    physicians: Floats = field(repr=False)
    """(n,) utility under the physicians' habits"""

    @property
    def decisions(self) -> tuple[str, str, str]:
        """Columns."""
        first, second, third = (decision.column for decision in self.asked.spec.decisions)
        return first, second, third

    def value(self, chosen: Choices) -> Floats:
        """(n,) expected utility."""
        lost = self.losses[..., 0] + chosen.dissection * np.diff(self.losses)[..., 0]
        reached = _reaching(chosen.induction, chosen.concurrent, self.losses.shape[2])
        return np.asarray(1.0 - (reached * lost.sum(axis=-1)).sum(axis=(1, 2)))

    def value_of(self, decide: Decide, tolerance: float = TOLERANCE) -> Floats:
        """(n,) expected utility of a policy, each within `tolerance`."""
        return self.value(self.choices(decide, tolerance))

    def fixed(self, plan: str) -> Choices:
        """One plan for everybody."""
        return self.constant(*(float(digit) for digit in plan))

    def constant(self, induction: float, concurrent: float, dissection: float) -> Choices:
        """The same probabilities of a yes for everybody."""
        n, h, g, r, _ = self.losses.shape
        return Choices(np.full(n, induction), np.full((n, h), concurrent), np.full((n, h, g, r), dissection))

    @cached_property
    def optimum(self) -> Choices:
        """The best of all policies that see these histories; no where both options are alike."""
        dissected = self.losses[..., 1] < self.losses[..., 0]
        by_agent = self.losses.min(axis=-1).sum(axis=-1)
        without, with_it = by_agent[..., 0], by_agent[..., 1:].sum(axis=-1)
        after = np.minimum(without, with_it)
        induced = after[:, 1:].sum(axis=-1) < after[:, 0]
        return Choices(induced.astype(float), (with_it < without).astype(float), dissected.astype(float))

    def choices(self, decide: Decide, tolerance: float = TOLERANCE) -> Choices:
        """What a policy says after every history that it may come to and that matters, and no after all others.

        Args:
            decide: The policy.
            tolerance: How much of a patient's utility may hang on dissections that are not asked about: those histories
                are left out that are so rare, or in which dissection changes so little.

        Raises:
            WrongUsage: the policy's answers are no probabilities.
        """
        induction, concurrent, stake = self._before_dissection(decide)
        matters = _matters(stake, tolerance)
        dissection = np.zeros(stake.shape)
        dissection[matters] = self._asked(decide, 2, np.argwhere(matters).T)
        return Choices(induction, concurrent, dissection)

    def estimated_value_of(self, decide: Decide, histories: int, seed: int = 0) -> Floats:
        """(n,) unbiased estimates of the expected utility of a policy that is slow to answer.

        Induction and concurrent therapy are asked about in full, dissection after at most `histories` (and one more)
        histories a patient. They are drawn in proportion to what is at stake (Horvitz and Thompson 1952,
        doi:10.1080/01621459.1952.10483446), and only departures from the best answer are estimated, so that the error
        is the smaller the better the policy: in the mean of 1,500 patients about 1e-4 with 4 histories.

        Raises:
            WrongUsage: fewer than one history, or the policy's answers are no probabilities.
        """
        if histories < 1:
            raise WrongUsage(f"cannot value a policy from {histories} histories a patient", remedy="ask for 1 or more")
        induction, concurrent, stake = self._before_dissection(decide)
        total = stake.sum(axis=(1, 2, 3), keepdims=True)
        chance = np.minimum(histories * np.divide(stake, total, out=np.zeros_like(stake), where=total > 0.0), 1.0)
        drawn = _systematic(chance, np.random.default_rng(seed))
        dissection = self.optimum.dissection.copy()
        answers = self._asked(decide, 2, np.argwhere(drawn).T)
        dissection[drawn] += (answers - dissection[drawn]) / chance[drawn]
        return self.value(Choices(induction, concurrent, dissection))

    def _before_dissection(self, decide: Decide) -> tuple[Floats, Floats, Floats]:
        """(n,) and (n, h) answers to the first decisions, and (n, h, g, r) utility that hangs on the third."""
        n, h, g, _, _ = self.losses.shape
        induction = self._asked(decide, 0, np.indices((n,)).reshape(1, n))
        possible = (self.losses > 0.0).any(axis=(2, 3, 4)) & (_options(induction, h) > 0.0)
        concurrent = np.zeros((n, h))
        concurrent[possible] = self._asked(decide, 1, np.argwhere(possible).T)
        reached = _reaching(induction, concurrent, g)
        return induction, concurrent, np.abs(np.diff(self.losses)[..., 0]) * reached[..., None]

    def frame(self, decision: str, patients: Integers, *codes: Integers) -> pd.DataFrame:
        """What is known strictly before a decision.

        Args:
            decision: Column.
            patients: (k,) positions.
            codes: Before the second decision (k,) options of `Histories.induction`; before the third also those of
                `Histories.concurrent` and of `Histories.radiotherapy`.
        """
        spec = self.asked.spec
        moment = next(described.moment for described in spec.decisions if described.column == decision)
        columns = {}
        for column in spec.available_before(moment):
            if column.name not in self.asked.frame:
                continue
            values = self.asked.frame[column.name]
            if spec.rank(column.available_from) > 0:
                columns[column.name] = self._later(column.name, patients, codes)
            else:
                columns[column.name] = values.take(patients).reset_index(drop=True)
        return pd.DataFrame(columns)

    def _later(self, name: str, patients: Integers, codes: tuple[Integers, ...]) -> pd.Series:
        """(k,) of a column that comes after baseline, with the dtype of the cohort."""
        dtype = self.asked.frame[name].dtype
        staged = zip(self._stages, codes, strict=False)
        stage, code = next(
            ((stage, code) for stage, code in staged if any(name in option for option in stage)),
            (({},), np.zeros(len(patients), dtype=int)),
        )
        blank = self.unrecorded[name][patients] if name in self.unrecorded else np.zeros(len(patients), dtype=bool)
        values = pd.Series([option.get(name) for option in stage]).astype(dtype)
        return pd.Series(values.array.take(np.where(blank, -1, code), allow_fill=True))

    @property
    def _stages(self) -> tuple[tuple[History, ...], ...]:
        return self.histories.induction, self.histories.concurrent, self.histories.radiotherapy

    def _asked(self, decide: Decide, which: int, at: Integers) -> Floats:
        """(k,) answers to one decision for patients and histories at (axes, k)."""
        decision, answers = self.decisions[which], np.empty(at.shape[1])
        for start in range(0, at.shape[1], ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            patients, *codes = at[:, rows]
            answers[rows] = _probabilities(decide(decision, patients, self.frame(decision, patients, *codes)), decision)
        return answers


def _probabilities(answers: Floats, decision: str) -> Floats:
    said = np.asarray(answers, dtype=float)
    if not ((said >= 0.0) & (said <= 1.0)).all():
        raise WrongUsage(f"the policy's answers to {decision} are no probabilities", remedy="answer from 0 to 1")
    return said


def _options(yes: Floats, count: int) -> Floats:
    """(..., count) probability of being in each option's decision: the first is no, all others are yes."""
    return np.where(np.arange(count) == 0, 1.0 - yes[..., None], yes[..., None])


def _reaching(induction: Floats, concurrent: Floats, agents: int) -> Floats:
    """(n, h, g) probability of the decisions that lead to each history, from those of a yes (n,) and (n, h)."""
    return np.asarray(_options(induction, concurrent.shape[1])[:, :, None] * _options(concurrent, agents))


def _matters(stake: Floats, tolerance: float) -> Flags:
    """Which of the histories (n, ...) are left when those with the least at stake, `tolerance` together, are not."""
    flat = stake.reshape(len(stake), -1)
    order = np.argsort(flat, axis=1)
    kept = np.take_along_axis(flat, order, axis=1).cumsum(axis=1) > tolerance
    result = np.empty(flat.shape, dtype=bool)
    np.put_along_axis(result, order, kept, axis=1)
    return result.reshape(stake.shape)


def _systematic(chance: Floats, rng: np.random.Generator) -> Flags:
    """Which of the histories (n, ...) are drawn, each with its chance and evenly spread (Madow 1949)."""
    flat = chance.reshape(len(chance), -1)
    steps = np.floor(flat.cumsum(axis=1) + rng.random((len(flat), 1)))
    return np.diff(steps, axis=1, prepend=0.0).astype(bool).reshape(chance.shape) & (chance > 0.0)


def summed(patients: int, shape: tuple[int, int, int], hidden: Callable[[Integers], Hidden]) -> tuple[Floats, Floats]:
    """(n, h, g, r, 2) losses and (n,) physicians' utilities as in `PolicyWorld`, from the hidden states of patients."""
    losses, utilities = np.empty((patients, *shape, 2)), np.empty(patients)
    for rows in _chunks(patients):
        states = hidden(rows)
        each = _contributions(states)
        starts = np.searchsorted(states.patient, np.arange(len(rows)))
        losses[rows] = np.add.reduceat(each, starts, axis=0)
        habits = states.habits
        dissected = each[..., 0] + habits.dissection * (each[..., 1] - each[..., 0])
        reached = _reaching(habits.induction, habits.concurrent, shape[1])
        utilities[rows] = 1.0 - np.add.reduceat((dissected.sum(axis=-1) * reached).sum(axis=(1, 2)), starts)
    return losses, utilities


def _chunks(patients: int) -> Iterator[Integers]:
    for start in range(0, patients, PATIENTS_AT_ONCE):
        yield np.arange(start, min(start + PATIENTS_AT_ONCE, patients))


def _contributions(s: Hidden) -> Floats:
    """(s, h, g, r, 2) probability of a state and of a history given its decisions, times its loss."""
    h, g = s.after_induction.shape[1], s.agents.shape[2]
    induced, treated = (np.arange(h) > 0).astype(int), (np.arange(g) > 0).astype(int)
    start = s.chance[:, None] * s.after_induction
    seen = (start[:, :, None] * s.agents[:, induced])[..., None] * s.responses[:, :, treated]
    return np.asarray(seen[..., None] * s.losses[:, induced])
