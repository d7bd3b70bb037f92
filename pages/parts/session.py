"""What one visitor looks at: the cohort, the twin, the patient. The only reader of the browser session's state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import streamlit as st

from data.cohort import Cohort
from data.errors import NotFound
from data.store import CohortSummary
from pages.parts.words import plain
from twin.policy.agent import Agent
from twin.prediction import FittedTwin
from twin.record import PatientRecord
from twin.workspace import DEMONSTRATION, Workspace, open_workspace

COHORT_KEY: Final = "cohort"
PATIENT_KEY: Final = "patient"


@st.cache_resource(show_spinner=False)
def workspace() -> Workspace:
    """The workspace of this installation, shared by all sessions: it holds connections and models, no patient."""
    return open_workspace()


@st.cache_resource(show_spinner=False, max_entries=8)
def _twin(version: str) -> FittedTwin:
    """A fitted twin: reference data, so sessions may share it."""
    return workspace().twin(version)


@st.cache_resource(show_spinner=False, max_entries=8)
def _agent(version: str, number: int) -> Agent | None:
    """A twin's agent of that number, for as long as it is the newest."""
    return workspace().agent(version)


@st.cache_data(scope="session", show_spinner=False, max_entries=4)
def _cohort(name: str, version: int) -> Cohort:
    """Patients stay in the session that asked for them."""
    return workspace().store.load(name, version)


@dataclass(frozen=True)
class Session:
    """What this visitor has chosen; everything a page needs to draw itself."""

    workspace: Workspace
    cohort_name: str
    patient_id: str | None

    @cached_property
    def summaries(self) -> tuple[CohortSummary, ...]:
        """The cohorts that can be chosen, the demonstration first."""
        found = self.workspace.store.cohorts()
        return tuple(sorted(found, key=lambda cohort: (cohort.name != DEMONSTRATION, cohort.name)))

    @cached_property
    def summary(self) -> CohortSummary:
        """The chosen cohort in short.

        Raises:
            NotFound: it was deleted meanwhile.
        """
        for summary in self.summaries:
            if summary.name == self.cohort_name:
                return summary
        raise NotFound.named("cohort", self.cohort_name, [summary.name for summary in self.summaries])

    @property
    def cohort(self) -> Cohort:
        """The patients of the chosen cohort."""
        return _cohort(self.summary.name, self.summary.version)

    @property
    def twin(self) -> FittedTwin:
        """The twin that serves the chosen cohort.

        Raises:
            Refused: none was fitted yet.
        """
        return _twin(self.workspace.serving_version(self.cohort_name))

    @property
    def learnt(self) -> Agent | None:
        """The newest policy that was learnt for the twin that serves; ``None`` where none was."""
        version = self.workspace.serving_version(self.cohort_name)
        number = self.workspace.newest_agent(version)
        return _agent(version, number) if number else None

    @property
    def record(self) -> PatientRecord:
        """The chosen patient, the first of the cohort when none was chosen.

        Raises:
            NotFound: the cohort has no such patient.
        """
        cohort = self.cohort
        identifiers = cohort.frame[cohort.spec.key]
        wanted = self.patient_id if self.patient_id in set(identifiers) else identifiers.iloc[0]
        return PatientRecord.from_row(cohort.spec, cohort.frame[identifiers == wanted].iloc[0].to_dict())


def current() -> Session:
    """The session of this visitor; a cohort that was deleted meanwhile gives way to the first one there is."""
    state = st.session_state
    session = Session(workspace(), str(state.get(COHORT_KEY) or DEMONSTRATION), state.get(PATIENT_KEY))
    names = [summary.name for summary in session.summaries]
    if names and session.cohort_name not in names:
        st.warning(f"Cohort {plain(session.cohort_name)} is no longer there: this is {plain(names[0])}.")
        choose_cohort(names[0])
        return replace(session, cohort_name=names[0], patient_id=None)
    return session


def choose_cohort(name: str) -> None:
    """Turn to another cohort; the patient of the old one is let go."""
    st.session_state[COHORT_KEY] = name
    st.session_state[PATIENT_KEY] = None


def choose_patient(patient_id: str) -> None:
    """Turn to another patient of the same cohort."""
    st.session_state[PATIENT_KEY] = patient_id


def put_back(values: Mapping[str, float]) -> None:
    """Set widgets, by key, to values; to be called before they are drawn, as by a button."""
    for key, value in values.items():
        st.session_state[key] = value
