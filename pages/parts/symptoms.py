"""Symptoms over time: which ratings are to be expected of this patient under the two plans that the page compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import streamlit as st

from data.symptoms import Item
from pages.parts import charts, palette
from pages.parts.guard import guarded
from pages.parts.question import Question
from pages.parts.session import Session
from pages.parts.symptom_charts import Course, SymptomPanel, symptom_course
from pages.parts.widgets import note
from pages.parts.words import OUTSIDE, plain, plan_name
from twin.arrays import Flags, Floats
from twin.symptoms import SymptomCurves, SymptomModel

OVERVIEW: Final = "overview"
"""The items that the questionnaire shows before anybody asks for the rest."""
PANEL_WIDTH_PX: Final = 232
"""Four stand in a row at 1440 pixels; on narrow screens they wrap and are never cut off."""
LOOKS: Final[tuple[tuple[str, Literal["blue", "orange"], str], ...]] = (
    ("A", "blue", "solid"),
    ("B", "orange", "dashed"),
)
TOO_FEW: Final = "too few ratings"


@dataclass(frozen=True, eq=False)
class ShownItem:
    """One item under the plans compared, beside what the patient answered; arrays are (weeks,)."""

    item: Item
    courses: tuple[Course, ...]
    """Under plan A and, where there is one, plan B"""
    own: Floats
    """The patient's ratings, NaN where there is none"""


@dataclass(frozen=True, eq=False)
class Expected:
    """What is to be expected under the plans compared, beside what the patient answered."""

    model: SymptomModel
    curves: tuple[SymptomCurves, ...]
    """Under plan A and, where there is one, plan B; all items of the questionnaire"""
    supported: tuple[bool, ...]
    """Of the same plans, whether the means may be shown, and not their intervals only"""
    own: Floats
    """(items, weeks) the patient's ratings, NaN where there is none"""
    used: Flags
    """(weeks,) the weeks whose ratings are known when the question is asked"""

    @property
    def plans(self) -> list[str]:
        """The plans, each with its letter."""
        return [f"Plan {name} ({curves.plan})" for (name, _, _), curves in zip(LOOKS, self.curves, strict=False)]

    @property
    def answered(self) -> bool:
        """Whether the patient answered anything."""
        return not np.isnan(self.own).all()

    def of_group(self, group: str) -> list[ShownItem]:
        """The items of a part of the questionnaire, or of the overview."""
        return [
            ShownItem(item, tuple(self._courses(row)), self.own[row])
            for row, item in enumerate(self.model.questionnaire.items)
            if (item.shown if group == OVERVIEW else item.group == group)
        ]

    def _courses(self, row: int) -> Iterator[Course]:
        for curves, supported in zip(self.curves, self.supported, strict=True):
            yield Course(
                curves.mean[0, row],
                curves.lower[0, row],
                curves.upper[0, row],
                curves.range_lower[0, row],
                curves.range_upper[0, row],
                supported,
            )


def show(session: Session, question: Question, supported: tuple[bool, ...]) -> None:
    """Draw the expected ratings of the patient; one sentence where the twin has no model of them.

    Args:
        session: Whose cohort and twin.
        question: What is asked.
        supported: Of each plan compared, whether single numbers may be shown, and not intervals only.
    """
    model = session.twin.symptoms
    if model is None:
        note(f"Symptoms over time are not shown: {plain(_absence(session))}.")
    else:
        _section(_expected(model, session, question, supported), question)


@st.fragment
def _section(expected: Expected, question: Question) -> None:
    """Drawn again by itself when another part of the questionnaire is looked at."""
    guarded(lambda: _draw(expected, question))


def _draw(expected: Expected, question: Question) -> None:
    st.header("Symptoms over time", anchor=False)
    items = expected.of_group(_group(expected.model))
    _legend(expected)
    _panels(expected, items)
    _remarks(expected, question)
    with st.expander("The ratings as a table", icon=":material/table:"):
        _table(expected, items)


def _absence(session: Session) -> str:
    """Why the twin has no model of symptoms."""
    store = session.workspace.store
    if store.symptom_summary(session.cohort_name) is None:
        return "this cohort has no ratings of them"
    serving = store.serving(session.cohort_name)
    said = serving.summary.get("symptoms", {}) if serving else {}
    return str(said.get("reason") or "the twin was fitted before the ratings came, fit it again")


def _expected(model: SymptomModel, session: Session, question: Question, supported: tuple[bool, ...]) -> Expected:
    plans = [plan for plan in (question.plan_a, question.plan_b) if plan is not None]
    used = model.given_by(question.alive_until, [*plans, session.record.plan_so_far])
    own = _own_ratings(model, session, str(question.record.patient_id))
    observed = np.where(used, own, np.nan)[None]
    curves = tuple(model.curves(question.record, plan, observed=observed) for plan in plans)
    return Expected(model, curves, supported, own, used)


def _own_ratings(model: SymptomModel, session: Session, patient: str) -> Floats:
    """(items, weeks) ratings of the patient; none where they answered another questionnaire than the model's."""
    asked, summary = model.questionnaire, session.summary
    table = session.workspace.store.patient_symptoms(summary.name, patient, summary.version)
    if table is None or table.questionnaire != asked:
        return np.full((len(asked.items), len(asked.weeks)), np.nan)
    return np.asarray(table.ratings([patient])[0])


