"""Discrete-time hazards: episodes in, a ridge Poisson regression on inputs, smooth time and their products out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np

from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.models.candidates.folds import INNER_FOLDS, inner_folds
from twin.models.candidates.periods import (
    MarginalHazard,
    PersonPeriods,
    cell_edges,
    only_the_average,
    over_edges,
    person_periods,
)
from twin.models.candidates.protocol import HazardData

INPUT_SDS: Final = (0.1, 0.2, 0.35, 0.6, 1.0)
"""Standard deviations of a normal prior on a log hazard ratio to choose from, per indicator or per two standard
deviations of a number: from "hardly any effect" to "a ratio within 7 in either direction" """
TIME_SHARES: Final = (0.1, 0.3, 1.0)
"""How much the effect of an input may change over time, as a share of how large it may be."""
TIME_PRIOR_SD: Final = 2.0
"""Of the baseline's curve in log hazard: hazards within a factor of 50 of each other"""
KNOTS: Final = 4
MAX_ITERATIONS: Final = 50
MAX_HALVINGS: Final = 30
TOLERANCE: Final = 1e-7
"""Half the squared Newton decrement at which to stop, in units of log-likelihood"""


@dataclass(frozen=True)
class DiscreteSettings:
    """Ridge penalties as standard deviations of normal priors on log hazard ratios."""

    input_sd: float
    """Of the inputs"""
    time_share: float
    """Of their products with time, as a share of `input_sd`"""


@dataclass(frozen=True, eq=False)
class DiscreteHazard:
    """A log hazard that is linear in the inputs, with coefficients that change smoothly with time."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    cells: Floats
    """(cells + 1,) months"""
    coefficients: Floats
    """(1 + p, cells) intercept and log hazard ratios of the inputs in each cell"""
    settings: DiscreteSettings
    kind: Literal["discrete"] = "discrete"

    def increments(self, inputs: Floats, edges: Floats) -> Floats:
        """(n, cells) as by `FittedHazard`."""
        rates = np.exp(self.coefficients[0] + inputs @ self.coefficients[1:])
        return over_edges(rates, self.cells, edges)


@dataclass(frozen=True)
class DiscreteTime:
    """Candidate: penalised Poisson regression on person-periods, hazards not proportional."""

    settings: DiscreteSettings | None = None
    """Chosen by cross-validation where ``None``"""

    name: ClassVar = "discrete"
    label: ClassVar = "discrete-time regression"

    def fit(self, data: HazardData, seed: int) -> DiscreteHazard | MarginalHazard:
        """As by `Candidate`."""
        if only_the_average(data):
            return MarginalHazard.fit(data)
        settings = self.settings or _best(data, seed)
        edges = cell_edges(data)
        basis = time_basis(edges)
        regression = _Regression.of(data.episodes.inputs, person_periods(data, edges), basis)
        return DiscreteHazard(edges, regression.fit(settings, regression.average()) @ basis.T, settings)

    def tuned(self, data: HazardData, seed: int) -> DiscreteTime:
        """The candidate with the settings that `data` speaks for."""
        return self if only_the_average(data) else DiscreteTime(self.settings or _best(data, seed))


def time_basis(edges: Floats) -> Floats:
    """(cells, k) a constant, then natural cubic splines of the log of the time since the origin at each cell's middle.

    Truncated powers (Hastie, Tibshirani & Friedman 2009, doi:10.1007/978-0-387-84858-7, equation 5.4) made orthogonal:
    the straight line comes first, and each column has mean square 1 over the cells, the first being ones.
    """
    clock = np.log((edges[1:] + edges[:-1]) / 2.0 - edges[0])
    columns = [np.ones_like(clock), clock]
    knots = np.unique(np.quantile(clock, np.linspace(0.0, 1.0, KNOTS)))
    if len(knots) == KNOTS and len(clock) > KNOTS:
        cubes = np.maximum(clock[:, None] - knots, 0.0) ** 3
        slopes = (cubes[:, :-1] - cubes[:, -1:]) / (knots[-1] - knots[:-1])
        columns.extend((slopes[:, :-1] - slopes[:, -1:]).T)
    size = min(len(columns), len(clock))
    orthogonal, triangle = np.linalg.qr(np.column_stack(columns[:size]))
    return np.asarray(orthogonal * np.sign(np.diag(triangle)) * np.sqrt(len(clock)))


@dataclass(frozen=True, eq=False)
class _Cell:
    """The person-periods of one cell."""

    design: Floats
    """(r, 1 + p) ones and inputs"""
    exposure: Floats
    """(r,) times weight"""
    event: Floats
    """(r,) times weight"""


@dataclass(frozen=True, eq=False)
class _Regression:
    """The likelihood of coefficients (1 + p, k): of ones and inputs, for each function of time.

    A row's information is its inputs' outer product times that of the time functions of its cell. The second is the
    same throughout a cell, so that each cell needs one product of size p, and not one of size p times k.
    """

    cells: tuple[_Cell, ...]
    basis: Floats
    """(cells, k)"""

    @classmethod
    def of(cls, inputs: Floats, periods: PersonPeriods, basis: Floats) -> _Regression:
        """The regression on some person-periods."""
        design = np.column_stack([np.ones(len(inputs)), inputs])
        return cls(tuple(_cell(design, periods, np.flatnonzero(periods.cell == c)) for c in range(len(basis))), basis)

    def average(self) -> Floats:
        """(1 + p, k) coefficients of the same constant hazard for everybody, where to start."""
        events = sum(float(cell.event.sum()) for cell in self.cells)
        exposure = sum(float(cell.exposure.sum()) for cell in self.cells)
        coefficients = np.zeros((self.cells[0].design.shape[1], self.basis.shape[1]))
        coefficients[0, 0] = np.log(events / exposure)
        return coefficients

    def value(self, coefficients: Floats) -> float:
        """Log-likelihood at (1 + p, k) coefficients."""
        total = 0.0
        for cell, by_input in zip(self.cells, (coefficients @ self.basis.T).T, strict=True):
            linear = cell.design @ by_input
            total += float(cell.event @ linear - cell.exposure @ np.exp(linear))
        return total

    def derivatives(self, coefficients: Floats) -> tuple[float, Floats, Floats]:
        """Value, gradient (q,) and negative Hessian (q, q), the q = (1 + p) * k coefficients row by row."""
        rows, columns = coefficients.shape
        value, gradient = 0.0, np.zeros((rows, columns))
        information = np.zeros((rows, columns, rows, columns))
        for cell, by_input, times in zip(self.cells, (coefficients @ self.basis.T).T, self.basis, strict=True):
            linear = cell.design @ by_input
            expected = cell.exposure * np.exp(linear)
            value += float(cell.event @ linear - expected.sum())
            gradient += np.outer((cell.event - expected) @ cell.design, times)
            product = cell.design.T @ (expected[:, None] * cell.design)
            information += product[:, None, :, None] * np.outer(times, times)[None, :, None, :]
        size = rows * columns
        return value, gradient.ravel(), information.reshape(size, size)

    def fit(self, settings: DiscreteSettings, initial: Floats) -> Floats:
        """The coefficients (1 + p, k) with the highest penalised likelihood, by Newton's method."""
        precision = _precision(settings, initial.shape)
        penalty = precision.ravel()
        coefficients = initial
        for _ in range(MAX_ITERATIONS):
            value, gradient, information = self.derivatives(coefficients)
            gradient -= penalty * coefficients.ravel()
            step = np.asarray(np.linalg.solve(information + np.diag(penalty), gradient), dtype=np.float64)
            if gradient @ step / 2 < TOLERANCE:
                return np.asarray(coefficients + step.reshape(coefficients.shape))
            value -= _shrinkage(precision, coefficients)
            coefficients = self._improved(coefficients, step.reshape(coefficients.shape), precision, value)
        return coefficients

    def _improved(self, start: Floats, step: Floats, precision: Floats, value: float) -> Floats:
        for _ in range(MAX_HALVINGS):
            found = start + step
            with np.errstate(over="ignore"):  # a step too far has no finite likelihood and is halved
                if self.value(found) - _shrinkage(precision, found) >= value:
                    return np.asarray(found)
            step = step / 2.0
        return start


