"""Headers as people write them."""

from __future__ import annotations

import pytest

from data.names import Strength, name_strength, normalised, unit_in_name
from data.schema import Specification


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("DateOfBirth", "date of birth"), ("date_of-birth ", "date of birth"), ("Dose (cGy)", "dose cgy"),
        ("dose_cGy", "dose cgy"), ("M ", "m"), ("ECOG PS", "ecog ps"), ("Straße", "strasse"),
    ],
)  # fmt: skip
def test_words_of_a_header(name: str, words: str) -> None:
    assert normalised(name) == words


@pytest.mark.parametrize(
    ("name", "column", "strength"),
    [
        ("Age Years", "age_years", Strength.EXACT),
        ("Age", "age_years", Strength.STRONG),
        ("AGE (months)", "age_years", Strength.STRONG),
        ("Age at Dx", "age_years", Strength.STRONG),
        ("Age at last visit", "age_years", Strength.WEAK),
        ("Stage", "age_years", Strength.NONE),
        ("T", "t_stage", Strength.STRONG),
        ("M ", "n_stage", Strength.NONE),
        ("Length FU", "os_months", Strength.WEAK),
        ("FollowUp", "os_months", Strength.STRONG),
        ("Died (any cause)", "death", Strength.STRONG),
    ],
)
def test_how_sure_a_name_is(spec: Specification, name: str, column: str, strength: Strength) -> None:
    assert name_strength(name, spec.column(column)) is strength


@pytest.mark.parametrize(
    ("name", "column", "unit"),
    [
        ("OS (days)", "os_months", "days"), ("os_mo", "os_months", "months"), ("Age", "age_years", None),
        ("dose_cGy", "rt_dose_gy", "cGy"), ("dose months", "rt_dose_gy", None), ("days or weeks", "os_months", None),
    ],
)  # fmt: skip
def test_the_unit_in_a_name(spec: Specification, name: str, column: str, unit: str | None) -> None:
    assert unit_in_name(name, spec.column(column)) == unit
