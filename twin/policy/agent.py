"""The arrays of a trained network in; what it holds each option to be worth, and its policy, out: numpy alone.

The network tells the losses to be expected with each option; weighted, they are what the option is worth, so that one
agent serves all weights. It is the q-network of a stable-baselines3 policy (`twin.policy.learner`), computed here
without the library that trained it, and tested to answer alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

import numpy as np

from twin.arrays import Flags, Floats, Integers
from twin.policy.exact import NO, YES, Decide, Question
from twin.policy.observation import Layout, Singles
from twin.policy.patients import Patients

CENTRE, SCALE = "centre", "scale"
"""Names of the arrays (2, outcomes) by which outputs become losses: their mean over both options, their difference"""
ROWS_AT_ONCE: Final = 50_000
"""Observations whose hidden layers are held in memory together"""


@dataclass(frozen=True, eq=False)
class Network:
    """A perceptron with rectifiers between its layers."""

    weights: tuple[Singles, ...]
    """For each layer, (out, in)"""
    biases: tuple[Singles, ...]
    """For each layer, (out,)"""
    centre: Singles
    """(2, outcomes) of the mean of both options' losses, and of what "yes" adds"""
    scale: Singles
    """(2, outcomes)"""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Singles]) -> Self:
        """The network that `arrays` put in a mapping.

        Raises:
            KeyError, ValueError: the arrays are not those of a network.
        """
        layers = range(sum(name.endswith(".weight") for name in arrays))
        weights = tuple(arrays[f"layer{k}.weight"] for k in layers)
        biases = tuple(arrays[f"layer{k}.bias"] for k in layers)
        centre, scale = arrays[CENTRE], arrays[SCALE]
        flat = all(weight.ndim == 2 for weight in weights)
        fits = flat and all(after.shape[1] == len(before) for before, after in pairwise(weights))
        fits = fits and all(len(bias) == len(weight) for bias, weight in zip(biases, weights, strict=True))
        if not (fits and weights and centre.shape == scale.shape == (2, len(weights[-1]) // 2)):
            raise ValueError("shapes that do not fit together")
        return cls(weights, biases, centre, scale)

    @property
    def arrays(self) -> dict[str, Singles]:
        """By name."""
        weights = {f"layer{k}.weight": weight for k, weight in enumerate(self.weights)}
        biases = {f"layer{k}.bias": bias for k, bias in enumerate(self.biases)}
        return {**weights, **biases, CENTRE: self.centre, SCALE: self.scale}

    def losses(self, observations: Singles) -> Singles:
        """(k, 2, outcomes) losses to be expected with no and yes, for observations (k, size)."""
        hidden = observations
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.maximum(hidden @ weight.T + bias, 0.0)
        output = (hidden @ self.weights[-1].T + self.biases[-1]).reshape(len(hidden), *self.scale.shape)
        mean, added = np.moveaxis(output * self.scale + self.centre, 1, 0)
        return np.stack([mean - 0.5 * added, mean + 0.5 * added], axis=1)


@dataclass(frozen=True, eq=False)
class Agent:
    """A network, how it reads patients, and what is known of it."""

    layout: Layout
    network: Network
    document: Mapping[str, Any]
    """Plain JSON: how it was trained, and its regret"""

    @property
    def complete(self) -> bool:
        """Whether training came to its end."""
        return bool(self.document["complete"])

    def values(self, observations: Singles) -> Floats:
        """(..., 2) utility with weights that add up to 1 with no and yes, for observations (..., size)."""
        rows = observations.reshape(-1, self.layout.size)
        result = np.empty((len(rows), 2))
        for start in range(0, len(rows), ROWS_AT_ONCE):
            here = rows[start : start + ROWS_AT_ONCE]
            costs = np.einsum("kao,ko->ka", self.network.losses(here), here[:, self.layout.weights])
            result[start : start + ROWS_AT_ONCE] = 1.0 - costs
        return result.reshape(*observations.shape[:-1], 2)

    def utilities(self, inputs: Floats, seen: Floats, key: str, weights: Floats) -> Floats:
        """(n, histories, 2) utility to be expected with no and yes, in the scale of the weights.

        Args:
            inputs: (n, inputs) encoded, as by `twin.policy.observation.encoded`.
            seen: (histories, states) indicators, as by `Layout.seen` or `Layout.behind`.
            key: Decisions before the question; open ones as ``-``.
            weights: (n, outcomes).
        """
        values = self.values(self.layout.observe(inputs, seen, key, weights))
        return np.asarray(1.0 - weights.sum(axis=1)[:, None, None] * (1.0 - values))

    def act(self, observations: Singles, allowed: Flags) -> Integers:
        """(k,) the better option for observations (k, size), among those that are possible (k, 2)."""
        return np.asarray(np.where(allowed, self.values(observations), -np.inf).argmax(axis=1))

    def decide(self, patients: Patients, weights: Floats) -> Decide:
        """Its policy for patients with weights (n, outcomes), for `twin.policy.exact.follow`.

        What it says of an option that is barred does not count there.
        """

        def decide(question: Question) -> Floats:
            values = self.values(patients.observe(question, weights))
            return np.asarray(values[..., YES] > values[..., NO], dtype=float)

        return decide
