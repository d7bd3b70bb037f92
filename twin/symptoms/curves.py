"""Expected ratings of patients by item and week, with two intervals that answer two questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from data.symptoms import ITEM, PATIENT, WEEK, Item
from twin.arrays import Floats


@dataclass(frozen=True, eq=False)
class SymptomCurves:
    """Ratings of n patients under one plan; every array is (n, items, weeks), NaN where the cohort teaches nothing."""

    items: tuple[Item, ...]
    weeks: tuple[float, ...]
    plan: str
    mean: Floats
    """Expected rating: the mean over patients like this one"""
    lower: Floats
    """`lower` to `upper`: where that mean lies, by what the cohort leaves open"""
    upper: Floats
    range_lower: Floats
    """`range_lower` to `range_upper`: between which whole ratings most such patients answer"""
    range_upper: Floats
    level: float
    """Share that either interval is meant to cover"""

    @property
    def interval(self) -> str:
        """What `lower` to `upper` is, in the words of a legend."""
        return f"{100 * self.level:g}% interval of the mean"

    @property
    def range_label(self) -> str:
        """What `range_lower` to `range_upper` is, in the words of a legend."""
        return f"range of {100 * self.level:g}% of such patients' ratings"

    def table(self, patients: Sequence[str]) -> pd.DataFrame:
        """The curves as a long table, one row a patient, item and week; `patients` are their n identifiers."""
        index = pd.MultiIndex.from_product(
            [list(patients), [item.name for item in self.items], self.weeks], names=[PATIENT, ITEM, WEEK]
        )
        columns = ("mean", "lower", "upper", "range_lower", "range_upper")
        long = pd.DataFrame({name: getattr(self, name).ravel() for name in columns}, index=index).reset_index()
        long.insert(1, "plan", self.plan)
        return long
