"""Effects of decisions as normal distributions over named terms: the one form that priors, cohorts and models share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pandas as pd

from data.evidence import EffectTerm
from twin.arrays import AS_THEY_ARE, Floats

__all__ = ["Z_90", "EffectDistribution", "EffectTerm", "term_matrix"]

Z_90: Final = 1.6448536269514722
"""Half the width of a 90 % interval, in standard deviations"""


@dataclass(frozen=True, eq=False)
class EffectDistribution:
    """Normal distribution of the log hazard (or odds) ratios of q terms."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    terms: tuple[EffectTerm, ...]
    mean: Floats
    """(q,)"""
    covariance: Floats
    """(q, q)"""

    @property
    def sd(self) -> Floats:
        """(q,) standard deviations."""
        return np.sqrt(np.diag(self.covariance))

    def of(self, weights: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation (k,) of combinations ``weights @ terms`` (k, q), log ratios."""
        return weights @ self.mean, np.sqrt(np.einsum("kq,qr,kr->k", weights, self.covariance, weights))

    def draws(self, count: int, rng: np.random.Generator) -> Floats:
        """(1 + count, q): the mean, then draws."""
        if not self.terms:
            return np.zeros((1 + count, 0))
        drawn = rng.multivariate_normal(self.mean, self.covariance, count, method="eigh")
        return np.vstack([self.mean, drawn])


def term_matrix(terms: tuple[EffectTerm, ...], frame: pd.DataFrame) -> Floats:
    """(n, q) what multiplies each term in each patient."""
    return np.column_stack([np.empty((len(frame), 0)), *(term.values(frame) for term in terms)])
