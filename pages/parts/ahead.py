"""What is likely to be seen on the way: responses, changes of dose, toxicities and the agent, under plan A."""

from __future__ import annotations

from typing import Final

import streamlit as st

from pages.parts.question import Question, carried_out_text
from pages.parts.widgets import note
from pages.parts.words import percent_range, percent_span, plain
from twin.ahead import Seen, Sight, sights
from twin.curve import Estimate
from twin.prediction import FittedTwin
from twin.support import SupportLevel

HELD: Final = "\u00a0"
"""A space at which no line breaks: a level stays with its probability"""
OTHERWISE: Final = ("no", "none")
"""Levels of a yes-or-no state that need no saying beside the other one"""


@st.fragment
def show(twin: FittedTwin, question: Question) -> None:
    """Draw what lies ahead, once it is asked for; nothing where nothing is left to be seen."""
    opened = st.expander(
        "What is likely to be seen on the way", icon=":material/visibility:", key="ahead-open", on_change="rerun"
    )
    if not opened.open:
        return
    with opened:
        found = sights(twin, question.record, question.plan_a, question.manners)
        supported = twin.support(question.record, question.plan_a).level is not SupportLevel.UNSUPPORTED
        if not found:
            note("Under plan A nothing is left to be seen that the cohort records.")
            return
        for sight in found:
            st.markdown(f"**{plain(_heading(sight))}**")
            st.table(rows(sight, supported=supported))
        carried_out = carried_out_text(twin, question, question.plan_a)
        note(
            f"Under plan A{plain(carried_out)}, given what is recorded: of 100 patients like this one who are alive "
            f"then, in brackets the {twin.origin.interval_label} interval."
        )


def _heading(sight: Sight) -> str:
    return sight.step.label if sight.step.manner else f"{sight.step.label}, about month {sight.step.month:g}"


def rows(sight: Sight, *, supported: bool) -> list[dict[str, str]]:
    """What may be seen at one moment, as rows for a table; what is certain is left out."""
    return [
        {"What": thing.label, "Likely": " · ".join(_said(thing, supported=supported))}
        for thing in sight.things
        if max(chance.lower for _, chance in thing.levels) < 1.0
    ]


def _said(thing: Seen, *, supported: bool) -> list[str]:
    """Each level with its probability; of a yes and its no the yes alone."""
    telling = [entry for entry in thing.levels if len(thing.levels) > 2 or entry[0] not in OTHERWISE]
    return [
        f"{level.replace('_', ' ')} {_chance(chance, supported=supported)}".replace(" ", HELD)
        for level, chance in telling
    ]


def _chance(chance: Estimate, *, supported: bool) -> str:
    if not supported:
        return percent_span(chance.lower, chance.upper)
    return percent_range(chance.value, chance.lower, chance.upper)
