"""A cell that cannot be read in, what its writer should do about it out: by what such cells usually turn out to be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final

from data.schema import Column
from data.units import conversion_factor, convertible_units

_MISSING_CODES: Final = frozenset(
    float(sign + digit * length) for sign in ("", "-") for digit in "789" for length in (1, 2, 3, 4)
)
"""The numbers by which questionnaires and registries write "not known": 9, 99, -9, 888, -7777 and their like."""

_DATE: Final = re.compile(r"(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|\d{1,2}[- ][A-Za-z]{3,9}[- ]\d{2,4})([ T].*)?")
_WITH_UNIT: Final = re.compile(r"[+-]?[0-9.,]+\s*[A-Za-z%][A-Za-z/% ]*")
_WITH_RELATION: Final = re.compile(r"[<>≤≥~]=?\s*[0-9.,]+|[0-9.,]+\s*(\+|-\s*[0-9.,]+)")
_THOUSANDS: Final = re.compile(r"[+-]?\d{1,3}([,. '_]\d{3})+([.,]\d+)?")
_SPREADSHEET_DATES: Final = (20_000, 60_000)
"""Day numbers of 1954 to 2064 as spreadsheets count them."""

_MAP_TO_MISSING: Final = "looks like a code for missing; map it to an empty value in `values`"


def looks_like_date(text: str) -> bool:
    """Whether `text` is written like a calendar date."""
    return _DATE.fullmatch(text) is not None


def looks_like_missing_code(number: float) -> bool:
    """Whether `number` is one of those that stand for "not known" in coded files."""
    return number in _MISSING_CODES


def remedy_for_number(number: float, column: Column) -> str:
    """What to do about a number outside the bounds of `column`."""
    if looks_like_missing_code(number):
        return _MAP_TO_MISSING
    unit = _unit_that_fits(number, column)
    if unit:
        return f"if it is in {unit}, say so in the mapping: " + _derive_hint(column, f'"from": ..., "unit": "{unit}"')
    low, high = _SPREADSHEET_DATES
    if low <= number <= high and number.is_integer():
        return "looks like a date as a spreadsheet counts days: format the column as a date and derive `between`"
    return "correct the value, or map it to an empty value in `values` if it is not known"


def remedy_for_text_as_number(text: str, column: Column, *, decimal_comma: bool) -> tuple[str, str]:
    """Finding code and remedy for text where a number belongs."""
    if looks_like_date(text):
        is_duration = conversion_factor("days", column.unit) is not None
        if not is_duration:
            return "date_not_number", "map the column that holds the number, not the date"
        hint = _derive_hint(column, '"between": [start, end], "date_format": "%Y-%m-%d"')
        return "date_not_duration", f"derive it `between` two dates: {hint}"
    if _WITH_RELATION.fullmatch(text):
        return "not_a_number", f'decide what it counts as and say so in `values`, e.g. {{"{text}": "..."}}'
    if _THOUSANDS.fullmatch(text):
        return "not_a_number", "write the number without thousands separators"
    if "," in text and not decimal_comma:
        return "not_a_number", "write a decimal point: in a file separated by commas a comma cannot be decimal"
    if _WITH_UNIT.fullmatch(text):
        return "not_a_number", "write the number alone; a unit is stated in `derive` with `from` and `unit`"
    return "not_a_number", "correct the cell or map it in `values`; an unknown value is an empty cell"


def remedy_for_level(text: str, column: Column, spellings: Mapping[str, str]) -> str:
    """What to do about text that is none of the levels of `column`."""
    wanted = spellings.get(text.casefold())
    if wanted is not None:
        hint = f'"values": {{"{column.name}": {{"{text}": "{wanted}"}}}}'
        return f"usually written for {wanted}: say so in the mapping: {hint}"
    if looks_like_date(text):
        return "a date: map the column that holds the level, or derive it with `any_of`"
    if _is_missing_code(text):
        return _MAP_TO_MISSING
    near = difflib.get_close_matches(text.casefold(), [level.casefold() for level in column.levels], n=1)
    hint = f" (nearest: {near[0]})" if near else ""
    return f"write one of the levels or map it in `values`{hint}; an unknown value is an empty cell"


def _derive_hint(column: Column, how: str) -> str:
    return f'"derive": {{"{column.name}": {{{how}}}}}'


def _is_missing_code(text: str) -> bool:
    return re.fullmatch(r"-?[0-9]+(\.0)?", text) is not None and looks_like_missing_code(float(text))


def _unit_that_fits(number: float, column: Column) -> str | None:
    if column.minimum is None or column.maximum is None or not column.unit:
        return None
    for unit in convertible_units(column.unit)[1:]:
        factor = conversion_factor(unit, column.unit)
        if factor is not None and column.minimum <= number * factor <= column.maximum and number > column.maximum:
            return unit
    return None
