from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter
from scipy.stats import kstest, norm

from data.cohort import typed_frame
from data.evidence import (
    Design,
    EffectTerm,
    Evidence,
    GivenAs,
    Group,
    Measure,
    PublishedEffect,
    load_evidence,
    load_terms,
)
from data.schema import Outcome, Specification
from twin.effects.distribution import Z_90, EffectDistribution, term_matrix
from twin.effects.prior import MannerEffect, PriorSettings, evidence_prior, manner_prior, triggered

AT_THEIR_WORD = PriorSettings(transport_sd=0.0, observational_sd=0.0)
CHEMO = "concurrent_chemo"
ITSELF = EffectTerm(CHEMO, "", prior_sd=0.5)
IN_T4 = EffectTerm(CHEMO, "in T4", group="t_stage=T4", prior_sd=0.4)
BY_AGE = EffectTerm(CHEMO, "per 10 years of age above 60", "age_years", 60.0, 10.0, prior_sd=0.2)


def effect(log_ratio: float, sd: float, group: str = "", **other: object) -> PublishedEffect:
    plain = PublishedEffect(
        id="one",
        decision=CHEMO,
        option="yes",
        against="no",
        outcome="death",
        endpoint="",
        measure=Measure.HAZARD_RATIO,
        effect=math.exp(log_ratio),
        lower=None,
        upper=None,
        interval_level=None,
        p_value=None,
        prior_sd=sd,
        group=Group.parse(group),
        population="everybody",
        patients=None,
        year=None,
        design=Design.RANDOMISED,
        given_as=GivenAs.RATIO,
        source="A trial",
        doi_or_pmid="",
        read_in="",
        verified=False,
        used=True,
        note="",
    )
    return dataclasses.replace(plain, **other)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def death(spec: Specification) -> Outcome:
    return spec.outcome("death")


@pytest.fixture(scope="module")
def frame(spec: Specification) -> pd.DataFrame:
    """Patients of all ages and stages, half of them HPV-positive; nothing is missing."""
    rng = np.random.default_rng(3)
    values = {
        "age_years": rng.uniform(35.0, 85.0, 1000).round(1),
        "hpv_status": rng.choice(["positive", "negative"], 1000),
        "t_stage": rng.choice(["T1", "T2", "T3", "T4"], 1000),
        "n_stage": rng.choice(["N0", "N1", "N2", "N3"], 1000),
    }
    return typed_frame(pd.DataFrame(values), spec)


def average(found: EffectDistribution, decision: str, group: str, frame: pd.DataFrame) -> float:
    """Mean log ratio of a decision over a group."""
    own = np.array([term.decision == decision for term in found.terms])
    members = Group.parse(group).membership(frame) == 1.0
    return float((term_matrix(found.terms, frame)[members].mean(axis=0) * own) @ found.mean)


# Closed forms


@pytest.mark.parametrize(
    ("sd", "settings", "design"),
    [
        (0.5, AT_THEIR_WORD, Design.RANDOMISED),
        (0.5, AT_THEIR_WORD, Design.OBSERVATIONAL),
        (0.3, PriorSettings(transport_sd=0.4), Design.META_ANALYSIS),
        (0.3, PriorSettings(transport_sd=0.0, observational_sd=0.4), Design.OBSERVATIONAL),
        (0.1, PriorSettings(transport_sd=0.3, observational_sd=math.sqrt(0.15)), Design.OBSERVATIONAL),
    ],
)
def test_a_publication_as_sure_as_the_prior_draws_half_way(
    frame: pd.DataFrame, death: Outcome, sd: float, settings: PriorSettings, design: Design
) -> None:
    # Prior and observation both have the variance 0.25: the posterior is half way, with half the variance.
    found = evidence_prior(Evidence((effect(-0.4, sd, design=design),)), (ITSELF,), death, frame, settings)
    np.testing.assert_allclose(found.mean, [-0.2])
    np.testing.assert_allclose(found.covariance, [[0.125]])


