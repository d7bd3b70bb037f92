"""What held-out predictions are scored against: a cohort in, the outcomes that can be evaluated, or why not, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from data.cohort import Cohort
from data.schema import Outcome, OutcomeKind
from twin.arrays import Flags, Floats, Integers
from twin.capability import MIN_EVENTS, capability
from twin.metrics.observed import Observed
from twin.models.followup import follow_up
from twin.record import decision_matrix, states_seen
from twin.state import Known
from twin.timeline import locate, question_moment

MIN_FOLLOWED: Final = 20
"""Patients who must be followed to a horizon: fewer say nothing about risks by then."""

GRID_STEP_MONTHS: Final = 1.0
LATER_STEP_MONTHS: Final = 6.0
"""At landmarks, where every patient is unfolded into what may still be seen, month by month; errors of means over time
by so coarse a grid are the same for all models"""


@dataclass(frozen=True, eq=False)
class Target:
    """One outcome as it was seen, and the months at which risks of it are scored.

    All months but `origin` are counted from the month at which the question is asked.
    """

    outcome: Outcome
    rows: Integers
    """(n,) positions in the cohort of the patients in whom the outcome is recorded"""
    observed: Observed
    """Their times and events; a yes-or-no outcome is an event, or a censoring, at the month it is judged"""
    horizons: tuple[float, ...]
    months: Floats
    """(m,) ascending months at which risks are predicted; the horizons are among them"""
    origin: float = 0.0
    """Month from time zero at which the question is asked"""
    landmarks_reached: int = 0
    """Landmarks that lie behind the patients then"""

    @property
    def is_binary(self) -> bool:
        """Whether the outcome is present or absent at one month."""
        return self.outcome.kind is OutcomeKind.BINARY

    @property
    def last_month(self) -> float:
        """The last horizon, months from time zero."""
        return self.origin + self.horizons[-1]

    def column(self, month: float) -> int:
        """Position of `month` among `months`."""
        return int(np.searchsorted(self.months, month))

    def among(self, chosen: Flags) -> Target | str:
        """The target of some of its patients (n,), up to the horizon to which enough of them are followed."""
        observed = self.observed.take(chosen)
        few = _too_few_events(observed)
        if few or self.is_binary:
            return few or replace(self, rows=self.rows[chosen], observed=observed)
        within = _within(observed.time, self.horizons)
        if not within:
            return _not_followed(self.origin + self.horizons[0])
        months = self.months[self.months <= within[-1]]
        return replace(self, rows=self.rows[chosen], observed=observed, horizons=within, months=months)


def target(cohort: Cohort, outcome: Outcome, horizons: Sequence[float]) -> Target | str:
    """The target of an outcome at time zero, or the reason why it cannot be evaluated.

    Horizons beyond the follow-up are left out: at each one at least `MIN_FOLLOWED` patients are still observed.
    """
    if outcome.kind is OutcomeKind.BINARY:
        return _binary(cohort, outcome)
    followed = follow_up(cohort.frame, cohort.spec, outcome)
    rows = np.flatnonzero(followed.recorded)
    seen = followed.take(rows)
    within = _within(seen.months, horizons)
    if not within:
        return _not_followed(min(horizons))
    months = np.union1d(np.arange(0.0, within[-1], GRID_STEP_MONTHS), within)
    return Target(outcome, rows, Observed(seen.months, seen.cause.astype(np.int64)), within, months)


def _binary(cohort: Cohort, outcome: Outcome) -> Target:
    positive = cohort.frame[outcome.event].to_numpy(dtype=float)
    rows = np.flatnonzero(~np.isnan(positive))
    judged = float(outcome.month or 0.0)
    observed = Observed(np.full(len(rows), judged), positive[rows].astype(np.int64))
    return Target(outcome, rows, observed, (judged,), np.array([judged]))


def later(cohort: Cohort, first: Target, landmarks_reached: int, asked: Flags) -> Target | str:
    """The target of the same outcome as it is asked after that many landmarks, or why it cannot be evaluated.

    Its patients were followed beyond the last of these landmarks without the outcome, or what forestalls it, having
    happened.

    Args:
        cohort: All patients.
        first: The target at time zero.
        landmarks_reached: 1 or more.
        asked: (patients,) who may be asked about; see `reached`.
    """
    origin = cohort.spec.landmarks[landmarks_reached - 1].month
    if first.last_month <= origin:
        return f"judged by month {first.last_month:g}, which is not later"
    there = asked[first.rows] & (first.observed.time > origin)
    if not there.any():
        return "nobody is known to have reached it"
    seen = first.observed.take(there)
    horizons = tuple(month - origin for month in first.horizons if month > origin)
    grid = np.union1d(np.arange(0.0, horizons[-1], LATER_STEP_MONTHS), horizons)
    return replace(
        first,
        rows=first.rows[there],
        observed=Observed(seen.time - origin, seen.event),
        horizons=horizons,
        months=np.array(horizons) if first.is_binary else grid,
        origin=origin,
        landmarks_reached=landmarks_reached,
    ).among(np.ones(int(there.sum()), dtype=bool))


def reached(cohort: Cohort, landmarks_reached: int) -> Flags:
    """(patients,) who is shown to have lived to a landmark by what is recorded before the question that follows it."""
    spec = cohort.spec
    known = Known.at(cohort.frame, spec, question_moment(spec, landmarks_reached)).frame
    recorded = decision_matrix(spec, known)
    assumed = capability(cohort).with_held(spec, recorded)
    place = locate(spec, recorded, assumed, states_seen(spec, known))
    return np.asarray(place.landmarks_reached >= landmarks_reached)


def _within(time: Floats, horizons: Sequence[float]) -> tuple[float, ...]:
    return tuple(sorted(float(month) for month in horizons if (time >= month).sum() >= MIN_FOLLOWED))


def _not_followed(month: float) -> str:
    return f"fewer than {MIN_FOLLOWED} patients are followed to the first horizon, month {month:g}"


def _too_few_events(observed: Observed) -> str:
    if min(observed.events, observed.size - observed.events) >= MIN_EVENTS:
        return ""
    return f"{observed.events} events in {observed.size} patients, at least {MIN_EVENTS} with and without are needed"
