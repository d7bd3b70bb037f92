"""The top of a file in, its comments, header line and delimiter out: decided, never guessed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from data.reader.decoding import HEADER_ROW, Unreadable

DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab"}
_OTHER_DELIMITERS: Final = {"|": "pipe", "^": "caret", "~": "tilde", "¦": "broken bar", "\x1f": "unit separator"}
_QUOTED: Final = re.compile(r'"(?:[^"]|"")*(?:"|$)')
_SEPARATOR_LINE: Final = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""The line by which spreadsheet programs tell each other the delimiter."""


def preamble(lines: Iterator[str]) -> tuple[tuple[str, ...], str, str | None]:
    """The comments above the header, the first line of the header, and the delimiter if a line announces it.

    Raises:
        Unreadable: there is no header.
    """
    comments: list[str] = []
    announced: str | None = None
    for line in lines:
        said = line.removeprefix("\ufeff").strip("\r\n")
        separator = _SEPARATOR_LINE.fullmatch(said)
        if separator:
            announced = separator[1]
        elif said.startswith("#"):
            comments.append(said[1:].strip())
        elif said.strip():
            return tuple(comments), line.removeprefix("\ufeff"), announced
    got = "comments only" if comments else "an empty file"
    raise Unreadable(
        "empty_file", expected="a header and one row per patient", got=got, remedy="export the table again"
    )


def delimiter_of(header_line: str, chosen: str | None) -> str:
    """The delimiter of a file: `chosen` if the header bears it out, else the only one in the header outside quotes.

    Raises:
        Unreadable: none or several could be meant.
    """
    outside = Counter(_QUOTED.sub("", header_line))
    found = [delimiter for delimiter in DELIMITERS if outside[delimiter]]
    if chosen is not None:
        return _chosen_delimiter(chosen, found)
    if len(found) > 1:
        got = " and ".join(f"{outside[delimiter]} x {DELIMITERS[delimiter]}" for delimiter in found)
        raise _delimiter_error(
            "ambiguous_delimiter", got, 'name it in the mapping, e.g. "read": {"delimiter": ";"}, or quote the names'
        )
    others = [name for sign, name in _OTHER_DELIMITERS.items() if outside[sign]]
    if not found and others:
        raise _delimiter_error(
            "unsupported_delimiter", f"a header separated by {others[0]}", "save it with commas, semicolons or tabs"
        )
    return found[0] if found else ","


def _chosen_delimiter(chosen: str, found: list[str]) -> str:
    if chosen not in DELIMITERS:
        raise _delimiter_error(
            "unsupported_delimiter", f"the delimiter {chosen!r}", "save it with commas, semicolons or tabs"
        )
    if found and chosen not in found:
        got = f"a header without {DELIMITERS[chosen]} but with {' and '.join(DELIMITERS[sign] for sign in found)}"
        raise _delimiter_error("delimiter_not_in_header", got, "correct the delimiter in the mapping or leave it out")
    return chosen


def _delimiter_error(code: str, got: str, remedy: str) -> Unreadable:
    expected = "cells separated by comma, semicolon or tab"
    return Unreadable(code, expected=expected, got=got, remedy=remedy, row=HEADER_ROW)
