"""What a fitted twin is made of: models of one landmark as plain arrays, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.cohort import TimeZero
from twin.models.encoding import Encoding
from twin.models.outcome import BinaryModel, HazardModel
from twin.support import SupportModel


@dataclass(frozen=True, eq=False)
class OutcomeHazards:
    """The hazard of an outcome and of what forestalls it."""

    event: HazardModel
    rival: HazardModel | None


@dataclass(frozen=True, eq=False)
class Stage:
    """The models that answer for patients who have that many landmarks behind them."""

    landmarks_reached: int
    month: float
    """The models start here, in those who are alive and followed"""
    encoding: Encoding
    hazards: Mapping[str, OutcomeHazards]
    """By outcome; an outcome with too few events after the landmark is left to the stage before"""
    binaries: Mapping[str, BinaryModel]
    support: SupportModel

    def models(self, outcome: str) -> bool:
        """Whether this stage has a model of `outcome`."""
        return outcome in self.hazards or outcome in self.binaries


@dataclass(frozen=True)
class Origin:
    """Where a twin comes from: enough to fit it again."""

    cohort: str
    version: int
    digest: str
    """SHA-256 of the cohort's canonical content"""
    synthetic: bool
    time_zero: TimeZero
    patients: int
    refits: int
    seed: int
    interval: float
    """Share of the refits within an interval"""
    libraries: Mapping[str, str]
    """Versions of what fitted it"""

    @property
    def interval_label(self) -> str:
        """What an interval is, in the words of the result files."""
        return f"{100 * self.interval:g}% bootstrap"
