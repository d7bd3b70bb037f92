"""Ratings within an evaluation: the scores of `score_symptoms`, in the document, the text and on the card."""

import json
import re
from functools import cache

import pytest
from fixtures.cohorts import QUICK, structural_twin

from data.symptoms import SymptomTable
from data.synthetic import SyntheticCohort, generate
from data.synthetic.symptoms import symptoms
from twin.card import model_card
from twin.evaluation.evaluate import Evaluation, EvaluationSettings, evaluate
from twin.evaluation.symptoms import WORST, SymptomEvaluation, evaluate_symptoms
from twin.evaluation.text import as_text
from twin.symptoms.score import ALL, score_symptoms

SETTINGS = EvaluationSettings(folds=2, resamples=20, fit=QUICK, landmarks=False, splits=False)


@cache
def synthetic() -> SyntheticCohort:
    return generate(160, seed=3)


@cache
def ratings() -> SymptomTable:
    return symptoms(synthetic(), seed=3)


@cache
def whole() -> Evaluation:
    return evaluate(synthetic().cohort, SETTINGS, ratings=ratings())


def found() -> SymptomEvaluation:
    assert whole().symptoms is not None
    return whole().symptoms


def test_figures_are_those_of_held_out_ratings() -> None:
    """By the folds, the resamples and the seed of the evaluation."""
    scores = score_symptoms(synthetic().cohort, ratings(), folds=2, resamples=20, seed=0).set_index(["item", "week"])
    assert len(found().by_item) == 28 * 4
    for one in (*found().by_item, *found().by_week):
        row = scores.loc[(one.item, one.week)]
        assert one.ratings == row["ratings"]
        assert one.mean_rmse == row["mean_rmse"]
        for metric, name in (
            (one.rmse, "rmse"),
            (one.difference, "difference"),
            (one.range_coverage, "range_coverage"),
        ):
            assert (metric.value, metric.lower, metric.upper) == tuple(row[[name, f"{name}_lower", f"{name}_upper"]])
    assert found().overall.ratings == sum(one.ratings for one in found().by_week) == len(ratings().given)
    assert [one.week for one in found().by_week] == [0.0, 7.0, 12.0, 27.0]


def test_every_share_and_error_has_an_interval_around_it() -> None:
    for metric in (found().overall.rmse, found().overall.difference, found().overall.range_coverage):
        assert metric.lower < metric.value < metric.upper
    # 8,000 answers that hang together by patient: three standard errors are some two points in a hundred.
    assert found().overall.range_coverage.value == pytest.approx(found().level, abs=0.04)


def test_the_worst_items_are_different_ones_of_largest_error() -> None:
    worst = found().worst
    assert len({one.item for one in worst}) == len(worst) == WORST
    errors = [one.rmse.value for one in worst]
    assert errors == sorted(errors, reverse=True)
    named = {one.item for one in worst}
    assert max(one.rmse.value for one in found().by_item if one.item not in named) <= errors[-1]
    for one in worst:
        assert one.rmse.value == max(other.rmse.value for other in found().by_item if other.item == one.item)


def test_items_that_nobody_rated_are_left_out() -> None:
    frame = ratings().frame
    some = frame[(frame["item"] != "pain") & (frame["week"] < 20)].reset_index(drop=True)
    partly = evaluate_symptoms(synthetic().cohort, SymptomTable(ratings().questionnaire, some), 2, 5, 0)
    assert isinstance(partly, SymptomEvaluation)
    assert len(partly.by_item) == 27 * 3
    assert [one.week for one in partly.by_week] == [0.0, 7.0, 12.0]
    assert "pain" not in {one.item for one in partly.by_item}


def test_too_few_ratings_are_named_as_not_evaluated() -> None:
    few = SymptomTable(ratings().questionnaire, ratings().frame.head(15).reset_index(drop=True))
    assert "no symptom was rated by 20 patients" in str(evaluate_symptoms(synthetic().cohort, few, 2, 5, 0))


def test_document_and_text_hold_them() -> None:
    document = json.loads(json.dumps(whole().as_dict(), allow_nan=False))["symptoms"]
    assert document["overall"]["rmse"]["value"] == found().overall.rmse.value
    assert document["overall"]["item"] == ALL
    assert len(document["by_item"]) == 28 * 4
    text = as_text(whole())
    block = text[text.index("Symptoms over time") :].split("\n\n")[0].splitlines()
    rows = [line for line in block if re.search(r"(week \d+|all weeks) ", line)]
    assert len(rows) == 1 + 4 + WORST
    overall, rmse = rows[0], found().overall.rmse
    assert f"{rmse.value:.2f} ({rmse.lower:.2f} to {rmse.upper:.2f})  {found().overall.mean_rmse:.2f}" in overall
    for row, one in zip(rows[-WORST:], found().worst, strict=True):
        assert f"{one.label}  " in row
        assert f"week {one.week:g}  " in row
    nearer = sum(one.difference.upper < 0 for one in found().by_item)
    assert f"112 items by week the model is nearer in {nearer}," in text


def test_the_card_has_one_short_table() -> None:
    document = json.loads(json.dumps(whole().as_dict(), allow_nan=False))
    text = model_card(structural_twin(), [document])
    section = text[text.index("### Symptoms over time") :].split("\n\n")[2].splitlines()
    assert len(section) == 2 + 1 + 4 + WORST
    assert section[2].startswith(f"| All items | all | {found().overall.ratings} | {found().overall.rmse.value:.2f} (")
    assert all(line.count("|") == section[0].count("|") for line in section)
    older = {name: value for name, value in document.items() if name != "symptoms"}
    assert "### Symptoms over time" not in model_card(structural_twin(), [older])
