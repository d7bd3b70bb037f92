"""Model cards: every figure is the twin's or its evaluation's, every item of the checklist has its place."""

import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from fixtures.cohorts import QUICK, exponential_cohort, structural_cohort, structural_twin
from lifelines import KaplanMeierFitter

from data.synthetic import generate
from twin.assessment import Assessment, assess_elsewhere
from twin.card import model_card
from twin.choice import BY_CHOICE
from twin.effects import combination
from twin.effects.sources import ASSUMED, ASSUMED_SMALL, ASSUMED_UNREAD, MAY_BE_A_CONSEQUENCE, NOTHING_PUBLISHED
from twin.evaluation.evaluate import EvaluationSettings, evaluate
from twin.fitting import fit_twin
from twin.participants import NOT_AT_HAND
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
ROOT = Path(__file__).parents[2]
POINTER = re.compile(r"(?<=\*)[A-Z][^*]+(?=\*)|(?<=`)docs/[^`]+(?=`)")
CLAIMS = {
    ("1", "What it is"): "Gemina twin + oropharyngeal cancer + risks of outcomes",
    ("2", "What it is"): "What it does + Taught by",
    ("2", "How good it is"): "C or AUC",
    ("3a", "What it is for"): "Care context + Existing models",
    ("3a", "docs/benchmarks.md"): "DITTO + random survival forest",
    ("3b", "What it is for"): "Intended use + Intended users + Patients",
    ("3c", "For whom it is good"): "sex: female + race_ethnicity",
    ("4", "How good it is"): "cross-validation",
    ("5a", "What it learnt from"): "synthetic patients of cohort",
    ("5b", "What it learnt from"): "Year of diagnosis + Date of the last follow-up",
    ("6c", "What it learnt from"): "Given to + Concurrent chemotherapy",
    ("7", "docs/dictionary.md"): "finding + severity",
    ("8a", "What it predicts"): "risk by each month + risk by month 6",
    ("8a", "docs/dictionary.md"): "## Outcomes",
    ("9a", "How it works"): "what is known before the first decision",
    ("9b", "docs/dictionary.md"): "## When a value is known + ## Columns",
    ("10", "What it learnt from"): "400 synthetic patients + Rows: 400",
    ("11", "How it works"): "Missing values are imputed",
    ("11", "What it learnt from"): "Not recorded",
    ("12a", "How good it is"): "never saw",
    ("12b", "docs/twin.md"): "bends of the numbers at their quartiles",
    ("12c", "How it works"): "One hazard an outcome + Prognosis by",
    ("12c", "docs/twin.md"): "nested five-fold cross-validation",
    ("12d", "Other years, other centres"): "Not tried",
    ("12e", "How good it is"): "Skill: + Slope: + Observed / predicted:",
    ("12f", "Maintenance"): "A new fit is a new version",
    ("12g", "docs/twin.md"): "on the same folds",
    ("14", "For whom it is good"): "the risk of the group is stated too low",
    ("14", "How it works"): "Origin, centre and year never enter",
    ("15", "What it predicts"): "Every risk has an interval",
    ("16", "On other cohorts"): "### elsewhere, version 0",
    ("20a", "What it learnt from"): "Dates, flow and follow-up + Median follow-up",
    ("20b", "What it learnt from"): "Age at diagnosis + T category",
    ("20c", "On other cohorts"): "### elsewhere, version 0",
    ("21", "How good it is"): "Events",
    ("22", "docs/twin.md"): "hazard(month | record, plan)",
    ("23a", "How good it is"): "In brackets 95 % intervals",
    ("23a", "For whom it is good"): "Group",
    ("23b", "Other years, other centres"): "Not tried",
    ("25", "Known limits"): "Treatments were not given at random",
    ("25", "For whom it is good"): "too low",
    ("26", "Known limits"): "What adjustment leaves of confounding",
    ("27a", "How it works"): "refused with the reason + imputed + Each answer has a support",
    ("27b", "What it is for"): "How to use it",
    ("27c", "Maintenance"): "Before use on other patients",
}
"""What must stand where an item of the checklist points to"""
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
    return model_card(structural_twin(), [cross_validated(), elsewhere()], structural_cohort())


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


@pytest.mark.parametrize("text", [card, lambda: model_card(structural_twin(), [], structural_cohort())])
def test_every_pointer_leads_to_what_its_item_asks_for(text):
    sections = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", text(), flags=re.MULTILINE | re.DOTALL))
    pointed = {(item.number, name): item for item in TRIPOD_AI for name in POINTER.findall(item.answered)}
    assert set(pointed) == set(CLAIMS)
    for (number, name), keywords in CLAIMS.items():
        found = (ROOT / name).read_text(encoding="utf-8") if name.startswith("docs/") else sections[name]
        missing = [keyword for keyword in keywords.split(" + ") if keyword not in found]
        assert not missing or (text is not card and found.strip().startswith("Not evaluated")), (number, name, missing)