def test_the_regression_is_that_of_weighting_draws_by_their_likelihood(frame: pd.DataFrame, death: Outcome) -> None:
    rows = (
        effect(-0.3, 0.2),
        effect(0.4, 0.3, "t_stage=T4", design=Design.OBSERVATIONAL),
        effect(0.1, 0.25, "age_years>70 & (t_stage=T3 | t_stage=T4)"),
    )
    terms = (ITSELF, BY_AGE, IN_T4)
    found = evidence_prior(Evidence(rows), terms, death, frame)
    draws = np.random.default_rng(5).normal(size=(400_000, 3)) * [0.5, 0.2, 0.4]
    old = (frame["age_years"] > 70) & frame["t_stage"].isin(["T3", "T4"])
    ageing = (frame["age_years"] - 60.0) / 10.0
    t4 = frame["t_stage"] == "T4"
    expected = np.column_stack(
        [
            draws @ [1.0, ageing[members].mean(), t4[members].mean()]
            for members in (np.ones(len(frame), dtype=bool), t4, old)
        ]
    )
    # One draw of the difference between there and here shifts all three publications alike.
    transport = np.random.default_rng(6).normal(0.0, 0.1, len(draws))[:, None]
    errors = np.sqrt([0.2**2, 0.3**2 + 0.2**2, 0.25**2])
    weight = norm.pdf([-0.3, 0.4, 0.1], expected + transport, errors).prod(axis=1)
    mean = np.average(draws, axis=0, weights=weight)
    np.testing.assert_allclose(found.mean, mean, atol=0.01)
    np.testing.assert_allclose(found.covariance, np.cov(draws.T, aweights=weight), atol=0.004)


def test_intervals_hold_the_truth_as_often_as_they_say(frame: pd.DataFrame, death: Outcome) -> None:
    rng = np.random.default_rng(11)
    terms = (ITSELF, BY_AGE, IN_T4)
    groups = {"": (0.1, 0.0), "age_years>70": (0.3, 0.0), "age_years<=60": (0.2, 0.2), "t_stage=T4": (0.25, 0.2)}
    small = frame.head(200)
    values = term_matrix(terms, small)
    ranks = []
    for _ in range(300):
        truth = rng.normal(size=3) * [term.prior_sd for term in terms]
        rows = []
        for group, (sd, confounding) in groups.items():
            members = Group.parse(group).membership(small) == 1.0
            said = values[members].mean(axis=0) @ truth + rng.normal() * math.hypot(sd, 0.1, confounding)
            design = Design.OBSERVATIONAL if confounding else Design.RANDOMISED
            rows.append(effect(said, sd, group, design=design))
        found = evidence_prior(Evidence(tuple(rows)), terms, death, small)
        ranks.append(norm.cdf((truth - found.mean) / found.sd))
    for k in range(3):
        assert kstest(np.array(ranks)[:, k], "uniform").pvalue > 0.01


# What publications do to the prior


def test_what_nobody_reports_keeps_the_prior_of_its_term(frame: pd.DataFrame, spec: Specification) -> None:
    for outcome in spec.outcomes:
        terms = load_terms(spec)[outcome.name]
        found = evidence_prior(Evidence(), terms, outcome, frame)
        expected = [0.2 if term.decision in outcome.triggers else term.prior_sd for term in terms]
        np.testing.assert_array_equal(found.mean, np.zeros(len(terms)))
        np.testing.assert_allclose(found.covariance, np.diag(np.square(expected)), atol=1e-15)


@pytest.mark.parametrize(
    "other",
    [
        {"used": False},
        {"outcome": "distant_failure"},
        {"decision": "neck_dissection"},
        {"decision": "concurrent_agent"},
    ],
)
def test_an_effect_of_another_kind_is_no_observation(
    frame: pd.DataFrame, death: Outcome, other: dict[str, object]
) -> None:
    found = evidence_prior(Evidence((effect(-0.4, 0.1, **other),)), (ITSELF,), death, frame)
    np.testing.assert_allclose([found.mean[0], found.sd[0]], [0.0, 0.5])


