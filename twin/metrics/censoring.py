"""Kaplan-Meier and Aalen-Johansen for many resamples at once: times and counts in, step curves and weights out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from twin.metrics.observed import CENSORED, EVENT, FloatArray, IntArray, Observed, counts_or_once


@dataclass(frozen=True, slots=True, eq=False)
class StepCurves:
    """Right-continuous step functions of time, one a resample, all with steps at the same times."""

    times: FloatArray
    """(m,) ascending months at which the curves may step."""
    values: FloatArray
    """(resamples, m) value from that month on."""
    start: float
    """Value before the first step."""

    def at(self, months: FloatArray) -> FloatArray:
        """(resamples, k) values at `months` (k,)."""
        return self._value_after(np.searchsorted(self.times, months, side="right"))

    def before(self, months: FloatArray) -> FloatArray:
        """(resamples, k) left limits at `months` (k,)."""
        return self._value_after(np.searchsorted(self.times, months, side="left"))

    def _value_after(self, steps: IntArray) -> FloatArray:
        opening = np.full((len(self.values), 1), self.start)
        return np.hstack([opening, self.values])[:, steps]


@dataclass(frozen=True, slots=True, eq=False)
class _LifeTable:
    """Numbers at each distinct time, (resamples, m): those still at risk, and those whom each cause takes."""

    times: FloatArray
    at_risk: FloatArray
    events: FloatArray
    all_events: FloatArray
    censored: FloatArray


def _life_table(observed: Observed, counts: FloatArray) -> _LifeTable:
    order = np.argsort(observed.time, kind="stable")
    times, first = np.unique(observed.time[order], return_index=True)
    ordered, event = counts[:, order], observed.event[order]
    leaving = np.add.reduceat(ordered, first, axis=1)
    events = np.add.reduceat(ordered * (event == EVENT), first, axis=1)
    censored = np.add.reduceat(ordered * (event == CENSORED), first, axis=1)
    at_risk = np.cumsum(leaving[:, ::-1], axis=1)[:, ::-1]
    return _LifeTable(times, at_risk, events, leaving - censored, censored)


def _ratio(numerator: FloatArray, denominator: FloatArray) -> FloatArray:
    """Quotient that is 0 where nobody is at risk."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _product(leaving: FloatArray, at_risk: FloatArray) -> FloatArray:
    """Product over time of the shares that stay."""
    staying: FloatArray = 1.0 - _ratio(leaving, at_risk)
    return staying.cumprod(axis=1)


def kaplan_meier(observed: Observed, counts: FloatArray | None = None) -> StepCurves:
    """Probability of being free of every event, by Kaplan and Meier (doi:10.1080/01621459.1958.10501452).

    Args:
        observed: n patients; an event of interest and a competing one both end the time free of events.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
    """
    table = _life_table(observed, counts_or_once(counts, observed.size))
    return StepCurves(table.times, _product(table.all_events, table.at_risk), start=1.0)


def aalen_johansen(observed: Observed, counts: FloatArray | None = None) -> StepCurves:
    """Cumulative incidence of the event of interest by Aalen and Johansen (Scand J Stat 1978;5:141-150).

    Without competing events this is one minus Kaplan-Meier.

    Args:
        observed: n patients.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
    """
    table = _life_table(observed, counts_or_once(counts, observed.size))
    free = _product(table.all_events, table.at_risk)
    free_before = np.hstack([np.ones((len(free), 1)), free[:, :-1]])
    steps: FloatArray = free_before * _ratio(table.events, table.at_risk)
    return StepCurves(table.times, steps.cumsum(axis=1), start=0.0)


def censoring_survival(observed: Observed, counts: FloatArray | None = None) -> StepCurves:
    """Probability G of not being censored yet, by the reverse Kaplan-Meier estimator.

    Events come before censorings of the same time, so those with an event leave the risk set of censoring first.

    Args:
        observed: n patients; every kind of event hides the time of censoring.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
    """
    table = _life_table(observed, counts_or_once(counts, observed.size))
    return StepCurves(table.times, _product(table.censored, table.at_risk - table.all_events), start=1.0)


def inverse_censoring(observed: Observed, months: FloatArray, counts: FloatArray) -> FloatArray:
    """1 / G(t-) at `months` (k,), shape (resamples, k); 0 where nobody of a resample is followed that far."""
    still_followed = censoring_survival(observed, counts).before(months)
    return _ratio(np.ones_like(still_followed), still_followed)


def ipcw(observed: Observed, month: float, counts: FloatArray | None = None) -> FloatArray:
    """Weights that make those whose status at `month` is known stand for everybody.

    A patient whose status is known weighs ``counts / G(min(time, month)-)``, any other nothing (Gerds and Schumacher
    2006, doi:10.1002/bimj.200610301; with competing events Blanche et al. 2013, doi:10.1002/sim.5958). The left limit
    belongs to the rule that events come first: status at `month` is known whenever censoring comes at `month` or later.

    Args:
        observed: n patients.
        month: the horizon, months.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.

    Returns:
        (resamples, n) weights; those of a resample add up to about its number of patients.
    """
    counts = counts_or_once(counts, observed.size)
    inverse = inverse_censoring(observed, np.minimum(observed.time, month), counts)
    return counts * inverse * observed.known_at(month)
