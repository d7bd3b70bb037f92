"""What will happen: curves, numbers, words and the table behind them, for two plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import streamlit as st

from data.cohort import Cohort
from data.errors import Refused
from data.schema import Outcome, OutcomeKind, Specification
from pages.parts import charts, palette
from pages.parts.charts import Band, RiskPanel, Steps
from pages.parts.question import Question, carried_out_text
from pages.parts.trust import show_support
from pages.parts.widgets import note
from pages.parts.words import OUTSIDE, capitalised, listed, out_of_hundred, percent, percent_range, percent_span, plain
from twin.arrays import Floats
from twin.curve import Estimate, RiskCurve
from twin.observed import matched_plan, observed_on_plan
from twin.prediction import FittedTwin
from twin.record import decision_matrix
from twin.support import Support, SupportLevel


@dataclass(frozen=True)
class PlanAnswer:
    """What the twin says under one plan."""

    name: str
    """``A`` or ``B``."""
    plan: str
    curves: Mapping[str, RiskCurve]
    binary: Mapping[str, Estimate]
    together: Mapping[tuple[str, str], tuple[Estimate, Estimate]]
    """Of each pair of binary outcomes, the probabilities of both and of at least one"""
    support: Support

    def estimate(self, outcome: Outcome, month: float) -> Estimate:
        """The risk of an outcome, by `month` where it depends on time."""
        if outcome.kind is OutcomeKind.BINARY:
            return self.binary[outcome.name]
        return self.curves[outcome.name].at(month)

    @property
    def supported(self) -> bool:
        """Whether single numbers may be shown, and not intervals only."""
        return self.support.level is not SupportLevel.UNSUPPORTED

    def said(self, estimate: Estimate) -> str:
        """A risk with its interval; the interval alone where the cohort does not support more."""
        if self.supported:
            return percent_range(estimate.value, estimate.lower, estimate.upper)
        return f"{percent_span(estimate.lower, estimate.upper)}, {OUTSIDE}"


def ask_twin(twin: FittedTwin, question: Question) -> list[PlanAnswer]:
    """The answers under plan A and, where there is one, plan B; computed together, so that they are paired."""
    plans = [plan for plan in (question.plan_a, question.plan_b) if plan is not None]
    answer = twin.answer(question.record, plans, np.arange(0.0, question.horizon_months + 1.0), question.manners)
    return [
        PlanAnswer(
            name,
            plan,
            answer.curves(plan),
            answer.probabilities(plan),
            answer.together(plan),
            twin.support(question.record, plan),
        )
        for name, plan in zip("AB", plans, strict=False)
    ]


def show(twin: FittedTwin, cohort: Cohort, question: Question, answers: list[PlanAnswer]) -> None:
    """Draw the answers to a question."""
    show_support({each.name: each.support for each in answers})
    _curves(twin, cohort, question, answers)
    _numbers(twin, question, answers)
    with st.expander("In words", icon=":material/notes:"):
        _words(twin, question, answers)
    with st.expander("As a table", icon=":material/table:"):
        _table(twin, question, answers)


def _curves(twin: FittedTwin, cohort: Cohort, question: Question, answers: list[PlanAnswer]) -> None:
    decisions = twin.capability.with_held(cohort.spec, decision_matrix(cohort.spec, cohort.frame))
    panels = [_panel(cohort, decisions, outcome, question, answers) for outcome in _timed(twin)]
    if not panels:
        return
    axis = 100 if question.full_axis else charts.zoomed_axis_percent(panels)
    figure = charts.risk_curves(panels, question.horizon_months, axis, palette.current())
    described = _alternative(twin, question, answers)
    st.plotly_chart(figure, theme=None, config=charts.SHOWN_WITHOUT_MODE_BAR, key="curves", alt=described)
    zoom = "" if axis == 100 else f"Axis zoomed to 0-{axis} %. "
    note(
        f"{zoom}{_carried_out(twin, question, answers)}"
        f"Shaded: {twin.origin.interval_label} interval. Grey: observed in patients while on the plan, not "
        f"adjusted for how they differ from this one. {_unmatched(cohort.spec, answers)}"
        "Below the axis, in the plan's colour: how many still followed."
    )


def _unmatched(spec: Specification, answers: list[PlanAnswer]) -> str:
    """Which decisions the observed patients are not matched on, and why."""
    if not spec.brought_about:
        return ""
    shared = ", so both plans share one group" if len(_groups(spec, answers)) < len(answers) else ""
    return f"Observed patients had {_any_way(spec)}, as a failure can bring it about{shared}. "


def _any_way(spec: Specification) -> str:
    """The decisions that observed patients are not matched on, in words."""
    some = [decision.label.lower() for decision in spec.decisions if decision.column in spec.brought_about]
    return f"{' and '.join(some)} or not"


def _groups(spec: Specification, answers: list[PlanAnswer]) -> dict[str, str]:
    """Whom to observe: what they are called, and the plan they match; one group where both plans match the same."""
    names: dict[str, list[str]] = {}
    for each in answers:
        names.setdefault(matched_plan(spec, each.plan), []).append(each.name)
    but = f", {_any_way(spec)}" if spec.brought_about else ""
    return {f"plan {' and '.join(of_plan)}{but}": plan for plan, of_plan in names.items()}


def _carried_out(twin: FittedTwin, question: Question, answers: list[PlanAnswer]) -> str:
    """Which plans are carried out in a chosen manner; the observed patients had whichever their physicians chose."""
    said = {each.name: carried_out_text(twin, question, each.plan) for each in answers}
    names = [name for name, text in said.items() if text]
    if not names:
        return ""
    plans = f"Plan{'s' if len(names) > 1 else ''} {listed(names)}"
    return f"{plans}{plain(said[names[0]])}; the observed patients had whichever was chosen. "


def _timed(twin: FittedTwin) -> list[Outcome]:
    return [o for o in twin.spec.outcomes if o.name in twin.capability.outcomes and o.kind is not OutcomeKind.BINARY]


def _offered(twin: FittedTwin, answers: list[PlanAnswer]) -> list[Outcome]:
    said = {*answers[0].curves, *answers[0].binary}
    return [outcome for outcome in twin.spec.outcomes if outcome.name in said]


def _panel(
    cohort: Cohort, decisions: Floats, outcome: Outcome, question: Question, answers: list[PlanAnswer]
) -> RiskPanel:
    bands = [_band(each.curves[outcome.name], each.supported) for each in answers]
    groups = _groups(cohort.spec, answers)
    observed = [_observed(cohort, decisions, outcome, question, *group) for group in groups.items()]
    return RiskPanel(
        title=outcome.label,
        plan_a=bands[0],
        plan_b=bands[1] if len(bands) > 1 else None,
        observed_a=observed[0],
        observed_b=observed[1] if len(observed) > 1 else None,
    )


def _band(curve: RiskCurve, supported: bool) -> Band:
    return Band(curve.months, curve.risk, curve.lower, curve.upper, supported)


def _observed(
    cohort: Cohort, decisions: Floats, outcome: Outcome, question: Question, group: str, plan: str
) -> Steps | None:
    """What happened to the cohort's patients while they were on a plan; ``None`` where nobody was."""
    months = np.arange(0.0, question.horizon_months + 1.0)
    try:
        seen = observed_on_plan(cohort, outcome.name, plan, decisions, months, question.alive_until)
    except Refused:
        return None
    at_risk = seen.at_risk[charts.at_risk_months(question.horizon_months)]
    curve = seen.curve
    return Steps(curve.months, curve.risk, curve.lower, curve.upper, at_risk, seen.patients, group)


