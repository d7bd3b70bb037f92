"""Bytes in, a table of text cells out: strict about structure, silent about meaning, every fault a finding."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator
from typing import Final

import numpy as np

from data.findings import WHOLE_FILE, Finding, Findings, Severity
from data.reader.decoding import HEADER_ROW, Unreadable, lines_of, over_limit, refuse_what_is_not_text
from data.reader.header import delimiter_of, preamble
from data.reader.limits import COMMAND_LINE_LIMITS, Limits
from data.reader.records import Records
from data.reader.table import IntArray, Numbering, RawTable, TextColumn

_CHUNK: Final = 10_000


def read_table(
    content: bytes,
    findings: Findings,
    limits: Limits = COMMAND_LINE_LIMITS,
    *,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> RawTable | None:
    """The cells of a delimited text file.

    Args:
        content: the file.
        findings: takes every fault of structure; a fault of one record is on that record's row.
        limits: how large the file may be.
        delimiter: comma, semicolon or tab; decided on the header where ``None``.
        encoding: a text encoding; UTF-8, with or without a byte-order mark, where ``None``.

    Returns:
        The table without the records that do not fit the header; ``None`` when the file is unreadable.
    """
    try:
        return _read(content, findings, limits, delimiter, encoding)
    except Unreadable as stop:
        findings.add(stop.finding)
        return None


def _read(content: bytes, findings: Findings, limits: Limits, delimiter: str | None, encoding: str | None) -> RawTable:
    refuse_what_is_not_text(content, limits, encoding)
    lines = lines_of(content, encoding)
    comments, header_line, announced = preamble(lines)
    chosen = delimiter_of(header_line, delimiter or announced)
    records = Records(itertools.chain([header_line], lines), chosen, findings)
    header = records.header()
    if len(header) > limits.max_columns:
        raise over_limit("too_many_columns", f"at most {limits.max_columns:,} columns", f"{len(header):,} columns")
    numbers, columns = _coded(records.fitting(len(header), limits.max_rows), len(header))
    named = _named(header, columns, findings)
    _report_long_cells(named, numbers, limits.max_cell_bytes, findings)
    if records.read == 0:
        findings.add(_no_rows())
    return RawTable(named, numbers, records.read, chosen, encoding or "utf-8", comments)


def _named(header: list[str], columns: list[TextColumn], findings: Findings) -> dict[str, TextColumn]:
    named: dict[str, TextColumn] = {}
    for position, (name, column) in enumerate(zip((cell.strip() for cell in header), columns, strict=True), start=1):
        if not name:
            findings.add(_blank_name(position, column))
        elif name in named:
            findings.add(_duplicate_name(position, name))
        else:
            named[name] = column
    return named


def _blank_name(position: int, column: TextColumn) -> Finding:
    filled = sum(count for text, count in column.frequencies().items() if text)
    severity = Severity.ERROR if filled else Severity.INFO
    got = f"no name above column {position}, with {filled:,} filled cells" if filled else f"an empty column {position}"
    remedy = "give the column a name or remove it" if filled else "nothing to do: it is ignored"
    return Finding("blank_column_name", severity, HEADER_ROW, "", "", "a name above every column", got, remedy)


def _duplicate_name(position: int, name: str) -> Finding:
    return Finding(
        "duplicate_column",
        Severity.ERROR,
        HEADER_ROW,
        name,
        "",
        "each column name once",
        f"'{name}' again as column {position}",
        "rename or remove one of the two: which one counts cannot be guessed",
    )


def _coded(records: Iterator[tuple[int, list[str]]], width: int) -> tuple[IntArray, list[TextColumn]]:
    numbers = array("q")
    numberings = [Numbering() for _ in range(width)]
    codes = [array("i") for _ in range(width)]
    while chunk := list(itertools.islice(records, _CHUNK)):
        numbers.extend(number for number, _ in chunk)
        for numbering, coded, cells in zip(
            numberings, codes, zip(*(cells for _, cells in chunk), strict=True), strict=True
        ):
            coded.extend(map(numbering.__getitem__, cells))
    columns = [_trimmed(numbering, coded) for numbering, coded in zip(numberings, codes, strict=True)]
    return np.frombuffer(numbers, dtype=np.int64).copy(), columns


def _trimmed(numbering: Numbering, codes: array[int]) -> TextColumn:
    trimmed = Numbering()
    renumbered = np.array([trimmed[text.strip()] for text in numbering], dtype=np.int32)
    return TextColumn(renumbered[np.frombuffer(codes, dtype=np.int32)], tuple(trimmed))


def _report_long_cells(
    columns: dict[str, TextColumn], numbers: IntArray, max_cell_bytes: int, findings: Findings
) -> None:
    for name, column in columns.items():
        if max(map(len, column.texts), default=0) * 4 <= max_cell_bytes:
            continue
        sizes = np.array([len(text.encode("utf-8", "surrogatepass")) for text in column.texts])[column.codes]
        for row, size in zip(numbers[sizes > max_cell_bytes], sizes[sizes > max_cell_bytes], strict=True):
            findings.add(
                Finding(
                    "cell_too_long",
                    Severity.ERROR,
                    int(row),
                    name,
                    "",
                    f"at most {max_cell_bytes:,} bytes",
                    f"{size:,} bytes",
                    "shorten the cell; a quote that is never closed can swallow lines",
                )
            )


def _no_rows() -> Finding:
    return Finding(
        "no_rows", Severity.ERROR, WHOLE_FILE, "", "", "one row per patient", "a header only", "export the table again"
    )
