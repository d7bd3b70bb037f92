"""Questionnaires, tables and files of ratings, and the ratings of synthetic patients against published figures."""

from __future__ import annotations

import io
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.checks.identifiers import Pseudonymiser
from data.cohort import Cohort
from data.dictionary import load_specification
from data.errors import NotFound, Refused, SpecificationError, WrongUsage
from data.findings import Severity
from data.symptoms import Questionnaire, SymptomTable, load_questionnaire
from data.symptoms.questionnaire import read_questionnaire
from data.symptoms.reading import CheckedSymptoms, check_symptoms
from data.synthetic import SyntheticCohort, generate, simulate
from data.synthetic import symptoms as model
from data.synthetic.draws import generator_draw
from data.synthetic.symptoms import draw_ratings, expected_ratings, symptoms

SPEC = load_specification()
LARGE = 8_000


def questionnaire() -> Questionnaire:
    found = load_questionnaire(SPEC)
    assert found is not None
    return found


ASKED = questionnaire()


def at(name: str) -> int:
    return ASKED.names.index(name)


# The questionnaire


def test_the_28_items_of_the_questionnaire_are_there() -> None:
    groups = pd.Series([item.group for item in ASKED.items]).value_counts()
    assert groups.to_dict() == {"core": 13, "head and neck": 9, "interference": 6}  # Rosenthal 2007
    assert (ASKED.weeks, ASKED.lowest, ASKED.highest) == ((0.0, 7.0, 12.0, 27.0), 0.0, 10.0)
    assert ASKED.clock in [decision.column for decision in SPEC.decisions]


def test_a_disease_without_the_file_has_no_symptoms() -> None:
    assert load_questionnaire(replace(SPEC, name="another")) is None


def test_an_unknown_item_is_refused_with_those_there_are() -> None:
    assert ASKED.item("dry_mouth").label == "Dry mouth"
    with pytest.raises(NotFound, match=r"unknown symptom 'hunger'.*dry_mouth"):
        ASKED.positions(["pain", "hunger"])


HEADER = "name,label,group,shown,scale,weeks,clock,counted_from\n"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("a,A,g,yes,0..10,0|7,now,start\na,B,g,yes,0..10,0|7,now,start\n", "same name"),
        ("a,A,g,yes,0..10,0|7,now,start\nb,B,g,yes,0..4,0|7,now,start\n", "differ in scale"),
        ("a,A,g,yes,0..10,7|0,now,start\n", "not ascending"),
        ("a,A,g,yes,10..0,0|7,now,start\n", "scale is empty"),
        ("a,A,g,yes,0..10,0|7,never,start\n", "'never' is no decision"),
        ("a,A,g,yes,often,0|7,now,start\n", "cannot be used"),
        ("", "cannot be used"),
    ],
)
def test_a_questionnaire_that_breaks_its_rules_is_refused(tmp_path: Path, rows: str, said: str) -> None:
    path = tmp_path / "other_symptoms.csv"
    path.write_text(HEADER + rows)
    with pytest.raises(SpecificationError, match=said):
        read_questionnaire(path, "other", ("now",))


# The table


def table(**columns: list) -> SymptomTable:
    return SymptomTable(ASKED, pd.DataFrame(columns))


def test_ratings_of_a_table_come_in_the_order_asked_for() -> None:
    found = table(
        patient_id=["a", "b", "b"],
        item=["pain", "fatigue", "pain"],
        week=[0.0, 27.0, 7.0],
        rating=[3.0, 10.0, np.nan],
    ).ratings(["b", "nobody", "a"])
    assert found.shape == (3, 28, 4)
    assert (found[0, at("fatigue"), 3], found[2, at("pain"), 0]) == (10.0, 3.0)
    assert np.isnan(found).sum() == found.size - 2


def test_a_full_array_and_its_table_hold_the_same() -> None:
    ratings = np.random.default_rng(0).integers(0, 11, (3, 28, 4)).astype(float)
    ratings[1, :, 2] = np.nan
    ratings[2, 5, 0] = np.nan
    made = SymptomTable.of(ASKED, ["x", "y", "z"], ratings)
    np.testing.assert_array_equal(made.ratings(["x", "y", "z"]), ratings)
    assert len(made.frame) == ratings.size - 28  # a visit without an answer is no row, an answer left out is


