import numpy as np
import pandas as pd
import pytest

from data.errors import WrongUsage
from data.export import cohort_csv
from data.findings import Severity
from data.importing import check_source
from data.synthetic import PLANS, Baseline, SyntheticCohort, generate, simulate

NOT_IN_EVERYBODY = {
    "ic_response_primary",
    "ic_response_nodal",
    "rt_response_primary",
    "rt_response_nodal",
    "cause_of_death",
}
"""Columns that may be missing in patients who lived to the end: not applicable, or not recorded."""


@pytest.fixture(scope="module")
def synthetic() -> SyntheticCohort:
    return generate(6_000, seed=11)


@pytest.fixture(scope="module")
def frame(synthetic: SyntheticCohort) -> pd.DataFrame:
    return synthetic.cohort.frame


def test_the_cohort_says_that_it_is_synthetic(synthetic: SyntheticCohort) -> None:
    assert synthetic.cohort.synthetic
    assert synthetic.cohort.frame["patient_id"].str.fullmatch(r"SYN-\d{5}").all()
    assert synthetic.cohort.frame["site_id"].str.startswith("SYN-").all()


def test_every_canonical_column_is_there_in_dictionary_order(synthetic: SyntheticCohort) -> None:
    assert list(synthetic.cohort.frame) == [column.name for column in synthetic.cohort.spec.columns]


def test_a_strict_import_finds_nothing_to_warn_of(synthetic: SyntheticCohort) -> None:
    checked = check_source(cohort_csv(synthetic.cohort), "synthetic.csv", synthetic.cohort.spec)
    assert checked.report.kept == synthetic.cohort.size
    assert {finding.severity for finding in checked.report.findings} <= {Severity.INFO}


def test_a_seed_gives_the_same_cohort_and_another_seed_another() -> None:
    first, again, other = generate(300, seed=5), generate(300, seed=5), generate(300, seed=6)
    pd.testing.assert_frame_equal(first.cohort.frame, again.cohort.frame)
    assert not first.cohort.frame["os_months"].equals(other.cohort.frame["os_months"])


def test_a_patient_does_not_depend_on_how_many_are_asked_for() -> None:
    few, many = generate(50, seed=3).cohort.frame, generate(400, seed=3).cohort.frame
    pd.testing.assert_frame_equal(few, many.head(50))


@pytest.mark.parametrize(("patients", "seed"), [(0, 0), (-4, 0), (10, -1)])
def test_an_impossible_request_is_refused(patients: int, seed: int) -> None:
    with pytest.raises(WrongUsage, match="cannot invent"):
        generate(patients, seed)


def test_baseline_and_outcomes_are_complete(synthetic: SyntheticCohort, frame: pd.DataFrame) -> None:
    always = [c.name for c in synthetic.cohort.spec.columns if c.available_from == "baseline"]
    always += ["induction_chemo", "os_months", "death", "lrf_months", "df_months"]
    assert frame[always].notna().all(axis=None)


def test_what_nobody_lived_to_show_is_missing(synthetic: SyntheticCohort, frame: pd.DataFrame) -> None:
    spec = synthetic.cohort.spec
    dead_by = frame["os_months"].where(frame["death"] == 1.0, np.inf)
    before_landmark = dead_by < 6.0
    induction_unfinished = (dead_by < 3.0) & (frame["induction_chemo"] == 1.0)
    assert before_landmark.sum() > 30
    assert induction_unfinished.sum() > 10
    after_rt = [c.name for c in spec.columns if c.available_from in ("after_rt", "decision_nd")]
    after_rt += ["feeding_tube_6m", "aspiration_6m"]
    assert frame.loc[before_landmark, after_rt].isna().all(axis=None)
    between = [c.name for c in spec.columns if c.available_from in ("after_ic", "decision_cc", "after_cc_decision")]
    assert frame.loc[induction_unfinished, between].isna().all(axis=None)


def test_nothing_else_is_missing(synthetic: SyntheticCohort, frame: pd.DataFrame) -> None:
    survivors = frame[frame["os_months"] > 6.0]
    complete = [c.name for c in synthetic.cohort.spec.columns if c.name not in NOT_IN_EVERYBODY]
    assert survivors[complete].notna().all(axis=None)
    assert survivors.loc[survivors["induction_chemo"] == 1, "ic_response_primary"].isna().mean() < 0.09
    assert survivors["rt_response_primary"].isna().mean() < 0.03


