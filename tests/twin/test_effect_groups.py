"""In whom effects are shown: members of a group that really are in it, and ratios that follow from the terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from data.evidence import EffectTerm, load_terms
from data.schema import Specification
from twin.effects.cohort import CohortEstimate
from twin.effects.combination import CombinedEffects
from twin.effects.distribution import Z_90, EffectDistribution
from twin.effects.groups import ON_AVERAGE, OTHERS, reference_groups, side_by_side

CHEMO, INDUCTION = "concurrent_chemo", "induction_chemo"
ITSELF = EffectTerm(CHEMO, "", prior_sd=0.5)
BY_AGE = EffectTerm(CHEMO, "per 10 years of age above 60", "age_years", 60.0, 10.0, prior_sd=0.2)
IN_T4 = EffectTerm(CHEMO, "in T4", group="t_stage=T4", prior_sd=0.4)
OTHER_DECISION = EffectTerm(INDUCTION, "", prior_sd=0.5)


def combined(terms: tuple[EffectTerm, ...], learnt: list[bool], average: list[float]) -> CombinedEffects:
    """Three sources: log ratios -0.1, -0.2 ... of the prior, twice and three times that of the others."""
    size = len(terms)
    mean = -0.1 * np.arange(1, size + 1)
    covariance = 0.04 * np.eye(size) + 0.01
    sources = [EffectDistribution(terms, k * mean, covariance) for k in (1, 2, 3)]
    cohort = CohortEstimate(
        outcome="death",
        distribution=sources[1],
        learnt=np.array(learnt),
        average=np.array(average),
        overlap=(),
        patients=100,
        events=50,
        confounding_sd=0.2,
    )
    return CombinedEffects(sources[0], cohort, sources[2], 0.5, ())


def test_on_average_is_the_effect_of_the_average_patient(spec: Specification) -> None:
    effects = combined((ITSELF, BY_AGE), [True, True], [1.0, -0.4])
    first = side_by_side(effects, spec)[0]
    log_ratio, variance = -0.1 - 0.4 * -0.2, 0.05 + 0.4**2 * 0.05 + 2 * -0.4 * 0.01
    assert first.group == ON_AVERAGE
    assert math.log(first.prior.ratio) == pytest.approx(log_ratio)
    assert math.log(first.prior.upper) == pytest.approx(log_ratio + Z_90 * math.sqrt(variance))
    assert first.cohort is not None
    assert math.log(first.cohort.ratio) == pytest.approx(2 * log_ratio)
    assert math.log(first.combined.ratio) == pytest.approx(3 * log_ratio)


def test_a_number_is_looked_at_below_at_and_above_its_centre(spec: Specification) -> None:
    rows = side_by_side(combined((ITSELF, BY_AGE), [True, True], [1.0, 0.0]), spec)[1:]
    assert [row.group for row in rows] == [f"age at diagnosis {age} years" for age in (45, 60, 75)]
    assert [math.log(row.prior.ratio) for row in rows] == pytest.approx([-0.1 + 0.3, -0.1, -0.1 - 0.3])


def test_what_the_cohort_cannot_teach_has_no_ratio_of_the_cohort(spec: Specification) -> None:
    rows = side_by_side(combined((ITSELF, OTHER_DECISION), [True, False], [1.0, 1.0]), spec)
    assert [(row.decision, row.cohort is None) for row in rows] == [(CHEMO, False), (INDUCTION, True)]


def test_a_group_stands_beside_those_who_are_not_in_it(spec: Specification) -> None:
    rows = side_by_side(combined((ITSELF, IN_T4), [True, True], [1.0, 0.3]), spec)
    assert [row.group for row in rows] == [ON_AVERAGE, "T4", OTHERS]
    assert [math.log(row.prior.ratio) for row in rows[1:]] == pytest.approx([-0.3, -0.1])


def test_groups_beside_a_number_say_at_which_number_and_the_other_way_round(spec: Specification) -> None:
    labels = list(reference_groups([ITSELF, BY_AGE, IN_T4], spec))
    assert labels == [
        f"age at diagnosis 45 years, {OTHERS}",
        f"age at diagnosis 60 years, {OTHERS}",
        f"age at diagnosis 75 years, {OTHERS}",
        "T4, age at diagnosis 60 years",
    ]


@pytest.mark.parametrize(
    ("group", "inside"),
    [
        ("age_years>=51 & age_years<61", lambda row: 51 <= row["age_years"] < 61),
        ("age_years<51", lambda row: row["age_years"] < 51),
        ("age_years>70", lambda row: row["age_years"] > 70),
        ("hpv_status=negative & (t_stage=T4 | n_stage=N3)", lambda row: row["hpv_status"] == "negative" and (
            row.get("t_stage") == "T4" or row.get("n_stage") == "N3")),
        ("sex=male & (age_years>70 | ecog=2)", lambda row: row["sex"] == "male" and (
            row.get("age_years", 0) > 70 or row.get("ecog") == 2)),
        ("ln_ipsi_4=1", lambda row: row["ln_ipsi_4"] == 1),
        ("t_stage!=T1 & sex!=male", lambda row: row["t_stage"] != "T1" and row["sex"] == "female"),
    ],
)  # fmt: skip
def test_who_stands_for_a_group_is_in_it(
    spec: Specification, group: str, inside: Callable[[Mapping[str, Any]], bool]
) -> None:
    groups = reference_groups([ITSELF, EffectTerm(CHEMO, "in somebody", group=group)], spec)
    assert inside(groups["somebody"].iloc[0].dropna().to_dict())


@pytest.mark.parametrize("group", ["age_years<51 & age_years>60", "age_years>110"])
def test_who_cannot_exist_is_left_out(spec: Specification, group: str) -> None:
    assert list(reference_groups([ITSELF, EffectTerm(CHEMO, "in nobody", group=group)], spec)) == [OTHERS]


def test_numbers_beyond_the_dictionary_are_left_out(spec: Specification) -> None:
    term = EffectTerm(CHEMO, "per 40 years", "age_years", 60.0, 40.0)
    assert list(reference_groups([ITSELF, term], spec)) == ["age at diagnosis 60 years"]


def test_an_effect_that_is_the_same_for_everybody_has_no_groups(spec: Specification) -> None:
    assert reference_groups([ITSELF], spec) == {}


def test_every_shipped_term_has_somebody_in_whom_it_can_be_seen(spec: Specification) -> None:
    for terms in load_terms(spec).values():
        for decision in spec.decisions:
            own = [term for term in terms if term.decision == decision.column]
            frames = list(reference_groups(own, spec).values())
            for term in own[1:]:
                assert any(term.values(frame)[0] != 0 for frame in frames), term
