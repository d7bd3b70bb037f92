"""What `benchmarks.behaviour` measures, where the answer is known by construction."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from benchmarks.behaviour import (
    AMONG_OTHERS,
    COHORT,
    HABIT,
    MODEL,
    READABLE,
    RECORDED,
    WORLDS,
    World,
    averaged,
    floor,
    main,
    report,
    run,
    scores,
    shares,
)
from data.errors import WrongUsage

DECISIONS = ["induction_chemo", "concurrent_chemo", "neck_dissection"]


@cache
def world(name: str) -> World:
    return WORLDS[name](8000, 3)


@cache
def table() -> pd.DataFrame:
    return run(["own", "other"], [300], [1], others=2000)


def test_a_decision_tells_of_what_moved_it():
    """Two kinds of patients, alike likely; one has each decision with probability .9, the other with .1."""
    planned = np.array([[True, True], [False, True]])
    found = averaged([(np.ones(2), np.full((2, 2), 0.9)), (np.ones(2), np.full((2, 2), 0.1))], planned)
    np.testing.assert_allclose(found[:, 0], 0.5)
    np.testing.assert_allclose(found[:, 1], [0.9 * 0.9 + 0.1 * 0.1, 0.1 * 0.9 + 0.9 * 0.1])


def test_shares_are_those_of_the_stratum():
    values = pd.DataFrame({"site": ["A", "A", "B", "B"]})
    found = {row["site"]: share for row, share in shares(values, pd.DataFrame({"tested": [True, True, True, False]}))}
    np.testing.assert_allclose(found["A"], [2 / 3, 2 / 3, 2 / 3, 0.0])
    np.testing.assert_allclose(found["B"], [1 / 3, 1 / 3, 1 / 3, 1.0])


@pytest.mark.parametrize("name", WORLDS)
def test_ceilings_are_calibrated_and_say_less_the_less_they_are_given(name: str):
    made = world(name)
    for k, decision in enumerate(DECISIONS):
        lived = made.cohort.frame[decision].notna().to_numpy()
        found = {given: scores(made.planned[lived, k], made.ceilings[given][lived, k]) for given in made.ceilings}
        for given in (READABLE, RECORDED, HABIT):
            assert found[given]["slope"] == pytest.approx(1.0, abs=0.15)
            assert found[given]["debiased"] < 0.02
        assert found[HABIT]["log loss"] <= found[RECORDED]["log loss"] + 0.001 <= found[READABLE]["log loss"] + 0.002


def test_without_a_confounder_nothing_but_the_record_decides():
    ceilings = world("other").ceilings
    np.testing.assert_allclose(ceilings[RECORDED], ceilings[HABIT])
    assert (
        np.abs(world("other-confounded").ceilings[RECORDED] - world("other-confounded").ceilings[HABIT]).mean() > 0.05
    )


def test_floor_is_what_chance_makes_of_right_probabilities():
    """A group of n patients of one probability is off by sqrt(2 p (1 - p) / (pi n)) on average."""
    probability = np.repeat(np.linspace(0.1, 0.9, 10), 100)
    expected = np.sqrt(2 * probability * (1 - probability) / (np.pi * 100)).mean()
    assert floor(probability, seed=0) == pytest.approx(expected, rel=0.05)


def test_everything_is_measured_and_the_targets_are_judged():
    said = report(table())
    for sample in (COHORT, AMONG_OTHERS):
        rows = table()[(table()["sample"] == sample) & (table()["measure"] == "ECE")]
        assert set(rows["model"]) == {MODEL, READABLE, RECORDED, HABIT}
        assert set(rows["decision"]) == set(DECISIONS)
    assert table()["value"].notna().all()
    assert "induction_chemo: AUC" in said
    assert said.count(": ECE") == 6
    assert said.count(": AUC") == 3
    assert "at least 0.66 (ceiling" in said


def test_wrong_arguments_are_said(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(WrongUsage, match="unknown world 'moon'"):
        run(["moon"], [300], [0])
    assert main(["--patients", "many"]) != 0
    assert "write 0-4" in capsys.readouterr().err
