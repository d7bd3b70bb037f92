"""How far predicted risks are from what happened: observed times and risk curves in, Brier scores out."""

from __future__ import annotations

import numpy as np

from twin.metrics.censoring import inverse_censoring
from twin.metrics.observed import CENSORED, FloatArray, Observed, counts_or_once


def brier_curve(
    observed: Observed, risk: FloatArray, months: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Mean squared distance between predicted risk and status at every month, weighted for censoring.

    Graf et al. 1999 (doi:10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5); with competing
    events, for the cumulative incidence, Schoop et al. 2011 (doi:10.1002/bimj.201000073). The sum of the weighted
    squares is divided by the number of patients.

    Args:
        observed: n patients.
        risk: (n, m) predicted risk of the event by each month.
        months: (m,) months.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.

    Returns:
        (resamples, m) scores from 0 (perfect); NaN at months that nobody of a resample is known at.
    """
    counts = counts_or_once(counts, observed.size)
    time, month = observed.time[:, None], months[None, :]
    had_something = (observed.event != CENSORED)[:, None] & (time <= month)
    squared = (np.column_stack([observed.event_by(m) for m in months]) - risk) ** 2
    ended = (counts * inverse_censoring(observed, observed.time, counts)) @ (squared * had_something)
    still_free = (time >= month) & ~had_something
    followed = inverse_censoring(observed, months, counts) * (counts @ (squared * still_free))
    known = counts @ (had_something | still_free).astype(np.float64)
    return np.where(known > 0, (ended + followed) / counts.sum(axis=1, keepdims=True), np.nan)


def integrated_brier(
    observed: Observed, risk: FloatArray, months: FloatArray, counts: FloatArray | None = None
) -> FloatArray:
    """Mean of the Brier score from the first to the last of `months`, by the trapezoidal rule.

    Args:
        observed: n patients.
        risk: (n, m) predicted risk of the event by each month.
        months: (m,) ascending grid; its last month must be within the follow-up.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.

    Returns:
        (resamples,) scores; NaN where a resample is not followed to the last month.
    """
    return mean_over_time(brier_curve(observed, risk, months, counts), months)


def mean_over_time(curve: FloatArray, months: FloatArray) -> FloatArray:
    """(resamples,) mean of `curve` (resamples, m) from the first to the last of `months` (m,), by trapezia."""
    width = np.diff(months) / (months[-1] - months[0])
    means: FloatArray = (curve[:, 1:] + curve[:, :-1]) / 2.0
    return np.asarray(means @ width, dtype=np.float64)


def skill(score: FloatArray, reference: FloatArray) -> FloatArray:
    """Share of a reference's error that is avoided: 1 is perfect, 0 no better, negative worse; NaN over 0."""
    ratio = np.divide(score, reference, out=np.full_like(score, np.nan), where=reference > 0)
    return 1.0 - ratio
