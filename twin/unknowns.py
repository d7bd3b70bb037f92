"""A patient with unknown values in, which of them would narrow a risk's interval most if it were learnt out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from data.schema import ColumnType
from twin.marginal import COPIES, COPIES_SEED
from twin.prediction import FittedTwin
from twin.record import PatientRecord

NUMBERS: Final = 5
"""Values that stand for what an unknown number may be: the middles of fifths of what is likely"""


@dataclass(frozen=True)
class Narrowing:
    """What learning one unknown value would do to the interval of a risk."""

    column: str
    label: str
    sd: float
    """Standard deviation of the draws of the risk as it is"""
    expected_sd: float
    """The same once the value is known: root mean square over what it is likely to be. By the law of total variance it
    is no larger, while a single answer may still turn out less certain."""

    @property
    def narrowed(self) -> float:
        """By which share the uncertainty shrinks; sampling may leave a little below 0."""
        return 1.0 - self.expected_sd / self.sd if self.sd > 0 else 0.0


def narrowings(
    twin: FittedTwin, record: PatientRecord, plan: str, outcome: str, month: float | None = None
) -> tuple[Narrowing, ...]:
    """What learning each unknown value would do, the most telling first.

    Args:
        twin: Fitted.
        record: The patient.
        plan: Complete plan that agrees with the decisions taken.
        outcome: A time-to-event outcome, or a binary one.
        month: By which the risk is asked; ``None`` for a binary outcome.

    Raises:
        Refused: the plan disagrees with a decision taken or changes one that is held.
        BeyondFollowUp: the month lies outside the follow-up.
    """
    now = _variance(twin, record, plan, outcome, month)
    found = []
    for column, likely in likely_values(twin, record).items():
        known = [_variance(twin, record.with_value(column, value), plan, outcome, month) for value in likely]
        expected = float(np.dot(known, list(likely.values())))
        found.append(Narrowing(column, twin.spec.column(column).label, now**0.5, expected**0.5))
    return tuple(sorted(found, key=lambda narrowing: narrowing.expected_sd))


def likely_values(twin: FittedTwin, record: PatientRecord) -> dict[str, dict[str | float, float]]:
    """For each unknown value that the cohort teaches to guess, what it may be and how likely each is."""
    known = twin.marginal.known(record.to_frame(), twin.spec)
    imputer = twin.marginal.imputer
    missing = imputer.missing(known)[0]
    if not missing.any():
        return {}
    completed = imputer.complete(known, COPIES, COPIES_SEED).columns
    columns = [model.column for model, unknown in zip(imputer.models, missing, strict=True) if unknown]
    return {column: _likely(twin, column, completed[column]) for column in columns}


def _likely(twin: FittedTwin, column: str, values: np.ndarray) -> dict[str | float, float]:
    if twin.spec.column(column).type is ColumnType.CATEGORY:
        levels, counts = np.unique(values.astype(str), return_counts=True)
        return {str(level): float(count / counts.sum()) for level, count in zip(levels, counts, strict=True)}
    fifths = np.array_split(np.sort(values.astype(float)), NUMBERS)
    likely: dict[str | float, float] = {}
    for fifth in fifths:
        middle = float(fifth[len(fifth) // 2])
        likely[middle] = likely.get(middle, 0.0) + len(fifth) / len(values)
    return likely


def _variance(twin: FittedTwin, record: PatientRecord, plan: str, outcome: str, month: float | None) -> float:
    months = [] if month is None else [month]
    draws = twin.predict_draws(record.to_frame(), (plan,), months, (outcome,))[outcome][:, 0, 0, 0]
    return float(draws[1:].var())