def test_a_table_that_breaks_the_rules_says_everything_that_is_wrong() -> None:
    with pytest.raises(Refused) as refused:
        table(
            patient_id=["a", "a", "a", "a", "b"],
            item=["pain", "pain", "hunger", "pain", "pain"],
            week=[0.0, 0.0, 7.0, 8.0, 12.0],
            rating=[11.0, 2.5, 3.0, 4.0, -1.0],
        )
    for said in ("1 unknown items", "1 weeks", "3 ratings that are not whole numbers from 0 to 10", "1 patients"):
        assert said in str(refused.value)


# Files


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return generate(20, seed=1).cohort


def check(text: str, cohort: Cohort) -> CheckedSymptoms:
    return check_symptoms(text.encode(), cohort, ASKED)


def test_every_problem_of_a_file_is_a_finding_on_its_row(cohort: Cohort) -> None:
    checked = check(
        "patient_id,item,week,rating\n"
        "SYN-00001,pain,0,3\n"
        "SYN-00001,hunger,0,3\n"
        "SYN-00001,fatigue,8,3\n"
        "SYN-00001,mucus,7,11\n"
        "SYN-00001,taste,7,6.5\n"
        "SYN-99999,taste,7,6\n"
        "SYN-00001,pain,0,4\n"
        ",pain,7,4\n"
        "SYN-00002,pain,7,often\n",
        cohort,
    )
    found = {(finding.code, finding.row, finding.column) for finding in checked.findings}
    assert found == {
        ("unknown_level", 3, "item"),
        ("out_of_range", 4, "week"),
        ("out_of_range", 5, "rating"),
        ("not_a_whole_number", 6, "rating"),
        ("patient_not_in_cohort", 7, "patient_id"),
        ("duplicate_rating", 2, "rating"),
        ("duplicate_rating", 8, "rating"),
        ("missing_value", 9, "patient_id"),
        ("not_a_number", 10, "rating"),
    }
    assert checked.table is None
    by_code = {finding.code: finding for finding in checked.findings}
    assert by_code["duplicate_rating"].got == "the same patient, item and week as in row 2"
    assert "0, 7, 12, 27" in next(f.expected for f in checked.findings if f.column == "week")
    assert all(finding.remedy and "values" not in finding.remedy for finding in checked.findings)


def test_an_identifier_from_elsewhere_is_not_repeated(cohort: Cohort) -> None:
    checked = check("patient_id,item,week,rating\nDOE-JANE-1961,pain,0,3\n", cohort)
    assert [finding.code for finding in checked.findings] == ["patient_not_in_cohort"]
    assert "JANE" not in "".join(map(str, checked.findings))


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "NaN", "null", ".", " "])
def test_a_missing_rating_is_missing_and_no_fault(cohort: Cohort, cell: str) -> None:
    checked = check(f"patient_id,item,week,rating\nSYN-00001,pain,0,{cell}\nSYN-00001,pain,7,0\n", cohort)
    assert not list(checked.findings)
    assert checked.table is not None
    np.testing.assert_array_equal(checked.table.frame["rating"], [np.nan, 0.0])


def test_other_delimiters_and_cases_are_read_like_cohort_files(cohort: Cohort) -> None:
    text = "﻿# exported\nrating;week;item;patient_id;note\n3,0;7;Dry_Mouth;SYN-00003;x\n"
    checked = check(text, cohort)
    assert [(f.code, f.severity, f.column) for f in checked.findings] == [("unused_column", Severity.INFO, "note")]
    assert checked.table is not None
    assert checked.table.frame.values.tolist() == [["SYN-00003", "dry_mouth", 7.0, 3.0]]


def test_what_cannot_be_read_at_all_is_a_finding_too(cohort: Cohort) -> None:
    assert [f.code for f in check_symptoms(b"PK\x03\x04....", cohort, ASKED).findings] == ["not_delimited_text"]
    absent = check("patient_id,item,rating\nSYN-00001,pain,3\n", cohort)
    assert [(f.code, f.column) for f in absent.findings] == [("missing_column", "week")]
    assert absent.table is None


def test_names_of_persons_stop_a_file_unless_it_is_pseudonymised(cohort: Cohort) -> None:
    pseudonymiser = Pseudonymiser(b"k" * 32)
    hashed = cohort.frame.assign(patient_id=cohort.frame["patient_id"].map(pseudonymiser.pseudonym))
    stored = replace(cohort, frame=hashed)
    text = b"patient_id,patient name,item,week,rating\nSYN-00001,Doe,pain,0,3\n"
    assert "direct_identifier" in check_symptoms(text, cohort, ASKED).findings.counts
    checked = check_symptoms(text, stored, ASKED, pseudonymiser=pseudonymiser)
    assert checked.table is not None
    assert checked.table.frame["patient_id"].tolist() == [pseudonymiser.pseudonym("SYN-00001")]