def test_sure_publications_that_agree_are_all_reproduced(frame: pd.DataFrame, death: Outcome) -> None:
    share = float((frame["t_stage"] == "T4").mean())
    inside, outside = math.log(0.6), math.log(0.9)
    rows = {"": share * inside + (1.0 - share) * outside, "t_stage=T4": inside}
    effects = tuple(effect(said, 0.01, group) for group, said in rows.items())
    found = evidence_prior(Evidence(effects), (ITSELF, IN_T4), death, frame, AT_THEIR_WORD)
    for group, said in rows.items():
        assert average(found, CHEMO, group, frame) == pytest.approx(said, abs=0.002)
    assert average(found, CHEMO, "(t_stage=T1 | t_stage=T2 | t_stage=T3)", frame) == pytest.approx(outside, abs=0.01)


def test_publications_that_disagree_meet_where_their_variances_say(frame: pd.DataFrame, death: Outcome) -> None:
    term = dataclasses.replace(ITSELF, prior_sd=100.0)
    low, high = effect(-0.6, 0.1), effect(0.0, 0.2)
    found = evidence_prior(Evidence((low, high)), (term,), death, frame, AT_THEIR_WORD)
    # Precisions 100 and 25: four fifths of the way to the surer one.
    assert found.mean[0] == pytest.approx(-0.48, abs=1e-4)
    assert found.sd[0] == pytest.approx(math.sqrt(1 / 125), rel=1e-4)


def test_a_ratio_the_other_way_round_says_the_same(frame: pd.DataFrame, death: Outcome) -> None:
    there = evidence_prior(Evidence((effect(-0.4, 0.1),)), (ITSELF,), death, frame)
    back = evidence_prior(Evidence((effect(0.4, 0.1, option="no", against="yes"),)), (ITSELF,), death, frame)
    np.testing.assert_allclose(back.mean, there.mean)
    assert there.mean[0] < -0.3


def test_a_publication_on_nobody_here_says_nothing(spec: Specification, frame: pd.DataFrame, death: Outcome) -> None:
    rows = (effect(-0.9, 0.1, "age_years>100"), effect(-0.9, 0.1, "bilateral_primary=1"))
    for patients in (frame, frame.head(0)):
        found = evidence_prior(Evidence(rows), (ITSELF,), death, patients)
        np.testing.assert_allclose([found.mean[0], found.sd[0]], [0.0, 0.5])
    one = typed_frame(pd.DataFrame({"age_years": [50.0, 60.0, math.nan], "t_stage": ["T4", "T1", None]}), spec)
    found = evidence_prior(Evidence((effect(-0.9, 0.001, "t_stage=T4"),)), (ITSELF, BY_AGE), death, one, AT_THEIR_WORD)
    assert found.mean @ [1.0, -1.0] == pytest.approx(-0.9, abs=1e-4)


def test_stacked_completions_count_as_one_cohort(frame: pd.DataFrame, death: Outcome) -> None:
    rows = Evidence((effect(-0.3, 0.1), effect(0.2, 0.2, "t_stage=T4")))
    once = evidence_prior(rows, (ITSELF, IN_T4, BY_AGE), death, frame)
    stacked = evidence_prior(rows, (ITSELF, IN_T4, BY_AGE), death, pd.concat([frame] * 3, ignore_index=True))
    np.testing.assert_allclose(stacked.mean, once.mean)
    np.testing.assert_allclose(stacked.covariance, once.covariance)


def test_a_decision_that_the_outcome_brings_about_is_not_learnt(frame: pd.DataFrame, spec: Specification) -> None:
    outcome = spec.outcome("locoregional_failure")
    dissection = EffectTerm("neck_dissection", "", prior_sd=0.5)
    narrow = dataclasses.replace(dissection, name="in T4", group="t_stage=T4", prior_sd=0.1)
    terms = (ITSELF, dissection, narrow)
    np.testing.assert_array_equal(triggered(outcome, terms), [False, True, True])
    assert not triggered(spec.outcome("death"), terms).any()
    np.testing.assert_allclose(evidence_prior(Evidence(), terms, outcome, frame).sd, [0.5, 0.2, 0.1])
    there = effect(-0.4, 0.5, decision="neck_dissection", outcome="locoregional_failure")
    published = evidence_prior(Evidence((there,)), (dissection,), outcome, frame, AT_THEIR_WORD)
    np.testing.assert_allclose([published.mean[0], published.covariance[0, 0]], [-0.2, 0.125])


