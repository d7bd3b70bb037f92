"""Decisions that do more in those who show a state: what is held of that, and what a cohort teaches."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import at_baseline, structural_cohort, structural_twin
from scipy.special import expit
from test_effect_prior import AT_THEIR_WORD, effect

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.evidence import EffectTerm, Evidence, StateTerm
from twin.arrays import Floats
from twin.behaviour import triggered
from twin.effects.distribution import EffectDistribution
from twin.effects.prior import joint_prior
from twin.effects.states import seen_states, state_shares
from twin.models.followup import CENSORED, EVENT, FollowUp
from twin.policy.exact import solve, spread
from twin.policy.prospects import Standing, prospects
from twin.record import decision_matrix
from twin.simulation.acting import SYSTEMATIC_SD, ActingPrior, state_levels
from twin.simulation.revealed import Revealed, fit_revealed_hazards, fit_revealed_probability, period_starts
from twin.simulation.states import UNOBSERVED
from twin.simulation.transition import Learning, Transitions, fit_transitions

SPEC = load_specification()
NECK = "neck_dissection"
ITSELF = EffectTerm(NECK, "", prior_sd=0.5)
INCOMPLETE = StateTerm(NECK, "after an incomplete response", "rt_response_nodal!=CR", -0.5, 0.35)
SHARE = np.array([0.6])
DEATH, FAILURE, TUBE = (SPEC.outcome(name) for name in ("death", "locoregional_failure", "feeding_tube_6m"))
DRAWS = 4000


def responses(**columns: object) -> pd.DataFrame:
    return typed_frame(pd.DataFrame(columns), SPEC)


FRAME = responses(rt_response_nodal=["CR"] * 4 + ["PR"] * 5 + ["SD"])


# What is held before a cohort is asked


def test_where_a_decision_does_nothing_for_the_others_its_average_is_the_share_of_what_it_does_more() -> None:
    """Closed forms: the effect in the others is N(0, 0.2^2) for an outcome that brings the decision about."""
    prior, states = joint_prior(Evidence(), (ITSELF,), (INCOMPLETE,), SHARE, FAILURE, FRAME)
    assert prior.mean[0] == pytest.approx(0.6 * -0.5)
    assert prior.sd[0] == pytest.approx(np.hypot(0.2, 0.6 * 0.35))
    mean, sd = states.beside(prior)
    assert (mean[0], sd[0]) == (pytest.approx(-0.5), pytest.approx(0.35))
    average = prior.draws(20_000, np.random.default_rng(1))
    more = states.draws(average, np.random.default_rng(2))
    others = (average - SHARE * more)[1:, 0]
    assert others.mean() == pytest.approx(0.0, abs=0.005)
    assert others.std() == pytest.approx(0.2, rel=0.02)
    assert np.corrcoef(others, more[1:, 0])[0, 1] == pytest.approx(0.0, abs=0.02)
    assert (average - SHARE * more)[0, 0] == pytest.approx(0.0, abs=1e-12)


def test_without_states_nothing_changes() -> None:
    prior, states = joint_prior(Evidence(), (ITSELF,), (), np.zeros(0), DEATH, FRAME)
    assert (prior.mean[0], prior.sd[0]) == (0.0, pytest.approx(0.5))
    assert states.draws(np.zeros((3, 1)), np.random.default_rng(0)).shape == (3, 0)


@pytest.mark.parametrize(
    ("group", "position"), [("rt_response_nodal=CR", -0.6), ("rt_response_nodal!=CR", 0.4), ("", 0.0)]
)
def test_a_publication_on_those_whom_a_state_chose_is_about_the_effect_on_them(group: str, position: float) -> None:
    """As the posterior of draws of the effect in the others and of what is more, weighted by their likelihood."""
    said = effect(0.3, 0.2, group, decision=NECK)
    prior, states = joint_prior(Evidence((said,)), (ITSELF,), (INCOMPLETE,), SHARE, DEATH, FRAME, AT_THEIR_WORD)
    rng = np.random.default_rng(3)
    others, more = rng.normal(0.0, 0.5, 400_000), rng.normal(-0.5, 0.35, 400_000)
    average = others + 0.6 * more
    weight = np.exp(-0.5 * ((average + position * more - 0.3) / 0.2) ** 2)
    assert prior.mean[0] == pytest.approx(np.average(average, weights=weight), abs=0.01)
    assert states.beside(prior)[0][0] == pytest.approx(np.average(more, weights=weight), abs=0.01)


def test_what_a_cohort_says_of_the_average_moves_both_parts_by_their_variances() -> None:
    """An average far below its prior: the variance 0.5^2 of the others and 0.6^2 0.35^2 of the state share the way."""
    _, states = joint_prior(Evidence(), (ITSELF,), (INCOMPLETE,), SHARE, DEATH, FRAME)
    sure = EffectDistribution((ITSELF,), np.array([-1.0]), np.array([[1e-12]]))
    mean, _ = states.beside(sure)
    assert mean[0] == pytest.approx(-0.5 + 0.6 * 0.35**2 / (0.5**2 + 0.6**2 * 0.35**2) * (-1.0 + 0.3))


def test_a_state_counts_by_the_events_in_those_who_show_it() -> None:
    frame = responses(
        rt_response_nodal=["CR"] * 300 + ["PR"] * 100 + [None] * 50,
        locoregional_failure=[1.0] * 20 + [0.0] * 280 + [1.0] * 70 + [0.0] * 30 + [1.0] * 50,
    )
    cohort = Cohort(SPEC, frame, synthetic=True, name="responses")
    assert state_shares((INCOMPLETE,), cohort, FAILURE)[0] == pytest.approx((70 + 10 * 0.25) / (90 + 10))
    assert state_shares((INCOMPLETE,), cohort, DEATH)[0] == pytest.approx(0.25)
    unseen = Cohort(SPEC, frame.drop(columns="rt_response_nodal"), synthetic=True, name="unseen")
    assert seen_states((INCOMPLETE,), unseen) == ()
    assert seen_states((INCOMPLETE,), cohort) == (INCOMPLETE,)


# What a cohort teaches


def after_radiotherapy(patients: int, seed: int) -> tuple[Learning, Floats, Floats, Floats]:
    """Learnt from patients who are dissected mostly after a partial response; and x, who responded partly, and how
    likely a complete response was."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=patients)
    complete = expit(0.2 - 0.8 * x)
    partial = rng.random(patients) > complete
    dissected = rng.random(patients) < np.where(partial, 0.6, 0.3)
    frame = pd.DataFrame(
        {
            "induction_chemo": np.zeros(patients),
            "concurrent_chemo": np.zeros(patients),
            "neck_dissection": dissected.astype(float),
            "rt_response_nodal": np.where(partial, "PR", "CR"),
        }
    )
    decisions = decision_matrix(SPEC, frame)
    learnt = Learning(SPEC, frame, x[:, None], frame, decisions, 400, np.random.default_rng(5))
    return learnt, x, partial.astype(float), complete


