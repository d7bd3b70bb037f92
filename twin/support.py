"""Patients, plans and the cohort in, how far the cohort supports a prediction out, with reasons in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

import numpy as np
from scipy.spatial.distance import cdist

from data.errors import WrongUsage
from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.models.plausibility import Likeness
from twin.models.reading import Reader, Values
from twin.state import Known

ALIKE_SHARE: Final = 0.2
"""The share of the cohort that counts as most alike."""
ENOUGH_ALIKE: Final = 10
"""From this effective number of patients with the plan on, it is supported: the fewest whose mean says something."""
TOO_FEW_ALIKE: Final = 3
RARE_PLAN: Final = 0.05
"""A plan that physicians choose less often than this for such a patient is thinly supported."""
TOO_RARE_PLAN: Final = 0.02
UNLIKE: Final = 0.02
"""Who has a conformal p-value of at most this is unlike the cohort, and so, by construction, is this share of it."""
OWN_PLAN_SHARE: Final = 0.005
"""At most this share of the cohort's own patients, with the plan that they had, may count as unsupported for too few
alike patients, and as many for too low a propensity: where `TOO_FEW_ALIKE` or `TOO_RARE_PLAN` would take more of them,
less is asked for, but never less than one alike patient. With `UNLIKE` that is 3 % false alarms."""
UNUSUAL: Final = 0.05
"""Who has a p-value of at most this is unusual."""
FEWEST_TO_TELL: Final = math.ceil(1.0 / UNLIKE) - 1
"""In a smaller cohort no p-value is as small as `UNLIKE`: who is unlike it cannot be told."""
MOST_STORED: Final = 5_000
"""Patients kept; a larger cohort is represented by a random part of this size."""
STORED_SEED: Final = 0
LEAST_REACH: Final = 1e-100
"""Of those who are all alike to the last bit"""
CELLS_AT_ONCE: Final = 4_000_000
"""Distances held in memory together, 32 MB."""


class SupportLevel(StrEnum):
    """How far a cohort supports a prediction; the words of the result files."""

    SUPPORTED = "supported"
    THIN = "thin"
    UNSUPPORTED = "unsupported"


GRAVEST: Final = (SupportLevel.UNSUPPORTED, SupportLevel.THIN, SupportLevel.SUPPORTED)


@dataclass(frozen=True)
class Support:
    """How far the cohort supports predictions for one patient under one plan."""

    level: SupportLevel
    alike: int
    """Patients most alike"""
    alike_with_plan: int
    """Those of them who had the plan"""
    effective_with_plan: float
    """All who had the plan, counted by nearness: they tell as much as so many who are equally near (Kish)"""
    propensity: float
    """Probability that physicians decide so for such a patient, at the least likely decision; NaN where not known"""
    farther_than: float
    """Share of the cohort's patients who are less unlike the rest of it than this patient is"""
    missing: tuple[str, ...]
    """Labels of what the cohort records and is not recorded of this patient; states apart"""
    missing_share: float
    """Share of the cohort that lacks all of these as well"""
    reasons: tuple[str, ...]
    """Gravest first: the first of them made the level"""

    @property
    def sentence(self) -> str:
        """The reasons as one sentence."""
        text = "; ".join(self.reasons)
        return f"{text[:1].upper()}{text[1:]}."


@dataclass(frozen=True)
class _Reason:
    level: SupportLevel
    """The best that is left when this is so"""
    text: str


@dataclass(frozen=True)
class _OfPatient:
    """What is so whatever the plan."""

    farther_than: float
    missing: tuple[str, ...]
    missing_share: float
    reasons: tuple[_Reason, ...]