def test_the_flow_of_the_cohort_is_counted_and_its_follow_up_is_the_reverse_kaplan_meier():
    cohort = structural_cohort()
    text = card()[: card().index("## What treatments are taken to do")]
    frame = cohort.frame
    (death,) = [row for row in rows_of(text, "Death") if len(row) == 6][:1]
    dead = frame["death"] == 1
    reference = KaplanMeierFitter().fit(frame["os_months"], event_observed=~dead).median_survival_time_
    assert death[1:] == ["0", str(dead.sum()), "0", str((~dead).sum()), f"{reference:.1f}"]
    (tube,) = [row for row in rows_of(text, "Feeding tube at 6 months") if len(row) == 6]
    counts = [(frame["feeding_tube_6m"] == value).sum() for value in (1, 0)]
    assert tube[1:] == [str(len(frame) - sum(counts)), str(counts[0]), "", str(counts[1]), "judged at month 6"]
    (local,) = [row for row in rows_of(text, "Locoregional failure") if len(row) == 6]
    assert sum(int(cell) for cell in local[1:5]) == cohort.size
    assert int(local[3]) > 0


def test_years_of_accrual_stand_where_they_are_recorded_and_else_why_not():
    cohort = structural_cohort()
    years = replace(cohort, frame=cohort.frame.assign(diagnosis_year=[2004.0] + [2011.0] * (cohort.size - 1)))
    bare = replace(cohort, frame=cohort.frame.drop(columns="diagnosis_year", errors="ignore"))
    assert "* Year of diagnosis: 2004 to 2011, in 400 of 400 patients." in model_card(structural_twin(), [], years)
    said = "not reported, because the cohort does not record them"
    assert said in model_card(structural_twin(), [], bare)
    assert said not in model_card(structural_twin(), [], years)
    assert NOT_AT_HAND in model_card(structural_twin(), [])


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
    assert published["Distant failure", "concurrent chemotherapy"] == ASSUMED_UNREAD
    tube = {d.label.lower(): published["Feeding tube at 6 months", d.label.lower()] for d in twin.spec.decisions}
    assert tube["induction chemotherapy"] == NOTHING_PUBLISHED
    assert tube["neck dissection"] == ASSUMED_SMALL
    assert re.fullmatch(RATIO, tube["concurrent chemotherapy"])
    assert re.fullmatch(RATIO, published["Locoregional failure", "concurrent chemotherapy"])
    for decision in twin.spec.decisions:
        assert re.fullmatch(RATIO, published["Death", decision.label.lower()])
    assert published["Distant failure", "neck dissection"] == ASSUMED_SMALL
    assert published["Locoregional failure", "neck dissection"] == ASSUMED
    assert "may lie outside of both its sources" in text


def test_what_a_decision_does_more_after_a_state_is_told():
    text = card()[card().index("## What treatments are taken to do") :]
    for outcome, cohort in (("Locoregional failure", MAY_BE_A_CONSEQUENCE), ("Death", "has a say")):
        (row,) = [row for row in rows_of(text, outcome) if len(row) == 6]
        assert row[1:3] == ["neck dissection", "after an incomplete nodal response"]
        assert all(re.fullmatch(RATIO, ratio) for ratio in row[3:5])
        assert row[5] == cohort


def test_a_disagreement_with_what_nobody_read_is_a_limit_without_its_figure(monkeypatch):
    monkeypatch.setattr(combination, "DISAGREEMENT_Z", 0.0)
    limits = [line for line in model_card(structural_twin(), []).splitlines() if "they disagree" in line]
    (unread,) = [line for line in limits if re.match(r"\* Concurrent chemotherapy and distant", line)]
    assert "against a prior assumed from sources that nobody here could read" in unread
    assert len(re.findall(RATIO, unread)) == 1
    assert len([line for line in limits if "feeding tube" in line]) == 1
    assert [line for line in limits if re.search(f"and death: cohort {RATIO} against trials {RATIO}", line)]


def test_who_serves_is_said_with_the_reason():
    text = card()[card().index("## How it works") :]
    assert ["Death", "ridge Cox regression", BY_CHOICE] in rows_of(text, "Death")
    assert "no other kind is tried" in rows_of(text, "Feeding tube at 6 months")[0][2]


def test_the_same_twin_has_the_same_card():
    assert model_card(structural_twin(), [cross_validated(), elsewhere()], structural_cohort()) == card()


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
