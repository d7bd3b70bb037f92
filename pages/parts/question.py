"""What is asked about a patient: from which moment, which decisions are fixed, which two plans, how far ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from data.cohort import Cohort
from data.schema import Decision
from pages.parts.session import Session
from pages.parts.widgets import patient_chooser
from pages.parts.words import plan_name, value_text
from twin.prediction import FittedTwin
from twin.record import PatientRecord, decision_matrix
from twin.simulation.policy import Manners, applying
from twin.timeline import OPEN, agrees, plan_text

FREE: Final = "free"
AS_USUAL: Final = "as physicians choose"
CHOICES: Final = {FREE: OPEN, "no": "0", "yes": "1"}
SHORTEST_HORIZON_MONTHS: Final = 12
DEFAULT_HORIZON_MONTHS: Final = 60
LONGEST_HORIZON_MONTHS: Final = 120


@dataclass(frozen=True)
class Question:
    """One comparison of two plans for one patient."""

    record: PatientRecord
    """What is known at the moment asked; a decision that the reader fixes narrows the plans and is no fact."""
    plan_a: str
    plan_b: str | None
    """``None`` when only one plan is left to look at."""
    horizon_months: int
    alive_until: float
    """Months that the patient is known to have lived when the question is asked."""
    full_axis: bool
    """Whether risks are drawn on 0 to 100 per cent."""
    manners: Manners = field(default_factory=dict)
    """In which open decisions are carried out, where the reader chose one."""


def carried_out_text(twin: FittedTwin, question: Question, plan: str) -> str:
    """The manners chosen for decisions that a plan takes, behind its name: ``, concurrent agent cetuximab``."""
    spec = twin.spec
    chosen = applying(spec, plan, question.manners)
    return "".join(
        f", {spec.column(name).label.lower()} {value_text(spec.column(name), chosen[name])}" for name in chosen
    )


def plans_given(twin: FittedTwin, cohort: Cohort) -> pd.Series:
    """The plan of each patient of a cohort, open where a decision is not recorded and not held."""
    digits = twin.capability.with_held(cohort.spec, decision_matrix(cohort.spec, cohort.frame))
    return pd.Series([plan_text(row) for row in digits], index=cohort.frame.index, dtype=object)


def ask(session: Session, twin: FittedTwin, beside: DeltaGenerator, above: DeltaGenerator) -> Question:
    """Draw the controls, the patient's `beside` the figures and the plans `above` them; return what they ask."""
    with beside:
        patient_chooser(session)
        complete = session.record
        reached = seen_from(twin, complete)
        known = complete.known_after(reached)
        wanted, manners = _wanted(twin, complete, known)
        horizon = _horizon(twin)
        full_axis = st.toggle("Risk axis 0-100 %", key="full-axis", persist_state="session")
    with above:
        frequency = plans_given(twin, session.cohort).value_counts()
        plans = [plan for plan in twin.plans_for(known) if agrees(plan, wanted)]
        plan_a, plan_b = _plans(known, plans, complete.plan_so_far, frequency, wanted)
    alive_until = complete.spec.landmarks[reached - 1].month if reached else 0.0
    return Question(known, plan_a, plan_b, horizon, alive_until, full_axis, manners)


def seen_from(twin: FittedTwin, record: PatientRecord) -> int:
    """From which moment the patient is seen: the number of landmarks that lie behind."""
    spec = record.spec
    reached = [0, *(k for k in range(1, 1 + len(spec.landmarks)) if _stood_at(twin, record, k))]
    labels = {0: "before treatment"} | {
        k: f"{landmark.label.lower()} (month {landmark.month:g})" for k, landmark in enumerate(spec.landmarks, start=1)
    }
    if len(reached) == 1:
        return 0
    return st.selectbox(
        "Seen from",
        reached,
        format_func=labels.__getitem__,
        help="What is known at that moment is used and nothing later. Curves start there, for a patient alive then.",
        key=f"seen-from-{record.patient_id}",
        persist_state="session",
    )


def _stood_at(twin: FittedTwin, record: PatientRecord, landmarks_reached: int) -> bool:
    """Whether the patient lived to that landmark with something to see there, as the twin reads the record."""
    (group,) = twin.book.groups(record.known_after(landmarks_reached).to_frame())
    return group.landmarks_reached == landmarks_reached


