"""How far the answers can be relied on: support of each plan, disagreement of trials and cohort, the serving models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import streamlit as st

from data.evidence import load_evidence
from data.schema import Outcome
from pages.parts.evidence import Picture
from pages.parts.question import Question
from pages.parts.widgets import note
from pages.parts.words import capitalised, listed, percent, plain
from twin.choice import BY_CHOICE, Choice, choices
from twin.prediction import FittedTwin
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


def show_support(plans: Mapping[str, Support]) -> None:
    """One line a plan, with all reasons: nobody has to look for them; the facts behind it in a table."""
    for name, support in plans.items():
        colour, icon = SUPPORT_LOOKS[support.level]
        unsupported = support.level is SupportLevel.UNSUPPORTED
        remark = " Only intervals are shown, no single numbers." if unsupported else ""
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            st.badge(f"Plan {name} {support.level.value}", color=colour, icon=icon)
            note(plain(support.sentence + remark), width="content")
    with st.expander("Support in detail", icon=":material/groups:"):
        st.dataframe(
            [support_facts(name, support) for name, support in plans.items()],
            hide_index=True,
            alt="By plan: how unlike the cohort the patient is, how many like them had it, and what is not recorded",
        )
        note(
            "Distance: rank among the cohort's own patients. Effective number: all who had the plan, counted by "
            "nearness, tell as much as so many who are equally near. Propensity: how often physicians decide like this "
            "for such a patient, at the least likely decision."
        )


def support_facts(name: str, support: Support) -> dict[str, str]:
    """What the level of support of a plan rests on, whatever the level: a row of a table."""
    lacking = f"{listed(support.missing)} (as in {percent(support.missing_share)} of the cohort)"
    return {
        "Plan": f"{name}, {support.level.value}",
        "Distance": f"farther than {math.floor(100 * support.farther_than)} % of the cohort",
        "Alike with this plan": f"{support.alike_with_plan} of {support.alike}",
        "Effective number": f"{support.effective_with_plan:.1f}",
        "Propensity": "not known" if math.isnan(support.propensity) else percent(support.propensity),
        "Not recorded": lacking if support.missing else "nothing that the cohort records",
    }


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
    """Which kinds of models serve: a quiet line; by how much, outcome by outcome, behind it."""
    found = list(choices(twin))
    note(model_text(twin, found))
    with st.expander("Why these models serve, and by how much", icon=":material/leaderboard:"):
        st.markdown(margins(found))
        if any(hazards.selection for hazards in twin.marginal.hazards.values()):
            note(
                "Integrated Brier score: the error of risks on patients held out, 0 is perfect. The plain model serves "
                "unless another one is better by more than one standard error (SE) of the difference."
            )


def margins(found: Sequence[Choice]) -> str:
    """Every serving model with its margin, outcomes of which the same is to be said together; a Markdown list."""
    alike: dict[str, list[str]] = {}
    for one in found:
        alike.setdefault(f"{one.serving}; {one.margin}", []).append(one.outcome.label.lower())
    items = (f"* **{plain(capitalised(listed(labels)))}**: {plain(said)}." for said, labels in alike.items())
    return "\n".join(items)


def model_text(twin: FittedTwin, found: Sequence[Choice]) -> str:
    """Which kind of model serves for which outcomes, and how others are compared where none was; Markdown."""
    by_kind: dict[str, list[str]] = {}
    for one in found:
        by_kind.setdefault(one.serving, []).append(one.outcome.label.lower())
    said = "; ".join(f"{serving} for {listed(labels)}" for serving, labels in by_kind.items())
    text = plain(f"Prognosis by {said}.")
    if any(one.margin == BY_CHOICE for one in found):
        return f"{text} Other kinds were not compared; this does: `python -m twin fit --cohort {twin.origin.cohort}`."
    return text
