import dataclasses

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter
from scipy.stats import norm

from data.errors import WrongUsage
from twin.effects.cohort import UNLEARNT_SD, CohortEstimate
from twin.effects.combination import CombinedEffects, combine
from twin.effects.distribution import EffectDistribution, EffectTerm

ITSELF = EffectTerm("chemo", "")
BY_AGE = EffectTerm("chemo", "per 10 years", column="age", centre=60.0, per=10.0)
SURGERY = EffectTerm("surgery", "")
TERMS = (ITSELF, BY_AGE, SURGERY)


def normal(mean: list[float], sds: list[float], correlation: float = 0.0) -> EffectDistribution:
    covariance = np.diag(np.square(sds))
    covariance[0, 1] = covariance[1, 0] = correlation * sds[0] * sds[1]
    return EffectDistribution(TERMS, np.array(mean), covariance)


PRIOR = normal([-0.2, 0.05, 0.1], [0.1, 0.04, 0.3])


def cohort(
    mean: tuple[float, ...] = (0.3, 0.1, -0.2),
    sds: tuple[float, ...] = (0.2, 0.1, 0.25),
    learnt: tuple[bool, ...] = (True, True, True),
    confounding_sd: float = 0.0,
    correlation: float = -0.4,
) -> CohortEstimate:
    found = normal(
        [m if known else 0.0 for m, known in zip(mean, learnt, strict=True)],
        [sd if known else UNLEARNT_SD for sd, known in zip(sds, learnt, strict=True)],
        correlation if learnt[0] and learnt[1] else 0.0,
    )
    return CohortEstimate(
        outcome="death",
        distribution=found,
        learnt=np.array(learnt),
        average=np.array([1.0, -0.3, 1.0]),
        overlap=(),
        patients=500,
        events=120,
        confounding_sd=confounding_sd,
    )


def test_two_sources_of_one_number_are_weighted_by_their_variances() -> None:
    """Surgery stands alone: 0.1 with variance 0.09 and -0.2 with variance 0.0625 (plus 0.04 of confounding)."""
    plain = combine(PRIOR, cohort()).combined
    assert plain.mean[2] == pytest.approx((0.1 * 0.0625 - 0.2 * 0.09) / 0.1525)
    assert plain.covariance[2, 2] == pytest.approx(0.09 * 0.0625 / 0.1525)
    wary = combine(PRIOR, cohort(confounding_sd=0.2)).combined
    assert wary.mean[2] == pytest.approx((0.1 * 0.1025 - 0.2 * 0.09) / 0.1925)
    assert wary.covariance[2, 2] == pytest.approx(0.09 * 0.1025 / 0.1925)


def test_in_the_middle_it_is_the_posterior_of_all_the_data() -> None:
    """The same from the patients themselves: least squares on draws from both sources, weighted by their errors."""
    rng = np.random.default_rng(0)
    estimate = cohort()
    root = [np.linalg.cholesky(np.linalg.inv(source.covariance)).T for source in (PRIOR, estimate.distribution)]
    design = np.vstack(root)
    observed = np.concatenate([root[0] @ PRIOR.mean, root[1] @ estimate.distribution.mean])
    expected, *_ = np.linalg.lstsq(design, observed, rcond=None)
    combined = combine(PRIOR, estimate).combined
    np.testing.assert_allclose(combined.mean, expected, atol=1e-10)
    solutions = [np.linalg.lstsq(design, observed + rng.normal(size=6), rcond=None)[0] for _ in range(20_000)]
    np.testing.assert_allclose(np.cov(np.transpose(solutions)), combined.covariance, atol=0.0015)


