"""What leaves as a file: formulas are tamed, the mark stands above the header, the template is accepted as it is."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from data.cohort import Cohort, TimeZero, typed_frame
from data.export import cohort_csv, neutralised, template_csv
from data.importing import check_source
from data.schema import Specification


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM", "'@SUM"), ("\tx", "'\tx"), ("\rx", "'\rx"),
        ("'=1", "''=1"), ("P-1", "P-1"), ("'x", "'x"), ("'", "'"), ("a=b", "a=b"),
    ],
)  # fmt: skip
def test_only_what_a_spreadsheet_would_run_is_prefixed(text: str, written: str) -> None:
    assert neutralised(text) == written


def test_numbers_are_left_alone_and_the_mark_stands_above(spec: Specification) -> None:
    frame = typed_frame(pd.DataFrame({"patient_id": ["=x"], "site_id": ["a,b"], "os_months": [0.1 + 0.2]}), spec)
    cohort = Cohort(spec, frame, TimeZero.DIAGNOSIS, synthetic=True)
    assert cohort_csv(cohort).decode().split("\r\n") == [
        "# gemina: synthetic=1 time_zero=diagnosis spec=oropharynx",
        "patient_id,site_id,os_months",
        '\'=x,"a,b",0.30000000000000004',
        "",
    ]


def test_the_template_names_every_column_of_the_dictionary(spec: Specification) -> None:
    lines = template_csv(spec).decode().split("\r\n")
    assert lines[-2].split(",") == [column.name for column in spec.columns]
    assert all(line.startswith("#") for line in lines[:-2])


def test_the_empty_template_is_refused_for_want_of_patients_alone(spec: Specification) -> None:
    report = check_source(template_csv(spec), "template.csv", spec).report
    assert report.counts["no_rows"] == 1
    assert "missing_column" not in report.counts


def test_the_example_of_the_template_imports_without_a_finding(spec: Specification) -> None:
    *comments, header, _ = template_csv(spec).decode().split("\r\n")
    content = f"{header}\n{comments[-1].removeprefix('# ')}\n".encode()
    checked = check_source(content, "example.csv", spec)
    assert (checked.report.exit, checked.report.counts) == (0, {})
    [example] = csv.DictReader(io.StringIO(content.decode()))
    assert sum(1 for cell in example.values() if cell) > len(spec.columns) * 0.9
