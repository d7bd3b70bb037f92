"""Many patients in, their recommendations out: parts of them at a time, on all cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

import joblib
import numpy as np
import pandas as pd

from twin.policy.options import Exclusion
from twin.policy.recommendation import Learnt, recommend
from twin.policy.utility import Weights
from twin.prediction import FittedTwin

FEW: Final = 300
"""Patients up to whom starting another process takes longer than it saves"""
AT_ONCE: Final = 1000
"""Patients of a part at most: those who stand at the same place are worked out together"""

Progress = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and what is being done."""


def recommend_many(
    twin: FittedTwin,
    frame: pd.DataFrame,
    weights: Weights,
    learnt: Learnt | None = None,
    excluded: Sequence[Exclusion] = (),
    progress: Progress | None = None,
) -> pd.DataFrame:
    """The same as `twin.policy.recommendation.recommend`, patient for patient."""
    cores = (os.cpu_count() or 1) if len(frame) > FEW else 1
    parts = _parts(frame, cores)
    tasks = (joblib.delayed(recommend)(twin, part, weights, learnt, excluded) for part in parts)
    tables: list[pd.DataFrame] = []
    for done, table in enumerate(joblib.Parallel(n_jobs=cores, return_as="generator")(tasks), start=1):
        tables.append(table)
        if progress is not None:
            progress(done / len(parts), f"part {done} of {len(parts)}")
    filled: list[pd.DataFrame] = [table for table in tables if len(table)]
    return pd.concat(filled or tables[:1], ignore_index=True)


def _parts(frame: pd.DataFrame, cores: int) -> list[pd.DataFrame]:
    """The patients in parts, in their order: as many for every core."""
    rounds = max(1, -(-len(frame) // (AT_ONCE * cores)))
    pieces = np.array_split(np.arange(len(frame)), rounds * cores)
    return [frame.iloc[rows].reset_index(drop=True) for rows in pieces]
