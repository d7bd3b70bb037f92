"""A table and a moment in, only what is known strictly before that moment out: the one type that models accept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import GeminaError
from data.schema import Specification


class NotYetKnown(GeminaError):
    """A model was offered a value from after the moment it answers at."""


@dataclass(frozen=True, eq=False)
class Known:
    """What is known about patients strictly before `moment`.

    Raises:
        NotYetKnown: the frame holds a column that becomes available at `moment` or later.
        NotFound: there is no such moment, or a column is not in the dictionary.
    """

    spec: Specification
    moment: str
    frame: pd.DataFrame
    """Typed columns as in `data.cohort.Cohort`, one row a patient."""

    def __post_init__(self) -> None:
        limit = self.spec.rank(self.moment)
        later = [
            f"{name} (from {self.spec.column(name).available_from})"
            for name in map(str, self.frame.columns)
            if self.spec.rank(self.spec.column(name).available_from) >= limit
        ]
        if later:
            raise NotYetKnown(
                f"not yet known at {self.moment}: {', '.join(later)}", remedy="build the input with Known.at"
            )

    @classmethod
    def at(cls, frame: pd.DataFrame, spec: Specification, moment: str) -> Self:
        """What `frame` holds strictly before `moment`; later columns, and columns of other tables, are left out."""
        names = [column.name for column in spec.available_before(moment) if column.name in frame]
        return cls(spec, moment, frame[names])

    @cached_property
    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Each column as an array of numbers, or of texts as objects."""
        # Numbers are taken together: pandas takes as long for one column of one patient as numpy for all of them.
        numeric = (self.frame.dtypes == np.float64).to_numpy()
        numbers = self.frame.loc[:, numeric]
        found = dict(zip(map(str, numbers.columns), numbers.to_numpy(dtype=np.float64).T, strict=True))
        return {**found, **{str(name): _texts(values) for name, values in self.frame.loc[:, ~numeric].items()}}

    @property
    def size(self) -> int:
        """Number of patients."""
        return len(self.frame)


def _texts(values: pd.Series) -> npt.NDArray[Any]:
    held = values.array
    if isinstance(held, pd.Categorical):
        return np.asarray(np.array([*held.categories, None], dtype=object)[held.codes])
    return values.to_numpy(dtype=object)
