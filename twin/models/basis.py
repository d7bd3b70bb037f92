"""Encoded inputs in, the columns a regression reads out: the inputs, bends of the numbers, and products of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np

from data.schema import Specification
from twin.arrays import AS_THEY_ARE, Floats, Integers
from twin.models.encoding import Encoding, NumberInput

KNOT_SHARES: Final = (0.25, 0.5, 0.75)
"""Where a number may bend: quartiles of the cohort, as many as a few hundred patients can place"""
FEWEST_VALUES: Final = 10
"""A number with fewer distinct values is not bent."""
MAIN, BEND, PRODUCT = 1.0, 0.5, 0.25
"""Prior standard deviation of a coefficient relative to that of a main effect: departures from a straight line and from
additivity are expected to be smaller, half and a quarter (assumed; all three are scaled together by the data)."""


@dataclass(frozen=True, eq=False)
class Basis:
    """How p encoded inputs become b columns, each with the prior standard deviation of its coefficient."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    names: tuple[str, ...]
    """Of the b columns"""
    bent: Integers
    """(k,) input that each bend belongs to"""
    knots: Floats
    """(k,) encoded value from which each bend counts"""
    pairs: Integers
    """(m, 2) inputs that are multiplied"""

    @classmethod
    def plain(cls, encoding: Encoding) -> Self:
        """The encoded inputs as they are."""
        none = np.zeros(0, dtype=np.intp)
        return cls(encoding.names, none, np.zeros(0), none.reshape(0, 2))

    @classmethod
    def learn(cls, encoding: Encoding, inputs: Floats, spec: Specification) -> Self:
        """Bends at the quartiles of numbers and products of the pairs that the specification names.

        Args:
            encoding: Of the inputs.
            inputs: (n, p) the cohort.
            spec: Names the columns that interact.
        """
        of_source = {name: list(range(*at.indices(len(encoding.names)))) for name, at in encoding.positions.items()}
        numbers = {source.source for source in encoding.inputs if isinstance(source, NumberInput) and source.varies}
        first = [of_source[name][0] for name in of_source if name in numbers]
        bends = [(column, k, knot) for column in first for k, knot in enumerate(_knots(inputs[:, column]))]
        chosen = [name for name in spec.interacting if name in of_source]
        pairs = [
            (a, b)
            for k, one in enumerate(chosen)
            for other in chosen[k + 1 :]
            for a in of_source[one]
            for b in of_source[other]
        ]
        names = (
            *encoding.names,
            *(f"{encoding.names[column]}, bend {k + 1}" for column, k, _ in bends),
            *(f"{encoding.names[a]} x {encoding.names[b]}" for a, b in pairs),
        )
        return cls(
            names,
            np.array([column for column, _, _ in bends], dtype=np.intp),
            np.array([knot for _, _, knot in bends]),
            np.array(pairs, dtype=np.intp).reshape(len(pairs), 2),
        )

    @property
    def inputs(self) -> int:
        """Number p of inputs; they are the first columns."""
        return len(self.names) - len(self.bent) - len(self.pairs)

    @property
    def scale(self) -> Floats:
        """(b,) prior standard deviations relative to a main effect's."""
        return np.concatenate(
            [np.full(self.inputs, MAIN), np.full(len(self.bent), BEND), np.full(len(self.pairs), PRODUCT)]
        )

    def expand(self, inputs: Floats) -> Floats:
        """(..., b) columns of inputs (..., p)."""
        bends = np.maximum(inputs[..., self.bent] - self.knots, 0.0)
        products = inputs[..., self.pairs[:, 0]] * inputs[..., self.pairs[:, 1]]
        return np.concatenate([inputs, bends, products], axis=-1)


def _knots(values: Floats) -> list[float]:
    distinct = np.unique(values)
    if distinct.size < FEWEST_VALUES:
        return []
    knots = np.unique(np.quantile(values, KNOT_SHARES))
    return [float(knot) for knot in knots if distinct[0] < knot < distinct[-1]]
