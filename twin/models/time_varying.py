"""Follow-up cut into periods: in each of them what a factor does to a hazard may be more, or less, than before.

A hazard ratio that is held constant is an average over the follow-up, and says too little early where an effect wanes.
So every input has a second coefficient, on its product with a score that rises from period to period: the trend that
Grambsch & Therneau test for (1994, doi:10.1093/biomet/81.3.515), estimated under a prior instead of being tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np

from twin.arrays import AS_THEY_ARE, Floats, Integers
from twin.models.basis import Basis
from twin.models.hazard import Episodes

PERIODS: Final = 3
"""With as many events each: a few hundred patients can tell early from late, and little more"""
FEWEST_EVENTS: Final = 30
"""Fewer events cannot tell early from late; the ratios are then constant."""
TREND: Final = 0.5
"""Prior standard deviation of a coefficient of the trend, relative to that of a main effect: over the follow-up a log
ratio is expected to change about as much as it amounts to (assumed; scaled with the others by the data)"""


@dataclass(frozen=True, eq=False)
class TimeVarying:
    """The months at which log hazard ratios change."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    turns: Floats
    """(k,) ascending whole months above 0; none where ratios are constant"""

    @classmethod
    def constant(cls) -> Self:
        """No turn."""
        return cls(np.zeros(0))

    @classmethod
    def learn(cls, cut: Episodes) -> Self:
        """Turns between periods of as many events each, at whole months."""
        times = cut.stop[cut.event]
        if len(times) < FEWEST_EVENTS:
            return cls.constant()
        quantiles = np.round(np.quantile(times, np.arange(1, PERIODS) / PERIODS))
        return cls(np.unique(quantiles[(quantiles > cut.start.min()) & (quantiles < times.max())]))

    @property
    def scores(self) -> Floats:
        """(k + 1,) of each period, from -1 to 1; 0 where ratios are constant."""
        return np.linspace(-1.0, 1.0, len(self.turns) + 1) if len(self.turns) else np.zeros(1)

    def split(self, cut: Episodes) -> tuple[Episodes, Integers, Floats]:
        """Episodes cut at the turns, in ascending order of `stop`; of each the row it is a part of, and its score."""
        starts, stops = np.append(-np.inf, self.turns), np.append(self.turns, np.inf)
        row, period = np.nonzero((cut.start[:, None] < stops) & (cut.stop[:, None] > starts))
        start = np.maximum(cut.start[row], starts[period])
        stop = np.minimum(cut.stop[row], stops[period])
        order = np.argsort(stop, kind="stable")
        row, period, start, stop = row[order], period[order], start[order], stop[order]
        ends_with = cut.event[row] & (stop == cut.stop[row])
        return Episodes(cut.inputs[row], start, stop, ends_with, cut.patient[row]), row, self.scores[period]

    def refined(self, edges: Floats) -> Floats:
        """The edges of cells with the turns between them."""
        return np.union1d(edges, self.turns[(self.turns > edges[0]) & (self.turns < edges[-1])])

    def by_period(self, edges: Floats) -> Iterator[tuple[int, slice]]:
        """Every period that cells between `edges` fall into, and its cells; no cell holds a turn."""
        bounds = np.searchsorted(edges[:-1], self.turns, side="left")
        for period, (first, last) in enumerate(zip([0, *bounds], [*bounds, len(edges) - 1], strict=True)):
            if last > first:
                yield period, slice(int(first), int(last))


def summed(values: Floats, fine: Floats, edges: Floats) -> Floats:
    """(..., cells) sums over the cells between `edges` of values of the finer cells between `fine`."""
    if len(fine) == len(edges):
        return values
    return np.add.reduceat(values, np.searchsorted(fine, edges[:-1]), axis=-1)


@dataclass(frozen=True, eq=False)
class CoxForm:
    """What a Cox regression reads: columns of a basis whose coefficients last, and inputs whose coefficients change."""

    basis: Basis
    time_varying: TimeVarying

    @property
    def scale(self) -> Floats:
        """(b + c,) prior standard deviations relative to a main effect's."""
        return np.concatenate([self.basis.scale, np.full(self.changing, TREND)])

    @property
    def changing(self) -> int:
        """Number c of inputs whose coefficients change: all of them, or none."""
        return self.basis.inputs if len(self.time_varying.turns) else 0

    def columns(self, inputs: Floats, score: Floats) -> Floats:
        """(m, b + c) of the inputs (m, p) of episodes in periods with scores (m,)."""
        return np.hstack([self.basis.expand(inputs), score[:, None] * inputs[:, : self.changing]])
