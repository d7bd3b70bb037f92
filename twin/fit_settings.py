"""How a twin is fitted: every choice with its default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from data.errors import Refused

FEWEST_DRAWS: Final = 20


@dataclass(frozen=True)
class FitSettings:
    """How a twin is fitted.

    Raises:
        Refused: too few draws for an interval, or a share that is not between 0 and 1.
    """

    draws: int = 200
    """From the posterior of every model"""
    seed: int = 0
    """Of the draws, and of the folds that choose between models"""
    interval: float = 0.90
    """Share of the draws within an interval"""
    imputations: int = 5
    """Completed copies of the cohort on which the models are fitted"""
    select: bool = True
    """Whether other candidates may serve in place of ridge Cox regression where they predict better"""
    folds: int = 5
    """Of the cross-validation that compares the candidates"""
    states: bool = True
    """Whether what is seen between decisions is modelled; without, risks are those from time zero whatever is seen"""
    evidence_weight: float = 0.5
    """Of published effects against the cohort's own: 0 the cohort alone, 0.5 each by its variance, 1 trials alone"""

    def __post_init__(self) -> None:
        if self.draws < FEWEST_DRAWS:
            raise Refused(f"{self.draws} draws", remedy=f"ask for {FEWEST_DRAWS} or more: fewer are no interval")
        if not 0 < self.interval < 1:
            raise Refused(f"interval {self.interval:g}", remedy="give a share between 0 and 1, such as 0.9")
        if not 0 <= self.evidence_weight <= 1:
            raise Refused(f"evidence weight {self.evidence_weight:g}", remedy="give a share from 0 to 1, such as 0.5")
