"""Model cards: every figure is the twin's or its evaluation's, every item of the checklist has its place."""

import json
import re
from dataclasses import replace
from functools import cache

import pytest
from fixtures.cohorts import QUICK, exponential_cohort, structural_twin

from data.synthetic import generate
from twin.assessment import Assessment, assess_elsewhere
from twin.card import model_card
from twin.choice import BY_CHOICE
from twin.effects import combination
from twin.effects.sources import ASSUMED_SMALL, ASSUMED_UNREAD, NOTHING_PUBLISHED
from twin.evaluation.evaluate import EvaluationSettings, evaluate
from twin.fitting import fit_twin
from twin.reporting_items import TRIPOD_AI

WITH_PARTS = {
    3: "abc",
    5: "ab",
    6: "abc",
    8: "abc",
    9: "abc",
    12: "abcdefg",
    18: "abcdef",
    20: "abc",
    23: "ab",
    27: "abc",
}
RATIO = r"\d+\.\d\d \(\d+\.\d\d-\d+\.\d\d\)"
ITEMS = [f"{item}{part}" for item in range(1, 28) for part in WITH_PARTS.get(item, [""])]
"""Of TRIPOD+AI, Collins et al. 2024, table 2"""


def as_json(assessment: Assessment) -> dict:
    return json.loads(json.dumps(assessment.as_dict(), allow_nan=False))


@cache
def cross_validated() -> dict:
    cohort = generate(120, seed=4).cohort
    settings = EvaluationSettings(folds=2, resamples=20, fit=QUICK, landmarks=False, splits=False)
    return as_json(Assessment("test-1", evaluate(cohort, settings), None))


@cache
def elsewhere() -> dict:
    twin = fit_twin(exponential_cohort(300, 1, death_rate=0.02), QUICK).named("test-1")
    other = replace(exponential_cohort(300, 2, death_rate=0.05), name="elsewhere")
    return as_json(assess_elsewhere(twin, other))


@cache
def card() -> str:
    return model_card(structural_twin(), [cross_validated(), elsewhere()])


