"""What lies ahead of patients and its exact solution: against other ways to the same numbers, and all policies."""

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import structural_cohort
from fixtures.cohorts import structural_twin as twin

from data.dictionary import load_specification
from twin.arrays import Floats
from twin.policy.exact import (
    YES,
    Course,
    Question,
    everything,
    follow,
    keys,
    plan_probabilities,
    plan_values,
    solve,
    spread,
)
from twin.policy.prospects import Ahead, Prospects, Sight, drawn_losses, prospects
from twin.policy.standing import standings
from twin.policy.utility import Weights, utility
from twin.simulation.expected import under
from twin.simulation.states import Step

SPEC = load_specification()
PATIENTS = 8


def known(moment: str, patients: int = PATIENTS) -> pd.DataFrame:
    """The first patients of the cohort as they were before a moment."""
    frame = structural_cohort().frame.head(patients).reset_index(drop=True)
    return frame[[column.name for column in SPEC.available_before(moment) if column.name in frame]]


@cache
def ahead(moment: str) -> tuple[Prospects, ...]:
    frame = known(moment)
    return tuple(some for standing in standings(twin(), frame) for some in prospects(twin(), frame, standing))


def default_weights() -> Floats:
    return Weights.of(SPEC).array(twin().outcomes)


def random_weights(count: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).exponential(size=(count, len(twin().outcomes)))


def months_lost(death: Floats, months: Floats) -> Floats:
    """(...,) share of the months up to the last that is lost, of risks (..., months)."""
    return np.trapezoid(death, months, axis=-1) / months[-1]


# What lies ahead


@pytest.mark.parametrize("moment", ["decision_ic", "decision_cc", "decision_nd"])
def test_a_whole_plan_costs_what_the_twin_predicts_for_it(moment: str) -> None:
    months = np.linspace(0.0, 60.0, 121)
    frame = known(moment)
    for some in ahead(moment):
        draws = twin().predict_draws(frame.iloc[some.rows], some.plans, months)
        for k, plan in enumerate(some.plans):
            losses = some.losses(plan)
            for j, name in enumerate(some.outcomes):
                risks = draws[name][0][:, k]
                alive_until = max(months[0], _alive_until(moment, some))
                lost = months_lost(risks, months) if name == "death" else risks[:, -1]
                assert losses[:, j] == pytest.approx(lost, abs=5e-4 if moment == "decision_ic" else 4e-3), (
                    name,
                    plan,
                    alive_until,
                )


def _alive_until(moment: str, some: Prospects) -> float:
    (standing,) = [s for s in standings(twin(), known(moment)) if set(some.rows) <= set(s.rows)]
    return standing.alive_until


def test_every_draw_of_a_whole_plan_costs_what_the_twin_draws_for_it() -> None:
    frame = known("decision_cc", 8)
    for standing in standings(twin(), frame):
        drawn = drawn_losses(twin(), frame, standing, standing.rows)
        (some,) = prospects(twin(), frame, standing)
        told = twin().predict_draws(frame.iloc[standing.rows], some.plans, [60.0])
        for j, name in enumerate(twin().outcomes):
            if name != "death":
                error = np.abs(drawn[..., j] - told[name][1:, ..., 0])
                assert np.quantile(error, 0.9) < 3e-3
                assert error.max() < 0.03


def test_a_policy_that_looks_is_worth_what_the_sum_over_its_paths_says() -> None:
    """Another program sums the same paths; cells are coarser here, so that both agree up to that."""
    frame = known("decision_ic", 2)
    (standing,) = standings(twin(), frame)
    (some,) = prospects(twin(), frame, standing)
    course = follow(some, _dissect_what_is_left)

    def policy(decision: object, _row: pd.DataFrame, history: dict[str, str]) -> float:
        column = decision.column  # type: ignore[attr-defined]
        if column != "neck_dissection":
            return 1.0
        return float(history["rt_response_nodal"] != "CR")

    months = np.linspace(0.0, 60.0, 121)
    for row in range(len(frame)):
        expected = under(twin().situation(frame.iloc[[row]]), policy, months).risks  # type: ignore[arg-type]
        for j, name in enumerate(some.outcomes):
            risk = expected[name][0]
            told = months_lost(risk, months) if name == "death" else risk[-1]
            assert course.losses[row, j] == pytest.approx(told, abs=3e-3), name


