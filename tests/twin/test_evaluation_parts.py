"""What an evaluation is made of: plans that were given, folds, targets, reference models, groups."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import exponential_cohort, structural_cohort
from lifelines import CoxPHFitter
from sklearn.metrics import roc_auc_score

from data.cohort import Cohort, typed_frame
from data.errors import Refused
from twin.capability import MIN_EVENTS
from twin.evaluation.held_out import assign_folds, split
from twin.evaluation.plans_given import complete_plans, plan_texts
from twin.evaluation.references import Average, RidgeCox, RidgeLogistic, reference_inputs
from twin.evaluation.scores import Sample
from twin.evaluation.subgroups import SMALLEST_GROUP, subgroups
from twin.evaluation.targets import MIN_FOLLOWED, Target, target
from twin.metrics.accuracy import integrated_brier
from twin.metrics.censoring import aalen_johansen, kaplan_meier
from twin.metrics.discrimination import harrell_c
from twin.metrics.intervals import resample_counts
from twin.metrics.observed import EVENT, Observed

HORIZONS = (12.0, 24.0, 36.0, 48.0, 60.0)


def death_of(cohort: Cohort) -> Target:
    found = target(cohort, cohort.spec.outcome("death"), HORIZONS)
    assert isinstance(found, Target)
    return found


def with_decisions(spec, plans: list[str]) -> Cohort:
    """Patients with these plans; a dash is a decision that is not recorded."""
    digits = [[np.nan if digit == "-" else float(digit) for digit in plan] for plan in plans]
    frame = pd.DataFrame(digits, columns=[decision.column for decision in spec.decisions])
    return Cohort(spec, typed_frame(frame.assign(patient_id=[f"p{k}" for k in range(len(plans))]), spec))


# The plan that was given


def test_a_missing_decision_is_what_was_usual_after_the_same_decisions(spec):
    training = with_decisions(spec, ["010", "010", "000", "100", "100", "111"])
    patients = with_decisions(spec, ["0--", "1--", "--1", "111"])
    completed = complete_plans(training, patients, {})
    # After no induction two of three had chemoradiation; after induction one of three; a tie would be "no".
    assert plan_texts(completed) == ["010", "100", "011", "111"]


def test_without_precedent_the_overall_habit_counts(spec):
    training = with_decisions(spec, ["010", "010", "011"])
    assert plan_texts(complete_plans(training, with_decisions(spec, ["1--"]), {})) == ["110"]


def test_held_decisions_stay_held(spec):
    training = with_decisions(spec, ["-1-", "-0-", "-1-"])
    held = {"induction_chemo": 0, "neck_dissection": 0}
    assert plan_texts(complete_plans(training, with_decisions(spec, ["-0-", "---", "111"]), held)) == [
        "000",
        "010",
        "010",
    ]


# Folds and targets


def test_folds_hold_out_everybody_once_with_equal_shares_of_events():
    cohort = exponential_cohort(203, 0)
    death = death_of(cohort)
    folds = assign_folds(death, cohort.size, 5, seed=1)
    events = np.bincount(folds, death.observed.event == EVENT)
    assert np.ptp(events) <= 1
    assert np.ptp(np.bincount(folds)) <= 2
    held_out = pd.concat([part.held_out.frame["patient_id"] for part in split(cohort, folds)])
    assert sorted(held_out) == sorted(cohort.frame["patient_id"])
    for part in split(cohort, folds):
        assert not set(part.training.frame["patient_id"]) & set(part.held_out.frame["patient_id"])
    assert (assign_folds(death, cohort.size, 5, seed=1) == folds).all()
    assert (assign_folds(death, cohort.size, 5, seed=2) != folds).any()


def test_fewer_events_than_folds_are_refused():
    cohort = exponential_cohort(60, 0)
    death = death_of(cohort)
    rare = replace(death, observed=Observed(death.observed.time, (np.arange(60) < 3).astype(int)))
    with pytest.raises(Refused, match="3 events of death in 60 patients cannot be spread over 5 folds"):
        assign_folds(rare, cohort.size, 5, seed=0)


def test_horizons_end_where_too_few_are_followed():
    cohort = exponential_cohort(300, 1)
    months = cohort.frame["os_months"].clip(upper=40.0)
    short = replace(cohort, frame=cohort.frame.assign(os_months=months))
    found = death_of(short)
    assert found.horizons == (12.0, 24.0, 36.0)
    assert found.months[-1] == 36.0
    assert (found.observed.time >= 36.0).sum() >= MIN_FOLLOWED
    shorter = replace(cohort, frame=cohort.frame.assign(os_months=months.clip(upper=8.0)))
    reason = target(shorter, cohort.spec.outcome("death"), HORIZONS)
    assert reason == f"fewer than {MIN_FOLLOWED} patients are followed to the first horizon, month 12"


def test_a_yes_or_no_outcome_is_known_to_those_in_whom_it_is_recorded():
    cohort = structural_cohort()
    found = target(cohort, cohort.spec.outcome("feeding_tube_6m"), HORIZONS)
    recorded = cohort.frame["feeding_tube_6m"].dropna()
    assert found.rows.tolist() == recorded.index.tolist()
    assert found.observed.event_by(6.0).tolist() == (recorded == 1).tolist()
    assert found.horizons == (6.0,)


# Reference models


def two_causes(n: int, seed: int = 0) -> tuple[pd.DataFrame, Observed, np.ndarray]:
    """A covariate that doubles one hazard and halves the other, and the event rate of each patient."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    first, second = 0.02 * 2.0**score, 0.015 * 0.5**score
    time, end = rng.exponential(1 / (first + second)), rng.uniform(20, 100, n)
    cause = np.where(rng.random(n) < first / (first + second), 1, 2)
    observed = Observed(np.minimum(time, end), np.where(time <= end, cause, 0))
    incidence = first / (first + second) * -np.expm1(-(first + second) * 24.0)
    return pd.DataFrame({"score": score}), observed, incidence


