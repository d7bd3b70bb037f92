"""What a recommendation is asked under: patient and moment, what is ruled out, and how much each loss counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import streamlit as st

from data.schema import Outcome
from pages.parts import session as visit
from pages.parts.question import decision_control, seen_from
from pages.parts.session import Session
from pages.parts.widgets import note, patient_chooser
from pages.parts.words import plain
from twin.policy.options import Exclusion
from twin.policy.utility import Weights
from twin.prediction import FittedTwin
from twin.record import PatientRecord
from twin.timeline import OPEN

LARGEST_WEIGHT: Final = 2.0
STEP: Final = 0.05


@dataclass(frozen=True)
class Asked:
    """What is asked about one patient."""

    record: PatientRecord
    """What is known at the moment"""
    alive_until: float
    """Months that the patient is known to have lived then"""
    excluded: tuple[Exclusion, ...]
    weights: Weights


def ask(session: Session, twin: FittedTwin) -> Asked:
    """Draw the controls, the same as on the Twin page where they ask the same; return what they ask."""
    patient_chooser(session)
    complete = session.record
    reached = seen_from(twin, complete)
    known = complete.known_after(reached)
    excluded = _ruled_out(twin, complete, known)
    alive_until = known.spec.landmarks[reached - 1].month if reached else 0.0
    return Asked(known, alive_until, excluded, _weights(twin))


def _ruled_out(twin: FittedTwin, complete: PatientRecord, known: PatientRecord) -> tuple[Exclusion, ...]:
    """Options that the reader rules out by fixing a decision at the other one."""
    found = []
    for decision in known.spec.decisions:
        digit = decision_control(twin, decision, complete, known)
        if digit != OPEN and decision.column not in known.values:
            found.append(Exclusion(decision.column, 1 - int(digit)))
    note("A decision fixed at *no* or *yes* rules the other option out, here and on the Twin page.")
    return tuple(found)


def _weights(twin: FittedTwin) -> Weights:
    """How much each loss counts, by sliders that can be set back."""
    outcomes = [twin.spec.outcome(name) for name in twin.outcomes]
    defaults = {_key(outcome): outcome.weight for outcome in outcomes}
    with st.expander("How much each loss counts", icon=":material/tune:"):
        note("Weights of the losses in the utility that ranks the options; 0 leaves a loss out.")
        asked = {outcome.name: _slider(outcome) for outcome in outcomes}
        st.button("Back to the defaults", icon=":material/undo:", on_click=visit.put_back, args=(defaults,))
    if changed(outcomes, asked):
        note(":material/edit: The weights differ from the defaults.")
    return Weights.of(twin.spec, asked)


def changed(outcomes: list[Outcome], asked: Mapping[str, float]) -> bool:
    """Whether any weight is not the one of the specification."""
    return any(asked[outcome.name] != outcome.weight for outcome in outcomes)


def _key(outcome: Outcome) -> str:
    return f"weight-{outcome.name}"


def _slider(outcome: Outcome) -> float:
    return float(
        st.slider(
            plain(outcome.label),
            0.0,
            max(LARGEST_WEIGHT, outcome.weight),
            outcome.weight,
            STEP,
            key=_key(outcome),
            persist_state="session",
        )
    )
