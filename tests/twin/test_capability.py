import numpy as np
import pytest
from fixtures.cohorts import exponential_cohort, structural_cohort, with_lost_events

from data.cohort import Cohort
from twin.capability import Subject, capability


def test_a_full_cohort_offers_everything() -> None:
    able = capability(structural_cohort())
    assert able.not_offered == ()
    assert able.held == {}
    assert able.outcomes == tuple(outcome.name for outcome in structural_cohort().spec.outcomes)


def test_what_is_not_recorded_is_named_with_its_columns() -> None:
    cohort = structural_cohort()
    gone = ["induction_chemo", "neck_dissection", "feeding_tube_6m", "aspiration_6m", "lrf_months"]
    gone += [column.name for column in cohort.spec.columns if column.available_from in ("after_ic", "after_rt")]
    able = capability(Cohort(cohort.spec, cohort.frame.drop(columns=gone)))
    said = {(ability.subject, ability.name): ability.missing for ability in able.not_offered}
    assert said[Subject.DECISION, "induction_chemo"] == ("induction_chemo",)
    assert said[Subject.DECISION, "neck_dissection"] == ("neck_dissection",)
    assert said[Subject.OUTCOME, "feeding_tube_6m"] == ("feeding_tube_6m",)
    assert said[Subject.OUTCOME, "locoregional_failure"] == ("lrf_months",)
    assert "ic_response_primary" in said[Subject.STATE, "after_ic"]
    assert able.outcomes == ("death", "distant_failure")
    assert able.held == {"induction_chemo": 0, "neck_dissection": 0}
    assert not able.offers(Subject.STATE, "after_rt")


@pytest.mark.parametrize("only", [0, 1])
def test_a_decision_that_never_varies_is_held_at_the_value_seen(only: int) -> None:
    cohort = structural_cohort()
    frame = cohort.frame.assign(neck_dissection=np.where(cohort.frame["neck_dissection"].isna(), np.nan, float(only)))
    able = capability(Cohort(cohort.spec, frame))
    assert able.held == {"neck_dissection": only}
    (ability,) = able.not_offered
    assert ability.reason == f"always {only} in this cohort, held at {only}"
    decisions = np.array([[1.0, 0.0, np.nan], [np.nan, 0.0, 0.0]])
    np.testing.assert_array_equal(able.with_held(cohort.spec, decisions), [[1.0, 0.0, only], [np.nan, 0.0, 0.0]])


def test_too_few_events_are_said() -> None:
    able = capability(exponential_cohort(100, 0, death_rate=0.0002))
    (death,) = [ability for ability in able.about(Subject.OUTCOME) if ability.name == "death"]
    assert not death.offered
    assert "events in this cohort, at least 10 are needed" in death.reason
    assert death.missing == ()


def test_events_of_patients_with_unrecorded_decisions_do_not_count() -> None:
    """They teach the fits nothing: what is offered is what can be fitted."""
    said = {able.name: able for able in capability(with_lost_events()).about(Subject.OUTCOME)}
    lost = " (without 6 events of patients with a decision that is not recorded)"
    assert said["locoregional_failure"].reason == f"8 events in this cohort{lost}, at least 10 are needed"
    assert said["feeding_tube_6m"].reason.startswith("8 patients with and ")
    assert said["feeding_tube_6m"].reason.endswith(f" without{lost}, at least 10 of each are needed")
    assert not said["locoregional_failure"].offered
    assert not said["feeding_tube_6m"].offered
    assert said["death"].offered


def test_whoever_died_before_a_decision_counts() -> None:
    """Nobody lives to month 6: no dissection is recorded, and all deaths teach."""
    cohort = exponential_cohort(100, 0, death_rate=0.02)
    frame = cohort.frame.assign(
        os_months=cohort.frame["os_months"].clip(upper=5.0),
        neck_dissection=np.where(np.arange(100) < 4, np.arange(100) % 2, np.nan),
        feeding_tube_6m=(np.arange(100) % 2).astype(float),
    )
    said = {able.name: able.reason for able in capability(Cohort(cohort.spec, frame)).about(Subject.OUTCOME)}
    assert said["death"] == f"{int(frame['death'].sum())} events in 100 patients"
    assert said["feeding_tube_6m"] == "50 of 100 patients"


def test_a_binary_outcome_needs_both_kinds_of_patients() -> None:
    cohort = structural_cohort()
    able = capability(Cohort(cohort.spec, cohort.frame.assign(feeding_tube_6m=0.0)))
    (tube,) = able.not_offered
    assert tube.reason == "0 patients with and 400 without, at least 10 of each are needed"