# The published table


def test_the_effect_of_concurrent_chemotherapy_falls_with_age(spec: Specification, frame: pd.DataFrame) -> None:
    found = evidence_prior(load_evidence(spec), load_terms(spec)["death"], spec.outcome("death"), frame)
    ages = (45.0, 75.0)
    patients = typed_frame(pd.DataFrame({"age_years": ages}), spec)
    own = np.array([term.decision == CHEMO for term in found.terms])
    log_ratios, sd = found.of(term_matrix(found.terms, patients) * own)
    young, old = np.exp(log_ratios)
    for age, ratio, spread in zip(ages, (young, old), sd, strict=True):
        low, high = ratio * math.exp(-1.645 * spread), ratio * math.exp(1.645 * spread)
        print(f"\nconcurrent chemotherapy at {age:.0f}: ratio {ratio:.2f} (90 % interval {low:.2f} to {high:.2f})")
    assert 0.68 < young < 0.80
    assert 0.88 < old < 1.02
    assert average(found, CHEMO, "", frame) == pytest.approx(math.log(0.83), abs=0.03)


def test_used_effects_are_met_within_ninety_per_cent_of_their_own_uncertainty(
    spec: Specification, frame: pd.DataFrame
) -> None:
    evidence = load_evidence(spec)
    decisions = [decision.column for decision in spec.decisions]
    checked = 0
    for outcome in spec.outcomes:
        found = evidence_prior(evidence, load_terms(spec)[outcome.name], outcome, frame)
        rows = [row for decision in decisions for row in evidence.rows(decision, outcome.name)]
        for published in (row for row in rows if set(row.group.columns) <= set(frame)):
            gap = average(found, published.decision, str(published.group), frame) - published.log_ratio
            confounding = 0.2 if published.design is Design.OBSERVATIONAL else 0.0
            # A trial may well stand one standard deviation apart from the many that it is pooled with.
            assert abs(gap) < Z_90 * math.hypot(published.log_sd or 0.0, 0.1, confounding), published.id
            checked += 1
    assert checked > 8


def test_induction_helps_most_where_a_registry_says_so(spec: Specification, frame: pd.DataFrame) -> None:
    found = evidence_prior(load_evidence(spec), load_terms(spec)["death"], spec.outcome("death"), frame)
    extensive = average(found, "induction_chemo", "hpv_status=negative & (t_stage=T4 | n_stage=N3)", frame)
    positive = average(found, "induction_chemo", "hpv_status=positive", frame)
    assert math.log(0.63) < extensive < 0.0 < positive < math.log(1.63)


# The manner of a decision


def test_the_levels_of_a_manner_are_drawn_towards_their_effects(death: Outcome, spec: Specification) -> None:
    agent = {"decision": "concurrent_agent", "against": "platinum"}
    rows = (
        effect(0.4, 0.5, option="cetuximab", **agent),
        effect(0.6, 1.0, option="other", **agent),
        effect(0.6, 1.0, option="other", **agent),
        effect(9.0, 0.1, option="cetuximab", **{**agent, "outcome": "distant_failure"}),
        effect(9.0, 0.1),
    )
    found = by_level(manner_prior(Evidence(rows), "concurrent_agent", death, AT_THEIR_WORD))
    # The weak prior has the precision 4: beside another 4 half way, beside two of 1 a third of the way.
    assert found["cetuximab"] == pytest.approx((0.2, math.sqrt(1 / 8)))
    assert found["other"] == pytest.approx((0.2, math.sqrt(1 / 6)))
    assert len(found) == 2
    wider = by_level(manner_prior(Evidence(rows), "concurrent_agent", death))
    assert 0.0 < wider["cetuximab"][0] < found["cetuximab"][0]
    assert manner_prior(Evidence(rows), "concurrent_agent", spec.outcome("feeding_tube_6m")) == ()


