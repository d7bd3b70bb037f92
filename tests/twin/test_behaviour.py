import dataclasses
from functools import cache

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter
from scipy.special import expit, logit
from scipy.stats import rankdata

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.errors import NotFound
from data.schema import Role
from data.synthetic import generate
from tests.fixtures.other_world import other_world
from twin.behaviour import FOLDS, Behaviour, Bend, _left_out, caliper, cross_folds, distance, fit_behaviour
from twin.models.logistic import fit_ridge_logistic
from twin.models.posterior import LogisticProblem
from twin.threads import one_thread

SPEC = load_specification()
DECISIONS = ("induction_chemo", "concurrent_chemo", "neck_dissection")
PUBLISHED_AUC = (0.80, 0.81, 0.67)
"""Linear and tree models of the reference cohort, for the three decisions"""
LEARNT = 1500
"""Patients of a seed who teach; those after them are asked about"""
OTHERS = 20_000


def made(columns: dict[str, object]) -> Cohort:
    size = max(np.size(values) for values in columns.values())
    frame = pd.DataFrame({"patient_id": [f"B-{k}" for k in range(size)], **columns})
    return Cohort(SPEC, typed_frame(frame, SPEC), synthetic=True, name="made")


def own_reasons(patients: int, seed: int) -> tuple[Cohort, np.ndarray]:
    """Each decision for a reason of its own, and the true probabilities (patients, 3)."""
    rng = np.random.default_rng(seed)
    age, pack_years, ecog = rng.normal(60, 10, patients), rng.gamma(2.0, 12.0, patients), rng.integers(0, 3, patients)
    reasons = np.column_stack([(age - 60) / 10, (pack_years - 24) / 17, ecog - 1.0])
    chance = expit(1.5 * reasons)
    taken = (rng.random(chance.shape) < chance).astype(float)
    columns = {"age_years": age.clip(20, 100), "pack_years": pack_years.clip(0, 200), "ecog": ecog.astype(float)}
    follow_up = {"os_months": np.full(patients, 24.0), "death": rng.integers(0, 2, patients).astype(float)}
    return made({**columns, **dict(zip(DECISIONS, taken.T, strict=True)), **follow_up}), chance


@cache
def structural() -> Cohort:
    return generate(LEARNT, seed=0).cohort


def expected_error(yes: np.ndarray, probability: np.ndarray) -> float:
    """Over tenths of the patients, with neither the product's groups nor its sums."""
    tenths = np.array_split(np.argsort(probability, kind="stable"), 10)
    return float(np.mean([abs(yes[rows].mean() - probability[rows].mean()) for rows in tenths]))


def ranking(yes: np.ndarray, probability: np.ndarray) -> float:
    """AUC from the sum of ranks (Mann and Whitney 1947)."""
    above = rankdata(probability)[yes].sum() - yes.sum() * (yes.sum() + 1) / 2
    return float(above / (yes.sum() * (~yes).sum()))


@cache
def structural_behaviour() -> Behaviour:
    with one_thread():
        return fit_behaviour(structural())


def with_shuffled_outcomes(cohort: Cohort) -> Cohort:
    """Every outcome in another patient, but for who lived to a decision and to whom a failure brought it."""
    rng = np.random.default_rng(1)
    frame = cohort.frame.copy()
    settled = np.flatnonzero((frame["os_months"] > 6) & (frame["locoregional_failure"] == 0))
    outcomes = [column.name for column in SPEC.having(Role.TIME, Role.EVENT, Role.BINARY) if column.name in frame]
    assert {"death", "os_months", "locoregional_failure", "feeding_tube_6m"} <= set(outcomes)
    for name in outcomes:
        stays = name in ("os_months", "locoregional_failure")
        rows = settled if stays else np.arange(cohort.size)
        frame.loc[rows, name] = frame[name].to_numpy()[rng.permutation(rows)]
    return dataclasses.replace(cohort, frame=frame)


def test_defect_01_behaviour_model_learns_decisions_not_outcomes() -> None:
    behaviour = structural_behaviour()
    for decision, baseline in zip(DECISIONS, PUBLISHED_AUC, strict=True):
        quality = behaviour.habit(decision).quality
        assert quality.auc is not None
        assert quality.auc >= baseline
        assert quality.ece is not None
        assert quality.ece < 0.04
    with one_thread():
        shuffled = fit_behaviour(with_shuffled_outcomes(structural()))
    np.testing.assert_array_equal(shuffled.held_out, behaviour.held_out)
    for decision in DECISIONS:
        np.testing.assert_array_equal(shuffled.habit(decision).coefficients, behaviour.habit(decision).coefficients)


