"""Where a fitted twin comes from: enough to fit it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.cohort import TimeZero


@dataclass(frozen=True)
class Origin:
    """Where a twin comes from."""

    cohort: str
    version: int
    digest: str
    """SHA-256 of the cohort's canonical content"""
    synthetic: bool
    time_zero: TimeZero
    patients: int
    draws: int
    seed: int
    interval: float
    """Share of the draws within an interval"""
    evidence_weight: float
    """Of published effects against the cohort's own, 0 to 1"""
    libraries: Mapping[str, str]
    """Versions of what fitted it"""

    @property
    def interval_label(self) -> str:
        """What an interval is, in the words of the result files."""
        return f"{100 * self.interval:g}% calibrated"
