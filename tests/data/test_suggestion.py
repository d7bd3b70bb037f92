"""Suggestions on files of many makes: what is sure is mapped, what is not is asked, nothing is guessed."""

from __future__ import annotations

import pytest
from fixtures.bad_files import GOOD

from data.importing import check_source
from data.mapping.model import Mapping
from data.schema import Specification
from data.suggestion.suggest import suggest_mapping_for_source


def suggested(content: str | bytes, spec: Specification) -> tuple[Mapping, dict[str, str], int]:
    raw = content.encode() if isinstance(content, str) else content
    suggestion = suggest_mapping_for_source(raw, "cohort.csv", spec)
    assert suggestion.mapping is not None
    return suggestion.mapping, {q.column: q.reason for q in suggestion.mapping.unresolved}, suggestion.exit


def test_a_canonical_file_needs_nothing(spec: Specification) -> None:
    mapping, questions, exit_code = suggested(GOOD, spec)
    assert mapping.columns == {name: name for name in GOOD.decode().split("\n")[0].split(",")}
    assert (mapping.values, mapping.derive, mapping.filter, questions, exit_code) == ({}, {}, {}, {}, 0)
    assert check_source(GOOD, "c.csv", spec, mapping).report.digest == check_source(GOOD, "c.csv", spec).report.digest


def test_the_form_of_the_file_is_part_of_the_mapping(spec: Specification) -> None:
    mapping, _, _ = suggested(GOOD.replace(b",", b";"), spec)
    assert mapping.read.delimiter == ";"


def test_aliases_units_and_spellings(spec: Specification) -> None:
    content = (
        "ID,Age at Dx,Gender,cT,cN,OS (days),Vital Status,RT Dose (cGy),ECOG,p16\n"
        "A,61,M,cT4a,N2b,730,Dead,7000,ECOG 1,p16+\n"
        "B,55,F,T2,N1,365,Alive,6600,0,p16 negative\n"
    )
    mapping, questions, exit_code = suggested(content, spec)
    assert (questions, exit_code) == ({}, 0)
    cohort = check_source(content.encode(), "c.csv", spec, mapping).cohort
    assert cohort is not None
    frame = cohort.frame
    assert frame["sex"].tolist() == ["male", "female"]
    assert frame["t_stage"].tolist() == ["T4", "T2"]
    assert frame["n_stage"].tolist() == ["N2", "N1"]
    assert frame["os_months"].tolist() == pytest.approx([730 / 30.4375, 365 / 30.4375])
    assert frame["death"].tolist() == [1.0, 0.0]
    assert frame["rt_dose_gy"].tolist() == pytest.approx([70.0, 66.0])
    assert frame["ecog"].tolist() == [1.0, 0.0]
    assert frame["hpv_status"].tolist() == ["positive", "negative"]


def test_a_german_file_is_read_and_its_foreign_names_are_asked(spec: Specification) -> None:
    content = (
        "Patienten-ID;Alter;Geschlecht;T;N;HPV;PY;Gesamtüberleben (Monate);Verstorben\n"
        "P1;63,5;männlich;T2;N2b;positiv;10,5;34,2;nein\n"
        "P2;50,1;weiblich;T4a;N1;negativ;0;60;ja\n"
    )
    mapping, questions, exit_code = suggested(content, spec)
    assert mapping.columns == {"T": "t_stage", "N": "n_stage", "HPV": "hpv_status", "PY": "pack_years"}
    assert mapping.values["hpv_status"] == {"positiv": "positive", "negativ": "negative"}
    assert "look like" in questions["Geschlecht"]
    assert exit_code == 3


def test_codes_are_asked_never_guessed(spec: Specification) -> None:
    content = "id,age,sex,t,n,hpv,os_months,status\n1,63,0,2,1,1,12,1\n2,50,1,3,2,0,90,0\n3,55,1,1,0,1,9,1\n"
    mapping, questions, exit_code = suggested(content, spec)
    assert mapping.columns == {"id": "patient_id", "age": "age_years", "os_months": "os_months"}
    assert set(questions) == {"sex", "t", "n", "hpv", "status"}
    assert all("code" in reason for reason in questions.values())
    assert exit_code == 3


