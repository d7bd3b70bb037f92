"""Patients, plans and the cohort in, how far the cohort supports a prediction out, with reasons in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

import numpy as np
from scipy.spatial.distance import cdist

from twin.arrays import AS_THEY_ARE, Floats

ALIKE_SHARE: Final = 0.2
"""The share of the cohort that counts as most alike."""
NEIGHBOURS: Final = 10
"""A patient's distance to the cohort is the mean distance to this many nearest patients."""
ENOUGH_ALIKE: Final = 10
"""From this many alike patients with the plan on, it is supported: the fewest whose mean says something."""
TOO_FEW_ALIKE: Final = 3
FAR_SHARE: Final = 0.95
"""Beyond this share of the cohort's own distances a patient is unusual, beyond the next one unlike it."""
TOO_FAR_SHARE: Final = 0.99
CELLS_AT_ONCE: Final = 4_000_000
"""Distances held in memory together, 32 MB."""


class SupportLevel(StrEnum):
    """How far a cohort supports a prediction; the words of the result files."""

    SUPPORTED = "supported"
    THIN = "thin"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True)
class Support:
    """How far the cohort supports predictions for one patient under one plan."""

    level: SupportLevel
    alike: int
    """Patients most alike"""
    alike_with_plan: int
    """Those of them who had the plan"""
    farther_than: float
    """Share of the cohort's patients who are nearer to the rest of the cohort than this patient is"""
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The reasons as one sentence."""
        text = "; ".join(self.reasons)
        return f"{text[:1].upper()}{text[1:]}."


@dataclass(frozen=True, eq=False)
class SupportModel:
    """The cohort as the models see it at one moment: encoded values without identifiers, and plans as digits."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    inputs: Floats
    """(n, p)"""
    decisions: Floats
    """(n, d) 0, 1 or NaN"""
    own_distances: Floats
    """(n,) ascending: each patient's mean distance to the nearest others"""

    @classmethod
    def fit(cls, inputs: Floats, decisions: Floats) -> SupportModel:
        """The model of a cohort; each patient is left out of their own neighbours."""
        if len(inputs) < 2:
            return cls(inputs, decisions, np.zeros(len(inputs)))
        near = min(NEIGHBOURS, len(inputs) - 1)
        own = [_mean_of_nearest(block, near + 1, skip=1) for block in _distances(inputs, inputs)]
        return cls(inputs, decisions, np.sort(np.concatenate(own)))

    def judge(self, inputs: Floats, digits: Floats, outside: Sequence[tuple[str, ...]]) -> list[list[Support]]:
        """Support of each patient and plan.

        Args:
            inputs: (m, p) patients
            digits: (plans, d) 0 or 1
            outside: For each patient, what is unlike anything in the cohort, in words.
        """
        cohort = len(self.inputs)
        alike = max(1, round(ALIKE_SHARE * cohort))
        had_plan = (self.decisions[:, None, :] == digits[None, :, :]).all(axis=2)
        with_plan, farther = [], []
        for block in _distances(inputs, self.inputs):
            nearest = np.argpartition(block, alike - 1, axis=1)[:, :alike]
            with_plan.append(had_plan[nearest].sum(axis=1))
            distance = _mean_of_nearest(block, min(NEIGHBOURS, cohort))
            farther.append(np.searchsorted(self.own_distances, distance) / cohort)
        rows = zip(np.concatenate(with_plan), np.concatenate(farther), outside, strict=True)
        return [[_support(alike, int(count), float(far), said) for count in counts] for counts, far, said in rows]


def _distances(inputs: Floats, cohort: Floats) -> Iterator[Floats]:
    """Euclidean distances (block, n), a block of patients at a time."""
    for block in np.array_split(inputs, max(1, len(inputs) * len(cohort) // CELLS_AT_ONCE)):
        yield np.asarray(cdist(block, cohort))


def _mean_of_nearest(distances: Floats, near: int, skip: int = 0) -> Floats:
    """Mean of the `near` smallest distances of each row, less the `skip` smallest (the patient themselves)."""
    nearest: Floats = np.sort(np.partition(distances, near - 1, axis=1)[:, :near], axis=1)[:, skip:]
    return np.asarray(nearest.mean(axis=1))


def _support(alike: int, with_plan: int, farther_than: float, outside: tuple[str, ...]) -> Support:
    if with_plan < TOO_FEW_ALIKE or farther_than > TOO_FAR_SHARE:
        level = SupportLevel.UNSUPPORTED
    elif with_plan < ENOUGH_ALIKE or farther_than > FAR_SHARE or outside:
        level = SupportLevel.THIN
    else:
        level = SupportLevel.SUPPORTED
    reasons = [f"{with_plan} of the {alike} most alike patients had this plan"]
    if farther_than > FAR_SHARE:
        reasons.append(f"farther from the cohort than {100 * farther_than:.0f} % of its own patients")
    return Support(level, alike, with_plan, farther_than, (*reasons, *outside))
