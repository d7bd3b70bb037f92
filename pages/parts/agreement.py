"""Who agrees with a recommendation: the optimum, the learnt policy, physicians, comparable patients and trials."""

from __future__ import annotations

import math
from collections.abc import Iterator

import streamlit as st

from data.cohort import Cohort
from data.errors import Refused
from data.evidence import NO, YES, Basis, Evidence, PublishedEffect, load_evidence
from data.schema import Outcome, OutcomeKind
from pages.parts.advice import COLOURS, option_text, option_texts
from pages.parts.evidence import DESIGNS, Picture, figure_text
from pages.parts.weighing import Asked
from pages.parts.widgets import note
from pages.parts.words import capitalised, group_text, listed, percent, percent_range, plain, plan_name
from twin.arrays import Floats
from twin.effects.sources import bearing_on
from twin.observed import matched_plan, observed_on_plan, observed_share_on_plan
from twin.policy.explanation import Explanation, Followed, Later, Seen
from twin.prediction import FittedTwin
from twin.record import decision_matrix
from twin.timeline import OPEN

NOBODY = "nobody"
UNCERTAIN_FROM = 0.02
"""A share this far from none and from all is said in per cent."""


def show_agreement(found: Explanation) -> None:
    """The exact optimum, the learnt policy and the physicians, a line each."""
    st.subheader("Who agrees", anchor=False)
    st.markdown(f":material/functions: **Exact optimum**: {plain(option_text(found.decision, found.exact))}.")
    st.markdown(f":material/model_training: **Learnt policy**: {learnt_text(found)}")
    st.markdown(f":material/stethoscope: **Physicians**: {plain(physicians_text(found))}")


def learnt_text(found: Explanation) -> str:
    """What the learnt policy says, and by how much it falls short; Markdown."""
    says = found.learnt
    if says is None:
        return "no policy was learnt for this twin yet: `python -m twin train`."
    short = f"falls short by {says.regret:.4f} utility ({percent(says.share)} of best to worst sequence)"
    return f"{plain(option_text(found.decision, says.option))}; {plain(short)}."


def physicians_text(found: Explanation) -> str:
    """What the cohort's physicians would mostly do for such a patient."""
    if math.isnan(found.physician):
        return "how they decide this is not known from the cohort."
    recommended, other = option_texts(found)
    mostly = recommended if found.physician >= 0.5 else other
    share = max(found.physician, 1.0 - found.physician)
    agrees = "in agreement" if found.physician >= 0.5 else f"{recommended} in {percent(found.physician)}"
    return f"for such a patient mostly {mostly} ({percent(share)}, calibrated), {agrees}."


def show_comparable(twin: FittedTwin, cohort: Cohort, asked: Asked, found: Explanation) -> None:
    """How many alike patients had each option, and what happened to those who were on the sequence it leads to."""
    st.subheader("Comparable patients", anchor=False)
    for way, name, colour in zip(found.ways, option_texts(found), COLOURS, strict=True):
        had = f"{way.support.alike_with_plan} of the {way.support.alike} most alike had {plain(name)}"
        st.markdown(f":{colour}[**{way.support.level.value}**] {had}", help=plain(way.support.sentence))
    st.table(observed_rows(twin, cohort, asked, found))
    both = [d.label.lower() for d in twin.spec.decisions if d.column in twin.spec.brought_about]
    but = f", {plain(listed(both))} or not (a failure can bring it about)" if both else ""
    note(
        f"Observed by month {found.horizon_months:g} in the cohort's patients on either sequence{but}; 90 % interval. "
        "n: who began it, of yes-or-no outcomes who had it. Not adjusted for how they differ from this patient."
    )


def observed_rows(twin: FittedTwin, cohort: Cohort, asked: Asked, found: Explanation) -> list[dict[str, str]]:
    """What was observed on either sequence; one column where both match the same patients."""
    spec = cohort.spec
    decisions = twin.capability.with_held(spec, decision_matrix(spec, cohort.frame))
    plans: dict[str, list[str]] = {}
    for way in found.ways:
        plans.setdefault(matched_plan(spec, way.plan), []).append(way.plan)
    rows = []
    for contrast in found.contrasts:
        row = {"Observed": contrast.outcome.label}
        for names in plans.values():
            row[f"on {' or '.join(names)}"] = _observed(cohort, contrast.outcome, names[0], decisions, asked, found)
        rows.append(row)
    return rows


def _observed(cohort: Cohort, outcome: Outcome, plan: str, decisions: Floats, asked: Asked, found: Explanation) -> str:
    try:
        if outcome.kind is OutcomeKind.BINARY:
            shared = observed_share_on_plan(cohort, outcome.name, plan, decisions)
            return _said(shared.share.value, shared.share.lower, shared.share.upper, shared.patients)
        risk = observed_on_plan(cohort, outcome.name, plan, decisions, [found.horizon_months], asked.alive_until)
    except Refused:
        return NOBODY
    if not risk.curve.months.size:
        return f"followed for less (n {risk.patients})"
    end = risk.curve.at(found.horizon_months)
    return _said(end.value, end.lower, end.upper, risk.patients)


