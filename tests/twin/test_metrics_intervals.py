"""Bootstrap intervals against large-sample theory, and what they do when a metric is not defined."""

import numpy as np
import pytest

from twin.metrics import intervals
from twin.metrics.calibration import recalibration_at
from twin.metrics.intervals import MetricValue, estimate, over_resamples, resample_counts
from twin.metrics.observed import Observed


def test_counts_start_with_the_sample_and_keep_its_size():
    counts = resample_counts(50, 20, seed=1)
    assert counts.shape == (21, 50)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == 50).all()


def test_the_seed_decides_the_resamples():
    assert (resample_counts(30, 10, seed=4) == resample_counts(30, 10, seed=4)).all()
    assert (resample_counts(30, 10, seed=4) != resample_counts(30, 10, seed=5)).any()


def test_interval_of_a_mean_agrees_with_normal_theory():
    values = np.random.default_rng(0).normal(10, 3, 400)
    counts = resample_counts(400, 4000, seed=0)
    got = estimate(counts @ values / 400)
    half = 1.96 * values.std() / np.sqrt(400)
    assert got.value == pytest.approx(values.mean())
    assert got.lower == pytest.approx(values.mean() - half, abs=0.03)
    assert got.upper == pytest.approx(values.mean() + half, abs=0.03)


def test_blocks_change_nothing(monkeypatch):
    counts = resample_counts(40, 30, seed=0)
    values = np.arange(40.0)
    whole = over_resamples(lambda c: c @ values, counts)
    monkeypatch.setattr(intervals, "_CELLS_AT_ONCE", 100)
    np.testing.assert_array_equal(over_resamples(lambda c: c @ values, counts), whole)


def test_an_undefined_metric_has_no_value_and_no_interval():
    assert estimate(np.array([np.nan, 0.5, 0.6])) == MetricValue(None, None, None)


def test_the_interval_is_withheld_when_many_resamples_are_undefined():
    drawn = np.linspace(0.4, 0.6, 100)
    drawn[:10] = np.nan
    assert estimate(np.append(0.5, drawn)) == MetricValue(0.5, None, None)
    drawn[:10] = 0.5
    drawn[:3] = np.nan
    assert estimate(np.append(0.5, drawn)).lower is not None


def test_without_resamples_there_is_no_interval():
    assert estimate(np.array([0.7])).as_dict() == {"value": 0.7, "lower": None, "upper": None}


def test_interval_of_the_calibration_of_right_risks_mostly_covers_the_ideal():
    """Of 60 cohorts 57 are expected; with 200 resamples and 300 patients a percentile interval covers a little less."""
    covered = np.zeros(2)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rate = 0.015 * np.exp(0.8 * rng.normal(size=300))
        time, end = rng.exponential(1.0 / rate), rng.uniform(12, 90, 300)
        seen = Observed(np.minimum(time, end), (time <= end).astype(int))
        lines = recalibration_at(seen, -np.expm1(-36.0 * rate), 36.0, resample_counts(300, 200, seed))
        slope, intercept = (estimate(values) for values in lines)
        covered += [slope.lower < 1.0 < slope.upper, intercept.lower < 0.0 < intercept.upper]
    assert (covered >= 51).all()


def test_distances_are_recentred_on_their_value_and_stay_above_zero():
    """Resampling noise adds to a distance: here every resample lies above the value."""
    drawn = np.linspace(0.03, 0.13, 101)
    moved = estimate(np.append(0.02, drawn), recentred=True)
    assert moved.lower == 0.0
    assert moved.upper == pytest.approx(0.02 + 0.95 * 0.05)
    assert estimate(np.append(0.02, drawn)).lower > 0.02
