"""A twin and patients who stand at the same place in; what lies ahead of all of them, and how an agent sees it, out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import pandas as pd

from twin.arrays import Floats, Integers
from twin.policy.exact import Question
from twin.policy.observation import Layout, Singles, encoded
from twin.policy.prospects import Ahead, Prospects, Standing, prospects
from twin.prediction import FittedTwin
from twin.threads import one_thread


@dataclass(frozen=True, eq=False)
class Patients:
    """n patients who stand at the same place."""

    layout: Layout
    prospects: Prospects
    inputs: Floats
    """(n, inputs) encoded, averaged over completed copies"""
    behind: Floats
    """(states,) indicators of what was seen before the next open decision, as by `Layout.behind`"""

    @classmethod
    def of(cls, twin: FittedTwin, frame: pd.DataFrame, standing: Standing) -> Self:
        """The patients of `standing` in `frame`, at least one."""
        layout = Layout.of(twin)
        with one_thread():
            ahead = joined(list(prospects(twin, frame, standing)))
        inputs = encoded(twin, frame.iloc[standing.rows].reset_index(drop=True))
        return cls(layout, ahead, inputs, layout.behind(twin, standing))

    @property
    def size(self) -> int:
        """Number of patients."""
        return self.prospects.size

    def take(self, rows: Integers) -> Self:
        """Some of them."""
        return replace(self, prospects=some(self.prospects, rows), inputs=self.inputs[rows])

    def seen(self, key: str) -> Floats:
        """(histories, states) indicators at the question that comes up after the decisions of `key`."""
        return self.layout.seen(self.prospects, key, self.behind)

    def observe(self, question: Question, weights: Floats) -> Singles:
        """(n, histories, size) observations at a question, for weights (n, outcomes)."""
        return self.layout.observe(self.inputs, self.seen(question.so_far), question.so_far, weights)


def joined(parts: Sequence[Prospects]) -> Prospects:
    """Prospects of patients who stand at the same place, at least one part, as one."""
    first = parts[0]
    ahead = {
        plan: Ahead(
            of_first.sights,
            np.concatenate([part.ahead[plan].probability for part in parts]),
            np.concatenate([part.ahead[plan].losses for part in parts]),
        )
        for plan, of_first in first.ahead.items()
    }
    return replace(first, rows=np.concatenate([part.rows for part in parts]), ahead=ahead)


def some(ahead: Prospects, rows: Integers) -> Prospects:
    """Prospects of the patients at positions `rows`."""
    taken = {plan: Ahead(of.sights, of.probability[rows], of.losses[rows]) for plan, of in ahead.ahead.items()}
    return replace(ahead, rows=ahead.rows[rows], ahead=taken)
