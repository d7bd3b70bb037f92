"""A cohort in, what the fits read out: decisions with their months, resamples, and a cut at every landmark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from data.cohort import Cohort
from twin.arrays import Flags, Floats
from twin.capability import Capability, Subject, capability
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
    counts: Floats
    """(1 + refits, n) how often each patient is in each resample; the first row is the cohort itself"""

    @classmethod
    def of(cls, cohort: Cohort, refits: int, seed: int) -> Self:
        """The sample of a cohort with its resamples: patients drawn with replacement, as many as there are."""
        able = capability(cohort)
        decisions = able.with_held(cohort.spec, decision_matrix(cohort.spec, cohort.frame))
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(cohort.size, np.full(cohort.size, 1.0 / cohort.size), size=refits)
        return cls(
            cohort=cohort,
            capability=able,
            decisions=decisions,
            effect_months=effect_months(cohort.spec, decisions),
            varied=np.array([decision.column not in able.held for decision in cohort.spec.decisions], dtype=bool),
            counts=np.vstack([np.ones(cohort.size), drawn.astype(float)]),
        )

    @property
    def followed_until(self) -> Floats:
        """(n,) months of follow-up."""
        return self.cohort.frame[self.cohort.spec.follow_up].to_numpy(dtype=float)

    def cuts(self) -> Iterator[Cut]:
        """Time zero, then every landmark whose states the cohort records."""
        spec = self.cohort.spec
        yield self._cut(0, 0.0, np.ones(self.cohort.size, dtype=bool))
        for reached, landmark in enumerate(spec.landmarks, start=1):
            beyond = self.followed_until > landmark.month
            if self.capability.offers(Subject.STATE, landmark.moment) and beyond.any():
                yield self._cut(reached, landmark.month, beyond)

    def _cut(self, landmarks_reached: int, month: float, rows: Flags) -> Cut:
        moment = question_moment(self.cohort.spec, landmarks_reached)
        known = Known.at(self.cohort.frame[rows], self.cohort.spec, moment)
        encoding = Encoding.fit(known)
        return Cut(self, landmarks_reached, month, rows, encoding, encoding.encode(known))


@dataclass(frozen=True, eq=False)
class Cut:
    """The patients of a sample who are followed beyond a landmark, and what is known of them there."""

    sample: Sample
    landmarks_reached: int
    month: float
    rows: Flags
    """(n,) whether each patient of the cohort is among them"""
    encoding: Encoding
    inputs: Floats
    """(patients of the cut, p)"""

    @property
    def decisions(self) -> Floats:
        """(patients of the cut, d)."""
        return self.sample.decisions[self.rows]

    @property
    def effect_months(self) -> Floats:
        """(patients of the cut, d)."""
        return self.sample.effect_months[self.rows]

    @property
    def followed_until(self) -> Floats:
        """(patients of the cut,) months of follow-up."""
        return self.sample.followed_until[self.rows]

    @property
    def counts(self) -> Floats:
        """(1 + refits, patients of the cut) how often each is in each resample."""
        return self.sample.counts[:, self.rows]