def test_at_the_ends_the_other_side_counts_for_nothing() -> None:
    estimate = cohort(confounding_sd=0.2)
    trials = combine(PRIOR, estimate, 1.0).combined
    np.testing.assert_array_equal(trials.mean, PRIOR.mean)
    np.testing.assert_array_equal(trials.covariance, PRIOR.covariance)
    data = combine(PRIOR, estimate, 0.0).combined
    np.testing.assert_array_equal(data.mean, estimate.distribution.mean)
    widened = estimate.distribution.covariance + np.diag([0.04, 0.1**2, 0.04])
    np.testing.assert_allclose(data.covariance, widened, rtol=1e-15)
    other = normal([9.0, 9.0, 9.0], [0.001, 0.001, 0.001])
    np.testing.assert_array_equal(combine(other, estimate, 0.0).combined.mean, data.mean)
    far = cohort(mean=(9.0, 9.0, 9.0), sds=(0.001, 0.001, 0.001))
    np.testing.assert_array_equal(combine(PRIOR, far, 1.0).combined.mean, trials.mean)


def test_the_weight_moves_the_answer_from_one_side_to_the_other() -> None:
    weights = np.linspace(0.0, 1.0, 21)
    found = [combine(PRIOR, cohort(confounding_sd=0.2), float(weight)).combined for weight in weights]
    means = np.array([one.mean[2] for one in found])
    assert (np.diff(means) > 0).all()
    assert (means[0], means[-1]) == (-0.2, 0.1)
    # No weight makes anybody surer than all the evidence together does.
    spread = np.array([one.sd for one in found])
    assert (spread >= spread[10] - 1e-12).all()


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_what_the_cohort_cannot_teach_follows_the_trials(weight: float) -> None:
    found = combine(PRIOR, cohort(learnt=(True, True, False)), weight).combined
    assert (found.mean[2], found.covariance[2, 2]) == pytest.approx((0.1, 0.09))
    nothing = combine(PRIOR, cohort(learnt=(False, False, False)), weight).combined
    np.testing.assert_array_equal(nothing.mean, PRIOR.mean)
    np.testing.assert_array_equal(nothing.covariance, PRIOR.covariance)


def test_what_is_learnt_moves_what_trials_tie_to_it() -> None:
    """Information of 0 on a term is the same as not having learnt it."""
    prior = normal([-0.2, 0.05, 0.1], [0.1, 0.04, 0.3], correlation=0.6)
    estimate = cohort(learnt=(True, False, True))
    information = np.diag([0.2**-2.0, 0.0, 0.25**-2.0])
    precision = np.linalg.inv(prior.covariance)
    covariance = np.linalg.inv(precision + information)
    mean = covariance @ (precision @ prior.mean + information @ estimate.distribution.mean)
    found = combine(prior, estimate).combined
    np.testing.assert_allclose(found.mean, mean, atol=1e-12)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-12)


YOUNG, OLD = (EffectTerm("chemo", name, group=group) for name, group in (("young", "age<70"), ("old", "age>=70")))


