"""Units of time and dose: the one place where a conversion factor stands."""

from __future__ import annotations

from typing import Final

DAYS_PER_MONTH: Final = 30.4375
"""A month is a twelfth of a Julian year of 365.25 days."""

MONTHS_PER_YEAR: Final = 12.0

_MONTHS_PER: Final = {
    "days": 1.0 / DAYS_PER_MONTH,
    "weeks": 7.0 / DAYS_PER_MONTH,
    "months": 1.0,
    "years": MONTHS_PER_YEAR,
}

_FACTORS: Final[dict[tuple[str, str], float]] = {
    **{(unit, "months"): factor for unit, factor in _MONTHS_PER.items()},
    **{(unit, "years"): factor / MONTHS_PER_YEAR for unit, factor in _MONTHS_PER.items()},
    ("Gy", "Gy"): 1.0,
    ("cGy", "Gy"): 0.01,
    ("cigarettes per day x years", "pack-years"): 1.0 / 20.0,
}


def conversion_factor(source: str, target: str) -> float | None:
    """Factor that turns a number in `source` units into `target` units; ``None`` when there is no such conversion."""
    if source == target:
        return 1.0
    return _FACTORS.get((source, target))


def convertible_units(target: str) -> tuple[str, ...]:
    """The units that can be converted into `target`, `target` itself first."""
    others = sorted(source for source, wanted in _FACTORS if wanted == target and source != target)
    return (target, *others)