def test_ridge_cox_without_rivals_is_the_curve_of_lifelines():
    inputs, observed, _ = two_causes(300)
    alone = Observed(observed.time, np.where(observed.event == EVENT, EVENT, 0))
    model = RidgeCox.fit(inputs, alone)
    matrix = pd.DataFrame(model.encoder.transform(inputs))
    # Between the times at which it steps, lifelines draws a straight line.
    months = np.sort(alone.time)[[20, 100, 200]]
    theirs = model.event.predict_survival_function(matrix, times=months).to_numpy().T
    np.testing.assert_allclose(model.risks(inputs, months), 1.0 - theirs, atol=1e-10)


def test_ridge_cox_recovers_the_incidence_of_two_proportional_hazards():
    inputs, observed, incidence = two_causes(4000)
    risk = RidgeCox.fit(inputs, observed).risks(inputs, np.array([24.0]))[:, 0]
    assert np.abs(risk - incidence).max() < 0.08
    assert np.abs(risk - incidence).mean() < 0.02


def test_ridge_cox_averages_to_aalen_johansen_where_nothing_is_known():
    _, observed, _ = two_causes(1000)
    nothing = pd.DataFrame({"noise": np.random.default_rng(1).normal(size=1000)})
    months = np.array([12.0, 36.0, 60.0])
    risk = RidgeCox.fit(nothing, observed).risks(nothing, months).mean(axis=0)
    np.testing.assert_allclose(risk, aalen_johansen(observed).at(months)[0], atol=0.01)


def test_the_penalty_is_a_normal_prior_whatever_the_number_of_patients():
    """Twice every patient is twice the information against the same prior: estimates move towards the unpenalised."""
    inputs, observed, _ = two_causes(150)
    alone = Observed(observed.time, np.where(observed.event == EVENT, EVENT, 0))
    twice = Observed(np.tile(alone.time, 8), np.tile(alone.event, 8))
    table = inputs.assign(time=alone.time, event=alone.event)
    scale = inputs["score"].std(ddof=0)
    free = CoxPHFitter().fit(table, "time", "event").params_["score"] * scale
    small = RidgeCox.fit(inputs, alone).event.params_.iloc[0]
    large = RidgeCox.fit(pd.concat([inputs] * 8, ignore_index=True), twice).event.params_.iloc[0]
    assert small < large < free


