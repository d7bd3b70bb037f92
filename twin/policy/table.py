"""Patients as they were at first in; what each option is worth at whatever history was recorded of them later, out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from data.errors import NotFound
from twin.arrays import Flags, Floats, Integers
from twin.policy.exact import Course, Decide, Question, follow
from twin.policy.options import Options
from twin.policy.prospects import Prospects, prospects
from twin.policy.standing import standings
from twin.prediction import FittedTwin
from twin.record import decision_matrix
from twin.threads import one_thread
from twin.timeline import plan_digits, plan_text


@dataclass(frozen=True, eq=False)
class Table:
    """How patients fare under a policy from time zero, at every history that can come."""

    twin: FittedTwin
    parts: tuple[tuple[Prospects, Course], ...]
    place: Integers
    """(n, 2) which part each patient is in, and where in it"""

    @classmethod
    def of(cls, twin: FittedTwin, frame: pd.DataFrame, policy: Callable[[Prospects], Decide]) -> Self:
        """The table of the n patients of `frame`, of whom nothing later than the first question is recorded."""
        options = Options.of(twin.spec, frame)
        parts: list[tuple[Prospects, Course]] = []
        place = np.empty((len(frame), 2), dtype=np.intp)
        with one_thread():
            for standing in standings(twin, frame, options.barred_manners):
                for some in prospects(twin, frame, standing):
                    place[some.rows, 0], place[some.rows, 1] = len(parts), np.arange(some.size)
                    parts.append((some, follow(some, policy(some), options.allowed[some.rows])))
        return cls(twin, tuple(parts), place)

    def first_losses(self) -> Floats:
        """(n, outcomes) to be expected under the policy."""
        losses = [course.losses for _, course in self.parts]
        return np.stack([losses[part][row] for part, row in self.place])

    def at(self, decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
        """(k, 2, outcomes) losses to be expected with each option of a decision, given what is recorded before it.

        Afterwards the policy is followed. A state that is not recorded is averaged over; a history that is impossible,
        by what the cohort knows, has NaN.

        Args:
            decision: Its column; one that was open at first.
            patients: (k,) positions of the patients; one may come up with several histories.
            frame: k rows with earlier decisions and states; decisions that are held need not be there.

        Raises:
            NotFound: the decision was not open.
        """
        position = [one.column for one in self.twin.spec.decisions].index(decision)
        if all(position not in some.open for some, _ in self.parts):
            names = [self.twin.spec.decisions[k].column for some, _ in self.parts for k in some.open]
            raise NotFound.named("open decision", decision, dict.fromkeys(names))
        losses = np.full((len(patients), 2, len(self.twin.outcomes)), np.nan)
        earlier = decision_matrix(self.twin.spec, frame)
        codes = [model.step.codes(frame) for model in self.twin.states.transitions.steps]
        seen = np.hstack([np.zeros((len(frame), 0), dtype=np.intp), *codes])
        marked = np.column_stack([self.place[patients, 0], np.nan_to_num(earlier[:, :position]), seen])
        _, same = np.unique(marked, axis=0, return_inverse=True)
        order = np.argsort(same, kind="stable")
        for rows in np.split(order, np.cumsum(np.bincount(same))[:-1]):
            one = rows[0]
            some, course = self.parts[int(self.place[patients[one], 0])]
            question = course.questions[_key(some, earlier[one], position)]
            agrees = self._agreeing(some, question, [of_step[one] for of_step in codes])
            losses[rows] = _collapsed(question, self.place[patients[rows], 1], agrees)
        return losses

    def _agreeing(self, some: Prospects, question: Question, observed: list[Integers]) -> Flags:
        """(histories,) which of a question's histories agree with what is recorded at each step."""
        agrees = np.ones(1, dtype=bool)
        sights = some.through(question.so_far).seen_before(question.decision)
        for sight, codes in zip(sights, observed[some.steps_behind :], strict=False):
            matches = sight.codes == codes
            # What cannot be, by what the cohort knows, is passed over; as is what is not recorded.
            here = (matches | ~matches.any(axis=0)).all(axis=1)
            agrees = (agrees[:, None] & here).ravel()
        return agrees


def _key(some: Prospects, earlier: Floats, position: int) -> str:
    """The key of the question about a decision after earlier ones (decisions,) as recorded."""
    decided = plan_digits(some.spec, some.so_far)
    before = np.arange(len(decided)) < position
    return plan_text(np.where(before & np.isnan(decided), np.nan_to_num(earlier), decided))


def _collapsed(question: Question, patients: Integers, agrees: Flags) -> Floats:
    """(k, 2, outcomes) losses given that one of some histories was seen."""
    total = question.probability[patients][:, agrees].sum(axis=1)[:, None, None]
    losses = question.losses[patients][:, agrees].sum(axis=1)
    return np.asarray(np.divide(losses, total, out=np.full_like(losses, np.nan), where=total > 0))
