"""Patients who cannot be, planted among held-out patients of the cohort: they are caught, and few others are."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohort import Cohort
from data.importing import check_source
from data.mapping import load_mapping
from data.schema import Specification
from data.synthetic import generate
from twin.models.encoding import Encoding
from twin.record import PatientRecord, decision_matrix
from twin.state import Known
from twin.support import Support, SupportLevel, SupportModel

MAPPING = Path(__file__).parents[1] / "fixtures" / "radcure_mapping.json"
SPLITS = (0, 1, 2, 3, 4)
SIZES = (536, 1500)
OF_EACH_KIND = 15
LEVELS = ("1a", "1b", "2a", "2b", "3", "4", "5a", "5b", "6", "rp")
IPSILATERAL = [f"ln_ipsi_{level}" for level in LEVELS]
CONTRALATERAL = [f"ln_contra_{level}" for level in LEVELS]

Rng = np.random.Generator


def involve(frame: pd.DataFrame, columns: list[str], fewest: int, most: int, rng: Rng) -> pd.DataFrame:
    """So many levels of one side, whichever, and no others of it."""
    rank = np.argsort(rng.random((len(frame), len(columns))), axis=1).argsort(axis=1)
    involved = (rank < rng.integers(fewest, most + 1, (len(frame), 1))).astype(float)
    return frame.assign(**dict(zip(columns, involved.T, strict=True)))


def between(frame: pd.DataFrame, low: float, high: float, rng: Rng) -> np.ndarray:
    return rng.uniform(low, high, len(frame)).round(1)


def never_smoker_with_exposure(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return frame.assign(smoking_status="never", pack_years=between(frame, 10, 120, rng))


def smoker_without_exposure(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return frame.assign(smoking_status=rng.choice(["former", "current"], len(frame)), pack_years=0.0)


def n0_with_involved_levels(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return involve(frame.assign(n_stage="N0"), IPSILATERAL, 1, 4, rng)


def involved_nodes_without_a_level(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    none = dict.fromkeys([*IPSILATERAL, *CONTRALATERAL], 0.0)
    return frame.assign(n_stage=rng.choice(["N1", "N2", "N3"], len(frame)), **none)


def n1_with_contralateral_levels(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return involve(involve(frame.assign(n_stage="N1"), IPSILATERAL, 1, 4, rng), CONTRALATERAL, 1, 4, rng)


def contralateral_levels_alone(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return involve(frame.assign(n_stage="N2", **dict.fromkeys(IPSILATERAL, 0.0)), CONTRALATERAL, 2, 5, rng)


def t0_with_contralateral_levels(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return involve(frame.assign(t_stage="T0", n_stage="N2"), CONTRALATERAL, 5, 8, rng)


def every_level_of_both_sides(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return involve(involve(frame.assign(n_stage="N2"), IPSILATERAL, 8, 10, rng), CONTRALATERAL, 7, 10, rng)


def twenty_years_old_with_a_lifes_exposure(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    years = between(frame, 18, 24, rng)
    return frame.assign(age_years=years, smoking_status="current", pack_years=between(frame, 70, 130, rng))


def beyond_a_hundred(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return frame.assign(age_years=between(frame, 100, 110, rng))


def hardly_grown_up(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return frame.assign(age_years=between(frame, 18, 20, rng))


def extreme_exposure(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    return frame.assign(smoking_status="current", pack_years=between(frame, 170, 200, rng))


def completely_disabled(frame: pd.DataFrame, _: Rng) -> pd.DataFrame:
    return frame.assign(ecog=4.0)


def everything_rare_at_once(frame: pd.DataFrame, _: Rng) -> pd.DataFrame:
    rare = {"sex": "female", "subsite": "soft_palate", "grade": "4"}
    return frame.assign(**rare, bilateral_primary=1.0, aspiration_baseline=1.0)


def staged_by_another_edition(frame: pd.DataFrame, _: Rng) -> pd.DataFrame:
    return frame.assign(tnm_edition=7.0)


KINDS: tuple[Callable[[pd.DataFrame, Rng], pd.DataFrame], ...] = (
    never_smoker_with_exposure,
    smoker_without_exposure,
    n0_with_involved_levels,
    involved_nodes_without_a_level,
    n1_with_contralateral_levels,
    contralateral_levels_alone,
    t0_with_contralateral_levels,
    every_level_of_both_sides,
    twenty_years_old_with_a_lifes_exposure,
    beyond_a_hundred,
    hardly_grown_up,
    extreme_exposure,
    completely_disabled,
    everything_rare_at_once,
    staged_by_another_edition,
)


@dataclass(frozen=True, eq=False)
class Split:
    """A cohort whose first part is learnt and whose other part, with complete plans, is held out."""

    spec: Specification
    held_out: pd.DataFrame
    encoding: Encoding
    model: SupportModel

    @classmethod
    def of(cls, cohort: Cohort, seed: int, share: float = 0.7) -> "Split":
        order = np.random.default_rng(seed).permutation(cohort.size)
        learnt = cohort.frame.iloc[order[: round(share * cohort.size)]]
        held_out = cohort.frame.iloc[order[round(share * cohort.size) :]]
        decided = [decision.column for decision in cohort.spec.decisions if decision.column in cohort.frame]
        known = Known.at(learnt, cohort.spec, "decision_ic")
        encoding = Encoding.fit(known)
        model = SupportModel.fit(encoding.encode(known), decisions(cohort.spec, learnt), known)
        return cls(cohort.spec, held_out[held_out[decided].notna().all(axis=1)], encoding, model)

    def judge(self, frame: pd.DataFrame, plans: np.ndarray) -> list[Support]:
        """Each patient under their own plan (n, decisions)."""
        known = Known.at(frame, self.spec, "decision_ic")
        offered, own = np.unique(plans, axis=0, return_inverse=True)
        judged = self.model.judge(self.encoding.encode(known), offered, known=known)
        return [of_plans[k] for of_plans, k in zip(judged, own.ravel(), strict=True)]

    def under_their_plans(self) -> list[Support]:
        return self.judge(self.held_out, decisions(self.spec, self.held_out))

    def planted(self, kind: Callable[[pd.DataFrame, Rng], pd.DataFrame], seed: int) -> pd.DataFrame:
        rng = np.random.default_rng([seed, KINDS.index(kind)])
        real = self.held_out.iloc[rng.choice(len(self.held_out), OF_EACH_KIND, replace=False)]
        return kind(real, rng)


def decisions(spec: Specification, frame: pd.DataFrame) -> np.ndarray:
    """(n, decisions); one that the cohort never records counts as declined, as a twin holds it."""
    matrix = decision_matrix(spec, frame)
    return np.where(np.isnan(matrix).all(axis=0), 0.0, matrix)


@cache
def split(patients: int, seed: int) -> Split:
    return Split.of(generate(patients, seed).cohort, seed)


def caught(kind: Callable[[pd.DataFrame, Rng], pd.DataFrame]) -> list[bool]:
    """Whether each planted patient of a kind is unsupported under the plan of the patient they were made of."""
    found: list[Support] = []
    for patients in SIZES:
        for seed in SPLITS:
            of = split(patients, seed)
            planted = of.planted(kind, seed)
            found += of.judge(planted, decisions(of.spec, planted))
    return [support.level is SupportLevel.UNSUPPORTED for support in found]


@cache
def caught_by_kind() -> dict[str, list[bool]]:
    return {kind.__name__: caught(kind) for kind in KINDS}


def shares(judged: list[Support]) -> dict[SupportLevel, float]:
    return {level: sum(support.level is level for support in judged) / len(judged) for level in SupportLevel}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_planted_patients_are_ones_that_a_record_accepts(kind: Callable) -> None:
    of = split(536, 0)
    for _, row in of.planted(kind, 0).head(3).iterrows():
        assert PatientRecord.from_row(of.spec, row).values


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_patients_who_cannot_be_are_caught(kind: Callable) -> None:
    assert np.mean(caught_by_kind()[kind.__name__]) >= 0.95


def test_of_all_who_cannot_be_ninety_nine_in_a_hundred_are_caught() -> None:
    everybody = [one for found in caught_by_kind().values() for one in found]
    assert len(everybody) >= 2000
    assert np.mean(everybody) >= 0.99


@pytest.mark.parametrize("patients", SIZES)
def test_few_patients_of_the_cohort_are_called_unsupported_under_the_plan_they_had(patients: int) -> None:
    found = shares([support for seed in SPLITS for support in split(patients, seed).under_their_plans()])
    assert found[SupportLevel.UNSUPPORTED] <= 0.05
    assert found[SupportLevel.THIN] <= 0.15


def test_few_real_patients_are_called_unsupported_under_the_plan_they_had(
    radcure_file: Path, spec: Specification
) -> None:
    mapping = load_mapping(MAPPING.read_bytes(), MAPPING.name)
    cohort = check_source(radcure_file.read_bytes(), radcure_file.name, spec, mapping, skip_bad_rows=True).cohort
    assert cohort is not None
    found = shares([support for seed in SPLITS for support in Split.of(cohort, seed).under_their_plans()])
    assert found[SupportLevel.UNSUPPORTED] <= 0.05
    assert found[SupportLevel.THIN] <= 0.15


def test_sixty_patients_support_some_and_never_the_absurd() -> None:
    small = Split.of(generate(260, 1).cohort, 1, share=60 / 260)
    found = shares(small.under_their_plans())
    assert found[SupportLevel.SUPPORTED] >= 0.1
    assert found[SupportLevel.UNSUPPORTED] <= 0.3
    absurd = small.planted(every_level_of_both_sides, 0)
    judged = small.judge(absurd, decisions(small.spec, absurd))
    assert {support.level for support in judged} == {SupportLevel.UNSUPPORTED}
