"""A candidate and resamples of the patients in, a fit with its refits out: for intervals of whichever one serves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np

from twin.arrays import AS_THEY_ARE, Floats
from twin.models.candidates.catalogue import AnyHazard
from twin.models.candidates.protocol import Candidate, HazardData, Tunable


@dataclass(frozen=True, eq=False)
class Bagged:
    """A fitted hazard, and the same candidate refitted on resamples of the patients."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    members: tuple[AnyHazard, ...]
    """(1 + refits,) the fit first"""

    def increments(self, inputs: Floats, edges: Floats) -> Floats:
        """(n, cells) of the fit, as by `FittedHazard`."""
        return self.members[0].increments(inputs, edges)

    def draws(self, inputs: Floats, edges: Floats) -> Floats:
        """(1 + refits, n, cells) of the fit and of every refit."""
        return np.stack([member.increments(inputs, edges) for member in self.members])


def bag(candidate: Candidate, copies: Sequence[HazardData], counts: Floats, seed: int) -> Bagged:
    """A candidate fitted on the patients, and refitted on each resample of them.

    Settings are chosen once, on all patients, as the penalties of the Cox model are. Patients who are drawn more than
    once weigh more and are not repeated, so that no part of a patient is held out from another part.

    Args:
        candidate: What to fit.
        copies: Episodes of the same patients, once for each completion of what is missing; every refit takes the next,
            so that the spread of the refits holds that of the guesses. Their `patient` is a position in the columns of
            `counts`.
        counts: (1 + refits, patients) how often each patient is in each resample; the first row is the patients
            themselves.
        seed: Of the fit; every refit has one of its own.
    """
    settled = candidate.tuned(copies[0], seed) if isinstance(candidate, Tunable) else candidate
    drawn = (_drawn(copies[k % len(copies)], row) for k, row in enumerate(counts))
    # What the catalogue does not list could be fitted but not stored; there pydantic says so.
    return Bagged(tuple(cast(AnyHazard, settled.fit(data, seed + k)) for k, data in enumerate(drawn)))


def _drawn(data: HazardData, count: Floats) -> HazardData:
    times = count[data.episodes.patient]
    drawn = times > 0
    return HazardData(data.episodes.take(drawn), data.offset[drawn], data.weights[drawn] * times[drawn])
