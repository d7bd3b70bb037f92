"""Small pieces that several pages draw: the provenance line, badges, the chooser of patients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.parts.session import PATIENT_KEY, Session
from pages.parts.words import plain

UNKNOWNS_NAMED: Final = 3
"""Unknown values named on the badge; all of them stand in its help."""


def note(text: str, width: Literal["stretch", "content"] = "stretch") -> None:
    """A remark in small grey Markdown; Streamlit's own caption is too pale to be read by everybody."""
    st.markdown(f":small[:gray[{text}]]", width=width)


def heading(title: str, session: Session) -> None:
    """The page's title, with what the reader looks at below it: cohort, marks, model version."""
    st.title(title, anchor=False)
    provenance(session)


def provenance(session: Session, unknown: Sequence[str] = ()) -> None:
    """Which cohort and which model version the page shows, how the data are marked, and what is `unknown`."""
    summary = session.summary
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        if unknown:
            shown = ", ".join(unknown[:UNKNOWNS_NAMED]) + (" ..." if len(unknown) > UNKNOWNS_NAMED else "")
            text = f"{len(unknown)} unknown: {shown}"
            st.badge(text, color="orange", icon=":material/help:", help="; ".join(unknown))
        if summary.synthetic:
            st.badge("demonstration data: invented patients", color="gray", icon=":material/science:")
        if summary.time_zero == "diagnosis":
            st.badge("time counted from diagnosis", color="orange", icon=":material/schedule:")
        note(f"Cohort {plain(summary.name)}, version {summary.version} · {model_line(session)}", width="content")


def model_line(session: Session) -> str:
    """The version of the twin that serves and, when it is not this one, the cohort's version it was fitted on."""
    model = session.workspace.store.serving(session.cohort_name)
    if model is None:
        return "no twin fitted yet"
    older = model.cohort_version != session.summary.version
    return f"twin {plain(model.version)}" + (f", fitted on version {model.cohort_version}" if older else "")


def patient_chooser(session: Session) -> str:
    """The chooser labelled "Patient"; typing searches. Returns the chosen identifier."""
    cohort = session.cohort
    identifiers = [str(value) for value in cohort.frame[cohort.spec.key]]
    if st.session_state.get(PATIENT_KEY) not in identifiers:
        st.session_state[PATIENT_KEY] = identifiers[0]
    chosen = st.selectbox("Patient", identifiers, key=PATIENT_KEY, persist_state="session", filter_mode="contains")
    return str(chosen)


def shown_on(bar: DeltaGenerator, task: str) -> Callable[[float, str], None]:
    """A reporter of progress that moves `bar` and says what is being done."""

    def report(done: float, doing: str) -> None:
        bar.progress(min(max(done, 0.0), 1.0), text=f"{task}: {doing}")

    return report
