"""Text cells in, typed values out by the rules of the dictionary; what cannot be read is a finding, never a value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.findings import Finding, Findings, Severity
from data.reader.table import BoolArray, IntArray, TextColumn
from data.remedies import remedy_for_level, remedy_for_number, remedy_for_text_as_number
from data.schema import UNKNOWN, Column, ColumnType

MISSING_TOKENS: Final = frozenset({"", "na", "n/a", "nan", "null", "."})
"""Spellings of a missing cell, folded (contract, section 1.1)."""

FLAGS: Final = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "y"), 1.0),
    **dict.fromkeys(("0", "0.0", "false", "no", "n"), 0.0),
}
FORMULA_STARTS: Final = "=+-@\t\r"
NEUTRALISED: Final = re.compile(rf"'(?='*[{re.escape(FORMULA_STARTS)}])")
"""The apostrophe that keeps a spreadsheet from running a text cell."""

_NUMBER: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INFINITE: Final = re.compile(r"[+-]?inf(inity)?", re.IGNORECASE)
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a cell cannot be read."""

    code: str
    expected: str
    remedy: str


Value = float | str | None
"""A number (also of integers and flags), a level or text, or a missing cell."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value comes from and goes to: the column in the file, and the canonical one."""

    source: str
    target: str
    confidential: bool = False
    """Whether its cells must not be repeated in findings, because they identify a person."""

    def finding(
        self, code: str, severity: Severity, row: int, expected: str, got: str, remedy: str
    ) -> Finding:  # the order of the contract's fields
        """A finding at this place; `got` is withheld where it would name a person."""
        said = "a value that is not shown" if self.confidential else got
        return Finding(code, severity, row, self.source, self.target, expected, said, remedy)


@dataclass(frozen=True)
class TypedColumn:
    """Values of one canonical column."""

    values: pd.Series
    """float64 for numbers, integers and flags (NaN: missing), categorical for levels, object for text."""
    invalid: BoolArray
    """Rows that hold something that cannot be read: missing in `values`, and already reported."""

    @classmethod
    def numbers(cls, values: npt.NDArray[np.float64], invalid: BoolArray) -> TypedColumn:
        """A numeric column, missing where `invalid`."""
        return cls(pd.Series(np.where(invalid, np.nan, values), dtype=np.float64), invalid)


@dataclass(frozen=True)
class CellReader:
    """Reads the cells of one canonical column."""

    column: Column
    decimal_comma: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    """Replacements by folded raw cell; the empty key stands for a missing cell."""
    spellings: Mapping[str, str] = field(default_factory=dict)
    """Folded spelling to level: named in remedies, never applied."""

    def read(self, cell: str) -> Value | Fault:
        """The value of one trimmed cell, or why it has none."""
        text = self._mapped(cell)
        level = self._level(text)
        if level is not None:
            return level
        if self._is_missing(text):
            return None
        match self.column.type:
            case ColumnType.CATEGORY:
                return self._unknown_level(text)
            case ColumnType.FLAG:
                return self._flag(text)
            case ColumnType.STRING:
                return NEUTRALISED.sub("", text, count=1) if text.startswith("'") else text
            case _:
                return self._number(text)

    def _mapped(self, cell: str) -> str:
        if not self.values:
            return cell
        folded = cell.casefold()
        if folded in self.values:
            return self.values[folded].strip()
        if "" in self.values and self._level(cell) is None and self._is_missing(cell):
            return self.values[""].strip()
        return cell

    def _is_missing(self, text: str) -> bool:
        folded = text.casefold()
        return folded in MISSING_TOKENS or folded == UNKNOWN

    def _level(self, text: str) -> str | None:
        if self.column.type is not ColumnType.CATEGORY:
            return None
        plain = NEUTRALISED.sub("", text, count=1).casefold()
        return next((level for level in self.column.levels if level.casefold() == plain), None)

    def _unknown_level(self, text: str) -> Fault:
        return Fault("unknown_level", self.column.expected(), remedy_for_level(text, self.column, self.spellings))

    def _flag(self, text: str) -> float | Fault:
        flag = FLAGS.get(text.casefold())
        if flag is not None:
            return flag
        return Fault("not_a_flag", self.column.expected(), remedy_for_level(text, self.column, self.spellings))

    def _number(self, text: str) -> float | Fault:
        number = parse_number(text, decimal_comma=self.decimal_comma)
        if number is None:
            code, remedy = remedy_for_text_as_number(text, self.column, decimal_comma=self.decimal_comma)
            return Fault(code, self.column.expected(), remedy)
        return checked_number(number, self.column)


