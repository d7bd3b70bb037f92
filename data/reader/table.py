"""A file as text: named columns of trimmed cells, each distinct text held once, with the record number of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer[Any]]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TextColumn:
    """The cells of one column; work is done once per distinct text, so that millions of rows stay cheap."""

    codes: IntArray
    """One position in `texts` per row."""
    texts: tuple[str, ...]
    """Distinct trimmed cells; after rows were taken, some may no longer occur."""

    @classmethod
    def of(cls, cells: Iterable[str]) -> TextColumn:
        """The column with these cells, trimmed."""
        numbering = Numbering()
        codes = np.fromiter((numbering[cell.strip()] for cell in cells), dtype=np.int32)
        return cls(codes, tuple(numbering))

    def take(self, rows: BoolArray) -> TextColumn:
        """The column with only the rows where `rows` is true."""
        return replace(self, codes=self.codes[rows])

    def mask(self, holds: Callable[[str], bool]) -> BoolArray:
        """Rows whose text fulfils `holds`, shape (rows,)."""
        return np.array([holds(text) for text in self.texts], dtype=np.bool_)[self.codes]

    def frequencies(self) -> dict[str, int]:
        """How often each text occurs, in order of first appearance; texts that do not occur are absent."""
        counts = np.bincount(self.codes, minlength=len(self.texts))
        return {text: int(count) for text, count in zip(self.texts, counts, strict=True) if count}


class Numbering(dict[str, int]):
    """Numbers texts from 0 in the order in which they are first asked for."""

    def __missing__(self, text: str) -> int:
        """The next number, now taken by `text`."""
        number = self[text] = len(self)
        return number


@dataclass(frozen=True, slots=True)
class RawTable:
    """What stands in a readable file, before any meaning is given to it."""

    columns: dict[str, TextColumn]
    """Columns by trimmed header name, in file order."""
    rows: IntArray
    """Record number of each row, the header being 1; records that do not fit the header are absent."""
    records: int
    """Records read below the header, with those that do not fit it."""
    delimiter: str
    encoding: str
    comments: tuple[str, ...] = ()
    """Lines above the header that begin with ``#``, without it."""

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.rows)

    @property
    def decimal_comma(self) -> bool:
        """Whether a comma may be a decimal sign: it is not what separates cells."""
        return self.delimiter != ","

    def take(self, rows: BoolArray) -> RawTable:
        """The table with only the rows where `rows` is true."""
        left_out = int(len(rows) - rows.sum())
        columns = {name: column.take(rows) for name, column in self.columns.items()}
        return replace(self, columns=columns, rows=self.rows[rows], records=self.records - left_out)
