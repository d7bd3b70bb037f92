"""Which option of the patient's next decision is favoured, who agrees, and what it costs?"""

from __future__ import annotations

import streamlit as st

from pages.parts import advice, agreement, front, weighing
from pages.parts import session as visit
from pages.parts.guard import guarded
from pages.parts.session import Session
from pages.parts.weighing import Asked
from pages.parts.widgets import note, provenance
from pages.parts.words import introduction, plain, unknown_covariates
from twin.policy.explanation import Explanation, explain


def render() -> None:
    """The recommendation to the chosen patient."""
    session = visit.current()
    who, verdict = st.container(gap="xsmall"), st.container(border=True, gap="xsmall")
    beside, middle, right = st.columns([1, 2.4, 1.5], gap="medium")
    middle, right = middle.container(gap="small"), right.container(gap="small")
    with beside:
        with st.container(border=True):
            asked = weighing.ask(session, session.twin)
        note("For research and education: a comparison of sequences by a model, not an order. The clinician decides.")
    with who:
        _who(session)
    found = explain(session.twin, asked.record.to_frame(), asked.weights, session.learnt, asked.excluded)
    if found is None:
        with verdict:
            advice.show_nothing_left(session.twin, asked.record)
        return
    with verdict:
        advice.show_verdict(session.twin, asked.record, found)
    with middle:
        _options(session, asked, found)
    with right:
        _agreement(session, asked, found)
    agreement.show_later(session.twin, found)
    front.show(session)


def _who(session: Session) -> None:
    """The patient in one line, and where the numbers come from."""
    record = session.record
    st.title(plain(f"{record.patient_id} · {introduction(record)}"), anchor=False)
    provenance(session, unknown_covariates(record, session.summary.recorded))


def _options(session: Session, asked: Asked, found: Explanation) -> None:
    advice.show_options(session.twin.spec, found)
    advice.show_gain(session.twin, found, asked.weights)
    advice.show_benefit_and_harm(session.twin, found, asked.weights)


def _agreement(session: Session, asked: Asked, found: Explanation) -> None:
    agreement.show_agreement(found)
    agreement.show_comparable(session.twin, session.cohort, asked, found)
    agreement.show_trials(session.twin, asked, found)


guarded(render)
