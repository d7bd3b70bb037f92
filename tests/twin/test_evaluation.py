"""An evaluation as a whole: against closed-form truth, against leaks, and as the document others read."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import orjson
import pytest
from fixtures.cohorts import (
    QUICK,
    at_baseline,
    exponential_cohort,
    structural_cohort,
    structural_twin,
    with_lost_events,
)

from data.errors import Refused
from data.synthetic import generate
from twin.evaluation.evaluate import Evaluation, EvaluationSettings, as_fitted, evaluate
from twin.evaluation.held_out import assign_folds, held_out, questions, split
from twin.evaluation.plans_given import complete_plans, plan_texts
from twin.evaluation.scores import Metric, Sample, draws, scores
from twin.evaluation.targets import target
from twin.evaluation.text import METRICS, MODELS, as_text
from twin.fitting import fit_twin
from twin.metrics.calibration import d_calibration
from twin.metrics.discrimination import harrell_c
from twin.metrics.intervals import resample_counts
from twin.metrics.observed import Observed, each_once

HORIZONS = (12.0, 24.0, 36.0, 48.0, 60.0)
AGE_EFFECT = 0.9


@cache
def small_cohort():
    """Few enough to be evaluated in seconds, with every column that the dictionary has."""
    return generate(250, seed=3).cohort


@cache
def structural_evaluation() -> Evaluation:
    return evaluate(small_cohort(), EvaluationSettings(folds=2, resamples=30, fit=QUICK, landmarks=False))


def by_name(evaluation: Evaluation):
    return {one.outcome: one for one in evaluation.outcomes}


def true_risks(cohort, months):
    """(n, months) of `exponential_cohort` without an effect of dissection."""
    rate = 0.02 * np.exp(AGE_EFFECT * (cohort.frame["age_years"].to_numpy() - 60.0) / 10.0)
    return -np.expm1(-rate[:, None] * months[None, :])


def simulated(patients=600, seed=5):
    return exponential_cohort(patients, seed, death_rate=0.02, log_hazard_ratio_age=AGE_EFFECT)


# What cannot be fitted


def test_an_outcome_that_cannot_be_fitted_is_named_and_the_others_are_evaluated():
    cohort = with_lost_events()
    twin = fit_twin(cohort, QUICK)
    assert twin.outcomes == twin.capability.outcomes == ("death",)
    with pytest.raises(Refused, match=r"locoregional_failure: 8 events in this cohort \(without 6 events"):
        twin.predict_draws(at_baseline(cohort).head(2), ["000"], [12.0], ["locoregional_failure"])
    found = evaluate(cohort, EvaluationSettings(folds=2, resamples=30, fit=QUICK, landmarks=False))
    assert set(by_name(found)) == {"death"}
    omitted = {one.what: one.reason for one in found.not_evaluated}
    for name in ("locoregional_failure", "feeding_tube_6m"):
        assert "without 6 events of patients with a decision that is not recorded" in omitted[name]


# Truth


def test_true_risks_score_as_true():
    """Calibration is ideal up to some three standard errors (0.05), and no other risk has a lower Brier score."""
    cohort = simulated(3000)
    death = target(cohort, cohort.spec.outcome("death"), HORIZONS)
    sample = Sample(resample_counts(3000, 10, 0), np.arange(3000) % 5)
    truth = true_risks(cohort, death.months)
    of_truth = draws(death, truth, sample)
    found = scores(of_truth)
    for month in ("12", "24", "36", "48", "60"):
        assert found["calibration_slope"][month].value == pytest.approx(1.0, abs=0.16)
        assert found["calibration_intercept"][month].value == pytest.approx(0.0, abs=0.16)
        assert found["largest_calibration_gap"][month].value < 0.06
    assert found["d_calibration_p"].value > 0.05
    for wrong in (truth**1.3, truth**0.7, 0.5 * truth + 0.5 * truth.mean(axis=0)):
        assert draws(death, wrong, sample)[Metric("integrated_brier")][0] > of_truth[Metric("integrated_brier")][0]


def test_held_out_risks_come_close_to_the_truth_and_beat_kaplan_meier():
    cohort = simulated()
    death = by_name(evaluate(cohort, EvaluationSettings(resamples=50, fit=QUICK)))["death"]
    seen = target(cohort, cohort.spec.outcome("death"), HORIZONS)
    attainable = harrell_c(seen.observed, true_risks(cohort, np.array([60.0]))[:, 0])[0]
    twin = death.models["twin"]
    assert twin["harrell_c"].value == pytest.approx(attainable, abs=0.02)
    assert twin["calibration_slope"]["36"].lower < 1.0 < twin["calibration_slope"]["36"].upper
    assert death.differences["kaplan_meier"]["integrated_brier"].upper < 0.0
    assert death.models["kaplan_meier"]["harrell_c"].value == pytest.approx(0.5)
    assert death.models["kaplan_meier"]["integrated_brier_skill"].value == 0.0
    assert [group.patients for group in death.calibration] == [120] * 5


def test_horizon_scores_of_the_integral_and_of_the_month_agree():
    """The Brier score of a month is read off the curve that is integrated."""
    death = by_name(structural_evaluation())["death"].models["twin"]
    months = [0.0, *map(float, death["brier"])]
    coarse = np.trapezoid([0.0, *(value.value for value in death["brier"].values())], months) / months[-1]
    assert death["integrated_brier"].value == pytest.approx(coarse, abs=0.01)


def test_d_calibration_reads_curves_between_their_months_and_ends_at_the_last_horizon():
    """Risks that rise in a straight line are known at every time, also where the grid is coarse."""
    cohort = simulated(300)
    death = replace(target(cohort, cohort.spec.outcome("death"), (60.0,)), months=np.array([0.0, 30.0, 60.0]))
    rise = np.linspace(0.004, 0.016, 300)
    found = draws(death, rise[:, None] * death.months, Sample(each_once(300), np.zeros(300, int)))
    time, event = death.observed.time, death.observed.event
    until = Observed(np.minimum(time, 60.0), np.where(time <= 60.0, event, 0))
    expected = d_calibration(until, 1.0 - rise * until.time)
    assert 0.0 < expected[0] < 0.99
    np.testing.assert_allclose(found[Metric("d_calibration_p")], expected)


# Leaks


def test_what_happens_to_the_held_out_does_not_reach_their_risks():
    """All that is known after the plan is shuffled among them; the plan itself is what a risk is asked for."""
    cohort = simulated(250)
    death = target(cohort, cohort.spec.outcome("death"), HORIZONS)
    part = split(cohort, assign_folds(death, cohort.size, 5, seed=0))[0]
    decisions = {decision.column for decision in cohort.spec.decisions}
    later = [
        name
        for name in part.held_out.frame
        if cohort.spec.rank(cohort.spec.column(name).available_from) > 0 and name not in decisions
    ]
    order = np.random.default_rng(0).permutation(part.held_out.size)
    shuffled = part.held_out.frame.copy()
    shuffled[later] = shuffled[later].iloc[order].to_numpy()
    assert not shuffled.equals(part.held_out.frame)
    blind = replace(part, held_out=replace(part.held_out, frame=shuffled))
    (seen,), (unseen,) = (held_out([one], [death], QUICK, lambda done: None) for one in (part, blind))
    rows = part.rows[death.rows]
    assert (seen.known == rows).all()
    for model in ("twin", "ridge_cox", "kaplan_meier"):
        np.testing.assert_array_equal(seen.risks[model][rows], unseen.risks[model][rows])
    np.testing.assert_array_equal(seen.draws[:, rows], unseen.draws[:, rows])


def test_the_plan_of_the_held_out_is_filled_in_from_the_training_part_alone():
    cohort = structural_cohort()
    death = target(cohort, cohort.spec.outcome("death"), HORIZONS)
    part = split(cohort, assign_folds(death, cohort.size, 5, seed=0))[0]
    plans = complete_plans(part.training, part.held_out, {})
    alone = [
        complete_plans(part.training, replace(part.held_out, frame=part.held_out.frame.iloc[[row]]), {})[0]
        for row in range(part.held_out.size)
    ]
    np.testing.assert_array_equal(plans, alone)


def test_risks_are_those_the_twin_predicts_for_each_patient_under_the_own_plan():
    cohort, twin = structural_cohort(), structural_twin()
    some = replace(cohort, frame=cohort.frame.head(40))
    plans = plan_texts(complete_plans(cohort, some, {}))
    death = replace(target(some, cohort.spec.outcome("death"), HORIZONS), months=np.array([12.0, 60.0]))
    death = replace(death, horizons=(60.0,))
    table = twin.predict(at_baseline(some), "all", [12.0, 60.0])
    expected = table[table["outcome"] == "death"].pivot_table("risk", ["patient_id", "plan"], "month")
    own = expected.loc[list(zip(some.frame["patient_id"], plans, strict=True))].to_numpy()
    (said,) = questions(twin, some, plans, [death], np.ones(40, dtype=bool))
    risks, draws = said.of(death, death.rows)
    np.testing.assert_allclose(risks, own, atol=1e-12)
    np.testing.assert_array_equal(draws[0, :, 0], risks[:, 1])
    assert draws.shape == (1 + twin.origin.draws, 40, 1)


def test_the_twin_that_is_scored_is_the_one_that_its_training_part_would_be_given():
    """To the last bit, although states are not modelled where nothing is asked later."""
    cohort = small_cohort()
    death = target(cohort, cohort.spec.outcome("death"), HORIZONS)
    part = split(cohort, np.arange(cohort.size) % 4)[0]
    (found,) = held_out([part], [death], QUICK, lambda done: None)
    twin = fit_twin(part.training, QUICK)
    assert twin.states.transitions.steps
    plans = plan_texts(part.plans(part.held_out))
    (said,) = questions(twin, part.held_out, plans, [death], part.rows)
    risks, draws = said.of(death, np.arange(part.held_out.size))
    np.testing.assert_array_equal(found.risks["twin"][part.rows], risks)
    np.testing.assert_array_equal(found.draws[:, part.rows], draws)


def test_a_twin_in_which_cox_serves_is_evaluated_without_comparing_candidates():
    settings = as_fitted(structural_twin())
    assert not settings.select
    assert settings.evidence_weight == structural_twin().origin.evidence_weight


# The document


def test_document_has_what_the_contract_names():
    document = json.loads(json.dumps(structural_evaluation().as_dict(), allow_nan=False))
    assert list(document["outcomes"]) == [outcome.name for outcome in small_cohort().spec.outcomes]
    death = document["outcomes"]["death"]
    assert set(death["models"]) == {"twin", "kaplan_meier", "ridge_cox"}
    twin = death["models"]["twin"]
    assert {"harrell_c", "uno_c", "auc", "brier", "integrated_brier", "integrated_brier_skill"} <= set(twin)
    assert {"calibration_slope", "calibration_intercept", "largest_calibration_gap", "d_calibration_p"} <= set(twin)
    assert set(twin["auc"]) == set(twin["brier"]) == {f"{month:g}" for month in death["horizons"]}
    tube = document["outcomes"]["feeding_tube_6m"]["models"]
    assert set(tube) == {"twin", "share", "ridge_logistic"}
    assert {"auc", "brier", "ece", "calibration_slope"} <= set(tube["twin"])
    assert {"twin_in_random_folds"} < set(document["splits"][0]["outcomes"]["death"]["models"])
    for of_decision in document["decisions"].values():
        assert {"auc", "ece", "brier", "patients", "given"} <= set(of_decision)
        assert {"debiased_ece", "calibration_slope", "calibration_intercept"} <= set(of_decision)
    assert set(document["decisions"]) == {decision.column for decision in small_cohort().spec.decisions}
    for group in death["subgroups"]:
        assert set(group["models"]) == (set() if group["suppressed"] else set(death["models"]))
    coverage = death["coverage"]
    assert coverage["level"] == 0.9
    for share in (coverage["groups_of_risk"], coverage["audited_groups"]):
        assert 0.0 <= share["lower"] <= share["value"] <= share["upper"] <= 1.0
    assert 0.0 <= coverage["groups_of_risk"]["value"] <= 1.0
    assert all(
        group["within"] == (group["lower"] <= group["observed"] <= group["upper"]) for group in coverage["by_group"]
    )
    assert document["policy"]["valued"] == ["induction_chemo", "concurrent_chemo"]
    assert "regret of a learnt policy" in {omission["what"] for omission in document["not_evaluated"]}


def test_document_is_written_by_the_command_line_too():
    document = structural_evaluation().as_dict()
    assert orjson.loads(orjson.dumps(document)) == json.loads(json.dumps(document))


def test_every_metric_has_an_interval_around_its_value():
    for one in structural_evaluation().outcomes:
        for name, metric in one.models["twin"].items():
            for value in metric.values() if isinstance(metric, dict) else [metric]:
                assert value.lower is not None, (one.outcome, name)
                if name != "d_calibration_p":
                    assert value.lower <= value.value <= value.upper, (one.outcome, name)


def test_audited_groups_of_every_outcome_add_up():
    for one in structural_evaluation().outcomes:
        for column in ("sex", "age_years", "race_ethnicity"):
            assert sum(group.patients for group in one.subgroups if group.column == column) == one.patients


def test_the_seed_decides_everything():
    cohort = simulated(150)
    settings = EvaluationSettings(folds=2, resamples=5, fit=QUICK)
    assert evaluate(cohort, settings).as_dict() == evaluate(cohort, settings).as_dict()
    other = evaluate(cohort, replace(settings, seed=1)).outcomes[0].models["twin"]["harrell_c"]
    assert evaluate(cohort, settings).outcomes[0].models["twin"]["harrell_c"] != other


def test_progress_runs_from_nothing_to_all():
    told = []
    evaluate(simulated(200), EvaluationSettings(folds=2, resamples=5, fit=QUICK), lambda done, what: told.append(done))
    assert told[0] == 0.0
    assert told[-1] == 1.0
    assert told == sorted(told)


def test_what_cannot_be_evaluated_is_named_with_the_reason():
    found = evaluate(simulated(200), EvaluationSettings(2, resamples=5, fit=QUICK))
    omitted = {one.what: one.reason for one in found.not_evaluated}
    assert omitted["locoregional_failure"] == "not recorded in this cohort"
    assert "always 0" in omitted["induction_chemo"]
    assert omitted["split by site_id"] == "not recorded in this cohort"
    assert "left to the physicians" in omitted["policy for neck_dissection"]


def test_an_outcome_too_rare_for_the_training_parts_is_left_out():
    cohort = exponential_cohort(300, 0, death_rate=0.02)
    failed = (np.arange(300) % 25 == 0).astype(float)
    frame = cohort.frame.assign(lrf_months=cohort.frame["os_months"], locoregional_failure=failed)
    evaluation = evaluate(replace(cohort, frame=frame), EvaluationSettings(folds=3, resamples=5, fit=QUICK))
    assert set(by_name(evaluation)) == {"death"}
    omitted = {one.what: one.reason for one in evaluation.not_evaluated}
    assert omitted["locoregional_failure"] == "too few events are left for fitting when a fold is held out"


def test_a_cohort_without_any_outcome_to_evaluate_is_refused():
    cohort = exponential_cohort(40, 0, death_rate=0.001)
    with pytest.raises(Refused, match=r"no outcome of cohort 'exponential' can be evaluated .*death: "):
        evaluate(cohort)


def test_all_outcomes_are_scored_up_to_where_the_shortest_is_followed():
    """Predictions are made for all outcomes at once, as far as all of them are known."""
    cohort = exponential_cohort(300, 0, death_rate=0.02)
    seen = cohort.frame["os_months"].clip(upper=30.0)
    failed = ((np.arange(300) % 4 == 0) & (cohort.frame["os_months"] > 1.0)).astype(float)
    frame = cohort.frame.assign(lrf_months=seen.where(failed == 0, seen / 2), locoregional_failure=failed)
    found = evaluate(replace(cohort, frame=frame), EvaluationSettings(folds=2, resamples=5, fit=QUICK))
    assert [one.horizons for one in found.outcomes] == [(12.0, 24.0), (12.0, 24.0)]
    omitted = {one.what: one.reason for one in found.not_evaluated}
    assert omitted["risks beyond month 24"] == "locoregional failure is followed no farther"


# The text


def test_text_names_every_outcome_and_explains_every_metric_once():
    evaluation = structural_evaluation()
    text = as_text(evaluation)
    for one in evaluation.outcomes:
        assert f"{one.label}: {one.events} events in {one.patients} patients" in text
    for metric in (
        "harrell_c",
        "uno_c",
        "auc",
        "integrated_brier",
        "calibration_slope",
        "largest_calibration_gap",
        "ece",
    ):
        title, meaning = METRICS[metric]
        assert title in text
        assert text.count(meaning) == 1
    assert MODELS["ridge_cox"] in text
    assert "SYNTHETIC patients" in text
    assert "Not evaluated" in text
    death = by_name(evaluation)["death"].models["twin"]["harrell_c"]
    assert f"{death.value:.3f} ({death.lower:.3f} to {death.upper:.3f})" in text


def test_text_has_each_part_of_the_evaluation():
    text = as_text(structural_evaluation())
    for part in ("At a glance", "Do 90 % intervals hold what they say?", "physicians' decisions", "Set apart by"):
        assert part in text
    assert len(text.splitlines()) < 250
    assert max(len(line) for line in text.splitlines()) < 200


def test_text_sets_the_models_side_by_side_in_large_groups_and_marks_those_whose_risk_is_off():
    evaluation = structural_evaluation()
    lines = as_text(evaluation).splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith("Groups whose risk"))
    end = next(k for k, line in enumerate(lines) if k > start and line.startswith("  fewer than"))
    rows = lines[start + 3 : end]
    large = [(one, group) for one in evaluation.outcomes for group in one.subgroups if group.patients >= 50]
    assert len(rows) == len(large) > 0
    assert "twin / ridge regression / average" in lines[start + 1]
    for row, (_, group) in zip(rows, large, strict=True):
        off = group.observed_less_predicted.lower * group.observed_less_predicted.upper > 0
        assert f"{group.column}: {group.group}  " in row
        assert ("*" in row) == off, row
        average, ridge = list(group.models)[1:]
        twin, *others = (group.models[name]["observed_over_predicted"] for name in ("twin", ridge, average))
        said = " / ".join(f"{one.value:.3f}" for one in others)
        assert row.endswith(f"{twin.value:.3f} ({twin.lower:.3f} to {twin.upper:.3f}) / {said}")


def test_columns_of_the_text_are_aligned():
    lines = as_text(structural_evaluation()).splitlines()
    header = next(line for line in lines if line.split() == ["twin", "ridge", "Cox"])
    first = next(line for line in lines if line.strip().startswith("Harrell C"))
    for start in (header.index("twin"), header.index("ridge Cox")):
        assert first[start - 1] == " "
        assert first[start].isdigit()
