"""Which cohorts are there, what can they answer, and how does a file become one?"""

from __future__ import annotations

import streamlit as st

from pages.parts import session as visit
from pages.parts.guard import guarded
from pages.parts.session import COHORT_KEY, Session
from pages.parts.upload import bring_a_cohort
from pages.parts.widgets import heading, note, shown_on
from pages.parts.words import plain
from twin.capability import Ability, Capability, Subject, capability

FITTED_KEY = "fitted"
"""The version fitted just now, to be said once after the page is drawn anew."""


def render() -> None:
    """The stored cohorts, what the chosen one can answer, and the way in for another."""
    session = visit.current()
    heading("Cohorts", session)
    stored, bring = st.tabs(["In the store", "Bring a cohort"], key="cohort-tab", on_change="rerun")
    if stored.open:
        with stored:
            _stored(session)
    if bring.open:
        with bring:
            bring_a_cohort(session)


def _stored(session: Session) -> None:
    st.dataframe(
        [
            {
                "Cohort": summary.name,
                "Version": summary.version,
                "Patients": summary.patients,
                "Disease": summary.spec,
                "Data": "synthetic" if summary.synthetic else "imported",
                "Time counted from": summary.time_zero.replace("_", " "),
                "Source": summary.source,
                "Imported": summary.imported_at,
            }
            for summary in session.summaries
        ],
        hide_index=True,
        column_config={"Imported": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm")},
        alt="The cohorts in the store, one row each",
    )
    names = [summary.name for summary in session.summaries]
    if st.session_state.get(COHORT_KEY) not in names:
        st.session_state[COHORT_KEY] = session.cohort_name if session.cohort_name in names else names[0]
    st.selectbox("Cohort", names, key=COHORT_KEY, persist_state="session", width=320)
    _answers(capability(session.cohort))
    _fit(session)


def _answers(able: Capability) -> None:
    st.header("What this cohort can answer")
    can, cannot = st.columns(2)
    with can, st.container(border=True, height="stretch"):
        st.markdown("**Can answer**")
        _list([ability for ability in able.abilities if ability.offered], ":material/check:")
    with cannot, st.container(border=True, height="stretch"):
        st.markdown("**Cannot answer**")
        _list(list(able.not_offered), ":material/block:")
        if not able.not_offered:
            note("Nothing that the specification asks is missing.")


def _list(abilities: list[Ability], icon: str) -> None:
    for ability in abilities:
        needed = f" Needs: `{'`, `'.join(ability.missing)}`." if ability.missing and not ability.offered else ""
        st.markdown(f"{icon} **{plain(_question(ability))}**: {plain(ability.reason)}.{needed}")


def _question(ability: Ability) -> str:
    kinds = {Subject.DECISION: "Compare", Subject.STATE: "Use", Subject.OUTCOME: "Predict"}
    return f"{kinds[ability.subject]} {ability.label.lower()}"


def _fit(session: Session) -> None:
    st.header("Twin")
    models = session.workspace.store.models(session.cohort_name)
    if models:
        serving = next((plain(model.version) for model in models if model.serves), "None")
        st.markdown(f"**{serving}** serves this cohort; {len(models)} fitted in all. The first one serves at once.")
    else:
        st.markdown("No twin is fitted on this cohort yet: its patients cannot be predicted.")
    newest = models[0] if models else None
    if newest and not newest.serves and st.button(f"Let {newest.version} serve", icon=":material/publish:"):
        session.workspace.promote(newest.version)
        st.rerun()
    compare = st.checkbox(
        "Compare other kinds of models with Cox regression",
        help="Five kinds in nested cross-validation: minutes for 500 patients. Without, Cox regression serves.",
    )
    if st.button("Fit a twin", icon=":material/model_training:", help="Takes some seconds for 500 patients."):
        bar = st.progress(0.0, text="Fitting")
        version = session.workspace.fit(session.cohort_name, progress=shown_on(bar, "Fitting"), compare=compare)
        st.session_state[FITTED_KEY] = version
        st.rerun()
    if FITTED_KEY in st.session_state:
        version = plain(st.session_state.pop(FITTED_KEY))
        st.success(f"{version} is kept.", title="Fitted", icon=":material/check_circle:")


guarded(render)
