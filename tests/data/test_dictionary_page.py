from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from data.dictionary_page import column_help, dictionary_page, main
from data.schema import Specification

PAGE = Path(__file__).parents[2] / "docs" / "dictionary.md"


def test_the_page_in_the_documentation_is_up_to_date(tmp_path: Path) -> None:
    main(["--out", str(tmp_path / "page.md")])
    generated = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == generated, "run: python -m data.dictionary_page --out docs/dictionary.md"


def test_every_column_has_one_row_under_its_moment(spec: Specification) -> None:
    sections = {part.split("`")[0]: part for part in dictionary_page(spec).split("### Known from `")[1:]}
    for column in spec.columns:
        rows = [
            line for line in sections[column.available_from].splitlines() if line.startswith(f"| `{column.name}` |")
        ]
        assert len(rows) == 1
        assert column.label in rows[0]
        assert all(level in rows[0] for level in column.levels)


def test_every_decision_outcome_and_rule_is_told(spec: Specification) -> None:
    page = dictionary_page(spec)
    named = [*spec.decisions, *spec.landmarks, *spec.outcomes]
    assert all(f"| {entry.label} |" in page for entry in named)
    assert all(f"| `{rule.code}` |" in page for rule in (*spec.contradictions, *spec.ratios))


def test_a_bar_in_a_label_does_not_break_the_table(spec: Specification) -> None:
    column = dataclasses.replace(spec.columns[0], label="either|or")
    page = dictionary_page(dataclasses.replace(spec, columns=(column, *spec.columns[1:])))
    row = next(line for line in page.splitlines() if line.startswith(f"| `{column.name}`"))
    assert "either\\|or" in row
    assert row.replace("\\|", "").count("|") == 8


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ecog", "ECOG performance status: a whole number from 0 to 4. Known from: baseline. May be missing."),
        (
            "t_stage",
            "Clinical T category: one of T0, T1, T2, T3, T4. Known from: baseline. Every patient needs a value.",
        ),
        ("sex", "Sex: one of female, male. Known from: baseline. Every patient needs a value."),
    ],
)
def test_help_says_what_to_enter_and_when_it_is_known(spec: Specification, name: str, said: str) -> None:
    assert column_help(spec.column(name)) == said


def test_help_of_the_identifier_warns_of_names(spec: Specification) -> None:
    assert "pseudonym" in column_help(spec.column(spec.key))
