"""A CSV table of evidence in, the cells of each row as checked values out, and every fault of the table at once."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import resources
from pathlib import Path
from typing import TypeVar

from data.errors import SpecificationError
from data.evidence.groups import Group, parse_group
from data.evidence.table import NO, YES
from data.schema import Specification

_Kind = TypeVar("_Kind", bound=StrEnum)


def shipped(stem: str) -> Path | None:
    """The table of that name beside this module; ``None`` when there is none."""
    tables = {path.stem: path for path in Path(str(resources.files("data.evidence"))).glob("*.csv")}
    return tables.get(stem)


def read_rows(path: Path, header: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Rows of the table at `path` with the line each ends on.

    Cells that are not there are empty, surplus cells stand under an empty name.

    Raises:
        SpecificationError: this is no CSV file in UTF-8, or its columns are others than `header`.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle, strict=True, restkey="", restval="")
            found = tuple(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (csv.Error, UnicodeDecodeError) as error:
        raise SpecificationError(
            f"evidence {path.name} is no CSV file in UTF-8: {error}", remedy="save it as one"
        ) from error
    if found != header:
        refuse(path, [fault(1, "header", ",".join(header), ",".join(found), "name these columns in this order")])
    return rows


def fault(line: int, column: str, expected: str, got: str, remedy: str) -> str:
    """One fault of a table in words."""
    return f"line {line}, column {column}: expected {expected}, got '{got}' ({remedy})"


def refuse(path: Path, faults: list[str]) -> None:
    """Raise the faults of the table at `path`, if there are any.

    Raises:
        SpecificationError: there are; the message holds them all.
    """
    if faults:
        raise SpecificationError(f"evidence {path.name} cannot be used: " + "; ".join(faults))


@dataclass
class Cells:
    """The cells of one row, and what is wrong with them."""

    line: int
    row: dict[str, str]
    spec: Specification
    faults: list[str] = field(default_factory=list)

    def fault(self, column: str, expected: str, got: str, remedy: str) -> None:
        """Note that the cell of `column` holds something else than it should."""
        self.faults.append(fault(self.line, column, expected, got, remedy))

    def check_surplus(self) -> None:
        """Nothing stands after the last column."""
        if "" in self.row:
            last = list(self.row)[-2]
            self.fault(last, "nothing after the last column", str(self.row[""]), "put text with commas in quotes")

    def text(self, column: str) -> str:
        """Text that must not be empty."""
        if not self.row[column].strip():
            self.fault(column, "a value", self.row[column], "fill it in or take the row out")
        return self.row[column]

    def number(self, column: str, *, above: float = 0.0, below: float = math.inf) -> float | None:
        """A number between two bounds, both excluded; ``None`` for an empty cell, NaN for a fault."""
        text = self.row[column]
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if above < value < below:
            return value
        bounds = [f"{word} {bound:g}" for word, bound in (("above", above), ("below", below)) if math.isfinite(bound)]
        expected = " ".join(["a number", " and ".join(bounds)]).strip()
        self.fault(column, expected, text, "write it as the publication does, with a point")
        return math.nan

    def required(self, column: str, *, above: float = 0.0) -> float:
        """A number that must be there; NaN for a fault."""
        value = self.number(column, above=above) if self.text(column) else None
        return math.nan if value is None else value

    def whole(self, column: str) -> int | None:
        """A whole number above 0; ``None`` for an empty cell or a fault."""
        value = self.number(column)
        if value is None or math.isnan(value):
            return None
        if not value.is_integer():
            self.fault(column, "a whole number", self.row[column], "write it without a fraction")
        return int(value)

    def flag(self, column: str) -> bool:
        """Yes or no."""
        if self.row[column] not in (YES, NO):
            self.fault(column, f"{YES} or {NO}", self.row[column], "say one of the two")
        return self.row[column] == YES

    def one_of(self, column: str, kind: type[_Kind], fallback: _Kind) -> _Kind:
        """One of the words of `kind`; `fallback` for a fault."""
        if self.row[column] in list(kind):
            return kind(self.row[column])
        self.fault(column, "one of " + ", ".join(kind), self.row[column], "use one of these words")
        return fallback

    def group(self) -> Group:
        """Whom the row is about; everybody for a fault."""
        try:
            return parse_group(self.row["group"], self.spec)
        except ValueError as error:
            self.fault("group", str(error), self.row["group"], "describe the group in columns of the dictionary")
            return Group()

    def check_known(self, column: str, names: tuple[str, ...], moment: str) -> None:
        """Every column of `names`, which the cell of `column` mentions, is known before `moment`."""
        known = [entry.name for entry in self.spec.available_before(moment)]
        for name in names:
            if name not in known:
                self.fault(column, f"columns known before {moment}", name, "a later value cannot say whom to treat")
