"""What every candidate for a hazard is fitted on and has to offer: episodes with offsets in, hazards by month out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol, Self

import numpy as np

from twin.arrays import Flags, Floats, Integers
from twin.models.hazard import Episodes

FEWEST_EVENTS: Final = 10
"""Fewer events teach a candidate no more than how often the event happens."""


@dataclass(frozen=True, eq=False)
class HazardData:
    """What every candidate is fitted on.

    Raises:
        ValueError: arrays of different lengths, weights that are not above 0, or numbers that are not finite.
    """

    episodes: Episodes
    """Inputs (m, p) are baseline inputs only, encoded and centred; decisions are not among them"""
    offset: Floats
    """(m,) log hazard ratio of the decisions in effect during the episode: known, not estimated here"""
    weights: Floats
    """(m,) of the patient, above 0"""

    def __post_init__(self) -> None:
        rows = (len(self.episodes.stop),)
        if self.offset.shape != rows or self.weights.shape != rows:
            raise ValueError(f"offset {self.offset.shape} and weights {self.weights.shape} for episodes {rows}")
        if not (self.weights > 0).all():
            raise ValueError("weights must be above 0")
        if not (np.isfinite(self.offset).all() and np.isfinite(self.weights).all()):
            raise ValueError("offsets and weights must be finite")

    @property
    def origin(self) -> float:
        """The month from which the first patient is watched."""
        return float(self.episodes.start.min())

    @property
    def last_month(self) -> float:
        """The end of the longest follow-up: no hazard is known beyond it."""
        return float(self.episodes.stop.max())

    @property
    def events(self) -> int:
        """How many events there are, whatever they weigh."""
        return int(self.episodes.event.sum())

    def renumbered(self, position: Integers) -> Self:
        """The same data with each patient's number replaced by the entry of `position` (n,) under it."""
        cut = self.episodes
        renamed = Episodes(cut.inputs, cut.start, cut.stop, cut.event, position[cut.patient])
        return type(self)(renamed, self.offset, self.weights)

    def take(self, rows: Integers | Flags) -> Self:
        """The episodes at `rows` (positions, or a mask)."""
        return type(self)(self.episodes.take(rows), self.offset[rows], self.weights[rows])


class FittedHazard(Protocol):
    """A fitted hazard: a frozen dataclass of arrays, numbers and text, so that it is stored without running code."""

    def increments(self, inputs: Floats, edges: Floats) -> Floats:
        """Cumulative hazard over each cell, for offset 0.

        Nothing is known beyond the longest follow-up, and callers do not ask beyond it.

        Args:
            inputs: (n, p)
            edges: (cells + 1,) ascending months, none before the origin of the episodes fitted on.

        Returns:
            (n, cells), at least 0
        """


class Candidate(Protocol):
    """A way to learn a hazard."""

    @property
    def name(self) -> str:
        """What files and settings call it."""

    @property
    def label(self) -> str:
        """What a page calls it, as within a sentence."""

    def fit(self, data: HazardData, seed: int) -> FittedHazard:
        """The hazard ``exp(offset) * h(month, inputs)`` of `data`.

        What it has to choose it chooses by the held-out likelihood of patients within `data`.

        Args:
            data: Episodes with at least one row.
            seed: The same seed gives the same fit.
        """