def test_reference_models_bear_levels_and_gaps_they_never_saw():
    rng = np.random.default_rng(0)
    inputs = pd.DataFrame(
        {
            "age": rng.normal(60, 9, 200),
            "stage": pd.Categorical(rng.choice(["T1", "T2"], 200), categories=["T1", "T2", "T4"]),
            "never": np.full(200, np.nan),
        }
    )
    observed = Observed(rng.exponential(30, 200), rng.integers(0, 3, 200))
    strange = pd.DataFrame(
        {
            "age": [np.nan, 70.0],
            "stage": pd.Categorical(["T4", None], categories=["T1", "T2", "T4"]),
            "never": [1.0, 2.0],
        }
    )
    months = np.array([12.0, 24.0])
    for model in (
        RidgeCox.fit(inputs, observed),
        RidgeLogistic.fit(inputs, (observed.event == 1).astype(float)),
        Average.of_times(observed),
        Average.of_share(0.3),
    ):
        risk = model.risks(strange, months)
        assert risk.shape == (2, 2)
        assert ((risk >= 0) & (risk <= 1)).all()


def test_average_is_aalen_johansen_for_everybody():
    inputs, observed, _ = two_causes(100)
    months = np.array([12.0, 24.0])
    expected = aalen_johansen(observed).at(months)[0]
    np.testing.assert_array_equal(Average.of_times(observed).risks(inputs, months), np.tile(expected, (100, 1)))
    np.testing.assert_array_equal(Average.of_share(0.25).risks(inputs.head(2), months), np.full((2, 2), 0.25))


def test_reference_inputs_are_what_is_known_at_first_and_the_plan():
    cohort = structural_cohort()
    spec = cohort.spec
    plans = complete_plans(cohort, cohort, {})
    inputs = reference_inputs(cohort.frame, spec, plans)
    first = spec.rank(spec.decisions[0].moment)
    decisions = {decision.column for decision in spec.decisions}
    sums = {feature.name for feature in spec.features}
    assert decisions <= set(inputs)
    for name in set(inputs) - decisions - sums:
        assert spec.rank(spec.column(name).available_from) < first
    assert not inputs[list(decisions)].isna().any().any()
    counted = cohort.frame[list(spec.features[0].members)].sum(axis=1)
    np.testing.assert_array_equal(inputs[spec.features[0].name], counted)


# Groups


def audited(cohort: Cohort, **columns: object) -> dict[tuple[str, str], object]:
    changed = replace(cohort, frame=cohort.frame.assign(**columns))
    death = death_of(changed)
    sample = Sample(resample_counts(changed.size, 50, 0), np.arange(changed.size) % 5)
    found = subgroups(changed, death, risks_of(changed, death), sample)
    return {(group.column, group.group): group for group in found}


def risks_of(cohort: Cohort, death: Target) -> dict[str, np.ndarray]:
    """Risks that rise with the row, the same of a ridge regression the other way round, and one for everybody."""
    rising = np.linspace(0.2, 0.6, cohort.size)[:, None] * death.months / death.months[-1]
    return {"twin": rising, "kaplan_meier": np.full_like(rising, 0.4), "ridge_cox": rising[::-1]}


def test_small_groups_say_their_number_and_nothing_else():
    cohort = exponential_cohort(200, 2, death_rate=0.03)
    sites = ["north"] * (SMALLEST_GROUP - 1) + ["south"] * (200 - SMALLEST_GROUP + 1)
    groups = audited(cohort, site_id=pd.Series(sites, dtype=object))
    small, large = groups["site_id", "north"], groups["site_id", "south"]
    assert small.suppressed
    assert small.patients == SMALLEST_GROUP - 1
    assert (small.events, small.predicted, small.observed, small.observed_less_predicted) == (None,) * 4
    assert small.models == {}
    assert not large.suppressed
    assert large.observed_less_predicted.value == pytest.approx(large.observed - large.predicted)