def prior_of(mean: float, sd: float, patients: int, *, asked: bool = True) -> ActingPrior:
    draws = mean + sd * np.random.default_rng(8).normal(size=401)
    draws[0] = mean
    return ActingPrior(INCOMPLETE, draws, sd, np.full(patients, asked))


MORE, AVERAGE = -0.9, -0.2
"""Log ratios of dissection: how much more it does after a partial response, and what it does in the others"""


def survival(patients: int, seed: int) -> tuple[Learning, FollowUp, Floats]:
    """A partial response doubles the hazard from month 6, from which on dissection acts.

    Returns:
        What is learnt from, the course, and the log hazard in each period before the response was seen.
    """
    learnt, x, partial, complete = after_radiotherapy(patients, seed)
    rng = np.random.default_rng([seed, 1])
    yes = learnt.decisions[:, 2]
    early = 0.01 * np.exp(0.5 * x)
    of_partial = 2.0 * np.exp((AVERAGE + MORE) * yes)
    late = early * np.where(partial == 1, of_partial, np.exp(AVERAGE * yes))
    unit = rng.exponential(size=patients)
    time = np.where(unit < 6 * early, unit / early, 6 + (unit - 6 * early) / late)
    course = FollowUp(np.minimum(time, 40.0), np.where(time < 40.0, EVENT, CENSORED))
    expected = np.log(complete * np.exp(AVERAGE * yes) + (1.0 - complete) * of_partial)
    starts = period_starts(SPEC)
    logs = np.column_stack([0.5 * x + np.where(start >= 6.0, expected, 0.0) for start in starts])
    return learnt, course, logs