@dataclass(frozen=True, eq=False)
class SupportModel:
    """The cohort as it stands at one moment: values without identifiers, and plans as digits.

    Of more than `MOST_STORED` patients a random part is kept, the same whenever it is fitted.
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    inputs: Floats
    """(n, p) as the models see them: who is alike is judged by these"""
    decisions: Floats
    """(n, d) 0, 1 or NaN"""
    reader: Reader
    gaps: Flags
    """(patterns, sources of the reader) what is missing together in the cohort"""
    gap_shares: Floats
    """(patterns,) in what share of it"""
    likeness: Likeness | None
    """``None`` where there are fewer than `FEWEST_TO_TELL` patients"""
    fewest_alike: int
    """A plan that fewer of the alike patients had is unsupported"""
    rarest: float
    """A plan of less propensity is unsupported"""

    @classmethod
    def fit(
        cls, inputs: Floats, decisions: Floats, known: Known | None = None, own_propensity: Floats | None = None
    ) -> SupportModel:
        """The model of a cohort; each patient is left out of what they are compared with.

        Args:
            inputs: (n, p) what the models see.
            decisions: (n, d) 0, 1 or NaN.
            known: The same patients as they are recorded; without it `inputs` are taken as numbers without names.
            own_propensity: (n,) probability of the plan that each had, by a model that had not seen them; NaN where
                the plan is not complete.
        """
        kept = _kept(len(inputs))
        of_kept = None if known is None else Known(known.spec, known.moment, known.frame.iloc[kept])
        reader = Reader.of_matrix(inputs) if of_kept is None else Reader.of(of_kept)
        values = _values(reader, inputs[kept], of_kept)
        gaps, counts = np.unique(values.missing, axis=0, return_counts=True)
        chosen = np.empty(0) if own_propensity is None else own_propensity[~np.isnan(own_propensity)]
        return cls(
            inputs=inputs[kept],
            decisions=decisions[kept],
            reader=reader,
            gaps=gaps,
            gap_shares=counts / len(kept),
            likeness=Likeness.fit(values) if len(kept) >= FEWEST_TO_TELL else None,
            fewest_alike=_fewest_alike(inputs[kept], decisions[kept]),
            rarest=_rarest(chosen),
        )

    def judge(
        self,
        inputs: Floats,
        digits: Floats,
        outside: Sequence[tuple[str, ...]] = (),
        known: Known | None = None,
        propensity: Floats | None = None,
    ) -> list[list[Support]]:
        """Support of each patient and plan.

        Args:
            inputs: (m, p) patients
            digits: (plans, d) 0 or 1; NaN for a decision that does not matter
            outside: For each patient, what else is unlike anything in the cohort, in words.
            known: The same patients as they are recorded, if the cohort was given so.
            propensity: (m, plans) probability that physicians decide so, at the least likely decision, or NaN.

        Raises:
            WrongUsage: the cohort was given with `known` and the patients are not, or the other way round.
        """
        chosen = np.full((len(inputs), len(digits)), np.nan) if propensity is None else propensity
        had_plan = ((self.decisions[:, None, :] == digits[None]) | np.isnan(digits[None])).all(axis=2)
        counts, effective = _with_plan(inputs, self.inputs, had_plan)
        patients = self._patients(_values(self.reader, inputs, known), outside or [()] * len(inputs))
        rows = zip(patients, counts.tolist(), effective.tolist(), chosen.tolist(), strict=True)
        return [
            [self._support(patient, *evidence) for evidence in zip(*of_plans, strict=True)]
            for patient, *of_plans in rows
        ]

    def _support(self, patient: _OfPatient, alike: int, effective: float, propensity: float) -> Support:
        reasons = sorted(
            [*patient.reasons, *self._about_plan(alike, effective, propensity)],
            key=lambda reason: GRAVEST.index(reason.level),
        )
        return Support(
            level=reasons[0].level,
            alike=_alike(len(self.inputs)),
            alike_with_plan=alike,
            effective_with_plan=effective,
            propensity=propensity,
            farther_than=patient.farther_than,
            missing=patient.missing,
            missing_share=patient.missing_share,
            reasons=tuple(reason.text for reason in reasons),
        )

    def _about_plan(self, alike: int, effective: float, propensity: float) -> Iterator[_Reason]:
        said = f"{alike} of the {_alike(len(self.inputs))} most alike patients had this plan"
        if alike < self.fewest_alike:
            yield _Reason(SupportLevel.UNSUPPORTED, said)
        elif effective < ENOUGH_ALIKE:
            yield _Reason(SupportLevel.THIN, f"{said} (weighted by nearness as good as {effective:.1f})")
        else:
            yield _Reason(SupportLevel.THIN if alike < TOO_FEW_ALIKE else SupportLevel.SUPPORTED, said)
        if propensity < RARE_PLAN:
            level = SupportLevel.UNSUPPORTED if propensity < self.rarest else SupportLevel.THIN
            yield _Reason(level, f"physicians decide like this in {100 * propensity:.1f} % of such patients")

    def _patients(self, values: Values, outside: Sequence[tuple[str, ...]]) -> list[_OfPatient]:
        judged = self._unlike(values)
        result = []
        for (farther, unlike), missing, said in zip(judged, values.missing, outside, strict=True):
            labels, share = self._missing(missing)
            reasons = [*unlike, *(_Reason(SupportLevel.THIN, text) for text in said)]
            if not share:
                reasons.append(_Reason(SupportLevel.THIN, f"nobody in the cohort lacks {' and '.join(labels)}"))
            result.append(_OfPatient(farther, labels, share, tuple(reasons)))
        return result

    def _unlike(self, values: Values) -> list[tuple[float, list[_Reason]]]:
        """For each patient the share of the cohort that is less unlike it, and what is unlike."""
        if self.likeness is None:
            few = f"the cohort's {len(self.inputs)} patients are too few to tell who is unlike them"
            return [(0.0, [_Reason(SupportLevel.THIN, few)])] * values.size
        result = []
        for verdict in self.likeness.judge(values, self.reader, UNUSUAL):
            said = list(verdict.remarks)
            if verdict.p_value <= UNUSUAL:
                share = math.floor(100 * verdict.farther_than)
                rare = f" (rare: {', '.join(verdict.rare)})" if verdict.rare and not said else ""
                said.append(f"farther from the cohort than {share} % of its own patients{rare}")
            level = SupportLevel.UNSUPPORTED if verdict.p_value <= UNLIKE else SupportLevel.THIN
            result.append((verdict.farther_than, [_Reason(level, text) for text in said]))
        return result

    def _missing(self, gaps: Flags) -> tuple[tuple[str, ...], float]:
        """Labels of what is missing but states, and the share of the cohort that lacks all of it."""
        asked = np.array([not source.state for source in self.reader.sources], dtype=bool) & gaps
        labels = tuple(source.label for source, gap in zip(self.reader.sources, asked, strict=True) if gap)
        return labels, float(self.gap_shares[self.gaps[:, asked].all(axis=1)].sum())


def _kept(count: int) -> Integers:
    """Which patients are kept, in their order."""
    if count <= MOST_STORED:
        return np.arange(count)
    return np.sort(np.random.default_rng(STORED_SEED).choice(count, MOST_STORED, replace=False))


def _values(reader: Reader, inputs: Floats, known: Known | None) -> Values:
    if reader.named != (known is not None):
        raise WrongUsage(
            "patients were offered to the support in another form than the cohort",
            remedy="give both as they are recorded, or neither",
        )
    return Values(inputs, np.empty((len(inputs), 0), dtype=object)) if known is None else reader.read(known)


def _alike(count: int) -> int:
    return max(1, round(ALIKE_SHARE * count))


def _blocks(patients: int, cohort: int) -> list[Integers]:
    """Rows of the patients whose distances are held in memory together."""
    return np.array_split(np.arange(patients), max(1, patients * cohort // CELLS_AT_ONCE))


def _with_plan(inputs: Floats, cohort: Floats, had_plan: Flags) -> tuple[Integers, Floats]:
    """(m, plans) of the most alike how many had each plan, and the effective number of all who did.

    The effective number is Kish's, (sum of weights)^2 / (sum of squared weights), with Gaussian weights whose bandwidth
    is half the distance to the farthest of the most alike: there the weight has fallen to exp(-2) = 14 %.
    """
    alike = _alike(len(cohort))
    counts = np.zeros((len(inputs), had_plan.shape[1]), dtype=np.intp)
    effective = np.zeros((len(inputs), had_plan.shape[1]))
    for rows in _blocks(len(inputs), len(cohort)):
        distances = cdist(inputs[rows], cohort)
        nearest = np.argpartition(distances, alike - 1, axis=1)[:, :alike]
        counts[rows] = had_plan[nearest].sum(axis=1)
        reach = np.take_along_axis(distances, nearest, axis=1).max(axis=1, keepdims=True)
        log_weights = -2.0 * (distances / np.maximum(reach, LEAST_REACH)) ** 2
        for plan in np.flatnonzero(had_plan.any(axis=0)):
            of_plan = log_weights[:, had_plan[:, plan]]
            weights = np.exp(of_plan - of_plan.max(axis=1, keepdims=True))
            effective[rows, plan] = weights.sum(axis=1) ** 2 / (weights**2).sum(axis=1)
    return counts, effective


def _fewest_alike(inputs: Floats, decisions: Floats) -> int:
    """How many alike patients must have had a plan: `TOO_FEW_ALIKE`, or what nearly all have for their own plan."""
    complete = np.flatnonzero(~np.isnan(decisions).any(axis=1))
    if len(inputs) < 2 or not complete.size:
        return TOO_FEW_ALIKE
    alike = min(_alike(len(inputs)), len(inputs) - 1)
    own = np.empty(len(complete))
    for block in _blocks(len(complete), len(inputs)):
        rows = complete[block]
        distances = cdist(inputs[rows], inputs)
        distances[np.arange(len(rows)), rows] = np.inf
        nearest = np.argpartition(distances, alike - 1, axis=1)[:, :alike]
        own[block] = (decisions[nearest] == decisions[rows][:, None, :]).all(axis=2).sum(axis=1)
    enough = [few for few in range(2, TOO_FEW_ALIKE + 1) if (own < few).mean() <= OWN_PLAN_SHARE]
    return max([1, *enough])


def _rarest(own_propensity: Floats) -> float:
    """The propensity below which a plan is unsupported: `TOO_RARE_PLAN`, or what nearly all have for their own plan."""
    if not own_propensity.size:
        return TOO_RARE_PLAN
    below = int(OWN_PLAN_SHARE * (len(own_propensity) + 1))
    return min(TOO_RARE_PLAN, float(np.sort(own_propensity)[below]))
