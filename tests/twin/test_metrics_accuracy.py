"""Brier scores against scikit-survival, the definition patient by patient, and closed forms."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from twin.metrics import binary
from twin.metrics.accuracy import brier_curve, integrated_brier, skill
from twin.metrics.censoring import aalen_johansen, ipcw
from twin.metrics.observed import Observed

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "survival_metrics.json").read_text(encoding="utf-8"))
OBSERVED = Observed(np.array(REFERENCE["time"]), np.array(REFERENCE["event"]))
RISK, GRID = np.array(REFERENCE["risk"]), np.array(REFERENCE["grid"])


def competing_sample(n=150, seed=0):
    rng = np.random.default_rng(seed)
    observed = Observed(np.ceil(rng.exponential(12, n)), rng.integers(0, 3, n))
    months = np.array([3.0, 6.0, 12.0])
    return observed, np.sort(rng.random((n, 3)), axis=1), months


def test_brier_curve_equals_the_reference_values():
    ours = brier_curve(OBSERVED, RISK, GRID)[0, np.searchsorted(GRID, REFERENCE["months"])]
    np.testing.assert_allclose(ours, REFERENCE["brier"], atol=1e-12)


def test_integrated_brier_equals_the_reference_value():
    assert integrated_brier(OBSERVED, RISK, GRID)[0] == pytest.approx(REFERENCE["integrated_brier"], abs=1e-12)


def test_brier_is_the_weighted_mean_square_of_the_known_with_competing_events():
    observed, risk, months = competing_sample()
    for column, month in enumerate(months):
        total = sum(
            weight * ((observed.event[i] == 1 and observed.time[i] <= month) - risk[i, column]) ** 2
            for i, weight in enumerate(ipcw(observed, month)[0])
        )
        assert brier_curve(observed, risk, months)[0, column] == pytest.approx(total / observed.size)


def test_counts_are_the_same_as_repeating_patients():
    observed, risk, months = competing_sample()
    counts = np.random.default_rng(0).integers(0, 3, (4, observed.size)).astype(float)
    together = brier_curve(observed, risk, months, counts)
    for row, repeats in enumerate(counts.astype(int)):
        again = np.repeat(np.arange(observed.size), repeats)
        np.testing.assert_allclose(together[row], brier_curve(observed.take(again), risk[again], months)[0])


def test_aalen_johansen_for_everybody_scores_incidence_times_its_complement():
    """The mean square of a yes-or-no variable around its mean is p (1 - p), also under censoring."""
    observed, _, months = competing_sample(400)
    incidence = aalen_johansen(observed).at(months)
    everybody = np.tile(incidence, (observed.size, 1))
    np.testing.assert_allclose(brier_curve(observed, everybody, months), incidence * (1.0 - incidence), atol=1e-12)


def test_weighting_recovers_the_score_that_full_follow_up_would_give():
    rng = np.random.default_rng(0)
    n, months = 20_000, np.array([24.0])
    rate = np.exp(rng.normal(-3.5, 0.7, n))
    time = rng.exponential(1.0 / rate)
    risk = -np.expm1(-rate * 24.0)[:, None]
    end = rng.uniform(0, 60, n)
    seen = Observed(np.minimum(time, end), (time <= end).astype(int))
    full = ((time <= 24.0) - risk[:, 0]) ** 2
    assert brier_curve(seen, risk, months)[0, 0] == pytest.approx(full.mean(), abs=4 * full.std() / np.sqrt(n))


def test_month_beyond_all_follow_up_has_no_score():
    observed = Observed(np.array([2.0, 3.0]), np.array([0, 0]))
    assert np.isnan(brier_curve(observed, np.full((2, 1), 0.5), np.array([9.0]))[0, 0])


def test_skill_is_the_share_of_error_avoided():
    np.testing.assert_array_equal(
        skill(np.array([0.0, 0.1, 0.2, 0.1]), np.array([0.2, 0.2, 0.2, 0.0]))[:3], [1, 0.5, 0]
    )
    assert np.isnan(skill(np.array([0.1]), np.array([0.0]))[0])


def test_binary_brier_equals_scikit_learn():
    rng = np.random.default_rng(1)
    positive, risk = rng.random(60) < 0.4, rng.random(60)
    assert binary.brier(positive, risk)[0] == pytest.approx(brier_score_loss(positive, risk))
