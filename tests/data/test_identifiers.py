"""Files that name persons are stopped by column; pseudonyms are keyed hashes, and only durations are kept."""

from __future__ import annotations

import hmac
import os
import re
from base64 import b32encode
from pathlib import Path

import pytest
from fixtures.bad_files import HEADER, ROWS, table, with_columns

from data.checks.identifiers import Pseudonymiser
from data.cohort import Cohort
from data.errors import Refused
from data.importing import Checked, check_source
from data.mapping.model import load_mapping
from data.schema import Specification

KEY = bytes(range(32))


def stopped(content: bytes, spec: Specification) -> set[str]:
    report = check_source(content, "cohort.csv", spec).report
    return {finding.column for finding in report.findings if finding.code == "direct_identifier"}


def column(name: str, *cells: str) -> bytes:
    lines = (f'{row},"{cell}"' for row, cell in zip(ROWS, cells, strict=True))
    return table(*lines, header=f"{HEADER},{name}")


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("Last Name", ("Doe", "Roe", "Poe")),
        ("DateOfBirth", ("1951-04-10", "", "")),
        ("birth", ("10.04.1951", "", "")),
        ("MRN", ("12", "13", "14")),
        ("Phone", ("5550100", "5550101", "5550102")),
        ("E-Mail", ("jd", "", "")),
        ("zip_code", ("77030", "", "")),
        ("x", ("Doe, Jane", "Roe, Richard", "Poe, Edgar Allan")),
        ("x", ("+1 713 555 0100", "", "(713) 555-0101")),
        ("x", ("943 476 5919", "943 476 5919", "")),
        ("x", ("123-45-6789", "see chart", "none")),
        ("x", ("seen with wife (j.doe@example.org)", "", "")),
        ("x", ("12 Main Street", "4b Old Mill Rd", "")),
        ("x", ("Hauptstraße 5", "", "")),
    ],
)
def test_a_column_that_names_persons_stops_the_file(spec: Specification, name: str, cells: tuple[str, ...]) -> None:
    assert stopped(column(name, *cells), spec) == {name}


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("HPV", ("Yes, positive", "Yes, Negative", "Yes, positive")),
        ("Length FU", ("5.076712329", "6.249315068", "0.578082192")),
        ("RT Start", ("4/10/2004", "10/5/2004", "9/18/2004")),
        ("birth_year", ("1951", "1960", "1944")),
        ("site name", ("North", "South", "East")),
        ("tumour address", ("", "", "")),
        ("study", ("2010-12-345", "2010-12-346", "2010-12-347")),
        ("Path", ("Squamous Cell Carcinoma", "Adenoid Cystic", "NPC: Type 3 (WHO IIB)")),
    ],
)
def test_clinical_columns_do_not(spec: Specification, name: str, cells: tuple[str, ...]) -> None:
    assert stopped(column(name, *cells), spec) == set()


@pytest.mark.parametrize(
    ("identifiers", "stops"),
    [
        (("4401231", "4401232", "4401233"), True),
        (("440-12-3101", "440-12-3102", "440-12-3103"), True),
        (("a@example.org", "b@example.org", "c@example.org"), True),
        (("Doe. Jane", "001", "002"), False),
        (("RADCURE-0303", "RADCURE-0304", "RADCURE-0305"), False),
        (("4401231", "4401232", "case 3"), False),
        (("440123", "440124", "440125"), False),
    ],
)
def test_record_numbers_in_the_identifier_column_stop_the_file(
    spec: Specification, identifiers: tuple[str, ...], stops: bool
) -> None:
    lines = (row.replace(row[:3], identifier, 1) for row, identifier in zip(ROWS, identifiers, strict=True))
    assert stopped(table(*lines), spec) == ({"patient_id"} if stops else set())


def test_no_finding_repeats_what_names_a_person(spec: Specification) -> None:
    content = column("Surname", "Doe", "Roe", "Poe").replace(b"P-1", b"4401231").replace(b"P-2", b"4401231")
    content = content.replace(b"P-3", b"4401233")
    report = check_source(content, "cohort.csv", spec).report
    text = str(report.as_dict())
    assert {"direct_identifier", "duplicate_patient"} <= set(report.counts)
    assert not re.search(r"Doe|Roe|Poe|4401231|4401233", text)


