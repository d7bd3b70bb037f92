"""Ratings of symptoms as one long table: patient, item, week, rating, all on one scale and one clock."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import Refused
from data.symptoms.questionnaire import Questionnaire

PATIENT: Final = "patient_id"
ITEM: Final = "item"
WEEK: Final = "week"
RATING: Final = "rating"


@dataclass(frozen=True, eq=False)
class SymptomTable:
    """Ratings of one questionnaire.

    Raises:
        Refused: what stands in the table breaks the rules of the questionnaire; the message counts every kind of fault.
    """

    questionnaire: Questionnaire
    frame: pd.DataFrame
    """`patient_id` and `item` as text, `week` and `rating` as float64, one row a patient, item and week, fresh index;
    a rating is a whole number on the questionnaire's scale, or NaN where the question was left out"""

    def __post_init__(self) -> None:
        columns = [PATIENT, ITEM, WEEK, RATING]
        if list(self.frame) != columns:
            raise Refused(f"columns {', '.join(map(str, self.frame))}", remedy=f"expected {', '.join(columns)}")
        said = [f"{count} {kind}" for kind, count in self._faults().items() if count]
        if said:
            raise Refused(f"symptoms of {self.questionnaire.spec}: {', '.join(said)}", remedy="correct these rows")

    @classmethod
    def of(
        cls, questionnaire: Questionnaire, patients: Sequence[str], ratings: npt.NDArray[np.float64]
    ) -> SymptomTable:
        """The table of a full array.

        Args:
            questionnaire: what was asked.
            patients: (n,) identifiers.
            ratings: (n, items, weeks) ratings, NaN where there is none; a visit without any rating becomes no rows.
        """
        names, weeks = questionnaire.names, questionnaire.weeks
        index = pd.MultiIndex.from_product([list(patients), weeks, names], names=[PATIENT, WEEK, ITEM])
        by_visit = ratings.transpose(0, 2, 1)
        answered = np.repeat(~np.isnan(by_visit).all(axis=2), len(names))
        long = pd.Series(by_visit.ravel(), index=index, name=RATING)[answered].reset_index()
        typed = long.astype({PATIENT: object, ITEM: object, WEEK: np.float64})
        return cls(questionnaire, typed[[PATIENT, ITEM, WEEK, RATING]])

    @cached_property
    def given(self) -> pd.DataFrame:
        """The rows of `frame` in which a question was answered."""
        return self.frame[self.frame[RATING].notna()]

    @cached_property
    def patients(self) -> tuple[str, ...]:
        """Identifiers of those who answered a question, in the order of the table."""
        return tuple(self.given[PATIENT].unique())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the answers: equal exactly when two tables hold the same ones, whatever the order of the rows."""
        rows = self.given.sort_values([PATIENT, WEEK, ITEM])
        hasher = hashlib.sha256()
        for patient, item, week, rating in rows.itertuples(index=False, name=None):
            hasher.update(f"{patient}\x1f{item}\x1f{week:g}\x1f{rating:g}\x1e".encode())
        return hasher.hexdigest()

    def ratings(self, patients: Sequence[str]) -> npt.NDArray[np.float64]:
        """(n, items, weeks) ratings of `patients` in that order, NaN where there is none; others are left out."""
        asked = self.questionnaire
        cube = np.full((len(patients), len(asked.items), len(asked.weeks)), np.nan)
        at = (
            pd.Index(patients).get_indexer(pd.Index(self.frame[PATIENT])),
            pd.Index(asked.names).get_indexer(pd.Index(self.frame[ITEM])),
            pd.Index(asked.weeks).get_indexer(pd.Index(self.frame[WEEK])),
        )
        wanted = at[0] >= 0
        cube[tuple(index[wanted] for index in at)] = self.frame[RATING].to_numpy()[wanted]
        return cube

    def _faults(self) -> dict[str, int]:
        asked, frame = self.questionnaire, self.frame
        rating = frame[RATING].to_numpy(dtype=np.float64)
        off_scale = (rating < asked.lowest) | (rating > asked.highest) | (rating != np.round(rating))
        return {
            "unknown items": int((~frame[ITEM].isin(asked.names)).sum()),
            "weeks that are not in the schedule": int((~frame[WEEK].isin(asked.weeks)).sum()),
            f"ratings that are not whole numbers from {asked.lowest:g} to {asked.highest:g}": int(
                (off_scale & ~np.isnan(rating)).sum()
            ),
            "patients, items and weeks that occur before": int(frame.duplicated([PATIENT, ITEM, WEEK]).sum()),
        }
