"""The cells of a source column in, how well they fit a canonical column out: evidence, never applied unasked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from data.cells import CellReader, Fault, Value
from data.names import words_of
from data.reader.table import TextColumn
from data.remedies import looks_like_date
from data.schema import Column, ColumnType, Specification

_QUALIFIER: Final = re.compile(r"\s*[(\[].*|\s+[-\u2013:]\s+.*")
"""What follows a level to qualify it: "T2 (2)", "Other cause - treatment related"."""
_SUBSTAGE: Final = re.compile(r"c?(?P<level>.*[0-9IVX])[a-d][1-3]?", re.IGNORECASE)
"""A stage with the letter that subdivides it, and perhaps the mark of clinical staging: T4a, cN2b, IVA."""
_LONGEST_LEVEL: Final = 200
_CODE: Final = re.compile(r"[+-]?[0-9]+(\.0)?")


@dataclass(frozen=True)
class Fit:
    """How the cells of a source column fit a canonical column."""

    values: dict[str, Value]
    """What each filled cell that can be placed means."""
    spelled: dict[str, str]
    """Cells that need replacing, and the text that replaces them."""
    unplaced: dict[str, int]
    """Cells that cannot be placed, and how often they occur."""
    filled: int
    """Rows with something in them."""
    blank: int
    """Rows with nothing in them."""

    @property
    def share(self) -> float:
        """Share of the filled rows that can be placed; 0 where nothing is filled."""
        return 1.0 - sum(self.unplaced.values()) / self.filled if self.filled else 0.0

    @property
    def is_coded(self) -> bool:
        """Whether most of what cannot be placed are bare numbers: codes whose meaning stands elsewhere."""
        return self._mostly(lambda text: _CODE.fullmatch(text) is not None)

    @property
    def holds_dates(self) -> bool:
        """Whether the cells are calendar dates."""
        return self._mostly(looks_like_date)

    def _mostly(self, holds: Callable[[str], bool]) -> bool:
        counted = sum(count for text, count in self.unplaced.items() if holds(text))
        return counted > self.filled / 2


def fit_of(cells: TextColumn, name: str, column: Column, spec: Specification, *, decimal_comma: bool) -> Fit:
    """How the cells of the source column `name` fit `column`."""
    placing = _Placing(CellReader(column, decimal_comma), _spellings(column, spec), words_of(name))
    values: dict[str, Value] = {}
    spelled: dict[str, str] = {}
    unplaced: dict[str, int] = {}
    filled = blank = 0
    for text, count in cells.frequencies().items():
        read, replacement = placing.place(text)
        if read is None:
            blank += count
            continue
        filled += count
        if isinstance(read, Fault):
            unplaced[text] = count
            continue
        values[text] = read
        if replacement is not None:
            spelled[text] = replacement
    return Fit(values, spelled, unplaced, filled, blank)


def _spellings(column: Column, spec: Specification) -> dict[str, str]:
    return {spelling.casefold(): level for target, level, spelling in spec.synonyms if target == column.name}


@dataclass(frozen=True)
class _Placing:
    reader: CellReader
    spellings: dict[str, str]
    header: frozenset[str]

    def place(self, text: str) -> tuple[Value | Fault, str | None]:
        """What a cell means, and the text that would have to stand for it where it is spelled otherwise."""
        read = self.reader.read(text)
        if not isinstance(read, Fault) or len(text) > _LONGEST_LEVEL:
            return read, None
        for candidate in self._candidates(text):
            other = self.reader.read(candidate)
            if other is not None and not isinstance(other, Fault):
                return other, str(other) if isinstance(other, str) else candidate
        return read, None

    def _candidates(self, text: str) -> Iterator[str]:
        """Texts that could stand for `text`, surest first."""
        for form in dict.fromkeys((text, _QUALIFIER.sub("", text))):
            known = self.spellings.get(form.casefold())
            if known is not None:
                yield known
            if self.reader.column.type is ColumnType.CATEGORY:
                yield re.sub(r"[\s-]+", "_", form)
                yield from self._stages(form)
            if form != text:
                yield form
            yield from self._without_name(form)

    def _stages(self, text: str) -> Iterator[str]:
        substage = _SUBSTAGE.fullmatch(text)
        if substage:
            yield substage["level"]
        yield text.removeprefix("c")

    def _without_name(self, text: str) -> Iterator[str]:
        """What is left of a cell that repeats the name of its column: "ECOG 0" under "ECOG PS"."""
        column = self.reader.column
        naming = self.header | words_of(column.name) | words_of(column.label)
        head, _, rest = text.rpartition(" ")
        if head and words_of(head) <= naming:
            yield rest
            if column.type is ColumnType.CATEGORY:
                yield from self._stages(rest)