NAMED = table(
    "4401231,Doe,1951-04-10,2014-05-01,male,T2,N1,34.5,0",
    "4401232,Roe,1960-02-29,2014-06-01,female,T3,N2,60,0",
    header="MRN,Surname,DOB,Diagnosed,sex,t_stage,n_stage,os_months,death",
)
NAMED_MAPPING = load_mapping(
    b"""{"columns": {"MRN": "patient_id", "sex": "sex", "t_stage": "t_stage", "n_stage": "n_stage",
                     "os_months": "os_months", "death": "death"},
         "derive": {"age_years": {"between": ["DOB", "Diagnosed"], "date_format": "%Y-%m-%d"}}}"""
)


def pseudonymised(spec: Specification, key: bytes = KEY) -> tuple[Checked, Cohort]:
    checked = check_source(NAMED, "c.csv", spec, NAMED_MAPPING, pseudonymiser=Pseudonymiser(key))
    assert checked.cohort is not None, [str(finding) for finding in checked.report.findings]
    return checked, checked.cohort


def test_pseudonyms_are_keyed_hashes(spec: Specification) -> None:
    _, cohort = pseudonymised(spec)
    expected = [
        "P-" + b32encode(hmac.digest(KEY, number, "sha256")).decode()[:16] for number in (b"4401231", b"4401232")
    ]
    assert list(cohort.frame["patient_id"]) == expected
    _, other = pseudonymised(spec, bytes(32))
    assert set(other.frame["patient_id"]).isdisjoint(expected)


def test_only_durations_are_left_of_dates(spec: Specification) -> None:
    checked, cohort = pseudonymised(spec)
    assert list(cohort.frame["age_years"].round(2)) == [63.06, 54.25]
    stored = cohort.frame.to_csv() + str(checked.report.as_dict())
    assert not re.search(r"4401231|Doe|1951-04-10|2014-05-01", stored)


def test_without_pseudonyms_the_same_file_is_stopped(spec: Specification) -> None:
    report = check_source(NAMED, "c.csv", spec, NAMED_MAPPING).report
    assert {f.column for f in report.findings if f.code == "direct_identifier"} == {"MRN", "Surname", "DOB"}


def test_a_name_cannot_be_stored_as_something_else(spec: Specification) -> None:
    mapping = load_mapping(NAMED_MAPPING.as_json().replace('"MRN"', '"Surname": "site_id", "MRN"').encode())
    checked = check_source(NAMED, "c.csv", spec, mapping, pseudonymiser=Pseudonymiser(KEY))
    assert checked.cohort is None
    assert [f.column for f in checked.report.findings if f.code == "direct_identifier"] == ["Surname"]


def test_dates_are_not_quoted_when_pseudonymising(spec: Specification) -> None:
    content = NAMED.replace(b"1951-04-10", b"10 April 1951")
    checked = check_source(content, "c.csv", spec, NAMED_MAPPING, pseudonymiser=Pseudonymiser(KEY))
    assert checked.report.counts["not_a_date"] == 1
    assert "April" not in str(checked.report.as_dict())


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "pseudonym.key"
    made = Pseudonymiser.from_key_file(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Pseudonymiser.from_key_file(path).pseudonym("x") == made.pseudonym("x")
    assert [entry.name for entry in path.parent.iterdir()] == ["pseudonym.key"]
    assert repr(made.key) not in repr(made)


def test_a_key_that_others_can_read_or_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"
    Pseudonymiser.from_key_file(path)
    path.chmod(0o644)
    with pytest.raises(Refused, match="read by others"):
        Pseudonymiser.from_key_file(path)
    path.chmod(0o600)
    path.write_text("half a ke")
    with pytest.raises(Refused, match="damaged"):
        Pseudonymiser.from_key_file(path)
    path.write_text("abcd")
    with pytest.raises(Refused, match="2 bytes"):
        Pseudonymiser.from_key_file(path)


def test_two_processes_agree_on_one_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pseudonym.key"
    first = Pseudonymiser.from_key_file(tmp_path / "first.key")

    def faster(source: str, target: Path) -> None:
        Path(target).write_bytes((tmp_path / "first.key").read_bytes())
        Path(target).chmod(0o600)
        raise FileExistsError

    monkeypatch.setattr(os, "link", faster)
    assert Pseudonymiser.from_key_file(path).pseudonym("x") == first.pseudonym("x")


def test_columns_that_are_not_mapped_are_read_for_identifiers_too(spec: Specification) -> None:
    assert stopped(with_columns(notes="call jane@example.org"), spec) == {"notes"}
