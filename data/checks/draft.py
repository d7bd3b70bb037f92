"""Typed columns on their way to a cohort, with what findings about them need: record numbers and source names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from data.cells import Place, TypedColumn
from data.findings import WHOLE_FILE, Finding, Findings, Severity
from data.reader.table import BoolArray, FloatArray, IntArray
from data.schema import Specification


@dataclass
class Draft:
    """A cohort before it is judged."""

    spec: Specification
    rows: IntArray
    """Record number of each row."""
    findings: Findings
    columns: dict[str, TypedColumn] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    """Name in the file of each canonical column."""
    stand_in: dict[str, BoolArray] = field(default_factory=dict)
    """Rows of a derived time whose end date is absent."""
    confidential: frozenset[str] = frozenset()
    """Canonical columns whose cells findings must not repeat."""

    def records(self, *names: str) -> bool:
        """Whether something was read in each of these columns."""
        return all(name in self.columns and bool(self.values(name).notna().any()) for name in names)

    def values(self, name: str) -> pd.Series:
        """The values of a column that was read."""
        return self.columns[name].values

    def numbers(self, name: str) -> FloatArray:
        """The values of a numeric column, missing as NaN."""
        return self.values(name).to_numpy(dtype=np.float64)

    def recorded(self, name: str) -> BoolArray:
        """Rows that have a value in a column."""
        return self.values(name).notna().to_numpy(dtype=np.bool_)

    def absent(self, name: str) -> BoolArray:
        """Rows without a value in a column, apart from those that hold something unreadable."""
        return ~self.recorded(name) & ~self.columns[name].invalid

    def place(self, name: str) -> Place:
        """Where a column comes from."""
        return Place(self.sources.get(name, ""), name, confidential=name in self.confidential)

    def report(  # the fields of a finding, none of which can be left out
        self,
        where: BoolArray,
        name: str,
        code: str,
        severity: Severity,
        expected: str,
        got: Callable[[int], str],
        remedy: str,
    ) -> None:
        """One finding for each row of `where`; `got` says what stands in the row at a position."""
        positions = np.flatnonzero(where)
        numbers = self.rows[positions].tolist()
        place = self.place(name)

        def finding_at(i: int) -> Finding:
            return place.finding(code, severity, numbers[i], expected, got(int(positions[i])), remedy)

        self.findings.add_rows(numbers, finding_at)

    def remark(self, name: str, code: str, severity: Severity, expected: str, got: str, remedy: str) -> None:
        """One finding about a column as a whole."""
        self.findings.add(self.place(name).finding(code, severity, WHOLE_FILE, expected, got, remedy))

    def said(self, name: str) -> Callable[[int], str]:
        """How a finding quotes the value of a column at a position."""
        values = self.values(name).to_numpy(dtype=object)

        def quoted(position: int) -> str:
            value = values[position]
            missing = value is None or value != value  # NaN alone differs from itself
            return f"{name} " + ("missing" if missing else f"{value:g}" if isinstance(value, float) else str(value))

        return quoted