def _wanted(twin: FittedTwin, complete: PatientRecord, known: PatientRecord) -> tuple[str, Manners]:
    """The reader's choice as a plan, open where a decision is free, and the manners chosen for decisions to come."""
    digits = ""
    manners: dict[str, str] = {}
    for decision in known.spec.decisions:
        digits += decision_control(twin, decision, complete, known)
        if decision.manner and twin.manners_of(decision) and digits[-1] != CHOICES["no"]:
            chosen = _manner_control(twin, decision, decision.manner, complete, known)
            manners |= {decision.manner: chosen} if chosen else {}
    return digits, manners


def _manner_control(
    twin: FittedTwin, decision: Decision, manner: str, complete: PatientRecord, known: PatientRecord
) -> str:
    """How a decision is carried out; empty where it is settled, or left to the physicians."""
    if decision.column in known.values or decision.column in twin.capability.held:
        return ""
    column, levels = known.spec.column(manner), twin.manners_of(decision)
    return str(
        st.selectbox(
            column.label,
            ["", *levels],
            format_func=lambda value: value_text(column, levels[value]) if value else AS_USUAL,
            key=f"{manner}-{complete.patient_id}-{known.plan_so_far}",
            help=f"Of plans with {decision.phrase}. In this patient's record: "
            f"{value_text(column, complete.values.get(manner))}.",
        )
    )


def decision_control(twin: FittedTwin, decision: Decision, complete: PatientRecord, known: PatientRecord) -> str:
    """The control of a decision; its digit of the plans that are compared, open where it is free or held."""
    taken = known.values.get(decision.column)
    held = twin.capability.held.get(decision.column)
    settled = taken if taken is not None else held
    in_record = complete.values.get(decision.column)
    said = "not recorded" if in_record is None else "given" if in_record == 1 else "not given"
    remark = f"held at {'yes' if held else 'no'}: the cohort cannot compare it" if held is not None else said
    options = list(CHOICES)
    chosen = st.segmented_control(
        decision.label,
        options,
        default=FREE if settled is None else options[1 + int(settled)],
        required=True,
        disabled=settled is not None,
        key=f"{decision.column}-{complete.patient_id}-{settled}",
        persist_state="session",
        help=f"Free: both options are compared. In this patient's record: {remark}.",
    )
    return CHOICES[chosen or FREE] if settled is None else str(int(settled)) if taken is not None else OPEN


def _plans(
    record: PatientRecord, plans: Sequence[str], given: str, frequency: pd.Series, wanted: str
) -> tuple[str, str | None]:
    """The two plans to compare: by default the one the patient had and the most frequent other one."""
    by_frequency = sorted(plans, key=lambda plan: (-frequency.get(plan, 0), plan))
    first = given if given in plans else by_frequency[0]
    left, right = st.columns(2)
    with left:
        plan_a = _plan_control("Plan A", plans, first, record, wanted)
    others = [plan for plan in by_frequency if plan != plan_a]
    if not others:
        return plan_a, None
    with right:
        return plan_a, _plan_control("Plan B", sorted(others), others[0], record, wanted + plan_a)


def _plan_control(label: str, plans: Sequence[str], default: str, record: PatientRecord, given: str) -> str:
    key = f"{label}-{record.patient_id}-{record.plan_so_far}-{given}"
    return str(
        st.selectbox(
            label,
            list(plans),
            index=list(plans).index(default),
            format_func=lambda plan: plan_name(record.spec, plan),
            key=key,
        )
    )


def _horizon(twin: FittedTwin) -> int:
    longest = min(LONGEST_HORIZON_MONTHS, int(twin.last_month // 12 * 12))
    return int(
        st.number_input(
            "Horizon, months",
            min_value=SHORTEST_HORIZON_MONTHS,
            max_value=longest,
            value=min(DEFAULT_HORIZON_MONTHS, longest),
            step=12,
            key="horizon",
            persist_state="session",
            help=f"The cohort was followed for up to {twin.last_month:.0f} months; nothing is shown beyond that.",
        )
    )


def record_table(record: PatientRecord) -> list[dict[str, str]]:
    """Everything recorded, in dictionary order, as rows for a table."""
    return [
        {"What": column.label, "Value": value_text(column, record.values[column.name]), "Unit": column.unit}
        for column in record.spec.columns
        if column.name in record.values
    ]
