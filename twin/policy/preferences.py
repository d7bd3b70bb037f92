"""The weights of a specification in; weights that people may have, drawn at random, out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from twin.arrays import Floats
from twin.policy.observation import shares
from twin.policy.utility import Weights
from twin.prediction import FittedTwin

NEAR: Final = 0.5
"""Standard deviation of the logarithm of weights around those of the specification"""
SILENT: Final = 0.3
"""Chance that an outcome counts for nothing, in a third of all weights"""


@dataclass(frozen=True, eq=False)
class Preferences:
    """Weights that people may have: a third near those of the specification, a third anywhere, a third with zeros."""

    usual: Floats
    """(outcomes,) those of the specification"""

    @classmethod
    def of(cls, twin: FittedTwin) -> Self:
        """Around the weights of the twin's specification."""
        return cls(Weights.of(twin.spec).array(twin.outcomes))

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """(count, outcomes) weights that add up to 1; anywhere is uniform over all shares (Dirichlet 1)."""
        outcomes = len(self.usual)
        anywhere = rng.dirichlet(np.ones(outcomes), count)
        near = shares(self.usual * np.exp(NEAR * rng.standard_normal((count, outcomes))))
        kept = rng.random((count, outcomes)) >= SILENT
        kept[np.arange(count), rng.integers(outcomes, size=count)] = True
        kind = rng.integers(3, size=count)[:, None]
        return np.asarray(np.where(kind == 0, near, np.where(kind == 1, anywhere, shares(anywhere * kept))))
