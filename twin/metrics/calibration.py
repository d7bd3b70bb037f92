"""Whether predicted risks mean what they say: risks and observed times in, slopes, gaps and tests out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from scipy.special import expit, logit
from scipy.stats import chi2

from twin.metrics.censoring import aalen_johansen, ipcw
from twin.metrics.observed import CENSORED, BoolArray, FloatArray, IntArray, Observed, counts_or_once

QUINTILES: Final = 5
D_CALIBRATION_BINS: Final = 10

_CLOSEST_TO_CERTAIN: Final = 1e-6
"""Risks nearer to 0 or 1 are moved here: beyond it the links have no finite value."""
_LOWEST_LINEAR: Final = -25.0
_STEPS: Final = 30
_CONVERGED: Final = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Link:
    """A scale on which predicted and observed risks are compared."""

    name: str
    of_risk: Callable[[FloatArray], FloatArray]
    risk_and_slope: Callable[[FloatArray], tuple[FloatArray, FloatArray]]
    """The risk at a linear predictor, and its derivative there."""
    highest: float
    """Linear predictor beyond which the risk cannot be told from 1."""


def _cumulative_hazard(linear: FloatArray) -> tuple[FloatArray, FloatArray]:
    hazard = np.exp(linear)
    risk: FloatArray = -np.expm1(-hazard)
    return risk, hazard * (1.0 - risk)


def _odds(linear: FloatArray) -> tuple[FloatArray, FloatArray]:
    risk = np.asarray(expit(linear), dtype=np.float64)
    return risk, risk * (1.0 - risk)


CLOGLOG: Final = Link("cloglog", lambda risk: np.log(-np.log1p(-risk)), _cumulative_hazard, highest=3.2)
"""log(-log(1 - risk)): a proportional hazard is a shift on this scale."""
LOGIT: Final = Link("logit", logit, _odds, highest=25.0)

Recalibration: TypeAlias = tuple[FloatArray, FloatArray]
"""(resamples,) slope, ideally 1, and (resamples,) intercept at slope 1, ideally 0."""


def recalibration(positive: BoolArray, risk: FloatArray, weights: FloatArray, link: Link) -> Recalibration:
    """Slope and intercept of the weighted regression of what happened on the link of what was predicted.

    The slope comes from a fit of both coefficients (below 1: predictions too extreme), the intercept from a fit with
    the slope held at 1 (above 0: risks too low on the whole), as in Van Calster et al. 2019
    (doi:10.1186/s12916-019-1466-7).

    Args:
        positive: (n,) whether the patient had the event.
        risk: (n,) predicted risk.
        weights: (resamples, n) weights of the patients; whoever has none is left out.
        link: the scale.

    Returns:
        Slope and intercept, (resamples,) each; NaN where a fit has no finite solution, the slope also where all risks
        are equal.
    """
    used = weights.any(axis=0)
    y, w = positive[used].astype(np.float64), weights[:, used]
    linear = link.of_risk(np.clip(risk[used], _CLOSEST_TO_CERTAIN, 1.0 - _CLOSEST_TO_CERTAIN))
    ones = np.ones_like(linear)
    intercept = _regression(y, ones[:, None], linear, w, link)[:, 0]
    if linear.size == 0 or np.ptp(linear) < _CONVERGED:
        return np.full(len(weights), np.nan), intercept
    slope = _regression(y, np.column_stack([ones, linear]), np.zeros_like(linear), w, link)[:, 1]
    return slope, intercept


def recalibration_at(
    observed: Observed, risk: FloatArray, month: float, counts: FloatArray | None = None
) -> Recalibration:
    """Calibration slope and intercept at a horizon, on the complementary log-log scale.

    A binomial regression of the status at `month` on the predicted risk with inverse probability of censoring weights,
    the direct approach of Scheike et al. 2008 (doi:10.1093/biomet/asm096); with competing events the
    status is the event of interest and the risk its cumulative incidence (van Geloven et al. 2022,
    doi:10.1136/bmj-2021-069249).

    Args:
        observed: n patients.
        risk: (n,) predicted risk by `month`.
        month: the horizon, months.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.

    Returns:
        As `recalibration`.
    """
    return recalibration(observed.event_by(month), risk, ipcw(observed, month, counts), CLOGLOG)


def _regression(y: FloatArray, design: FloatArray, offset: FloatArray, weights: FloatArray, link: Link) -> FloatArray:
    """(resamples, p) coefficients of weighted binomial regressions by Fisher scoring; NaN where none is finite."""
    p = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(y), p * p)
    # With slope 1 as the start, well calibrated predictions need two or three steps.
    start = np.zeros(p)
    start[1:] = 1.0
    beta = np.tile(start, (len(weights), 1))
    solvable = (weights @ y > 0) & (weights @ (1.0 - y) > 0)
    active = solvable.copy()
    for _ in range(_STEPS):
        if not active.any():
            break
        linear = np.clip(beta[active] @ design.T + offset, _LOWEST_LINEAR, link.highest)
        risk, rise = link.risk_and_slope(linear)
        score = weights[active] * rise / (risk * (1.0 - risk))
        information = ((score * rise) @ products).reshape(-1, p, p)
        step = (np.linalg.pinv(information, hermitian=True) @ ((score * (y - risk)) @ design)[:, :, None])[:, :, 0]
        beta[active] += step
        active[active] = np.abs(step).max(axis=1) > _CONVERGED
    return np.where((active | ~solvable)[:, None], np.nan, beta)


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationGroups:
    """Predicted and observed risk in groups of rising predicted risk, (resamples, groups); NaN for an empty group."""

    patients: IntArray
    """(groups,) patients of the sample itself."""
    predicted: FloatArray
    observed: FloatArray

    @property
    def largest_gap(self) -> FloatArray:
        """(resamples,) largest absolute difference; the noise of resampling adds to it (see `intervals.estimate`)."""
        return np.asarray(np.nanmax(np.abs(self.predicted - self.observed), axis=1), dtype=np.float64)


def groups_at(
    observed: Observed,
    risk: FloatArray,
    month: float,
    counts: FloatArray | None = None,
    groups: int = QUINTILES,
) -> CalibrationGroups:
    """Mean predicted risk beside the observed one (Aalen-Johansen at `month`) in quantile groups of predicted risk.

    The groups are those of the sample and stay the same in every resample; patients with one risk share a group.

    Args:
        observed: n patients.
        risk: (n,) predicted risk by `month`.
        month: the horizon, months.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
        groups: how many groups of equal size.
    """
    counts = counts_or_once(counts, observed.size)
    horizon = np.array([month])
    members = quantile_groups(risk, groups)
    predicted, seen = [], []
    for rows in members:
        here = counts[:, rows]
        present = here.any(axis=1)
        predicted.append(_mean(risk[rows], here))
        seen.append(np.where(present, aalen_johansen(observed.take(rows), here).at(horizon)[:, 0], np.nan))
    sizes = np.array([len(rows) for rows in members])
    return CalibrationGroups(sizes, np.column_stack(predicted), np.column_stack(seen))


def quantile_groups(risk: FloatArray, groups: int) -> list[IntArray]:
    """Positions of the patients in each of at most `groups` quantile groups of `risk`, lowest first, none empty."""
    edges = np.quantile(risk, np.linspace(0.0, 1.0, groups + 1)[1:-1])
    group = np.searchsorted(edges, risk, side="left")
    return [np.flatnonzero(group == g) for g in np.unique(group)]


def _mean(values: FloatArray, weights: FloatArray) -> FloatArray:
    total = weights.sum(axis=1)
    absent = np.full(len(weights), np.nan)
    return np.asarray(np.divide(weights @ values, total, out=absent, where=total > 0), dtype=np.float64)


def d_calibration(
    observed: Observed, survival: FloatArray, counts: FloatArray | None = None, bins: int = D_CALIBRATION_BINS
) -> FloatArray:
    """P value of the test that predicted survival at the time of the event is spread evenly over [0, 1].

    Haider et al. 2020 (JMLR 21(85):1-63, https://jmlr.org/papers/v21/18-772.html). A patient censored where the curve
    is at s may have the event anywhere below s and is spread evenly there. The statistic is Pearson's chi-squared
    over `bins` equal bins. Spreading the censored evens the bins out: with many of them the test rarely rejects.
    Resampling repeats patients, so that the p values of resamples lean downwards.

    Args:
        observed: n patients without competing events.
        survival: (n,) predicted probability of being event-free at the patient's own time.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
        bins: number of bins.

    Returns:
        (resamples,) p values; small ones speak against the predicted distributions.
    """
    counts = counts_or_once(counts, observed.size)
    lower = np.arange(bins) / bins
    upper = lower + 1.0 / bins
    s = np.clip(survival, 0.0, 1.0)[:, None]
    # A value on an edge belongs to the bin below it, and 0 to the first.
    holds = (s > lower) & (s <= upper)
    holds[:, 0] |= survival <= 0.0
    below = np.clip(s - lower, 0.0, 1.0 / bins) / np.maximum(s, np.finfo(np.float64).tiny)
    spread = np.where(s > 0.0, below, holds)
    mass = counts @ np.where((observed.event == CENSORED)[:, None], spread, holds)
    expected = counts.sum(axis=1, keepdims=True) / bins
    statistic = ((mass - expected) ** 2 / expected).sum(axis=1)
    return np.asarray(chi2.sf(statistic, bins - 1), dtype=np.float64)
