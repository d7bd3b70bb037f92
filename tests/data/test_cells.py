"""What every kind of cell means, by section 1.1 of the contract."""

from __future__ import annotations

import pytest

from data.cells import CellReader, Fault
from data.schema import Specification


@pytest.mark.parametrize("cell", ["", "NA", "N/A", "NaN", "null", ".", "na", "NULL", "unknown", "Unknown"])
@pytest.mark.parametrize("column", ["age_years", "death", "site_id", "t_stage", "rt_fractions"])
def test_missing_is_missing_in_every_kind_of_column(spec: Specification, column: str, cell: str) -> None:
    assert CellReader(spec.column(column)).read(cell) is None


def test_unknown_is_a_level_where_the_dictionary_lists_it(spec: Specification) -> None:
    assert CellReader(spec.column("hpv_status")).read("UNKNOWN") == "unknown"


def test_none_is_a_level_and_never_missing(spec: Specification) -> None:
    assert CellReader(spec.column("concurrent_agent")).read("None") == "none"
    fault = CellReader(spec.column("sex")).read("none")
    assert isinstance(fault, Fault)
    assert fault.code == "unknown_level"


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("sex", "FEMALE", "female"),
        ("t_stage", "t2", "T2"),
        ("death", "1", 1.0), ("death", "1.0", 1.0), ("death", "TRUE", 1.0), ("death", "Yes", 1.0), ("death", "y", 1.0),
        ("death", "0", 0.0), ("death", "0.0", 0.0), ("death", "False", 0.0), ("death", "no", 0.0), ("death", "N", 0.0),
        ("age_years", "+63", 63.0), ("age_years", "6.3e1", 63.0), ("age_years", "63.", 63.0), ("pack_years", ".5", 0.5),
        ("rt_fractions", "35.0", 35.0),
        ("tnm_edition", "8", 8.0),
        ("patient_id", "00123", "00123"), ("patient_id", "1E5", "1E5"),
        ("site_id", "'=1+1", "=1+1"), ("site_id", "'-x", "-x"), ("site_id", "'plain", "'plain"),
    ],
)  # fmt: skip
def test_values(spec: Specification, column: str, cell: str, value: object) -> None:
    assert CellReader(spec.column(column)).read(cell) == value


@pytest.mark.parametrize(
    ("cell", "decimal_comma", "value"),
    [("3,5", True, 3.5), ("3.5", True, 3.5), ("3,5", False, None), ("1.234,5", True, None), ("1,234,567", True, None)],
)
def test_a_comma_is_decimal_only_where_it_does_not_separate_cells(
    spec: Specification, cell: str, decimal_comma: bool, value: float | None
) -> None:
    read = CellReader(spec.column("os_months"), decimal_comma).read(cell)
    assert read == value if value is not None else isinstance(read, Fault)


def test_replacements_ignore_case_and_reach_missing_cells(spec: Specification) -> None:
    reader = CellReader(spec.column("hpv_status"), values={"yes, positive": "positive", "": "unknown", "x": ""})
    assert reader.read("YES, Positive") == "positive"
    assert reader.read("") == reader.read("NA") == "unknown"
    assert reader.read("x") is None


def test_bounds_are_inside(spec: Specification) -> None:
    reader = CellReader(spec.column("age_years"))
    assert (reader.read("18"), reader.read("110")) == (18.0, 110.0)
    assert isinstance(reader.read("17.999"), Fault)
    assert isinstance(reader.read("110.001"), Fault)
