"""The way of a file into the store, on the screen: upload, mapping, findings, import."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from data.dictionary import load_built_in, load_specification
from data.export import template_csv
from data.findings import Severity
from data.importing import PAGE_LIMITS, Checked
from data.mapping import Mapping, load_mapping
from data.suggestion import suggest_mapping_for_source
from pages.parts.session import Session
from pages.parts.words import counted, plain
from twin.workspace import ImportRequest

UPLOAD_KEY = "cohort-file"
FINDINGS_IN_WORDS = 3
"""The worst findings stand above the table in words."""


@dataclass(frozen=True)
class Upload:
    """A file as it was uploaded."""

    name: str
    content: bytes
    identity: str
    """Differs between two uploads, also of one file."""


def bring_a_cohort(session: Session) -> None:
    """Four steps, each shown when the one before it is done."""
    spec = load_specification()
    st.markdown(
        f"A comma, semicolon or tab separated text file (UTF-8), one row a patient, up to "
        f"{PAGE_LIMITS.max_bytes // 1_000_000} MB and {PAGE_LIMITS.max_rows:,} rows. Nothing is stored before every "
        "finding is shown. Larger files: `python -m twin import`."
    )
    st.download_button("Empty template", template_csv(spec), f"{spec.name}-template.csv", icon=":material/download:")
    uploaded = st.file_uploader("Cohort file", type=["csv", "txt", "tsv"], key=UPLOAD_KEY)
    if uploaded is None:
        return
    upload = Upload(uploaded.name, uploaded.getvalue(), uploaded.file_id)
    mapping = _mapping(upload)
    if mapping and mapping.spec:
        spec = load_built_in(mapping.spec)  # a path in an uploaded file must not open files of the server
    request = ImportRequest(cohort="", file_name=upload.name, spec=spec, mapping=mapping, limits=PAGE_LIMITS)
    left, right = st.columns(2)
    skip = left.checkbox("Leave rows with errors out", help="They are listed; all others are imported.")
    hashed = right.checkbox("Pseudonymise", help="Identifiers become a keyed hash; identifying columns are dropped.")
    request = replace(request, skip_bad_rows=skip, pseudonymise=hashed)
    checked = session.workspace.check(upload.content, request)
    _findings(checked)
    if checked.cohort is not None:
        _import(session, upload, request)


def _mapping(upload: Upload) -> Mapping | None:
    """The mapping as the reader left it: suggested, loaded or edited by hand."""
    st.header("Mapping")
    saved = st.file_uploader("Use a saved mapping", type=["json"], key="mapping-file")
    start = saved.getvalue().decode("utf-8", errors="replace") if saved else _suggested(upload.name, upload.content)
    text = st.text_area(
        "Mapping (edit it here)",
        value=start,
        key=f"mapping-of-{upload.identity}-{saved.file_id if saved else 'suggested'}",
        height=260,
        help="`columns`: from the file to the dictionary; `values`: spellings; `derive`: computed columns.",
    )
    if not text.strip():
        return None
    mapping = load_mapping(text.encode(), "the mapping")
    for question in mapping.unresolved:
        st.markdown(f":material/help: **{plain(question.column)}**: {plain(question.reason)}")
    st.download_button("Save this mapping", text, "mapping.json", icon=":material/download:")
    return mapping


@st.cache_data(scope="session", show_spinner=False, max_entries=4)
def _suggested(name: str, content: bytes) -> str:
    suggestion = suggest_mapping_for_source(content, name, load_specification())
    return suggestion.mapping.as_json() if suggestion.mapping else ""


def _findings(checked: Checked) -> None:
    report = checked.report
    st.header("Findings")
    found = counted(sum(report.counts.values()), "finding")
    st.markdown(f"{counted(report.rows, 'row')} read, **{report.kept} would be kept**. {found}.")
    for finding in report.findings[:FINDINGS_IN_WORDS]:
        icon = ":material/error:" if finding.severity is Severity.ERROR else ":material/info:"
        st.markdown(f"{icon} {plain(str(finding))}")
    if report.findings:
        st.dataframe(
            [finding.as_dict() for finding in report.findings],
            hide_index=True,
            column_order=["severity", "row", "column", "got", "expected", "remedy", "target", "code"],
            alt=f"{found}, worst first",
        )
    if checked.cohort is None:
        st.warning("Mend the file or the mapping, or leave the rows with errors out.", title="Not importable as it is")


def _import(session: Session, upload: Upload, request: ImportRequest) -> None:
    st.header("Import")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input("Name of the cohort", width=260, help="Letters, digits, - _ and .")
        again = st.checkbox("Replace the cohort of that name")
        wanted = st.button("Import", disabled=not name, icon=":material/input:")
    if wanted:
        report = session.workspace.import_cohort(upload.content, replace(request, cohort=name, replace=again))
        st.success(
            f"{report.kept} patients are stored. Choose the cohort under *In the store* to see what it can answer.",
            title=f"Cohort {plain(name)} is imported",
            icon=":material/check_circle:",
        )
