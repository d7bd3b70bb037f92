"""Ridge Cox regression as arrays: episodes of follow-up and weights in, log hazard ratios and a baseline hazard out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from data.errors import NotConverged
from twin.arrays import Flags, Floats, Integers

MAX_ITERATIONS: Final = 50
MAX_HALVINGS: Final = 30
ROUNDING: Final = 1e-14
"""Of a log-likelihood, as a share of it: a smaller rise cannot be told from rounding in its sum."""


@dataclass(frozen=True, eq=False)
class Episodes:
    """Stretches of follow-up in which a patient's inputs do not change.

    A patient is at risk in ``(start, stop]``; several episodes of one patient do not overlap.
    """

    inputs: Floats
    """(m, p)"""
    start: Floats
    """(m,) months"""
    stop: Floats
    """(m,) months"""
    event: Flags
    """(m,) whether the event happens at `stop`"""
    patient: Integers
    """(m,) row of the patient in the cohort"""

    def by_stop(self) -> Episodes:
        """The same episodes in ascending order of `stop`, as `CoxLikelihood` reads them."""
        return self.take(np.argsort(self.stop, kind="stable"))

    def with_inputs(self, inputs: Floats) -> Episodes:
        """The same episodes with other inputs (m, q)."""
        return Episodes(inputs, self.start, self.stop, self.event, self.patient)

    def take(self, rows: Integers | Flags) -> Episodes:
        """The episodes at `rows` (positions, or a mask)."""
        return Episodes(self.inputs[rows], self.start[rows], self.stop[rows], self.event[rows], self.patient[rows])


@dataclass(frozen=True, eq=False)
class _Ties:
    """The distinct event times of a set of episodes, and the rows at risk at each, as positions in sorted arrays."""

    times: Floats
    """(k,) distinct event times, ascending"""
    of_event: Integers
    """(e,) index into `times` of each event"""
    first_event: Integers
    """(k,) position of the first event of each time among the events"""
    first_row: Integers
    """(k,) first episode that stops at or after each time"""
    late: Integers
    """(l,) episodes that start after time zero, by start"""
    first_late: Integers
    """(k,) first of `late` that starts at or after each time: from there on they are not yet at risk"""
    fraction: Floats
    """(e,) Efron's l/d: how much of the tied deaths has already left the risk set"""


def _ties(episodes: Episodes) -> _Ties:
    stops = episodes.stop[episodes.event]
    times, first, of_event, counts = np.unique(stops, return_index=True, return_inverse=True, return_counts=True)
    late = np.flatnonzero(episodes.start > 0)
    late = late[np.argsort(episodes.start[late], kind="stable")]
    return _Ties(
        times=times,
        of_event=of_event,
        first_event=first,
        first_row=np.searchsorted(episodes.stop, times, side="left"),
        late=late,
        first_late=np.searchsorted(episodes.start[late], times, side="left"),
        fraction=(np.arange(len(stops)) - first[of_event]) / counts[of_event],
    )