def rows_of(text: str, first_cell: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith(f"| {first_cell} |")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_checklist_is_whole_and_in_order():
    assert [item.number for item in TRIPOD_AI] == ITEMS
    for item in TRIPOD_AI:
        assert rows_of(card(), item.number) == [[item.number, item.topic, item.answered]]


def test_every_section_that_the_checklist_names_is_there():
    named = {name for item in TRIPOD_AI for name in re.findall(r"\*([^*]+)\*", item.answered)}
    headings = set(re.findall(r"^## (.+)$", card(), flags=re.MULTILINE))
    assert named <= headings


def test_fields_of_an_applied_model_card_are_there():
    for field in ("Model", "Developer", "Stage", "Clinical risk", "Taught by", "Foundation models"):
        assert rows_of(card(), field)
    for words in (
        "Intended use",
        "Intended users",
        "Out of scope",
        "Known limits",
        "Maintenance",
        "For whom it is good",
    ):
        assert words in card()
    assert "not a medical device" in card()


def test_a_synthetic_model_is_marked_first_and_a_real_one_is_not():
    opening = card().splitlines()[:4]
    assert any("SYNTHETIC" in line for line in opening)
    real = replace(structural_twin(), origin=replace(structural_twin().origin, synthetic=False))
    assert "SYNTHETIC" not in model_card(real, [])


def test_figures_of_performance_are_those_of_the_evaluation():
    death = cross_validated()["outcomes"]["death"]
    rank = death["models"]["twin"]["harrell_c"]
    (row,) = [
        row
        for row in rows_of(card(), "Death")
        if row[1] == f"{death['events']} of {death['patients']}" and len(row) == 8
    ][:1]
    assert row[2] == f"{rank['value']:.3f} ({rank['lower']:.3f} to {rank['upper']:.3f})"
    last = list(death["models"]["twin"]["observed_over_predicted"].values())[-1]
    assert row[5].startswith(f"{last['value']:.3f}")


def group_rows(label: str, group: str) -> list[list[str]]:
    text = card()[card().index(f"### {label}, group by group") :]
    return rows_of(text[: text.index("\n\n", text.index("|"))], group)


def test_every_group_stands_with_the_twin_beside_its_references():
    for outcome in cross_validated()["outcomes"].values():
        binary = outcome["kind"] == "binary"
        twin, average, ridge = outcome["models"]
        rank, brier = ("auc", "brier") if binary else ("harrell_c", "integrated_brier")
        metrics = [
            *((model, rank) for model in (twin, ridge)),
            *((model, metric) for metric in (brier, "observed_over_predicted") for model in (twin, ridge, average)),
        ]
        for group in outcome["subgroups"]:
            (row,) = group_rows(outcome["label"], f"{group['column']}: {group['group']}")
            assert row[1] == str(group["patients"])
            if group["suppressed"]:
                continue
            for cell, (model, metric) in zip(row[3:], metrics, strict=True):
                value = group["models"][model].get(metric)
                assert cell.startswith("" if value is None or value["value"] is None else f"{value['value']:.2f}")
                assert (cell == "") == (value is None or value["value"] is None)


def test_an_evaluation_from_before_groups_were_compared_still_has_a_card():
    older = json.loads(json.dumps(cross_validated()))
    for outcome in older["outcomes"].values():
        for group in outcome["subgroups"]:
            del group["models"]
    assert "sex: female" in model_card(structural_twin(), [older])


def test_coverage_of_true_risks_stands_group_by_group():
    known = json.loads(json.dumps(cross_validated()))
    share = {"value": 0.87, "lower": 0.81, "upper": 0.93}
    known["outcomes"]["death"]["coverage"]["true_risks"] = {"overall": share, "by_group": {"sex: male": share}}
    text = model_card(structural_twin(), [known])
    text = text[text.index("The same share of true risks") :]
    assert rows_of(text[: text.index("\n###")], "sex: male")[0][1] == "0.87 (0.81 to 0.93)"
    assert "The same share of true risks" not in card()


def test_of_small_groups_it_says_no_more_than_that_they_are_small():
    few = [
        (f"{group['column']}: {group['group']}", outcome["label"])
        for outcome in cross_validated()["outcomes"].values()
        for group in outcome["subgroups"]
        if group["suppressed"]
    ]
    assert few
    for name, label in few:
        (row,) = group_rows(label, name)
        assert row[2] == "too few"
        assert not any(row[3:])


def test_another_cohort_stands_apart_with_what_has_moved_there():
    text = card()[card().index("## On other cohorts") :]
    assert "### elsewhere, version 0: 300 synthetic patients" in text
    assert elsewhere()["drift"]["flags"]
    for flag in elsewhere()["drift"]["flags"]:
        assert f"* {flag['severity']}: {flag['words']}" in text


def test_the_last_of_several_evaluations_counts():
    older = {**cross_validated(), "patients": 99_999}
    assert "99999 patients" not in model_card(structural_twin(), [older, cross_validated()])
    assert "99999 patients" in model_card(structural_twin(), [cross_validated(), older])


def test_without_evaluations_it_says_so_and_how_to_get_them():
    text = model_card(structural_twin(), [])
    assert "It was not evaluated." in text
    assert "python -m twin evaluate" in text
    assert "how it does elsewhere is unknown" in text


def test_effects_stand_with_their_sources_and_weight():
    twin = structural_twin()
    text = card()[card().index("## What treatments are taken to do") :]
    assert f"Weight of what is published: {twin.origin.evidence_weight:g}" in text
    effects = twin.effects.by_outcome["death"]
    for conflict in effects.conflicts:
        label = next(d.label for d in twin.spec.decisions if d.column == conflict.decision).lower()
        (row,) = [row for row in rows_of(text, "Death") if row[1] == label and len(row) == 5]
        assert row[2:4] == [str(conflict.prior), str(conflict.cohort)]


def test_only_what_somebody_read_stands_as_published():
    twin = structural_twin()
    text = card()[card().index("## What treatments are taken to do") :]
    labels = [outcome.label for outcome in twin.spec.outcomes]
    published = {(row[0], row[1]): row[2] for label in labels for row in rows_of(text, label) if len(row) == 5}
    for outcome in ("Locoregional failure", "Distant failure"):
        assert published[outcome, "concurrent chemotherapy"] == ASSUMED_UNREAD
    for decision in twin.spec.decisions:
        assert published["Feeding tube at 6 months", decision.label.lower()] == NOTHING_PUBLISHED
        assert re.fullmatch(RATIO, published["Death", decision.label.lower()])
    assert published["Locoregional failure", "neck dissection"] == ASSUMED_SMALL
    assert "may lie outside of both its sources" in text


def test_a_disagreement_with_what_nobody_read_is_a_limit_without_its_figure(monkeypatch):
    monkeypatch.setattr(combination, "DISAGREEMENT_Z", 0.0)
    limits = [line for line in model_card(structural_twin(), []).splitlines() if "they disagree" in line]
    unread = [line for line in limits if re.match(r"\* Concurrent chemotherapy and (locoregional|distant)", line)]
    assert len(unread) == 2
    for line in unread:
        assert "against a prior assumed from sources that nobody here could read" in line
        assert len(re.findall(RATIO, line)) == 1
    assert not [line for line in limits if "feeding tube" in line]
    assert [line for line in limits if re.search(f"and death: cohort {RATIO} against trials {RATIO}", line)]


def test_who_serves_is_said_with_the_reason():
    text = card()[card().index("## How it works") :]
    assert ["Death", "ridge Cox regression", BY_CHOICE] in rows_of(text, "Death")
    assert "no other kind is tried" in rows_of(text, "Feeding tube at 6 months")[0][2]


def test_the_same_twin_has_the_same_card():
    assert model_card(structural_twin(), [cross_validated(), elsewhere()]) == card()


def test_tables_have_as_many_cells_in_every_row():
    width = 0
    for line in card().splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(re.split(r"(?<!\\)\|", line)) - 2
        assert width in (0, cells), line
        width = cells


@pytest.mark.parametrize("pattern", [r"\bnan\b", r"\binf\b", r"\bNone\b(?! of them)", "[{}]"])
def test_nothing_unformatted_is_left(pattern):
    assert not re.search(pattern, card())
