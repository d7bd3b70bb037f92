"""The twin of a real cohort that lacks induction, neck dissection, states and toxicity."""

from pathlib import Path

import pytest
from fixtures.cohorts import QUICK

from data.cohort import Cohort, TimeZero
from data.importing import check_source
from data.mapping import load_mapping
from data.schema import Specification
from twin.capability import Subject, capability
from twin.fitting import fit_twin
from twin.policy.recommendation import recommend
from twin.policy.utility import Weights
from twin.record import PatientRecord

MAPPING = Path(__file__).parents[1] / "fixtures" / "radcure_mapping.json"


@pytest.fixture(scope="module")
def radcure(radcure_file: Path, spec: Specification) -> Cohort:
    mapping = load_mapping(MAPPING.read_bytes(), MAPPING.name)
    cohort = check_source(radcure_file.read_bytes(), radcure_file.name, spec, mapping, skip_bad_rows=True).cohort
    assert cohort is not None
    return cohort


def test_what_such_a_cohort_cannot_answer_is_named(radcure: Cohort) -> None:
    able = capability(radcure)
    assert {(ability.subject, ability.name) for ability in able.not_offered} == {
        (Subject.DECISION, "induction_chemo"),
        (Subject.DECISION, "neck_dissection"),
        (Subject.STATE, "after_ic"),
        (Subject.STATE, "after_rt"),
        (Subject.OUTCOME, "feeding_tube_6m"),
        (Subject.OUTCOME, "aspiration_6m"),
    }
    assert all(ability.missing for ability in able.not_offered)


def test_its_twin_answers_the_rest_and_keeps_what_it_comes_from(radcure: Cohort) -> None:
    twin = fit_twin(radcure, QUICK)
    assert twin.origin.time_zero is TimeZero.DIAGNOSIS
    assert twin.plans == ("000", "010")
    assert twin.outcomes == ("death", "locoregional_failure", "distant_failure")
    given = radcure.frame[radcure.frame["concurrent_chemo"] == 1].iloc[0]
    patient = PatientRecord.from_row(radcure.spec, given)
    assert twin.plans_for(patient) == ("010",)
    assert twin.next_decision(patient) is None
    # Chemoradiation starts at time zero here: knowing of it is no evidence that six months were survived.
    assert twin.curves(patient, "010", [0.0, 6.0])["death"].risk[1] > 0


def test_the_one_decision_that_it_can_compare_is_recommended_on(radcure: Cohort) -> None:
    """What it cannot compare is held; how comparable the treated are is told by the share of real choices."""
    twin = fit_twin(radcure, QUICK)
    known = {column.name for column in radcure.spec.available_before("decision_cc")}
    frame = radcure.frame[[name for name in radcure.frame if name in known]].head(60).reset_index(drop=True)
    found = recommend(twin, frame, Weights.of(radcure.spec))
    assert list(found["patient_id"]) == list(frame["patient_id"])
    assert set(found["decision"]) == {"concurrent_chemo"}
    assert set(found["plan"]) <= {"000", "010"}
    assert found["physician_probability"].between(0.0, 1.0).all()
    assert (found["gain_lower"] < found["gain_upper"]).all()
    named = {able.name for able in twin.capability.about(Subject.DECISION) if not able.offered}
    assert named == {"induction_chemo", "neck_dissection"}
    (overlap,) = twin.effects.by_outcome["death"].cohort.overlap
    assert overlap.decision == "concurrent_chemo"
    assert 0.5 < overlap.share_both_real <= 1.0
