"""Neck dissection needs six months of life: living to it must not look like its effect."""

import numpy as np
import pytest
from fixtures.cohorts import EFFECTS, QUICK, exponential_cohort, known_effects
from lifelines import CoxPHFitter

from data.cohort import Cohort
from twin.behaviour import fit_behaviour
from twin.effects.cohort import cohort_effects
from twin.effects.distribution import EffectTerm
from twin.fitting import fit_twin

DISSECTION = (EffectTerm("neck_dissection", ""),)
RATE = 0.03


def cohort_of(log_hazard_ratio: float, seed: int, patients: int = 1500) -> Cohort:
    return exponential_cohort(patients, seed, death_rate=RATE, log_hazard_ratio_dissection=log_hazard_ratio)


def estimated(log_hazard_ratio: float, seed: int) -> tuple[float, float]:
    """Log hazard ratio of dissection from the cohort, and by a Cox model that takes it as known at time zero."""
    cohort = cohort_of(log_hazard_ratio, seed)
    found = cohort_effects(cohort, cohort.spec.outcome("death"), DISSECTION, fit_behaviour(cohort))
    naive = cohort.frame[["os_months", "death"]].assign(given=cohort.frame["neck_dissection"].fillna(0.0))
    fitted = CoxPHFitter().fit(naive, "os_months", "death")
    assert found.learnt.all()
    return float(found.distribution.mean[0]), float(fitted.params_["given"])


@pytest.mark.parametrize("seed", [0, 1])
def test_a_decision_without_effect_is_found_without_effect(seed: int) -> None:
    """The standard error is about 0.08 (some 700 deaths after month 6); the naive bias is several times that."""
    ours, naive = estimated(0.0, seed)
    assert abs(ours) < 0.2
    assert naive < -0.25
    assert abs(ours) < abs(naive) / 2


def test_a_true_effect_is_found() -> None:
    ours, _ = estimated(np.log(0.5), 2)
    assert ours == pytest.approx(np.log(0.5), abs=0.2)


@pytest.mark.parametrize("log_hazard_ratio", [0.0, float(np.log(0.5)), 0.7])
def test_risks_with_and_without_it_are_those_of_the_truth(
    log_hazard_ratio: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given the true effect: 1 - exp(-rate (6 + HR (t - 6))) with it, 1 - exp(-rate t) without.

    Were it counted from time zero, whoever died before month 6 would die "without" it.
    """
    known = known_effects(DISSECTION, {"death": ([log_hazard_ratio], [0.0])})
    monkeypatch.setattr(EFFECTS, known)
    cohort = cohort_of(log_hazard_ratio, 4, 3000)
    twin = fit_twin(cohort, QUICK)
    first = cohort.frame[["patient_id", "age_years", "sex", "t_stage", "n_stage"]].head(300)
    months = np.array([6.0, 12.0, 24.0])
    risk = twin.predict_draws(first, ["000", "001"], months)["death"][0].mean(axis=0)
    without, with_it = RATE * months, RATE * (6.0 + np.exp(log_hazard_ratio) * (months - 6.0))
    np.testing.assert_allclose(risk, -np.expm1(-np.stack([without, with_it])), atol=0.03)


def test_a_later_decision_changes_no_risk_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EFFECTS, known_effects(DISSECTION, {"death": ([1.0], [0.2])}))
    cohort = cohort_of(1.0, 3, 400)
    twin = fit_twin(cohort, QUICK)
    first = cohort.frame[["patient_id", "age_years", "sex", "t_stage", "n_stage"]].head(5)
    draws = twin.predict_draws(first, ["010", "011"], [3.0, 6.0, 6.5, 24.0])["death"]
    without, with_it = draws[:, :, 0], draws[:, :, 1]
    assert np.array_equal(without[..., :2], with_it[..., :2])
    assert (with_it[..., 2:] > without[..., 2:]).all()
