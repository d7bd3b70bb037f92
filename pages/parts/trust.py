"""How far the answers can be relied on: support of each plan, disagreement of trials and cohort, the serving models."""

from __future__ import annotations

from typing import Final, Literal

import streamlit as st

from data.evidence import load_evidence
from data.schema import Outcome
from pages.parts.evidence import Picture
from pages.parts.question import Question
from pages.parts.widgets import note
from pages.parts.words import capitalised, listed, plain
from twin.prediction import FittedTwin
from twin.selection import Selection
from twin.support import Support, SupportLevel

SUPPORT_LOOKS: Final[dict[SupportLevel, tuple[Literal["green", "orange", "red"], str]]] = {
    SupportLevel.SUPPORTED: ("green", ":material/check_circle:"),
    SupportLevel.THIN: ("orange", ":material/warning:"),
    SupportLevel.UNSUPPORTED: ("red", ":material/block:"),
}


def headline(twin: FittedTwin) -> Outcome:
    """The first outcome that depends on time; without any, the first."""
    timed = [name for name in twin.outcomes if name in twin.marginal.hazards]
    return twin.spec.outcome([*timed, *twin.outcomes][0])


def show_support(name: str, support: Support) -> None:
    """One line a plan, with all reasons: nobody has to look for them."""
    colour, icon = SUPPORT_LOOKS[support.level]
    unsupported = support.level is SupportLevel.UNSUPPORTED
    remark = " Only intervals are shown, no single numbers." if unsupported else ""
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.badge(f"Plan {name} {support.level.value}", color=colour, icon=icon)
        note(plain(support.sentence + remark), width="content")


def show_disagreements(twin: FittedTwin, question: Question) -> None:
    """One sentence where sources elsewhere and the cohort disagree about a decision in which the two plans differ."""
    found = disagreements(twin, question)
    if not found:
        return
    said = [f"what {decision.lower()} does to {listed(outcomes)}" for decision, outcomes in found.items()]
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        text = f"Sources elsewhere and this cohort disagree on {listed(said)}, by more than chance."
        st.markdown(f":material/warning: {plain(text)}", width="content")
        st.page_link("pages/evidence.py", label="See the evidence", icon=":material/balance:")


def disagreements(twin: FittedTwin, question: Question) -> dict[str, list[str]]:
    """Labels of the decisions in which two plans differ, and of the outcomes on which prior and cohort disagree."""
    plan_b = question.plan_a if question.plan_b is None else question.plan_b
    digits = zip(twin.spec.decisions, question.plan_a, plan_b, strict=True)
    differing = [decision for decision, a, b in digits if a != b]
    evidence, effects = load_evidence(twin.spec), twin.effects.by_outcome
    pictures = [Picture(twin.spec, twin.spec.outcome(name), effects[name], evidence) for name in twin.outcomes]
    found = {}
    for decision in differing:
        outcomes = [picture.outcome.label.lower() for picture in pictures if picture.disagreement(decision.column)]
        if outcomes:
            found[decision.label] = outcomes
    return found


def show_model(twin: FittedTwin) -> None:
    """Which candidate model serves, and by how much: a quiet line."""
    if twin.marginal.hazards:
        note(model_text(twin))


def model_text(twin: FittedTwin) -> str:
    """Which candidate serves for the first outcome that depends on time and why, and which for the others, Markdown."""
    outcome = headline(twin)
    hazards = twin.marginal.hazards
    selections = {name: hazards[name].selection for name in twin.outcomes if name in hazards}
    chosen = selections.pop(outcome.name)
    about = f"For {plain(outcome.label.lower())}, "
    if chosen is None:
        command = f"`python -m twin fit --cohort {twin.origin.cohort}`"
        return f"{about}only ridge Cox regression was fitted. {command} compares others where there are enough events."
    others = "; ".join(
        f"{twin.spec.outcome(name).label.lower()}: {selection.serving.label}"
        for name, selection in selections.items()
        if selection is not None
    )
    return about + plain(f"{_lowered(chosen)}." + (f" {capitalised(others)}." if others else ""))


def _lowered(selection: Selection) -> str:
    return selection.sentence[:1].lower() + selection.sentence[1:]
