"""Patients of the other world in, their hidden states with every course and loss out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Final, Self

import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.policy_worlds import Choices, Hidden, Histories, PolicyWorld, summed
from benchmarks.truth import halves
from tests.fixtures import other_world
from tests.fixtures.other_world import CONFOUNDING, OUTCOMES, Courses, fitness_nodes, possible
from twin.arrays import Floats, Integers
from twin.policy.utility import HORIZON_MONTHS, Weights

RESPONSES: Final = ("CR", "PR", "SD")
PAIRS: Final = tuple(product(range(len(RESPONSES)), repeat=2))
HISTORIES: Final = Histories(
    induction=(
        {"induction_chemo": 0.0},
        *({"induction_chemo": 1.0, "ic_response_primary": seen} for seen in RESPONSES),
    ),
    concurrent=({"concurrent_chemo": 0.0}, {"concurrent_chemo": 1.0}),
    radiotherapy=tuple(
        {"rt_response_primary": RESPONSES[primary], "rt_response_nodal": RESPONSES[nodal]} for primary, nodal in PAIRS
    ),
)


def other_policies(patients: int, seed: int, weights: Weights, confounder: bool = False) -> PolicyWorld:
    """`patients` patients to learn from, as many others, and the value of every policy on these."""
    made = other_world.other_world(2 * patients, seed, confounder)
    cohort, asked = halves(made.cohort)
    hidden = OtherStates.of(asked.frame, confounder, weights.array(OUTCOMES))
    losses, physicians = summed(patients, HISTORIES.shape, hidden.at)
    return PolicyWorld(
        name="other-confounded" if confounder else "other",
        cohort=cohort,
        asked=asked,
        outcomes=OUTCOMES,
        weights=weights,
        histories=HISTORIES,
        # A neck without nodes has no response to radiotherapy.
        unrecorded={"rt_response_nodal": (asked.frame["n_stage"] == "N0").to_numpy(dtype=bool)},
        losses=losses,
        physicians=physicians,
    )


@dataclass(frozen=True, eq=False)
class OtherStates:
    """Hidden are the fitness, and the HPV status, smoking and performance status where they are missing."""

    patient: Integers
    """(m,) ascending positions of the patients whom each of m people may be"""
    chance: Floats
    """(m,) probability of being them, given the record"""
    kind: Integers
    """(m,) position in `courses` of those who are like them"""
    courses: Courses
    losses: Floats
    """(kinds, f, 2, 2, r, 2) weighted"""
    nodes: tuple[Floats, Floats]
    """Of fitness, (f,) with weights"""
    habits: tuple[Floats, Floats, Floats]
    """(n,), (n, h) and (n, r) log-odds of a yes by the physicians at fitness 0"""

    @classmethod
    def of(cls, record: pd.DataFrame, confounder: bool, weights: Floats) -> Self:
        """Of n patients as recorded, with weights as in `OUTCOMES`."""
        patient, people, chance = possible(record)
        order = np.argsort(patient, kind="stable")
        unlike, alike = people.kinds()
        nodes = fitness_nodes(confounder)
        courses = Courses.of(people.take(unlike), nodes[0], HORIZON_MONTHS)
        losses = courses.losses @ weights
        by_pair = losses.reshape(*losses.shape[:4], len(PAIRS), 2)
        return cls(patient[order], chance[order], alike[order], courses, by_pair, nodes, _habits(record))

    def at(self, rows: Integers) -> Hidden:
        """Those of the patients at `rows`, which follow one another."""
        first, last = np.searchsorted(self.patient, [rows[0], rows[-1] + 1])
        people = slice(first, last)
        nodes, weights = self.nodes
        patient, kind = (np.repeat(part[people], len(nodes)) for part in (self.patient, self.kind))
        seen = self.courses.after_induction[kind]
        moved = CONFOUNDING * np.tile(nodes, last - first)
        induction, concurrent, dissection = (logit[patient] for logit in self.habits)
        return Hidden(
            patient=patient - rows[0],
            chance=np.outer(self.chance[people], weights).ravel(),
            after_induction=np.concatenate([np.ones((len(seen), 1)), seen], axis=1),
            agents=np.ones((len(seen), 2, 2)),
            responses=self.courses.responses[kind].reshape(len(seen), len(RESPONSES) + 1, 2, len(PAIRS)),
            losses=self.losses[self.kind[people]].reshape(len(seen), *self.losses.shape[2:]),
            habits=Choices(
                expit(induction + moved),
                expit(concurrent + moved[:, None]),
                expit(dissection + moved[:, None])[:, None, None],
            ),
        )


def _habits(record: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    n = len(record)
    before = [(False, 0), *((True, response) for response in range(len(RESPONSES)))]
    concurrent = [other_world.concurrent_logit(record, np.full(n, given), np.full(n, seen)) for given, seen in before]
    dissection = [other_world.dissection_logit(record, np.full(n, nodal)) for _, nodal in PAIRS]
    return other_world.induction_logit(record), np.stack(concurrent, axis=1), np.stack(dissection, axis=1)