BASE = "patient_id,age_years,sex,t_stage,n_stage,os_months,death"


@pytest.mark.parametrize(
    ("header", "rows", "asked"),
    [
        # A time without a unit, a date, a flag of which only yes was recorded.
        ("overall_survival", ("12", "24", "36"), "without a unit"),
        ("Last FU", ("1/2/2010", "2/2/2010", "3/2/2010"), "dates"),
        ("distant", ("Yes", "", ""), "could mean no"),
        # Cells that do not fit the name.
        ("dose", ("7000", "6600", "7000"), "not a number from 0 to 90"),
        ("pack_years", (">50", "10", "20"), "not a number"),
        ("Age at last visit", ("64", "65", "66"), "resembles"),
    ],
)
def test_doubts_are_said(spec: Specification, header: str, rows: tuple[str, ...], asked: str) -> None:
    good = ("P1,63,male,T2,N1,12,0", "P2,64,female,T3,N0,24,1", "P3,65,male,T1,N1,36,0")
    base = BASE.replace("os_months", "x") if header == "overall_survival" else BASE
    lines = "\n".join(f"{line},{cell}" for line, cell in zip(good, rows, strict=True))
    mapping, questions, exit_code = suggested(f"{base},{header}\n{lines}\n", spec)
    assert header not in mapping.columns
    assert asked in questions[header]
    assert exit_code == 3


def test_two_columns_for_one_are_asked_unless_the_canonical_one_agrees(spec: Specification) -> None:
    rows = "P1,63,male,T2,N1,12,0,{}\nP2,64,female,T3,N0,24,1,{}\n"
    agreeing, questions, _ = suggested(f"{BASE},vital_status\n" + rows.format("Alive", "Dead"), spec)
    assert (agreeing.columns["death"], questions) == ("death", {})
    differing, questions, exit_code = suggested(f"{BASE},vital_status\n" + rows.format("Dead", "Dead"), spec)
    assert "death" not in differing.columns.values()
    assert "disagree in 1 rows" in questions["death"]
    assert "disagree in 1 rows" in questions["vital_status"]
    assert exit_code == 3


def test_a_censor_column_that_contradicts_the_status_is_asked(spec: Specification) -> None:
    rows = "P1,63,male,T2,N1,12,0,1\nP2,64,female,T3,N0,24,1,1\n"
    mapping, questions, _ = suggested(f"{BASE},censored\n{rows}", spec)
    assert "death" not in mapping.columns.values()
    assert "tell death differently in 1 rows" in questions["censored"]


def test_a_required_column_that_nothing_resembles_is_asked(spec: Specification) -> None:
    _, questions, exit_code = suggested("a,b\n1,2\n", spec)
    assert "which every row needs" in questions[""]
    assert exit_code == 3


def test_identifiers_that_repeat_are_asked(spec: Specification) -> None:
    _, questions, _ = suggested(GOOD.replace(b"P-2", b"P-1"), spec)
    assert "not one value per row" in questions["patient_id"]


def test_a_column_that_names_other_diseases_too_becomes_a_filter(spec: Specification) -> None:
    rows = "P1,63,male,T2,N1,12,0,OPC\nP2,64,female,T1a,N0,24,1,Larynx\nP3,64,male,T1,N0,24,1,Oropharynx cancer\n"
    mapping, questions, _ = suggested(f"{BASE},Diagnosis\n{rows}", spec)
    assert mapping.filter == {"Diagnosis": ("OPC", "Oropharynx cancer")}
    # T1a belongs to the larynx: it is neither mapped nor asked about.
    assert (mapping.values, questions) == ({}, {})


def test_a_column_that_names_only_this_disease_needs_no_filter(spec: Specification) -> None:
    mapping, _, _ = suggested(f"{BASE},Diagnosis\nP1,63,male,T2,N1,12,0,OPC\n", spec)
    assert mapping.filter == {}


def test_unreadable_files_have_no_suggestion(spec: Specification) -> None:
    suggestion = suggest_mapping_for_source(b"%PDF-1.7", "c.csv", spec)
    assert (suggestion.mapping, suggestion.exit) == (None, 2)
    assert [finding.code for finding in suggestion.findings] == ["not_delimited_text"]