def found(learnt: Learning, course: FollowUp, logs: Floats, prior: ActingPrior) -> tuple[Revealed, Transitions]:
    transitions = fit_transitions(learnt)
    hazards = fit_revealed_hazards(DEATH, course, {EVENT: logs}, transitions, learnt, None, [prior])
    return hazards, transitions


def test_what_a_decision_does_more_in_a_state_is_recovered() -> None:
    learnt, course, logs = survival(6000, 1)
    revealed, transitions = found(learnt, course, logs, prior_of(0.0, 1.0, 6000))
    (acting,) = revealed.acting
    spread = acting.ratios[1:].std()
    assert acting.taught
    assert SYSTEMATIC_SD < spread < 0.25
    assert acting.ratios[0] == pytest.approx(MORE, abs=2.5 * spread)
    assert acting.ratios[0] < -0.5
    np.testing.assert_array_equal(acting.levels, state_levels(INCOMPLETE, transitions, learnt))
    (variable,) = transitions.steps[0].step.variables
    assert acting.levels.tolist() == [float("PR" in level) for level in variable.levels]


def test_what_a_decision_does_more_on_a_yes_or_no_outcome_is_recovered() -> None:
    patients = 8000
    learnt, x, partial, complete = after_radiotherapy(patients, 2)
    yes = learnt.decisions[:, 2]
    level = -0.5 + 0.5 * x + AVERAGE * yes
    more = 0.7 + MORE * yes
    positive = (np.random.default_rng(3).random(patients) < expit(level + more * partial)).astype(float)
    before = complete * expit(level) + (1.0 - complete) * expit(level + more)
    transitions = fit_transitions(learnt)
    prior = prior_of(0.0, 1.0, patients)
    revealed = fit_revealed_probability(TUBE, positive, before, transitions, learnt, None, [prior])
    (acting,) = revealed.acting
    assert acting.ratios[0] == pytest.approx(MORE, abs=2.5 * acting.ratios[1:].std())
    assert acting.ratios[0] < -0.5


def test_whoever_was_decided_for_because_of_the_outcome_teaches_nothing() -> None:
    """Failures are dissected and die at once, all of them after a complete response: that is no effect."""
    learnt, course, logs = survival(2000, 4)
    failing = np.arange(2000) % 10 == 0
    frame = learnt.frame.assign(
        neck_dissection=np.where(failing, 1.0, learnt.frame["neck_dissection"]),
        rt_response_nodal=np.where(failing, "CR", learnt.frame["rt_response_nodal"]),
    )
    worse = replace(learnt, frame=frame, completed=frame, decisions=decision_matrix(SPEC, frame))
    months = np.where(failing, 8.0, course.months)
    ill = FollowUp(months, np.where(failing, EVENT, course.cause))
    prior = prior_of(0.0, 0.5, 2000)
    (of_all,) = found(worse, ill, logs, prior)[0].acting
    (of_others,) = found(worse, ill, logs, replace(prior, teachers=~failing))[0].acting
    assert of_all.ratios[0] < of_others.ratios[0] - 0.3
    assert of_others.ratios[0] == pytest.approx(MORE * 0.8, abs=0.35)


def test_where_the_outcome_brings_the_decision_about_the_prior_is_all_there_is() -> None:
    learnt, course, logs = survival(1000, 5)
    prior = prior_of(-0.4, 0.3, 1000, asked=False)
    (acting,) = found(learnt, course, logs, prior)[0].acting
    np.testing.assert_array_equal(acting.ratios, prior.draws)
    assert not acting.taught