@pytest.mark.parametrize("decision", DECISIONS)
def test_defect_01_nothing_from_the_decision_on_is_read(decision: str) -> None:
    cohort = structural()
    earlier = {column.name for column in SPEC.available_before(SPEC.column(decision).available_from)}
    needed = {
        decision,
        SPEC.follow_up,
        "locoregional_failure",
    }  # who lived to it, and in whom a failure brought it about
    kept = [name for name in cohort.frame if name in earlier | needed]
    with one_thread():
        alone = fit_behaviour(dataclasses.replace(cohort, frame=cohort.frame[kept]))
    np.testing.assert_array_equal(alone.out_of_fold(decision), structural_behaviour().out_of_fold(decision))
    later = cohort.frame.copy()
    for name in later.columns:
        if name not in earlier:
            later[name] = later[name].to_numpy()[::-1]
    given = structural_behaviour().probability(cohort.frame, decision)
    np.testing.assert_array_equal(structural_behaviour().probability(later, decision), given)


def test_defect_07_propensity_of_each_decision_is_its_own() -> None:
    cohort, chance = own_reasons(1500, seed=3)
    behaviour = fit_behaviour(cohort)
    found = np.column_stack([behaviour.probability(cohort.frame, decision) for decision in DECISIONS])
    alike = np.corrcoef(found.T, chance.T)[:3, 3:]
    assert (np.diag(alike) > 0.97).all()
    assert (np.abs(alike[~np.eye(3, dtype=bool)]) < 0.2).all()
    older = cohort.frame.assign(age_years=cohort.frame["age_years"] + 15.0)
    moved = [np.mean(behaviour.probability(older, d) - behaviour.probability(cohort.frame, d)) for d in DECISIONS]
    assert moved[0] > 0.2
    assert np.abs(moved[1:]).max() < 0.05


def test_probabilities_are_calibrated_in_patients_whom_nobody_taught() -> None:
    """What physicians planned, not what a registry holds, is the truth: a dissection after a failure was no plan."""
    made = generate(LEARNT + OTHERS, seed=0)
    happened, asked = made.happened, made.cohort.frame.iloc[LEARNT:].reset_index(drop=True)
    planned = np.column_stack([happened.induction, happened.agent > 0, happened.planned_dissection])[LEARNT:]
    pd.testing.assert_frame_equal(made.cohort.frame.iloc[:LEARNT], structural().frame)
    for k, (decision, least) in enumerate(zip(DECISIONS, (0.80, 0.80, 0.66), strict=True)):
        lived = asked[decision].notna().to_numpy()
        yes, probability = planned[lived, k], structural_behaviour().probability(asked, decision)[lived]
        assert expected_error(yes, probability) <= 0.03
        assert ranking(yes, probability) >= least
        assert probability.mean() == pytest.approx(yes.mean(), abs=0.02)


def test_habits_that_are_rules_are_calibrated_too() -> None:
    """In the other world a rule with exceptions decides on induction, which main effects alone get wrong."""
    made = other_world(LEARNT + OTHERS, seed=5)
    behaviour = fit_behaviour(dataclasses.replace(made.cohort, frame=made.cohort.frame.iloc[:LEARNT]))
    asked = made.cohort.frame.iloc[LEARNT:].reset_index(drop=True)
    lives = made.lives
    planned = np.column_stack([lives.induction, lives.concurrent, lives.dissection])[LEARNT:]
    for k, decision in enumerate(DECISIONS):
        lived = asked[decision].notna().to_numpy()
        assert expected_error(planned[lived, k], behaviour.probability(asked, decision)[lived]) <= 0.03
    habit = behaviour.habit("induction_chemo")
    straight = dataclasses.replace(habit, bend=Bend.none())
    inputs = habit.inputs(behaviour.known(asked, "induction_chemo"))
    assert expected_error(planned[:, 0], habit.chance(inputs)) < 0.7 * expected_error(
        planned[:, 0], straight.chance(inputs)
    )
    assert (np.diff(habit.bend.slopes) != 0).any()


