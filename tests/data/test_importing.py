"""From bytes to a cohort through a mapping: derivations, filters, marks, new patients, exit codes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fixtures.bad_files import GOOD, HEADER, ROWS, table

from data.cohort import TimeZero
from data.findings import LISTED_PER_FILE
from data.importing import Checked, ImportReport, check_source
from data.mapping.model import Mapping, load_mapping
from data.reader.limits import COMMAND_LINE_LIMITS
from data.schema import Specification

SOURCE = "id,age,sex,T,N,FU,dead,start,event,other,note\n"
SAME = {name: name for name in ("sex",)} | {"id": "patient_id", "age": "age_years", "T": "t_stage", "N": "n_stage"}


def mapping(**parts: Any) -> Mapping:
    """A mapping of the source above; `parts` replace or add to it."""
    document: dict[str, Any] = {
        "columns": {**SAME, "dead": "death"},
        "derive": {"os_months": {"from": "FU", "unit": "years"}},
    }
    for key, value in parts.items():
        document[key] = {**document.get(key, {}), **value} if isinstance(value, dict) else value
    return load_mapping(json.dumps(document).encode())


def source(*rows: str) -> bytes:
    return (SOURCE + "\n".join(rows) + "\n").encode()


def checked(spec: Specification, content: bytes, plan: Mapping | None = None, **options: Any) -> Checked:
    return check_source(content, "cohort.csv", spec, plan, **options)


def column(result: Checked, name: str) -> list[Any]:
    assert result.cohort is not None, [str(finding) for finding in result.report.findings]
    return [None if value != value else value for value in result.cohort.frame[name].astype(object)]


def codes(result: Checked) -> set[tuple[str, int]]:
    return {(f.code, f.row) for f in result.report.findings if f.severity != "info"}


ROW = "P1,63,male,T2,N1,2,0"


@pytest.mark.parametrize(
    ("unit", "months"), [("days", 1461 / 30.4375), ("weeks", 1461 * 7 / 30.4375), ("months", 1461.0)]
)
def test_times_are_converted_by_their_unit(spec: Specification, unit: str, months: float) -> None:
    plan = mapping(derive={"os_months": {"from": "FU", "unit": unit}})
    result = checked(spec, source(ROW.replace(",2,0", ",1461,0") + ",,,,"), plan)
    if months <= 600:
        assert column(result, "os_months") == [pytest.approx(months)]
    else:
        assert codes(result) == {("out_of_range", 2)}


def test_centigray_and_cigarettes_are_units_of_the_dictionary(spec: Specification) -> None:
    plan = mapping(
        derive={
            "rt_dose_gy": {"from": "note", "unit": "cGy"},
            "pack_years": {"from": "other", "unit": "cigarettes per day x years"},
        }
    )
    result = checked(spec, source(ROW + ",,,400,7000"), plan)
    assert (column(result, "rt_dose_gy"), column(result, "pack_years")) == ([70.0], [20.0])


BETWEEN = {
    "df_months": {
        "between": ["start", "event"],
        "date_format": "%m/%d/%Y",
        "else": {"from": "FU", "unit": "years"},
    },
    "distant_failure": {"any_of": [{"column": "other", "in": ["yes", "PERSISTENT"]}]},
}


def test_a_time_between_dates_or_the_follow_up(spec: Specification) -> None:
    rows = (f"{ROW},1/1/2010,7/2/2010,Yes,", f"{ROW},1/1/2010,,,".replace("P1", "P2"))
    result = checked(spec, source(*rows), mapping(derive=BETWEEN))
    assert column(result, "df_months") == [pytest.approx(182 / 30.4375), 24.0]
    assert column(result, "distant_failure") == [1.0, 0.0]
    assert codes(result) == {("two_origins_of_time", 0)}


@pytest.mark.parametrize(
    ("cells", "code", "column_name"),
    [
        ("1/1/2010,12/31/2009,yes", "negative_duration", "event"),
        ("1/1/2010,2010-07-02,yes", "not_a_date", "event"),
        ("1/1/2010,2/30/2010,yes", "not_a_date", "event"),
        ("soon,7/2/2010,yes", "not_a_date", "start"),
        (",7/2/2010,yes", "start_date_missing", "start"),
        ("1/1/2010,,yes", "event_without_date", "event"),
        ("1/1/2010,7/2/2012,yes", "event_after_last_contact", "event"),
        ("1/1/2010,1/1/2010,persistent", "event_at_time_zero", "event"),
    ],
)
def test_faulty_dates_are_named(spec: Specification, cells: str, code: str, column_name: str) -> None:
    result = checked(spec, source(f"{ROW},1/1/2010,,,", f"{ROW},{cells},".replace("P1", "P2")), mapping(derive=BETWEEN))
    assert (code, 3) in codes(result)
    assert {f.column for f in result.report.findings if f.code == code} == {column_name}


def test_an_age_is_the_time_between_birth_and_diagnosis(spec: Specification) -> None:
    plan = mapping(
        columns={"age": "pack_years"}, derive={"age_years": {"between": ["start", "event"], "date_format": "%Y-%m-%d"}}
    )
    result = checked(spec, source(ROW + ",1950-07-01,2014-07-01,,"), plan)
    assert column(result, "age_years") == [pytest.approx(64.0, abs=0.01)]


def test_the_earliest_of_several_dates_ends_a_time(spec: Specification) -> None:
    derive = {"df_months": {"between": ["start", ["event", "other"]], "date_format": "%Y-%m-%d"}}
    rows = ("2010-01-01,2010-03-01,2010-02-01", "2010-01-01,,2010-02-01", "2010-01-01,2010-02-01,", "2010-01-01,,")
    content = source(*(ROW.replace("P1", f"P{i}") + f",{row}," for i, row in enumerate(rows)))
    month = 31 / 30.4375
    assert column(checked(spec, content, mapping(derive=derive)), "df_months") == [pytest.approx(month)] * 3 + [None]


def test_a_pattern_makes_a_flag_and_no_text_makes_none(spec: Specification) -> None:
    derive = {"induction_chemo": {"matches": {"column": "note", "pattern": "induction"}}}
    rows = (f"{ROW},,,,Induction TPF", f"{ROW},,,,RT alone".replace("P1", "P2"), f"{ROW},,,,".replace("P1", "P3"))
    assert column(checked(spec, source(*rows), mapping(derive=derive)), "induction_chemo") == [1.0, 0.0, None]


def test_cells_that_any_of_counts_as_no_are_said(spec: Specification) -> None:
    content = source(f"{ROW},1/1/2010,,Possible,", f"{ROW},1/1/2010,,no,".replace("P1", "P2"))
    [finding] = [
        f for f in checked(spec, content, mapping(derive=BETWEEN)).report.findings if f.code == "counted_as_no"
    ]
    assert (finding.column, finding.got) == ("other", "'Possible' x 1")


@pytest.mark.parametrize(("constant", "code"), [(7, None), ("8", None), (6, "bad_constant"), ("x", "bad_constant")])
def test_a_constant_is_held_to_the_dictionary(spec: Specification, constant: object, code: str | None) -> None:
    result = checked(spec, source(ROW + ",,,,"), mapping(derive={"tnm_edition": {"constant": constant}}))
    assert codes(result) == ({(code, 0)} if code else set())
    if code is None:
        assert column(result, "tnm_edition") == [float(str(constant))]


def test_rows_that_fail_a_filter_are_not_read(spec: Specification) -> None:
    rows = (f"{ROW},,,,Oropharynx", "P2,old,it,T9,N1,2,0,,,,Larynx", f"{ROW},,,,oropharynx".replace("P1", "P3"))
    result = checked(spec, source(*rows), mapping(filter={"note": ["Oropharynx", "oropharynx"]}))
    assert (result.report.exit, result.report.rows, result.report.kept, result.report.filtered_out) == (0, 2, 2, 1)


def test_a_filter_that_nothing_passes_is_an_error(spec: Specification) -> None:
    result = checked(spec, source(f"{ROW},,,,Oropharynx"), mapping(filter={"note": ["OPC"]}))
    assert ("filter_matches_nothing", 0) in codes(result)
    assert "'Oropharynx'" in next(f.got for f in result.report.findings if f.code == "filter_matches_nothing")


@pytest.mark.parametrize(
    ("parts", "code", "target"),
    [
        ({"columns": {"age": "age_year"}}, "unknown_target", "age_year"),
        ({"derive": {"nothing": {"constant": 1}}}, "unknown_target", "nothing"),
        ({"values": {"nothing": {"a": "b"}}}, "unknown_target", "nothing"),
        ({"columns": {"Age": "pack_years"}}, "missing_source", "pack_years"),
        ({"derive": {"df_months": {"from": "Time", "unit": "days"}}}, "missing_source", "df_months"),
        ({"filter": {"Site": ["a"]}}, "missing_source", ""),
        ({"derive": {"os_months": {"from": "FU", "unit": "fortnights"}}}, "impossible_derivation", "os_months"),
        ({"derive": {"ecog": {"from": "FU", "unit": "years"}}}, "impossible_derivation", "ecog"),
        ({"derive": {"sex": {"matches": {"column": "note", "pattern": "m"}}}, "columns": {"sex": "site_id"}},
         "impossible_derivation", "sex"),
        ({"spec": "larynx"}, "other_specification", ""),
    ],
)  # fmt: skip
def test_a_mapping_that_does_not_fit_is_named(
    spec: Specification, parts: dict[str, Any], code: str, target: str
) -> None:
    result = checked(spec, source(ROW + ",,,,"), mapping(**parts), skip_bad_rows=True)
    assert (code, target) in {(f.code, f.target) for f in result.report.findings}
    assert (result.report.exit, result.cohort) == (1, None)


def test_without_a_mapping_only_canonical_names_are_read(spec: Specification) -> None:
    report = checked(spec, table(*ROWS, header=HEADER.replace("age_years", "age"))).report
    assert report.ignored_columns == ("age",)
    assert [f.target for f in report.findings if f.code == "missing_column"] == ["age_years"]


@pytest.mark.parametrize("skip", [False, True])
def test_new_patients_need_only_what_is_known(spec: Specification, skip: bool) -> None:
    content = b"patient_id,age_years,sex,t_stage,n_stage\n007,63,male,T2,N1\n"
    known = checked(spec, content, partial=True, skip_bad_rows=skip)
    assert column(known, "patient_id") == ["007"]
    assert checked(spec, content).report.counts["missing_column"] == 2


def test_a_mapping_serves_new_patients_whose_file_lacks_its_outcomes(spec: Specification) -> None:
    result = checked(spec, b"id,age,sex,T,N\nP1,63,male,T2,N1\n", mapping(), partial=True)
    assert result.cohort is not None
    assert result.report.exit == 0


@pytest.mark.parametrize(
    ("line", "stated", "expected"),
    [
        ("", None, (TimeZero.TREATMENT_START, False)),
        ("", "diagnosis", (TimeZero.DIAGNOSIS, False)),
        ("# gemina: synthetic=1 time_zero=diagnosis spec=oropharynx", None, (TimeZero.DIAGNOSIS, True)),
        ("# gemina: synthetic=1 time_zero=diagnosis", "diagnosis", (TimeZero.DIAGNOSIS, True)),
        ("# gemina: synthetic=0\n# gemina: synthetic=1", None, (TimeZero.TREATMENT_START, True)),
        ("# gemina: synthetic=1,,,,,,", None, (TimeZero.TREATMENT_START, True)),
        ("# a note", None, (TimeZero.TREATMENT_START, False)),
    ],
)
def test_the_mark_of_a_file_is_kept(
    spec: Specification, line: str, stated: str | None, expected: tuple[TimeZero, bool]
) -> None:
    identity = {"columns": {name: name for name in HEADER.split(",")}, "time_zero": stated}
    plan = Mapping.model_validate(identity) if stated else None
    cohort = checked(spec, f"{line}\n".encode() + GOOD, plan).cohort
    assert cohort is not None
    assert (cohort.time_zero, cohort.synthetic) == expected


@pytest.mark.parametrize(
    ("line", "stated", "code"),
    [
        ("# gemina: time_zero=diagnosis", "treatment_start", "time_zero_contradiction"),
        ("# gemina: spec=larynx", None, "other_specification"),
        ("# gemina: synthetic=perhaps", None, "bad_marker"),
        ("# gemina: time_zero=diagnosis\n# gemina: time_zero=treatment_start", None, "bad_marker"),
        ("# gemina: colour=red", None, "bad_marker"),
    ],
)
def test_a_mark_that_contradicts_is_an_error(spec: Specification, line: str, stated: str | None, code: str) -> None:
    identity = {"columns": {name: name for name in HEADER.split(",")}, "time_zero": stated}
    plan = Mapping.model_validate(identity) if stated else None
    result = checked(spec, f"{line}\n".encode() + GOOD, plan)
    assert (code, 0) in codes(result)
    assert result.cohort is None


def test_a_semicolon_file_with_decimal_commas(spec: Specification) -> None:
    content = GOOD.replace(b",", b";").replace(b"34.5", b"34,5").replace(b"63", b"63,25")
    result = checked(spec, content)
    assert (result.report.exit, result.report.delimiter) == (0, ";")
    assert column(result, "os_months")[0] == 34.5
    assert column(result, "age_years")[0] == 63.25


def test_many_findings_are_counted_and_a_thousand_listed(spec: Specification) -> None:
    rows = (f"P-{i},60,male,T9,N1,12,{'x' if i == 2_999 else 0}" for i in range(3_000))
    report = checked(spec, table(*rows), skip_bad_rows=True).report
    assert (report.counts["unknown_level"], report.counts["not_a_flag"]) == (3_000, 1)
    assert len(report.findings) == LISTED_PER_FILE
    assert report.left_out_rows == tuple(range(2, 3_002))
    assert report.exit == 1


def test_the_report_is_the_object_of_the_contract(spec: Specification) -> None:
    report = checked(spec, GOOD).report
    document = json.loads(json.dumps(report.as_dict()))
    assert list(document)[:7] == ["file", "exit", "rows", "kept", "findings", "counts", "digest"]
    assert len(document["digest"]) == 64
    assert list(document["findings"][0]) == [
        "code", "severity", "row", "column", "target", "expected", "got", "remedy",
    ]  # fmt: skip
    assert ImportReport.unreadable("x.csv").as_dict()["exit"] == 2


def test_the_digest_tells_content_not_form(spec: Specification) -> None:
    digest = checked(spec, GOOD).report.digest
    assert (
        checked(spec, GOOD.replace(b",", b"\t").replace(b"male", b"MALE").replace(b"feMALE", b"female")).report.digest
        == digest
    )
    assert checked(spec, GOOD.replace(b"63", b"63.0")).report.digest == digest
    assert checked(spec, GOOD.replace(b"63", b"64")).report.digest != digest


def test_the_limits_of_the_call_hold(spec: Specification) -> None:
    result = checked(spec, GOOD, limits=COMMAND_LINE_LIMITS.with_megabytes(0))
    assert (result.report.exit, set(result.report.counts)) == (2, {"too_many_bytes"})


def test_numbers_are_held_exactly(spec: Specification) -> None:
    content = GOOD.replace(b"34.5", b"34.123456789012345")
    assert np.float64(column(checked(spec, content), "os_months")[0]) == np.float64("34.123456789012345")