# Synthetic patients


@pytest.fixture(scope="module")
def synthetic() -> SyntheticCohort:
    return generate(LARGE, seed=11)


@pytest.fixture(scope="module")
def complete(synthetic: SyntheticCohort) -> np.ndarray:
    """(patients, items, weeks): what everybody would have answered."""
    return draw_ratings(synthetic, synthetic.happened, generator_draw(LARGE, np.random.default_rng(5)))


@pytest.fixture(scope="module")
def recorded(synthetic: SyntheticCohort) -> np.ndarray:
    return symptoms(synthetic, seed=11).ratings(synthetic.cohort.frame["patient_id"].tolist())


def test_ratings_are_whole_numbers_on_the_scale(complete: np.ndarray) -> None:
    assert set(np.unique(complete)) == set(range(11))


def test_a_patient_does_not_depend_on_how_many_are_asked_for_but_on_the_seed() -> None:
    few, many = (symptoms(generate(patients, seed=3), seed=3) for patients in (40, 300))
    first = many.frame[many.frame["patient_id"] <= "SYN-00040"].reset_index(drop=True)
    pd.testing.assert_frame_equal(few.frame, first)
    assert not few.frame.equals(symptoms(generate(40, seed=3), seed=4).frame)


def test_courses_have_the_published_shape(complete: np.ndarray) -> None:
    mean = complete.mean(axis=0)
    dry, taste = mean[at("dry_mouth")], mean[at("taste")]
    assert dry == pytest.approx([0.5, 4.0, 4.0, 4.0], abs=0.3)  # DITTO tutorial: rises to about 4 and stays
    assert 6.0 <= taste[1] <= 7.0  # the same: peaks at 6 to 7 ...
    assert taste[3] == pytest.approx(4.0, abs=0.4)  # ... and falls to about 4
    for item in ("swallowing", "mucus"):
        assert mean[at(item)].argmax() == 1
        assert 1.5 <= mean[at(item)][3] <= 2.0
    # Long-term survivors (147 patients): all 22 symptoms 1.36, SD 1.02.
    late = complete[:, :22, 3].mean(axis=1)
    assert late.mean() == pytest.approx(1.36, abs=0.15)
    assert late.std() == pytest.approx(1.02, abs=0.25)


@pytest.mark.parametrize(
    ("item", "sd"), [("dry_mouth", 3.21), ("swallowing", 3.10), ("taste", 3.02), ("mucus", 2.83), ("choking", 2.72)]
)
def test_late_ratings_scatter_like_those_of_survivors(complete: np.ndarray, item: str, sd: float) -> None:
    late = complete[:, at(item), 3]
    # Of 147 survivors whose means were higher; bounded ratings scatter like the root of mean times (10 - mean).
    published = {"dry_mouth": 4.37, "swallowing": 3.24, "taste": 2.40, "mucus": 2.29, "choking": 2.01}[item]
    expected = sd * np.sqrt(late.mean() * (10 - late.mean()) / (published * (10 - published)))
    assert late.std() == pytest.approx(expected, rel=0.2)


def cronbach(ratings: np.ndarray) -> float:
    items = ratings.shape[1]
    return items / (items - 1) * (1 - ratings.var(axis=0).sum() / ratings.sum(axis=1).var())


def test_items_hang_together_as_in_the_validation_of_the_questionnaire(complete: np.ndarray) -> None:
    # Rosenthal 2007: alpha .88 of the core, .83 of the head and neck items, .92 of the interference items.
    for items, published in ((slice(0, 13), 0.88), (slice(13, 22), 0.83), (slice(22, 28), 0.92)):
        alphas = [cronbach(complete[:, items, week]) for week in range(4)]
        assert np.mean(alphas) == pytest.approx(published, abs=0.04)


def test_earlier_ratings_tell_of_later_ones(complete: np.ndarray) -> None:
    for item in ("dry_mouth", "swallowing", "fatigue"):
        correlation = np.corrcoef(complete[:, at(item), :].T)
        assert 0.25 < correlation[0, 1] < correlation[1, 3] < 0.75


