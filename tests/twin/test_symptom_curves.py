"""Expected ratings: against references, simulations with a known truth, and what no model may do."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter
from scipy.spatial.distance import cdist
from sklearn.linear_model import BayesianRidge, Ridge

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.errors import NotFound, Refused, WrongUsage
from data.export import cohort_csv
from data.importing import check_source
from data.symptoms import Item, Questionnaire, SymptomTable, load_questionnaire
from data.synthetic import SyntheticCohort, generate
from data.synthetic.symptoms import expected_ratings, symptoms
from twin.arrays import Floats
from twin.record import InvalidValue, PatientRecord, decision_matrix
from twin.state import Known
from twin.symptoms import SymptomCurves, SymptomModel, fit_symptoms
from twin.symptoms.clock import compared_decisions, in_effect
from twin.symptoms.fitting import FEWEST_RATINGS
from twin.symptoms.parts import fit_part
from twin.symptoms.score import ALL, score_symptoms
from twin.symptoms.stage import Correlation
from twin.timeline import plan_text

NAN = float("nan")


@cache
def synthetic() -> SyntheticCohort:
    return generate(400, seed=3)


@cache
def ratings() -> SymptomTable:
    return symptoms(synthetic(), seed=3)


@cache
def model() -> SymptomModel:
    return fit_symptoms(synthetic().cohort, ratings())


def at_first(cohort: Cohort) -> pd.DataFrame:
    return Known.at(cohort.frame, cohort.spec, cohort.spec.decisions[0].moment).frame


def record(cohort: Cohort, row: int, landmarks: int = 0) -> PatientRecord:
    return PatientRecord.from_row(cohort.spec, cohort.frame.iloc[row].to_dict()).known_after(landmarks)


def arrays(curves: SymptomCurves) -> Floats:
    return np.stack([curves.mean, curves.lower, curves.upper, curves.range_lower, curves.range_upper])


# One part


def linear(rows: int, seed: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(rows, 6)) @ np.diag([1, 2, 0.5, 1, 1, 1]) + rng.normal(size=6)
    return inputs, 3.0 + inputs @ [0.5, -0.2, 0.4, 0.0, 0.3, -0.4] + rng.normal(size=rows)


def test_one_regression_is_the_bayesian_ridge_of_scikit_learn() -> None:
    inputs, target = linear(120, seed=0)
    reference = BayesianRidge(alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, tol=1e-9, max_iter=1000).fit(inputs, target)
    part = fit_part([inputs], [target[:, None]], np.zeros(6, dtype=np.intp), np.array([NAN])).part
    np.testing.assert_allclose(part.coefficients[0], [reference.intercept_, *reference.coef_], atol=2e-3)
    np.testing.assert_allclose(part.covariance[0, 1:, 1:], reference.sigma_, rtol=0.02, atol=1e-5)
    new = np.random.default_rng(1).normal(size=(5, 6))
    rows = np.column_stack([np.ones(5), new])
    # scikit-learn leaves the intercept's own doubt out: the noise variance over the number of rows.
    doubt = np.einsum("nk,kl,nl->n", rows, part.covariance[0], rows) - 1 / reference.alpha_ / 120
    expected = reference.predict(new, return_std=True)[1] ** 2 - 1 / reference.alpha_
    np.testing.assert_allclose(doubt, expected, rtol=0.03)


def test_leaving_one_out_is_fitting_without_it() -> None:
    inputs, target = linear(40, seed=2)
    fitted = fit_part([inputs], [target[:, None]], np.zeros(6, dtype=np.intp), np.array([0.05]))
    centre = np.array([1.0, *inputs.mean(axis=0)])
    noise = 40 * centre @ fitted.part.covariance[0] @ centre  # at the centre only the mean of the targets is in doubt
    for row in (0, 17, 39):
        others = np.delete(np.arange(40), row)
        without = Ridge(alpha=noise / 0.05).fit(inputs[others], target[others])
        assert fitted.left_out[0][row, 0] == pytest.approx(target[row] - without.predict(inputs[[row]])[0], rel=1e-6)


def test_missing_targets_count_for_nothing() -> None:
    inputs, target = linear(80, seed=3)
    holed = np.where(np.arange(80) < 30, np.nan, target)
    kinds, fixed = np.zeros(6, dtype=np.intp), np.array([NAN])
    with_holes = fit_part([inputs], [holed[:, None]], kinds, fixed)
    shorter = fit_part([inputs[30:]], [target[30:, None]], kinds, fixed)
    np.testing.assert_allclose(with_holes.part.coefficients, shorter.part.coefficients, rtol=1e-8)
    np.testing.assert_allclose(with_holes.left_out[0][30:], shorter.left_out[0], rtol=1e-8)


# Which decision acts when


def test_a_decision_acts_on_the_ratings_after_it() -> None:
    spec, asked = model().spec, model().questionnaire
    assert [spec.decisions[k].column for k in model().compared] == ["induction_chemo", "concurrent_chemo"]
    found = in_effect(spec, asked, np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]), (0, 1, 2))
    assert found[0].tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 0], [1, 1, 0]]
    # Radiotherapy from month 0: week 27 is month 6.2, after a dissection in month 6. From month 3: week 12 is 5.8.
    assert found[1].tolist() == [[0, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 1]]
    assert found[2].tolist() == [[1, 0, 0], [1, 0, 0], [1, 0, 0], [1, 0, 1]]


def test_a_decision_that_failure_brings_about_is_not_compared() -> None:
    spec = model().spec
    triggered = {column for outcome in spec.outcomes for column in outcome.triggers}
    assert triggered
    free = tuple(k for k, decision in enumerate(spec.decisions) if decision.column not in triggered)
    assert compared_decisions(spec, {}) == free


def test_plans_differ_from_the_week_on_at_which_they_act() -> None:
    patient = record(synthetic().cohort, 5)
    plans = {plan: model().curves(patient, plan).mean for plan in ("000", "010", "011", "110")}
    np.testing.assert_array_equal(plans["000"][:, :, 0], plans["010"][:, :, 0])
    assert (plans["010"][:, :, 1] - plans["000"][:, :, 1]).mean() > 0.5
    np.testing.assert_array_equal(plans["010"], plans["011"])
    assert (plans["110"][:, :, 0] != plans["010"][:, :, 0]).all()


@pytest.mark.parametrize(
    ("month", "plans", "known"),
    [
        (0.0, ["010", "000"], [True, False, False, False]),  # week 0 is the day before treatment begins
        (0.0, ["010", "110"], [False] * 4),  # after induction it would be given in month 3
        (0.0, ["010", "---"], [False] * 4),
        (3.0, ["110", "10-"], [True, False, False, False]),
        (6.0, ["110", "111"], [True, True, True, False]),  # weeks 12 and 27 are months 5.8 and 9.2
        (6.0, ["010", "-10"], [True, True, True, False]),  # week 27 is month 6.2 at the earliest
        (9.3, ["010", "-10"], [True] * 4),
    ],
)
def test_a_rating_counts_as_given_when_every_plan_brings_it_by_then(
    month: float, plans: list[str], known: list[bool]
) -> None:
    assert model().given_by(month, plans).tolist() == known


# What curves are


def test_curves_of_a_record_and_of_a_table_are_the_same() -> None:
    frame = at_first(synthetic().cohort)
    together = arrays(model().curves(frame.iloc[[8, 5]].reset_index(drop=True), "010"))
    np.testing.assert_allclose(
        together[:, [1]], arrays(model().curves(record(synthetic().cohort, 5), "010")), rtol=1e-9
    )


def test_ends_are_in_order_and_on_the_scale() -> None:
    curves = model().curves(at_first(synthetic().cohort), "110")
    assert curves.mean.shape == (400, 28, 4)
    assert (curves.lower <= curves.mean).all()
    assert (curves.mean <= curves.upper).all()
    assert (curves.range_lower <= curves.range_upper).all()
    assert arrays(curves).min() >= 0.0
    assert arrays(curves).max() <= 10.0
    assert (np.round(curves.range_upper) == curves.range_upper).all()
    assert "mean" in curves.interval
    assert "ratings" in curves.range_label


def test_items_come_in_the_order_asked_for() -> None:
    patient = record(synthetic().cohort, 5)
    every, some = model().curves(patient, "010"), model().curves(patient, "010", ["taste", "pain"])
    assert [item.name for item in some.items] == ["taste", "pain"]
    place = [item.name for item in every.items].index("taste")
    np.testing.assert_array_equal(some.mean[:, 0], every.mean[:, place])
    table = some.table(["me"])
    assert table.columns[:4].tolist() == ["patient_id", "plan", "item", "week"]
    assert table.query("item == 'pain' and week == 12")["mean"].item() == some.mean[0, 1, 2]
    with pytest.raises(NotFound, match="unknown symptom 'hunger'"):
        model().curves(patient, "010", ["hunger"])


def test_a_plan_that_disagrees_with_what_was_decided_is_refused() -> None:
    cohort = synthetic().cohort
    row = int(np.flatnonzero(cohort.frame["induction_chemo"] == 1.0)[0])
    with pytest.raises(Refused, match="disagrees"):
        model().curves(record(cohort, row, landmarks=1), "010")


def test_what_becomes_known_later_changes_no_earlier_answer() -> None:
    cohort, table = synthetic().cohort, ratings()
    spec = cohort.spec
    first = spec.rank(spec.decisions[0].moment)
    decisions = {decision.column for decision in spec.decisions}
    frame, rng = cohort.frame.copy(), np.random.default_rng(0)
    for column in spec.columns:
        later = spec.rank(column.available_from) >= first and column.name not in decisions
        if column.name in frame and later and column.name != spec.follow_up:
            frame[column.name] = frame[column.name].to_numpy()[rng.permutation(cohort.size)]
    shuffled = fit_symptoms(replace(cohort, frame=cohort.frame.assign(**{c: frame[c] for c in frame})), table)
    patients = at_first(cohort)
    np.testing.assert_array_equal(arrays(shuffled.curves(patients, "110")), arrays(model().curves(patients, "110")))
    with_later = cohort.frame[[*patients.columns, "rt_dose_gy"]].iloc[:20]
    np.testing.assert_array_equal(
        model().curves(with_later, "110").mean, model().curves(patients.iloc[:20], "110").mean
    )


def test_a_fit_is_repeatable() -> None:
    again = fit_symptoms(synthetic().cohort, ratings())
    np.testing.assert_array_equal(again.stages[0].answer.coefficients, model().stages[0].answer.coefficients)


# Earlier ratings


def four_parts(patients: int, seed: int) -> tuple[Cohort, SymptomTable, np.ndarray]:
    """Ratings of 12 items at 3 weeks that nothing recorded explains, with residual shares .3, .1, .2 and .4."""
    rng = np.random.default_rng(seed)
    values = pd.DataFrame(
        {
            "patient_id": [f"X-{k}" for k in range(patients)],
            "age_years": rng.normal(60.0, 10.0, patients).clip(30, 90),
            "sex": rng.choice(["male", "female"], patients),
            "concurrent_chemo": rng.integers(0, 2, patients).astype(float),
            "induction_chemo": 0.0,
            "os_months": 60.0,
            "death": 0.0,
        }
    )
    spec = load_specification()
    cohort = Cohort(spec, typed_frame(values, spec), name="four parts")
    items = tuple(Item(f"q{k}", f"Question {k}", "one", shown=True) for k in range(12))
    asked = Questionnaire(cohort.spec.name, items, (0.0, 5.0, 40.0), 0.0, 100.0, "concurrent_chemo", "start")
    units = (
        np.sqrt(0.3) * rng.normal(size=(patients, 1, 1))
        + np.sqrt(0.1) * rng.normal(size=(patients, 1, 3))
        + np.sqrt(0.2) * rng.normal(size=(patients, 12, 1))
        + np.sqrt(0.4) * rng.normal(size=(patients, 12, 3))
    )
    levels = np.linspace(40.0, 60.0, 36).reshape(12, 3)
    given = np.round(np.clip(levels + 8.0 * units, 0.0, 100.0))
    return cohort, SymptomTable.of(asked, cohort.frame["patient_id"].tolist(), given), levels


def test_shares_of_what_is_left_are_found() -> None:
    cohort, table, levels = four_parts(1_500, seed=1)
    stage = fit_symptoms(cohort, table).stages[0]
    found = stage.correlation
    assert (found.patient, found.visit, found.item) == pytest.approx((0.3, 0.1, 0.2), abs=0.03)
    assert stage.residual == pytest.approx(8.0, abs=0.5)
    np.testing.assert_allclose(stage.location, levels, atol=1.0)


def test_one_rating_moves_the_same_item_by_its_correlation() -> None:
    cohort, table, _ = four_parts(1_500, seed=1)
    fitted = fit_symptoms(cohort, table)
    patient = record(cohort, 0)
    plain = fitted.curves(patient, "000")
    observed = np.full((1, 12, 3), np.nan)
    observed[0, 4, 0] = plain.mean[0, 4, 0] + 20.0
    moved = fitted.curves(patient, "000", observed=observed).mean - plain.mean
    # Normal variables of equal variance: the conditional mean moves by the correlation, here .3 + .2 and .3.
    assert moved[0, 4, 1:] == pytest.approx(0.5 * 20.0, rel=0.1)
    assert moved[0, 7, 1:] == pytest.approx(0.3 * 20.0, rel=0.15)
    np.testing.assert_array_equal(moved[:, :, 0], 0.0)


def test_ratings_so_far_are_used_as_the_true_model_would_use_them() -> None:
    cohort, table, levels = four_parts(1_500, seed=1)
    fitted = fit_symptoms(cohort, table)
    fresh, given, _ = four_parts(400, seed=2)
    seen = given.ratings(fresh.frame["patient_id"].tolist())
    observed = seen.copy()
    observed[:, :, 2] = np.nan
    curves = fitted.curves(at_first(fresh), "000", observed=observed)
    true = 64.0 * Correlation(0.3, 0.1, 0.2).matrix(12, 3)
    week = np.tile(np.arange(3), 12)
    known, asked = week < 2, week == 2
    best = np.linalg.solve(true[np.ix_(known, known)], true[np.ix_(known, asked)])
    missed = (seen - levels).reshape(400, -1)
    exact = levels[:, 2] + missed[:, known] @ best
    assert np.sqrt(np.mean((curves.mean[:, :, 2] - exact) ** 2)) < 1.0  # of ratings that scatter by 8
    left = np.sqrt(np.diag(true[np.ix_(asked, asked)] - true[np.ix_(asked, known)] @ best)).mean()
    width = (curves.range_upper - curves.range_lower)[:, :, 2].mean()
    assert width == pytest.approx(2 * 1.645 * left, rel=0.1)
    within = (seen >= curves.range_lower) & (seen <= curves.range_upper)
    assert within.mean(axis=(0, 1)) == pytest.approx(0.9, abs=0.02)


def test_ratings_that_cannot_be_are_refused() -> None:
    patient = record(synthetic().cohort, 5)
    with pytest.raises(WrongUsage, match="shape"):
        model().curves(patient, "010", observed=np.zeros((1, 2, 4)))
    with pytest.raises(WrongUsage, match="beyond the scale"):
        model().curves(patient, "010", observed=np.full((1, 28, 4), 11.0))


# How good it is


@cache
def truth() -> Floats:
    cohort = synthetic().cohort
    given = np.array([plan_text(row) for row in np.nan_to_num(decision_matrix(cohort.spec, cohort.frame))])
    result = np.empty((cohort.size, 28, 4))
    for plan in np.unique(given):
        result[given == plan] = expected_ratings(synthetic(), [str(plan)])[given == plan, 0]
    return result


@cache
def scores() -> pd.DataFrame:
    return score_symptoms(synthetic().cohort, ratings(), truth=truth(), resamples=100)


def overall(found: pd.DataFrame) -> pd.Series:
    return found[(found["item"] == ALL) & found["week"].isna()].iloc[0]


def test_held_out_ratings_are_nearer_than_to_the_mean_and_the_truth_is_half_as_far() -> None:
    found = overall(scores())
    assert found["difference_upper"] < 0.0
    assert found["truth_rmse"] < 0.65 * found["mean_truth_rmse"]
    by_week = scores()[scores()["item"] == ALL].set_index("week")
    assert (by_week["truth_rmse"] < 0.85 * by_week["mean_truth_rmse"]).all()


def test_both_intervals_cover_what_they_say() -> None:
    by_week = scores()[scores()["item"] == ALL]
    assert by_week["interval_coverage"].between(0.8, 0.97).all()
    assert by_week["range_coverage"].between(0.88, 0.93).all()
    assert (by_week["range_width"] > 2 * by_week["interval_width"]).all()  # they answer two questions


def test_the_score_of_the_mean_is_that_of_the_mean() -> None:
    found = scores().set_index(["item", "week"])
    cube = ratings().ratings(synthetic().cohort.frame["patient_id"].tolist())
    place = model().questionnaire.names.index("mucus")
    spread = np.nanstd(cube[:, place, 1])
    assert found.loc[("mucus", 7.0), "ratings"] == (~np.isnan(cube[:, place, 1])).sum()
    assert found.loc[("mucus", 7.0), "mean_rmse"] == pytest.approx(spread, rel=0.01)  # held out: a little more
    assert found.loc[("mucus", 7.0), "mean_rmse"] > spread
    assert found.loc[("mucus", 7.0), "rmse_lower"] < found.loc[("mucus", 7.0), "rmse"]


def test_ratings_so_far_bring_later_ones_nearer() -> None:
    known = score_symptoms(synthetic().cohort, ratings(), known_weeks=(0.0, 7.0), resamples=2)
    both = pd.concat([scores(), known], keys=["first", "known"]).query("item == @ALL").set_index("week", append=True)
    rmse = both["rmse"].droplevel(1).unstack(0)
    assert rmse.loc[0.0, "known"] == pytest.approx(rmse.loc[0.0, "first"])
    assert (rmse.loc[[7.0, 12.0, 27.0], "known"] < 0.95 * rmse.loc[[7.0, 12.0, 27.0], "first"]).all()
    assert overall(known)["range_coverage"] == pytest.approx(0.9, abs=0.02)
    with pytest.raises(WrongUsage, match="known weeks"):
        score_symptoms(synthetic().cohort, ratings(), known_weeks=(0.0,), truth=truth())


# What a cohort may lack


def test_too_few_ratings_are_refused_or_left_blank() -> None:
    cohort, table = synthetic().cohort, ratings()
    few = SymptomTable(table.questionnaire, table.frame.head(FEWEST_RATINGS - 1).reset_index(drop=True))
    with pytest.raises(Refused, match="no symptom was rated"):
        fit_symptoms(cohort, few)
    some = table.frame[(table.frame["week"] < 20) & (table.frame["item"] != "pain")].reset_index(drop=True)
    partial = fit_symptoms(cohort, SymptomTable(table.questionnaire, some))
    observed = np.full((1, 28, 4), 3.0)
    curves = partial.curves(record(cohort, 5), "010", observed=observed)
    assert np.isnan(curves.mean[0, :, 3]).all()
    assert np.isnan(curves.range_upper[0, :, 3]).all()
    assert np.isnan(curves.mean[0, 0]).all()
    assert not np.isnan(arrays(curves)[:, 0, 1:, :3]).any()


def test_ratings_that_are_all_alike_are_expected_as_they_are() -> None:
    cohort = synthetic().cohort
    cube = np.full((cohort.size, 28, 4), 2.0)
    alike = SymptomTable.of(ratings().questionnaire, cohort.frame["patient_id"].tolist(), cube)
    curves = fit_symptoms(cohort, alike).curves(record(cohort, 5), "010", observed=cube[:1])
    np.testing.assert_allclose(arrays(curves), 2.0, atol=0.01)


def test_other_questionnaires_decisions_and_columns_will_do() -> None:
    cohort, table, _ = four_parts(200, seed=5)
    assert load_questionnaire(cohort.spec) != table.questionnaire
    bare = replace(cohort, frame=cohort.frame[["patient_id", "age_years", "os_months", "death"]])
    fitted = fit_symptoms(bare, table)
    assert fitted.compared == ()
    curves = fitted.curves(record(bare, 3), "000")
    assert curves.mean.shape == (1, 12, 3)
    with pytest.raises(Refused, match="cannot compare"):
        fitted.curves(record(bare, 3), "010")


def test_a_model_is_plain_data() -> None:
    adapter = TypeAdapter(SymptomModel)
    plain = adapter.dump_python(model())
    again = adapter.validate_python(plain)
    patients = at_first(synthetic().cohort).iloc[:5]
    np.testing.assert_array_equal(arrays(again.curves(patients, "010")), arrays(model().curves(patients, "010")))


# Units


def test_defect_13_symptom_inputs_are_in_one_unit_system() -> None:
    cohort = synthetic().cohort
    row = int(np.flatnonzero(cohort.frame[cohort.spec.follow_up] > 12.0)[0])
    plan = plan_text(decision_matrix(cohort.spec, cohort.frame)[row])
    in_centigray = replace(cohort, frame=cohort.frame.assign(rt_dose_gy=100.0 * cohort.frame["rt_dose_gy"]))

    findings = check_source(cohort_csv(in_centigray), "doses.csv", cohort.spec).report.findings
    assert {(f.code, f.column) for f in findings if "cGy" in f.remedy} == {("out_of_range", "rt_dose_gy")}
    with pytest.raises(Refused, match=r"rt_dose_gy.*Gy.*cGy"):
        fit_symptoms(in_centigray, ratings())
    with pytest.raises(Refused, match=r"rt_dose_gy.*Gy.*cGy"):
        model().curves(in_centigray.frame.iloc[[row]], plan)
    with pytest.raises(InvalidValue, match="rt_dose_gy"):
        record(in_centigray, row, landmarks=2)
    assert model().curves(cohort.frame.iloc[[row]], plan).mean.max() <= 10.0

    stage = model().stage_after(2)
    assert "rt_dose_gy" in stage.encoding.names
    lived = cohort.frame[cohort.frame[cohort.spec.follow_up] > 6.0]
    inside = stage.inputs(lived, cohort.spec)
    query = stage.inputs(record(cohort, int(lived.index[5]), landmarks=2).to_frame(), cohort.spec)
    np.testing.assert_allclose(np.sort(cdist(query, inside))[0, 0], 0.0, atol=1e-9)

    stranger = generate(60, seed=99).cohort
    fresh = stage.inputs(stranger.frame[stranger.frame[stranger.spec.follow_up] > 6.0], stranger.spec)
    apart = cdist(inside, inside)
    np.fill_diagonal(apart, np.inf)
    own, others = apart.min(axis=1), cdist(fresh, inside).min(axis=1)
    assert np.median(others) == pytest.approx(np.median(own), rel=0.15)
    assert others.max() < 1.5 * own.max()
    # What the refusal is good for: unchecked, such a patient would be far from everybody.
    unchecked = Known.at(in_centigray.frame.iloc[[row]], cohort.spec, stage.encoding.moment)
    assert cdist(stage.encoding.encode(unchecked), inside).min() > 100 * own.max()
