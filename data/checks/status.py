"""Two columns that both tell whether the main event happened in, the rows where they disagree out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np

from data.cells import FLAGS
from data.checks.draft import Draft
from data.findings import Severity
from data.names import normalised
from data.reader.table import FloatArray, RawTable, TextColumn
from data.schema import Specification

_INVERSE: Final = frozenset(
    {"censor", "censored", "censoring", "cens", "censor status", "censoring status", "alive", "is alive", "survived"}
)
"""Headers of columns that say that the main event did not happen."""

_NEUTRAL_WORD: Final = "status"
_OTHER_WAY_ROUND: Final = 0.5
"""Share of disagreeing rows from which a column is taken to be coded the other way round, or to mean something else."""


def check_status_columns(draft: Draft, table: RawTable, unused: Iterable[str]) -> None:
    """Compare the main event with columns of the file that nothing uses and that tell the same.

    Args:
        draft: what was read.
        table: the file, with the rows of `draft`.
        unused: names of the source columns that nothing uses.
    """
    event = main_event(draft.spec)
    if not draft.records(event):
        return
    happened = draft.numbers(event)
    for name in unused:
        told = tells(name, table.columns[name], event, draft.spec)
        if told is not None:
            _compare(draft, event, name, happened, told)


def main_event(spec: Specification) -> str:
    """Column of the event whose time is the follow-up."""
    return next(outcome.event for outcome in spec.outcomes if outcome.time == spec.follow_up)


def tells(name: str, cells: TextColumn, event: str, spec: Specification) -> FloatArray | None:
    """What a source column says about `event` in each row (1, 0, NaN); ``None`` when it does not tell."""
    header = normalised(name)
    column = spec.column(event)
    direct = {normalised(alias) for alias in (column.name, *column.aliases)}
    if header not in _INVERSE and header not in direct:
        return None
    words = {spelling.casefold(): float(level) for target, level, spelling in spec.synonyms if target == event}
    # Bare codes under a neutral header could stand for any status: only words tell there.
    accepted = words if _NEUTRAL_WORD in header.split() else {**FLAGS, **words}
    by_text = np.array([accepted.get(text.casefold(), np.nan) for text in cells.texts])
    by_row: FloatArray = by_text[cells.codes]
    if np.isnan(by_row).all():
        return None
    # "alive: Dead" is a word about the patient; "alive: yes" is a word about the header.
    is_word = np.array([text.casefold() in words for text in cells.texts])[cells.codes]
    return np.where(is_word, by_row, 1.0 - by_row) if header in _INVERSE else by_row


def _compare(draft: Draft, event: str, name: str, happened: FloatArray, told: FloatArray) -> None:
    both = ~np.isnan(happened) & ~np.isnan(told)
    disagree = both & (happened != told)
    if not disagree.any():
        return
    if disagree.sum() > _OTHER_WAY_ROUND * both.sum():
        draft.remark(
            event,
            "status_columns_reversed",
            Severity.WARNING,
            f"'{name}' and {event} to tell the same",
            f"they disagree in {int(disagree.sum()):,} of {int(both.sum()):,} rows",
            "make sure that 1 means that the event happened, and map the values if it does not",
        )
        return
    draft.report(
        disagree,
        event,
        "status_columns_disagree",
        Severity.ERROR,
        f"{event} as '{name}' tells it",
        lambda at: f"{event} {happened[at]:g}, where '{name}' means {told[at]:g}",
        f"correct one of the two, or remove '{name}' if it is about something else",
    )