def _said(value: float, lower: float, upper: float, patients: int) -> str:
    return f"{percent_range(value, lower, upper)}, n {patients}"


def show_trials(twin: FittedTwin, asked: Asked, found: Explanation) -> None:
    """What was read of the effects of the decision in patients like this one, and where nothing was."""
    st.subheader("Trials", anchor=False)
    evidence = load_evidence(twin.spec)
    rows = bearing_on(evidence, twin.spec, found.decision.column, asked.record.to_frame())
    st.markdown("\n".join(f"* {effect_text(twin, effect)}" for effect in rows))
    for sentence in _silent(twin, evidence, found, {effect.outcome for effect in rows}):
        note(plain(sentence))
    st.page_link("pages/evidence.py", label="All sources, side by side", icon=":material/balance:")


def effect_text(twin: FittedTwin, effect: PublishedEffect) -> str:
    """One effect that was read in short: outcome, ratio, design, source, whom it applies to; Markdown."""
    outcome = twin.spec.outcome(effect.outcome).label
    compared = "" if (effect.option, effect.against) == (YES, NO) else f", {effect.option} against {effect.against}"
    group = f", in {group_text(twin.spec, effect.group)}" if effect.group.clauses else ""
    ratio = figure_text(effect)
    said = f"{ratio[:1].lower()}{ratio[1:]}{compared}{group} ({DESIGNS[effect.design]}, {effect.source})"
    return f"**{plain(outcome)}**: {plain(said)}"


def _silent(twin: FittedTwin, evidence: Evidence, found: Explanation, shown: set[str]) -> Iterator[str]:
    """Of which outcomes nothing is printed, and where trials and cohort disagree."""
    without: dict[str, list[str]] = {}
    disagree = []
    for name in twin.outcomes:
        outcome = twin.spec.outcome(name)
        picture = Picture(twin.spec, outcome, twin.effects.by_outcome[name], evidence)
        if name not in shown:
            read = picture.basis(found.decision.column) is Basis.READ
            why = "nothing read applies to this patient" if read else picture.unpublished(found.decision.column)
            without.setdefault(why, []).append(outcome.label.lower())
        if picture.disagreement(found.decision.column):
            disagree.append(outcome.label.lower())
    for why, labels in without.items():
        yield f"{capitalised(listed(labels))}: {why}."
    if disagree:
        yield f"Sources elsewhere and this cohort disagree on {listed(disagree)}, by more than chance."


def show_later(twin: FittedTwin, found: Explanation) -> None:
    """What would be decided at every later question, and what each whole sequence is worth."""
    with st.expander("What would be decided later, by what is seen", icon=":material/account_tree:"):
        for text, later in zip(option_texts(found), found.later, strict=True):
            st.markdown(f"**After {plain(text)}**")
            if later:
                st.table([row for question in later for row in later_rows(twin, question)])
            else:
                note("No decision follows.")
        note(
            "By the exact optimum under the weights asked for: of all that may have been seen by then, in how much of "
            "it the option is better, and what each is worth. Of several states the one is shown that tells most."
        )
    with st.expander("Every sequence, followed whatever is seen", icon=":material/format_list_numbered:"):
        st.table([sequence_row(twin, one) for one in found.sequences])
        note("Utility only ranks them. Their risks over time stand on the Twin page.")


def later_rows(twin: FittedTwin, question: Later) -> list[dict[str, str]]:
    """One row a level of the most telling state; a single one where the answer is always the same."""
    digits = zip(twin.spec.decisions, question.so_far, strict=True)
    decided = [option_text(decision, int(digit)) for decision, digit in digits if digit != OPEN]
    lead = {
        "Decided by then": capitalised(", then ".join(decided)),
        "Comes up": percent(question.chance),
        "Question": question.decision.label,
    }
    if not question.seen:
        return [{**lead, "If seen": "whatever is seen", "How likely": "", **_decided(question, question)}]
    return [
        {
            **lead,
            "If seen": f"{question.told_by}: {seen.label}",
            "How likely": percent(seen.chance),
            **_decided(question, seen),
        }
        for seen in question.seen
    ]


def _decided(question: Later, of: Later | Seen) -> dict[str, str]:
    """What is better, and the worth of both options."""
    no, yes = of.values
    return {"Better": better(question, of.yes), "Utility, no": f"{no:.3f}", "yes": f"{yes:.3f}"}


def better(question: Later, yes: float) -> str:
    """Which option is better, and in what share where not always."""
    option = int(yes >= 0.5)
    share = max(yes, 1.0 - yes)
    said = option_text(question.decision, option)
    return said if share > 1.0 - UNCERTAIN_FROM else f"{said} in {percent(share)}"


def sequence_row(twin: FittedTwin, one: Followed) -> dict[str, str]:
    """A whole sequence, its utility, and whether it is possible."""
    remark = "" if one.possible else "an option is ruled out or not possible"
    return {"Sequence": plan_name(twin.spec, one.plan), "Utility": f"{one.value:.3f}", "Remark": remark}
