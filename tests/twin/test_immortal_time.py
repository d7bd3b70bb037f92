"""Neck dissection needs six months of life: living to it must not look like its effect."""

import numpy as np
import pytest
from fixtures.cohorts import exponential_cohort
from lifelines import CoxPHFitter

from twin.fitting import FitSettings, fit_twin

SETTINGS = FitSettings(refits=20, hazard_decision_prior_sd=5.0)
"""Hardly any shrinkage: what is tested is the bias of the time axis, not that of the penalty."""
DISSECTION = 2


def estimated(log_hazard_ratio: float, seed: int) -> tuple[float, float]:
    """Log hazard ratio of dissection by the twin, and by a Cox model that takes it as known at time zero."""
    cohort = exponential_cohort(1500, seed, death_rate=0.03, log_hazard_ratio_dissection=log_hazard_ratio)
    twin = fit_twin(cohort, SETTINGS)
    naive = cohort.frame[["os_months", "death"]].assign(given=cohort.frame["neck_dissection"].fillna(0.0))
    fitted = CoxPHFitter().fit(naive, "os_months", "death")
    return float(twin.stages[0].hazards["death"].event.effects[0, DISSECTION]), float(fitted.params_["given"])


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


def test_a_later_decision_changes_no_risk_before_it() -> None:
    cohort = exponential_cohort(400, 3, death_rate=0.03, log_hazard_ratio_dissection=1.0)
    twin = fit_twin(cohort, FitSettings(refits=20))
    first = cohort.frame[["patient_id", "age_years", "sex", "t_stage", "n_stage"]].head(5)
    draws = twin.predict_draws(first, ["010", "011"], [3.0, 6.0, 6.5, 24.0])["death"]
    without, with_it = draws[:, :, 0], draws[:, :, 1]
    assert np.array_equal(without[..., :2], with_it[..., :2])
    assert (with_it[0, :, 2:] > without[0, :, 2:]).all()