def parse_number(text: str, *, decimal_comma: bool) -> float | None:
    """The number written in `text`, infinite where it is too large; ``None`` when it is not a number.

    Underscores, hexadecimal digits, thousands separators and digits of other scripts are not numbers here.
    """
    plain = text.replace(",", ".") if decimal_comma and "." not in text else text
    if _INFINITE.fullmatch(plain):
        return math.inf
    return float(plain) if _NUMBER.fullmatch(plain) else None


def checked_number(number: float, column: Column) -> float | Fault:
    """`number` where the dictionary allows it in `column`, else why not."""
    if not math.isfinite(number):
        return Fault("not_finite", column.expected(), "correct the number: it is infinite or too large to be held")
    if column.minimum is not None and not column.minimum <= number <= (column.maximum or 0.0):
        return Fault("out_of_range", column.expected(), remedy_for_number(number, column))
    if column.type is ColumnType.INTEGER and not number.is_integer():
        return Fault("not_a_whole_number", column.expected(), "correct the number or round it where that is meant")
    if column.levels and column.type is ColumnType.INTEGER and number not in map(float, column.levels):
        return Fault("out_of_range", column.expected(), remedy_for_number(number, column))
    return number


def read_column(cells: TextColumn, reader: CellReader, place: Place, rows: IntArray, findings: Findings) -> TypedColumn:
    """The typed values of a column of text, each distinct text read once.

    Args:
        cells: the text, one cell per row.
        reader: the rules.
        place: where the column comes from and goes to.
        rows: record number of each row.
        findings: takes one error for each cell that cannot be read.
    """
    read = {code: reader.read(cells.texts[code]) for code in np.unique(cells.codes)}
    faults = {code: value for code, value in read.items() if isinstance(value, Fault)}
    invalid = np.isin(cells.codes, list(faults))
    _report(faults, lambda code: _shown(cells.texts[code], reader), cells.codes, place, rows, findings)
    by_text = [None if isinstance(value := read.get(code), Fault) else value for code in range(len(cells.texts))]
    return TypedColumn(_series(by_text, cells.codes, reader.column), invalid)


def check_numbers(
    numbers: npt.NDArray[np.float64], column: Column, place: Place, rows: IntArray, findings: Findings
) -> TypedColumn:
    """A computed numeric column, held to the same rules as one that was read."""
    codes, distinct = pd.factorize(numbers, use_na_sentinel=True)
    read = {code: checked_number(float(number), column) for code, number in enumerate(distinct)}
    faults = {code: value for code, value in read.items() if isinstance(value, Fault)}
    _report(faults, lambda code: f"{distinct[code]:.6g} (computed)", codes, place, rows, findings)
    return TypedColumn.numbers(numbers, np.isin(codes, list(faults)))


def _report(
    faults: Mapping[Any, Fault],
    shown: Callable[[int], str],
    codes: npt.NDArray[Any],
    place: Place,
    rows: IntArray,
    findings: Findings,
) -> None:
    for kind in dict.fromkeys(fault.code for fault in faults.values()):
        alike = [code for code, fault in faults.items() if fault.code == kind]
        positions = np.flatnonzero(np.isin(codes, alike))
        bad = codes[positions]

        def finding_at(i: int, positions: IntArray = positions, bad: npt.NDArray[Any] = bad) -> Finding:
            fault = faults[bad[i]]
            row = int(rows[positions[i]])
            return place.finding(fault.code, Severity.ERROR, row, fault.expected, shown(bad[i]), fault.remedy)

        findings.add_rows(rows[positions].tolist(), finding_at)


def _shown(cell: str, reader: CellReader) -> str:
    mapped = reader.values.get(cell.casefold())
    short = cell if len(cell) <= _SHOWN else f"{cell[:_SHOWN]}... ({len(cell):,} characters)"
    return repr(short) if mapped is None else f"{short!r}, which the mapping turns into {mapped!r}"


def _series(by_text: list[Value], codes: IntArray, column: Column) -> pd.Series:
    if column.is_numeric:
        numbers = np.array([np.nan if value is None else value for value in by_text], dtype=np.float64)
        return pd.Series(numbers[codes], dtype=np.float64)
    if column.type is ColumnType.CATEGORY:
        position = {level: code for code, level in enumerate(column.levels)}
        levels = np.array([-1 if value is None else position[str(value)] for value in by_text], dtype=np.int32)
        return pd.Series(pd.Categorical.from_codes(levels[codes], categories=pd.Index(column.levels)))
    texts = np.array([*by_text, None], dtype=object)[:-1]
    return pd.Series(texts[codes], dtype=object)
