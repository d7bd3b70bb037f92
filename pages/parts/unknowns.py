"""What would narrow this most: which unknown value of the patient would say most about the first outcome."""

from __future__ import annotations

from typing import Final

import streamlit as st

from data.schema import Outcome
from pages.parts.question import Question
from pages.parts.trust import headline
from pages.parts.widgets import note
from pages.parts.words import listed, percent, plain
from twin.prediction import FittedTwin
from twin.record import PatientRecord, Value
from twin.unknowns import Narrowing, narrowings

SHOWN: Final = 3
NOTHING_TO_GAIN: Final = 0.01
"""Of the width of an interval: less is within what the draws themselves vary"""


@st.fragment
def show(twin: FittedTwin, question: Question) -> None:
    """Draw the values worth learning; nothing where nothing is unknown. They are looked for when they are asked for."""
    known = twin.marginal.known(question.record.to_frame(), twin.spec)
    if not twin.marginal.incomplete(known).any():
        return
    opened = st.expander(
        "What would narrow this most", icon=":material/compress:", key="unknowns-open", on_change="rerun"
    )
    if not opened.open:
        return
    outcome = headline(twin)
    month = float(question.horizon_months) if outcome.name in twin.marginal.hazards else None
    with opened:
        values = tuple(sorted(question.record.values.items()))
        found = _narrowings(twin, twin.version, question.record, values, question.plan_a, outcome.name, month)
        st.markdown(sentences(found))
        note(_explanation(twin, question, outcome))


@st.cache_data(scope="session", show_spinner="Trying what the unknown values may be", max_entries=32)
def _narrowings(
    _twin: FittedTwin,
    version: str,
    _record: PatientRecord,
    values: tuple[tuple[str, Value], ...],
    plan: str,
    outcome: str,
    month: float | None,
) -> tuple[Narrowing, ...]:
    """The version and the values stand for the twin and the record, which cannot be hashed."""
    return narrowings(_twin, _record, plan, outcome, month)


def sentences(found: tuple[Narrowing, ...]) -> str:
    """A Markdown list, the most telling first."""
    telling = [one for one in found if one.narrowed > NOTHING_TO_GAIN][:SHOWN]
    lines = [
        f"* Learning **{plain(_inside(one.label))}** would narrow it by {percent(one.narrowed)}." for one in telling
    ]
    idle = [one for one in found if one.narrowed <= NOTHING_TO_GAIN][: SHOWN - len(telling)]
    if idle:
        lines.append(f"* Learning {plain(listed([_inside(one.label) for one in idle]))} would not narrow it.")
    return "\n".join(lines)


def _inside(label: str) -> str:
    """A label inside a sentence; what begins with an abbreviation keeps its capitals."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def _explanation(twin: FittedTwin, question: Question, outcome: Outcome) -> str:
    by = f" by month {question.horizon_months}" if outcome.name in twin.marginal.hazards else ""
    return (
        f"Of the uncertainty about {plain(outcome.label.lower())}{by} under plan A: by how much its spread shrinks on "
        "average over the values that are likely for this patient."
    )
