"""The mapping file: the example of the contract is understood, and every mistake in one is named."""

from __future__ import annotations

import json

import pytest

from data.cohort import TimeZero
from data.mapping.model import BetweenDates, MappingError, load_mapping

EXAMPLE = """{"columns": {"Age": "age_years", "Chemo": "concurrent_chemo"},
 "values":  {"hpv_status": {"Yes, positive": "positive", "": "unknown"}, "pack_years": {">50": "50"}},
 "derive":  {"os_months": {"from": "Length FU", "unit": "years"},
             "df_months": {"between": ["RT Start", "Date Distant"], "date_format": "%m/%d/%Y",
                           "else": {"from": "Length FU", "unit": "years"}},
             "locoregional_failure": {"any_of": [{"column": "Local", "in": ["Yes", "Persistent"]}]},
             "induction_chemo": {"matches": {"column": "Treatment Summary", "pattern": "induction"}},
             "tnm_edition": {"constant": 7}},
 "filter":  {"Ds Site": ["Oropharynx", "oropharynx"]},
 "read":    {"delimiter": ",", "encoding": "utf-8"}, "time_zero": "diagnosis", "spec": "oropharynx",
 "unresolved": [{"column": "STATUS", "reason": "two columns could be death", "candidates": ["death"]}]}"""


def test_the_example_of_the_contract_survives_reading_and_writing() -> None:
    mapping = load_mapping(EXAMPLE.encode())
    assert mapping.as_dict() == json.loads(EXAMPLE)
    assert load_mapping(mapping.as_json().encode()) == mapping
    assert mapping.time_zero is TimeZero.DIAGNOSIS
    assert mapping.replacements("pack_years") == {">50": "50"}


def test_a_time_may_end_with_the_earliest_of_several_dates() -> None:
    mapping = load_mapping(b'{"derive": {"x": {"between": ["a", ["b", "c"]], "date_format": "%d.%m.%Y"}}}')
    derivation = mapping.derive["x"]
    assert isinstance(derivation, BetweenDates)
    assert derivation.sources == ("a", "b", "c")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "valid dictionary"),
        ('{"colums": {}}', "colums"),
        ('{"columns": {"A": "sex", "A": "death"}}', "'A' stands twice"),
        ('{"columns": {"A": "sex", "B": "sex"}}', "sex from 'A' and 'B'"),
        ('{"columns": {"A": "sex"}, "derive": {"sex": {"constant": "male"}}}', "sex from 'A' and derive"),
        ('{"values": {"sex": {"M": "male", "m": "female"}}}', "mapped to two values"),
        ('{"derive": {"x": {}}}', "derive.x: needs one of"),
        ('{"derive": {"x": {"from": "a"}}}', "unit: Field required"),
        ('{"derive": {"x": {"between": ["a"], "date_format": "%d%m%Y"}}}', "between"),
        ('{"derive": {"x": {"between": ["a", "b"], "date_format": "%m/%Y"}}}', "day, month and year"),
        ('{"derive": {"x": {"between": ["a", "b"], "date_format": "%Q"}}}', "day, month and year"),
        ('{"derive": {"x": {"matches": {"column": "a", "pattern": "("}}}}', "not a regular expression"),
        ('{"read": {"delimiter": "|"}}', "read.delimiter"),
        ('{"read": {"encoding": "zip"}}', "text encoding"),
        ('{"time_zero": "birth"}', "time_zero"),
        ('{"filter": {"a": "b"}}', "filter.a"),
        ("[" * 100_000, "not valid"),
    ],
)
def test_a_faulty_mapping_says_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(MappingError, match=r"mapping plan\.json") as caught:
        load_mapping(text.encode(), "plan.json")
    assert says in str(caught.value)
    assert caught.value.exit_code == 2


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(MappingError, match="not UTF-8 at byte 0"):
        load_mapping(b"\xff{}")
