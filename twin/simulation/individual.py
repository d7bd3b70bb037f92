"""The models from time zero and one patient in, that patient's hazards and probabilities by row of the draws out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from data.schema import Specification
from twin.arrays import Floats
from twin.marginal import Marginal
from twin.models.outcome import EventModel, Patients, Rows, plan_increments
from twin.timeline import effect_months


@dataclass(frozen=True, eq=False)
class MarginalIndividual:
    """One patient as the models from time zero see them; an `Individual` of `twin.simulation.unfold`.

    Copies need not be of the same patient: rows that are of copies of several patients answer for all of them at once.
    """

    spec: Specification
    marginal: Marginal
    patient: Patients
    """Completed copies of the one patient"""
    completed: pd.DataFrame
    """The same copies, one a row, as columns"""

    @classmethod
    def of(cls, spec: Specification, marginal: Marginal, frame: pd.DataFrame) -> Self:
        """The patient in the one row of `frame`, with missing values completed."""
        completed = marginal.completed(marginal.known(frame, spec))
        return cls(spec, marginal, marginal.read(completed), completed.frame)

    @property
    def outcomes(self) -> Sequence[str]:
        """Names of the outcomes that are predicted."""
        return self.marginal.outcomes(self.spec)

    @property
    def inputs(self) -> Floats:
        """(copies, p) completed and encoded."""
        return self.patient.inputs[:, 0]

    @property
    def draws(self) -> int:
        """Number of draws besides the fit."""
        return self.marginal.draws

    def increments(self, outcome: str, digits: Floats, rows: Rows, edges: Floats) -> tuple[Floats, Floats | None]:
        """(rows, cells) cumulative hazard over each cell of the outcome, and of what forestalls it, if anything."""
        hazards = self.marginal.hazards[outcome]
        rival = None if hazards.rival is None else self._of(hazards.rival, digits, rows, edges)
        return self._of(hazards.event, digits, rows, edges), rival

    def probability(self, outcome: str, digits: Floats, rows: Rows) -> Floats:
        """(rows,) of a yes-or-no outcome."""
        of_term = self.marginal.decision_of_term(self.spec)
        return self.marginal.binaries[outcome].by_row(self.patient, rows, of_term, digits[None])[:, 0, 0]

    def _of(self, model: EventModel, digits: Floats, rows: Rows, edges: Floats) -> Floats:
        of_term, months = self.marginal.decision_of_term(self.spec), effect_months(self.spec, digits)
        (hazard,) = plan_increments(model, self.patient, rows, of_term, digits[None], months[None], edges)
        return hazard[:, 0]


def cohort_increments(
    model: EventModel, spec: Specification, marginal: Marginal, cohort: Patients, decisions: Floats, edges: Floats
) -> Floats:
    """(n, cells) cumulative hazard of n patients under their own decisions, by the fit, averaged over their copies.

    Args:
        model: Of the event.
        spec: The disease.
        marginal: The models from time zero.
        cohort: n patients.
        decisions: (n, d) 0, 1 or NaN, which counts as 0.
        edges: (cells + 1,) months
    """
    digits, rows = np.nan_to_num(decisions), Rows.of(0, cohort.copies)
    result = np.empty((len(digits), len(edges) - 1))
    for pattern in np.unique(digits, axis=0):
        same = np.flatnonzero((digits == pattern).all(axis=1))
        months = effect_months(spec, pattern)
        of_term = marginal.decision_of_term(spec)
        (hazard,) = plan_increments(model, cohort.take(same), rows, of_term, pattern[None], months[None], edges)
        result[same] = hazard.mean(axis=0)
    return result


def cohort_probabilities(
    outcome: str, spec: Specification, marginal: Marginal, cohort: Patients, decisions: Floats
) -> Floats:
    """(n,) probability of a yes-or-no outcome in n patients under their own decisions; arguments as above."""
    digits, rows = np.nan_to_num(decisions), Rows.of(0, cohort.copies)
    result = np.empty(len(digits))
    for pattern in np.unique(digits, axis=0):
        same = np.flatnonzero((digits == pattern).all(axis=1))
        of_term = marginal.decision_of_term(spec)
        result[same] = marginal.binaries[outcome].risks(cohort.take(same), rows, of_term, pattern[None])[0, :, 0]
    return result
