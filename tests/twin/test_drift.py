"""Drift: a cohort that has moved is flagged for what has moved, one that has not is not."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from fixtures.cohorts import QUICK, exponential_cohort, structural_cohort, structural_twin
from scipy.stats import chi2

from data.cohort import Cohort, TimeZero
from data.errors import Refused
from twin.drift import DriftReport, Severity, drift, drift_text
from twin.evaluation.shift import stability
from twin.fitting import fit_twin
from twin.prediction import FittedTwin

RATE = 0.012
AGE = 0.6


def cohort_of(patients: int, seed: int, rate: float = RATE, age: float = AGE) -> Cohort:
    made = exponential_cohort(patients, seed, death_rate=rate, log_hazard_ratio_age=age)
    return replace(made, name=f"seed {seed}")


@cache
def twin() -> FittedTwin:
    return fit_twin(cohort_of(600, 0), replace(QUICK, draws=60)).named("taught-1")


@cache
def report(seed: int, rate: float = RATE, age: float = AGE) -> DriftReport:
    return drift(twin(), cohort_of(500, seed, rate, age))


def subjects(found: DriftReport, severity: Severity | None = None) -> set[str]:
    return {flag.subject for flag in found.flags if severity in (None, flag.severity)}


# Risks


def test_doubled_hazards_are_flagged():
    """By month 60 the mean risk rises from about .5 to .7 at age 60; the ratio is known from the exponential."""
    found = report(1, 2.0 * RATE)
    (death,) = found.outcomes
    age = cohort_of(500, 1).frame["age_years"].to_numpy()
    rate = RATE * np.exp(AGE * (age - 60.0) / 10.0)
    expected = (-np.expm1(-2.0 * rate * 60.0)).mean() / (-np.expm1(-rate * 60.0)).mean()
    assert death.observed_over_expected.value == pytest.approx(expected, abs=0.15)
    assert death.observed_over_expected.lower > 1.0
    assert subjects(found, Severity.ALERT) == {"death"}
    (flag,) = [flag for flag in found.flags if flag.severity is Severity.ALERT]
    assert "more than the model states" in flag.words
    assert "by month 60" in flag.words


def test_halved_hazards_are_flagged_the_other_way():
    found = report(1, 0.5 * RATE)
    assert subjects(found, Severity.ALERT) == {"death"}
    assert any("fewer than the model states" in flag.words for flag in found.flags)


def test_the_patients_that_taught_a_twin_are_not_flagged():
    assert drift(twin(), cohort_of(600, 0)).flags == ()
    assert drift(structural_twin(), structural_cohort()).flags == ()


def test_fresh_patients_of_the_same_kind_are_seldom_flagged():
    alerts = sum(bool(subjects(report(seed), Severity.ALERT)) for seed in range(2, 10))
    # The intervals are 95 %: one false alert in eight is no surprise, three are.
    assert alerts <= 2


def test_risks_that_are_too_far_apart_are_watched():
    found = report(20, age=0.0)
    slope = found.outcomes[0].calibration_slope
    assert slope.value == pytest.approx(0.0, abs=0.35)
    assert any("too far apart" in flag.words and flag.severity is Severity.WATCH for flag in found.flags)


def test_an_interval_holds_the_doubt_of_the_model_too():
    """A model that is unsure of its level is not at once contradicted."""
    unsure = fit_twin(cohort_of(60, 5), replace(QUICK, draws=60))
    sure = fit_twin(cohort_of(1000, 5), replace(QUICK, draws=60))
    other = cohort_of(1000, 6)
    ratios = [drift(one, other).outcomes[0].observed_over_expected for one in (unsure, sure)]
    widths = [ratio.upper - ratio.lower for ratio in ratios]
    assert widths[0] > 1.5 * widths[1]


# Inputs


def shifted(**columns: object) -> DriftReport:
    cohort = cohort_of(500, 30)
    return drift(twin(), replace(cohort, frame=cohort.frame.assign(**columns)))


def test_an_input_that_has_moved_is_flagged_by_name():
    older = cohort_of(500, 30).frame["age_years"] + 8.0
    found = {shift.name: shift for shift in shifted(age_years=older).inputs}
    assert found["age_years"].standardised_difference == pytest.approx(0.8, abs=0.15)
    assert found["age_years"].stability_index > 0.25
    assert found["sex"].stability_index < 0.1
    flags = subjects(shifted(age_years=older))
    assert "age_years" in flags
    assert "sex" not in flags


def test_a_level_that_is_more_common_is_flagged():
    sex = cohort_of(500, 30).frame["sex"].where(np.arange(500) % 2 == 0, "female")
    found = shifted(sex=sex)
    assert "sex" in subjects(found)
    assert next(shift for shift in found.inputs if shift.name == "sex").now.startswith("female 7")


def test_values_that_are_no_longer_recorded_are_flagged():
    age = cohort_of(500, 30).frame["age_years"].where(np.arange(500) % 3 > 0)
    found = shifted(age_years=age)
    shift = next(shift for shift in found.inputs if shift.name == "age_years")
    assert shift.missing_before == 0.0
    assert shift.missing_now == pytest.approx(1 / 3, abs=0.01)
    assert any("not recorded in 33 % here, 0 % before" in flag.words for flag in found.flags)


def test_a_column_that_is_not_there_counts_as_not_recorded():
    cohort = cohort_of(500, 30)
    found = drift(twin(), replace(cohort, frame=cohort.frame.drop(columns=["n_stage"])))
    shift = next(shift for shift in found.inputs if shift.name == "n_stage")
    assert (shift.now, shift.missing_now, shift.stability_index) == ("not recorded", 1.0, None)
    assert "n_stage" in subjects(found)


def test_treatments_given_otherwise_are_flagged():
    assert "concurrent_chemo" in subjects(shifted(concurrent_chemo=np.ones(500)))
    assert "concurrent_chemo" not in subjects(shifted())


def test_patients_unlike_those_who_taught_are_flagged():
    found = shifted(age_years=np.full(500, 105.0))
    assert found.support.unsupported > 0.2
    assert "support" in subjects(found, Severity.ALERT)
    assert found.support.supported + found.support.thin + found.support.unsupported == pytest.approx(1.0)


def test_another_time_zero_is_flagged():
    found = drift(twin(), replace(cohort_of(100, 30), time_zero=TimeZero.DIAGNOSIS))
    assert "time zero" in subjects(found, Severity.ALERT)


# The index


def test_the_index_of_two_known_distributions():
    p, q = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
    index, p_value = stability((1e6 * p).astype(int), (1e6 * q).astype(int))
    assert index == pytest.approx(((q - p) * np.log(q / p)).sum(), abs=1e-4)
    assert p_value == 0.0


def test_its_p_value_is_pearsons():
    before, now = np.array([40, 60, 100]), np.array([60, 60, 80])
    table = np.stack([before, now])
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    assert stability(before, now)[1] == pytest.approx(chi2.sf(((table - expected) ** 2 / expected).sum(), 2))


def test_rare_levels_share_a_bin_and_too_little_says_nothing():
    index, _ = stability(np.array([100, 3, 2]), np.array([100, 4, 1]))
    assert index == pytest.approx(0.0, abs=0.01)
    assert stability(np.array([100, 0]), np.array([0, 0])) == (None, None)
    assert stability(np.array([100]), np.array([80])) == (None, None)


# The report


def test_another_disease_and_an_empty_cohort_are_refused():
    cohort = cohort_of(50, 1)
    with pytest.raises(Refused, match="of oropharynx, cohort 'seed 1' of larynx"):
        drift(twin(), replace(cohort, spec=replace(cohort.spec, name="larynx")))
    with pytest.raises(Refused, match="has no patients"):
        drift(twin(), replace(cohort, frame=cohort.frame.head(0)))


def test_a_cohort_without_outcomes_still_tells_of_its_inputs():
    cohort = cohort_of(200, 1)
    found = drift(twin(), replace(cohort, frame=cohort.frame.drop(columns=["death"])))
    assert found.outcomes == ()
    assert {shift.name for shift in found.inputs} > {"age_years", "sex"}


def test_the_document_and_the_text_say_the_same():
    found = report(1, 2.0 * RATE)
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["outcomes"]["death"]["observed_over_expected"]["value"] > 1.0
    assert document["inputs"]["age_years"]["stability_index"] is not None
    text = drift_text(found)
    for flag in document["flags"]:
        assert f"{flag['severity'].upper()}: {flag['words']}" in text
    assert "Nothing is flagged" in drift_text(drift(twin(), cohort_of(600, 0)))
