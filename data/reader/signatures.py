"""The first bytes of a file in, what kind of file it is out, where it is not delimited text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Disguise:
    """A kind of file that is not delimited text, and how to make delimited text of it."""

    kind: str
    remedy: str


_WORKBOOK: Final = "open it in the spreadsheet program and save the sheet as 'CSV UTF-8 (comma delimited)'"
_ARCHIVE: Final = "unpack it and give the CSV file inside"
_STATISTICS: Final = "export the table as CSV (UTF-8) from the program that wrote it"
_UTF8: Final = 'save it as \'CSV UTF-8\', or name the encoding in the mapping: "read": {"encoding": "utf-16"}'

_SIGNATURES: Final = (
    (b"\x1f\x8b", Disguise("a gzip archive", _ARCHIVE)),
    (b"BZh", Disguise("a bzip2 archive", _ARCHIVE)),
    (b"\xfd7zXZ\x00", Disguise("an xz archive", _ARCHIVE)),
    (b"7z\xbc\xaf\x27\x1c", Disguise("a 7-Zip archive", _ARCHIVE)),
    (b"\x28\xb5\x2f\xfd", Disguise("a zstd archive", _ARCHIVE)),
    (b"Rar!", Disguise("a RAR archive", _ARCHIVE)),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Disguise("an old Excel workbook (.xls) or another OLE document", _WORKBOOK)),
    (b"%PDF", Disguise("a PDF document", "ask for the table itself and save it as CSV (UTF-8)")),
    (b"PAR1", Disguise("a Parquet file", _STATISTICS)),
    (b"ARROW1", Disguise("an Arrow file", _STATISTICS)),
    (b"SQLite format 3\x00", Disguise("an SQLite database", _STATISTICS)),
    (b"<stata_dta>", Disguise("a Stata file", _STATISTICS)),
    (b"$FL2", Disguise("an SPSS file", _STATISTICS)),
    (b"{\\rtf", Disguise("a rich-text document", "copy the table into a spreadsheet and save it as CSV (UTF-8)")),
)

_WIDE_MARKS: Final = (
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)

_MARKUP: Final = (
    (b"<", Disguise("an HTML or XML document", "download the CSV file itself, not a page that shows it")),
    (b"{", Disguise("a JSON document", _STATISTICS)),
    (b"[", Disguise("a JSON document", _STATISTICS)),
)


def disguise_of(content: bytes, *, wide_allowed: bool = False) -> Disguise | None:
    """What `content` is instead of delimited text; ``None`` when nothing speaks against text.

    Args:
        content: the file.
        wide_allowed: the mapping names the encoding, so that a mark of UTF-16 or UTF-32 is no surprise.
    """
    if content.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(content)
    for mark, disguise in _SIGNATURES:
        if content.startswith(mark):
            return disguise
    for mark, encoding in _WIDE_MARKS:
        if content.startswith(mark) and not wide_allowed:
            return Disguise(f"text in {encoding}", _UTF8)
    start = content[:64].removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((disguise for mark, disguise in _MARKUP if start.startswith(mark)), None)


def _zip_kind(content: bytes) -> Disguise:
    if b"xl/" in content or b"[Content_Types].xml" in content[:2_000]:
        return Disguise("an Excel workbook (.xlsx)", _WORKBOOK)
    if b"opendocument.spreadsheet" in content[:200]:
        return Disguise("an OpenDocument spreadsheet (.ods)", _WORKBOOK)
    return Disguise("a zip archive", _ARCHIVE)
