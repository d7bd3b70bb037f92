"""Episodes in, person-periods out: one row an episode and cell of time, on which a hazard is a Poisson rate.

With a hazard that is constant within cells the likelihood of censored times is that of Poisson counts whose means are
rate times exposure (Holford 1980, doi:10.2307/2529982; Friedman 1982, doi:10.1214/aos/1176345693). Delayed entry is a
row that begins late; a known log hazard ratio is a factor of the exposure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np

from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.models.candidates.protocol import FEWEST_EVENTS, HazardData

MOST_CELLS: Final = 12
EVENTS_A_CELL: Final = 8
"""Where events are few, cells are: the rate of a cell with 8 events is known to about a third."""


@dataclass(frozen=True, eq=False)
class PersonPeriods:
    """One row for each episode and cell in which somebody is at risk."""

    episode: Integers
    """(r,) row of the episode"""
    cell: Integers
    """(r,) position of the cell"""
    exposure: Floats
    """(r,) months at risk in the cell times the hazard ratio of the offset"""
    event: Floats
    """(r,) 1 where the event falls into the cell, else 0"""
    weight: Floats
    """(r,) of the patient"""

    def take(self, rows: Integers | Flags) -> PersonPeriods:
        """The person-periods at `rows` (positions, or a mask)."""
        return PersonPeriods(
            self.episode[rows], self.cell[rows], self.exposure[rows], self.event[rows], self.weight[rows]
        )

    def likelihood(self, rates: Floats) -> float:
        """Log-likelihood of the rate of each row (r,), per unit exposure and above 0, up to a constant."""
        return float(self.weight @ (self.event * np.log(rates) - self.exposure * rates))


def cell_edges(data: HazardData) -> Floats:
    """(cells + 1,) months from the origin to the end of follow-up, between quantiles of the event times.

    Inner edges are event times, so that an event falls into each cell, at its end at the latest.
    """
    times = data.episodes.stop[data.episodes.event]
    cells = min(MOST_CELLS, max(1, len(times) // EVENTS_A_CELL))
    inner = np.quantile(times, np.arange(1, cells) / cells, method="inverted_cdf") if cells > 1 else times[:0]
    between = inner[(inner > data.origin) & (inner < data.last_month)]
    return np.unique(np.concatenate([[data.origin], between, [data.last_month]]))


def person_periods(data: HazardData, edges: Floats) -> PersonPeriods:
    """The rows of `data` on cells from the origin to the end of follow-up."""
    start, stop = data.episodes.start[:, None], data.episodes.stop[:, None]
    months = np.minimum(stop, edges[1:]) - np.maximum(start, edges[:-1])
    episode, cell = np.nonzero(months > 0)
    last = np.searchsorted(edges, data.episodes.stop, side="left") - 1
    return PersonPeriods(
        episode=episode,
        cell=cell,
        exposure=months[episode, cell] * np.exp(data.offset[episode]),
        event=(data.episodes.event[episode] & (cell == last[episode])).astype(float),
        weight=data.weights[episode],
    )


def marginal_rates(periods: PersonPeriods, cells: int) -> Floats:
    """(cells,) events by exposure; half an event where a part of the patients had none, so that a logarithm exists."""
    events = np.bincount(periods.cell, periods.weight * periods.event, minlength=cells)
    exposure = np.bincount(periods.cell, periods.weight * periods.exposure, minlength=cells)
    total = events.sum()
    half_an_event = 0.5 * total / max(1.0, periods.event.sum())
    whole = np.full(cells, total / exposure.sum())
    np.divide(np.where(events > 0, events, half_an_event), exposure, out=whole, where=exposure > 0)
    return whole


def over_edges(rates: Floats, cells: Floats, edges: Floats) -> Floats:
    """(n, k) cumulative hazard between `edges` (k + 1,) of rates (n, cells) that are constant between `cells`.

    The last rate continues: a resample of the patients may lack the one who was followed for longest.
    """
    ends = np.append(cells[1:-1], np.inf)[:, None]
    months = np.minimum(ends, edges[1:]) - np.maximum(cells[:-1, None], edges[:-1])
    return np.asarray(rates @ np.maximum(months, 0.0))


@dataclass(frozen=True, eq=False)
class MarginalHazard:
    """The same hazard for everybody, events by exposure in each cell."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    cells: Floats
    """(cells + 1,) months"""
    rates: Floats
    """(cells,) events a month"""
    kind: Literal["marginal"] = "marginal"

    @classmethod
    def fit(cls, data: HazardData) -> MarginalHazard:
        """The hazard of `data` whatever the inputs; 0 without events."""
        edges = cell_edges(data)
        rates = marginal_rates(person_periods(data, edges), len(edges) - 1)
        return cls(edges, rates if data.events else np.zeros_like(rates))

    def increments(self, inputs: Floats, edges: Floats) -> Floats:
        """(n, cells) as by `FittedHazard`."""
        return np.repeat(over_edges(self.rates[None, :], self.cells, edges), len(inputs), axis=0)


def only_the_average(data: HazardData) -> bool:
    """Whether `data` cannot teach a candidate anything about inputs."""
    return data.events < FEWEST_EVENTS or data.episodes.inputs.shape[1] == 0
