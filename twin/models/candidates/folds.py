"""Patients in, folds out: how a part of the patients is held out, to choose a candidate or the settings of one."""

from __future__ import annotations

from typing import Final

import numpy as np

from twin.arrays import Flags, Integers
from twin.models.candidates.protocol import HazardData

INNER_FOLDS: Final = 5


def even_folds(stratum: Integers | Flags, folds: int, seed: int) -> Integers:
    """(n,) fold of each of n patients at random, patients of each stratum (n,) spread as evenly as can be."""
    shuffled = np.random.default_rng(seed).permutation(len(stratum))
    fold = np.empty(len(stratum), dtype=np.intp)
    fold[shuffled[np.argsort(stratum[shuffled], kind="stable")]] = np.arange(len(stratum)) % folds
    return fold


def inner_folds(data: HazardData, seed: int) -> Integers:
    """(m,) one of `INNER_FOLDS` folds for every episode, all of one patient in one fold."""
    patients, rows = np.unique(data.episodes.patient, return_inverse=True)
    events = np.zeros(len(patients), dtype=bool)
    events[rows[data.episodes.event]] = True
    return even_folds(events, INNER_FOLDS, seed)[rows]
