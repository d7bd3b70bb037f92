"""Patients and plans in, risks of every outcome by every draw out: the models from time zero, before states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final

import numpy as np
import pandas as pd

from data.schema import Specification
from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.effects.distribution import EffectTerm, term_matrix
from twin.models.encoding import Encoding
from twin.models.imputation import Completed, Imputer
from twin.models.outcome import BinaryModel, EventModel, Patients, Rows, cells, plan_increments, risks
from twin.models.ridge_cox import COX_LABEL
from twin.selection import Selection
from twin.state import Known
from twin.timeline import effect_months

COPIES: Final = 40
"""Completed copies of a patient with values missing: a level of one in forty is still among them"""
COPIES_SEED: Final = 1


@dataclass(frozen=True, eq=False)
class OutcomeHazards:
    """The hazard of an outcome and of what forestalls it."""

    event: EventModel
    rival: EventModel | None
    selection: Selection | None = None
    """How the candidates compared; ``None`` where none was compared: by choice, or with too few events"""

    @property
    def serving(self) -> str:
        """Label of the candidate that serves."""
        return self.selection.serving.label if self.selection else COX_LABEL


@dataclass(frozen=True, eq=False)
class Marginal:
    """The models that answer from time zero, whatever states come later."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    encoding: Encoding
    imputer: Imputer
    terms: tuple[EffectTerm, ...]
    hazards: Mapping[str, OutcomeHazards]
    """By time-to-event outcome"""
    binaries: Mapping[str, BinaryModel]
    draws: int

    def decision_of_term(self, spec: Specification) -> Integers:
        """(q,) position of the decision that each term belongs to."""
        return decision_of_term(spec, self.terms)

    def outcomes(self, spec: Specification) -> tuple[str, ...]:
        """Names of the outcomes that are predicted, in the order of the specification."""
        return tuple(o.name for o in spec.outcomes if o.name in self.hazards or o.name in self.binaries)

    def known(self, frame: pd.DataFrame, spec: Specification) -> Known:
        """What of `frame` the models may read."""
        return Known.at(frame, spec, self.encoding.moment)

    def incomplete(self, known: Known) -> Flags:
        """(n,) whether a value that the cohort teaches to guess is missing."""
        return np.asarray(self.imputer.missing(known).any(axis=1))

    def completed(self, known: Known) -> Completed:
        """The patients of `known`, in as many completed copies as are needed."""
        return self.imputer.complete(known, COPIES if self.incomplete(known).any() else 1, COPIES_SEED)

    def read(self, completed: Completed) -> Patients:
        """Completed copies of patients as the models read them."""
        terms = term_matrix(self.terms, completed.frame)
        return Patients(completed.inputs, terms.reshape(*completed.inputs.shape[:2], -1))

    def patients(self, known: Known) -> Patients:
        """The patients of `known`, completed and as the models read them."""
        return self.read(self.completed(known))

    def batches(self, known: Known) -> list[tuple[Integers, Patients]]:
        """Complete and incomplete patients apart, with their positions: the former need one copy only."""
        incomplete = self.incomplete(known)
        parts = [np.flatnonzero(~incomplete), np.flatnonzero(incomplete)]
        return [(rows, self.patients(_take(known, rows))) for rows in parts if rows.size]

    def rows(self, patients: Patients) -> Rows:
        """The draws of a batch."""
        return Rows.of(self.draws, patients.copies)

    @cached_property
    def _last_months(self) -> dict[str, float]:
        return {name: float(hazards.event.prognosis.grid[-1]) for name, hazards in self.hazards.items()}

    def last_month(self, outcome: str) -> float:
        """The end of the longest follow-up for a time-to-event outcome, months."""
        return self._last_months[outcome]

    def increments(
        self, spec: Specification, outcome: str, patients: Patients, digits: Floats, edges: Floats
    ) -> tuple[list[Floats], list[Floats] | None]:
        """For each plan (plans, d), (rows, n, cells) cumulative hazards of the outcome and of what forestalls it."""
        of_term, months, rows = self.decision_of_term(spec), effect_months(spec, digits), self.rows(patients)
        hazards = self.hazards[outcome]
        event = plan_increments(hazards.event, patients, rows, of_term, digits, months, edges)
        if hazards.rival is None:
            return event, None
        return event, plan_increments(hazards.rival, patients, rows, of_term, digits, months, edges)

    def risks(
        self, spec: Specification, outcome: str, patients: Patients, digits: Floats, months: Floats, alive_until: float
    ) -> Floats:
        """(1 + draws, n, plans, m) risks by each month, or (1 + draws, n, plans, 1) of a binary outcome."""
        rows = self.rows(patients)
        if outcome in self.binaries:
            return self.binaries[outcome].risks(patients, rows, self.decision_of_term(spec), digits)[..., None]
        grid = self.hazards[outcome].event.prognosis.grid
        edges = cells(grid, effect_months(spec, digits), months, alive_until)
        read = np.searchsorted(edges, np.maximum(months, edges[0]))
        return risks(*self.increments(spec, outcome, patients, digits, edges), read, rows)


def decision_of_term(spec: Specification, terms: Sequence[EffectTerm]) -> Integers:
    """(q,) position of the decision that each term belongs to."""
    columns = [decision.column for decision in spec.decisions]
    return np.array([columns.index(term.decision) for term in terms], dtype=np.intp)


def _take(known: Known, rows: Integers) -> Known:
    return Known(known.spec, known.moment, known.frame.iloc[rows].reset_index(drop=True))
