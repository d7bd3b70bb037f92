"""A model that answers at one moment reads only what is known before it: later columns may hold anything."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import REFITS, structural_cohort, structural_twin

from data.cohort import Cohort
from data.dictionary import load_specification
from data.schema import Role
from twin.fitting import FitSettings, fit_twin
from twin.state import Known, NotYetKnown

SPEC = load_specification()


def shuffled(frame: pd.DataFrame, columns: list[str], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return frame.assign(**{name: frame[name].to_numpy()[rng.permutation(len(frame))] for name in columns})


def not_before(moment: str, *roles: Role) -> list[str]:
    limit = SPEC.rank(moment)
    frame = structural_cohort().frame
    return [
        column.name
        for column in SPEC.columns
        if SPEC.rank(column.available_from) >= limit and column.name in frame and (not roles or column.role in roles)
    ]


@pytest.mark.parametrize("stage", range(3))
def test_inputs_are_the_same_whatever_later_columns_hold(stage: int) -> None:
    encoding = structural_twin().stages[stage].encoding
    frame = structural_cohort().frame
    later = not_before(encoding.moment)
    altered = shuffled(frame, later)
    assert not altered[later].equals(frame[later])
    before, after = (encoding.encode(Known.at(table, SPEC, encoding.moment)) for table in (frame, altered))
    assert before.tobytes() == after.tobytes()


def test_an_answer_at_the_first_decision_is_the_same_whatever_later_columns_hold() -> None:
    """States and decisions say where a patient stands, so that blanking them asks the first question."""
    frame = structural_cohort().frame.copy()
    frame[not_before("decision_ic", Role.STATE, Role.DECISION)] = np.nan
    later = not_before("decision_ic", Role.COVARIATE, Role.TIME, Role.EVENT, Role.BINARY, Role.AUDIT)
    assert {"concurrent_agent", "rt_dose_gy", "os_months", "death", "aspiration_6m"} <= set(later)
    some = frame.head(20)
    twin = structural_twin()
    expected = twin.predict(some, "all", [12, 60])
    pd.testing.assert_frame_equal(twin.predict(shuffled(some, later), "all", [12, 60]), expected, check_exact=True)
    pd.testing.assert_frame_equal(twin.predict(some.drop(columns=later), "all", [12, 60]), expected, check_exact=True)


def test_a_fit_at_time_zero_is_the_same_whatever_happens_between_the_decisions() -> None:
    cohort = structural_cohort()
    between = not_before("decision_ic", Role.STATE, Role.COVARIATE, Role.AUDIT, Role.CHECK)
    assert {"rt_response_primary", "rt_dose_gy", "concurrent_agent"} <= set(between)
    other = Cohort(cohort.spec, shuffled(cohort.frame, between))
    refitted = fit_twin(other, FitSettings(refits=REFITS)).stages[0]
    stage = structural_twin().stages[0]
    assert refitted.encoding == stage.encoding
    for name, hazards in stage.hazards.items():
        assert refitted.hazards[name].event.coefficients.tobytes() == hazards.event.coefficients.tobytes()
        assert refitted.hazards[name].event.cumulative.tobytes() == hazards.event.cumulative.tobytes()
    for name, model in stage.binaries.items():
        assert refitted.binaries[name].coefficients.tobytes() == model.coefficients.tobytes()


def test_no_model_reads_audit_columns_or_a_decision_as_an_input() -> None:
    for stage in structural_twin().stages:
        members = {member for entry in stage.encoding.inputs for member in getattr(entry, "members", (entry.source,))}
        assert {SPEC.column(name).role for name in members} <= {Role.COVARIATE, Role.STATE}


def test_what_a_decision_brings_enters_only_at_the_next_question() -> None:
    sources = [{entry.source for entry in stage.encoding.inputs} for stage in structural_twin().stages]
    brought = {"concurrent_agent", "rt_dose_gy", "rt_fractions"}
    assert not brought & sources[0]
    assert not brought & sources[1]
    assert brought <= sources[2]


def test_a_stage_cannot_be_asked_at_another_moment() -> None:
    twin = structural_twin()
    wrong = replace(twin.stages[0].encoding, moment="decision_cc")
    known = Known.at(structural_cohort().frame, SPEC, "decision_ic")
    with pytest.raises(NotYetKnown, match="inputs known at decision_ic were offered to a model that answers at"):
        wrong.encode(known)
