"""What `benchmarks.policy` measures and says."""

from dataclasses import replace

import pandas as pd
import pytest

from benchmarks.policy import ALGORITHMS, main, report, run
from data.errors import WrongUsage
from tests.fixtures.cohorts import at_baseline, structural_cohort, structural_twin
from tests.fixtures.treatment import SMALL
from twin.policy.training import Classes

SETTINGS = replace(SMALL, lessons=10, decisions=100)


def test_every_algorithm_is_measured_exactly_and_the_taught_ones_lead() -> None:
    classes = Classes.of(structural_twin(), at_baseline(structural_cohort()).head(40), SETTINGS)
    table = run(classes, list(ALGORITHMS), [0], 0.6, SETTINGS)
    assert set(table["algorithm"]) == set(ALGORITHMS)
    assert (table[["seconds", "mean", "absolute"]] >= 0).all(axis=None)
    last = table.groupby("algorithm")["mean"].last()
    assert last[["taught", "distilled"]].max() < last["ppo"]
    with pytest.raises(WrongUsage, match="unknown algorithm 'sarsa'"):
        run(classes, ["sarsa"], [0], 1.0, SETTINGS)


def test_the_worst_seed_decides_whether_the_target_is_met() -> None:
    rows = [("taught", 0, 1.0, 0.5, 0.9), ("taught", 0, 2.0, 0.001, 0.01), ("taught", 1, 2.0, 0.002, 0.02)]
    columns = ["algorithm", "seed", "seconds", "mean", "p95"]
    table = pd.DataFrame(rows, columns=columns).assign(absolute=1e-4)
    assert "met     taught: mean 0.20% and 95th percentile 2.00% of the worst of 2 seeds" in report(table)
    assert "missed  taught" in report(pd.concat([table, table.assign(seed=2, mean=0.011)]))


def test_wrong_words_are_refused() -> None:
    assert main(["--seeds", "x"]) == 64
