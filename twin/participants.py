"""A cohort in, when its patients were diagnosed, who had what and how long they were followed as Markdown out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from data.cohort import Cohort
from data.schema import Outcome, OutcomeKind, SplitKind
from twin.evaluation.card import table
from twin.metrics.censoring import censoring_survival
from twin.metrics.observed import Observed
from twin.models.followup import CENSORED, EVENT, FORESTALLED, FollowUp, follow_up

NOT_AT_HAND = "Not reported, because the cohort itself was not at hand when this card was written."


def participants(cohort: Cohort | None, outcomes: Sequence[str]) -> Iterator[str]:
    """The flow of the patients who taught a twin; ``None``: they are not in the store any more."""
    yield "### Dates, flow and follow-up"
    yield ""
    if cohort is None:
        yield NOT_AT_HAND
        return
    yield from _dates(cohort)
    yield f"* Rows: {cohort.size}, all of which may teach; an outcome is taught by those in whom it is recorded."
    yield ""
    header = ("Outcome", "Not recorded", "Event", "Forestalled", "Free of it at last", "Median follow-up, months")
    yield from table(header, [_row(cohort, cohort.spec.outcome(name)) for name in outcomes])
    yield ""
    yield "Median follow-up by the reverse Kaplan-Meier estimator (any event hides the end of the follow-up)."


def _dates(cohort: Cohort) -> Iterator[str]:
    columns = [split.column for split in cohort.spec.splits if split.kind is SplitKind.TEMPORAL]
    for column in columns:
        label = cohort.spec.column(column).label
        if cohort.records(column):
            years = cohort.frame[column].dropna()
            yield f"* {label}: {years.min():.0f} to {years.max():.0f}, in {len(years)} of {cohort.size} patients."
        else:
            yield f"* {label} and end of accrual: not reported, because the cohort does not record them."
    yield "* Date of the last follow-up: not reported, because cohorts hold months and no dates."


def _row(cohort: Cohort, outcome: Outcome) -> tuple[str, ...]:
    if outcome.kind is OutcomeKind.BINARY:
        happened = cohort.frame[outcome.event].to_numpy(dtype=float)
        unknown, events, free = (str(int(found.sum())) for found in (np.isnan(happened), happened == 1, happened == 0))
        judged = f"judged at month {outcome.month:g}" if outcome.month else ""
        return outcome.label, unknown, events, "", free, judged
    followed = follow_up(cohort.frame, cohort.spec, outcome)
    known = followed.take(followed.recorded)
    lacking = len(followed.months) - len(known.months)
    ended = (int((known.cause == cause).sum()) for cause in (EVENT, FORESTALLED, CENSORED))
    return (outcome.label, str(lacking), *map(str, ended), _median_follow_up(known))


def _median_follow_up(known: FollowUp) -> str:
    """The first month at which at most half would still be followed if nothing ended it; as words."""
    still = censoring_survival(Observed(known.months, known.cause))
    reached = np.flatnonzero(still.values[0] <= 0.5)
    return f"{still.times[reached[0]]:.1f}" if reached.size else f"not reached by month {known.last_month:.0f}"
