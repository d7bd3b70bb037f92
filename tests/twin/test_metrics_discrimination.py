"""Concordance and AUC against pair-by-pair counting, scikit-survival, and examples worked by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from sksurv.metrics import concordance_index_censored

from twin.metrics.censoring import censoring_survival
from twin.metrics.discrimination import auc, auc_at, harrell_c, uno_c
from twin.metrics.observed import COMPETING, EVENT, Observed

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "survival_metrics.json").read_text(encoding="utf-8"))
rows_with_ties = st.lists(st.tuples(st.integers(1, 6), st.integers(0, 2), st.integers(0, 4)), min_size=2, max_size=25)


def reference_sample():
    observed = Observed(np.array(REFERENCE["time"]), np.array(REFERENCE["event"]))
    return observed, np.array(REFERENCE["risk"]), np.array(REFERENCE["grid"])


def competing_sample(seed=0, n=120):
    """Months from a coarse grid so that ties of every kind occur; risks with ties."""
    rng = np.random.default_rng(seed)
    return Observed(np.ceil(rng.exponential(12, n)), rng.integers(0, 3, n)), np.round(rng.normal(size=n), 1)


def counted_by_pairs(observed, risk, strata, weighted, tau=np.inf):
    """The definition, pair by pair: (won, comparable)."""
    g = censoring_survival(observed).before(observed.time)[0] if weighted else np.ones(observed.size)
    won = pairs = 0.0
    for i in range(observed.size):
        if observed.event[i] != EVENT or observed.time[i] >= tau:
            continue
        for j in range(observed.size):
            if i == j or strata[i] != strata[j]:
                continue
            tied_censored = observed.time[j] == observed.time[i] and observed.event[j] == 0
            if observed.event[j] == COMPETING and observed.time[j] <= observed.time[i]:
                weight = 1.0 / (g[i] * g[j])
            elif observed.time[j] > observed.time[i] or tied_censored:
                weight = 1.0 / g[i] ** 2
            else:
                continue
            pairs += weight
            won += weight * ((risk[i] > risk[j]) + 0.5 * (risk[i] == risk[j]))
    return won, pairs


@given(rows=rows_with_ties)
@settings(deadline=None)
def test_harrell_c_counts_every_comparable_pair_once(rows):
    """Sorting by bits must give what the definition gives, ties and competing events included."""
    time, event, risk = np.array(rows).T
    observed = Observed(time.astype(float), event)
    won, pairs = counted_by_pairs(observed, risk, np.zeros(len(rows)), weighted=False)
    np.testing.assert_allclose(harrell_c(observed, risk.astype(float)), won / pairs if pairs else np.nan, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_uno_c_counts_weighted_pairs_within_strata(seed):
    observed, risk = competing_sample(seed)
    strata = np.random.default_rng(seed).integers(0, 4, observed.size)
    won, pairs = counted_by_pairs(observed, risk, strata, weighted=True, tau=20.0)
    assert uno_c(observed, risk, 20.0, strata=strata)[0] == pytest.approx(won / pairs, abs=1e-12)


def test_harrell_c_equals_scikit_survival_with_ties():
    observed, risk = competing_sample(4)
    alone = Observed(observed.time, np.where(observed.event == EVENT, EVENT, 0))
    theirs = concordance_index_censored(alone.event == EVENT, alone.time, risk, tied_tol=0.0)[0]
    assert harrell_c(alone, risk)[0] == pytest.approx(theirs, abs=1e-12)


def test_concordances_equal_the_reference_values():
    observed, risk, _ = reference_sample()
    assert harrell_c(observed, risk[:, -1])[0] == pytest.approx(REFERENCE["harrell_c"], abs=1e-12)
    assert uno_c(observed, risk[:, -1], REFERENCE["tau"])[0] == pytest.approx(REFERENCE["uno_c"], abs=1e-12)


def test_auc_equals_the_reference_values():
    observed, risk, grid = reference_sample()
    ours = [auc_at(observed, risk[:, np.searchsorted(grid, month)], month)[0] for month in REFERENCE["months"]]
    np.testing.assert_allclose(ours, REFERENCE["auc"], atol=1e-12)


def test_binary_auc_equals_scikit_learn_with_ties_and_weights():
    rng = np.random.default_rng(0)
    positive, risk, weights = rng.random(80) < 0.3, np.round(rng.random(80), 1), rng.random(80)
    ours = auc(positive, risk, weights[None, :])[0]
    assert ours == pytest.approx(roc_auc_score(positive, risk, sample_weight=weights))


def test_competing_death_makes_a_control_by_hand():
    """Nobody is censored. By month 5: A failed at 2, D failed at 4; B died at 1 and C is free: both are controls.

    Risks .8, .3 against .5, .1: A beats both, D beats C alone, 3 of 4 pairs. Death as censoring would leave C alone.
    """
    observed = Observed(np.array([2.0, 1.0, 9.0, 4.0]), np.array([1, 2, 0, 1]))
    assert auc_at(observed, np.array([0.8, 0.5, 0.1, 0.3]), 5.0)[0] == 0.75


def test_the_censored_are_stood_for_by_those_who_stay_by_hand():
    """X is censored at 2 among three who are left, so that G is 2/3 after it.

    By month 4: case A (failed at 1) weighs 1, case D (failed at 3) 3/2; controls B (died at 1.5) 1 and C (free) 3/2.
    Risks A .9, D .2, B .4, C .1: won 1 x (1 + 3/2) + 3/2 x 3/2 of (1 + 3/2) x (1 + 3/2).
    """
    observed = Observed(np.array([1.0, 3.0, 1.5, 8.0, 2.0]), np.array([1, 1, 2, 0, 0]))
    won = 1.0 * 2.5 + 1.5 * 1.5
    assert auc_at(observed, np.array([0.9, 0.2, 0.4, 0.1, 0.7]), 4.0)[0] == pytest.approx(won / 6.25)


def test_wolbers_c_by_hand():
    """A fails at 3; B died at 1 and can no longer fail; C is censored at 5; D is censored at 2 and is not comparable.

    Pairs (A, B) and (A, C); risks .6 against .7 and .5: one of two.
    """
    observed = Observed(np.array([3.0, 1.0, 5.0, 2.0]), np.array([1, 2, 0, 0]))
    assert harrell_c(observed, np.array([0.6, 0.7, 0.5, 0.9]))[0] == 0.5


def test_uno_c_hardly_moves_with_the_censoring_where_harrell_c_does():
    """Early pairs are well ordered and late ones not: heavier censoring shows Harrell's C more of the early ones."""
    rng = np.random.default_rng(0)
    n = 6000
    score = rng.normal(size=n)
    early = rng.random(n) < 0.5
    time = np.where(early, rng.uniform(0, 10, n) * np.exp(-1.5 * score), 10 + rng.exponential(30, n))
    full = Observed(np.minimum(time, 40.0), (time < 40.0).astype(int))
    end = rng.exponential(15, n)
    censored = Observed(np.minimum(full.time, end), np.where(full.time <= end, full.event, 0))
    truth = uno_c(full, score, 39.0)[0]
    assert abs(uno_c(censored, score, 39.0)[0] - truth) < 0.02
    assert abs(harrell_c(censored, score)[0] - truth) > 0.03


