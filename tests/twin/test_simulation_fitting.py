"""The state models of a fitted twin, from the cohort to one patient's answers."""

from functools import cache

import numpy as np
import pytest
from fixtures.cohorts import at_baseline, structural_cohort, structural_twin

from twin.arrays import Floats
from twin.record import decision_matrix
from twin.simulation.fitting import fit_state_models
from twin.simulation.individual import MarginalIndividual
from twin.simulation.situation import Situation, StateModels
from twin.threads import one_thread

MONTHS = np.array([4.0, 24.0, 60.0])


@cache
def state_models() -> StateModels:
    cohort, marginal = structural_cohort(), structural_twin().marginal
    patients = marginal.patients(marginal.known(cohort.frame, cohort.spec))
    with one_thread():
        decisions = decision_matrix(cohort.spec, cohort.frame)
        return fit_state_models(cohort.spec, cohort.frame, decisions, patients, marginal, seed=1)


def situation(row: int, **values: object) -> Situation:
    """A patient of the cohort, as known at baseline, with what is said to have followed."""
    cohort, marginal = structural_cohort(), structural_twin().marginal
    known = at_baseline(cohort).iloc[[row]].reset_index(drop=True)
    individual = MarginalIndividual.of(cohort.spec, marginal, known)
    return Situation.of(cohort.spec, state_models(), known.assign(**values), individual)


def rows_with(hpv: str, count: int) -> list[int]:
    return np.flatnonzero(structural_cohort().frame["hpv_status"] == hpv)[:count].tolist()


@pytest.mark.parametrize("hpv", ["positive", "unknown"], ids=["complete", "incomplete"])
def test_at_time_zero_the_simulation_and_the_twin_say_the_same(hpv: str) -> None:
    (row,) = rows_with(hpv, 1)
    known = at_baseline(structural_cohort()).iloc[[row]].reset_index(drop=True)
    draws = structural_twin().predict_draws(known, ["110"], MONTHS)
    for outcome, risks in situation(row).risks("110", MONTHS).items():
        np.testing.assert_allclose(risks, draws[outcome][:, 0, 0], atol=1e-10)


def test_what_is_learnt_has_the_shape_of_the_twin() -> None:
    models, draws = state_models(), structural_twin().marginal.draws
    assert [model.step.moment for model in models.transitions.steps] == ["after_ic", "decision_cc", "after_rt"]
    assert set(models.revealed) == set(structural_twin().outcomes)
    for revealed in models.revealed.values():
        assert revealed.coefficients.shape[1:] == (1 + draws, models.transitions.width)
        assert np.isfinite(revealed.coefficients).all()


def mean_risk(outcome: str, **values: object) -> Floats:
    risks = [
        situation(row, induction_chemo=1.0, concurrent_chemo=1.0, **values).fit_only().risks("110", MONTHS)[outcome]
        for row in rows_with("positive", 3)
    ]
    return np.mean(risks, axis=0)[0]


def test_a_response_short_of_complete_foretells_locoregional_failure() -> None:
    """In the structural model a partial response of the primary doubles that hazard; 400 patients shrink it."""
    complete = mean_risk("locoregional_failure", rt_response_primary="CR", rt_response_nodal="CR")
    partial = mean_risk("locoregional_failure", rt_response_primary="PR", rt_response_nodal="PR")
    assert complete[0] == partial[0] == 0.0
    assert (partial[1:] > 1.1 * complete[1:]).all()
