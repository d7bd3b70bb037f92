"""A likelihood and a normal prior of unknown width in, draws from the posterior out: what stands behind every interval.

A ridge estimate is the mode of a posterior. Its curvature there gives normal draws (Laplace), which unlike refits on
resamples also hold what the penalty hides: over patients as the prior expects them, intervals from them cover as often
as they say (Nychka 1988, doi:10.1080/01621459.1988.10478711). How wide the prior is, is not known either: every width
of a grid enters with its posterior probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from scipy.special import expit, softmax

from data.errors import NotConverged
from twin.arrays import Floats, Integers
from twin.models.hazard import CoxLikelihood, fit_ridge_cox
from twin.models.logistic import fit_ridge_logistic

PRIOR_SDS: Final = (0.10, 0.15, 0.22, 0.33, 0.5, 0.75)
"""Standard deviations of the prior on a log ratio of a main effect, per two standard deviations of a number"""
CENTRAL_SD: Final = 0.4
"""Their prior is log-normal about this: nineteen in twenty prognostic ratios then lie within 2.2 either way."""
SD_SPREAD: Final = 0.5
"""Standard deviation of the log of the prior's width (assumed; a factor of 2.7 either way)"""
NEGLIGIBLE: Final = 0.02
"""Widths less probable than this are passed over."""
TOLERANCE: Final = 1e-6
"""Of a mode, in units of log-likelihood"""
MAX_ITERATIONS: Final = 50
LONGEST_STEP: Final = 2.0
"""Most that a Newton step may change a log expected count"""
_MULTIPLICITY: Final = 1e-9


@dataclass(frozen=True, eq=False)
class Mode:
    """The posterior around its mode for one width of the prior."""

    coefficients: Floats
    """(b,)"""
    covariance: Floats
    """(b, b)"""
    answer: Floats
    """(b, q) how the mode moves with the coefficients of the offset"""
    evidence: float
    """Log marginal likelihood, up to a constant that all widths share"""


class Problem(Protocol):
    """A likelihood whose log ratios have independent normal priors and whose effects are known."""

    def mode(self, precision: Floats, start: Floats | None) -> Mode:
        """The posterior for prior precisions (b,)."""


@dataclass(frozen=True, eq=False)
class CoxProblem:
    """A Cox likelihood with columns (m, b) and known effects: terms in effect (m, q) times coefficients (q,)."""

    likelihood: CoxLikelihood
    """Of the columns, with the effects in its offset"""
    terms: Floats
    """(m, q) what multiplies each effect in each episode"""

    def mode(self, precision: Floats, start: Floats | None) -> Mode:
        """The posterior for prior precisions (b,)."""
        coefficients = fit_ridge_cox(self.likelihood, precision, start, TOLERANCE)
        size = len(precision)
        both = CoxLikelihood(
            self.likelihood.episodes.with_inputs(np.hstack([self.likelihood.episodes.inputs, self.terms])),
            self.likelihood.weights,
            self.likelihood.offset,
        )
        value, _, information = both.derivatives(np.concatenate([coefficients, np.zeros(self.terms.shape[1])]))
        return _laplace(value, information[:size, :size], information[:size, size:], coefficients, precision)


@dataclass(frozen=True, eq=False)
class LogisticProblem:
    """A logistic likelihood; its first column is the free intercept, so that coefficients are (1 + b,)."""

    inputs: Floats
    """(n, b)"""
    positive: Floats
    """(n,) 0 or 1"""
    offset: Floats
    """(n,) log odds of the effects"""
    terms: Floats
    """(n, q)"""

    def mode(self, precision: Floats, start: Floats | None) -> Mode:
        """The posterior for prior precisions (b,) of the log odds ratios."""
        weights = np.ones(len(self.positive))
        coefficients = fit_ridge_logistic(
            self.inputs, self.positive, weights, precision, start, TOLERANCE, offset=self.offset
        )
        design = np.hstack([np.ones((len(self.inputs), 1)), self.inputs])
        linear = design @ coefficients + self.offset
        risk = expit(linear)
        weighted = (risk * (1.0 - risk))[:, None] * design
        value = float(-np.logaddexp(0.0, np.where(self.positive == 1, -linear, linear)).sum())
        free = np.concatenate([[_MULTIPLICITY], precision])
        return _laplace(value, weighted.T @ design, weighted.T @ self.terms, coefficients, free)


@dataclass(frozen=True, eq=False)
class CountProblem:
    """Poisson counts whose expectations are known but for log ratios, such as events during given follow-ups."""

    inputs: Floats
    """(n, b)"""
    events: Floats
    """(n,) how many happened"""
    expected: Floats
    """(n,) how many were expected, above 0"""

    def mode(self, precision: Floats, start: Floats | None) -> Mode:
        """The posterior for prior precisions (b,).

        Raises:
            NotConverged: its mode was not found.
        """
        coefficients = np.zeros(len(precision)) if start is None else start.copy()
        for _ in range(MAX_ITERATIONS):
            mean = self.expected * np.exp(self.inputs @ coefficients)
            gradient = self.inputs.T @ (self.events - mean) - precision * coefficients
            information = self.inputs.T @ (mean[:, None] * self.inputs)
            step = np.linalg.solve(information + np.diag(precision), gradient)
            longest = float(np.abs(self.inputs @ step).max())
            coefficients = coefficients + step * min(1.0, LONGEST_STEP / max(longest, 1e-12))
            if gradient @ step / 2 < TOLERANCE:
                break
        else:
            raise NotConverged.after(MAX_ITERATIONS, "a regression of counts")
        linear = self.inputs @ coefficients
        mean = self.expected * np.exp(linear)
        value = float(self.events @ linear - mean.sum())
        information = self.inputs.T @ (mean[:, None] * self.inputs)
        return _laplace(value, information, np.zeros((len(precision), 0)), coefficients, precision)