def test_states_of_treatments_not_given_are_absent(frame: pd.DataFrame) -> None:
    without = frame[frame["induction_chemo"] == 0.0]
    assert without[["ic_response_primary", "ic_response_nodal"]].isna().all(axis=None)
    assert (without["ic_dose_change"] == "none").all()
    assert (without.filter(like="ic_dlt_") == 0.0).all(axis=None)
    alone = frame["concurrent_chemo"] == 0.0
    assert (frame.loc[alone, "concurrent_agent"] == "none").all()
    assert (frame.loc[alone].filter(like="rt_dlt_").fillna(0.0) == 0.0).all(axis=None)
    assert (frame.loc[frame["concurrent_chemo"] == 1.0, "concurrent_agent"] != "none").all()


def test_times_are_in_order(frame: pd.DataFrame) -> None:
    for failure, months in (("locoregional_failure", "lrf_months"), ("distant_failure", "df_months")):
        assert (frame[months] <= frame["os_months"]).all()
        free = frame[failure] == 0.0
        assert (frame.loc[free, months] == frame.loc[free, "os_months"]).all()
        assert frame.loc[~free, months].min() > 6.0
    assert frame["os_months"].min() > 0.0
    assert frame["os_months"].max() <= 156.0
    censored = frame[frame["death"] == 0.0]
    assert censored["os_months"].min() >= 6.0


def test_cause_of_death_follows_the_failures(frame: pd.DataFrame) -> None:
    failed = (frame["locoregional_failure"] == 1.0) | (frame["distant_failure"] == 1.0)
    dead = frame["death"] == 1.0
    assert frame.loc[~dead, "cause_of_death"].isna().all()
    assert (frame.loc[dead & failed, "cause_of_death"] == "index_cancer").all()
    assert (frame.loc[dead & ~failed, "cause_of_death"] == "other").all()


def test_nodal_category_and_levels_agree(frame: pd.DataFrame) -> None:
    ipsilateral = frame.filter(like="ln_ipsi_").sum(axis=1)
    contralateral = frame.filter(like="ln_contra_").sum(axis=1)
    n, positive = frame["n_stage"], frame["hpv_status"] == "positive"
    assert ((n == "N0") == (ipsilateral + contralateral == 0)).all()
    assert (contralateral[n == "N1"] == 0).all()
    assert (contralateral[positive & (n == "N2")] > 0).all()
    assert (ipsilateral[~positive & (n == "N1")] == 1).all()
    assert frame.loc[n == "N0", "rt_response_nodal"].isna().all()


def test_smoking_status_and_exposure_agree(frame: pd.DataFrame) -> None:
    never = frame["smoking_status"] == "never"
    assert (frame.loc[never, "pack_years"] == 0.0).all()
    assert frame.loc[~never, "pack_years"].between(1.0, 120.0).all()


def test_late_dissection_follows_an_observed_failure(synthetic: SyntheticCohort, frame: pd.DataFrame) -> None:
    planned = synthetic.happened.planned_dissection
    late = (frame["neck_dissection"] == 1.0) & ~planned
    assert late.sum() > 100
    assert (frame.loc[late, "locoregional_failure"] == 1.0).all()


@pytest.mark.parametrize("plan", PLANS)
def test_a_forced_plan_is_carried_out(synthetic: SyntheticCohort, plan: str) -> None:
    happened = simulate(synthetic.baseline, plan, np.random.default_rng(0))
    assert (happened.induction == (plan[0] == "1")).all()
    assert ((happened.agent > 0) == (plan[1] == "1")).all()
    assert (happened.planned_dissection == (plan[2] == "1")).all()


def test_each_patient_may_have_a_plan_of_their_own(synthetic: SyntheticCohort) -> None:
    few = synthetic.baseline.rows(slice(0, 8))
    happened = simulate(few, PLANS, np.random.default_rng(0))
    given = zip(happened.induction, happened.agent > 0, happened.planned_dissection, strict=True)
    assert ["".join(str(int(digit)) for digit in digits) for digits in given] == list(PLANS)


def test_simulation_is_repeatable_and_refuses_unknown_plans(synthetic: SyntheticCohort) -> None:
    first, again = (simulate(synthetic.baseline, "110", np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.death_month, again.death_month)
    with pytest.raises(WrongUsage, match="'012'"):
        simulate(synthetic.baseline, "012", np.random.default_rng(0))
    with pytest.raises(WrongUsage, match="2 plans for 6000 patients"):
        simulate(synthetic.baseline, ["000", "111"], np.random.default_rng(0))


def test_the_baseline_is_read_back_from_the_recorded_columns(synthetic: SyntheticCohort) -> None:
    again = Baseline.from_frame(synthetic.cohort.frame, synthetic.baseline.hpv_positive)
    for name in Baseline.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(synthetic.baseline, name), err_msg=name)
