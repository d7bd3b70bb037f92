"""Canonical baseline columns in, the numbers that the structural equations use out."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data.synthetic.draws import BoolArray, FloatArray, IntArray
from data.synthetic.parameters import LEVELS, N_STAGES, SITES, T_STAGES

REFERENCE_AGE = 58.0
"""Age at which the baseline hazards stand (years), about the median."""
REFERENCE_YEAR = 2009.0


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is true of patients before treatment. Every field has one entry per patient.

    Fields are kept apart from the recorded columns because biology acts on what is true (`hpv_positive`) and
    physicians on what is recorded (`hpv_recorded`).
    """

    hpv_positive: BoolArray
    """The true status, also where it was not determined."""
    hpv_recorded: IntArray
    """1 positive, -1 negative, 0 not determined."""
    age_years: FloatArray
    female: BoolArray
    ecog: FloatArray
    pack_years: FloatArray
    current_smoker: BoolArray
    t: IntArray
    """Index into `T_STAGES`."""
    n: IntArray
    """Index into `N_STAGES`, by the table of the eighth edition that the recorded HPV status selects."""
    level_4: BoolArray
    """Ipsilateral."""
    retropharyngeal: BoolArray
    """Ipsilateral."""
    contralateral: BoolArray
    """Any contralateral level."""
    contralateral_2a: BoolArray
    aspiration: BoolArray
    year: FloatArray
    site: IntArray

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, hpv_positive: BoolArray) -> Self:
        """From canonical columns and the true HPV status (patients,)."""
        return cls(
            hpv_positive=np.asarray(hpv_positive, dtype=bool),
            hpv_recorded=codes(frame, "hpv_status", ("negative", "unknown", "positive")) - 1,
            age_years=_numbers(frame, "age_years"),
            female=_is(frame, "sex", "female"),
            ecog=_numbers(frame, "ecog"),
            pack_years=_numbers(frame, "pack_years"),
            current_smoker=_is(frame, "smoking_status", "current"),
            t=codes(frame, "t_stage", T_STAGES),
            n=codes(frame, "n_stage", N_STAGES),
            level_4=_flag(frame, "ln_ipsi_4"),
            retropharyngeal=_flag(frame, "ln_ipsi_rp"),
            contralateral=np.any([_flag(frame, f"ln_contra_{level}") for level in LEVELS], axis=0),
            contralateral_2a=_flag(frame, "ln_contra_2a"),
            aspiration=_flag(frame, "aspiration_baseline"),
            year=_numbers(frame, "diagnosis_year"),
            site=codes(frame, "site_id", SITES),
        )

    @property
    def size(self) -> int:
        """Number of patients."""
        return len(self.age_years)

    @property
    def bulky_nodes(self) -> BoolArray:
        """A node above 6 cm: N3 in both tables of the eighth edition."""
        return np.asarray(self.n == N_STAGES.index("N3"))

    @property
    def node_negative(self) -> BoolArray:
        """No involved node."""
        return np.asarray(self.n == N_STAGES.index("N0"))

    @property
    def decades(self) -> FloatArray:
        """Age in decades from `REFERENCE_AGE`."""
        return (self.age_years - REFERENCE_AGE) / 10.0

    def rows(self, index: slice | NDArray[np.int64] | BoolArray) -> Self:
        """The patients at `index`, in that order."""
        return replace(self, **{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def with_axes(self, count: int) -> Self:
        """The same with `count` axes of length one behind, to be broadcast against latent states."""
        return replace(self, **{f.name: getattr(self, f.name).reshape(-1, *[1] * count) for f in fields(self)})


def _numbers(frame: pd.DataFrame, column: str) -> FloatArray:
    return frame[column].to_numpy(dtype=np.float64)


def _is(frame: pd.DataFrame, column: str, level: str) -> BoolArray:
    return np.asarray(frame[column].astype(object) == level)


def _flag(frame: pd.DataFrame, column: str) -> BoolArray:
    return np.asarray(frame[column] == 1.0)


def codes(frame: pd.DataFrame, column: str, levels: tuple[str, ...]) -> IntArray:
    """Index of each patient's level in `levels`."""
    index = {level: code for code, level in enumerate(levels)}
    return np.asarray(frame[column].astype(object).map(index), dtype=np.int64)
