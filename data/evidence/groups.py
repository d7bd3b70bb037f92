"""Whom an effect was estimated in, as a line of text: parsed into conditions, evaluated on a typed table.

The grammar: clauses joined by ``&``, each one condition or alternatives in brackets, e.g.
``hpv_status=negative & (t_stage=T4 | n_stage=N3)``, ``age_years>50 & age_years<=60`` or ``sex!=male``. The empty text
is everybody.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from data.schema import UNKNOWN, Column, ColumnType, Specification

FloatArray = NDArray[np.float64]


class Comparison(StrEnum):
    """How a condition compares a column with its value."""

    EQUAL = "="
    OTHER = "!="
    AT_MOST = "<="
    AT_LEAST = ">="
    BELOW = "<"
    ABOVE = ">"


_HOLDS: Final[dict[Comparison, Callable[[Any, Any], Any]]] = {
    Comparison.EQUAL: operator.eq,
    Comparison.OTHER: operator.ne,
    Comparison.AT_MOST: operator.le,
    Comparison.AT_LEAST: operator.ge,
    Comparison.BELOW: operator.lt,
    Comparison.ABOVE: operator.gt,
}
_OF_LEVELS: Final = (Comparison.EQUAL, Comparison.OTHER)
"""What a category can be compared by"""
_CONDITION: Final = re.compile(r"(?P<column>\w+)\s*(?P<comparison>!=|<=|>=|=|<|>)\s*(?P<value>[\w.+-]+)")


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison of a column with a level, or with a number in the column's unit."""

    column: str
    comparison: Comparison
    value: str
    """As it stands in the text: what it means depends on whether the column holds numbers."""

    def __str__(self) -> str:
        return f"{self.column}{self.comparison}{self.value}"

    def membership(self, frame: pd.DataFrame) -> FloatArray:
        """1 where the condition holds, 0 where not, NaN where the value is missing or unknown; (n,)."""
        if self.column not in frame:
            return np.full(len(frame), np.nan)
        values = frame[self.column]
        if self.comparison in _OF_LEVELS and not is_numeric_dtype(values):
            texts = values.astype(object)
            known = (values.notna() & (texts != UNKNOWN)).to_numpy(dtype=bool)
            holds = _HOLDS[self.comparison](texts, self.value).to_numpy(dtype=bool)
        else:
            numbers = values.to_numpy(dtype=np.float64)
            known = ~np.isnan(numbers)
            holds = np.asarray(_HOLDS[self.comparison](numbers, float(self.value)), dtype=bool)
        return np.where(known, holds.astype(np.float64), np.nan)


Clause = tuple[Condition, ...]
"""Alternatives of which one is enough."""


@dataclass(frozen=True, slots=True)
class Group:
    """Patients who meet every clause; without clauses everybody."""

    clauses: tuple[Clause, ...] = ()

    def __str__(self) -> str:
        return " & ".join(
            str(clause[0]) if len(clause) == 1 else "(" + " | ".join(map(str, clause)) + ")" for clause in self.clauses
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that membership depends on, each once, in the order of the text."""
        return tuple(dict.fromkeys(condition.column for clause in self.clauses for condition in clause))

    def membership(self, frame: pd.DataFrame) -> FloatArray:
        """1 for members, 0 for others, NaN where a missing or unknown value decides; (n,).

        A value that cannot change the answer is not needed: who fails one clause is no member, whatever the rest is
        (Kleene's three-valued logic).

        Args:
            frame: canonical columns with the types of a cohort; a column that is not there is missing for all.
        """
        met = [_any_of(condition.membership(frame) for condition in clause) for clause in self.clauses]
        return 1.0 - _any_of(1.0 - clause for clause in met) if met else np.ones(len(frame))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The group that `text` describes, whatever columns there are.

        Raises:
            ValueError: the text breaks the grammar; says what was expected.
        """
        clauses = [part.strip() for part in text.split("&")] if text.strip() else []
        return cls(tuple(map(_clause, clauses)))


def _any_of(alternatives: Iterable[FloatArray]) -> FloatArray:
    stacked = np.stack(list(alternatives))
    certain = (stacked == 1.0).any(axis=0)
    return np.where(certain, 1.0, np.where(np.isnan(stacked).any(axis=0), np.nan, 0.0))


def parse_group(text: str, spec: Specification) -> Group:
    """The group that `text` describes, once its conditions are found to fit the columns of `spec`.

    Raises:
        ValueError: the text breaks the grammar, or a condition cannot hold of its column; says what was expected.
    """
    group = Group.parse(text)
    for clause in group.clauses:
        for condition in clause:
            _check(condition, spec)
    return group


def _clause(text: str) -> Clause:
    if text.startswith("(") and text.endswith(")"):
        return tuple(_condition(part.strip()) for part in text[1:-1].split("|"))
    if "|" in text:
        raise ValueError("alternatives in brackets, such as (t_stage=T4 | n_stage=N3)")
    return (_condition(text),)


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise ValueError("conditions such as hpv_status=positive or age_years>70")
    return Condition(match["column"], Comparison(match["comparison"]), match["value"])


def _check(condition: Condition, spec: Specification) -> None:
    column = spec.by_name.get(condition.column)
    if column is None:
        raise ValueError(f"a column of the specification in place of '{condition.column}'")
    if column.is_numeric:
        _check_number(condition.value, column)
    elif condition.comparison not in _OF_LEVELS:
        raise ValueError(f"'{column.name}' with = or !=, because it is not a number")
    else:
        _check_level(condition.value, column)


def _check_number(text: str, column: Column) -> None:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    low = float("-inf") if column.minimum is None else column.minimum
    high = float("inf") if column.maximum is None else column.maximum
    if not low <= value <= high:
        raise ValueError(f"'{column.name}' compared with {column.expected()}")


def _check_level(text: str, column: Column) -> None:
    levels = [level for level in column.levels if level != UNKNOWN]
    if column.type is not ColumnType.CATEGORY or text not in levels:
        raise ValueError(f"'{column.name}' with one of its levels that say something ({', '.join(levels) or 'none'})")
