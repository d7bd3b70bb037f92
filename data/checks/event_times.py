"""A draft in, findings about event times that do not fit their event, the follow-up or the calendar out."""

from __future__ import annotations

from typing import Final

from data.checks.draft import Draft
from data.findings import Severity
from data.schema import Outcome

ROUNDING_MONTHS: Final = 0.1
"""Two times that are each kept to one decimal of a month, or one of them in years of 365 days, differ by less."""


def check_event_times(draft: Draft) -> None:
    """Report events without times, times without events, events at time zero, and times beyond the follow-up."""
    for outcome in draft.spec.outcomes:
        if outcome.time is None:
            continue
        _check_pair_of_columns(draft, outcome, outcome.time)
        if outcome.event in draft.columns and outcome.time in draft.columns:
            _check_pairs(draft, outcome, outcome.time)
            _check_dates(draft, outcome, outcome.time)
            if outcome.time != draft.spec.follow_up and draft.spec.follow_up in draft.columns:
                _check_follow_up(draft, outcome, outcome.time)


def _check_pair_of_columns(draft: Draft, outcome: Outcome, time: str) -> None:
    for present, other in ((outcome.event, time), (time, outcome.event)):
        # A required column that is absent has a finding of its own.
        if draft.records(present) and other not in draft.columns and not draft.spec.column(other).required:
            draft.remark(
                present,
                "half_an_outcome",
                Severity.WARNING,
                f"{other} beside {present}",
                f"no column {other}",
                f"map or derive {other}: without it nothing can be learnt about {outcome.label.lower()}",
            )


def _check_pairs(draft: Draft, outcome: Outcome, time: str) -> None:
    happened = draft.numbers(outcome.event) == 1.0
    no_time = draft.absent(time) & (not draft.spec.column(time).required)
    no_event = draft.absent(outcome.event) & (not draft.spec.column(outcome.event).required)
    months = draft.said(time)
    draft.report(
        happened & no_time,
        time,
        "event_without_time",
        Severity.ERROR,
        f"a time where {outcome.event} is 1",
        months,
        "fill in the time, or clear the event if it is not sure",
    )
    draft.report(
        (draft.numbers(outcome.event) == 0.0) & no_time,
        time,
        "censoring_without_time",
        Severity.WARNING,
        f"the time until which {outcome.event} is known not to have happened",
        months,
        "fill in the time: without it the patient does not count for this outcome",
    )
    draft.report(
        draft.recorded(time) & no_event,
        outcome.event,
        "time_without_event",
        Severity.WARNING,
        f"1 or 0 where {time} is recorded",
        draft.said(outcome.event),
        "say whether the event happened: without it the patient does not count for this outcome",
    )
    draft.report(
        happened & (draft.numbers(time) == 0.0),
        time,
        # A disease that never went away is recorded like this, and so is a death in the first month of a registry.
        "event_at_time_zero",
        Severity.WARNING,
        "a time after time zero",
        months,
        "check the date; persistent disease or a time in whole months may be meant",
    )


def _check_dates(draft: Draft, outcome: Outcome, time: str) -> None:
    stand_in = draft.stand_in.get(time)
    if stand_in is not None:
        draft.report(
            stand_in & (draft.numbers(outcome.event) == 1.0),
            time,
            "event_without_date",
            Severity.WARNING,
            f"a date where {outcome.event} is 1",
            lambda _: "no date: the time is that of `else`",
            "fill in the date: the event counts at the end of follow-up as it is",
        )


def _check_follow_up(draft: Draft, outcome: Outcome, time: str) -> None:
    excess = draft.numbers(time) - draft.numbers(draft.spec.follow_up)
    followed = draft.said(draft.spec.follow_up)
    reached = draft.said(time)

    def both(position: int) -> str:
        return f"{reached(position)}, {followed(position)}"

    expected = f"{time} within {draft.spec.follow_up}"
    draft.report(
        excess > ROUNDING_MONTHS,
        time,
        "event_after_last_contact",
        Severity.ERROR,
        expected,
        both,
        "correct one of the two times: nothing can be seen after the last contact",
    )
    draft.report(
        (excess > 0.0) & (excess <= ROUNDING_MONTHS),
        time,
        "event_just_after_last_contact",
        Severity.WARNING,
        expected,
        both,
        "check the rounding of the two times",
    )
    draft.report(
        (draft.numbers(outcome.event) == 0.0) & (excess < -ROUNDING_MONTHS),
        time,
        "censored_before_last_contact",
        Severity.WARNING,
        f"{time} as long as {draft.spec.follow_up} where {outcome.event} is 0",
        both,
        "check whether the patient was followed for this outcome to the end",
    )
