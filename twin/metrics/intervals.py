"""Bootstrap intervals: a sample size in, resampling counts out; a metric of every resample in, an estimate out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from twin.metrics.observed import FloatArray, each_once

COVERAGE: Final = 0.95
MOST_UNDEFINED: Final = 0.05
"""Share of resamples in which a metric may be undefined before its interval is withheld: the missing ones are not
a random share, and the percentiles of the others would be too narrow."""

_CELLS_AT_ONCE: Final = 4_000_000
"""Counts handled together: about 32 MB an intermediate array."""


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A metric with its interval; ``None`` where it is not defined."""

    value: float | None
    lower: float | None = None
    upper: float | None = None

    def as_dict(self) -> dict[str, float | None]:
        """The estimate as a JSON object."""
        return {"value": self.value, "lower": self.lower, "upper": self.upper}


def resample_counts(patients: int, resamples: int, seed: int) -> FloatArray:
    """How often each patient is in each resample: patients drawn with replacement, as many as there are.

    Returns:
        (1 + resamples, n) counts; the first row is the sample itself, every other adds up to n.
    """
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(patients, np.full(patients, 1.0 / patients), size=resamples)
    return np.vstack([each_once(patients), drawn.astype(np.float64)])


def over_resamples(metric: Callable[[FloatArray], FloatArray], counts: FloatArray) -> FloatArray:
    """`metric` of every resample, a few at a time so that large cohorts fit into memory.

    Args:
        metric: from (b, n) counts to (b, ...) values.
        counts: (resamples, n).

    Returns:
        (resamples, ...) values.
    """
    blocks = max(1, -(-counts.size // _CELLS_AT_ONCE))
    return np.concatenate([metric(block) for block in np.array_split(counts, min(blocks, len(counts)))])


def estimate(values: FloatArray, recentred: bool = False) -> MetricValue:
    """The first of `values` with the percentile interval of the others.

    Percentile bootstrap of Efron and Tibshirani (1993, doi:10.1201/9780429246593, chapter 13), 95 %.

    Args:
        values: (1 + resamples,) the metric of the sample and of every resample; NaN where undefined.
        recentred: Whether to move the interval, above 0, so that the median of the resamples falls on the value. For
            distances from 0, to which the noise of resampling only ever adds: unmoved, the interval can miss the value.

    Returns:
        Without interval where more than `MOST_UNDEFINED` of the resamples leave the metric undefined.
    """
    value, drawn = values[0], values[1:]
    if not np.isfinite(value):
        return MetricValue(None)
    defined = drawn[np.isfinite(drawn)]
    if len(defined) < max(2, (1.0 - MOST_UNDEFINED) * len(drawn)):
        return MetricValue(float(value))
    tail = (1.0 - COVERAGE) / 2.0
    lower, median, upper = np.quantile(defined, [tail, 0.5, 1.0 - tail])
    if recentred:
        lower, upper = max(0.0, lower + value - median), upper + value - median
    return MetricValue(float(value), float(lower), float(upper))
