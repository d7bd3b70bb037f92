"""How well a twin predicts later, from what is known by then: a cohort in, questions at each landmark and scores out.

Scored are the patients whom the record shows to have reached the landmark, free of the outcome and still followed; they
are asked about with everything recorded before the decision that follows, states included. The models beside the twin
are fitted on the same kind of patients: Kaplan-Meier (Aalen-Johansen) from the landmark on, and ridge regression with
the states among its covariates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.cohort import Cohort
from data.schema import Landmark
from twin.arrays import Flags, Integers
from twin.evaluation.brief import BriefEvaluation, brief
from twin.evaluation.held_out import HeldOut
from twin.evaluation.scores import Sample
from twin.evaluation.targets import Target, later, reached
from twin.metrics.intervals import resample_counts

MOST_ASKED: Final = 600
"""Patients at one landmark, drawn at random from those there: each is unfolded alone into what may still be seen"""


@dataclass(frozen=True)
class LandmarkEvaluation:
    """How well predictions from one landmark on are."""

    moment: str
    label: str
    month: float
    outcomes: tuple[BriefEvaluation, ...]
    not_scored: tuple[str, ...]
    """Outcomes that are not scored from here on, each with the reason"""


@dataclass(frozen=True, eq=False)
class LandmarkPlan:
    """What is asked at one landmark."""

    landmark: Landmark
    targets: tuple[Target, ...]
    not_scored: tuple[str, ...]


def landmark_plans(cohort: Cohort, targets: Sequence[Target]) -> tuple[LandmarkPlan, ...]:
    """What is asked at each landmark of the disease, of the outcomes that are scored at time zero."""
    found = []
    for behind, landmark in enumerate(cohort.spec.landmarks, start=1):
        there = _at_most(MOST_ASKED, reached(cohort, behind))
        asked = [(one.outcome.name, later(cohort, one, behind, there)) for one in targets]
        omitted = tuple(f"{name}: {one}" for name, one in asked if isinstance(one, str))
        found.append(LandmarkPlan(landmark, tuple(one for _, one in asked if isinstance(one, Target)), omitted))
    return tuple(found)


def _at_most(count: int, among: Flags) -> Flags:
    """`among` (patients,), or so many of them at random, always the same."""
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(among))[:count]
    result = np.zeros(len(among), dtype=bool)
    result[chosen] = True
    return result


def evaluate_landmark(
    plan: LandmarkPlan, found: Sequence[HeldOut], folds: Integers, resamples: int, seed: int
) -> LandmarkEvaluation:
    """Score what was said at one landmark.

    Args:
        plan: What was asked.
        found: For each of its targets, what was said.
        folds: (patients,) of the whole cohort.
        resamples: Of the scored patients.
        seed: Of the resamples.
    """
    evaluated = [
        brief(
            target,
            here.risks,
            Sample(resample_counts(len(target.rows), resamples, seed), folds[target.rows].astype(np.int64)),
        )
        for target, here in zip(plan.targets, found, strict=True)
    ]
    landmark = plan.landmark
    return LandmarkEvaluation(landmark.moment, landmark.label, landmark.month, tuple(evaluated), plan.not_scored)
