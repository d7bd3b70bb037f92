"""What held-out predictions are scored against: a cohort in, the outcomes that can be evaluated, or why not, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.cohort import Cohort
from data.schema import Outcome, OutcomeKind
from twin.arrays import Floats, Integers
from twin.metrics.observed import Observed
from twin.models.followup import follow_up

MIN_FOLLOWED: Final = 20
"""Patients who must be followed to a horizon: fewer say nothing about risks by then."""

GRID_STEP_MONTHS: Final = 1.0


@dataclass(frozen=True, eq=False)
class Target:
    """One outcome as it was seen, and the months at which risks of it are scored."""

    outcome: Outcome
    rows: Integers
    """(n,) positions in the cohort of the patients in whom the outcome is recorded"""
    observed: Observed
    """Their times and events; a yes-or-no outcome is an event, or a censoring, at the month it is judged"""
    horizons: tuple[float, ...]
    months: Floats
    """(m,) ascending months at which risks are predicted; the horizons are among them"""

    @property
    def is_binary(self) -> bool:
        """Whether the outcome is present or absent at one month."""
        return self.outcome.kind is OutcomeKind.BINARY

    def column(self, month: float) -> int:
        """Position of `month` among `months`."""
        return int(np.searchsorted(self.months, month))


def target(cohort: Cohort, outcome: Outcome, horizons: Sequence[float]) -> Target | str:
    """The target of an outcome, or the reason why it cannot be evaluated.

    Horizons beyond the follow-up are left out: at each one at least `MIN_FOLLOWED` patients are still observed.
    """
    if outcome.kind is OutcomeKind.BINARY:
        return _binary(cohort, outcome)
    followed = follow_up(cohort.frame, cohort.spec, outcome)
    rows = np.flatnonzero(followed.recorded)
    seen = followed.take(rows)
    within = tuple(sorted(float(month) for month in horizons if (seen.months >= month).sum() >= MIN_FOLLOWED))
    if not within:
        return f"fewer than {MIN_FOLLOWED} patients are followed to the first horizon, month {min(horizons):g}"
    months = np.union1d(np.arange(0.0, within[-1], GRID_STEP_MONTHS), within)
    return Target(outcome, rows, Observed(seen.months, seen.cause.astype(np.int64)), within, months)


def _binary(cohort: Cohort, outcome: Outcome) -> Target:
    positive = cohort.frame[outcome.event].to_numpy(dtype=float)
    rows = np.flatnonzero(~np.isnan(positive))
    judged = float(outcome.month or 0.0)
    observed = Observed(np.full(len(rows), judged), positive[rows].astype(np.int64))
    return Target(outcome, rows, observed, (judged,), np.array([judged]))
