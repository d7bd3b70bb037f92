"""A source column in, the canonical columns it could be and what speaks against each out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from data.cells import FLAGS
from data.names import Strength, name_strength, normalised, unit_in_name, words_of
from data.reader.table import RawTable
from data.schema import UNKNOWN, Column, ColumnType, Role, Specification
from data.suggestion.evidence import Fit, fit_of
from data.units import conversion_factor

_SURE: Final = 0.95
"""Share of filled rows that must be placed before a column is mapped unasked."""
_WORTH_ASKING: Final = 0.5
_MOST_LEVELS: Final = 50
_SHOWN: Final = 5
_NEUTRAL_WORD: Final = "status"
"""A header with this word does not say what a bare 1 means."""
_DATE_WORDS: Final = frozenset({"date", "of", "dt", "first", "last", "start", "end"})


@dataclass(frozen=True)
class Match:
    """A source column that could be a canonical one."""

    source: str
    column: Column
    strength: Strength
    fit: Fit
    unit: str | None
    """The unit that the name of the source states."""

    @property
    def needs_conversion(self) -> bool:
        """Whether the source is in another unit than the canonical column."""
        return self.unit is not None and self.unit != self.column.unit

    def doubt(self) -> str | None:
        """What speaks against mapping it unasked; ``None`` when nothing does."""
        return next(self._doubts(), None)

    def _doubts(self) -> Iterator[str]:
        fit, column = self.fit, self.column
        if fit.holds_dates:
            yield "holds dates: a duration is derived `between` two of them"
        if fit.is_coded and not self._is_measured:
            yield f"coded levels ({self._shown(fit.unplaced)}): say in `values` what each code means"
        if fit.share < _SURE and (fit.filled or self.strength is not Strength.EXACT):
            yield f"its cells are not {column.expected()}: {self._shown(fit.unplaced) or 'all are empty'}"
        if column.role is Role.TIME and self.unit is None and self.strength is not Strength.EXACT:
            yield "a time without a unit: derive it with `from` and `unit`"
        if self.strength is Strength.WEAK:
            yield f"its name resembles {column.name} ({column.label}) without saying so"
        if column.type is ColumnType.FLAG:
            yield from self._doubts_about_flag()
        if column.role is Role.KEY and (fit.blank or len(fit.values) < fit.filled):
            yield "not one value per row, as an identifier needs"

    def _doubts_about_flag(self) -> Iterator[str]:
        meanings = set(self.fit.values.values())
        if self.fit.blank and meanings == {1.0}:
            shown = self._shown(dict.fromkeys(self.fit.values, 1))
            yield f"only {shown} and {self.fit.blank:,} empty cells: an empty cell could mean no or not known"
        neutral = _NEUTRAL_WORD in normalised(self.source).split() and self.strength is not Strength.EXACT
        if neutral and all(text.replace(".0", "") in ("0", "1") for text in self.fit.values):
            yield "coded 1 and 0, and the name does not say which of them means yes"

    @property
    def _is_measured(self) -> bool:
        return self.column.type in (ColumnType.NUMBER, ColumnType.INTEGER)

    def _shown(self, texts: dict[str, int]) -> str:
        more = ", ..." if len(texts) > _SHOWN else ""
        return ", ".join(f"'{text}'" for text in list(texts)[:_SHOWN]) + more


@dataclass(frozen=True, slots=True)
class Likeness:
    """Canonical columns that a source column could be for another reason than its name."""

    reason: str
    candidates: tuple[str, ...]


def best_matches(source: str, table: RawTable, spec: Specification) -> list[Match]:
    """The canonical columns to which the name of `source` points most surely, and that its cells do not rule out."""
    named = [(name_strength(source, column), column) for column in spec.columns]
    best = max(strength for strength, _ in named)
    if best is Strength.NONE:
        return []
    matches = [_match(source, table, column, strength, spec) for strength, column in named if strength is best]
    return [match for match in matches if best is not Strength.WEAK or _worth_asking(match)]


def look_alikes(source: str, table: RawTable, spec: Specification) -> Likeness | None:
    """Canonical columns whose levels the cells of `source` spell, whatever its name."""
    cells = table.columns[source]
    if len(cells.frequencies()) > _MOST_LEVELS:
        return None
    columns = [column for column in spec.columns if column.type in (ColumnType.CATEGORY, ColumnType.FLAG)]
    alike = [c.name for c in columns if _spells(fit_of(cells, source, c, spec, decimal_comma=table.decimal_comma))]
    return Likeness("its cells look like this, its name does not say so", tuple(alike)) if alike else None


def resembling(source: str, table: RawTable, spec: Specification) -> Likeness | None:
    """Times that the dates in `source` could start or end, by the words of its name."""
    time_columns = [spec.column(outcome.time) for outcome in spec.outcomes if outcome.time]
    if not fit_of(table.columns[source], source, time_columns[0], spec, decimal_comma=False).holds_dates:
        return None
    own = words_of(source) - _DATE_WORDS
    related = {o.time: words_of(" ".join((o.event, *spec.column(o.event).aliases))) for o in spec.outcomes if o.time}
    candidates = tuple(time for time, known in related.items() if own & known)
    return Likeness("holds dates: a duration is derived `between` two of them", candidates) if candidates else None


def _match(source: str, table: RawTable, column: Column, strength: Strength, spec: Specification) -> Match:
    unit = unit_in_name(source, column)
    fit = fit_of(table.columns[source], source, _in_unit(column, unit), spec, decimal_comma=table.decimal_comma)
    return Match(source, column, strength, fit, unit)


def _in_unit(column: Column, unit: str | None) -> Column:
    """`column` with its bounds in another unit."""
    factor = conversion_factor(unit, column.unit) if unit else None
    if factor is None or column.minimum is None or column.maximum is None:
        return column
    return replace(column, unit=unit or "", minimum=column.minimum / factor, maximum=column.maximum / factor)


def _worth_asking(match: Match) -> bool:
    if match.column.type is ColumnType.STRING:
        return False
    about_time = match.column.role is Role.TIME and match.fit.holds_dates
    return about_time or match.fit.share >= _WORTH_ASKING


def _spells(fit: Fit) -> bool:
    """Whether all cells are words for at least two different things; bare codes and plain yes and no tell nothing."""
    told = {value for text, value in fit.values.items() if text.casefold() not in FLAGS and value != UNKNOWN}
    words = all(any(sign.isalpha() for sign in text) for text in fit.values)
    plain = any(text.casefold() in FLAGS for text in fit.values)
    return fit.share >= _SURE and words and not plain and len(told) > 1
