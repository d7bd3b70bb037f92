"""Refits of a model in, an interval around its answer out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from scipy.special import expit, logit

from twin.arrays import Floats

_CLOSEST_TO_CERTAIN: Final = 1e-12
"""Risks nearer to 0 or 1 are moved here: beyond it the scales have no finite value."""

Scale = Callable[[Floats], Floats]


def risk_interval(draws: Floats, level: float) -> tuple[Floats, Floats]:
    """Bootstrap interval of risks by a month, on the scale of the log cumulative hazard.

    The percentiles of the refits, shifted so that their median falls on the fit. A ridge refit on a resample is not
    centred on the fit (it sees patients twice and overfits them), so that unshifted percentiles can miss the fit
    altogether. The shift keeps the spread, which is what the resamples tell; lower <= risk <= upper holds always, and
    on this scale the ends stay within 0 and 1.

    Args:
        draws: (1 + refits, ...) risks; the first is the fit.
        level: Share of the refits within, e.g. 0.9.

    Returns:
        Lower and upper ends, each of shape (...).
    """
    return _within(draws, level, _cloglog, _risk_of_cloglog)


def risk_band(draws: Floats, level: float) -> tuple[Floats, Floats]:
    """Intervals of a risk over time, (1 + refits, ..., months) with months ascending: like it, the ends never fall."""
    lower, upper = risk_interval(draws, level)
    return np.maximum.accumulate(lower, axis=-1), np.maximum.accumulate(upper, axis=-1)


def probability_interval(draws: Floats, level: float) -> tuple[Floats, Floats]:
    """The same for probabilities of a binary outcome, on the scale of the log odds."""
    return _within(draws, level, logit, expit)


def difference_interval(draws: Floats, level: float) -> tuple[Floats, Floats]:
    """The same for differences of two risks of the same refit, on their own scale, within -1 and 1."""
    low, middle, high = _quantiles(draws, level)
    return np.maximum(draws[0] + low - middle, -1.0), np.minimum(draws[0] + high - middle, 1.0)


def _within(draws: Floats, level: float, scale: Scale, back: Scale) -> tuple[Floats, Floats]:
    risk = draws[0]
    fit, low, middle, high = (scale(_open(values)) for values in (risk, *_quantiles(draws, level)))
    certain = (risk == 0) | (risk == 1)
    lower = np.where(certain, risk, np.minimum(back(fit + low - middle), risk))
    upper = np.where(certain, risk, np.maximum(back(fit + high - middle), risk))
    return lower, upper


def _quantiles(draws: Floats, level: float) -> Floats:
    tail = (1.0 - level) / 2.0
    return np.asarray(np.quantile(draws[1:], [tail, 0.5, 1.0 - tail], axis=0))


def _open(risk: Floats) -> Floats:
    return np.clip(risk, _CLOSEST_TO_CERTAIN, 1.0 - _CLOSEST_TO_CERTAIN)


def _cloglog(risk: Floats) -> Floats:
    return np.asarray(np.log(-np.log1p(-risk)))


def _risk_of_cloglog(value: Floats) -> Floats:
    return np.asarray(-np.expm1(-np.exp(value)))
