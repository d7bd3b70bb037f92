"""What was seen of each patient: a time and what ended it; in come arrays, out comes one validated value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

CENSORED: Final = 0
EVENT: Final = 1
COMPETING: Final = 2


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Times to an event of interest, with censoring and, where there is one, a competing event.

    Where an event and a censoring fall on the same time, the event is taken to come first: somebody censored at
    month t is known to be free of the event at t.

    Raises:
        ValueError: the arrays differ in length, a time is negative or not finite, or a code is unknown.
    """

    time: FloatArray
    """(n,) months from time zero to whatever came first."""
    event: IntArray
    """(n,) what came first: `CENSORED`, `EVENT` or `COMPETING`."""

    def __post_init__(self) -> None:
        if self.time.ndim != 1 or self.time.shape != self.event.shape:
            raise ValueError(f"time {self.time.shape} and event {self.event.shape} must be vectors of one length")
        if not (np.isfinite(self.time).all() and (self.time >= 0).all()):
            raise ValueError("times must be finite and not negative")
        if not np.isin(self.event, (CENSORED, EVENT, COMPETING)).all():
            raise ValueError("event codes must be 0 (censored), 1 (event) or 2 (competing event)")

    @property
    def size(self) -> int:
        """Number of patients."""
        return len(self.time)

    @property
    def events(self) -> int:
        """Number of patients in whom the event of interest was seen."""
        return int((self.event == EVENT).sum())

    def take(self, rows: IntArray | BoolArray) -> Observed:
        """The patients at `rows` (positions, or a mask)."""
        return Observed(self.time[rows], self.event[rows])

    def event_by(self, month: float) -> BoolArray:
        """(n,) whether the event of interest was seen by `month`."""
        return np.asarray((self.event == EVENT) & (self.time <= month), dtype=np.bool_)

    def known_at(self, month: float) -> BoolArray:
        """(n,) whether the status at `month` is known: something happened by then, or follow-up reaches it."""
        ended = (self.event != CENSORED) & (self.time <= month)
        return np.asarray(ended | (self.time >= month), dtype=np.bool_)


def each_once(patients: int) -> FloatArray:
    """(1, n) counts of the sample itself: every patient once."""
    return np.ones((1, patients))


def counts_or_once(counts: FloatArray | None, patients: int) -> FloatArray:
    """`counts`, or every patient once where there are none.

    Raises:
        ValueError: `counts` is not a table with one column a patient.
    """
    if counts is None:
        return each_once(patients)
    if counts.ndim != 2 or counts.shape[1] != patients:
        raise ValueError(f"counts have shape {counts.shape}, expected (resamples, {patients})")
    return counts
