"""What happened to patients in, the loss of each of them out, although follow-up ended before the horizon for some.

The losses are those of `twin.policy.utility`: the share of the months up to the horizon that was lost, a failure by
then, a yes-or-no outcome. Of a censored patient a loss is not seen. In its place stands the patient's jackknife
pseudo-observation (Andersen, Klein & Rosthøj 2003, doi:10.1093/biomet/90.1.15; restricted mean: Andersen, Hansen &
Klein 2004, doi:10.1007/s10985-004-4771-0),

    n x (estimate from everybody) - (n - 1) x (estimate from everybody else),

of the Kaplan-Meier restricted mean or the Aalen-Johansen incidence. Given what is known of a patient at the start, its
mean is that of the loss itself, up to terms that vanish as n grows, so that it may be weighted and regressed like a
loss that was seen (Graw, Gerds & Schumacher 2009, doi:10.1007/s10985-008-9107-z). Without censoring it is that loss.
It was chosen over weights by the inverse probability of being followed because every patient keeps a loss: the weights
would set those censored early to nothing and multiply with the weights of a policy, which leave few patients as it is.

What this costs: a single pseudo-observation may lie outside 0 to 1, and censoring must not depend on what is known of a
patient, nor on what was decided (Binder, Gerds & Andersen 2014, doi:10.1007/s10985-013-9247-7). Patients of later years
are followed for a shorter time; where the year also tells how they fare, that assumption is not quite met.

A value that nobody recorded is handled in the same way: those with a value estimate the mean, and that mean is the
pseudo-observation of a patient without one (leaving that patient out changes nothing), while the others deviate from it
for them too. That needs values to be missing for no reason that matters. Whoever died before a yes-or-no outcome was
judged, however, is known not to have it then: that loss is 0, and the loss of life counts under death; the others are
counted among themselves. A model whose probability of such an outcome is that of those alive then must multiply it by
the probability of being alive, to expect the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import pandas as pd

from data.errors import Refused
from data.schema import Outcome, OutcomeKind, Specification
from twin.arrays import Flags, Floats, Integers
from twin.models.followup import CENSORED, EVENT, FollowUp, follow_up
from twin.policy.utility import HORIZON_MONTHS

FEWEST: Final = 2
"""Patients with a value, so that there is somebody else to leave one out of"""


def observed_losses(
    frame: pd.DataFrame, spec: Specification, outcomes: Sequence[str], horizon: float = HORIZON_MONTHS
) -> Floats:
    """The loss of each patient in each outcome, for weights to be put on: ``utility(losses, weights)``.

    Args:
        frame: Typed columns, one row a patient.
        spec: The disease.
        outcomes: Names of outcomes that are recorded.
        horizon: Month by which events count, and up to which months of life are lost.

    Returns:
        (n, outcomes) pseudo-observations, none of them missing.

    Raises:
        NotFound: an outcome that the disease does not have.
        Refused: an outcome is recorded in fewer than two patients, or nobody is followed to the horizon.
    """
    losses = [_loss(frame, spec, spec.outcome(name), horizon) for name in outcomes]
    return np.column_stack([np.empty((len(frame), 0)), *losses])


def share_lost(followed: FollowUp, horizon: float) -> Floats:
    """(n,) months before the horizon that were lost to the event, as a share of the horizon.

    Args:
        followed: n patients; a competing event ends the time like the event itself.
        horizon: Months, above 0.

    Raises:
        Refused: fewer than two patients are recorded, or nobody is followed to the horizon.
    """
    months, cause = _recorded(followed, horizon)
    lost, lost_without = _LifeTable.of(months, cause).months_lost(horizon)
    return _of_everybody(followed.recorded, lost / horizon, lost_without / horizon)


def incidence(followed: FollowUp, horizon: float) -> Floats:
    """(n,) whether the event happened by the horizon, with whatever forestalls it as a competing event.

    Args:
        followed: n patients.
        horizon: Months; an event in that very month counts.

    Raises:
        Refused: fewer than two patients are recorded, or nobody is followed to the horizon.
    """
    months, cause = _recorded(followed, horizon)
    return _of_everybody(followed.recorded, *_LifeTable.of(months, cause).incidence(horizon))


def judged(values: Floats, died_before: Flags) -> Floats:
    """(n,) whether a yes-or-no outcome was found when it was judged.

    Args:
        values: (n,) 0, 1 or NaN (not recorded).
        died_before: (n,) whether the patient is known to have died before it was judged; 0 where nothing is recorded.

    Raises:
        Refused: it is recorded in fewer than two who were alive then.
    """
    # The dead are known for a reason: they must not stand for the living whose value is missing.
    losses = np.nan_to_num(values)
    living = values[~died_before]
    recorded = ~np.isnan(living)
    found = living[recorded]
    _enough(len(found))
    losses[~died_before] = _of_everybody(recorded, float(found.mean()), (found.sum() - found) / (len(found) - 1))
    return losses


def _loss(frame: pd.DataFrame, spec: Specification, outcome: Outcome, horizon: float) -> Floats:
    try:
        if outcome.kind is OutcomeKind.BINARY:
            return judged(_column(frame, outcome.event), _died_before(frame, spec, outcome.month or 0.0))
        followed = follow_up(frame, spec, outcome)
        return share_lost(followed, horizon) if outcome.kind is OutcomeKind.SURVIVAL else incidence(followed, horizon)
    except Refused as refused:
        raise Refused(f"{outcome.name}: {refused.what}", remedy=refused.remedy) from None


def _column(frame: pd.DataFrame, name: str) -> Floats:
    return frame[name].to_numpy(dtype=float) if name in frame else np.full(len(frame), np.nan)


def _died_before(frame: pd.DataFrame, spec: Specification, month: float) -> Flags:
    """(n,) whether each patient is known to have died by a month: of what ends the follow-up of everything else."""
    found = np.zeros(len(frame), dtype=bool)
    for outcome in spec.outcomes:
        if outcome.kind is OutcomeKind.SURVIVAL and outcome.time == spec.follow_up:
            followed = follow_up(frame, spec, outcome)
            found |= (followed.cause == EVENT) & (np.nan_to_num(followed.months, nan=np.inf) <= month)
    return found


def _recorded(followed: FollowUp, horizon: float) -> tuple[Floats, Integers]:
    """Months and causes of those in whom the outcome is recorded."""
    seen = followed.take(followed.recorded)
    _enough(len(seen.months))
    last = seen.months.max()
    if last < horizon and (seen.cause[seen.months == last] == CENSORED).any():
        raise Refused(
            f"followed to month {last:.0f}, and asked about month {horizon:g}", remedy="ask about an earlier month"
        )
    return seen.months, seen.cause


def _enough(recorded: int) -> None:
    if recorded < FEWEST:
        raise Refused(f"recorded in {recorded} patients", remedy="choose a larger group, or leave the outcome out")


def _of_everybody(recorded: Flags, estimate: float, without: Floats) -> Floats:
    """(n,) pseudo-observations.

    Args:
        recorded: (n,) whether the patient has a value.
        estimate: From all m that have one.
        without: (m,) from all of them but one. Without a patient who has no value it stays the estimate.
    """
    pseudo = np.full(len(recorded), estimate)
    pseudo[recorded] = len(recorded) * estimate - (len(recorded) - 1) * without
    return pseudo


@dataclass(frozen=True, eq=False)
class _LifeTable:
    """Numbers at each of m distinct times, and what becomes of them when one of n patients is left out.

    A patient who leaves at time p is missed from the numbers at risk up to p, from the events at p, and from nothing
    after it. All n curves are therefore pieces of three: one short by a patient, the step at p, and the full curve from
    there on; no curve needs to be computed a second time.
    """

    times: Floats
    at_risk: Floats
    events: Floats
    """Of interest"""
    leaving: Floats
    """By an event of any cause"""
    left: Integers
    """(n,) index of the time at which each patient leaves"""
    own_event: Flags
    """(n,) whether by the event of interest"""
    own_leaving: Flags
    """(n,) whether by any event"""

    @classmethod
    def of(cls, months: Floats, cause: Integers) -> Self:
        """Of n patients."""
        times, left = np.unique(months, return_inverse=True)
        ended = np.bincount(left).astype(float)
        return cls(
            times=times,
            at_risk=ended[::-1].cumsum()[::-1],
            events=np.bincount(left[cause == EVENT], minlength=len(times)).astype(float),
            leaving=np.bincount(left[cause != CENSORED], minlength=len(times)).astype(float),
            left=left.astype(np.intp),
            own_event=np.asarray(cause == EVENT),
            own_leaving=np.asarray(cause != CENSORED),
        )

    def months_lost(self, horizon: float) -> tuple[float, Floats]:
        """Months lost before the horizon, and (n,) the same without each patient."""
        free = _free(self.leaving, self.at_risk)
        until, whole = _area(self.times, free, horizon)
        short = _free(self.leaving, self.at_risk - 1.0)
        until_short, _ = _area(self.times, short, horizon)
        after = np.where(free > 0, _ratio(whole - until, free), horizon - np.minimum(self.times, horizon))
        without = until_short[self.left] + self._free_without(short) * after[self.left]
        return horizon - whole, horizon - without

    def incidence(self, horizon: float) -> tuple[float, Floats]:
        """Cumulative incidence of the event of interest by the horizon, and (n,) the same without each patient."""
        within = self.times <= horizon
        free = _free(self.leaving, self.at_risk)
        steps = _before(free) * _ratio(self.events, self.at_risk) * within
        short = _free(self.leaving, self.at_risk - 1.0)
        steps_short = _before(short) * _ratio(self.events, self.at_risk - 1.0) * within
        earlier = (steps_short.cumsum() - steps_short)[self.left]
        others = _ratio(self.events[self.left] - self.own_event, self.at_risk[self.left] - 1.0)
        now = _before(short)[self.left] * others * within[self.left]
        # Where nobody is left free of events, nobody has one later either.
        after = _ratio(steps.sum() - steps.cumsum(), free)[self.left]
        return float(steps.sum()), earlier + now + self._free_without(short) * after

    def _free_without(self, short: Floats) -> Floats:
        """(n,) probability to be free of events just after each patient's time, without the patient."""
        others = _ratio(self.leaving[self.left] - self.own_leaving, self.at_risk[self.left] - 1.0)
        return np.asarray(_before(short)[self.left] * (1.0 - others))


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient that is 0 where nobody is at risk: a curve stays where it was."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _free(leaving: Floats, at_risk: Floats) -> Floats:
    """(m,) Kaplan-Meier; short of a patient, at a time when all leave, it is 0 and nobody comes later to read it."""
    return np.asarray(np.maximum(1.0 - _ratio(leaving, at_risk), 0.0).cumprod())


def _before(free: Floats) -> Floats:
    """(m,) left limits."""
    return np.concatenate([[1.0], free[:-1]])


def _area(times: Floats, free: Floats, horizon: float) -> tuple[Floats, float]:
    """Area under a curve to each time, (m,), none of it after the horizon; and to the horizon."""
    edges = np.minimum(np.concatenate([[0.0], times]), horizon)
    until = np.asarray((_before(free) * np.diff(edges)).cumsum())
    return until, float(until[-1] + free[-1] * (horizon - edges[-1]))
