"""Probabilities of two yes-or-no outcomes and their odds ratio in, how likely both or either are out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
from scipy.optimize import minimize_scalar

from twin.arrays import AS_THEY_ARE, Flags, Floats

LARGEST_LOG_ODDS_RATIO: Final = 6.0
"""An odds ratio of 400: beyond it the two are one outcome"""
PRIOR_SD: Final = 1.5
"""Of the log odds ratio: nineteen in twenty within a factor of 20 of independence (assumed)"""
_STEP: Final = 1e-3


@dataclass(frozen=True, eq=False)
class Dependence:
    """Two yes-or-no outcomes whose odds ratio is the same in all patients of equal risk.

    With both probabilities given, the odds ratio gives the probability of both: Plackett 1965
    (doi:10.1080/01621459.1965.10480807); as a regression model Dale 1986 (doi:10.2307/2531052).
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    first: str
    second: str
    """Names of the outcomes"""
    log_odds_ratio: Floats
    """(1 + draws,)"""
    patients: int

    @classmethod
    def fit(
        cls,
        names: tuple[str, str],
        happened: tuple[Floats, Floats],
        probabilities: tuple[Floats, Floats],
        draws: int,
        rng: np.random.Generator,
    ) -> Self:
        """The odds ratio by maximum posterior, and normal draws around it.

        Args:
            names: Of both outcomes.
            happened: (n,) 0 or 1 each, in those in whom both are recorded.
            probabilities: (n,) of each, by its own model.
            draws: How many.
            rng: Of the draws.
        """

        def loss(log_odds_ratio: float) -> float:
            cells = _cells(*probabilities, np.array(log_odds_ratio))
            chosen = np.where(happened[0] == 1, np.where(happened[1] == 1, cells[0], cells[1]), 0.0)
            chosen = np.where(happened[0] == 0, np.where(happened[1] == 1, cells[2], cells[3]), chosen)
            return float(-np.log(np.maximum(chosen, 1e-300)).sum() + 0.5 * (log_odds_ratio / PRIOR_SD) ** 2)

        bounds = (-LARGEST_LOG_ODDS_RATIO, LARGEST_LOG_ODDS_RATIO)
        mode = float(minimize_scalar(loss, bounds=bounds, method="bounded").x)
        curvature = (loss(mode + _STEP) - 2.0 * loss(mode) + loss(mode - _STEP)) / _STEP**2
        drawn = rng.normal(mode, max(curvature, PRIOR_SD**-2.0) ** -0.5, draws)
        return cls(*names, np.clip(np.concatenate([[mode], drawn]), *bounds), len(happened[0]))

    def both(self, first: Floats, second: Floats) -> Floats:
        """Probability of both, of probabilities (1 + draws, ...) of each."""
        shape = (-1,) + (1,) * (first.ndim - 1)
        return _cells(first, second, self.log_odds_ratio.reshape(shape))[0]

    def given(self, other: Floats, known: Floats, happened: Flags) -> Floats:
        """(n,) probability of one of both in patients in whom it is known whether the other happened, by the fit.

        Args:
            other: (n,) probability of the one asked about; of the odds ratio, both are alike.
            known: (n,) probability of the one that is known.
            happened: (n,) whether that one did.
        """
        both = _cells(other, known, self.log_odds_ratio[0])[0]
        joint, of = np.where(happened, both, other - both), np.where(happened, known, 1.0 - known)
        return np.clip(np.divide(joint, of, out=other.copy(), where=of > 0), 0.0, 1.0)

    def either(self, first: Floats, second: Floats) -> Floats:
        """Probability of at least one, of probabilities (1 + draws, ...) of each."""
        return first + second - self.both(first, second)


def _cells(first: Floats, second: Floats, log_odds_ratio: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Probabilities of both, the first alone, the second alone, and neither."""
    ratio = np.exp(log_odds_ratio)
    total = 1.0 + (first + second) * (ratio - 1.0)
    root = np.sqrt(total**2 - 4.0 * ratio * (ratio - 1.0) * first * second)
    # The smaller root of the quadratic in the form that stays exact where the odds ratio is 1.
    both = 2.0 * ratio * first * second / (total + root)
    return both, first - both, second - both, 1.0 - first - second + both