def _laplace(value: float, information: Floats, cross: Floats, coefficients: Floats, precision: Floats) -> Mode:
    total = information + np.diag(precision)
    covariance = np.linalg.inv(total)
    penalty = 0.5 * float(precision @ coefficients**2)
    volume = 0.5 * float(np.log(precision).sum() - np.linalg.slogdet(total)[1])
    return Mode(coefficients, (covariance + covariance.T) / 2.0, -covariance @ cross, value - penalty + volume)


@dataclass(frozen=True, eq=False)
class Posterior:
    """Draws of the coefficients, and which data each of them belongs to."""

    coefficients: Floats
    """(1 + draws, b); row 0 is the posterior mean"""
    completion: Integers
    """(1 + draws,) problem each draw is of; -1 for the mean"""
    prior_sd: float
    """Geometric mean of the prior's width"""


def posterior(problems: Sequence[Problem], scale: Floats, effects: Floats, rng: np.random.Generator) -> Posterior:
    """Draws over all widths of the prior and all completions of the data.

    Args:
        problems: The same model on each completed copy of the data (Rubin 1987: draws of all of them together).
        scale: (b,) prior standard deviations relative to a main effect's.
        effects: (1 + draws, q) coefficients of the effects; draw r is made given row r, and the problems are
            fitted at row 0.
        rng: Of the draws.
    """
    found = {(0, k): mode for k, mode in enumerate(_first(problems[0], scale))}
    widths = np.log(PRIOR_SDS)
    prior = -0.5 * ((widths - np.log(CENTRAL_SD)) / SD_SPREAD) ** 2
    chance = softmax(np.array([found[0, k].evidence for k in range(len(widths))]) + prior)
    chance = np.where(chance < NEGLIGIBLE, 0.0, chance)
    chance /= chance.sum()
    kept = [int(k) for k in np.flatnonzero(chance)]
    for index, problem in enumerate(problems[1:], start=1):
        for k in kept:
            found[index, k] = problem.mode(_precision(scale, k), found[0, k].coefficients)
    draws = len(effects) - 1
    copy = np.arange(draws) % len(problems)
    width = rng.choice(len(widths), draws, p=chance)
    modes = [chance[k] * found[m, k].coefficients for k in kept for m in range(len(problems))]
    coefficients = np.empty((1 + draws, len(modes[0])))
    coefficients[0] = np.sum(modes, axis=0) / len(problems)
    moved = effects[1:] - effects[0]
    for (of_copy, of_width), mode in found.items():
        rows = np.flatnonzero((copy == of_copy) & (width == of_width))
        if rows.size and len(mode.coefficients):  # numpy cannot draw vectors of length 0
            drawn = rng.multivariate_normal(np.zeros(len(mode.coefficients)), mode.covariance, rows.size, method="eigh")
            coefficients[1 + rows] = mode.coefficients + drawn + moved[rows] @ mode.answer.T
    return Posterior(coefficients, np.concatenate([[-1], copy]), float(np.exp(chance @ widths)))


def _first(problem: Problem, scale: Floats) -> list[Mode]:
    """The modes of all widths; each starts from that of the narrower one."""
    modes: list[Mode] = []
    for k in range(len(PRIOR_SDS)):
        modes.append(problem.mode(_precision(scale, k), modes[-1].coefficients if modes else None))
    return modes


def _precision(scale: Floats, width: int) -> Floats:
    return np.asarray((PRIOR_SDS[width] * scale) ** -2.0)


def baseline_draws(
    likelihoods: Sequence[CoxLikelihood],
    linear: Sequence[Floats],
    completion: Integers,
    grid: Floats,
    rng: np.random.Generator,
) -> Floats:
    """Cumulative baseline hazards at the months of `grid`.

    Given the coefficients, the steps of the baseline hazard have independent gamma posteriors with the number of events
    as shape and the total risk as rate (Kalbfleisch 1978, doi:10.1111/j.2517-6161.1978.tb01666.x, with a vague prior).

    Args:
        likelihoods: One a completed copy of the data; without events, nothing is drawn.
        linear: For each copy, (its draws, m) log hazards of its episodes: row 0 for the mean, then its draws in order.
        completion: (1 + draws,) copy of each draw; -1 for the mean, which is that over the copies.
        grid: (g,) months.
        rng: Of the draws.

    Returns:
        (1 + draws, g)
    """
    result = np.zeros((len(completion), len(grid)))
    for copy, likelihood in enumerate(likelihoods):
        times = np.searchsorted(likelihood.ties.times, grid, side="right")
        for row, of_draw in zip([0, *np.flatnonzero(completion == copy)], linear[copy], strict=True):
            at_risk, events = likelihood.at_event_times(of_draw)
            steps = (events if row == 0 else rng.gamma(events)) / at_risk
            cumulative = np.concatenate([[0.0], np.cumsum(steps)])[times]
            result[row] += cumulative / len(likelihoods) if row == 0 else cumulative
    return result