def _numbers(twin: FittedTwin, question: Question, answers: list[PlanAnswer]) -> None:
    outcomes = _offered(twin, answers)
    for column, outcome in zip(st.columns(len(outcomes)), outcomes, strict=True):
        lines = [f"**{outcome.label}**"]
        for each, colour in zip(answers, ("blue", "orange"), strict=False):
            estimate = each.estimate(outcome, question.horizon_months)
            lines.append(f":{colour}[**{each.name}** {each.said(estimate)}]")
        column.markdown("  \n".join(lines))
    _pairs(twin, answers)
    pairs = "Either and both: by the two chances and by how often they came together in this cohort. "
    note(
        f"Risks by month {question.horizon_months} (outcomes that name a month: at that month), "
        f"in brackets the {twin.origin.interval_label} interval. "
        f"{pairs if answers[0].together else ''}Benefit and harm stand apart: they are not summed. "
        "What decisions do is taken from published effects and from this cohort, adjusted for what it records, as the "
        "Evidence page shows; who had which here was not left to chance, so a difference is no proof of effect."
    )


def _pairs(twin: FittedTwin, answers: list[PlanAnswer]) -> None:
    """Harms that come together: how likely either and both are."""
    of_plans = [_together(twin, each) for each in answers]
    for label in of_plans[0]:
        plans = zip(answers, of_plans, ("blue", "orange"), strict=False)
        said = [f":{colour}[**{each.name}** {each.said(risks[label])}]" for each, risks, colour in plans]
        st.markdown(f"**{plain(label)}**: {' · '.join(said)}")


