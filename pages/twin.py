"""What will happen to this patient under one plan and under another?"""

from __future__ import annotations

import streamlit as st

from pages.parts import ahead, outcomes, question, symptoms, trust, unknowns
from pages.parts import session as visit
from pages.parts.guard import guarded
from pages.parts.session import Session
from pages.parts.widgets import provenance
from pages.parts.words import introduction, plain, unknown_covariates
from twin.record import PatientRecord


def render() -> None:
    """The twin of the chosen patient."""
    session = visit.current()
    who = st.container()
    beside, middle = st.columns([1, 3.4], gap="medium")
    controls = beside.container(border=True)
    with middle:
        plans = st.container()
        below = st.container()
    asked = question.ask(session, session.twin, controls, plans)
    with who:
        _who(session, session.record)
    with below:
        trust.show_disagreements(session.twin, asked)
        answers = outcomes.ask_twin(session.twin, asked)
        outcomes.show(session.twin, session.cohort, asked, answers)
        trust.show_model(session.twin)
        ahead.show(session.twin, asked)
        unknowns.show(session.twin, asked)
        symptoms.show(session, asked, tuple(each.supported for each in answers))
        _record(asked.record)


def _who(session: Session, record: PatientRecord) -> None:
    """The patient in one line, what is not known about them, and where the numbers come from."""
    st.title(plain(f"{record.patient_id} · {introduction(record)}"), anchor=False)
    provenance(session, unknown_covariates(record, session.summary.recorded))


def _record(record: PatientRecord) -> None:
    with st.expander("What is known at this moment", icon=":material/assignment_ind:"):
        st.dataframe(question.record_table(record), hide_index=True, alt="The values the prediction may use")


guarded(render)