def test_a_threshold_makes_two_groups_and_gaps_a_third():
    cohort = exponential_cohort(200, 2, death_rate=0.03)
    age = cohort.frame["age_years"].where(np.arange(200) >= 25)
    groups = audited(cohort, age_years=age)
    sizes = {name: group.patients for (column, name), group in groups.items() if column == "age_years"}
    assert sizes == {
        "above 70 years": int((age > 70).sum()),
        "70 years or below": int((age <= 70).sum()),
        "not recorded": 25,
    }


def test_a_group_is_compared_with_its_own_kaplan_meier():
    cohort = exponential_cohort(300, 3, death_rate=0.03)
    women = (cohort.frame["sex"] == "female").to_numpy()
    group = audited(cohort)["sex", "female"]
    seen = Observed(cohort.frame["os_months"].to_numpy()[women], cohort.frame["death"].to_numpy(dtype=int)[women])
    last = death_of(cohort).horizons[-1]
    assert group.observed == pytest.approx(1.0 - kaplan_meier(seen).at(np.array([last]))[0, 0])
    assert group.events == seen.events >= MIN_EVENTS


def test_a_group_has_the_scores_of_every_model_in_its_own_patients_alone():
    cohort = exponential_cohort(300, 3, death_rate=0.03)
    women = (cohort.frame["sex"] == "female").to_numpy()
    death = death_of(cohort)
    group = audited(cohort)["sex", "female"]
    assert list(group.models) == ["twin", "kaplan_meier", "ridge_cox"]
    seen, folds = death.observed.take(women), (np.arange(300) % 5)[women]
    for model, risks in risks_of(cohort, death).items():
        found, own = group.models[model], risks[women]
        assert set(found) == {"harrell_c", "integrated_brier", "observed_over_predicted"}
        for metric in found.values():
            assert metric.lower <= metric.value <= metric.upper
        assert found["harrell_c"].value == pytest.approx(harrell_c(seen, own[:, -1], strata=folds)[0])
        assert found["integrated_brier"].value == pytest.approx(integrated_brier(seen, own, death.months)[0])
        assert found["observed_over_predicted"].value == pytest.approx(group.observed / own[:, -1].mean())
    assert group.models["kaplan_meier"]["harrell_c"].value == 0.5
    assert group.models["twin"]["harrell_c"].value == pytest.approx(1.0 - group.models["ridge_cox"]["harrell_c"].value)


def test_groups_of_a_yes_or_no_outcome_are_scored_by_auc_and_brier():
    cohort = structural_cohort()
    tube = target(cohort, cohort.spec.outcome("feeding_tube_6m"), HORIZONS)
    risk = np.random.default_rng(0).uniform(0.1, 0.9, (len(tube.rows), 1))
    sample = Sample(resample_counts(len(tube.rows), 50, 0), np.zeros(len(tube.rows), dtype=int))
    found = {(one.column, one.group): one for one in subgroups(cohort, tube, {"twin": risk}, sample)}
    men = (cohort.frame["sex"].iloc[tube.rows] == "male").to_numpy()
    positive, stated = tube.observed.event[men] == EVENT, risk[men, 0]
    scores = found["sex", "male"].models["twin"]
    assert set(scores) == {"auc", "brier", "observed_over_predicted"}
    assert scores["auc"].value == pytest.approx(roc_auc_score(positive, stated))
    assert scores["brier"].value == pytest.approx(np.mean((positive - stated) ** 2))
    assert scores["observed_over_predicted"].value == pytest.approx(positive.mean() / stated.mean())


def test_groups_with_few_events_have_no_ranks_and_are_still_held_against_what_was_seen():
    cohort = exponential_cohort(200, 2, death_rate=0.03)
    sites = pd.Series(["north"] * 30 + ["south"] * 170, dtype=object)
    died = cohort.frame["death"].where(np.arange(200) >= MIN_EVENTS - 1, 1.0)
    died = died.where((np.arange(200) < MIN_EVENTS - 1) | (np.arange(200) >= 30), 0.0)
    few = audited(cohort, site_id=sites, death=died)["site_id", "north"]
    assert few.events == MIN_EVENTS - 1
    for scores in few.models.values():
        assert set(scores) == {"integrated_brier", "observed_over_predicted"}


def test_groups_that_are_not_recorded_are_left_out():
    assert {column for column, _ in audited(exponential_cohort(200, 2))} == {"sex", "age_years"}
