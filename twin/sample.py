"""A cohort in, what the fits read out: decisions with their months, and what is known before the first question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from data.cohort import Cohort
from twin.arrays import Flags, Floats
from twin.capability import Capability, capability
from twin.models.encoding import Encoding
from twin.record import decision_matrix
from twin.state import Known
from twin.timeline import effect_months, question_moment


@dataclass(frozen=True, eq=False)
class Sample:
    """A cohort of n patients as the fits see it."""

    cohort: Cohort
    capability: Capability
    decisions: Floats
    """(n, d) 0, 1 or NaN, with held decisions filled in"""
    effect_months: Floats
    """(n, d) when each takes effect"""
    varied: Flags
    """(d,) decisions that can be compared"""
    known: Known
    """Before the first question"""
    encoding: Encoding

    @classmethod
    def of(cls, cohort: Cohort) -> Self:
        """The sample of a cohort."""
        able = capability(cohort)
        decisions = able.with_held(cohort.spec, decision_matrix(cohort.spec, cohort.frame))
        known = Known.at(cohort.frame, cohort.spec, question_moment(cohort.spec, 0))
        return cls(
            cohort=cohort,
            capability=able,
            decisions=decisions,
            effect_months=effect_months(cohort.spec, decisions),
            varied=np.array([decision.column not in able.held for decision in cohort.spec.decisions], dtype=bool),
            known=known,
            encoding=Encoding.fit(known),
        )

    @property
    def followed_until(self) -> Floats:
        """(n,) months of follow-up."""
        return self.cohort.frame[self.cohort.spec.follow_up].to_numpy(dtype=float)
