"""Uniform numbers with a name in, draws from distributions out: the exogenous noise of the structural model."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

Draw = Callable[[str], FloatArray]
"""The noise of one named variable: a uniform number per patient."""


def seeded_draw(patients: int, seed: int) -> Draw:
    """Noise from a seed: a stream per variable, so patient i is the same whatever the number of patients.

    The name goes into the seed as its CRC-32, so that a new variable leaves the draws of the others as they were.
    """

    def draw(name: str) -> FloatArray:
        return np.random.default_rng([seed, zlib.crc32(name.encode())]).random(patients)

    return draw


def generator_draw(patients: int, generator: np.random.Generator) -> Draw:
    """Noise from a running generator: every call is fresh, names do not matter."""

    def draw(name: str) -> FloatArray:
        del name
        return generator.random(patients)

    return draw


def choose(uniform: FloatArray, probabilities: FloatArray) -> IntArray:
    """Index of the category drawn; `probabilities` has the categories in its last axis, summing to 1."""
    edges = np.cumsum(probabilities, axis=-1)[..., :-1]
    return np.asarray((uniform[..., None] >= edges).sum(axis=-1), dtype=np.int64)


def happens(uniform: FloatArray, logit: FloatArray) -> BoolArray:
    """Whether an event with that log-odds happens."""
    return np.asarray(uniform < expit(logit))


def ordered_probabilities(cutpoints: tuple[float, ...], linear: FloatArray) -> FloatArray:
    """Proportional odds, best category first: P(at least as good as j) = expit(cutpoint j + linear).

    Returns the probabilities in a new last axis, one more than there are cutpoints.
    """
    reached = expit(np.asarray(cutpoints) + np.asarray(linear)[..., None])
    edge = (*reached.shape[:-1], 1)
    return np.diff(np.concatenate([np.zeros(edge), reached, np.ones(edge)], axis=-1), axis=-1)


def softmax(logits: FloatArray) -> FloatArray:
    """Probabilities from log-odds in the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def truncated_normal(
    uniform: FloatArray, mean: FloatArray, sd: FloatArray | float, bounds: tuple[float, float]
) -> FloatArray:
    """Draw from a normal distribution cut to `bounds`, by inversion."""
    low, high = ndtr((bounds[0] - mean) / sd), ndtr((bounds[1] - mean) / sd)
    return np.asarray(mean + sd * ndtri(low + uniform * (high - low)))
