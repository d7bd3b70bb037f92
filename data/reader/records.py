"""Lines in, numbered records out: a record that is not well formed is a finding on its own row."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Final

from data.findings import Finding, Findings, Severity
from data.reader.decoding import HEADER_ROW, Unreadable, over_limit

LONGEST_CELL: Final = 131_072
"""Characters; a longer cell is not even read"""


class Records:
    """Numbers the records of a file and reports those that are not well formed."""

    def __init__(self, lines: Iterable[str], delimiter: str, findings: Findings) -> None:
        # The limit belongs to the whole process, and other libraries raise it.
        csv.field_size_limit(LONGEST_CELL)
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)
        self._findings = findings
        self._number = 0
        self.read = 0
        """Records below the header so far, with those that are not well formed."""

    def header(self) -> list[str]:
        """The first record.

        Raises:
            Unreadable: its quotes are not closed.
        """
        try:
            self._number = HEADER_ROW
            header: list[str] = next(self._reader)
        except csv.Error as error:
            raise self._quote_error(str(error)) from error
        return header

    def fitting(self, width: int, max_rows: int) -> Iterator[tuple[int, list[str]]]:
        """The records below the header that have `width` cells, with their numbers; blank lines are no records."""
        while True:
            started = self._reader.line_num
            try:
                record = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                self._number += 1
                self.read += 1
                self._malformed(error, self._reader.line_num - started)
                continue
            if not record or (len(record) == 1 and not record[0].strip()):
                continue
            self._number += 1
            if not "".join(record).strip():
                self._findings.add(self._empty_record())
                continue
            self.read += 1
            if self.read > max_rows:
                raise over_limit("too_many_rows", f"at most {max_rows:,} rows", f"more than {max_rows:,} rows")
            if len(record) == width:
                yield self._number, record
            else:
                self._findings.add(self._ragged(record, width))

    def _malformed(self, error: csv.Error, lines: int) -> None:
        message = str(error)
        if lines > 1 or "end of data" in message:
            # The lines in between were swallowed: going on would lose patients.
            raise self._quote_error(f"a quote that opens here and runs over {lines} lines")
        self._findings.add(self._long_cell() if "field limit" in message else self._quote_error(message).finding)

    def _long_cell(self) -> Finding:
        got = f"more than {LONGEST_CELL:,} characters"
        return Finding("cell_too_long", Severity.ERROR, self._number, "", "", "a short cell", got, "shorten the cell")

    def _quote_error(self, got: str) -> Unreadable:
        return Unreadable(
            "malformed_quotes",
            expected='cells in quotes closed with a quote, quotes inside doubled ("")',
            got=got,
            remedy="close the quote or double it, best by exporting the file again as CSV",
            row=self._number,
        )

    def _ragged(self, record: list[str], width: int) -> Finding:
        surplus = len(record) - width
        if surplus > 0 and not any(cell.strip() for cell in record[width:]):
            remedy = "remove the delimiters at the end of the line"
        elif surplus > 0:
            remedy = "put cells that hold the delimiter in quotes, e.g. decimal commas or free text"
        else:
            remedy = "write an empty cell for each missing value: which cell is absent cannot be guessed"
        return Finding(
            "ragged_row", Severity.ERROR, self._number, "", "", f"{width} cells", f"{len(record)} cells", remedy
        )

    def _empty_record(self) -> Finding:
        return Finding(
            "empty_record",
            Severity.INFO,
            self._number,
            "",
            "",
            "a patient",
            "delimiters only",
            "nothing to do: it is ignored",
        )