@dataclass(frozen=True, eq=False)
class CoxLikelihood:
    """Efron's partial likelihood with delayed entry and weights.

    Efron 1977 (doi:10.1080/01621459.1977.10480613); weights as in Therneau & Grambsch 2000 (ISBN 978-0-387-98784-2),
    section 3.3 and as in lifelines. Episodes must be in ascending order of `stop` and weigh more than 0.

    The information is summed over patients and not over risk sets: an episode's share of all risk sets is the
    cumulative hazard over it, so that one matrix product replaces a loop over event times.
    """

    episodes: Episodes
    weights: Floats
    """(m,)"""
    offset: Floats | None = None
    """(m,) added to the log hazard of each episode; ``None`` for nothing"""
    ties: _Ties = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ties", _ties(self.episodes))

    def linear(self, coefficients: Floats) -> Floats:
        """(m,) log hazard relative to inputs and offset 0."""
        linear = self.episodes.inputs @ coefficients
        return np.asarray(linear if self.offset is None else linear + self.offset)

    def value(self, coefficients: Floats) -> float:
        """Log partial likelihood at (p,) log hazard ratios."""
        linear = self.linear(coefficients)
        risk = self.weights * np.exp(linear)
        return self._value(linear, self._tied_totals(risk))

    def derivatives(self, coefficients: Floats) -> tuple[float, Floats, Floats]:
        """Value, gradient (p,) and negative Hessian (p, p) of the log partial likelihood."""
        inputs, event, ties = self.episodes.inputs, self.episodes.event, self.ties
        linear = self.linear(coefficients)
        risk = self.weights * np.exp(linear)
        total = self._tied_totals(risk)
        weighted = risk[:, None] * inputs
        tied = np.add.reduceat(weighted[event], ties.first_event, axis=0)
        mean = self._at_risk(weighted)[ties.of_event] - ties.fraction[:, None] * tied[ties.of_event]
        mean /= total[:, None]
        share = self._average_weights()
        gradient = self.weights[event] @ inputs[event] - share @ mean
        exposure = risk * self._exposure(share / total)
        information = inputs.T @ (exposure[:, None] * inputs) - mean.T @ (share[:, None] * mean)
        return self._value(linear, total), gradient, information

    def baseline(self, coefficients: Floats, months: Floats) -> Floats:
        """Cumulative hazard of inputs and offset 0 at `months`, by Breslow's estimator.

        In the discussion of Cox 1972 (doi:10.1111/j.2517-6161.1972.tb00899.x).
        """
        at_risk, events = self.at_event_times(np.asarray(self.linear(coefficients)))
        cumulative = np.concatenate([[0.0], np.cumsum(events / at_risk)])
        return np.asarray(cumulative[np.searchsorted(self.ties.times, months, side="right")])

    def at_event_times(self, linear: Floats) -> tuple[Floats, Floats]:
        """At each of k distinct event times, the total risk of those at risk and the weight of the events, each (k,).

        Args:
            linear: (m,) log hazard of each episode.
        """
        risk = self.weights * np.exp(linear)
        events = np.add.reduceat(self.weights[self.episodes.event], self.ties.first_event)
        return self._at_risk(risk[:, None])[:, 0], events

    def _value(self, linear: Floats, total: Floats) -> float:
        event = self.episodes.event
        return float(self.weights[event] @ linear[event] - self._average_weights() @ np.log(total))

    def _tied_totals(self, risk: Floats) -> Floats:
        """(e,) total risk at each event, less Efron's share of those who die with it."""
        ties = self.ties
        tied = np.add.reduceat(risk[self.episodes.event], ties.first_event)
        return np.asarray(self._at_risk(risk[:, None])[ties.of_event, 0] - ties.fraction * tied[ties.of_event])

    def _at_risk(self, values: Floats) -> Floats:
        """(k, q) sums of `values` (m, q) over those at risk at each event time."""
        ties = self.ties
        by_time = np.add.reduceat(values, ties.first_row, axis=0)
        sums = np.cumsum(by_time[::-1], axis=0)[::-1]
        if len(ties.late) == 0:
            return sums
        not_yet = np.zeros((len(ties.late) + 1, values.shape[1]))
        not_yet[:-1] = np.cumsum(values[ties.late][::-1], axis=0)[::-1]
        return sums - not_yet[ties.first_late]

    def _average_weights(self) -> Floats:
        """(e,) mean weight of the events of the same time."""
        weights = self.weights[self.episodes.event]
        counts = np.bincount(self.ties.of_event)
        return np.asarray((np.add.reduceat(weights, self.ties.first_event) / counts)[self.ties.of_event])

    def _exposure(self, hazard: Floats) -> Floats:
        """(m,) hazard that each episode is exposed to; those who die of a tie are exposed to a part of it."""
        ties, episodes = self.ties, self.episodes
        steps = np.concatenate([[0.0], np.cumsum(np.add.reduceat(hazard, ties.first_event))])
        exposed = (
            steps[np.searchsorted(ties.times, episodes.stop, side="right")]
            - steps[np.searchsorted(ties.times, episodes.start, side="right")]
        )
        spared = np.add.reduceat(hazard * ties.fraction, ties.first_event)
        exposed[episodes.event] -= spared[ties.of_event]
        return np.asarray(exposed)


def fit_ridge_cox(
    likelihood: CoxLikelihood, precision: Floats, initial: Floats | None = None, tolerance: float = 1e-9
) -> Floats:
    """The log hazard ratios (p,) that maximise the likelihood less ``sum(precision * coefficients**2) / 2``.

    The penalty is that of independent normal priors with variance 1 / `precision` (p,). Newton's method with halved
    steps where a full one would not improve.

    Args:
        likelihood: Episodes and weights.
        precision: (p,) above 0, so that the maximum is unique.
        initial: (p,) where to start; zeros by default.
        tolerance: Half the squared Newton decrement at which to stop, in units of log-likelihood.

    Raises:
        NotConverged: the maximum was not found.
    """
    coefficients = np.zeros_like(precision) if initial is None else initial.copy()
    if not likelihood.episodes.event.any():
        return np.zeros_like(precision)
    for _ in range(MAX_ITERATIONS):
        value, gradient, information = likelihood.derivatives(coefficients)
        value -= 0.5 * float(precision @ coefficients**2)
        gradient -= precision * coefficients
        step = np.asarray(np.linalg.solve(information + np.diag(precision), gradient), dtype=np.float64)
        if gradient @ step / 2 < max(tolerance, ROUNDING * abs(value)):
            return np.asarray(coefficients + step)
        coefficients = _improve(likelihood, precision, coefficients, step, value)
    raise NotConverged.after(MAX_ITERATIONS, "a Cox regression")


def _improve(likelihood: CoxLikelihood, precision: Floats, start: Floats, step: Floats, value: float) -> Floats:
    for _ in range(MAX_HALVINGS):
        candidate = start + step
        if likelihood.value(candidate) - 0.5 * float(precision @ candidate**2) >= value:
            return np.asarray(candidate)
        step = step / 2
    return start
