"""A model that answers at one moment reads only what is known before it: later columns may hold anything."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import EFFECTS, QUICK, structural_cohort, structural_twin

from data.cohort import Cohort
from data.dictionary import load_specification
from data.schema import Role
from twin.fitting import fit_twin
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


def test_inputs_and_guesses_are_the_same_whatever_later_columns_hold() -> None:
    marginal = structural_twin().marginal
    frame = structural_cohort().frame
    later = not_before(marginal.encoding.moment)
    altered = shuffled(frame, later)
    assert not altered[later].equals(frame[later])
    before, after = (marginal.patients(marginal.known(table, SPEC)) for table in (frame, altered))
    assert before.copies > 1
    assert before.inputs.tobytes() == after.inputs.tobytes()
    assert before.terms.tobytes() == after.terms.tobytes()


def test_an_answer_at_the_first_decision_is_the_same_whatever_later_columns_hold() -> None:
    """States and decisions, with their manner, say where a patient stands: blanking them asks the first question."""
    frame = structural_cohort().frame.copy()
    manners = [decision.manner for decision in SPEC.decisions if decision.manner]
    told = [*not_before("decision_ic", Role.STATE, Role.DECISION), *manners]
    frame[told] = np.nan
    later = [name for name in not_before("decision_ic") if name not in told]
    assert {"rt_fractions", "rt_dose_gy", "os_months", "death", "aspiration_6m", "cause_of_death"} <= set(later)
    some = frame.head(20)
    twin = structural_twin()
    expected = twin.predict(some, "all", [12, 60])
    pd.testing.assert_frame_equal(twin.predict(shuffled(some, later), "all", [12, 60]), expected, check_exact=True)
    pd.testing.assert_frame_equal(twin.predict(some.drop(columns=later), "all", [12, 60]), expected, check_exact=True)


def test_the_prognosis_at_time_zero_is_the_same_whatever_is_done_and_seen_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """States may settle what decisions do (they confound later ones); given the effects, nothing else reads them."""
    cohort, twin = structural_cohort(), structural_twin()
    monkeypatch.setattr(EFFECTS, lambda *asked, **named: twin.effects)
    between = not_before("decision_ic", Role.STATE, Role.COVARIATE, Role.AUDIT, Role.CHECK)
    assert {"rt_response_primary", "rt_dose_gy", "concurrent_agent"} <= set(between)
    refitted = fit_twin(Cohort(cohort.spec, shuffled(cohort.frame, between)), QUICK).marginal
    assert refitted.encoding == twin.marginal.encoding
    for name, hazards in twin.marginal.hazards.items():
        for ours, theirs in (
            (hazards.event, refitted.hazards[name].event),
            (hazards.rival, refitted.hazards[name].rival),
        ):
            if ours is not None and theirs is not None:
                assert ours.prognosis.coefficients.tobytes() == theirs.prognosis.coefficients.tobytes()
                assert ours.prognosis.cumulative.tobytes() == theirs.prognosis.cumulative.tobytes()
    for name, model in twin.marginal.binaries.items():
        assert refitted.binaries[name].coefficients.tobytes() == model.coefficients.tobytes()


def test_no_model_reads_audit_columns_or_a_decision_as_an_input() -> None:
    marginal = structural_twin().marginal
    members = {member for entry in marginal.encoding.inputs for member in getattr(entry, "members", (entry.source,))}
    guessed = {model.column for model in marginal.imputer.models}
    read = {term.column for term in marginal.terms if term.column}
    assert {SPEC.column(name).role for name in members | guessed | read} == {Role.COVARIATE}
    assert all(SPEC.rank(SPEC.column(name).available_from) == 0 for name in members | guessed | read)


def test_what_a_decision_brings_is_no_input_at_time_zero() -> None:
    sources = {entry.source for entry in structural_twin().marginal.encoding.inputs}
    assert not {"concurrent_agent", "rt_dose_gy", "rt_fractions"} & sources


def test_models_cannot_be_asked_at_another_moment() -> None:
    encoding = structural_twin().marginal.encoding
    wrong = replace(encoding, moment="decision_cc")
    known = Known.at(structural_cohort().frame, SPEC, "decision_ic")
    with pytest.raises(NotYetKnown, match="inputs known at decision_ic were offered to a model that answers at"):
        wrong.encode(known)