def _dissect_what_is_left(question: Question) -> Floats:
    if SPEC.decisions[question.decision].column != "neck_dissection":
        return np.ones(question.probability.shape)
    step = next(model.step for model in twin().states.transitions.steps if model.step.moment == "after_rt")
    digits = np.array([float(digit) if digit != "-" else 0.0 for digit in question.so_far])
    nodal = [variable.name for variable in step.variables].index("rt_response_nodal")
    left = (step.space(digits)[:, nodal] != 0).astype(float)
    return np.tile(left, (len(question.probability), question.probability.shape[1] // len(left)))


def test_the_order_of_patients_changes_nothing() -> None:
    frame = known("decision_ic")
    shuffled = frame.sample(frac=1.0, random_state=3)
    order = shuffled.index.to_numpy()
    (one,) = ahead("decision_ic")
    standing = next(standings(twin(), shuffled.reset_index(drop=True)))
    (other,) = prospects(twin(), shuffled.reset_index(drop=True), standing)
    for plan in one.plans:
        assert other.ahead[plan].losses == pytest.approx(one.ahead[plan].losses[order], abs=1e-9)
        assert other.ahead[plan].probability == pytest.approx(one.ahead[plan].probability[order], abs=1e-9)


def test_a_past_decision_without_a_record_is_what_the_record_makes_certain() -> None:
    frame = known("decision_cc", 1).assign(induction_chemo=np.nan, ic_response_primary="CR")
    (standing,) = standings(twin(), frame)
    assert (standing.so_far, standing.next_open, standing.assumed) == ("1--", 1, ("induction_chemo",))


# The exact solution


def by_hand(patients: int = 3, states: int = 3, seed: int = 0) -> Prospects:
    """Two decisions with a sight between them, and random losses; the third decision is held at 0."""
    rng = np.random.default_rng(seed)
    step = Step("after_rt", "Response", False, 0, False, 3.0, (), ())
    sight = Sight(step, np.arange(states)[:, None])
    lying_ahead = {}
    for first in "01":
        probability = rng.dirichlet(np.ones(states), patients)
        for second in "01":
            losses = rng.uniform(size=(patients, states, 2)) * probability[..., None]
            lying_ahead[f"{first}{second}0"] = Ahead((sight,), probability, losses)
    return Prospects(SPEC, ("death", "aspiration_6m"), np.arange(patients), "--0", 0, lying_ahead)


def worth(some: Prospects, patient: int, first: str, second: tuple[int, ...], weights: Floats) -> float:
    lost = sum(some.ahead[f"{first}{answer}0"].losses[patient, state] for state, answer in enumerate(second))
    return float(utility(lost, weights))


def test_no_policy_is_better_than_the_exact_one() -> None:
    some, weights = by_hand(), np.array([1.0, 0.7])
    course = solve(some, weights)
    for patient in range(some.size):
        policies = product("01", product((0, 1), repeat=3))
        best = max(worth(some, patient, first, second, weights) for first, second in policies)
        assert course.value(spread(weights, some.size))[patient] == pytest.approx(best, abs=1e-12)
    assert (course.value(spread(weights, some.size)) >= plan_values(some, weights).max(axis=1) - 1e-12).all()


def test_values_of_options_are_those_of_the_best_way_on() -> None:
    some, weights = by_hand(), np.array([1.0, 0.7])
    values = solve(some, weights).first.values(spread(weights, some.size))[:, 0]
    for patient, option in product(range(some.size), (0, 1)):
        best = max(worth(some, patient, str(option), second, weights) for second in product((0, 1), repeat=3))
        assert values[patient, option] == pytest.approx(best, abs=1e-12)


def test_the_questions_come_in_time() -> None:
    assert keys(by_hand()) == ("--0", "0-0", "1-0")


def test_what_is_barred_is_never_chosen() -> None:
    some, weights = by_hand(), np.array([1.0, 0.7])
    allowed = everything(some)
    allowed[:, 1, YES] = False
    course = solve(some, weights, allowed)
    assert not any(course.yes[key].any() for key in ("0-0", "1-0"))
    best = np.maximum(plan_values(some, weights)[:, 0], plan_values(some, weights)[:, 2])
    assert course.value(spread(weights, some.size)) == pytest.approx(best, abs=1e-12)


def test_patients_end_with_some_plan() -> None:
    for some in ahead("decision_ic"):
        course = solve(some, default_weights())
        for first in (None, np.zeros(some.size), np.ones(some.size)):
            shares = plan_probabilities(some, course, first)
            assert shares.sum(axis=1) == pytest.approx(1.0, abs=1e-9)
        begins = np.array([plan[0] == "1" for plan in some.plans])
        assert shares[:, begins].sum(axis=1) == pytest.approx(1.0, abs=1e-9)


def test_plans_weighted_by_their_chance_cost_about_what_the_policy_does_where_it_does_not_look() -> None:
    (some,) = ahead("decision_ic")
    course = follow(some, lambda question: np.ones(question.probability.shape))
    shares = plan_probabilities(some, course)
    assert shares[:, some.plans.index("111")] == pytest.approx(1.0, abs=1e-9)
    assert course.losses == pytest.approx(some.losses("111"), abs=1e-9)


@pytest.mark.parametrize("moment", ["decision_ic", "decision_cc", "decision_nd"])
def test_a_larger_weight_on_a_loss_never_makes_more_of_it(moment: str) -> None:
    """What is given up for it in the other losses is then worth less than before: so the loss cannot rise."""
    rng = np.random.default_rng(5)
    for some, weights in product(ahead(moment), random_weights(6)):
        before = solve(some, weights).losses
        for k in range(len(weights)):
            raised = weights.copy()
            raised[k] += rng.exponential()
            assert (solve(some, raised).losses[:, k] <= before[:, k] + 1e-9).all()


def test_a_loss_that_does_not_count_is_not_avoided_and_all_losses_without_weight_are_alike() -> None:
    (some,) = ahead("decision_ic")
    course: Course = solve(some, np.zeros(len(some.outcomes)))
    assert course.value(np.zeros((some.size, len(some.outcomes)))) == pytest.approx(1.0)
