"""A group of patients in, what happened to them out: the second opinion beside a prediction, free of any model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest, norm

from data.cohort import Cohort
from data.errors import Refused
from data.schema import Specification
from twin.arrays import Floats, Integers
from twin.curve import Estimate, RiskCurve
from twin.models.followup import CENSORED, EVENT, FollowUp, follow_up, while_on_plan
from twin.timeline import OPEN, effect_months, plan_digits


@dataclass(frozen=True, eq=False)
class ObservedRisk:
    """Kaplan-Meier (or, with a competing event, Aalen-Johansen) risk of a group of patients."""

    curve: RiskCurve
    """At the months asked for that lie within the group's follow-up"""
    months: Floats
    """(m,) all months asked for"""
    at_risk: Integers
    """(m,) patients still followed and free of any event just before each of `months`"""
    patients: int
    events: int


@dataclass(frozen=True)
class ObservedShare:
    """Share of a group with a binary outcome, with Wilson's interval."""

    share: Estimate
    patients: int
    events: int
    interval: str


def observed_risk(
    frame: pd.DataFrame, spec: Specification, outcome: str, months: Sequence[float] | Floats, level: float = 0.90
) -> ObservedRisk:
    """Observed risk of a time-to-event outcome in the patients of `frame`.

    Aalen & Johansen 1978 (Scand J Stat 5:141-150), which without a competing event is one minus Kaplan & Meier 1958
    (doi:10.1080/01621459.1958.10501452). Variance by the delta method, which without a competing event is Greenwood's;
    pointwise intervals on the scale of log(-log(1 - risk)), and Wilson's where nobody or everybody had the event.

    Args:
        frame: Typed columns, one row a patient.
        spec: The disease.
        outcome: Name of a time-to-event outcome.
        months: (m,) ascending.
        level: Coverage of the intervals.

    Raises:
        Refused: no patient has the outcome recorded.
    """
    return _observed(follow_up(frame, spec, spec.outcome(outcome)), outcome, months, level)


def matched_plan(spec: Specification, plan: str) -> str:
    """The part of `plan` that observed patients are matched on: decisions that an outcome can bring about stay open.

    They are recorded without a date. Matched on them, failures that were treated so would leave the plans without such
    a treatment and fill those with it: the observed difference would be what the failure did, not what the plan does.
    """
    digits = zip(spec.decisions, plan, strict=True)
    return "".join(OPEN if decision.column in spec.brought_about else digit for decision, digit in digits)


def observed_on_plan(
    cohort: Cohort,
    outcome: str,
    plan: str,
    decisions: Floats,
    months: Sequence[float] | Floats,
    alive_until: float = 0.0,
    level: float = 0.90,
) -> ObservedRisk:
    """The same in a cohort's patients for as long as they were on `plan`, of those alive at month `alive_until`.

    Only the decisions of `matched_plan` make a patient leave it.

    Args:
        cohort: The patients.
        outcome: Name of a time-to-event outcome.
        plan: A complete plan.
        decisions: (n, d) decisions of the patients, held ones filled in.
        months: (m,) ascending.
        alive_until: Months; earlier events are left out, as in a prediction that starts there.
        level: Coverage of the intervals.

    Raises:
        Refused: no patient was on the plan at that month.
    """
    spec = cohort.spec
    followed = follow_up(cohort.frame, spec, spec.outcome(outcome))
    matched = plan_digits(spec, matched_plan(spec, plan))
    on_plan = while_on_plan(followed, decisions, effect_months(spec, decisions), matched)
    beyond = np.nan_to_num(on_plan.months) > alive_until
    return _observed(on_plan.take(beyond), outcome, months, level)


def _observed(followed: FollowUp, outcome: str, months: Sequence[float] | Floats, level: float) -> ObservedRisk:
    everybody = len(followed.months)
    followed = followed.take(followed.recorded)
    if not followed.months.size:
        raise Refused(f"{outcome}: recorded in none of {everybody} patients", remedy="choose a larger group")
    asked = np.asarray(months, dtype=float)
    within = asked[asked <= followed.last_month]
    at_risk = (followed.months[None, :] >= asked[:, None]).sum(axis=1)
    risk, variance = _read(_life_table(followed), within)
    lower, upper = _interval(risk, variance, level, at_risk[: len(within)], within)
    return ObservedRisk(
        curve=RiskCurve(outcome, within, risk, lower, upper, followed.last_month, f"{100 * level:g}% pointwise"),
        months=asked,
        at_risk=at_risk,
        patients=len(followed.months),
        events=int((followed.cause == EVENT).sum()),
    )