def _group(model: SymptomModel) -> str:
    groups = [OVERVIEW, *dict.fromkeys(item.group for item in model.questionnaire.items)]
    chosen = st.segmented_control(
        "Part of the questionnaire",
        groups,
        default=OVERVIEW,
        required=True,
        key="symptom-group",
        persist_state="session",
        label_visibility="collapsed",
    )
    return str(chosen or OVERVIEW)


def _legend(expected: Expected) -> None:
    named = [
        f":{colour}[**Plan {name}** ({dash if supported else f'hatched: {charts.INTERVAL_ONLY}'}) "
        f"{plain(plan_name(expected.model.spec, curves.plan))}]"
        for (name, colour, dash), curves, supported in zip(LOOKS, expected.curves, expected.supported, strict=False)
    ]
    st.markdown(" · ".join(named))


def _panels(expected: Expected, items: Sequence[ShownItem]) -> None:
    colours, asked = palette.current(), expected.model.questionnaire
    with st.container(horizontal=True):
        for shown in items:
            panel = SymptomPanel(shown.courses, shown.own, expected.used)
            with st.container(width=PANEL_WIDTH_PX, gap=None):
                st.markdown(f"**{plain(shown.item.label)}**")
                st.plotly_chart(
                    symptom_course(panel, asked, colours),
                    theme=None,
                    config=charts.SHOWN_WITHOUT_MODE_BAR,
                    key=f"symptom-{shown.item.name}",
                    alt=_alternative(expected, shown),
                )


def _alternative(expected: Expected, shown: ShownItem) -> str:
    """What one panel shows, for those who do not see it."""
    asked = expected.model.questionnaire
    parts = [
        f"{plan} "
        + ", ".join(f"week {number:g}: {_briefly(course, week)}" for week, number in enumerate(asked.weeks))
        + ("" if course.supported else f", {OUTSIDE}")
        for plan, course in zip(expected.plans, shown.courses, strict=True)
    ]
    answers = zip(asked.weeks, shown.own, strict=True)
    own = [f"week {week:g}: {rating:g}" for week, rating in answers if not np.isnan(rating)]
    parts += [f"own ratings {', '.join(own)}"] if own else []
    scale = f"from {asked.lowest:g} to {asked.highest:g}"
    return f"{shown.item.label}, expected rating {scale}: {'; '.join(parts)}. The table below holds the intervals."


def _remarks(expected: Expected, question: Question) -> None:
    asked, curves = expected.model.questionnaire, expected.curves[0]
    weeks = ", ".join(f"{week:g}" for week in asked.weeks[:-1]) + f" and {asked.weeks[-1]:g}"
    said = [
        f"Ratings from {asked.lowest:g} (not present) to {asked.highest:g} (as bad as can be imagined), at weeks "
        f"{weeks} from the {asked.counted_from}. Line: mean rating of such patients. Shaded: {curves.interval}, by how "
        f"much the fit leaves it open. Thin bars: {curves.range_label}, how much single answers differ."
    ]
    if expected.answered:
        said.append(
            "Dots: this patient's own ratings; filled: given by the moment asked, whichever plan is followed, and used "
            "for the weeks after; open: not used."
        )
    if not all(expected.supported):
        said.append(f"Hatched: {OUTSIDE}; only intervals are shown, no means.")
    said += _unfitted(expected.model, question)
    said.append(
        "Plans differ as they did in this cohort, adjusted for what it records: a difference is an association and no "
        "proof of effect."
    )
    note(" ".join(said))


def _unfitted(model: SymptomModel, question: Question) -> list[str]:
    """Which decisions tell the two plans apart and no rating."""
    differing = [k for k, (a, b) in enumerate(zip(question.plan_a, question.plan_b or "", strict=False)) if a != b]
    silent = [model.spec.decisions[k].label.lower() for k in differing if k not in model.compared]
    alike = ": the curves are the same" if len(silent) == len(differing) else ""
    return [f"What {plain(' and '.join(silent))} does to ratings is not fitted{alike}."] if silent else []


def _table(expected: Expected, items: Sequence[ShownItem]) -> None:
    rows = []
    for shown in items:
        for week, number in enumerate(expected.model.questionnaire.weeks):
            row = {"Symptom": shown.item.label, "Week": f"{number:g}"}
            for plan, course in zip(expected.plans, shown.courses, strict=True):
                row[plan] = _cell(course, week)
            if expected.answered:
                row["Own rating"] = "" if np.isnan(shown.own[week]) else f"{shown.own[week]:.0f}"
            rows.append(row)
    st.dataframe(
        rows,
        hide_index=True,
        alt="Expected ratings by symptom and week, with the interval of the mean and the range of single ratings",
    )


def _cell(course: Course, week: int) -> str:
    """Mean, in brackets its interval, then the range of single ratings; without the mean where it is not supported."""
    if np.isnan(course.mean[week]):
        return TOO_FEW
    singly = f"singly {course.range_lower[week]:.0f}-{course.range_upper[week]:.0f}"
    if not course.supported:
        return f"{_interval(course, week)}, {singly}, {OUTSIDE}"
    return f"{course.mean[week]:.1f} ({_interval(course, week)}), {singly}"


def _briefly(course: Course, week: int) -> str:
    """The mean, or where it is not supported its interval."""
    if np.isnan(course.mean[week]):
        return TOO_FEW
    return f"{course.mean[week]:.1f}" if course.supported else _interval(course, week)


def _interval(course: Course, week: int) -> str:
    return f"{course.lower[week]:.1f}-{course.upper[week]:.1f}"
