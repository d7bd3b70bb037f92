"""Patients, a plan and the ratings they gave so far in, curves of expected ratings with intervals out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import ndtri

from data.errors import WrongUsage
from data.schema import Specification
from data.symptoms import Questionnaire
from twin.arrays import Flags, Floats
from twin.capability import Capability
from twin.plans import PlanBook
from twin.record import PatientRecord
from twin.symptoms.clock import in_effect, rating_months
from twin.symptoms.curves import SymptomCurves
from twin.symptoms.stage import Expected, SymptomStage, design, scatter
from twin.threads import one_thread
from twin.timeline import agrees, all_plans, plan_digits

LEVEL: Final = 0.9
"""Share that intervals are meant to cover."""
PATIENTS_AT_ONCE: Final = 256
"""Patients whose intermediate arrays are held in memory together: about 10 MB."""


@dataclass(frozen=True, eq=False)
class SymptomModel:
    """Regressions fitted on the ratings of one cohort; knows for whom it can answer."""

    spec: Specification
    questionnaire: Questionnaire
    capability: Capability
    cohort: str
    """Name of the cohort"""
    ratings: str
    """SHA-256 of the ratings"""
    compared: tuple[int, ...]
    """Positions of the decisions that change an expected rating; plans that differ in others only have one curve"""
    stages: tuple[SymptomStage, ...]
    """Time zero first"""

    @cached_property
    def book(self) -> PlanBook:
        """The plans that can be compared."""
        return PlanBook(self.spec, self.capability, self.cohort)

    def curves(
        self,
        patients: PatientRecord | pd.DataFrame,
        plan: str,
        items: Sequence[str] | None = None,
        observed: Floats | None = None,
    ) -> SymptomCurves:
        """Expected ratings of patients under a plan.

        Args:
            patients: a record, or typed columns of n patients; only what is known so far.
            plan: a complete plan that agrees with the decisions taken.
            items: names of the items wanted; all where ``None``.
            observed: (n, all items, weeks) ratings given so far, NaN where there is none, as `SymptomTable.ratings` has
                them. The ratings of a week tell of the weeks after it; its own curve is as expected before it.

        Raises:
            NotFound: no such item.
            Refused: the plan disagrees with a decision taken or changes one that the cohort holds; or a number stands
                in another unit than the dictionary's.
            WrongUsage: `observed` has another shape, or ratings beyond the scale.
        """
        frame = patients.to_frame() if isinstance(patients, PatientRecord) else patients
        asked = self.questionnaire
        chosen = asked.positions(asked.names if items is None else items)
        shape = (len(frame), len(asked.items), len(asked.weeks))
        given = np.full(shape, np.nan) if observed is None else self._checked(observed, shape)
        found = np.empty((5, *shape))
        with one_thread():
            for group in self.book.groups(frame):
                self.book.chosen(frame, group, [plan])
                stage = self.stage_after(group.landmarks_reached)
                for rows in np.array_split(group.rows, -(-len(group.rows) // PATIENTS_AT_ONCE)):
                    inputs = stage.inputs(frame.iloc[rows], self.spec)
                    found[:, rows] = self._summary(stage.expected(self._rows(inputs, plan)), given[rows])
        mean, lower, upper, range_lower, range_upper = found[:, :, chosen]
        shown = tuple(asked.items[k] for k in chosen)
        return SymptomCurves(shown, asked.weeks, plan, mean, lower, upper, range_lower, range_upper, LEVEL)

    def given_by(self, month: float, plans: Sequence[str]) -> Flags:
        """(weeks,) of which weeks the ratings have been given by `month`, whichever of `plans` is followed.

        Only such ratings can be known when `plans` are compared at that month: were a rating taken that one of them
        brings later, it would move one curve and not the other.

        Args:
            month: from time zero.
            plans: plans whose open decisions may go either way.
        """
        complete = [plan for plan in all_plans(self.spec) if any(agrees(plan, so_far) for so_far in plans)]
        digits = np.stack([plan_digits(self.spec, plan) for plan in complete])
        months = rating_months(self.spec, self.questionnaire, digits)
        return np.asarray(months.max(axis=0) <= month)

    def stage_after(self, landmarks_reached: int) -> SymptomStage:
        """The latest stage that patients with that many landmarks behind them have reached."""
        return [stage for stage in self.stages if stage.landmarks_reached <= landmarks_reached][-1]

    def _rows(self, inputs: Floats, plan: str) -> Floats:
        """(n, weeks, k) of inputs (n, p) and what is in effect under `plan`."""
        digits = np.tile(plan_digits(self.spec, plan), (len(inputs), 1))
        return design(inputs, in_effect(self.spec, self.questionnaire, digits, self.compared))

    def _summary(self, expected: Expected, observed: Floats) -> Floats:
        """(5, n, items, weeks) mean, its interval and the range of ratings, with `observed` (n, items, weeks) known."""
        low, high = self.questionnaire.lowest, self.questionnaire.highest
        mean, variance, share = expected.mean.copy(), expected.variance.copy(), np.ones_like(expected.mean)
        for row in np.flatnonzero(~np.isnan(observed).all(axis=(1, 2))):
            mean[row], variance[row], share[row] = expected.given(int(row), observed[row])
        half = ndtri(0.5 + LEVEL / 2.0) * np.sqrt(variance)
        within = np.clip(mean, low, high)
        around = expected.stage.width * np.sqrt(share) * scatter(within, low, high)
        return np.stack(
            [
                within,
                np.clip(mean - half, low, high),
                np.clip(mean + half, low, high),
                np.clip(np.ceil(within - around - 0.5), low, high) + 0.0,  # no negative zero
                np.clip(np.floor(within + around + 0.5), low, high),
            ]
        )

    def _checked(self, observed: Floats, shape: tuple[int, ...]) -> Floats:
        low, high = self.questionnaire.lowest, self.questionnaire.highest
        if observed.shape != shape:
            raise WrongUsage(f"ratings of shape {observed.shape}", remedy=f"expected {shape}: patients, items, weeks")
        if ((observed < low) | (observed > high)).any():
            raise WrongUsage("ratings beyond the scale", remedy=f"give ratings from {low:g} to {high:g}")
        return observed