def test_counts_are_the_same_as_repeating_patients():
    observed, risk = competing_sample(5, n=60)
    strata = np.arange(60) % 3
    counts = np.random.default_rng(0).integers(0, 3, (4, 60)).astype(float)
    metrics = {
        "harrell": lambda o, r, c, s: harrell_c(o, r, c, s),
        "uno": lambda o, r, c, s: uno_c(o, r, 15.0, c, s),
        "auc": lambda o, r, c, s: auc_at(o, r, 10.0, c, s),
    }
    for metric in metrics.values():
        together = metric(observed, risk, counts, strata)
        for row, repeats in enumerate(counts.astype(int)):
            again = np.repeat(np.arange(60), repeats)
            alone = metric(observed.take(again), risk[again], None, strata[again])
            assert together[row] == pytest.approx(alone[0], abs=1e-12)


def test_one_risk_for_all_of_a_fold_is_no_discrimination():
    """Fold-wise Kaplan-Meier: pairs across folds would make it look worse than chance."""
    observed, _ = competing_sample(6)
    folds = np.arange(observed.size) % 5
    constant = np.array([0.31, 0.29, 0.33, 0.28, 0.30])[folds]
    assert harrell_c(observed, constant, strata=folds)[0] == 0.5
    assert auc_at(observed, constant, 10.0, strata=folds)[0] == pytest.approx(0.5)


def test_only_the_order_of_risks_matters():
    observed, risk = competing_sample(7)
    assert harrell_c(observed, np.exp(3 * risk))[0] == harrell_c(observed, risk)[0]
    assert harrell_c(observed, -risk)[0] == pytest.approx(1.0 - harrell_c(observed, risk)[0])


def test_without_comparable_pairs_nothing_is_claimed():
    nobody = Observed(np.array([1.0, 2.0]), np.array([0, 0]))
    assert np.isnan(harrell_c(nobody, np.array([0.1, 0.2]))[0])
    assert np.isnan(auc_at(nobody, np.array([0.1, 0.2]), 1.5)[0])
