"""What each decision does to an outcome by published trials, by the cohort and by both: figures, tables and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from data.evidence import NO, YES, Basis, Design, GivenAs, Measure, PublishedEffect, Spread
from data.evidence.page import NOT_SHOWN
from data.schema import Decision, OutcomeKind, Specification
from pages.parts import palette
from pages.parts.charts import SHOWN_WITHOUT_MODE_BAR
from pages.parts.forest import ForestGroup, Mark, alternative, axis_end, forest
from pages.parts.widgets import note
from pages.parts.words import capitalised, counted, group_text, input_text, listed, plain
from twin.effects.cohort import BOTH_REAL, Overlap
from twin.effects.combination import Conflict, EffectRow
from twin.effects.groups import ON_AVERAGE
from twin.effects.sources import Sources
from twin.effects.states import StateRow

MARKS: Final = ("Published", "Cohort", "Combined")
DISAGREE: Final = "≠ they disagree"
BALANCED: Final = 0.1
"""Standardised difference up to which arms count as balanced: Austin 2009 (doi:10.1002/sim.3697)"""
IN_A_ROW: Final = 3
DESIGNS: Final = {
    Design.META_ANALYSIS: "pooled randomised trials",
    Design.RANDOMISED: "randomised trial",
    Design.OBSERVATIONAL: "observational",
}


class Picture(Sources):
    """The effects of every decision on one outcome, as figures and tables show them."""

    @property
    def measure(self) -> str:
        """What the effects are."""
        return "odds ratio" if self.outcome.kind is OutcomeKind.BINARY else "hazard ratio"

    @property
    def decisions(self) -> list[Decision]:
        """The decisions that have an effect, in their order."""
        found = {row.decision for row in self.rows}
        return [decision for decision in self.spec.decisions if decision.column in found]

    def groups(self, decision: str) -> list[ForestGroup]:
        """The groups of a decision as a figure shows them."""
        rows = [row for row in self.rows if row.decision == decision]
        return [ForestGroup(capitalised(row.group), self.marks(row), self._remark(row)) for row in rows]

    def marks(self, row: EffectRow) -> tuple[Mark, ...]:
        """What each source says, in the order of `MARKS`."""
        absences = (self.unpublished(row.decision), self.untaught(row.decision), "")
        ratios = (None if absences[0] else row.prior, row.cohort, row.combined)
        return tuple(Mark(*entry) for entry in zip(MARKS, ratios, absences, strict=True))

    def _remark(self, row: EffectRow) -> str:
        return DISAGREE if row.group == ON_AVERAGE and self.disagreement(row.decision) else ""


def show_effects(picture: Picture) -> None:
    """One figure a decision, all on one axis, and the table behind them."""
    st.header(f"What each decision does to {picture.outcome.label.lower()}", anchor=False)
    groups = {decision.column: picture.groups(decision.column) for decision in picture.decisions}
    if not groups:
        note("This cohort can compare no decision, so that none has an effect here.")
        return
    end = max(axis_end(entries) for entries in groups.values())
    for start in range(0, len(groups), IN_A_ROW):
        for column, decision in zip(st.columns(IN_A_ROW), picture.decisions[start : start + IN_A_ROW], strict=False):
            with column, st.container(border=True, height="stretch"):
                _panel(picture, decision, groups[decision.column], end)
    note(
        f"Below 1 a decision lowers the risk, above 1 it raises it ({picture.measure}s). Lines: 90 % intervals; those "
        "of the cohort hold the error of sampling only. Averages and differences between groups are weighed together, "
        "so in a single group the combination may lie outside of both its sources."
    )
    with st.expander("As a table", icon=":material/table:"):
        _table(picture)


def _panel(picture: Picture, decision: Decision, groups: list[ForestGroup], end: float) -> None:
    st.subheader(decision.label, anchor=False)
    figure = forest(groups, end, picture.measure, palette.current())
    title = f"{decision.label} and {picture.outcome.label.lower()}"
    st.plotly_chart(
        figure,
        theme=None,
        config=SHOWN_WITHOUT_MODE_BAR,
        key=f"forest-{decision.column}",
        alt=alternative(title, groups, picture.measure),
    )
    for row in picture.states:
        if row.decision == decision.column:
            note(plain(_by_state(row)))
    conflict = picture.conflict(decision.column)
    if conflict is not None and conflict.flagged:
        elsewhere = "Trials" if picture.basis(decision.column) is Basis.READ else "Assumption"
        said = plain(capitalised(picture.sentence(conflict)))
        st.markdown(f":material/warning: **{elsewhere} and cohort disagree.** {said}.")
    else:
        note(plain(f"{capitalised(_agreement(picture, decision, conflict))}."))


def _by_state(row: StateRow) -> str:
    source = "assumption and cohort" if row.taught else "assumed, not learnt from the cohort"
    return (
        f"{capitalised(row.name)} its ratio is {row.used} times that in the others ({source}). Until that is seen, "
        "the average counts."
    )


def _agreement(picture: Picture, decision: Decision, conflict: Conflict | None) -> str:
    if conflict is not None:
        return f"on average: {picture.sentence(conflict)}"
    if decision.column in picture.outcome.triggers:
        outcome = picture.outcome.label.lower()
        return f"{outcome} can bring this decision about, and no cohort tells a consequence from a cause"
    alone = {
        Basis.NONE: "nothing is published that the cohort could be compared with",
        Basis.UNREAD: "the cohort cannot tell: what is assumed from sources that nobody here could read stands alone",
        Basis.READ: "the cohort cannot tell: the published effects stand alone",
    }
    return alone[picture.basis(decision.column)]


def _table(picture: Picture) -> None:
    labels = {decision.column: decision.label for decision in picture.decisions}
    rows = []
    for row in picture.rows:
        said = {mark.source: mark.text for mark in picture.marks(row)}
        whom = {"Decision": labels[row.decision], "Patients": capitalised(row.group)}
        rows.append({**whom, **said, "Published and cohort": _compared(picture, row)})
    alt = f"The {picture.measure}s of the figures with their 90 % intervals, by decision, group of patients and source"
    st.dataframe(rows, hide_index=True, alt=alt)


def _compared(picture: Picture, row: EffectRow) -> str:
    conflict = picture.conflict(row.decision)
    if row.group != ON_AVERAGE or conflict is None:
        return ""
    p = f"p {conflict.p_value:.2f}" if conflict.p_value >= 0.01 else "p below 0.01"
    return f"{DISAGREE} ({p})" if conflict.flagged else f"within chance ({p})"


def show_overlap(picture: Picture) -> None:
    """Whether those with and without a decision can be compared at all."""
    st.header("Can the cohort compare them?", anchor=False)
    overlap = picture.effects.cohort.overlap
    if not overlap:
        note("The cohort estimates no decision for this outcome: there is nothing to compare.")
        return
    st.markdown(plain(_overlap_sentence(picture.spec, overlap)))
    st.dataframe(
        [_overlap_row(picture.spec, entry) for entry in overlap],
        hide_index=True,
        alt="By decision: how many had it, how likely it was, and how alike those with and without it are",
    )
    note(
        "Propensity: the chance of the decision by what was known when it was taken. Worth: as many unweighted "
        "patients would tell as much as the weighted ones. Imbalance: the largest difference of means between those "
        "with and without, in standard deviations."
    )


def _overlap_sentence(spec: Specification, overlap: Sequence[Overlap]) -> str:
    labels = {decision.column: decision.label.lower() for decision in spec.decisions}
    uneven = [entry for entry in overlap if entry.imbalance_after > BALANCED]
    if not uneven:
        return f"After weighting, patients with and without each decision differ by {BALANCED:g} or less in everything."
    named = [
        f"{labels[entry.decision]} ({input_text(spec, entry.least_balanced)}, {entry.imbalance_after:.2f})"
        for entry in uneven
    ]
    return (
        f"After weighting, patients with and without still differ by more than {BALANCED:g} standard deviations for "
        f"{listed(named)}: there the estimate also leans on the regression beside the weights."
    )


def _overlap_row(spec: Specification, entry: Overlap) -> dict[str, str]:
    labels = {decision.column: decision.label for decision in spec.decisions}
    low, high = BOTH_REAL
    return {
        "Decision": labels[entry.decision],
        "With / without": f"{entry.treated} / {entry.untreated}",
        "Worth when weighted": f"{entry.effective_treated:.0f} / {entry.effective_untreated:.0f}",
        "Propensity": f"{100 * entry.lowest:.0f}-{100 * entry.highest:.0f} %",
        f"Within {100 * low:.0f}-{100 * high:.0f} %": f"{100 * entry.share_both_real:.0f} %",
        "Imbalance before": f"{entry.imbalance_before:.2f}",
        "after": f"{entry.imbalance_after:.2f}",
        "Least balanced": input_text(spec, entry.least_balanced),
    }


def show_weight(picture: Picture, cohort: str) -> None:
    """Which weight the published effects have in this twin, and how another one is tried."""
    st.header("How much the published effects count", anchor=False)
    weight = picture.effects.weight
    st.markdown(
        f"This twin was fitted with weight **{weight:g}**: {weight_text(weight)}. 0 is the cohort alone, 0.5 both by "
        "their stated variances, 1 the published effects alone. Another weight makes another twin, which serves once "
        "somebody lets it (under *Cohorts*):"
    )
    st.code(f"python -m twin fit --cohort {cohort} --evidence-weight W", language=None, wrap_lines=True)


def weight_text(weight: float) -> str:
    """What a weight of the published effects means."""
    if weight in (0.0, 1.0):
        return "the published effects alone" if weight else "the cohort alone, and published effects where it is silent"
    if weight == 0.5:
        return "both count by their variances"
    if weight < 0.5:
        return f"the cohort counts in full, published effects count {2 * weight:g} times"
    return f"published effects count in full, the cohort counts {2 * (1 - weight):g} times"


def show_published(picture: Picture) -> None:
    """The published effects on the outcome that enter the prior, with source and population."""
    st.header(f"Published effects used on {picture.outcome.label.lower()}", anchor=False)
    subjects = _subjects(picture.spec)
    found = {subject: picture.evidence.rows(subject, picture.outcome.name) for subject in subjects}
    for subject, effects in found.items():
        if effects:
            items = [published_text(picture.spec, effect) for effect in effects]
            st.markdown("\n".join([f"**{plain(subjects[subject])}**", "", *items]))
    without = [subjects[subject].lower() for subject, effects in found.items() if not effects]
    if without:
        note(plain(f"No published effect is used for {listed(without)}."))


def _subjects(spec: Specification) -> dict[str, str]:
    """Labels of what effects may be about: decisions and the manner of each."""
    found = {}
    for decision in spec.decisions:
        found[decision.column] = decision.label
        if decision.manner:
            found[decision.manner] = spec.column(decision.manner).label
    return found


def published_text(spec: Specification, effect: PublishedEffect) -> str:
    """One published effect as an item of a Markdown list, with how its ratio was worked out where none is published.

    Of one that nobody read, no figure of its source.
    """
    group = f"; applied to {group_text(spec, effect.group)}" if effect.group.clauses else ""
    patients = f", {counted(effect.patients, 'patient')}" if effect.patients and effect.verified else ""
    compared = "" if (effect.option, effect.against) == (YES, NO) else f" of {effect.option} against {effect.against}"
    figure = figure_text(effect) if effect.verified else capitalised(NOT_SHOWN)
    source = plain(effect.source + (f" ({effect.doi_or_pmid})" if effect.doi_or_pmid else ""))
    read = f", [read in](<{effect.read_in}>)" if effect.verified else ""
    weight = f"standard deviation {effect.log_sd or 0:.2f}{' assumed' if effect.spread is Spread.ASSUMED else ''}"
    found_in = plain(f"{compared} ({DESIGNS[effect.design]}{patients}; {weight}).")
    whom = plain(f"{capitalised(effect.population)}{group}.")
    worked_out = f" {plain(effect.note)}" if effect.verified and effect.given_as is not GivenAs.RATIO else ""
    return f"* **{plain(figure)}**{found_in} {whom} {source}{read}.{worked_out}"


def figure_text(effect: PublishedEffect) -> str:
    """The ratio of an effect that was read, with its interval or P value."""
    name = {Measure.HAZARD_RATIO: "Hazard ratio", Measure.ODDS_RATIO: "Odds ratio"}[effect.measure]
    said = f"{name} {effect.effect:.2f}"
    if effect.lower is not None and effect.upper is not None and effect.interval_level is not None:
        return f"{said} ({effect.lower:.2f}-{effect.upper:.2f}, {100 * effect.interval_level:.0f} % interval)"
    return said if effect.p_value is None else f"{said} (P {effect.p_value:g})"
