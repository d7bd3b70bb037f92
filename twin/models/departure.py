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
"""Of the random Fourier features; their kernel is within about 0.1 of the Gaussian one."""
WIDTHS: Final = (0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.45, 0.65)
"""Standard deviations of a departure, log ratio"""
EXPECTED_WIDTH: Final = 0.3
"""Scale of their half-normal prior (assumed): models that fit a cohort equally well differ by about a fifth."""


@dataclass(frozen=True, eq=False)
class Waves:
    """Random features whose products are a Gaussian kernel on p inputs.

    Rahimi & Recht 2007 (Advances in Neural Information Processing Systems 20). Every record has a kernel of exactly 1
    with itself; two records as far apart as two patients of the cohort at random have one of about exp(-1).
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    frequencies: Floats
    """(w, p)"""

    @classmethod
    def learn(cls, inputs: Floats, rng: np.random.Generator) -> Self:
        """Features at the scale on which the patients (n, p) differ."""
        scale = np.sqrt(max(float(inputs.var(axis=0).sum()), np.finfo(float).tiny))
        return cls(rng.normal(size=(WAVES, inputs.shape[1])) / scale)

    def features(self, inputs: Floats) -> Floats:
        """(..., 2 w) of inputs (..., p)."""
        phase = inputs @ self.frequencies.T
        return np.asarray(np.concatenate([np.cos(phase), np.sin(phase)], axis=-1) / np.sqrt(len(self.frequencies)))


@dataclass(frozen=True, eq=False)
class Departure:
    """Draws of what a model may leave out of the log ratio of a patient."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    waves: Waves
    weights: Floats
    """(1 + draws, 2 w) of the features; 0 in row 0, the fit"""
    width: float
    """Root mean square of the departure's standard deviation, log ratio"""

    @classmethod
    def none(cls, inputs: int, draws: int) -> Self:
        """Of a model whose form is taken to be right."""
        return cls(Waves(np.zeros((0, inputs))), np.zeros((1 + draws, 0)), 0.0)

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
    return np.asarray(np.log(np.gradient(widths)) - 0.5 * (widths / EXPECTED_WIDTH) ** 2)
