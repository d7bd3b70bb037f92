"""Patients in; questions with what the exact solution says of both options out: what a teacher tells an agent.

Weights are drawn anew for every lesson, and the patients are multiplied by imagined ones: the teacher answers for
anybody, and columns of two patients mixed at random make a third who is unlike both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from twin.arrays import Floats, Integers
from twin.policy.exact import Question, plan_values, solve
from twin.policy.observation import Singles
from twin.policy.patients import Patients
from twin.policy.preferences import Preferences
from twin.policy.process import Place, Process

HISTORIES: Final = 4
"""Drawn for each patient at a question that more than one can have been seen before"""
EVENLY: Final = 0.5
"""Share of them drawn evenly; the others as likely as they are"""
LEAST_SPREAD: Final = 1e-3
"""Patients in whom plans differ by less are not learnt with more zeal"""
PATIENTS_AT_ONCE: Final = 384


@dataclass(frozen=True, eq=False)
class Lesson:
    """m questions."""

    observations: Singles
    """(m, size)"""
    losses: Singles
    """(m, 2, outcomes) to be expected with no and yes, going on in the best way"""
    spread: Singles
    """(m,) utility between the patient's best plan and the worst"""


@dataclass(frozen=True, eq=False)
class Teacher:
    """Knows the exact solution for n patients and any weights."""

    patients: Patients
    process: Process
    preferences: Preferences

    @classmethod
    def of(cls, patients: Patients, preferences: Preferences) -> Teacher:
        """A teacher who asks about these patients."""
        return cls(patients, Process.of(patients), preferences)

    def lesson(self, rng: np.random.Generator) -> Lesson:
        """Every question about some of the patients, with weights of their own, in random order."""
        rows = rng.permutation(self.patients.size)[:PATIENTS_AT_ONCE]
        ahead = self.patients.take(rows).prospects
        weights = self.preferences.draw(rng, len(rows))
        course = solve(ahead, weights)
        spread = np.maximum(np.ptp(plan_values(ahead, weights), axis=1), LEAST_SPREAD)
        parts = [
            self._asked(number, question, rows, weights, spread, rng)
            for number, question in enumerate(course.questions.values())
        ]
        order = rng.permutation(sum(len(part.spread) for part in parts))
        return Lesson(
            np.concatenate([part.observations for part in parts])[order],
            np.concatenate([part.losses for part in parts])[order],
            np.concatenate([part.spread for part in parts])[order],
        )

    def _asked(
        self, number: int, question: Question, rows: Integers, weights: Floats, spread: Floats, rng: np.random.Generator
    ) -> Lesson:
        """One question after some histories of each patient."""
        likely = question.probability
        mixed = np.cumsum((1.0 - EVENLY) * likely + EVENLY / likely.shape[1], axis=1)
        drawn = rng.random((len(rows), min(HISTORIES, likely.shape[1])))
        history = np.minimum((drawn[:, :, None] >= mixed[:, None]).sum(axis=2), likely.shape[1] - 1).ravel()
        patient = np.repeat(np.arange(len(rows)), drawn.shape[1])
        chance = likely[patient, history]
        possible = np.flatnonzero(chance > 0)
        patient, history = patient[possible], history[possible]
        losses = question.losses[patient, history] / chance[possible, None, None]
        place = Place(rows[patient], weights[patient], np.full(len(patient), number), history)
        observations = self.process.observe(place)
        return Lesson(observations, losses.astype(np.float32), spread[patient].astype(np.float32))


def imagined(frame: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """`count` patients whose columns are those of one of two patients of `frame` each, at random."""
    one, other = (frame.iloc[rng.integers(len(frame), size=count)].reset_index(drop=True) for _ in range(2))
    mixed = {column: one[column].where(rng.random(count) < 0.5, other[column]) for column in frame}
    return pd.DataFrame(mixed).astype(frame.dtypes.to_dict())
