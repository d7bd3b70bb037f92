"""Known values in, a matrix of centred numbers out: fitted on a cohort, stored as plain values.

Scale as in Gelman 2008 (doi:10.1002/sim.3107): a number is centred and divided by two standard deviations, an indicator
is only centred, so that one unit means a similar step in both and one ridge penalty suits all. Everything is centred,
hence an entry of 0 is the cohort's average: a value that is missing, or a level the cohort never saw, counts as that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.schema import UNKNOWN, Role
from twin.arrays import Flags, Floats, Texts
from twin.state import Known, NotYetKnown

Columns = Mapping[str, npt.NDArray[Any]]
"""Values by column, one a patient, as in `twin.state.Known.columns`."""

INPUT_ROLES: Final = (Role.COVARIATE, Role.STATE)
"""Columns of other roles never enter a model: who was treated where and when, and of which origin, is for audits."""

NOT_RECORDED: Final = ""
"""Stands for missing and `unknown` among the levels of a category."""


@dataclass(frozen=True)
class NumberInput:
    """A number, or a sum of flags, with an indicator of being missing where the cohort has missing values."""

    source: str
    members: tuple[str, ...]
    """The columns that are read: one, or those that are summed."""
    mean: float
    scale: float
    """Two standard deviations; the distance of the two values where there are only two."""
    minimum: float
    maximum: float
    varies: bool
    missing_share: float

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix."""
        number = (self.source,) if self.varies else ()
        return (*number, f"{self.source} not recorded") if self.missing_share else number

    @property
    def indicates_missing(self) -> tuple[bool, ...]:
        """Of each name, whether it only says that the value is not recorded."""
        return tuple(name != self.source for name in self.names)

    def encode(self, columns: Columns, patients: int) -> Floats:
        """(patients, names) centred."""
        values = _numbers(columns, patients, self.members)
        missing = np.isnan(values)
        encoded = []
        if self.varies:
            encoded.append(np.where(missing, 0.0, (values - self.mean) / self.scale))
        if self.missing_share:
            encoded.append(missing - self.missing_share)
        return np.stack(encoded, axis=1)

    def outside(self, known: Known) -> list[str]:
        """For each patient, why the value is unlike anything in the cohort; empty when it is not."""
        values = _numbers(known.columns, known.size, self.members)
        beyond = (values < self.minimum) | (values > self.maximum)
        span = f"is outside the cohort's {self.minimum:g} to {self.maximum:g}"
        said = [f"{self.source} {value:g} {span}" if far else "" for value, far in zip(values, beyond, strict=True)]
        if self.missing_share:
            return said
        return [f"{self.source} is not recorded" if np.isnan(v) else s for v, s in zip(values, said, strict=True)]


