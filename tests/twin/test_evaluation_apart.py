"""Decisions, later landmarks, other years and centres, other cohorts: what is asked beside the random folds."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import QUICK, exponential_cohort, structural_cohort, structural_twin

from data.cohort import Cohort
from data.dictionary import load_specification
from data.errors import Refused, SpecificationError
from data.schema import Split, SplitKind
from twin.behaviour import fit_behaviour
from twin.evaluation.decisions import came_to, evaluate_decisions
from twin.evaluation.evaluate import EvaluationSettings, Kind, evaluate, targets_of
from twin.evaluation.external import validate
from twin.evaluation.held_out import held_out, questions, split
from twin.evaluation.landmarks import evaluate_landmark, landmark_plans
from twin.evaluation.plans_given import complete_plans, plan_texts
from twin.evaluation.splits import FEWEST, Plan, evaluate_split, plans
from twin.evaluation.targets import Target, later, reached, target
from twin.fitting import fit_twin
from twin.metrics.discrimination import harrell_c
from twin.metrics.observed import Observed
from twin.state import Known
from twin.timeline import question_moment

HORIZONS = (12.0, 24.0, 36.0, 48.0, 60.0)
TEMPORAL = Split("diagnosis_year", SplitKind.TEMPORAL)
CENTRE = Split("site_id", SplitKind.CENTRE)


def death_of(cohort: Cohort) -> Target:
    found = target(cohort, cohort.spec.outcome("death"), HORIZONS)
    assert isinstance(found, Target)
    return found


# Decisions


def test_decisions_are_scored_as_the_behaviour_model_scores_itself():
    cohort = structural_cohort()
    behaviour = fit_behaviour(cohort, 0)
    for one in evaluate_decisions(cohort, resamples=30, seed=0):
        quality = behaviour.habit(one.decision).quality
        assert (one.patients, one.given) == (quality.patients, quality.given)
        assert one.auc.value == pytest.approx(quality.auc)
        assert one.ece.value == pytest.approx(quality.ece)
        assert one.auc.lower < one.auc.value < one.auc.upper
        assert 0.0 <= one.debiased_ece.value < 0.05
        assert one.calibration_slope.lower < one.calibration_slope.value < one.calibration_slope.upper
        assert one.calibration_intercept.lower < 0.0 < one.calibration_intercept.upper


def test_nobody_is_scored_on_a_decision_that_came_too_late_or_was_brought_about():
    cohort = structural_cohort()
    dissection = cohort.spec.decisions[2]
    rows = came_to(cohort, dissection)
    frame = cohort.frame[rows]
    assert (frame["os_months"] > dissection.month).all()
    assert (frame["locoregional_failure"] != 1).all()
    assert frame["neck_dissection"].notna().all()
    assert not rows.all()


# Later landmarks


def after(cohort: Cohort, landmarks: int) -> Target:
    found = later(cohort, death_of(cohort), landmarks, reached(cohort, landmarks))
    assert isinstance(found, Target)
    return found


def test_only_those_who_are_known_to_have_reached_a_landmark_are_asked_there():
    cohort = structural_cohort()
    for landmarks, states in ((1, "ic_response_primary"), (2, "rt_response_primary")):
        found = after(cohort, landmarks)
        month = cohort.spec.landmarks[landmarks - 1].month
        frame = cohort.frame.iloc[found.rows]
        assert (frame["os_months"] > month).all()
        seen = frame[states].notna() | frame.filter(regex="^ic_dlt|^rt_dlt").notna().any(axis=1)
        assert seen.all()
        np.testing.assert_allclose(found.observed.time, frame["os_months"] - month)
        assert [found.origin + horizon for horizon in found.horizons] == list(HORIZONS)
    # Who had no induction is not asked after it.
    assert (cohort.frame["induction_chemo"].iloc[after(cohort, 1).rows] == 1).all()


def test_an_outcome_that_is_already_judged_is_not_asked_again():
    cohort = structural_cohort()
    tube = target(cohort, cohort.spec.outcome("feeding_tube_6m"), HORIZONS)
    assert isinstance(later(cohort, tube, 1, reached(cohort, 1)), Target)
    assert later(cohort, tube, 2, reached(cohort, 2)) == "judged by month 6, which is not later"


def test_at_a_landmark_the_twin_is_asked_with_the_record_known_then():
    """Its own answers to the same records; what is shuffled among later columns changes nothing."""
    cohort, twin = structural_cohort(), structural_twin()
    found = after(cohort, 2)
    chosen = (
        np.flatnonzero(found.observed.event)[:12].tolist() + np.flatnonzero(found.observed.event == 0)[:21].tolist()
    )
    some = found.among(np.isin(np.arange(len(found.rows)), chosen))
    assert isinstance(some, Target)
    own = plan_texts(complete_plans(cohort, cohort, {}))
    (said,) = questions(twin, cohort, own, [some], np.ones(cohort.size, dtype=bool))
    risks, _ = said.of(some, some.rows)
    known = Known.at(cohort.frame, cohort.spec, question_moment(cohort.spec, 2)).frame
    assert "rt_response_primary" in known
    assert "neck_dissection" not in known
    for k in (0, 7, 19):
        row = some.rows[k]
        alone = twin.predict_draws(known.iloc[[row]].reset_index(drop=True), [own[row]], some.origin + some.months)
        np.testing.assert_allclose(risks[k], alone["death"][0, 0, 0], atol=1e-10)
    assert (risks[:, 0] == 0.0).all()
    hidden = cohort.frame.assign(
        neck_dissection=cohort.frame["neck_dissection"].to_numpy()[::-1], death=1.0 - cohort.frame["death"]
    )
    (again,) = questions(twin, replace(cohort, frame=hidden), own, [some], np.ones(cohort.size, dtype=bool))
    np.testing.assert_array_equal(again.of(some, some.rows)[0], risks)


@cache
def responding_cohort() -> Cohort:
    """Half of those who live to month 6 respond, and their hazard is a quarter of that of the others from then on."""
    cohort = exponential_cohort(240, 12, death_rate=0.02, log_hazard_ratio_dissection=np.log(0.25))
    responds = cohort.frame["neck_dissection"]
    response = pd.Categorical(responds.map({1.0: "CR", 0.0: "PD"}), categories=["CR", "PR", "SD", "PD", "unknown"])
    frame = cohort.frame.drop(columns=["neck_dissection"]).assign(rt_response_primary=response)
    return replace(cohort, frame=frame)


def test_landmarks_are_scored_beside_models_fitted_on_the_same_kind_of_patients():
    cohort = responding_cohort()
    (death,), _ = targets_of(cohort, HORIZONS)
    folds = np.arange(cohort.size) % 2
    (plan,) = [one for one in landmark_plans(cohort, [death]) if one.targets]
    first, found = held_out(split(cohort, folds), [death, *plan.targets], QUICK, lambda done: None)
    (one,) = evaluate_landmark(plan, [found], folds, 20, 0).outcomes
    assert set(one.models) == {"twin", "kaplan_meier", "ridge_cox"}
    assert one.patients == len(plan.targets[0].rows) == (cohort.frame["os_months"] > 6.0).sum()
    assert one.month == death.horizons[-1]
    # Kaplan-Meier of those who lived to the landmark starts there: nobody is stated a risk from before.
    assert (found.risks["kaplan_meier"][:, 0] == 0.0).all()
    assert 0.7 < one.models["kaplan_meier"]["observed_over_predicted"].value < 1.4
    # The response is worth knowing; at first nobody knew it.
    ranked = one.models["twin"]["harrell_c"].value
    assert ranked > 0.6
    assert one.differences["kaplan_meier"]["harrell_c"].lower > 0.0
    at_first = harrell_c(death.observed, first.risks["twin"][:, -1], strata=folds)[0]
    assert ranked > at_first + 0.05


# Other years, other centres


@cache
def changing_cohort() -> Cohort:
    """Two centres and ten years; from the eighth year on the hazard is three times as high."""
    old, new = exponential_cohort(500, 1, death_rate=0.01), exponential_cohort(260, 2, death_rate=0.03)
    frame = pd.concat([old.frame, new.frame], ignore_index=True)
    rng = np.random.default_rng(0)
    years = np.concatenate([rng.integers(2005, 2012, 500), rng.integers(2012, 2015, 260)]).astype(float)
    sites = pd.Series(np.where(rng.random(760) < 0.5, "one", "two"), dtype=object)
    frame = frame.assign(patient_id=[f"C-{k}" for k in range(760)], diagnosis_year=years, site_id=sites)
    return replace(old, frame=frame)


def test_the_specification_names_the_columns(spec):
    assert spec.splits == (TEMPORAL, CENTRE)


@pytest.mark.parametrize(
    ("before", "after_it", "said"),
    [
        ('centre = "site_id"', 'centre = "nowhere"', "column 'nowhere' is mentioned and not defined"),
        ('centre = "site_id"', 'centre = "sex"', "split 'sex' is not a column for audits"),
        ('temporal = "diagnosis_year"', 'temporal = "race_ethnicity"', "its values have no order in time"),
        ('centre = "site_id"', 'region = "site_id"', "'region' is not a valid SplitKind"),
    ],
)
def test_a_column_that_cannot_separate_patients_is_refused(tmp_path, before, after_it, said):
    """A column that models read would tell them which side a patient is on."""
    folder = Path(__file__).parents[2] / "data" / "dictionary"
    for source in folder.glob("oropharynx*.csv"):
        (tmp_path / source.name).write_bytes(source.read_bytes())
    text = (folder / "oropharynx.toml").read_text(encoding="utf-8")
    assert text.count(before) == 1
    (tmp_path / "changed.toml").write_text(text.replace(before, after_it), encoding="utf-8")
    with pytest.raises(SpecificationError, match=said):
        load_specification(str(tmp_path / "changed.toml"))


def test_models_of_earlier_years_never_see_later_ones():
    cohort = changing_cohort()
    found = plans(cohort, TEMPORAL)
    assert isinstance(found, Plan)
    (part,) = found.parts
    assert part.training.frame["diagnosis_year"].max() < part.held_out.frame["diagnosis_year"].min()
    assert part.training.size + part.held_out.size == cohort.size
    before, after_it = f"({part.training.size} patients)", f"({part.held_out.size} patients)"
    assert found.description == f"learnt from 2005 to 2011 {before}, scored on 2012 to 2014 {after_it}"


def test_each_centre_is_scored_by_models_of_the_others():
    cohort = changing_cohort()
    found = plans(cohort, CENTRE)
    assert isinstance(found, Plan)
    assert [set(part.held_out.frame["site_id"]) for part in found.parts] == [{"one"}, {"two"}]
    assert [set(part.training.frame["site_id"]) for part in found.parts] == [{"two"}, {"one"}]


def test_a_change_over_the_years_shows_in_the_split_and_not_in_random_folds():
    cohort = changing_cohort()
    death = death_of(cohort)
    random = held_out(split(cohort, np.arange(cohort.size) % 2), [death], QUICK, lambda done: None)
    plan = plans(cohort, TEMPORAL)
    (one,) = evaluate_split(plan, [death], random, QUICK, 50, 0, lambda done: None).outcomes
    by_years = one.models["twin"]["observed_over_predicted"]
    in_folds = one.models["twin_in_random_folds"]["observed_over_predicted"]
    # At 60 months 1 - exp(-0.6 x 3) against 1 - exp(-0.6), a ratio of 1.85 with a standard error of 0.16.
    assert by_years.value == pytest.approx(1.85, abs=0.4)
    assert by_years.lower > 1.5
    assert in_folds.value < by_years.value - 0.2
    assert one.differences["twin_in_random_folds"]["integrated_brier"].value > 0.0
    assert one.patients == plan.parts[0].held_out.size
    assert set(one.models) == {"twin", "twin_in_random_folds", "kaplan_meier", "ridge_cox"}


@pytest.mark.parametrize(
    ("split_", "values", "reason"),
    [
        (TEMPORAL, [2010.0] * 200, "the same for everybody"),
        (TEMPORAL, [2010.0] * 180 + [2011.0] * 20, f"fewer than {FEWEST} patients on one side of 2011"),
        (TEMPORAL, [np.nan] * 200, "not recorded in this cohort"),
        (CENTRE, ["a"] * 200, f"no second centre, or none with {FEWEST} patients"),
        (CENTRE, [f"site {k % 20}" for k in range(200)], f"no second centre, or none with {FEWEST} patients"),
    ],
)
def test_a_split_that_separates_too_few_says_why(split_, values, reason):
    cohort = exponential_cohort(200, 0)
    dtype = float if split_.kind is SplitKind.TEMPORAL else object
    frame = cohort.frame.assign(**{split_.column: pd.Series(values, dtype=dtype)})
    assert plans(replace(cohort, frame=frame), split_) == reason


def test_patients_whose_year_is_unknown_are_on_neither_side():
    cohort = changing_cohort()
    years = cohort.frame["diagnosis_year"].where(np.arange(cohort.size) >= 40)
    found = plans(replace(cohort, frame=cohort.frame.assign(diagnosis_year=years)), TEMPORAL)
    (part,) = found.parts
    assert part.training.size + part.held_out.size == cohort.size - 40


# Other cohorts


def test_another_cohort_is_scored_as_the_twin_stands():
    cohort = exponential_cohort(400, 3, death_rate=0.02, log_hazard_ratio_age=0.8)
    other = replace(exponential_cohort(500, 4, death_rate=0.02, log_hazard_ratio_age=0.8), name="other")
    twin = fit_twin(cohort, QUICK)
    found = validate(twin, other, EvaluationSettings(resamples=40), training=cohort)
    assert found.kind == Kind.EXTERNAL
    (death,) = found.outcomes
    own = plan_texts(complete_plans(other, other, twin.capability.held))
    first = other.spec.available_before(question_moment(other.spec, 0))
    known = other.frame[[column.name for column in first if column.name in other.frame]]
    stated = np.array(
        [
            twin.predict_draws(known.iloc[[k]].reset_index(drop=True), [own[k]], [60.0])["death"][0, 0, 0, 0]
            for k in range(60)
        ]
    )
    (said,) = questions(twin, other, own, [death_of(other)], np.ones(other.size, dtype=bool))
    np.testing.assert_allclose(said.of(death_of(other), np.arange(60))[0][:, -1], stated, atol=1e-10)
    assert set(death.models) == {"twin", "kaplan_meier", "ridge_cox"}
    slope = death.models["twin"]["calibration_slope"]["60"]
    standard_error = (slope.upper - slope.lower) / (2 * 1.96)
    assert abs(slope.value - 1.0) < 3 * standard_error  # one in twenty right models has 1 outside of its 95 % interval
    assert death.models["kaplan_meier"]["observed_over_predicted"]["60"].value == pytest.approx(1.0, abs=1e-6)
    assert found.splits == ()
    alone = validate(twin, other, EvaluationSettings(resamples=5))
    assert set(alone.outcomes[0].models) == {"twin", "kaplan_meier"}
    assert alone.outcomes[0].models["twin"]["harrell_c"].value == death.models["twin"]["harrell_c"].value


def test_outcomes_that_the_twin_does_not_predict_are_named():
    twin = fit_twin(exponential_cohort(300, 3, death_rate=0.02), QUICK)
    other = structural_cohort()
    found = validate(twin, other, EvaluationSettings(resamples=5, landmarks=False))
    assert [one.outcome for one in found.outcomes] == ["death"]
    omitted = {one.what: one.reason for one in found.not_evaluated}
    assert omitted["distant_failure"] == "the model does not predict it"


def test_a_cohort_of_another_disease_is_refused():
    twin = fit_twin(exponential_cohort(200, 3, death_rate=0.02), QUICK)
    other = exponential_cohort(200, 4, death_rate=0.02)
    with pytest.raises(Refused, match="the model is of oropharynx, cohort 'exponential' of larynx"):
        validate(twin, replace(other, spec=replace(other.spec, name="larynx")))


def test_horizons_of_a_part_end_where_it_is_followed():
    cohort = exponential_cohort(300, 1, death_rate=0.02)
    death = death_of(cohort)
    early = death.observed.time < 30.0
    few = death.among(early & (np.arange(300) % 2 == 0))
    assert isinstance(few, Target)
    assert few.horizons[-1] < death.horizons[-1]
    assert few.months[-1] == few.horizons[-1]
    none = death.among(np.arange(300) < 5)
    assert isinstance(none, str)
    assert isinstance(replace(death, observed=Observed(death.observed.time, np.zeros(300, int))).among(early), str)


def test_landmarks_can_be_left_out():
    cohort = exponential_cohort(150, 1, death_rate=0.02)
    found = evaluate(cohort, EvaluationSettings(folds=2, resamples=5, fit=QUICK, landmarks=False, splits=False))
    assert found.landmarks == ()
    assert found.splits == ()
