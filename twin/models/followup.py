"""A cohort and an outcome in, times and causes out; and follow-up cut into episodes where decisions take effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from data.schema import Outcome, Specification
from data.units import DAYS_PER_MONTH
from twin.arrays import Flags, Floats, Integers
from twin.models.hazard import Episodes

CENSORED: Final = 0
EVENT: Final = 1
FORESTALLED: Final = 2
"""The competing event came first."""

SAME_TIME_MONTHS: Final = 0.1
"""Times of one patient this close are one time: files round months to a decimal."""

FIRST_DAY_MONTHS: Final = 0.5 / DAYS_PER_MONTH
"""Where an event on the day of time zero is put: at noon, so that the patient was at risk of it."""


@dataclass(frozen=True, eq=False)
class FollowUp:
    """Until when each of n patients was followed for an outcome, and what ended it."""

    months: Floats
    """(n,) above 0; NaN where the outcome is not recorded"""
    cause: Integers
    """(n,) `CENSORED`, `EVENT` or `FORESTALLED`"""

    @property
    def recorded(self) -> Flags:
        """(n,) whether the outcome is recorded."""
        return ~np.isnan(self.months)

    @property
    def last_month(self) -> float:
        """The end of the longest follow-up."""
        return float(np.nanmax(self.months))

    def take(self, rows: Integers | Flags) -> FollowUp:
        """The follow-up of the patients at `rows` (positions, or a mask)."""
        return FollowUp(self.months[rows], self.cause[rows])


def follow_up(frame: pd.DataFrame, spec: Specification, outcome: Outcome) -> FollowUp:
    """The follow-up of a time-to-event outcome.

    The competing event ends it only where it falls on the end of the follow-up for this outcome: somebody who was last
    examined at month 20 and died at month 40 is censored at month 20.

    Raises:
        ValueError: the outcome is binary.
    """
    if outcome.time is None:
        raise ValueError(f"{outcome.name} has no time")
    months = _numbers(frame, outcome.time)
    event = _numbers(frame, outcome.event)
    cause = np.where(event == 1, EVENT, CENSORED)
    if outcome.competing is not None:
        rival = spec.outcome(outcome.competing)
        died = _numbers(frame, rival.event) == 1
        rival_months = _numbers(frame, rival.time or "")
        cause = np.where((cause == CENSORED) & died & (rival_months <= months + SAME_TIME_MONTHS), FORESTALLED, cause)
    unknown = np.isnan(months) | np.isnan(event)
    return FollowUp(np.where(unknown, np.nan, np.maximum(months, FIRST_DAY_MONTHS)), np.where(unknown, CENSORED, cause))


def while_on_plan(followed: FollowUp, decisions: Floats, effect_months: Floats, plan: Floats) -> FollowUp:
    """The follow-up of patients for as long as what was decided agrees with a plan; censored when it no longer does.

    Whoever dies before a decision was on every plan that agrees so far: left out, they would make the others immortal.

    Args:
        followed: (n,) patients.
        decisions: (n, d) 0, 1 or NaN.
        effect_months: (n, d) when each decision takes effect.
        plan: (d,) 0 or 1; NaN where whatever was decided agrees.

    Returns:
        The same patients; months are NaN for those who never were on the plan.
    """
    leaving = np.where(np.isnan(plan) | (decisions == plan), np.inf, effect_months).min(axis=1, initial=np.inf)
    stays = followed.months <= leaving
    months = np.where(leaving > 0, np.minimum(followed.months, leaving), np.nan)
    return FollowUp(months, np.where(stays & (leaving > 0), followed.cause, CENSORED))


def taken(decisions: Floats, effect_months: Floats, followed_until: Floats) -> Floats:
    """Decisions (n, d), one that a patient did not live to counted as not taken; NaN where nobody recorded it.

    Args:
        decisions: (n, d) 0, 1 or NaN.
        effect_months: (n, d) when each decision takes effect.
        followed_until: (n,) months of follow-up.
    """
    lived_to = followed_until[:, None] > effect_months
    return np.where(np.isnan(decisions) & ~lived_to, 0.0, decisions)


def _numbers(frame: pd.DataFrame, column: str) -> Floats:
    if column not in frame:
        return np.full(len(frame), np.nan)
    return frame[column].to_numpy(dtype=float)


def episodes(
    followed: FollowUp, cause: int, inputs: Floats, decisions: Floats, months: Floats, origin: float
) -> Episodes:
    """Follow-up after `origin` in episodes, so that a decision counts from the month it takes effect and not before.

    Whoever dies or is censored before a decision never enters a period in which it acts; whoever lives to it without
    its being recorded leaves at that month.

    Args:
        followed: n patients; those without a recorded outcome, or not followed beyond `origin`, have no episode.
        cause: Which end counts as the event; any other is censoring.
        inputs: (n, p) what does not change.
        decisions: (n, d) 0, 1 or NaN (not recorded).
        months: (n, d) when each decision takes effect.
        origin: The month from which patients are watched.

    Returns:
        Episodes with inputs (m, p + d): `inputs`, then every decision, 0 until it takes effect.
    """
    edges = np.unique(np.concatenate([[origin], months[months > origin]]))
    ends = np.append(edges[1:], np.inf)
    pieces = []
    for start, end in zip(edges, ends, strict=True):
        in_effect = np.where(months <= start, decisions, 0.0)
        rows = np.flatnonzero((followed.months > start) & ~np.isnan(in_effect).any(axis=1))
        stop = np.minimum(followed.months[rows], end)
        event = (followed.cause[rows] == cause) & (followed.months[rows] <= end)
        columns = np.hstack([inputs[rows], in_effect[rows]])
        pieces.append(Episodes(columns, np.full(len(rows), start), stop, event, rows))
    return _joined(_in_order(pieces), decisions.shape[1])


def _in_order(pieces: list[Episodes]) -> Episodes:
    """The episodes of all pieces, patient by patient and in time."""
    whole = Episodes(
        np.vstack([piece.inputs for piece in pieces]),
        np.concatenate([piece.start for piece in pieces]),
        np.concatenate([piece.stop for piece in pieces]),
        np.concatenate([piece.event for piece in pieces]),
        np.concatenate([piece.patient for piece in pieces]),
    )
    return whole.take(np.lexsort((whole.start, whole.patient)))


def _joined(cut: Episodes, decisions: int) -> Episodes:
    """Neighbouring episodes of a patient whose decisions are the same, as one: fewer rows, the same likelihood."""
    if len(cut.start) == 0:
        return cut
    changing = cut.inputs[:, cut.inputs.shape[1] - decisions :]
    opens = np.ones(len(cut.start), dtype=bool)
    opens[1:] = (cut.patient[1:] != cut.patient[:-1]) | (changing[1:] != changing[:-1]).any(axis=1)
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(opens)) - 1
    return Episodes(cut.inputs[first], cut.start[first], cut.stop[last], cut.event[last], cut.patient[first])
