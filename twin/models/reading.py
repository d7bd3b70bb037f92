"""Known values in, numbers and levels out, with the words that a person reads them by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from data.schema import UNKNOWN, Column, ColumnType, Role
from twin.arrays import Flags, Floats, Integers, Texts
from twin.models.encoding import INPUT_ROLES, NOT_RECORDED
from twin.state import Known


@dataclass(frozen=True)
class Source:
    """A column, or a sum of flags, as something that a person reads."""

    label: str
    unit: str
    members: tuple[str, ...]
    """The columns that are read; several are summed."""
    numeric: bool
    flag: bool = False
    state: bool = False
    """Seen between decisions; whether it is depends on the plan, so that a state not seen is no gap"""

    def said(self, value: str | float) -> str:
        """The label with a value, as a person says it."""
        return f"{self.label} {self.worded(value)}"

    def worded(self, value: str | float) -> str:
        """A value as a person says it."""
        if self.flag:
            return "yes" if value == "1" else "no"
        if isinstance(value, str):
            return value.replace("_", " ")
        return f"{value:g} {self.unit}".rstrip()


@dataclass(frozen=True, eq=False)
class Values:
    """m patients as numbers and levels."""

    numbers: Floats
    """(m, numbers) NaN where not recorded"""
    levels: Texts
    """(m, categories) `NOT_RECORDED` where missing or unknown"""

    def take(self, rows: Flags | Integers) -> Values:
        """Some of the patients."""
        return Values(self.numbers[rows], self.levels[rows])

    @property
    def size(self) -> int:
        """Number of patients."""
        return len(self.numbers)

    @property
    def missing(self) -> Flags:
        """(m, numbers + categories) whether each is not recorded."""
        return np.hstack([np.isnan(self.numbers), self.levels == NOT_RECORDED])

    def of(self, source: int, row: int) -> str | float:
        """What a patient has: a level, or a number."""
        count = self.numbers.shape[1]
        return float(self.numbers[row, source]) if source < count else str(self.levels[row, source - count])


@dataclass(frozen=True)
class Reader:
    """Which values are read: whatever of the inputs the cohort records, also where it does not vary."""

    numbers: tuple[Source, ...]
    categories: tuple[Source, ...]

    @classmethod
    def of(cls, known: Known) -> Self:
        """What the patients of `known` have recorded; flags and coded integers count as categories."""
        sources = list(_sources(known))
        every = cls(tuple(s for s in sources if s.numeric), tuple(s for s in sources if not s.numeric))
        recorded = [not gaps.all() for gaps in every.read(known).missing.T]
        kept = [source for source, some in zip(every.sources, recorded, strict=True) if some]
        return cls(tuple(s for s in kept if s.numeric), tuple(s for s in kept if not s.numeric))

    @classmethod
    def of_matrix(cls, inputs: Floats) -> Self:
        """The columns of a matrix (n, p), which have no names."""
        return cls(tuple(Source(f"Input {k + 1}", "", (), numeric=True) for k in range(inputs.shape[1])), ())

    @property
    def named(self) -> bool:
        """Whether it reads columns; the columns of a matrix have no names."""
        return any(source.members for source in self.sources)

    @property
    def sources(self) -> tuple[Source, ...]:
        """Numbers, then categories."""
        return self.numbers + self.categories

    def read(self, known: Known) -> Values:
        """The values of the patients of `known`; a column that it lacks is not recorded."""
        numbers = np.full((known.size, len(self.numbers)), np.nan)
        for k, source in enumerate(self.numbers):
            members = [known.columns[name] for name in source.members if name in known.columns]
            if members:
                values = np.column_stack(members).astype(float)
                recorded = ~np.isnan(values)
                numbers[:, k] = np.where(recorded.any(axis=1), np.where(recorded, values, 0.0).sum(axis=1), np.nan)
        levels = np.full((known.size, len(self.categories)), NOT_RECORDED, dtype=object)
        for k, source in enumerate(self.categories):
            if source.members[0] in known.columns:
                levels[:, k] = [_level(value) for value in known.columns[source.members[0]]]
        return Values(numbers, levels)


def _sources(known: Known) -> Iterator[Source]:
    """The columns a model at this moment may read, with sums in place of their members."""
    spec = known.spec
    summed = {member for feature in spec.features for member in feature.members}
    for column in spec.having(*INPUT_ROLES):
        if column.name in known.frame and column.name not in summed:
            yield _of_column(column)
    for feature in spec.features:
        members = tuple(member for member in feature.members if member in known.frame)
        if members:
            state = spec.column(members[0]).role is Role.STATE
            yield Source(feature.label, "", members, numeric=True, state=state)


def _of_column(column: Column) -> Source:
    return Source(
        label=column.label,
        unit=column.unit,
        members=(column.name,),
        numeric=column.is_numeric and not column.levels and column.type is not ColumnType.FLAG,
        flag=column.type is ColumnType.FLAG,
        state=column.role is Role.STATE,
    )


def _level(value: object) -> str:
    if value is None or value != value or value == UNKNOWN:
        return NOT_RECORDED
    return value if isinstance(value, str) else f"{value:g}"
