import math

import numpy as np
import pytest
from fixtures.cohorts import structural_cohort

from data.dictionary import load_specification
from data.errors import NotFound
from twin.record import InvalidValue, PatientRecord, checked_value

SPEC = load_specification()
BASE = {"patient_id": "007", "age_years": 61.5, "sex": "male", "t_stage": "T2", "n_stage": "N1"}


def record(**values: object) -> PatientRecord:
    return PatientRecord(SPEC, {**BASE, **values})


def test_a_missing_value_is_unknown() -> None:
    made = record(hpv_status=None, pack_years=math.nan, ecog="")
    assert set(made.values) == set(BASE)
    assert made.to_row()["hpv_status"] is None
    assert made.to_row()["age_years"] == 61.5


def test_rows_of_a_cohort_come_back_as_they_were() -> None:
    cohort = structural_cohort()
    for k in range(5):
        row = cohort.frame.iloc[k]
        made = PatientRecord.from_row(SPEC, row)
        assert made.values == row.dropna().to_dict()
        assert PatientRecord.from_row(SPEC, made.to_row()) == made
        assert made.to_frame().iloc[0].dropna().to_dict() == row.dropna().to_dict()


def test_values_cannot_be_changed_behind_the_check() -> None:
    with pytest.raises(TypeError):
        record().values["age_years"] = -1.0


def test_with_value_sets_and_clears_without_touching_the_original() -> None:
    first = record()
    assert first.with_value("induction_chemo", 1).plan_so_far == "1--"
    assert first.with_value("age_years", None).to_row()["age_years"] is None
    assert first.plan_so_far == "---"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("age_years", 7.0, "column age_years: expected a number from 18 to 110 (years), got 7.0"),
        ("age_years", math.inf, "got inf"),
        ("age_years", "old", "got 'old'"),
        ("sex", "m", "column sex: expected one of female, male, got 'm'"),
        ("induction_chemo", 0.5, "column induction_chemo: expected 1 or 0"),
        ("ecog", 2.5, "column ecog: expected a whole number from 0 to 4"),
        ("tnm_edition", 9, "expected one of 7, 8, got 9"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused_in_words(column: str, value: object, said: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        record().with_value(column, value)
    assert said in str(refused.value)


def test_a_column_that_does_not_exist_is_named() -> None:
    with pytest.raises(NotFound, match="unknown column 'agee'"):
        record(agee=3)
    with pytest.raises(NotFound, match="unknown column 'agee'"):
        record().with_value("agee", None)


def test_flags_and_integers_are_numbers() -> None:
    assert checked_value(SPEC.column("induction_chemo"), True) == 1.0
    assert checked_value(SPEC.column("tnm_edition"), "8") == 8.0


@pytest.mark.parametrize(
    ("filled", "plan", "moment"),
    [
        ({}, "---", "decision_ic"),
        ({"induction_chemo": 1}, "1--", "decision_cc"),
        ({"induction_chemo": 1, "ic_response_primary": "CR"}, "1--", "decision_cc"),
        ({"induction_chemo": 0, "concurrent_chemo": 1}, "01-", "decision_nd"),
        ({"induction_chemo": 0, "concurrent_chemo": 1, "rt_response_nodal": "PR"}, "01-", "decision_nd"),
        ({"induction_chemo": 0, "concurrent_chemo": 1, "neck_dissection": 0}, "010", "outcome"),
        ({"concurrent_chemo": 1}, "-1-", "decision_nd"),
        ({"ic_response_primary": "unknown"}, "---", "decision_ic"),
        ({"rt_response_primary": "CR"}, "---", "decision_nd"),
    ],
)
def test_the_next_question_follows_from_what_is_filled(filled: dict, plan: str, moment: str) -> None:
    made = record(**filled)
    assert made.plan_so_far == plan
    assert made.moment == moment
    upcoming = made.next_decision
    assert (upcoming.moment if upcoming else "outcome") == moment


def test_decisions_as_numbers() -> None:
    np.testing.assert_array_equal(record(concurrent_chemo=0).decisions, [np.nan, 0.0, np.nan])