def _together(twin: FittedTwin, each: PlanAnswer) -> dict[str, Estimate]:
    """Chances of two yes-or-no outcomes together, by what they are called."""
    found = {}
    for names, (both, either) in each.together.items():
        first, second = (twin.spec.outcome(name).label.lower() for name in names)
        found[capitalised(f"{first}, {second}, or both")] = either
        found[f"Both {first} and {second}"] = both
    return found


def _words(twin: FittedTwin, question: Question, answers: list[PlanAnswer]) -> None:
    for each in answers:
        label = twin.spec.plan_label(each.plan) + carried_out_text(twin, question, each.plan)
        st.markdown(f"**Plan {each.name}: {label}.** " + " ".join(_sentences(twin, question, each)))
    note(f"In brackets the {twin.origin.interval_label} interval: how sure the fit is, not how patients vary.")


def _sentences(twin: FittedTwin, question: Question, each: PlanAnswer) -> list[str]:
    sentences = []
    for outcome in _offered(twin, [each]):
        estimate = each.estimate(outcome, question.horizon_months)
        within = "" if outcome.kind is OutcomeKind.BINARY else f" within {question.horizon_months} months"
        sentences.append(f"{outcome.label}{within}: {_frequency(each, estimate)}.")
    sentences += [f"{label}: {_frequency(each, risk)}." for label, risk in _together(twin, each).items()]
    return sentences


def _frequency(each: PlanAnswer, estimate: Estimate) -> str:
    """A risk as a natural frequency; the interval alone where the cohort does not support more."""
    span = f"{100 * estimate.lower:.0f} to {100 * estimate.upper:.0f}"
    if each.supported:
        return f"{out_of_hundred(estimate.value)} patients like this one ({span})"
    return f"{span} of 100, {OUTSIDE}"


def _alternative(twin: FittedTwin, question: Question, answers: list[PlanAnswer]) -> str:
    """What the figure shows, for those who do not see it."""
    parts = []
    for outcome in _timed(twin):
        said = [
            f"plan {each.name} ({each.plan}) {_briefly(each, each.estimate(outcome, question.horizon_months))}"
            for each in answers
        ]
        parts.append(f"{outcome.label} by month {question.horizon_months}: " + ", ".join(said))
    grey = f"Grey steps: observed on {'; on '.join(_groups(twin.spec, answers))}. "
    return "Risk over time. " + "; ".join(parts) + f". {grey}The table below the figure holds the numbers."


def _briefly(each: PlanAnswer, estimate: Estimate) -> str:
    return percent(estimate.value) if each.supported else each.said(estimate)


def _table(twin: FittedTwin, question: Question, answers: list[PlanAnswer]) -> None:
    months = np.union1d(charts.month_ticks(question.horizon_months)[1:], [question.horizon_months])
    rows = []
    for outcome in _offered(twin, answers):
        times = [outcome.month or 0.0] if outcome.kind is OutcomeKind.BINARY else [float(month) for month in months]
        for month in times:
            row: dict[str, str] = {"Outcome": outcome.label, "By month": f"{month:g}"}
            for each in answers:
                estimate = each.estimate(outcome, month)
                row[f"Plan {each.name} ({each.plan})"] = each.said(estimate)
            rows.append(row)
    for label in _together(twin, answers[0]):
        said = {f"Plan {each.name} ({each.plan})": each.said(_together(twin, each)[label]) for each in answers}
        rows.append({"Outcome": label, "By month": "", **said})
    st.dataframe(rows, hide_index=True, alt="The risks of the figure and their intervals, by outcome and month")