def test_leaving_a_patient_out_is_what_refits_without_the_patient_say() -> None:
    rng = np.random.default_rng(6)
    inputs = rng.normal(size=(150, 8)) * 0.7
    yes = (rng.random(150) < expit(inputs @ rng.normal(size=8) - 0.5)).astype(float)
    precision = np.full(8, 0.6**-2.0)
    problem = LogisticProblem(inputs, yes, np.zeros(150), np.empty((150, 0)))
    found = _left_out(problem, problem.mode(precision, None))
    fitted = fit_ridge_logistic(inputs, yes, np.ones(150), precision)
    exact = []
    for row in range(150):
        others = np.arange(150) != row
        refitted = fit_ridge_logistic(inputs[others], yes[others], np.ones(149), precision)
        exact.append(refitted[0] + inputs[row] @ refitted[1:])
    moved = np.array(exact) - (fitted[0] + inputs @ fitted[1:])
    assert np.abs(found - exact).max() < 0.15 * np.abs(moved).max()
    assert np.corrcoef(found, exact)[0, 1] > 0.999


def test_a_bend_is_the_curve_through_its_points() -> None:
    bend = Bend(shift=0.5, knots=np.array([-1.0, 2.0]), slopes=np.array([0.5, 2.0, 1.0]))
    at = np.array([-3.0, -1.0, 0.0, 2.0, 5.0])
    np.testing.assert_allclose(bend.calibrated(at), [-1.0, 0.0, 2.0, 6.0, 9.0])
    np.testing.assert_array_equal(Bend.none().calibrated(at), at)


def test_nobody_is_less_likely_for_more_reason() -> None:
    """No decision depends on anything here: whatever the curve learns is chance, and it never falls."""
    cohort, _ = own_reasons(200, seed=11)
    rng = np.random.default_rng(2)
    for _ in range(5):
        frame = cohort.frame.assign(**{decision: rng.permutation(cohort.frame[decision]) for decision in DECISIONS})
        for habit in fit_behaviour(dataclasses.replace(cohort, frame=frame)).habits:
            assert (habit.bend.slopes >= 0).all()
            assert (np.diff(habit.bend.knots) > 0).all()


def test_a_habit_without_reasons_is_the_share() -> None:
    cohort, _ = own_reasons(300, seed=7)
    frame = cohort.frame.assign(age_years=60.0, pack_years=0.0, ecog=1.0)
    rng = np.random.default_rng(1)
    frame["induction_chemo"] = (rng.random(300) < 0.3).astype(float)
    behaviour = fit_behaviour(dataclasses.replace(cohort, frame=frame))
    found = behaviour.probability(frame, "induction_chemo")
    np.testing.assert_allclose(found, frame["induction_chemo"].mean(), atol=0.01)


def test_defect_08_caliper_and_spread_share_one_scale() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(-1.0, 1.5, 400)
    propensity = expit(logits)
    assert caliper(propensity) == pytest.approx(0.2 * logits.std(ddof=1))
    shifted = expit(logits + 0.99 * caliper(propensity))
    assert (distance(propensity, shifted) < caliper(propensity)).all()
    assert (distance(propensity, expit(logits + 1.01 * caliper(propensity))) > caliper(propensity)).all()
    # 0.002 and 0.01 are 0.008 apart in probability and far apart in odds; 0.48 and 0.52 the other way round.
    assert distance(np.array([0.002]), np.array([0.01]))[0] > caliper(propensity)
    assert distance(np.array([0.48]), np.array([0.52]))[0] < caliper(propensity)
    assert np.isfinite(distance(np.array([0.0, 1.0]), np.array([1.0, 0.0]))).all()


def test_probabilities_are_the_true_ones() -> None:
    cohort, chance = own_reasons(6000, seed=8)
    behaviour = fit_behaviour(cohort)
    assert np.abs(behaviour.held_out - chance).mean() < 0.02
    middle = (chance > 0.05) & (chance < 0.95)
    slope = np.polyfit(logit(chance[middle]), logit(behaviour.held_out[middle]), 1)[0]
    assert slope == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("position", range(3))
def test_a_patient_does_not_teach_their_own_propensity(position: int) -> None:
    cohort, _ = own_reasons(300, seed=5)
    before = fit_behaviour(cohort)
    frame = cohort.frame.copy()
    frame.loc[7, DECISIONS[position]] = 1.0 - frame.loc[7, DECISIONS[position]]
    after = fit_behaviour(dataclasses.replace(cohort, frame=frame))
    assert after.held_out[7, position] == before.held_out[7, position]
    others = cross_folds(300, 0) != cross_folds(300, 0)[7]
    assert (after.held_out[others, position] != before.held_out[others, position]).all()