def test_without_events_the_prior_is_all_there_is() -> None:
    learnt, course, logs = survival(300, 6)
    prior = prior_of(-0.4, 0.3, 300)
    alive = FollowUp(course.months, np.zeros(300, dtype=int))
    np.testing.assert_array_equal(found(learnt, alive, logs, prior)[0].acting[0].ratios, prior.draws)


def test_the_order_of_the_patients_does_not_matter() -> None:
    learnt, course, logs = survival(600, 7)
    (one,) = found(learnt, course, logs, prior_of(-0.3, 0.4, 600))[0].acting
    order = np.random.default_rng(1).permutation(600)
    frame = learnt.frame.iloc[order].reset_index(drop=True)
    other = Learning(SPEC, frame, learnt.inputs[order], frame, learnt.decisions[order], 400, np.random.default_rng(5))
    (two,) = found(other, course.take(order), logs[order], prior_of(-0.3, 0.4, 600))[0].acting
    assert one.taught
    np.testing.assert_allclose(two.ratios[0], one.ratios[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(two.ratios.std(), one.ratios.std(), rtol=0.05)


def test_a_state_that_the_cohort_does_not_tell_apart_changes_nothing() -> None:
    learnt, course, logs = survival(300, 9)
    frame = learnt.frame.assign(rt_response_nodal="CR", rt_response_primary=learnt.frame["rt_response_nodal"])
    assert found(replace(learnt, frame=frame, completed=frame), course, logs, prior_of(-0.3, 0.4, 300))[0].acting == ()


def test_pooled_levels_belong_to_a_state_by_the_share_that_does() -> None:
    learnt, *_ = after_radiotherapy(60, 3)
    shown = ["CR"] * 30 + ["PR"] * 24 + ["SD"] * 6
    frame = learnt.frame.assign(rt_response_nodal=shown)
    asked = replace(learnt, frame=frame, completed=frame)
    some = StateTerm(NECK, "after stable disease", "rt_response_nodal=SD", -0.5, 0.35)
    np.testing.assert_allclose(state_levels(some, fit_transitions(asked), asked), [0.0, 0.2])


def test_a_fitted_twin_holds_what_is_assumed_and_learns_the_rest() -> None:
    revealed = structural_twin().states.revealed
    cohort = structural_cohort()
    assert triggered(cohort, NECK).any()
    (of_failure,), (of_death,) = revealed["locoregional_failure"].acting, revealed["death"].acting
    assert not of_failure.taught
    assert of_death.taught
    assert revealed["distant_failure"].acting == ()
    effects = structural_twin().effects
    held, _ = effects.states["locoregional_failure"].beside(effects.by_outcome["locoregional_failure"].combined)
    assert of_failure.ratios[0] == pytest.approx(held[0])


def gain(response: str) -> Floats:
    """(n,) utility that dissection is expected to add after a response of the neck to chemoradiation, by the fit."""
    twin = structural_twin()
    steps = [model.step for model in twin.states.transitions.steps]
    observed = [np.full(len(step.variables), UNOBSERVED) for step in steps]
    (position,) = [k for k, variable in enumerate(steps[-1].variables) if variable.name == INCOMPLETE.column]
    observed[-1][position] = steps[-1].variables[position].level(response)
    standing = Standing(np.arange(24), "01-", 2, 6.0, tuple(observed))
    weights = np.array([twin.spec.outcome(name).weight for name in twin.outcomes])
    (ahead,) = prospects(twin, at_baseline(structural_cohort()), standing)
    values = solve(ahead, weights).first.values(spread(weights, ahead.size))[:, 0]
    return np.asarray(values[:, 1] - values[:, 0])


def test_dissection_is_worth_more_after_an_incomplete_response() -> None:
    complete, partial = gain("CR"), gain("PR")
    assert (partial > complete).all()
    assert (partial > 0).mean() > (complete > 0).mean()
