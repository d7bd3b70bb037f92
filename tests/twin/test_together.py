"""Effects on related outcomes: the joint posterior against conditioning a joint normal on what each outcome shows."""

from dataclasses import replace

import numpy as np
import pytest

from data.dictionary import load_specification
from data.evidence import EffectTerm
from twin.arrays import Floats
from twin.effects.cohort import CohortEstimate
from twin.effects.combination import CombinedEffects, combine
from twin.effects.distribution import EffectDistribution
from twin.effects.together import RELATED, Together, put_together, related

SPEC = load_specification()
NAMES = ("death", "locoregional_failure", "distant_failure")
OUTCOMES = [SPEC.outcome(name) for name in NAMES]
TERMS = (
    EffectTerm("induction_chemo", "", prior_sd=0.5),
    EffectTerm("concurrent_chemo", "", prior_sd=0.4),
    EffectTerm("neck_dissection", "", prior_sd=0.3),
)
APART = frozenset({"neck_dissection"})


def seen(seed: int) -> tuple[Floats, Floats]:
    """What an outcome's patients show of the terms: an estimate and its covariance."""
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(3, 3))
    return rng.normal(scale=0.4, size=3), 0.05 * (root @ root.T + np.eye(3))


def effects(name: str, seed: int) -> CombinedEffects:
    """The posterior under a prior of the outcome's own."""
    mean, covariance = seen(seed)
    estimate = CohortEstimate(
        outcome=name,
        distribution=EffectDistribution(TERMS, mean, covariance),
        learnt=np.ones(3, dtype=bool),
        average=np.ones(3),
        overlap=(),
        patients=100,
        events=50,
        confounding_sd=0.0,
    )
    prior = EffectDistribution(TERMS, np.zeros(3), np.diag([term.prior_sd**2 for term in TERMS]))
    return combine(prior, estimate)


def apart() -> dict[str, CombinedEffects]:
    return {name: effects(name, seed) for seed, name in enumerate(NAMES)}


def joint(weight: float = 0.5) -> tuple[dict[str, CombinedEffects], tuple[Together, ...]]:
    return put_together(OUTCOMES, dict.fromkeys(NAMES, TERMS), apart(), APART, weight)


def conditioned() -> tuple[Floats, Floats]:
    """Mean and covariance of the nine terms: a joint normal prior, given three estimates with errors."""
    sd = np.array([term.prior_sd for term in TERMS])
    related_terms = np.array([term.decision not in APART for term in TERMS])
    prior = np.zeros((9, 9))
    errors = np.zeros((9, 9))
    for i in range(3):
        for j in range(3):
            share = 1.0 if i == j else RELATED * related_terms
            prior[3 * i : 3 * i + 3, 3 * j : 3 * j + 3] = np.diag(sd**2 * share)
        errors[3 * i : 3 * i + 3, 3 * i : 3 * i + 3] = seen(i)[1]
    gain = prior @ np.linalg.inv(prior + errors)
    return gain @ np.concatenate([seen(i)[0] for i in range(3)]), prior - gain @ prior


def test_related_outcomes_are_conditioned_on_each_other() -> None:
    (together,) = joint()[1]
    mean, covariance = conditioned()
    assert together.outcomes == NAMES
    assert together.mean == pytest.approx(mean, abs=1e-10)
    assert together.covariance == pytest.approx(covariance, abs=1e-10)


def test_each_outcome_gets_its_own_part() -> None:
    found, (together,) = joint()
    for k, name in enumerate(NAMES):
        assert found[name].combined.mean == pytest.approx(together.mean[3 * k : 3 * k + 3])
        assert found[name].combined.sd == pytest.approx(np.sqrt(np.diag(together.covariance))[3 * k : 3 * k + 3])
        assert found[name].prior is not None
        assert (found[name].combined.sd[:2] < apart()[name].combined.sd[:2]).all()


def test_a_decision_that_an_outcome_brings_about_borrows_nothing_where_nothing_ties_it_to_the_others() -> None:
    def alone(name: str, seed: int) -> CombinedEffects:
        found = effects(name, seed)
        diagonal = np.diag(np.diag(found.combined.covariance))
        return replace(found, combined=replace(found.combined, covariance=diagonal))

    before = {name: alone(name, seed) for seed, name in enumerate(NAMES)}
    found, _ = put_together(OUTCOMES, dict.fromkeys(NAMES, TERMS), before, APART, 0.5)
    for name in NAMES:
        assert found[name].combined.mean[2] == pytest.approx(before[name].combined.mean[2])


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_what_stands_alone_borrows_nothing(weight: float) -> None:
    found, together = joint(weight)
    assert together == ()
    assert all(found[name] is not None and found[name].weight == apart()[name].weight for name in NAMES)


def test_failures_and_harms_do_not_tell_of_each_other() -> None:
    groups = related(SPEC.outcomes)
    assert [[outcome.name for outcome in group] for group in groups] == [
        ["death", "locoregional_failure", "distant_failure"],
        ["feeding_tube_6m", "aspiration_6m"],
    ]
    assert related([SPEC.outcome("death")]) == []


def test_draws_are_those_of_the_joint_distribution() -> None:
    (together,) = joint()[1]
    drawn = together.draws(20_000, np.random.default_rng(1))
    stacked = np.hstack([drawn[name] for name in NAMES])
    assert stacked[0] == pytest.approx(together.mean)
    assert np.cov(stacked[1:].T) == pytest.approx(together.covariance, abs=0.004)