def _cell(design: Floats, periods: PersonPeriods, rows: Integers) -> _Cell:
    weight = periods.weight[rows]
    return _Cell(design[periods.episode[rows]], weight * periods.exposure[rows], weight * periods.event[rows])


def _precision(settings: DiscreteSettings, shape: tuple[int, ...]) -> Floats:
    """(1 + p, k) ridge precision; that of the intercept only keeps it finite."""
    spread = np.full(shape, settings.input_sd * settings.time_share)
    spread[:, 0] = settings.input_sd
    spread[0] = TIME_PRIOR_SD
    spread[0, 0] = 1e3
    return np.asarray(spread**-2.0)


def _shrinkage(precision: Floats, coefficients: Floats) -> float:
    return 0.5 * float((precision * coefficients**2).sum())


def _best(data: HazardData, seed: int) -> DiscreteSettings:
    """The penalties with the highest likelihood of patients held out: first of the inputs, then of their change."""
    edges = cell_edges(data)
    periods, basis = person_periods(data, edges), time_basis(edges)
    fold = inner_folds(data, seed)[periods.episode]
    parts = [
        (_part(data, periods, fold != k, basis), _part(data, periods, fold == k, basis)) for k in range(INNER_FOLDS)
    ]
    last = [train.average() for train, _ in parts]

    def held_out(settings: DiscreteSettings) -> float:
        total = 0.0
        for k, (train, test) in enumerate(parts):
            last[k] = train.fit(settings, last[k])
            total += test.value(last[k])
        return total

    first = max((DiscreteSettings(sd, TIME_SHARES[0]) for sd in INPUT_SDS), key=held_out)
    return max((DiscreteSettings(first.input_sd, share) for share in TIME_SHARES), key=held_out)


def _part(data: HazardData, periods: PersonPeriods, rows: Flags, basis: Floats) -> _Regression:
    return _Regression.of(data.episodes.inputs, periods.take(rows), basis)