def test_ratings_answer_to_what_they_should(synthetic: SyntheticCohort, complete: np.ndarray) -> None:
    b, happened = synthetic.baseline, synthetic.happened

    def more(group: np.ndarray, item: str, week: int) -> float:
        return float(complete[group, at(item), week].mean() - complete[~group, at(item), week].mean())

    assert more(happened.agent > 0, "mucus", 1) > 1.0
    assert abs(more(happened.agent > 0, "dry_mouth", 0)) < 0.1
    assert more(happened.agent == 1, "vomiting", 1) > 0.5
    assert more(happened.agent == 2, "skin", 1) > 0.5
    assert more(happened.induction, "fatigue", 0) > 0.3
    assert more(happened.feeding_tube, "swallowing", 3) > 1.5
    assert more(happened.aspiration, "choking", 3) > 1.0
    assert more(b.ecog >= 1, "fatigue", 0) > 0.3
    assert more(happened.frailty > 0, "pain", 2) > 0.3
    old = b.age_years >= 65
    assert more(old, "dry_mouth", 3) < -0.3  # Eraj 2017
    assert more(old, "choking", 3) < -0.1
    assert more(old, "taste", 3) > 0.0


def test_only_who_lives_and_is_followed_answers_and_ever_fewer_do(
    synthetic: SyntheticCohort, recorded: np.ndarray
) -> None:
    start = np.where(synthetic.happened.induction, 3.0, 0.0)
    months = start[:, None] + np.array(ASKED.weeks) * 7 / 30.4375
    gone = synthetic.cohort.frame["os_months"].to_numpy()[:, None] <= months
    answered = ~np.isnan(recorded)
    assert gone[:, 3].sum() > 50
    assert not answered.transpose(0, 2, 1)[gone].any()
    came = answered.any(axis=1)
    share = [came[~gone[:, week], week].mean() for week in range(4)]
    assert share == sorted(share, reverse=True)
    assert share == pytest.approx([0.84, 0.74, 0.68, 0.58], abs=0.02)
    left_out = 1.0 - answered.transpose(0, 2, 1)[came].mean()
    assert left_out == pytest.approx(0.025, abs=0.003)


def test_the_file_of_synthetic_ratings_is_read_back_as_it_was() -> None:
    few = generate(60, seed=2)
    made = symptoms(few, seed=2)
    text = io.StringIO()
    made.frame.to_csv(text, index=False)
    checked = check(text.getvalue(), few.cohort)
    assert not list(checked.findings)
    assert checked.table is not None
    pd.testing.assert_frame_equal(checked.table.frame, made.frame)


# The truth


@pytest.fixture(scope="module")
def few() -> SyntheticCohort:
    return generate(60, seed=8)


@pytest.mark.parametrize("plan", ["000", "110", "011"])
def test_expected_ratings_are_the_means_of_simulated_ones(few: SyntheticCohort, plan: str) -> None:
    repeats = 600
    rows = np.tile(np.arange(few.cohort.size), repeats)
    everyone = replace(
        few,
        cohort=replace(few.cohort, frame=few.cohort.frame.iloc[rows].reset_index(drop=True)),
        baseline=few.baseline.rows(rows),
    )
    happened = simulate(everyone.baseline, plan, np.random.default_rng(3))
    drawn = draw_ratings(everyone, happened, generator_draw(len(rows), np.random.default_rng(4)))
    months = (3.0 if plan[0] == "1" else 0.0) + np.array(ASKED.weeks) * 7 / 30.4375
    alive = happened.death_month[:, None] > months
    drawn = np.where(alive[:, None, :], drawn, np.nan).reshape(repeats, few.cohort.size, 28, 4)
    error = np.nanstd(drawn, axis=0) / np.sqrt(repeats)
    z = (np.nanmean(drawn, axis=0) - expected_ratings(few, [plan])[:, 0]) / np.maximum(error, 0.005)
    assert abs(z.mean()) < 0.1
    assert 0.8 < (z**2).mean() < 1.2


def test_more_quadrature_nodes_change_no_expected_rating(few: SyntheticCohort, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = expected_ratings(few, ["010"])
    finer = partial(model.frailty_nodes, 24)
    monkeypatch.setattr(model, "frailty_nodes", lambda _: finer())
    np.testing.assert_allclose(expected_ratings(few, ["010"]), usual, atol=1e-3)


def test_concurrent_therapy_makes_later_weeks_worse_and_leaves_the_first(few: SyntheticCohort) -> None:
    alone, with_it = expected_ratings(few, ["000", "010"]).swapaxes(0, 1)
    np.testing.assert_allclose(alone[:, :, 0], with_it[:, :, 0], atol=1e-3)
    assert (with_it[:, :, 1:] > alone[:, :, 1:]).all()


def test_an_unknown_plan_is_refused(few: SyntheticCohort) -> None:
    with pytest.raises(WrongUsage, match="'020'"):
        expected_ratings(few, ["020"])
