"""Derivations and source columns in, typed canonical columns out: durations from dates, flags from texts, constants."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.cells import FLAGS, MISSING_TOKENS, CellReader, Fault, Place, TypedColumn, check_numbers, read_column
from data.findings import WHOLE_FILE, Finding, Findings, Severity
from data.mapping.model import AnyOf, BetweenDates, Constant, Derivation, FromNumber, Matches
from data.reader.table import BoolArray, FloatArray, RawTable, TextColumn
from data.schema import UNKNOWN, Column, ColumnType
from data.units import conversion_factor

_ONE_DAY: Final = pd.Timedelta(days=1)
_EPOCH: Final = pd.Timestamp(0)
_COUNTED_AS_NO: Final = {text for text, flag in FLAGS.items() if flag == 0.0} | MISSING_TOKENS | {"none", UNKNOWN}


@dataclass(frozen=True)
class Derived:
    """A derived column."""

    column: TypedColumn
    stand_in: BoolArray | None = None
    """Rows where the value came from `else`, because the end date is absent; ``None`` where there is no `else`."""


@dataclass(frozen=True)
class _Times:
    """Numbers in the unit of the target, before they are held to its bounds."""

    values: FloatArray
    invalid: BoolArray
    stand_in: BoolArray | None = None


@dataclass(frozen=True)
class Deriver:
    """Derives one canonical column from the columns of a table."""

    table: RawTable
    reader: CellReader
    """The rules of the target column, with the replacements that the mapping states for it."""
    findings: Findings
    confidential: bool = False
    """Whether its cells must not be repeated in findings."""

    @property
    def target(self) -> Column:
        """The canonical column that is derived."""
        return self.reader.column

    def _place(self, source: str) -> Place:
        return Place(source, self.target.name, self.confidential)

    def derive(self, derivation: Derivation) -> Derived:
        """The typed column; every cell that cannot be used is a finding on its row."""
        match derivation:
            case FromNumber() | BetweenDates():
                return self._bounded(derivation)
            case AnyOf():
                return Derived(self._any_of(derivation))
            case Matches():
                return Derived(self._matches(derivation))
            case Constant():
                return Derived(self._constant(derivation))

    def _bounded(self, derivation: FromNumber | BetweenDates) -> Derived:
        times = self._times(derivation)
        ends = derivation.ends if isinstance(derivation, BetweenDates) else (derivation.source,)
        place = self._place(" or ".join(ends))
        numbers = np.where(times.invalid, np.nan, times.values)
        checked = check_numbers(numbers, self.target, place, self.table.rows, self.findings)
        return Derived(replace(checked, invalid=checked.invalid | times.invalid), times.stand_in)

    def _times(self, derivation: FromNumber | BetweenDates) -> _Times:
        return self._from(derivation) if isinstance(derivation, FromNumber) else self._between(derivation)

    def _from(self, derivation: FromNumber) -> _Times:
        unbounded = replace(
            self.target, type=ColumnType.NUMBER, unit=derivation.unit, levels=(), minimum=None, maximum=None
        )
        place = self._place(derivation.source)
        reader = replace(self.reader, column=unbounded)
        read = read_column(self.table.columns[derivation.source], reader, place, self.table.rows, self.findings)
        factor = conversion_factor(derivation.unit, self.target.unit) or np.nan
        return _Times(read.values.to_numpy(dtype=np.float64) * factor, read.invalid)

    def _between(self, derivation: BetweenDates) -> _Times:
        start, bad_start = self._days(derivation.start, derivation.date_format)
        ends = [self._days(name, derivation.date_format) for name in derivation.ends]
        end = np.fmin.reduce([days for days, _ in ends])
        invalid = bad_start | np.logical_or.reduce([bad for _, bad in ends])
        days = end - start
        self._report_negative(days, derivation)
        self._report_missing_start(np.isnan(start) & ~bad_start & ~np.isnan(end), derivation)
        invalid |= days < 0
        values = days * (conversion_factor("days", self.target.unit) or np.nan)
        if derivation.otherwise is None:
            return _Times(values, invalid)
        # A bad end date is no absent one: nothing stands in for it.
        absent = np.isnan(end) & ~invalid
        other = self._times(derivation.otherwise)
        return _Times(np.where(absent, other.values, values), invalid | (absent & other.invalid), absent)

    def _days(self, name: str, date_format: str) -> tuple[FloatArray, BoolArray]:
        """Days since 1970 in the column `name`, and the rows whose cell is not a date."""
        cells = self.table.columns[name]
        texts = pd.Series(cells.texts, dtype=object)
        missing = texts.str.casefold().isin(MISSING_TOKENS | {UNKNOWN}).to_numpy(dtype=np.bool_)
        dates = pd.to_datetime(texts.mask(missing), format=date_format, errors="coerce")
        days = np.asarray((dates - _EPOCH) / _ONE_DAY, dtype=np.float64)
        bad = np.isnan(days) & ~missing
        self._report_dates(cells, bad, name, date_format)
        return days[cells.codes], bad[cells.codes]

    def _any_of(self, derivation: AnyOf) -> TypedColumn:
        holds = np.zeros(self.table.size, dtype=np.bool_)
        for condition in derivation.any_of:
            cells = self.table.columns[condition.column]
            counted = {value.casefold() for value in condition.values}
            holds |= cells.mask(lambda text, counted=counted: text.casefold() in counted)  # type: ignore[misc]
            self._report_counted_as_no(cells, counted, condition.column)
        return TypedColumn.numbers(holds.astype(np.float64), np.zeros_like(holds))

    def _matches(self, derivation: Matches) -> TypedColumn:
        cells = self.table.columns[derivation.matches.column]
        pattern = re.compile(derivation.matches.pattern, re.IGNORECASE)
        found = cells.mask(lambda text: pattern.search(text) is not None).astype(np.float64)
        found[cells.mask(lambda text: text.casefold() in MISSING_TOKENS)] = np.nan
        return TypedColumn.numbers(found, np.zeros(self.table.size, dtype=np.bool_))

    def _constant(self, derivation: Constant) -> TypedColumn:
        place = self._place("")
        read = self.reader.read(derivation.text.strip())
        if not isinstance(read, Fault):
            return read_column(self._everywhere(derivation.text), self.reader, place, self.table.rows, self.findings)
        got = f"the constant {derivation.text!r}"
        self.findings.add(place.finding("bad_constant", Severity.ERROR, WHOLE_FILE, read.expected, got, read.remedy))
        return read_column(self._everywhere(""), replace(self.reader, values={}), place, self.table.rows, self.findings)

    def _everywhere(self, text: str) -> TextColumn:
        return TextColumn(np.zeros(self.table.size, dtype=np.int32), (text.strip(),))

    # Findings

    def _report(self, rows: BoolArray, place: Place, code: str, severity: Severity, says: tuple[str, str, str]) -> None:
        expected, got, remedy = says
        numbers = self.table.rows[rows].tolist()
        self.findings.add_rows(numbers, lambda i: place.finding(code, severity, numbers[i], expected, got, remedy))

    def _report_dates(self, cells: TextColumn, bad: npt.NDArray[np.bool_], name: str, date_format: str) -> None:
        place = self._place(name)
        positions = np.flatnonzero(bad[cells.codes])
        numbers = self.table.rows[positions].tolist()

        def finding_at(i: int) -> Finding:
            got = repr(cells.texts[cells.codes[positions[i]]][:60])
            remedy = "correct the date, or the date_format of the mapping"
            return place.finding("not_a_date", Severity.ERROR, numbers[i], f"a date as {date_format}", got, remedy)

        self.findings.add_rows(numbers, finding_at)

    def _report_negative(self, days: FloatArray, derivation: BetweenDates) -> None:
        place = self._place(" or ".join(derivation.ends))
        positions = np.flatnonzero(days < 0)
        numbers = self.table.rows[positions].tolist()

        def finding_at(i: int) -> Finding:
            got = f"{-days[positions[i]]:.0f} days before it"
            remedy = "correct one of the two dates, or their order in `between`"
            expected = f"a date not before '{derivation.start}'"
            return place.finding("negative_duration", Severity.ERROR, numbers[i], expected, got, remedy)

        self.findings.add_rows(numbers, finding_at)

    def _report_missing_start(self, rows: BoolArray, derivation: BetweenDates) -> None:
        says = ("a start date", "an end date only", "fill in the date; without it the time is missing")
        self._report(rows, self._place(derivation.start), "start_date_missing", Severity.WARNING, says)

    def _report_counted_as_no(self, cells: TextColumn, counted: set[str], name: str) -> None:
        others = {text: n for text, n in cells.frequencies().items() if text.casefold() not in counted | _COUNTED_AS_NO}
        if others:
            got = ", ".join(f"{text!r} x {count}" for text, count in list(others.items())[:20])
            self.findings.add(
                Finding(
                    "counted_as_no",
                    Severity.WARNING,
                    WHOLE_FILE,
                    name,
                    self.target.name,
                    "cells that `in` lists, or ones that say no",
                    got,
                    "add them to `in` if they mean yes",
                )
            )
