"""What does each decision do to each outcome, by published trials, by this cohort and by both?"""

from __future__ import annotations

import streamlit as st

from data.evidence import load_evidence
from pages.parts import evidence
from pages.parts import session as visit
from pages.parts.evidence import Picture
from pages.parts.guard import guarded
from pages.parts.session import Session
from pages.parts.widgets import heading
from pages.parts.words import plain
from twin.by_state import state_rows
from twin.prediction import FittedTwin


def render() -> None:
    """The effects of all decisions on the chosen outcome and what stands behind them."""
    session = visit.current()
    heading("Evidence", session)
    twin = session.twin
    picture = _picture(twin, _outcome(session, twin))
    evidence.show_effects(picture)
    evidence.show_overlap(picture)
    evidence.show_weight(picture, twin.origin.cohort)
    evidence.show_published(picture)


def _outcome(session: Session, twin: FittedTwin) -> str:
    names = [outcome.name for outcome in twin.spec.outcomes if outcome.name in twin.effects.by_outcome]
    labels = {name: plain(twin.spec.outcome(name).label) for name in names}
    return str(
        st.selectbox(
            "Outcome",
            names,
            format_func=labels.__getitem__,
            key=f"evidence-outcome-{session.cohort_name}",
            persist_state="session",
            width=320,
        )
    )


def _picture(twin: FittedTwin, outcome: str) -> Picture:
    effects, states = twin.effects.by_outcome[outcome], state_rows(twin, outcome)
    return Picture(twin.spec, twin.spec.outcome(outcome), effects, load_evidence(twin.spec), states)


guarded(render)
