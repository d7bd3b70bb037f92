"""Losses of a trajectory and their weights in, its utility out.

Utility is ``1 - sum of weight x loss``. The losses are the share of the first 60 months that is lost to death
(restricted mean), the probabilities of each failure by month 60, and the probabilities of each yes-or-no outcome.
It ranks treatment sequences and nothing else: benefit and harm are always shown apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Self

import numpy as np

from data.errors import NotFound, WrongUsage
from data.schema import Specification
from twin.arrays import Floats

HORIZON_MONTHS: Final = 60.0
"""By when events count, and over which months of life are lost"""


@dataclass(frozen=True)
class Weights:
    """How much the loss of each outcome counts.

    Raises:
        WrongUsage: a weight is negative or no number.
    """

    by_outcome: Mapping[str, float]

    def __post_init__(self) -> None:
        for name, weight in self.by_outcome.items():
            if not 0.0 <= weight < math.inf:
                raise WrongUsage(f"weight of {name} is {weight:g}", remedy="give numbers from 0 on")
        object.__setattr__(self, "by_outcome", MappingProxyType(dict(self.by_outcome)))

    @classmethod
    def of(cls, spec: Specification, asked: Mapping[str, float] | None = None) -> Self:
        """Those of the specification, with the ones that are asked for in their place.

        Raises:
            NotFound: an outcome that the disease does not have.
            WrongUsage: a weight is negative or no number.
        """
        weights = {outcome.name: outcome.weight for outcome in spec.outcomes}
        for name in asked or {}:
            if name not in weights:
                raise NotFound.named("outcome", name, weights, "name outcomes of the disease")
        return cls({**weights, **(asked or {})})

    @classmethod
    def parse(cls, spec: Specification, text: str) -> Self:
        """Those of the specification, changed as in ``death=1,aspiration_6m=0.5``.

        Raises:
            NotFound: an outcome that the disease does not have.
            WrongUsage: the text is no list of weights.
        """
        asked: dict[str, float] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, separator, number = (piece.strip() for piece in part.partition("="))
            try:
                asked[name] = float(number)
            except ValueError:
                separator = ""
            if not separator:
                raise WrongUsage(f"weights '{text}': '{part}'", remedy="write OUTCOME=NUMBER, separated by commas")
        return cls.of(spec, asked)

    def array(self, outcomes: Sequence[str]) -> Floats:
        """(outcomes,) weights in a given order."""
        return np.array([self.by_outcome[name] for name in outcomes])


def utility(losses: Floats, weights: Floats) -> Floats:
    """(...,) of losses (..., outcomes) with weights (outcomes,) or (..., outcomes)."""
    return np.asarray(1.0 - (losses * weights).sum(axis=-1))
