"""The recommendation in one line, both options side by side, and benefit and harm apart: what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import streamlit as st

from data.schema import Decision, Specification
from pages.parts import difference_chart, palette
from pages.parts.charts import SHOWN_WITHOUT_MODE_BAR
from pages.parts.difference_chart import Panel, Row
from pages.parts.trust import SUPPORT_LOOKS
from pages.parts.widgets import note
from pages.parts.words import OUTSIDE, capitalised, listed, percent, plain, plan_name
from twin.capability import Subject
from twin.curve import Estimate
from twin.policy.explanation import Contrast, Explanation, Way
from twin.policy.recommendation import FALLS_SHORT, MARGIN
from twin.policy.utility import Weights
from twin.prediction import FittedTwin
from twin.record import PatientRecord

MONTHS: Final = "months of life lost"
POINTS: Final = "percentage points"
TOLD_FROM: Final = 0.05
"""Months or points that do not round to nothing"""
COLOURS: Final = ("blue", "orange")
"""Of the recommended option and of the other, as of plan A and plan B"""


def option_text(decision: Decision, option: int) -> str:
    """An option inside a sentence, e.g. ``no neck dissection``."""
    label = decision.label[:1].lower() + decision.label[1:]
    return label if option else f"no {label}"


def option_texts(found: Explanation) -> tuple[str, str]:
    """The recommended option and the other inside a sentence."""
    return option_text(found.decision, found.recommended.option), option_text(found.decision, found.other.option)


def show_nothing_left(twin: FittedTwin, record: PatientRecord) -> None:
    """What is said where no decision is open."""
    taken = [d.label.lower() for d in twin.spec.decisions if d.column in record.values]
    said = f"Recorded: {listed(taken)}. " if taken else ""
    st.info(
        f"{said}{' '.join(_held(twin, record))} To look back, choose an earlier moment under *Seen from*.",
        title="Nothing is left to decide",
        icon=":material/task_alt:",
    )


def _held(twin: FittedTwin, record: PatientRecord) -> Iterator[str]:
    """Of every decision that is open and cannot be compared, why."""
    for able in twin.capability.about(Subject.DECISION):
        if not able.offered and able.name not in record.values:
            yield f"{plain(able.label)} is not asked: {plain(able.reason)}."


def show_verdict(twin: FittedTwin, record: PatientRecord, found: Explanation) -> None:
    """The decision, what is favoured or that the program abstains, and why."""
    st.header(f"{plain(found.decision.label)}: {plain(headline(found))}", anchor=False)
    for line in reasons(found):
        st.markdown(line)
    for sentence in _held(twin, record):
        note(sentence)


def headline(found: Explanation) -> str:
    """The advice in one line."""
    recommended, _ = option_texts(found)
    if found.verdict.abstained:
        return "the program abstains, both options are open"
    return f"only {recommended} is possible" if found.other.barred else f"favours {recommended}"


def reasons(found: Explanation) -> Iterator[str]:
    """Why it says so, as lines of Markdown."""
    recommended, other = option_texts(found)
    if found.assumed:
        yield (
            f":material/help: **Why it abstains.** {plain(listed(found.assumed))}: not recorded although what came "
            "after is. What is shown takes it as the record, or else the physicians, make likely."
        )
    elif found.verdict.abstained:
        why = capitalised(plain(found.verdict.reason))
        yield f":material/pan_tool: **Why it abstains.** {why}. The better guess is {plain(recommended)}."
    elif found.other.barred:
        yield f":material/block: {plain(capitalised(other))} is not possible: {plain(found.other.barred)}."
    else:
        yield (
            f":material/check_circle: Even at the unfavourable end of the interval {plain(other)} is not better by "
            f"more than {MARGIN:g} of utility, the margin, and the cohort supports the option."
        )
    for text in found.left_out:
        yield f":material/block: Not counted on, {plain(text)}."
    if found.learnt is not None and found.learnt.falls_short:
        yield (
            f":material/warning: The learnt policy chose {plain(option_text(found.decision, found.learnt.option))}. It "
            f"falls short of the optimum by {percent(found.learnt.share)} of what lies between the best and the worst "
            f"sequence, more than {percent(FALLS_SHORT)}: the exact option is shown."
        )


def show_options(spec: Specification, found: Explanation) -> None:
    """Both options side by side: where each leads, how far the cohort supports it, what it is worth."""
    for column, way, colour in zip(st.columns(2), found.ways, COLOURS, strict=True):
        with column, st.container(border=True, height="stretch", gap="xsmall"):
            _option(spec, found, way, colour)


def _option(spec: Specification, found: Explanation, way: Way, colour: str) -> None:
    title = plain(capitalised(option_text(found.decision, way.option)))
    st.markdown(f":{colour}[**{title}**] · {_standing(found, way)}")
    if way.barred:
        st.markdown(f":material/block: Not possible: {plain(way.barred)}.")
    then = "Most likely sequence" if way is found.recommended else "Next-best sequence"
    level, icon = SUPPORT_LOOKS[way.support.level]
    worth = f"Utility {way.value:.3f}, " if way.supported else ""
    st.markdown(
        f"{then}: **{plain(plan_name(spec, way.plan))}**; {percent(way.chance)} would end so. {worth}"
        f"{'support' if worth else 'Support'} :{level}-badge[{icon} {way.support.level.value}]"
    )


def _standing(found: Explanation, way: Way) -> str:
    if way.barred:
        return "not possible"
    if way is found.other:
        return "other"
    return "better guess" if found.verdict.abstained else "favoured"


def show_gain(twin: FittedTwin, found: Explanation, weights: Weights) -> None:
    """By how much the recommended option ranks higher."""
    gain = found.gain
    said = f"**{signed(gain, 3, supported=found.supported)}**{_in_months(found, weights)}"
    st.markdown(
        f"Gain of {plain(option_texts(found)[0])} in utility: {said}, {plain(twin.origin.interval_label)} interval. "
        "It only ranks the options; benefit and harm stand apart below."
    )


def _in_months(found: Explanation, weights: Weights) -> str:
    """The gain as months of life, where they count."""
    weight = next((weights.by_outcome[c.outcome.name] for c in found.contrasts if c.in_months), 0.0)
    if not weight:
        return ""
    unit = found.horizon_months / weight
    months = Estimate(found.gain.value * unit, found.gain.lower * unit, found.gain.upper * unit)
    return f", worth as much as {signed(months, 1, supported=found.supported)} months of life"


def _weights_text(found: Explanation, weights: Weights) -> str:
    return ", ".join(f"{c.outcome.label.lower()} {weights.by_outcome[c.outcome.name]:g}" for c in found.contrasts)


def show_benefit_and_harm(twin: FittedTwin, found: Explanation, weights: Weights) -> None:
    """What there is less of and what there is more of with the recommended option; figure and table."""
    recommended, other = option_texts(found)
    st.subheader(f"{plain(capitalised(recommended))} minus {plain(other)}", anchor=False)
    st.markdown("  \n".join(in_words(found)))
    panels = _panels(found)
    st.plotly_chart(
        difference_chart.differences(panels, palette.current()),
        theme=None,
        config=SHOWN_WITHOUT_MODE_BAR,
        key="differences",
        alt=difference_chart.alternative(recommended, other, panels, twin.origin.interval_label),
    )
    st.table(_rows(found))
    note(
        f"Life and failures within {found.horizon_months:g} months, the others at their month; in brackets the "
        f"{plain(twin.origin.interval_label)} interval, of differences within draws. Unclear, open marks: it holds no "
        f"difference. Utility is 1 minus the weighted losses ({plain(_weights_text(found, weights))}; of life the "
        f"share of {found.horizon_months:g} months). It serves to rank and for nothing else."
    )


def in_words(found: Explanation) -> Iterator[str]:
    """Benefit and harm of the recommended option, and what is neither, a line each, in Markdown.

    Where the cohort does not support single numbers, only what the intervals leave no doubt of counts.
    """
    if not found.supported:
        yield f":material/block: A sequence lies {OUTSIDE}: only intervals are shown, no single numbers."
    told = [c for c in found.contrasts if (_is_told(c) if found.supported else c.clear)]
    for title, sign in (("Benefit", -1.0), ("Harm", 1.0)):
        said = [_amount(c, supported=found.supported) for c in told if c.difference.value * sign > 0.0]
        yield f"**{title}**: {plain(listed(said)) if said else 'none that is told apart'}."
    rest = [c.outcome.label.lower() for c in found.contrasts if c not in told]
    if rest:
        yield f"**{'No difference' if found.supported else 'Unclear'}**: {plain(listed(rest))}."


def _is_told(contrast: Contrast) -> bool:
    """Whether the difference does not round to nothing."""
    return abs(contrast.difference.value) >= TOLD_FROM


def _amount(contrast: Contrast, *, supported: bool) -> str:
    difference = contrast.difference
    ends = sorted(abs(end) for end in (difference.lower, difference.upper))
    amount = f"{abs(difference.value):.1f}" if supported else f"{ends[0]:.1f} to {ends[1]:.1f}"
    less, doubt = difference.value < 0.0, "" if contrast.clear else " (unclear)"
    if contrast.in_months:
        return f"{amount} {'fewer' if less else 'more'} {MONTHS}{doubt}"
    return f"{contrast.outcome.label.lower()} {amount} points {'less' if less else 'more'}{doubt}"


def _panels(found: Explanation) -> list[Panel]:
    units = {MONTHS: True, POINTS: False}
    of_unit = {unit: [c for c in found.contrasts if c.in_months is months] for unit, months in units.items()}
    return [Panel(unit, tuple(_row(c, found.supported) for c in some)) for unit, some in of_unit.items() if some]


def _row(contrast: Contrast, supported: bool) -> Row:
    text = signed(contrast.difference, 1, supported=supported)
    return Row(contrast.outcome.label, contrast.difference, text, contrast.clear, supported)


def _rows(found: Explanation) -> list[dict[str, str]]:
    names = [capitalised(text) for text in option_texts(found)]
    return [
        {
            "Outcome": f"{c.outcome.label}{', months lost' if c.in_months else ', %'}",
            names[0]: signed(c.recommended, 1, supported=found.recommended.supported),
            names[1]: signed(c.other, 1, supported=found.other.supported),
            "Difference": signed(c.difference, 1, supported=found.supported),
        }
        for c in found.contrasts
    ]


def signed(estimate: Estimate, decimals: int, *, supported: bool) -> str:
    """A number with its interval, e.g. ``-0.3 (-1.2 to 0.5)``; the interval alone where the cohort supports no more."""
    value, lower, upper = (_number(one, decimals) for one in (estimate.value, estimate.lower, estimate.upper))
    return f"{value} ({lower} to {upper})" if supported else f"{lower} to {upper}"


def _number(value: float, decimals: int) -> str:
    """With a proper minus, and none before a zero."""
    text = f"{value:.{decimals}f}"
    return (text.removeprefix("-") if float(text) == 0.0 else text).replace("-", "\u2212")
