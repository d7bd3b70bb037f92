"""The state models of a fitted twin, from the cohort to one patient's answers."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import at_baseline, structural_cohort, structural_twin

from data.schema import Decision
from twin.arrays import Floats
from twin.effects.prior import MannerEffect
from twin.models.outcome import Rows
from twin.record import decision_matrix
from twin.simulation.expected import under
from twin.simulation.fitting import fit_state_models
from twin.simulation.individual import MarginalIndividual
from twin.simulation.policy import Choice, Policy
from twin.simulation.sampling import sample
from twin.simulation.situation import Situation, StateModels
from twin.threads import one_thread

MONTHS = np.array([4.0, 24.0, 60.0])


PUBLISHED = MannerEffect("cetuximab", ("hpv_status=positive",), (), float(np.log(4.0)), 0.01)


@cache
def state_models(*published: MannerEffect) -> StateModels:
    cohort, marginal = structural_cohort(), structural_twin().marginal
    completed = marginal.completed(marginal.known(cohort.frame, cohort.spec))
    with one_thread():
        decisions = decision_matrix(cohort.spec, cohort.frame)
        patients = marginal.read(completed)
        return fit_state_models(
            cohort.spec,
            cohort.frame,
            decisions,
            patients,
            completed.frame,
            marginal,
            seed=1,
            priors={"locoregional_failure": {"concurrent_agent": published}},
        )


def situation(row: int, *published: MannerEffect, **values: object) -> Situation:
    """A patient of the cohort, as known at baseline, with what is said to have followed."""
    cohort, marginal = structural_cohort(), structural_twin().marginal
    known = at_baseline(cohort).iloc[[row]].reset_index(drop=True)
    individual = MarginalIndividual.of(cohort.spec, marginal, known)
    return Situation.of(cohort.spec, state_models(*published), known.assign(**values), individual)


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


def agent_ratio(hpv: str, *published: MannerEffect) -> float:
    """Ratio of the risks of early locoregional failure under cetuximab and platinum: nearly that of the hazards."""
    (row,) = rows_with(hpv, 1)
    asked = [
        situation(row, *published, induction_chemo=0.0, concurrent_chemo=1.0, concurrent_agent=agent)
        for agent in ("cetuximab", "platinum")
    ]
    cetuximab, platinum = (one.risks("010", [10.0])["locoregional_failure"][0, 0] for one in asked)
    return float(cetuximab / platinum)


def test_a_trial_of_an_agent_in_one_group_acts_on_that_group_only() -> None:
    """The opposite publication turns the ratio round in HPV-positive patients, and hardly moves it in others."""
    opposite = replace(PUBLISHED, mean=-PUBLISHED.mean)
    assert 3.4 < agent_ratio("positive", PUBLISHED) < 4.0
    assert 1 / 4.0 < agent_ratio("positive", opposite) < 1 / 3.4
    others = agent_ratio("negative", PUBLISHED)
    assert 0.7 < others < 1.4
    assert agent_ratio("negative", opposite) == pytest.approx(others, rel=0.25)
    revealed = state_models(PUBLISHED).revealed["locoregional_failure"]
    assert [one.effect for one in revealed.apart] == [PUBLISHED]


@pytest.mark.parametrize("hpv", ["positive", "negative", "unknown"])
def test_whatever_is_published_for_a_group_the_agents_average_to_the_answer_without_them(hpv: str) -> None:
    """Where the group of a patient is not known, agents are averaged over within each completed copy."""
    (row,) = rows_with(hpv, 1)
    before = situation(row, PUBLISHED, induction_chemo=0.0, concurrent_chemo=1.0).fit_only()
    (agent,) = before.states("010", "decision_cc")
    total = before.risks("010", MONTHS)["locoregional_failure"][0]
    given = [
        situation(
            row, PUBLISHED, induction_chemo=0.0, concurrent_chemo=1.0, concurrent_agent=level.split(" or ")[0]
        ).risks("010", MONTHS)["locoregional_failure"][0]
        for level in agent.levels
    ]
    np.testing.assert_allclose(agent.probability[0] @ given, total, rtol=0, atol=1e-8)
    assert np.ptp([risks[-1] for risks in given]) > 0.002
    plain = situation(row, induction_chemo=0.0, concurrent_chemo=1.0).risks("010", MONTHS)["locoregional_failure"][0]
    np.testing.assert_allclose(total, plain, rtol=0, atol=1e-8)


def test_a_fitted_twin_reads_the_groups_of_the_shipped_evidence() -> None:
    """Relapse under cetuximab is published for HPV-positive patients (hazard ratio 2.78): there it is above 1.5."""
    revealed, draws = structural_twin().states.revealed["locoregional_failure"], Rows.of(0, 2)
    assert [one.effect.inside for one in revealed.apart] == [("hpv_status=positive",)]
    positive, negative = revealed.ratios(pd.DataFrame({"hpv_status": ["positive", "negative"]}), draws)[0]
    column = revealed.apart[0].column
    assert positive[column] > np.log(1.5)
    assert negative[column] < positive[column] - 0.1
    others = np.arange(len(positive)) != column
    np.testing.assert_array_equal(positive[others], negative[others])


def looking(decision: Decision, row: pd.DataFrame, history: Mapping[str, str]) -> Choice | float:
    """A policy that tosses a coin, looks at the response, chooses the agent by age, and dissects necks that last."""
    if decision.column == "induction_chemo":
        return 0.4
    if decision.column == "concurrent_chemo":
        return Choice(0.9, "cetuximab" if row["age_years"].iloc[0] > 60 else None)
    return 0.05 if history["rt_response_nodal"] == "CR" else 0.7


SEEN = {"induction_chemo": 1.0, "ic_response_primary": "PR", "ic_response_nodal": "CR"}
COUNT = 20_000


@pytest.mark.parametrize("hpv", ["positive", "unknown"], ids=["complete", "incomplete"])
@pytest.mark.parametrize(
    ("policy", "seen"),
    [("010", {}), ("110", {}), (looking, {}), ("111", SEEN), (looking, SEEN)],
    ids=["plan 010", "plan 110", "looking", "plan 111 after induction", "looking after induction"],
)
def test_exact_and_sampled_answers_of_a_fitted_twin_agree(
    policy: Policy | str, hpv: str, seen: Mapping[str, object]
) -> None:
    known = at_baseline(structural_cohort()).iloc[rows_with(hpv, 1)].reset_index(drop=True).assign(**seen)
    given = structural_twin().situation(known)
    exact = under(given, policy, MONTHS, limit=200_000)
    drawn = sample(given, policy, COUNT, np.random.default_rng(5), 60.0)
    assert exact.paths > 0
    for outcome, risks in exact.risks.items():
        if outcome in drawn:
            alive = drawn[outcome].dropna()
            share, expected, count = alive.mean(), risks[0, 0], len(alive)
        else:
            happened = (drawn[f"{outcome}_cause"] == "event").to_numpy()[:, None]
            share = (happened & (drawn[f"{outcome}_month"].to_numpy()[:, None] <= MONTHS)).mean(axis=0)
            expected, count = risks[0], COUNT
        error = np.sqrt(np.maximum(expected * (1.0 - expected), 1.0 / COUNT) / count)
        assert (np.abs(share - expected) < 4.0 * error).all(), outcome


@pytest.mark.parametrize("plan", ["010", "110"])
@pytest.mark.parametrize("hpv", ["negative", "unknown"], ids=["complete", "incomplete"])
def test_sampled_toxicities_have_the_fitted_odds_ratio(plan: str, hpv: str) -> None:
    """Under one plan: a policy that mixes plans mixes risks, and odds ratios of a mixture are others."""
    twin = structural_twin()
    (pair,) = twin.dependences
    known = at_baseline(structural_cohort()).iloc[rows_with(hpv, 1)].reset_index(drop=True)
    drawn = sample(twin.situation(known), plan, 40_000, np.random.default_rng(2), 7.0)
    counts = pd.crosstab(drawn[pair.first], drawn[pair.second]).to_numpy(dtype=float)
    log_odds_ratio = np.log(counts[0, 0] * counts[1, 1] / (counts[0, 1] * counts[1, 0]))
    assert pair.log_odds_ratio[0] > 1.0
    assert log_odds_ratio == pytest.approx(pair.log_odds_ratio[0], abs=4.0 * np.sqrt((1.0 / counts).sum()))
