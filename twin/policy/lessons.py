"""Patients in; questions with what the exact solution says of both options out: what a teacher tells an agent.

Weights are drawn anew for every lesson, and so is what is not recorded of some. The patients are multiplied by imagined
ones: the teacher answers for anybody, and columns of two patients mixed at random make a third who is unlike both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from twin.arrays import Floats, Integers
from twin.policy.exact import plan_values, solve
from twin.policy.observation import Singles
from twin.policy.patients import Patients
from twin.policy.preferences import Preferences

HISTORIES: Final = 4
"""Drawn for each patient at a question that more than one can have been seen before"""
EVENLY: Final = 0.5
"""Share of them drawn evenly; the others as likely as they are"""
LEAST_SPREAD: Final = 1e-3
"""Patients in whom plans differ by less are not learnt with more zeal"""
PATIENTS_AT_ONCE: Final = 384
OPENLY: Final = 2 / 3
"""Share of the patients of a lesson of whom everything is seen"""
VEILS: Final = 4
"""In how many ways something is not recorded of the others"""


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
    preferences: Preferences

    def lesson(self, rng: np.random.Generator) -> Lesson:
        """Every question about some of the patients, with weights of their own, in random order."""
        some = self.patients.take(rng.permutation(self.patients.size)[:PATIENTS_AT_ONCE])
        openly, rest = np.split(np.arange(some.size), [round(OPENLY * some.size)])
        parts = list(self._asked(some.take(openly), rng))
        for rows in np.array_split(rest, min(VEILS, max(1, len(rest)))):
            parts += self._asked(some.take(rows).veiled(some.veil(rng)), rng)
        order = rng.permutation(sum(len(part.spread) for part in parts))
        return Lesson(
            np.concatenate([part.observations for part in parts])[order],
            np.concatenate([part.losses for part in parts])[order],
            np.concatenate([part.spread for part in parts])[order],
        )

    def _asked(self, patients: Patients, rng: np.random.Generator) -> Iterator[Lesson]:
        """Each question, after some histories of each patient."""
        weights = self.preferences.draw(rng, patients.size)
        spread = np.maximum(np.ptp(plan_values(patients.prospects, weights), axis=1), LEAST_SPREAD)
        for question in solve(patients.prospects, weights).questions.values():
            patient, history = _drawn(question.probability, rng)
            likely = question.probability[patient, history]
            possible = likely > 0
            patient, history, likely = patient[possible], history[possible], likely[possible]
            observations = patients.layout.rows(
                patients.inputs[patient], patients.seen(question.so_far)[history], question.so_far, weights[patient]
            )
            losses = question.losses[patient, history] / likely[:, None, None]
            yield Lesson(observations, losses.astype(np.float32), spread[patient].astype(np.float32))


def _drawn(likely: Floats, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Patients and histories, some of each patient, from probabilities (n, histories)."""
    patients, histories = likely.shape
    mixed = np.cumsum((1.0 - EVENLY) * likely + EVENLY / histories, axis=1)
    uniform = rng.random((patients, min(HISTORIES, histories)))
    drawn = np.minimum((uniform[:, :, None] >= mixed[:, None]).sum(axis=2), histories - 1)
    return np.repeat(np.arange(patients), drawn.shape[1]), drawn.ravel()


def imagined(frame: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.DataFrame:
    """`count` patients whose columns are those of one of two patients of `frame` each, at random."""
    one, other = (frame.iloc[rng.integers(len(frame), size=count)].reset_index(drop=True) for _ in range(2))
    mixed = {column: one[column].where(rng.random(count) < 0.5, other[column]) for column in frame}
    return pd.DataFrame(mixed).astype(frame.dtypes.to_dict())
