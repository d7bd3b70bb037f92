"""How far the truth may be from a model's form: learnt from patients it did not see, and a part of every interval.

Draws from a posterior know what a model of this form does not know. They do not know that the form is wrong, so that
intervals from them alone are too narrow by just that (Kennedy & O'Hagan 2001, doi:10.1111/1467-9868.00294). Here the
log ratio departs from the form by a smooth function of the record, a Gaussian process of unknown width. The width is
judged by events that folds predicted without having seen them, beside what the posterior explains of the same misses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
from scipy.special import softmax

from twin.arrays import AS_THEY_ARE, Floats
from twin.models.posterior import Problem

WAVES: Final = 64
TOGETHER: Final = 2
"""Inputs of one wave"""
SMALLEST: Final = 1e-9
"""Mean square below which features are straight lines: with one input of two values, say, there is no other form"""
WIDTHS: Final = (0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.45, 0.65)
"""Root mean squares of a departure over the cohort, log ratio"""
EXPECTED_WIDTH: Final = 0.25
WIDTH_SPREAD: Final = 0.4
"""Of their log-normal prior: median, and standard deviation of the log (assumed). Models of different forms that fit a
synthetic cohort equally well differ by a fifth to a quarter. Narrow, as one event a patient tells little of what only a
few patients share: smooth departures that the data rule out do not rule out rougher ones."""


@dataclass(frozen=True, eq=False)
class Waves:
    """Random features of a record: waves over two of its p inputs at a time, less what straight lines in them explain.

    Their products are a kernel (Rahimi & Recht 2007, Advances in Neural Information Processing Systems 20). Of two
    inputs, as steps and pairs are what models leave out; waves over all inputs at once are told from nothing only where
    there are thousands of patients. Without lines, as a level shared by everybody, or a slope, is settled by the data:
    a departure that held them would be denied by what was seen, and drawn all the same.
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    frequencies: Floats
    """(w, p)"""
    lines: Floats
    """(1 + p, 2 w) intercept and slopes of each feature in the cohort"""
    scale: float
    """Makes the mean square of a departure of width 1 in the cohort 1"""

    @classmethod
    def learn(cls, inputs: Floats, rng: np.random.Generator) -> Self:
        """Features at the scale on which the patients (n, p) differ."""
        spread, inputs_of_a_wave = inputs.std(axis=0), min(TOGETHER, inputs.shape[1])
        frequencies = np.zeros((WAVES, inputs.shape[1]))
        for wave in frequencies:
            read = rng.choice(len(wave), inputs_of_a_wave, replace=False)
            wave[read] = rng.normal(size=len(read)) / np.maximum(spread[read], SMALLEST) / np.sqrt(len(read))
        waves = _waves(inputs, frequencies)
        lines = np.asarray(np.linalg.lstsq(_design(inputs), waves, rcond=None)[0], dtype=np.float64)
        left = float(((waves - _design(inputs) @ lines) ** 2).sum(axis=1).mean())
        return cls(frequencies, lines, left**-0.5 if left > SMALLEST else 0.0)

    def features(self, inputs: Floats) -> Floats:
        """(..., 2 w) of inputs (..., p)."""
        return np.asarray(self.scale * (_waves(inputs, self.frequencies) - _design(inputs) @ self.lines))


def _waves(inputs: Floats, frequencies: Floats) -> Floats:
    phase = inputs @ frequencies.T
    return np.asarray(np.concatenate([np.cos(phase), np.sin(phase)], axis=-1) / np.sqrt(max(1, len(frequencies))))


def _design(inputs: Floats) -> Floats:
    return np.concatenate([np.ones((*inputs.shape[:-1], 1)), inputs], axis=-1)


@dataclass(frozen=True, eq=False)
class Departure:
    """Draws of what a model may leave out of the log ratio of a patient."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    waves: Waves
    weights: Floats
    """(1 + draws, 2 w) of the features; 0 in row 0, the fit"""
    width: float
    """Root mean square over cohort and draws, log ratio"""

    @classmethod
    def none(cls, inputs: int, draws: int) -> Self:
        """Of a model whose form is taken to be right."""
        nothing = Waves(np.zeros((0, inputs)), np.zeros((1 + inputs, 0)), 0.0)
        return cls(nothing, np.zeros((1 + draws, 0)), 0.0)

    @classmethod
    def drawn(cls, waves: Waves, chances: Floats, draws: int, rng: np.random.Generator) -> Self:
        """Draws of a departure whose width is one of `WIDTHS` with `chances`."""
        widths = np.array(WIDTHS)
        of_draw = rng.choice(widths, draws, p=chances)
        weights = of_draw[:, None] * rng.normal(size=(draws, 2 * len(waves.frequencies)))
        return cls(waves, np.vstack([np.zeros(weights.shape[1]), weights]), float(np.sqrt(chances @ widths**2)))


def expected_chances() -> Floats:
    """Prior probability of each of `WIDTHS`."""
    return np.asarray(softmax(_log_prior()))


def width_chances(problem: Callable[[Floats], Problem], features: Floats, explained: Floats) -> Floats:
    """Posterior probability of each of `WIDTHS`, given what happened to patients whom the predictions had not seen.

    Args:
        problem: The likelihood of what happened, by columns (n, k) that are added to the log ratios predicted.
        features: (n, 2 w) of the patients.
        explained: (n, draws) how draws of the posterior depart from their mean: misses of this kind are nothing new.
    """
    known = explained / np.sqrt(explained.shape[1])
    fitted = problem(np.hstack([known, features]))
    start, evidence = None, []
    for width in WIDTHS:
        mode = fitted.mode(np.repeat([1.0, width**-2.0], [known.shape[1], features.shape[1]]), start)
        start = mode.coefficients
        evidence.append(mode.evidence)
    return np.asarray(softmax(np.array(evidence) + _log_prior()))


def _log_prior() -> Floats:
    widths = np.array(WIDTHS)
    logs = np.log(widths)
    return np.asarray(np.log(np.gradient(logs)) - 0.5 * ((logs - np.log(EXPECTED_WIDTH)) / WIDTH_SPREAD) ** 2)
