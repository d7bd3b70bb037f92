"""What a fitted twin answers, in the form of the result files."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import (
    DRAWS,
    EFFECTS,
    QUICK,
    at_baseline,
    exponential_cohort,
    known_effects,
    structural_cohort,
    structural_twin,
)

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.errors import NotFound, Refused, WrongUsage
from twin.curve import BeyondFollowUp
from twin.fitting import FitSettings, fit_twin
from twin.interval import percentile_interval
from twin.prediction import FittedTwin
from twin.record import PatientRecord

SPEC = load_specification()
HORIZONS = [12, 24, 36, 48, 60]
COLUMNS = ["patient_id", "plan", "outcome", "month", "risk", "lower", "upper", "interval", "support", "model"]


def first_patient(**values: object) -> PatientRecord:
    known = PatientRecord.from_row(SPEC, at_baseline(structural_cohort()).iloc[0])
    for column, value in values.items():
        known = known.with_value(column, value)
    return known


def test_a_full_cohort_gives_seventeen_rows_a_patient_and_plan() -> None:
    patients = at_baseline(structural_cohort()).head(3)
    table = structural_twin().predict(patients, "all", HORIZONS)
    assert list(table.columns) == COLUMNS
    assert (table.groupby(["patient_id", "plan"]).size() == 17).all()
    assert table.groupby("patient_id", sort=False)["plan"].nunique().tolist() == [8, 8, 8]
    assert table["patient_id"].drop_duplicates().tolist() == patients["patient_id"].tolist()
    assert not table.isna().any().any()
    assert set(table["interval"]) == {"90% calibrated"}
    assert set(table["model"]) == {"test-1"}
    assert set(table["support"]) <= {"supported", "thin", "unsupported"}
    assert table.query("outcome == 'aspiration_6m'")["month"].eq(6).all()


def test_patients_keep_the_order_of_the_file_wherever_they_stand() -> None:
    patients = structural_cohort().frame.head(30).sample(frac=1.0, random_state=0)
    table = structural_twin().predict(patients, "all", [60])
    assert table["patient_id"].drop_duplicates().tolist() == patients["patient_id"].tolist()


def test_one_patient_is_the_same_alone_and_among_others() -> None:
    patients = structural_cohort().frame.head(70)
    together = structural_twin().predict(patients, "all", [24, 60])
    for k in (0, 13, 69):
        alone = structural_twin().predict(patients.iloc[[k]], "all", [24, 60])
        same = together[together["patient_id"] == patients["patient_id"].iloc[k]].reset_index(drop=True)
        pd.testing.assert_frame_equal(alone, same, rtol=1e-12)


def test_decisions_taken_leave_only_the_plans_that_go_on_from_them() -> None:
    twin = structural_twin()
    assert twin.plans_for(first_patient()) == twin.plans
    assert twin.plans_for(first_patient(induction_chemo=1)) == ("100", "101", "110", "111")
    assert twin.plans_for(first_patient(induction_chemo=1, concurrent_chemo=0, neck_dissection=1)) == ("101",)


def test_a_named_plan_that_disagrees_is_an_error_naming_patient_and_decision() -> None:
    patient = first_patient(induction_chemo=1)
    with pytest.raises(Refused, match=rf"patient {patient.patient_id}: plan '010' .*induction_chemo is 1"):
        structural_twin().predict(patient.to_frame(), ["010"], [12])
    with pytest.raises(Refused, match="plan '0--' leaves a decision open"):
        structural_twin().curves(first_patient(), "0--", [12])


def test_months_beyond_the_follow_up_are_refused_by_name() -> None:
    twin = structural_twin()
    with pytest.raises(BeyondFollowUp, match=r"death: month 700 is outside the follow-up, which is \[0, "):
        twin.predict(first_patient().to_frame(), ["010"], [12, 700])
    last = twin.domain_end("death")
    assert twin.curves(first_patient(), "010", [0, twin.last_month])["death"].domain_end == last
    assert last == structural_cohort().frame["os_months"].max()


def test_patients_without_identifiers_or_without_rows_are_refused() -> None:
    frame = first_patient().to_frame()
    for table in (frame.drop(columns="patient_id"), frame.head(0)):
        with pytest.raises(Refused, match="no patients with patient_id"):
            structural_twin().predict(table, "all", [12])


def test_a_decision_that_was_taken_starts_the_curve_at_its_month() -> None:
    """Whoever decided on a neck dissection at month 6 was alive then and had failed nowhere."""
    decided = first_patient(induction_chemo=0, concurrent_chemo=1, neck_dissection=0)
    for curve in structural_twin().curves(decided, "010", [0, 3, 6, 7, 60]).values():
        assert curve.risk[:3].tolist() == [0, 0, 0]
        assert curve.upper[:3].tolist() == [0, 0, 0]
        assert curve.risk[4] > 0


def test_a_later_question_conditions_on_being_alive() -> None:
    """S(t | alive at 6) = S(t) / S(6): nothing else is known of who lived to it."""
    cohort = exponential_cohort(400, 0, death_rate=0.02)
    twin = fit_twin(cohort, QUICK)
    start = PatientRecord.from_row(SPEC, at_baseline(cohort).iloc[0])
    later = start.with_value("concurrent_chemo", 1).with_value("neck_dissection", 1)
    survival = 1 - twin.curves(start, "011", [6.0, 30.0, 60.0])["death"].risk
    conditioned = 1 - twin.curves(later, "011", [6.0, 30.0, 60.0])["death"].risk
    np.testing.assert_allclose(conditioned, survival / survival[0], rtol=1e-10)


def test_a_decision_the_cohort_does_not_vary_is_held_and_refused_by_name() -> None:
    twin = fit_twin(exponential_cohort(300, 1, death_rate=0.02), QUICK)
    assert twin.capability.held == {"induction_chemo": 0}
    assert twin.plans == ("000", "001", "010", "011")
    assert twin.outcomes == ("death",)
    patient = PatientRecord(
        SPEC, {"patient_id": "p9", "age_years": 60, "sex": "male", "t_stage": "T1", "n_stage": "N0"}
    )
    with pytest.raises(Refused, match=r"plan '110' changes a decision .*held: induction_chemo at 0"):
        twin.predict(patient.to_frame(), ["110"], [12])
    with pytest.raises(Refused, match=r"patient p9: induction_chemo is 1, but cohort 'exponential' cannot compare it"):
        twin.plans_for(patient.with_value("induction_chemo", 1))
    upcoming = twin.next_decision(patient)
    assert upcoming is not None
    assert upcoming.column == "concurrent_chemo"


def test_the_interval_of_a_difference_is_that_of_paired_draws() -> None:
    twin, patient = structural_twin(), first_patient()
    months = [24.0, 60.0]
    draws = twin.predict_draws(patient.to_frame(), ["110", "010"], months)
    found = twin.difference(patient, "110", "010", months)
    for name in ("death", "locoregional_failure", "distant_failure"):
        assert draws[name].shape == (1 + DRAWS, 1, 2, 2)
        paired = draws[name][:, 0, 0] - draws[name][:, 0, 1]
        lower, upper = percentile_interval(paired, 0.9)
        np.testing.assert_array_equal(found[name].lower, lower)
        np.testing.assert_array_equal(found[name].upper, upper)
        apart = draws[name][1:, 0, 0].var(axis=0) + draws[name][1:, 0, 1].var(axis=0)
        assert (paired[1:].var(axis=0) < apart).all()


def test_a_difference_of_a_plan_to_itself_is_nothing() -> None:
    for curve in structural_twin().difference(first_patient(), "010", "010", [60.0]).values():
        assert (curve.difference, curve.lower, curve.upper) == (0.0, 0.0, 0.0)


def test_an_answer_holds_what_single_questions_give() -> None:
    twin, patient = structural_twin(), first_patient()
    answer = twin.answer(patient, ("010", "110"), [12.0, 60.0])
    for plan in ("010", "110"):
        for name, curve in twin.curves(patient, plan, [12.0, 60.0]).items():
            np.testing.assert_allclose(answer.curves(plan)[name].risk, curve.risk, rtol=1e-12)
        assert answer.probabilities(plan).keys() == twin.binary(patient, plan).keys()
    first, other = (answer.probabilities(plan)["feeding_tube_6m"].value for plan in ("010", "110"))
    assert answer.probability_difference("110", "010")["feeding_tube_6m"].value == pytest.approx(other - first)
    with pytest.raises(NotFound, match="unknown plan '000'"):
        answer.curves("000")


def test_only_what_is_known_so_far_is_needed() -> None:
    """A patient about whom only the identifier is known is like a patient drawn from the cohort."""
    twin = structural_twin()
    nobody = typed_frame(pd.DataFrame({"patient_id": ["0001"]}), SPEC)
    table = twin.predict(nobody, ["010"], [60])
    assert table["patient_id"].tolist() == ["0001"] * 5
    cohort = twin.predict(at_baseline(structural_cohort()), ["010"], [60]).query("outcome == 'death'")["risk"]
    assert cohort.quantile(0.1) < table["risk"].iloc[0] < cohort.quantile(0.9)


@pytest.fixture(scope="module")
def half_unknown() -> FittedTwin:
    """HPV quarters the rate of death; seven in ten have it, whatever else is known, and in half nobody looked."""
    rng = np.random.default_rng(5)
    cohort = exponential_cohort(1200, 5)
    positive = rng.random(1200) < 0.7
    death, end = rng.exponential(1.0 / (0.03 * np.where(positive, 0.25, 1.0))), rng.uniform(24.0, 120.0, 1200)
    status = np.where(rng.random(1200) < 0.5, "unknown", np.where(positive, "positive", "negative"))
    frame = cohort.frame.drop(columns=["neck_dissection", "concurrent_chemo"]).assign(
        hpv_status=status, os_months=np.minimum(death, end), death=(death <= end).astype(float)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EFFECTS, known_effects((), {}))
        return fit_twin(Cohort(SPEC, typed_frame(frame, SPEC)), FitSettings(select=False))


def of_statuses(twin: FittedTwin, month: float) -> pd.DataFrame:
    """Risk and interval of three patients who differ in HPV alone; known positive, negative, unknown."""
    known = {"age_years": 60.0, "sex": "male", "t_stage": "T2", "n_stage": "N1"}
    rows = [{"patient_id": status, **known, "hpv_status": status} for status in ("positive", "negative", "unknown")]
    table = twin.predict(typed_frame(pd.DataFrame(rows), SPEC), "all", [month])
    return table.set_index("patient_id")[["risk", "lower", "upper"]]


def test_the_risk_of_who_has_a_value_missing_is_the_mixture_over_what_it_may_be(half_unknown: FittedTwin) -> None:
    """The truth: 1 - exp(-rate t) of either status, and seven parts of one to three of the other when it is unknown."""
    risk = of_statuses(half_unknown, 36.0)["risk"]
    positive, negative = -np.expm1(-36.0 * 0.03 * np.array([0.25, 1.0]))
    assert risk["positive"] == pytest.approx(positive, abs=0.05)
    assert risk["negative"] == pytest.approx(negative, abs=0.05)
    assert (risk["negative"] - risk["unknown"]) / (risk["negative"] - risk["positive"]) == pytest.approx(0.7, abs=0.05)


def test_a_missing_value_widens_the_interval_to_what_it_may_hide(half_unknown: FittedTwin) -> None:
    table = of_statuses(half_unknown, 36.0)
    width = table["upper"] - table["lower"]
    assert width["unknown"] > 2 * max(width["positive"], width["negative"])
    assert table.loc["unknown", "lower"] < table.loc["positive", "upper"]
    assert table.loc["unknown", "upper"] > table.loc["negative", "lower"]


def test_one_missing_value_leaves_other_patients_alone(half_unknown: FittedTwin) -> None:
    """Complete and incomplete patients of one file are completed apart."""
    known = typed_frame(
        pd.DataFrame(
            {
                "patient_id": ["a", "b"],
                "age_years": [60.0, 60.0],
                "sex": ["male"] * 2,
                "t_stage": ["T2"] * 2,
                "n_stage": ["N1"] * 2,
                "hpv_status": ["positive", "unknown"],
            }
        ),
        SPEC,
    )
    both = half_unknown.predict(known, "all", [36.0]).set_index("patient_id")
    for row, patient in enumerate("ab"):
        alone = half_unknown.predict(known.iloc[[row]], "all", [36.0]).set_index("patient_id")
        pd.testing.assert_frame_equal(both.loc[[patient]], alone, rtol=1e-12)


def test_the_headline_is_plain_json() -> None:
    headline = structural_twin().headline()
    assert json.loads(json.dumps(headline)) == headline
    assert headline["synthetic"] is True
    assert headline["outcomes"]["death"]["events"] == structural_cohort().frame["death"].sum()


@pytest.mark.parametrize(("decisions", "plans"), [(slice(0, 0), ("",)), (slice(1, 2), ("0", "1"))])
def test_a_disease_with_other_decisions_and_no_landmarks_is_no_special_case(
    decisions: slice, plans: tuple[str, ...]
) -> None:
    spec = replace(SPEC, name="another", decisions=SPEC.decisions[decisions], landmarks=())
    whole = structural_cohort().frame.drop(columns=["induction_chemo", "neck_dissection"])
    cohort = Cohort(spec, whole.dropna(subset="concurrent_chemo").reset_index(drop=True))
    twin = fit_twin(cohort, QUICK)
    assert twin.plans == plans
    table = twin.predict(at_baseline_of(cohort), "all", HORIZONS)
    assert len(table) == 17 * len(plans) * cohort.size
    record = PatientRecord.from_row(spec, at_baseline_of(cohort).iloc[0])
    assert record.plan_so_far == "-" * len(spec.decisions)
    assert twin.plans_for(record) == plans
    assert twin.support(record, plans[0]).alike == round(0.2 * cohort.size)


def at_baseline_of(cohort: Cohort) -> pd.DataFrame:
    moments = SPEC.moments[: SPEC.rank("decision_ic")]
    return cohort.frame[[name for name in cohort.frame if SPEC.column(name).available_from in moments]]


def test_months_may_come_in_any_order() -> None:
    draws = structural_twin().predict_draws(first_patient().to_frame(), ["010"], [60.0, 12.0])
    ascending = structural_twin().predict_draws(first_patient().to_frame(), ["010"], [12.0, 60.0])
    for name, values in draws.items():
        np.testing.assert_allclose(values, ascending[name][..., ::-1], rtol=1e-12)


def test_a_state_that_was_seen_starts_the_curve_at_its_landmark_and_changes_it() -> None:
    """Whoever showed a response to radiotherapy lived to month 6, and the worse the response, the higher the risk."""
    twin, cohort = structural_twin(), structural_cohort()
    seen = cohort.frame["rt_response_nodal"].notna() & (cohort.frame["concurrent_chemo"] == 1)
    before = PatientRecord.from_row(cohort.spec, cohort.frame[seen].iloc[0]).known_after(0)
    decided = before.with_value("induction_chemo", 0.0).with_value("concurrent_chemo", 1.0)
    months = [3.0, 6.0, 24.0, 60.0]
    by_response = {}
    for response in ("CR", "SD"):
        record = decided.with_value("rt_response_primary", response).with_value("rt_response_nodal", response)
        curve = twin.curves(record, "010", months)["death"]
        assert (curve.risk[:2] == 0.0).all()
        by_response[response] = curve.risk
    assert (by_response["SD"][2:] > by_response["CR"][2:]).all()


def complete_patient() -> pd.DataFrame:
    """The first of whom nothing has to be guessed."""
    marginal, patients = structural_twin().marginal, at_baseline(structural_cohort())
    row = int(np.flatnonzero(~marginal.incomplete(marginal.known(patients, SPEC)))[0])
    return patients.iloc[[row]].reset_index(drop=True)


def test_a_chosen_agent_gives_the_risks_of_a_record_with_it_in_every_draw() -> None:
    twin, patient = structural_twin(), complete_patient()
    agents = twin.manners_of(SPEC.decisions[1])
    assert {"platinum", "cetuximab"} <= set(agents)
    at_death = []
    for agent in agents:
        chosen = twin.predict_draws(patient, ["010", "000"], [24.0, 60.0], manners={"concurrent_agent": agent})
        given = patient.assign(induction_chemo=0.0, concurrent_chemo=1.0, concurrent_agent=agent)
        recorded = twin.predict_draws(given, ["010"], [24.0, 60.0])
        usual = twin.predict_draws(patient, ["000"], [24.0, 60.0])
        for outcome in twin.outcomes:
            np.testing.assert_allclose(chosen[outcome][:, :, 0], recorded[outcome][:, :, 0], rtol=0, atol=1e-9)
            np.testing.assert_array_equal(chosen[outcome][:, :, 1], usual[outcome][:, :, 0])
        at_death.append(chosen["death"][0, 0, 0, 1])
    assert np.ptp(at_death) > 0.005


def test_agents_are_chosen_for_open_decisions_only_and_unknown_ones_are_refused() -> None:
    twin, patient = structural_twin(), complete_patient()
    given = patient.assign(induction_chemo=0.0, concurrent_chemo=1.0, concurrent_agent="platinum")
    asked = {"concurrent_agent": "cetuximab"}
    pd.testing.assert_frame_equal(twin.predict(given, "all", [60], asked), twin.predict(given, "all", [60]))
    assert not twin.predict(patient, "all", [60], asked).equals(twin.predict(patient, "all", [60]))
    with pytest.raises(WrongUsage, match="'gemcitabine' is unknown to the cohort"):
        twin.predict(patient, "all", [60], {"concurrent_agent": "gemcitabine"})
    with pytest.raises(WrongUsage, match="t_stage is the manner of no decision"):
        twin.predict(patient, "all", [60], {"t_stage": "T1"})