@dataclass(frozen=True)
class CategoryInput:
    """A category as indicators of its levels; the most frequent recorded level is the reference."""

    source: str
    levels: tuple[str, ...]
    """Levels seen in the cohort, the reference first; `NOT_RECORDED` for missing and `unknown`."""
    shares: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix."""
        return tuple(f"{self.source} {level or 'not recorded'}" for level in self.levels[1:])

    @property
    def indicates_missing(self) -> tuple[bool, ...]:
        """Of each name, whether it only says that the level is not recorded."""
        return tuple(level == NOT_RECORDED for level in self.levels[1:])

    def encode(self, columns: Columns, patients: int) -> Floats:
        """(patients, names) centred; 0 throughout for a level that the cohort never saw."""
        values = _texts(columns, patients, self.source)[:, None]
        seen = np.isin(values, self.levels)
        indicators = (values == np.array(self.levels[1:], dtype=object)).astype(float)
        return np.where(seen, indicators - np.array(self.shares[1:]), 0.0)

    def outside(self, known: Known) -> list[str]:
        """For each patient, why the level is unlike anything in the cohort; empty when it is not."""
        return [
            "" if value in self.levels else self._unseen(str(value))
            for value in _texts(known.columns, known.size, self.source)
        ]

    def _unseen(self, level: str) -> str:
        if level == NOT_RECORDED:
            return f"{self.source} is not recorded"
        return f"{self.source} is {level}, which nobody in the cohort is"


@dataclass(frozen=True)
class Encoding:
    """How what is known at `moment` becomes numbers."""

    moment: str
    inputs: tuple[NumberInput | CategoryInput, ...]

    @classmethod
    def fit(cls, known: Known) -> Self:
        """The encoding that the patients of `known` teach; what does not vary among them is left out."""
        candidates = (_learn(known, source, members) for source, members in _sources(known))
        return cls(known.moment, tuple(learnt for learnt in candidates if learnt is not None and learnt.names))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns of the matrix."""
        return tuple(name for source in self.inputs for name in source.names)

    @property
    def indicates_missing(self) -> Flags:
        """(names,) whether a column of the matrix only says that a value is not recorded."""
        return np.array([told for source in self.inputs for told in source.indicates_missing], dtype=bool)

    def encode(self, known: Known) -> Floats:
        """The matrix (patients, names) of `known`.

        Raises:
            NotYetKnown: `known` is of another moment than the encoding was fitted for.
        """
        self._check(known)
        blocks = [source.encode(known.columns, known.size) for source in self.inputs]
        return np.hstack([np.empty((known.size, 0)), *blocks])

    def outside(self, known: Known) -> list[tuple[str, ...]]:
        """For each patient, what is unlike anything in the cohort, in words.

        Raises:
            NotYetKnown: `known` is of another moment than the encoding was fitted for.
        """
        self._check(known)
        by_source = [source.outside(known) for source in self.inputs]
        return [tuple(said[row] for said in by_source if said[row]) for row in range(known.size)]

    @property
    def positions(self) -> Mapping[str, slice]:
        """Columns of the matrix that each source has."""
        ends = np.cumsum([0, *(len(source.names) for source in self.inputs)])
        return {source.source: slice(ends[k], ends[k + 1]) for k, source in enumerate(self.inputs)}

    def _check(self, known: Known) -> None:
        if known.moment != self.moment:
            raise NotYetKnown(f"inputs known at {known.moment} were offered to a model that answers at {self.moment}")


def _sources(known: Known) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The columns a model at this moment may read, with sums in place of their members."""
    summed = {member for feature in known.spec.features for member in feature.members}
    for column in known.spec.having(*INPUT_ROLES):
        if column.name in known.frame and column.name not in summed:
            yield column.name, (column.name,)
    for feature in known.spec.features:
        members = tuple(member for member in feature.members if member in known.frame)
        if members:
            yield feature.name, members


def _learn(known: Known, source: str, members: tuple[str, ...]) -> NumberInput | CategoryInput | None:
    if known.spec.column(members[0]).is_numeric:
        return _learn_number(_numbers(known.columns, known.size, members), source, members)
    return _learn_category(_texts(known.columns, known.size, source), source)


def _learn_number(values: Floats, source: str, members: tuple[str, ...]) -> NumberInput | None:
    missing = np.isnan(values)
    recorded = values[~missing]
    if recorded.size == 0:
        return None
    lowest, highest = float(recorded.min()), float(recorded.max())
    varies = lowest < highest
    scale = highest - lowest if np.unique(recorded).size == 2 else 2.0 * float(recorded.std())
    return NumberInput(
        source=source,
        members=members,
        mean=float(recorded.mean()),
        scale=scale if varies else 1.0,
        minimum=lowest,
        maximum=highest,
        varies=varies,
        missing_share=float(missing.mean()),
    )


def _learn_category(values: Texts, source: str) -> CategoryInput:
    levels, counts = np.unique(values.astype(str), return_counts=True)
    order = np.lexsort((-counts, levels == NOT_RECORDED))
    shares = counts / counts.sum()
    return CategoryInput(source, tuple(str(levels[k]) for k in order), tuple(float(shares[k]) for k in order))


def _numbers(columns: Columns, patients: int, members: tuple[str, ...]) -> Floats:
    """(patients,) the number, or the sum over the members that are recorded; NaN where none is."""
    present = [columns[name] for name in members if name in columns]
    if len(present) == 1:
        return np.asarray(present[0], dtype=float)
    if not present:
        return np.full(patients, np.nan)
    values = np.column_stack(present)
    recorded = ~np.isnan(values)
    return np.where(recorded.any(axis=1), np.where(recorded, values, 0.0).sum(axis=1), np.nan)


def _texts(columns: Columns, patients: int, source: str) -> Texts:
    """(patients,) the level of a category as text objects, `NOT_RECORDED` where missing or unknown."""
    if source not in columns:
        return np.full(patients, NOT_RECORDED, dtype=object)
    values = columns[source]
    return np.where(pd.isna(values) | (values == UNKNOWN), NOT_RECORDED, values).astype(object)
