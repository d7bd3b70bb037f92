"""Files that are fine in all the ways in which files differ, and the numbering of records."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data.findings import Findings
from data.reader.limits import COMMAND_LINE_LIMITS, PAGE_LIMITS
from data.reader.read import read_table
from data.reader.table import RawTable

PLAIN = "a,b\n1,x\n2,y\n"


def read(content: bytes, **options: str) -> tuple[RawTable | None, list[str]]:
    findings = Findings()
    table = read_table(content, findings, **options)
    return table, [finding.code for finding in findings]


def cells(table: RawTable | None) -> dict[str, list[str]]:
    assert table is not None
    return {name: [column.texts[code] for code in column.codes] for name, column in table.columns.items()}


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.rstrip().encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        ("sep=;\n" + PLAIN.replace(",", ";")).encode(),
        ("# a note\n\n# another, with a comma\n" + PLAIN).encode(),
        PLAIN.replace("\n", "\n\n").encode(),
        b' a , "b"\n1 ,"x"\n 2,y  \n',
    ],
)
def test_the_same_table_in_every_form(content: bytes) -> None:
    table, codes = read(content)
    assert codes == []
    assert cells(table) == {"a": ["1", "2"], "b": ["x", "y"]} or cells(table) == {"a": ["1", "2"], '"b"': ["x", "y"]}


def test_a_quoted_cell_keeps_delimiters_quotes_and_line_breaks() -> None:
    table, codes = read(b'a,b\n"1,5","he said ""no""\nand left"\n2,z\n')
    assert codes == []
    assert cells(table) == {"a": ["1,5", "2"], "b": ['he said "no"\nand left', "z"]}
    assert table is not None
    assert table.rows.tolist() == [2, 3]


def test_rows_count_records_not_lines() -> None:
    table, codes = read(b'# note\n\na,b\n"1\n1",x\n\n,\n2,y\n3\n4,z\n')
    assert codes == ["empty_record", "ragged_row"]
    assert table is not None
    assert table.rows.tolist() == [2, 4, 6]
    assert table.records == 4


def test_delimiters_inside_quoted_names_do_not_count() -> None:
    table, codes = read(b'a;"b, in months"\n1;2,5\n')
    assert codes == []
    assert cells(table) == {"a": ["1"], "b, in months": ["2,5"]}


def test_another_encoding_is_read_when_it_is_named() -> None:
    table, codes = read("a,ä\nö,1\n".encode("windows-1252"), encoding="windows-1252")
    assert (codes, cells(table)) == ([], {"a": ["ö"], "ä": ["1"]})
    table, codes = read(PLAIN.encode("utf-16"), encoding="utf-16")
    assert (codes, cells(table)) == ([], {"a": ["1", "2"], "b": ["x", "y"]})


def test_a_named_encoding_that_does_not_fit_is_refused() -> None:
    assert read(PLAIN.encode(), encoding="utf-16")[0] is None
    assert read("a,ä\n".encode("latin-1"), encoding="ascii") == (None, ["not_in_encoding"])


def test_binary_noise_without_a_line_end_is_refused() -> None:
    assert read(b"x" * 300_000 + b"\x00") == (None, ["nul_byte"])


def test_an_empty_column_without_a_name_is_only_a_note() -> None:
    table, codes = read(b"a,b,\n1,2,\n")
    assert codes == ["blank_column_name"]
    assert cells(table) == {"a": ["1"], "b": ["2"]}


def test_a_delimiter_that_the_header_does_not_have_is_refused() -> None:
    assert read(PLAIN.encode(), delimiter=";") == (None, ["delimiter_not_in_header"])


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (replace(COMMAND_LINE_LIMITS, max_bytes=10), "too_many_bytes"),
        (replace(COMMAND_LINE_LIMITS, max_rows=1), "too_many_rows"),
        (replace(COMMAND_LINE_LIMITS, max_columns=1), "too_many_columns"),
    ],
)
def test_a_file_over_a_limit_is_refused(limits: object, code: str) -> None:
    findings = Findings()
    assert read_table(PLAIN.encode(), findings, limits) is None  # type: ignore[arg-type]
    assert [finding.code for finding in findings] == [code]


def test_a_file_at_its_limits_is_read() -> None:
    limits = replace(COMMAND_LINE_LIMITS, max_bytes=len(PLAIN), max_rows=2, max_columns=2, max_cell_bytes=1)
    findings = Findings()
    assert read_table(PLAIN.encode(), findings, limits) is not None
    assert len(findings) == 0


def test_the_limits_are_those_of_the_contract() -> None:
    assert (PAGE_LIMITS.max_bytes, PAGE_LIMITS.max_rows) == (10_000_000, 50_000)
    assert (COMMAND_LINE_LIMITS.max_bytes, COMMAND_LINE_LIMITS.max_rows) == (512_000_000, 2_000_000)
    assert {(limits.max_columns, limits.max_cell_bytes) for limits in (PAGE_LIMITS, COMMAND_LINE_LIMITS)} == {
        (2_000, 10_000)
    }
