"""One patient's values as recorded in, a validated record that knows its plan so far and its next question out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import pandas as pd

from data.cohort import typed_frame
from data.errors import Refused
from data.schema import UNKNOWN, Column, ColumnType, Decision, Role, Specification
from twin.arrays import Flags, Floats
from twin.timeline import Position, locate, plan_text, question_moment

Value = str | float


class InvalidValue(Refused):
    """A value that the dictionary does not allow in its column."""

    @classmethod
    def of(cls, column: Column, got: object) -> Self:
        """`got` in `column`, with what was expected."""
        return cls(f"column {column.name}: expected {column.expected()}, got {got!r}", remedy="correct or clear it")


def checked_value(column: Column, value: object) -> Value:
    """`value` as `column` holds it: a float for numbers, integers and flags, else text.

    Raises:
        InvalidValue: the dictionary does not allow it.
    """
    if not column.is_numeric:
        text = str(value).strip()
        if not text or (column.type is ColumnType.CATEGORY and text not in column.levels):
            raise InvalidValue.of(column, value)
        return text
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever is no number is refused just below
    except (TypeError, ValueError):
        raise InvalidValue.of(column, value) from None
    if not _allowed(column, number):
        raise InvalidValue.of(column, value)
    return number


def _allowed(column: Column, number: float) -> bool:
    if not math.isfinite(number):
        return False
    if column.type is not ColumnType.NUMBER and not number.is_integer():
        return False
    if column.levels:
        return number in {float(level) for level in column.levels}
    above = column.minimum is None or number >= column.minimum
    return above and (column.maximum is None or number <= column.maximum)


def _is_missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value)) or value is pd.NA


@dataclass(frozen=True)
class PatientRecord:
    """What is known about one patient; a column that is not among `values` is unknown.

    Raises:
        NotFound: a column that the dictionary does not have.
        InvalidValue: a value that the dictionary does not allow.
    """

    spec: Specification
    values: Mapping[str, Value]

    def __post_init__(self) -> None:
        checked = {
            name: checked_value(self.spec.column(name), value)
            for name, value in self.values.items()
            if not _is_missing(value)
        }
        object.__setattr__(self, "values", MappingProxyType(checked))

    @classmethod
    def from_row(cls, spec: Specification, row: Mapping[Any, Any]) -> Self:
        """The record of a row of a cohort's frame (a Series or a dict); columns of other tables are refused."""
        return cls(spec, {str(name): value for name, value in row.items()})

    def to_row(self) -> dict[str, Value | None]:
        """One value a dictionary column, ``None`` where nothing is known."""
        return {column.name: self.values.get(column.name) for column in self.spec.columns}

    def to_frame(self) -> pd.DataFrame:
        """The record as a typed frame of one row: the identifier, which may be missing, and the recorded columns."""
        return self._frame.copy()

    def with_value(self, column: str, value: Value | None) -> PatientRecord:
        """The record with `column` set to `value`, or made unknown by ``None``.

        Raises:
            NotFound: no such column.
            InvalidValue: the dictionary does not allow it.
        """
        self.spec.column(column)
        return PatientRecord(self.spec, {**self.values, column: value})  # type: ignore[dict-item]

    def known_after(self, landmarks_reached: int) -> PatientRecord:
        """The record as it stood after that many landmarks, before the decision that follows."""
        columns = self.spec.available_before(question_moment(self.spec, landmarks_reached))
        return PatientRecord(self.spec, {c.name: self.values[c.name] for c in columns if c.name in self.values})

    @property
    def patient_id(self) -> str:
        """The pseudonymous identifier, empty when there is none."""
        return str(self.values.get(self.spec.key, ""))

    @property
    def decisions(self) -> Floats:
        """(decisions,) of 0, 1 and NaN where open."""
        return np.array([float(self.values.get(d.column, math.nan)) for d in self.spec.decisions])

    @property
    def plan_so_far(self) -> str:
        """The decisions taken, open ones as ``-``."""
        return plan_text(self.decisions)

    @property
    def next_decision(self) -> Decision | None:
        """The first decision that comes after everything recorded; ``None`` when none is left.

        A decision that is open although something later is recorded belongs to the past: it is not recorded, not open.
        """
        index = int(self._position.next_decision[0])
        return self.spec.decisions[index] if index < len(self.spec.decisions) else None

    @property
    def moment(self) -> str:
        """The moment at which the next open question is asked; the last moment when every decision is taken."""
        upcoming = self.next_decision
        return self.spec.moments[-1] if upcoming is None else upcoming.moment

    @cached_property
    def _frame(self) -> pd.DataFrame:
        cells = {self.spec.key: None, **self.values}
        return typed_frame(pd.DataFrame({name: [value] for name, value in cells.items()}), self.spec)

    @cached_property
    def _position(self) -> Position:
        decisions = decision_matrix(self.spec, self._frame)
        return locate(self.spec, decisions, decisions, states_seen(self.spec, self._frame))


def decision_matrix(spec: Specification, frame: pd.DataFrame) -> Floats:
    """(patients, decisions) of 0, 1 and NaN (not recorded) from a typed frame."""
    matrix = np.full((len(frame), len(spec.decisions)), np.nan)
    for k, decision in enumerate(spec.decisions):
        if decision.column in frame:
            matrix[:, k] = frame[decision.column].to_numpy(dtype=float)
    return matrix


def states_seen(spec: Specification, frame: pd.DataFrame) -> dict[str, Flags]:
    """For each landmark's moment, (patients,) whether any of its states is recorded; `unknown` records nothing."""
    seen = {landmark.moment: np.zeros(len(frame), dtype=bool) for landmark in spec.landmarks}
    for column in spec.having(Role.STATE):
        if column.name in frame and column.available_from in seen:
            values = frame[column.name].to_numpy(dtype=object)
            seen[column.available_from] |= ~pd.isna(values) & (values != UNKNOWN)
    return seen
