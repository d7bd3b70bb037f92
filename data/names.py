"""Column names as people write them in, how sure they point to a canonical column out."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

from data.schema import Column
from data.units import conversion_factor

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?<!(?<![A-Za-z0-9])[a-z])(?=[A-Z][a-z])")
"""Where a word begins in camel case; one small letter alone, as in cGy, is no word."""
_SEPARATORS: Final = re.compile(r"[\W_]+")
_SPELLED_OUT: Final = {"fu": "follow up", "followup": "follow up", "dx": "diagnosis", "yrs": "years", "yr": "years"}
_UNIT_WORDS: Final = {
    "days": "days", "day": "days",
    "weeks": "weeks", "week": "weeks", "wk": "weeks", "wks": "weeks",
    "months": "months", "month": "months", "mo": "months", "mos": "months", "mths": "months",
    "years": "years", "year": "years",
    "gy": "Gy", "cgy": "cGy",
}  # fmt: skip
_FILLERS: Final = frozenset(
    {"at", "of", "the", "in", "by", "patient", "patients", "pt", "value", "diagnosis", "clinical"}
)
"""Words that do not change what a column holds."""


class Strength(IntEnum):
    """How sure a name points to a column."""

    NONE = 0
    WEAK = 1
    """It shares words with the column."""
    STRONG = 2
    """It is an alias or the label, perhaps with a unit or a word that changes nothing."""
    EXACT = 3
    """It is the canonical name, whatever its case and separators."""


def normalised(name: str) -> str:
    """`name` in lower-case words separated by one space: ``"Date_Of-Birth "`` and ``"DateOfBirth"`` are alike."""
    return " ".join(_SEPARATORS.split(_CAMEL.sub(" ", name.strip()).casefold())).strip()


def words_of(name: str) -> frozenset[str]:
    """The words of `name`, abbreviations spelled out."""
    return frozenset(" ".join(_SPELLED_OUT.get(word, word) for word in normalised(name).split()).split())


def name_strength(name: str, column: Column) -> Strength:
    """How sure the source column `name` is the canonical `column`, by its name alone."""
    if normalised(name) == normalised(column.name):
        return Strength.EXACT
    own = _without_unit(words_of(name), column)
    names = [_without_unit(words_of(known), column) for known in (column.name, column.label, *column.aliases)]
    if any(own == known or own - _FILLERS == known for known in names):
        return Strength.STRONG
    return Strength.WEAK if any(known < own or own < known for known in names) else Strength.NONE


def unit_in_name(name: str, column: Column) -> str | None:
    """The unit that the source column `name` states, if it can be converted into that of `column`."""
    stated = {_UNIT_WORDS[word] for word in words_of(name) if word in _UNIT_WORDS}
    possible = [unit for unit in stated if conversion_factor(unit, column.unit) is not None]
    return possible[0] if len(possible) == 1 else None


def _without_unit(words: frozenset[str], column: Column) -> frozenset[str]:
    units = {w for w in words if w in _UNIT_WORDS and conversion_factor(_UNIT_WORDS[w], column.unit) is not None}
    return words - units or words
