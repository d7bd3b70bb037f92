"""Bytes in, lines of text out: whatever is not text in the stated encoding is refused by name."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
from collections.abc import Iterator

from data.findings import WHOLE_FILE, Finding, Severity
from data.reader.limits import MEGABYTE, Limits
from data.reader.signatures import disguise_of

HEADER_ROW = 1
_NUL = "\x00"


class Unreadable(Exception):
    """Nothing can be read any further; carries the finding that says why."""

    def __init__(
        self, code: str, *, expected: str, got: str, remedy: str, row: int = WHOLE_FILE, column: str = ""
    ) -> None:
        super().__init__(code)
        self.finding = Finding(code, Severity.ERROR, row, column, "", expected, got, remedy)


def over_limit(code: str, expected: str, got: str) -> Unreadable:
    """The refusal of a file larger than its limits."""
    return Unreadable(
        code, expected=expected, got=got, remedy="split the file, or use the command line, whose limits are wider"
    )


def refuse_what_is_not_text(content: bytes, limits: Limits, encoding: str | None) -> None:
    """Refuse archives, workbooks, binary files, wrong encodings and files over the limit.

    Raises:
        Unreadable: `content` is one of these.
    """
    if len(content) > limits.max_bytes:
        got = f"{len(content) / MEGABYTE:,.1f} MB"
        raise over_limit("too_many_bytes", f"at most {limits.max_bytes / MEGABYTE:,.0f} MB", got)
    disguise = disguise_of(content, wide_allowed=encoding is not None)
    if disguise:
        raise Unreadable(
            "not_delimited_text", expected="delimited text (CSV)", got=disguise.kind, remedy=disguise.remedy
        )
    offset = content.find(0) if encoding is None else -1
    if offset >= 0:
        raise Unreadable(
            "nul_byte",
            expected="text",
            got=f"a NUL byte at byte {offset:,}",
            remedy="this is a binary file, damaged, or text in UTF-16: save it as 'CSV UTF-8' from its own program",
            row=_record_at(content, offset),
        )
    _refuse_undecodable(content, encoding)


def _refuse_undecodable(content: bytes, encoding: str | None) -> None:
    try:
        # The way in which lines are read later: some encodings are stricter with a stream than with a whole.
        text = _stream(content, encoding).read() if encoding else content.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = content[error.start : error.start + 1].hex()
        raise _not_in_encoding(encoding, f"byte 0x{bad} at byte {error.start:,}", content, error.start) from error
    except UnicodeError as error:
        raise _not_in_encoding(encoding, str(error), content, 0) from error
    except (LookupError, ValueError) as error:
        remedy = "name a text encoding in the mapping, e.g. utf-8 or windows-1252"
        raise Unreadable("unknown_encoding", expected="a text encoding", got=repr(encoding), remedy=remedy) from error
    if encoding is not None and _NUL in text:
        remedy = f"it is not in {encoding}: name the right encoding in the mapping or save it as 'CSV UTF-8'"
        raise Unreadable("nul_byte", expected="text", got="NUL characters", remedy=remedy)


def _not_in_encoding(encoding: str | None, got: str, content: bytes, offset: int) -> Unreadable:
    return Unreadable(
        "not_in_encoding",
        expected=f"text in {encoding or 'UTF-8'}",
        got=got,
        remedy="save it as 'CSV UTF-8', or name its encoding in the mapping, e.g. "
        '"read": {"encoding": "windows-1252"}',
        row=_record_at(content, offset),
    )


def _record_at(content: bytes, offset: int) -> int:
    """Number of the record that holds byte `offset`, the header being 1."""
    before = io.StringIO(content[: offset + 1].decode("latin-1"), newline="")
    lines = list(itertools.dropwhile(_above_header, before))
    try:
        count = sum(1 for record in csv.reader(lines) if len(record) > 1 or "".join(record).strip())
    except csv.Error:  # no table at all: lines are the best there is to count
        count = len(lines)
    return max(HEADER_ROW, count)


def _above_header(line: str) -> bool:
    return not line.strip() or line.startswith(("#", "\xef\xbb\xbf#"))  # a byte-order mark read as latin-1


def lines_of(content: bytes, encoding: str | None) -> Iterator[str]:
    """The physical lines of `content` with their line ends."""
    return iter(_stream(content, encoding))


def _stream(content: bytes, encoding: str | None) -> io.TextIOWrapper:
    # utf-8-sig also reads text without a byte-order mark; other encodings keep it as a character.
    utf8 = encoding is None or codecs.lookup(encoding).name == "utf-8"
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig" if utf8 else encoding, newline="")