@pytest.mark.parametrize(
    ("terms", "in_young", "in_old", "gained"),
    [
        ((YOUNG, OLD, SURGERY), [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.05, 0.05, 0.02]),
        ((ITSELF, OLD, SURGERY), [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.04, 0.05, 0.01]),
        ((ITSELF, BY_AGE, SURGERY), [1.0, -2.0, 0.0], [1.0, 2.0, 0.0], [0.08, 0.08, 0.16]),
    ],
)
def test_confounding_shifts_all_patients_of_a_decision_and_half_as_much_how_they_differ(
    terms: tuple[EffectTerm, ...], in_young: list[float], in_old: list[float], gained: list[float]
) -> None:
    """Variance gained in the young, in the old and in their difference: 0.2 squared, and 0.1 squared a term."""
    estimate = cohort(confounding_sd=0.2)
    found = dataclasses.replace(estimate.distribution, terms=terms)
    prior = EffectDistribution(terms, np.zeros(3), np.eye(3))
    widened = combine(prior, dataclasses.replace(estimate, distribution=found), 0.0).combined
    asked = np.array([in_young, in_old, np.subtract(in_old, in_young), [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(widened.of(asked)[1] ** 2 - found.of(asked)[1] ** 2, [*gained, 0.04], atol=1e-12)


def test_a_conflict_is_told_by_the_effect_in_the_average_patient() -> None:
    chemo, surgery = combine(PRIOR, cohort(confounding_sd=0.2)).conflicts
    # Average patient: 57 years, the effect itself less 0.3 of that of ten years.
    trials, seen = -0.2 - 0.3 * 0.05, 0.3 - 0.3 * 0.1
    variance = 0.1**2 + 0.09 * 0.04**2 + 0.2**2 + 0.09 * 0.1**2 + 2 * 0.3 * 0.4 * 0.2 * 0.1
    assert chemo.z == pytest.approx((seen - trials) / np.sqrt(variance))
    assert chemo.p_value == pytest.approx(2 * norm.sf(abs(chemo.z)))
    assert chemo.prior.ratio == pytest.approx(np.exp(trials))
    assert chemo.flagged
    assert surgery.z == pytest.approx(-0.3 / np.hypot(0.3, 0.25))
    assert not surgery.flagged


@pytest.mark.parametrize("z", [-1.97, -1.95, 1.95, 1.97])
def test_a_conflict_is_flagged_beyond_chance(z: float) -> None:
    apart = combine(PRIOR, cohort(mean=(0.0, 0.0, 0.1 + z * np.hypot(0.3, 0.25)))).conflicts[1]
    assert apart.z == pytest.approx(z)
    assert apart.flagged == (abs(z) > 1.96)


def test_conflicts_are_told_in_words() -> None:
    chemo, surgery = combine(PRIOR, cohort()).conflicts
    assert chemo.sentence == (
        "cohort 1.31 (0.92-1.86) against trials 0.81 (0.68-0.95): they disagree (p 0.04); "
        "who gets the treatment is not random here"
    )
    assert surgery.sentence == (
        "cohort 0.82 (0.54-1.24) against trials 1.11 (0.67-1.81): no more apart than chance explains (p 0.44)"
    )
    assert surgery.sentence_without_prior == (
        "cohort 0.82 (0.54-1.24) against a prior assumed from sources that nobody here could read: "
        "no more apart than chance explains (p 0.44)"
    )
    certain = combine(PRIOR, cohort(mean=(2.0, 0.0, 0.0))).conflicts[0]
    assert "they disagree (p below 0.01)" in certain.sentence
    assert [one.decision for one in combine(PRIOR, cohort(learnt=(False, False, True))).conflicts] == ["surgery"]


def test_sources_stand_side_by_side_in_every_group() -> None:
    effects = combine(PRIOR, cohort(learnt=(True, True, False)))
    groups = {"aged 80": pd.DataFrame({"age": [80.0]}), "aged 50 or 70": pd.DataFrame({"age": [50.0, 70.0]})}
    rows = effects.summary(groups)
    assert [(row.decision, row.group) for row in rows] == [
        ("chemo", "aged 80"),
        ("chemo", "aged 50 or 70"),
        ("surgery", "aged 80"),
        ("surgery", "aged 50 or 70"),
    ]
    old, middle, surgery = rows[:3]
    assert old.prior.ratio == pytest.approx(np.exp(-0.2 + 2 * 0.05))
    sd = np.sqrt(0.1**2 + 4 * 0.04**2)
    assert np.log(old.prior.upper / old.prior.lower) == pytest.approx(2 * norm.ppf(0.95) * sd)
    assert old.cohort is not None
    assert old.cohort.ratio == pytest.approx(np.exp(0.3 + 2 * 0.1))
    assert middle.prior.ratio == pytest.approx(np.exp(-0.2))
    assert middle.combined.ratio == pytest.approx(np.exp(effects.combined.mean[0]))
    assert surgery.cohort is None
    assert surgery.combined == surgery.prior


def test_combined_effects_are_plain_data() -> None:
    effects = combine(PRIOR, cohort())
    adapter = TypeAdapter(CombinedEffects)
    again = adapter.validate_python(adapter.dump_python(effects))
    assert again.conflicts == effects.conflicts
    np.testing.assert_array_equal(again.combined.covariance, effects.combined.covariance)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_outside_0_to_1_is_refused(weight: float) -> None:
    with pytest.raises(WrongUsage, match="weight"):
        combine(PRIOR, cohort(), weight)


def test_other_terms_are_refused() -> None:
    other = dataclasses.replace(PRIOR, terms=(ITSELF, SURGERY, BY_AGE))
    with pytest.raises(WrongUsage, match="different terms"):
        combine(other, cohort())
