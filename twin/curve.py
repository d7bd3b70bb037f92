"""Risks with intervals, by month: values that carry their own domain and refuse to be read beyond it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.errors import Refused
from twin.arrays import Floats


class BeyondFollowUp(Refused):
    """A risk was asked for at a month that the cohort was not followed to."""

    @classmethod
    def of(cls, outcome: str, month: float, domain_end: float) -> BeyondFollowUp:
        """`month` outside of 0 to `domain_end`."""
        return cls(
            f"{outcome}: month {month:g} is outside the follow-up, which is [0, {domain_end:g}] months",
            remedy="ask for months within it",
        )


def check_months(outcome: str, months: Floats, domain_end: float) -> None:
    """Refuse months before time zero or after the last follow-up.

    Raises:
        BeyondFollowUp: names the first such month and the interval.
    """
    outside = months[~((months >= 0) & (months <= domain_end))]
    if outside.size:
        raise BeyondFollowUp.of(outcome, float(outside[0]), domain_end)


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class RiskCurve:
    """Risk of one outcome by month, with a pointwise interval.

    Raises:
        BeyondFollowUp: a month lies outside the follow-up.
    """

    outcome: str
    months: Floats
    """(m,) ascending"""
    risk: Floats
    """(m,) probability of the event by each month"""
    lower: Floats
    upper: Floats
    domain_end: float
    """End of the longest follow-up, months"""
    interval: str
    """What lower to upper is, e.g. ``90% calibrated``"""

    def __post_init__(self) -> None:
        check_months(self.outcome, self.months, self.domain_end)

    def at(self, month: float) -> Estimate:
        """The risk by `month`, linear between the months of the curve.

        Raises:
            BeyondFollowUp: `month` is outside the months of the curve.
        """
        if not self.months[0] <= month <= self.months[-1]:
            raise Refused(
                f"{self.outcome}: month {month:g} is outside the curve, which is "
                f"[{self.months[0]:g}, {self.months[-1]:g}] months",
                remedy="draw the curve over the months that are read",
            )
        value, lower, upper = (
            float(np.interp(month, self.months, values)) for values in (self.risk, self.lower, self.upper)
        )
        return Estimate(value, lower, upper)


@dataclass(frozen=True, eq=False)
class DifferenceCurve:
    """Risk under one plan less the risk under another, by month, with the interval of paired draws."""

    outcome: str
    months: Floats
    difference: Floats
    lower: Floats
    upper: Floats
    interval: str