def by_level(found: tuple[MannerEffect, ...]) -> dict[str, tuple[float, float]]:
    """Of effects that are for everybody."""
    assert all(effect.for_everybody for effect in found)
    return {effect.level: (effect.mean, effect.sd) for effect in found}


def test_what_is_published_on_a_manner_in_a_group_says_nothing_about_others(death: Outcome) -> None:
    """A trial in HPV-positive patients and one in the old: four kinds of patients, of whom one has no evidence."""
    agent = {"decision": "concurrent_agent", "against": "platinum", "option": "cetuximab"}
    rows = (
        effect(0.4, 0.5, group="hpv_status=positive", **agent),
        effect(1.2, 0.5, group="age_years>70", **agent),
    )
    found = manner_prior(Evidence(rows), "concurrent_agent", death, AT_THEIR_WORD)
    patients = pd.DataFrame(
        {
            "hpv_status": ["positive", "positive", "negative", "negative", "unknown"],
            "age_years": [60.0, 75.0, 75.0, 60.0, 60.0],
        }
    )
    applied = np.column_stack([one.members(patients) for one in found])
    assert applied.sum(axis=1).tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]
    means = applied @ [one.mean for one in found]
    # The weak prior has the precision 4: beside another 4 half way; two of 4 whose mean is 0.8 draw it two thirds.
    assert means == pytest.approx([0.2, 0.8 * 2 / 3, 0.6, 0.0, 0.0])
    everybody = (*rows, effect(0.0, 0.5, **agent))
    found = manner_prior(Evidence(everybody), "concurrent_agent", death, AT_THEIR_WORD)
    assert np.column_stack([one.members(patients) for one in found]).sum(axis=1).tolist() == [1.0] * 5
    assert all(one.for_everybody for one in found)


def test_an_odds_ratio_has_a_wider_prior(spec: Specification, frame: pd.DataFrame) -> None:
    tube = spec.outcome("feeding_tube_6m")
    there = {"outcome": tube.name, "measure": Measure.ODDS_RATIO}
    rows = Evidence((effect(0.8, 1.0, **there),))
    found = evidence_prior(rows, load_terms(spec)[tube.name], tube, frame, AT_THEIR_WORD)
    assert average(found, CHEMO, "", frame) == pytest.approx(0.4, abs=0.01)
    agent = effect(0.8, 1.0, option="cetuximab", against="platinum", **there, decision="concurrent_agent")
    levels = by_level(manner_prior(Evidence((agent,)), "concurrent_agent", tube, AT_THEIR_WORD))
    assert levels["cetuximab"] == pytest.approx((0.4, math.sqrt(0.5)))


# The distribution


def test_draws_follow_the_distribution_behind_its_mean() -> None:
    covariance = np.array([[0.04, 0.03], [0.03, 0.09]])
    found = EffectDistribution((ITSELF, BY_AGE), np.array([-0.2, 0.1]), covariance)
    draws = found.draws(100_000, np.random.default_rng(1))
    assert draws.shape == (100_001, 2)
    np.testing.assert_array_equal(draws[0], found.mean)
    np.testing.assert_allclose(draws[1:].mean(axis=0), found.mean, atol=0.005)
    np.testing.assert_allclose(np.cov(draws[1:].T), covariance, atol=0.002)
    weights = np.array([[1.0, 0.0], [1.0, 1.5]])
    mean, sd = found.of(weights)
    np.testing.assert_allclose(mean, [-0.2, -0.05])
    np.testing.assert_allclose(sd, (draws[1:] @ weights.T).std(axis=0), rtol=0.01)
    np.testing.assert_allclose(found.sd, [0.2, 0.3])


def test_a_distribution_survives_storage(frame: pd.DataFrame, death: Outcome) -> None:
    found = evidence_prior(Evidence((effect(-0.3, 0.1, "t_stage=T4"),)), (ITSELF, IN_T4), death, frame)
    adapter = TypeAdapter(EffectDistribution)
    back = adapter.validate_python(adapter.dump_python(found))
    assert back.terms == found.terms
    np.testing.assert_array_equal(back.mean, found.mean)
    np.testing.assert_array_equal(term_matrix(back.terms, frame), term_matrix(found.terms, frame))