def observed_share(frame: pd.DataFrame, spec: Specification, outcome: str, level: float = 0.90) -> ObservedShare:
    """Observed share of a binary outcome in the patients of `frame`; Wilson 1927 (doi:10.1080/01621459.1927.10502953).

    Raises:
        Refused: no patient has the outcome recorded.
    """
    column = spec.outcome(outcome).event
    values = frame[column].dropna().to_numpy(dtype=float) if column in frame else np.empty(0)
    if not values.size:
        raise Refused(f"{outcome}: recorded in none of {len(frame)} patients", remedy="choose a larger group")
    tested = binomtest(int(values.sum()), values.size)
    ends = tested.proportion_ci(level, method="wilson")
    share = Estimate(float(tested.statistic), float(ends.low), float(ends.high))
    return ObservedShare(share, values.size, int(values.sum()), f"{100 * level:g}% Wilson")


def observed_share_on_plan(
    cohort: Cohort, outcome: str, plan: str, decisions: Floats, level: float = 0.90
) -> ObservedShare:
    """The same in a cohort's patients who had `plan`; only the decisions of `matched_plan` count.

    Args:
        cohort: The patients.
        outcome: Name of a binary outcome.
        plan: A complete plan.
        decisions: (n, d) decisions of the patients, held ones filled in.
        level: Coverage of the interval.

    Raises:
        Refused: nobody who had the plan has the outcome recorded.
    """
    matched = plan_digits(cohort.spec, matched_plan(cohort.spec, plan))
    had_it = (np.isnan(matched) | (decisions == matched)).all(axis=1)
    return observed_share(cohort.frame[had_it], cohort.spec, outcome, level)


@dataclass(frozen=True, eq=False)
class _LifeTable:
    """One entry a distinct time at which something ends a follow-up by an event."""

    times: Floats
    at_risk: Floats
    events: Floats
    leaving: Floats
    """Events of any cause"""


def _life_table(followed: FollowUp) -> _LifeTable:
    times = np.unique(followed.months[followed.cause != CENSORED])
    ended = np.searchsorted(times, followed.months)
    any_cause = followed.cause != CENSORED
    return _LifeTable(
        times=times,
        at_risk=len(followed.months) - np.searchsorted(np.sort(followed.months), times).astype(float),
        events=np.bincount(ended[followed.cause == EVENT], minlength=len(times)).astype(float),
        leaving=np.bincount(ended[any_cause], minlength=len(times)).astype(float),
    )


def _read(table: _LifeTable, months: Floats) -> tuple[Floats, Floats]:
    """Risk by each month and its variance; Marubini & Valsecchi 1995 (ISBN 978-0-470-09341-2), section 10.2."""
    free_after = np.cumprod(1.0 - table.leaving / table.at_risk)
    free_before = np.concatenate([[1.0], free_after[:-1]])
    hazard = table.events / table.at_risk
    risk_after = np.cumsum(free_before * hazard)
    position = np.searchsorted(table.times, months, side="right")
    risk = np.concatenate([[0.0], risk_after])[position]
    remaining = table.at_risk - table.leaving
    greenwood = np.divide(
        table.leaving, table.at_risk * remaining, out=np.zeros_like(table.leaving), where=remaining > 0
    )
    own = free_before**2 * hazard * (1.0 - hazard) / table.at_risk
    both = free_before * hazard / table.at_risk
    later = np.arange(len(table.times))[None, :] < position[:, None]
    gap = (risk[:, None] - risk_after[None, :]) * later
    variance = gap**2 @ greenwood + later @ own - 2.0 * gap @ both
    return risk, np.maximum(variance, 0.0)


def _interval(risk: Floats, variance: Floats, level: float, at_risk: Integers, months: Floats) -> tuple[Floats, Floats]:
    certain = (risk <= 0) | (risk >= 1)
    free = 1.0 - np.where(certain, 0.5, risk)
    log_free = np.log(free)
    z = norm.ppf(0.5 + level / 2.0)
    spread = z * np.sqrt(variance) / (free * -log_free)
    lower, upper = (-np.expm1(log_free * np.exp(sign * spread)) for sign in (-1.0, 1.0))
    # Nobody (or everybody) with the event so far is no certainty: Wilson's limit for 0 of n.
    seen = np.where(risk <= 0, np.maximum(at_risk, 1), at_risk.max(initial=1))
    doubt = np.where(months > 0, z**2 / (seen + z**2), 0.0)
    return (
        np.where(certain, np.where(risk <= 0, 0.0, 1.0 - doubt), lower),
        np.where(certain, np.where(risk <= 0, doubt, 1.0), upper),
    )
