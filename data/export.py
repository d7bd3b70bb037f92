"""A cohort in, CSV bytes that import gives back as the same cohort out; and the empty template of a specification."""

from __future__ import annotations

import csv
import io
from typing import Final

import numpy as np
import pandas as pd

from data.cells import FORMULA_STARTS, TypedColumn
from data.checks.coherence import check_coherence
from data.checks.draft import Draft
from data.cohort import Cohort, canonical_text, typed_frame
from data.findings import Findings
from data.reader.marker import Marker
from data.schema import Column, ColumnType, Specification

_APOSTROPHE: Final = "'"
_LINE_END: Final = "\r\n"
"""As RFC 4180 has it; the writer then also quotes cells with either of the two."""


def cohort_csv(cohort: Cohort) -> bytes:
    """The cohort as UTF-8 text in canonical columns, in its own order of rows.

    A line above the header carries what no cell says: whether the patients are invented, and from when times are
    counted. Text that a spreadsheet would run as a formula is prefixed with an apostrophe, which import removes.
    """
    table = canonical_text(cohort.frame, cohort.spec)
    for name in table.columns:
        if not cohort.spec.column(name).is_numeric:
            table[name] = table[name].map({text: neutralised(text) for text in table[name].unique()})
    out = io.StringIO(newline="")
    out.write(Marker.of(cohort).line() + _LINE_END)
    writer = csv.writer(out, lineterminator=_LINE_END)
    writer.writerow(table.columns)
    writer.writerows(table.itertuples(index=False, name=None))
    return out.getvalue().encode("utf-8")


def neutralised(text: str) -> str:
    """`text` with an apostrophe before it where a spreadsheet would run it, or where import would remove one."""
    return _APOSTROPHE + text if text.lstrip(_APOSTROPHE).startswith(tuple(FORMULA_STARTS)) else text


def template_csv(spec: Specification) -> bytes:
    """The header of a cohort file, below a comment that explains it and one example."""
    example = _example(spec)
    out = io.StringIO(newline="")
    out.write(f"# {spec.label}: one row per patient. Lines that begin with # above the header are comments.{_LINE_END}")
    out.write(f"# Leave a cell empty where a value is not known. An example of a row:{_LINE_END}# ")
    writer = csv.writer(out, lineterminator=_LINE_END)
    writer.writerow(example[column.name] for column in spec.columns)
    writer.writerow(column.name for column in spec.columns)
    return out.getvalue().encode("utf-8")


def _example(spec: Specification) -> dict[str, str]:
    """One row of cells that import accepts without a finding: values that contradict others are left empty."""
    cells = {column.name: _example_cell(column) for column in spec.columns}
    for _ in spec.columns:
        doubtful = _doubtful(cells, spec)
        if not doubtful:
            break
        cells.update(dict.fromkeys(doubtful, ""))
    return cells


def _example_cell(column: Column) -> str:
    if column.type is ColumnType.FLAG:
        return "0"
    if column.levels:
        return column.levels[-1] if column.is_numeric else column.levels[0]
    if column.minimum is None or column.maximum is None:
        return "P-0001" if column.identifier else "A" if column.type is ColumnType.STRING else "1"
    middle = (column.minimum + column.maximum) / 2
    return str(round(middle))


def _doubtful(cells: dict[str, str], spec: Specification) -> list[str]:
    """Columns of the example row that the rules of the specification object to, required ones apart."""
    frame = typed_frame(pd.DataFrame([{name: cell or None for name, cell in cells.items()}]), spec)
    findings = Findings()
    readable = np.zeros(1, dtype=np.bool_)
    columns = {str(name): TypedColumn(frame[name], readable) for name in frame.columns if frame[name].notna().any()}
    check_coherence(Draft(spec, np.array([2]), findings, columns))
    return sorted({f.target for f in findings if f.row and not spec.column(f.target).required})
