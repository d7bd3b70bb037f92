"""Which patients are there? Search, filter and sort the cohort; open one."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from data.cohort import Cohort
from data.dictionary_page import column_help
from data.schema import Column, ColumnType
from pages.parts import session as visit
from pages.parts.guard import guarded
from pages.parts.session import COHORT_KEY, Session
from pages.parts.widgets import heading, note
from pages.parts.words import value_text

ROWS_SHOWN = 500


def render() -> None:
    """The cohort as a table that narrows down to one patient."""
    session = visit.current()
    heading("Patients", session)
    _choose_cohort(session)
    shown = _filtered(session.cohort)
    note(f"{len(shown)} of {session.cohort.size} patients. Click a column's title to sort.")
    if shown.empty:
        st.info("Clear the search or a filter to see patients again.", title="No patient matches")
        return
    _table(session.cohort, shown)


def _choose_cohort(session: Session) -> None:
    names = [summary.name for summary in session.summaries]
    if st.session_state.get(COHORT_KEY) not in names:
        st.session_state[COHORT_KEY] = session.cohort_name if session.cohort_name in names else names[0]
    if len(names) > 1:
        st.selectbox("Cohort", names, key=COHORT_KEY, persist_state="session", width=320)


def _filtered(cohort: Cohort) -> pd.DataFrame:
    """The rows that match the search and every filter the reader set."""
    frame = cohort.frame
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.text_input("Search identifier", key=f"search-{cohort.name}", width=220)
        chosen = {column.name: _filter(cohort, column) for column in _filterable(cohort)}
    if wanted:
        frame = frame[frame[cohort.spec.key].astype(str).str.contains(wanted.strip(), case=False, regex=False)]
    return _having(frame, chosen)


def _filterable(cohort: Cohort) -> list[Column]:
    columns = [cohort.spec.column(name) for name in cohort.spec.summary_columns]
    return [column for column in columns if column.type is ColumnType.CATEGORY and cohort.records(column.name)]


def _filter(cohort: Cohort, column: Column) -> list[str]:
    present = set(cohort.frame[column.name].dropna())
    levels = [level for level in column.levels if level in present]
    return st.multiselect(
        column.label,
        levels,
        key=f"filter-{cohort.name}-{column.name}",
        format_func=lambda level: value_text(column, level),
        placeholder="any",
        help=column_help(column),
        width=190,
    )


def _having(frame: pd.DataFrame, chosen: Mapping[str, list[str]]) -> pd.DataFrame:
    for name, levels in chosen.items():
        if levels:
            frame = frame[frame[name].isin(levels)]
    return frame


def _table(cohort: Cohort, shown: pd.DataFrame) -> None:
    spec = cohort.spec
    labels = {decision.column: decision.label for decision in spec.decisions}
    names = [spec.key, *spec.summary_columns, *labels, spec.follow_up]
    columns = [spec.column(name) for name in dict.fromkeys(names) if name in shown]
    readable = {labels.get(column.name, column.label): _readable(shown[column.name], column) for column in columns}
    table = pd.DataFrame(readable)
    selection = st.dataframe(
        table.head(ROWS_SHOWN),
        hide_index=True,
        height=430,
        key=f"patients-{cohort.name}-{hash(tuple(shown.index))}",  # a selection belongs to the rows it was made in
        on_select="rerun",
        selection_mode="single-row",
        alt=f"Table of {len(shown)} patients; select a row, or choose below, to open the patient's twin",
    )
    if len(shown) > ROWS_SHOWN:
        note(f"The first {ROWS_SHOWN} are shown: search or filter to see the others.")
    _open(shown[spec.key].astype(str).tolist(), list(selection.selection.rows))


def _readable(values: pd.Series, column: Column) -> pd.Series:
    if column.type in (ColumnType.CATEGORY, ColumnType.FLAG):
        return values.astype(object).map(lambda value: value_text(column, None if pd.isna(value) else value))
    return values


def _open(identifiers: list[str], rows: list[int]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Patient", identifiers, index=rows[0] if rows else 0, filter_mode="contains", width=260)
        if st.button("Open the twin", icon=":material/timeline:"):
            visit.choose_patient(str(chosen))
            st.switch_page("pages/twin.py")


guarded(render)
