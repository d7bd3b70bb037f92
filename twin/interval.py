"""Draws of a model in, an interval around its answer out."""

from __future__ import annotations

import numpy as np

from twin.arrays import Floats


def percentile_interval(draws: Floats, level: float) -> tuple[Floats, Floats]:
    """Interval of a risk or of a difference of risks: percentiles of its draws, widened to hold the fit itself.

    Args:
        draws: (1 + draws, ...); the first is the fit.
        level: Share of the draws within, e.g. 0.9.

    Returns:
        Lower and upper ends, each of shape (...); lower <= fit <= upper.
    """
    tail = (1.0 - level) / 2.0
    # Weibull's positions: between them lies the stated share of the distribution that was drawn from, on average over
    # samples of any size. The usual interpolation leaves 88 of 100 within "90 %" of 100 draws.
    low, high = np.quantile(draws[1:], [tail, 1.0 - tail], axis=0, method="weibull")
    return np.minimum(low, draws[0]), np.maximum(high, draws[0])


def risk_band(draws: Floats, level: float) -> tuple[Floats, Floats]:
    """Intervals of a risk over time, (1 + draws, ..., months) with months ascending: like it, the ends never fall."""
    lower, upper = percentile_interval(draws, level)
    return np.maximum.accumulate(lower, axis=-1), np.maximum.accumulate(upper, axis=-1)