def test_a_decision_that_a_failure_brought_about_teaches_nothing() -> None:
    cohort, chance = own_reasons(900, seed=2)
    failed = np.random.default_rng(0).random(900) < 0.3
    frame = cohort.frame.assign(locoregional_failure=failed.astype(float), lrf_months=12.0)
    frame.loc[failed, "neck_dissection"] = 1.0
    behaviour = fit_behaviour(dataclasses.replace(cohort, frame=frame))
    assert behaviour.habit("neck_dissection").quality.patients == (~failed).sum()
    assert behaviour.habit("concurrent_chemo").quality.patients == 900
    assert behaviour.out_of_fold("neck_dissection").mean() == pytest.approx(chance[:, 2].mean(), abs=0.04)


def test_who_did_not_live_to_a_decision_does_not_teach_it() -> None:
    cohort, _ = own_reasons(600, seed=6)
    early = np.arange(600) < 200
    frame = cohort.frame.copy()
    frame.loc[early, ["os_months", "neck_dissection"]] = [4.0, 0.0]
    behaviour = fit_behaviour(dataclasses.replace(cohort, frame=frame))
    assert behaviour.habit("neck_dissection").quality.patients == 400
    assert behaviour.habit("induction_chemo").quality.patients == 600
    frame.loc[early, "neck_dissection"] = np.nan
    again = fit_behaviour(dataclasses.replace(cohort, frame=frame))
    np.testing.assert_array_equal(again.held_out, behaviour.held_out)


def test_only_decisions_that_vary_in_enough_patients_have_a_habit() -> None:
    cohort, _ = own_reasons(300, seed=1)
    frame = cohort.frame.assign(induction_chemo=0.0)
    frame["neck_dissection"] = (np.arange(300) < 9).astype(float)
    behaviour = fit_behaviour(dataclasses.replace(cohort, frame=frame))
    assert behaviour.decisions == ("concurrent_chemo",)
    with pytest.raises(NotFound, match=r"unknown decision 'induction_chemo' \(available: concurrent_chemo\)"):
        behaviour.probability(frame, "induction_chemo")


def test_earlier_decisions_states_and_single_flags_are_read() -> None:
    rng = np.random.default_rng(4)
    induction = rng.integers(0, 2, 1200).astype(float)
    response = np.where(induction == 1, rng.choice(["CR", "SD"], 1200), None)
    level = (rng.random(1200) < 0.2).astype(float)
    chance = expit(-1.0 + 2.0 * (response == "SD") + 1.5 * level)
    concurrent = (rng.random(1200) < chance).astype(float)
    cohort = made(
        {
            "ln_ipsi_4": level,
            "ln_ipsi_2a": rng.integers(0, 2, 1200).astype(float),
            "induction_chemo": induction,
            "ic_response_primary": response,
            "concurrent_chemo": concurrent,
            "os_months": np.full(1200, 30.0),
        }
    )
    found = fit_behaviour(cohort).probability(cohort.frame, "concurrent_chemo")
    assert np.abs(found - chance).max() < 0.1


def test_a_patient_of_whom_little_is_known_has_a_probability() -> None:
    cohort, chance = own_reasons(900, seed=9)
    behaviour = fit_behaviour(cohort)
    stranger = typed_frame(pd.DataFrame({"patient_id": ["S-1"], "sex": ["male"]}), SPEC)
    for k, decision in enumerate(DECISIONS):
        assert behaviour.probability(stranger, decision)[0] == pytest.approx(chance[:, k].mean(), abs=0.06)


def test_folds_are_even_and_depend_on_the_seed_alone() -> None:
    assert set(np.bincount(cross_folds(1003, 4))) == {1003 // FOLDS, 1003 // FOLDS + 1}
    np.testing.assert_array_equal(cross_folds(50, 1), cross_folds(50, 1))
    assert (cross_folds(50, 1) != cross_folds(50, 2)).any()


def test_a_behaviour_is_plain_data() -> None:
    behaviour = structural_behaviour()
    adapter = TypeAdapter(Behaviour)
    again = adapter.validate_python(adapter.dump_python(behaviour))
    for decision in DECISIONS:
        given = behaviour.probability(structural().frame, decision)
        np.testing.assert_array_equal(again.probability(structural().frame, decision), given)
        assert again.habit(decision).quality == behaviour.habit(decision).quality
