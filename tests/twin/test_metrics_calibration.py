"""Calibration against independent fits, the published definition, and populations whose truth is known."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chisquare, kstest
from sklearn.linear_model import LogisticRegression

from twin.metrics.binary import debiased_calibration_error, expected_calibration_error
from twin.metrics.calibration import (
    CLOGLOG,
    LOGIT,
    d_calibration,
    groups_at,
    quantile_groups,
    recalibration,
    recalibration_at,
)
from twin.metrics.censoring import ipcw
from twin.metrics.observed import Observed, each_once

HORIZON = 36.0


def population(n, seed=0, hazard_ratio=1.0, spread=1.0):
    """Patients whose predicted risks are right up to a hazard ratio and a factor on the log-hazard differences."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    rate = 0.015 * np.exp(0.8 * score)
    time, end = rng.exponential(1.0 / (hazard_ratio * rate)), rng.uniform(12, 90, n)
    seen = Observed(np.minimum(time, end), (time <= end).astype(int))
    stated = 0.015 * np.exp(0.8 * spread * score)
    return seen, -np.expm1(-stated * HORIZON), stated


def test_cloglog_fit_is_the_maximum_of_the_weighted_likelihood():
    seen, risk, _ = population(400)
    weights, y = ipcw(seen, HORIZON)[0], seen.event_by(HORIZON)
    linear = np.log(-np.log1p(-risk))

    def loss(intercept, slope):
        fitted = -np.expm1(-np.exp(intercept + slope * linear))
        return -(weights * np.where(y, np.log(fitted), np.log1p(-fitted))).sum()

    both = minimize(lambda b: loss(b[0], b[1]), [0.0, 1.0], tol=1e-12).x
    level = minimize(lambda b: loss(b[0], 1.0), [0.0], tol=1e-12).x
    slope, intercept = recalibration_at(seen, risk, HORIZON)
    assert slope[0] == pytest.approx(both[1], abs=1e-5)
    assert intercept[0] == pytest.approx(level[0], abs=1e-5)


def test_logit_fit_equals_scikit_learn():
    rng = np.random.default_rng(0)
    risk = rng.uniform(0.05, 0.9, 300)
    positive = rng.random(300) < risk**1.5
    linear = np.log(risk / (1 - risk))[:, None]
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(linear, positive)
    slope, _ = recalibration(positive, risk, each_once(300), LOGIT)
    assert slope[0] == pytest.approx(theirs.coef_[0, 0], abs=1e-4)


def test_right_risks_have_slope_one_and_intercept_zero():
    seen, risk, _ = population(40_000)
    slope, intercept = recalibration_at(seen, risk, HORIZON)
    assert slope[0] == pytest.approx(1.0, abs=0.03)
    assert intercept[0] == pytest.approx(0.0, abs=0.03)


def test_intercept_is_the_log_hazard_ratio_that_was_missed():
    seen, risk, _ = population(40_000, hazard_ratio=1.5)
    assert recalibration_at(seen, risk, HORIZON)[1][0] == pytest.approx(np.log(1.5), abs=0.03)


def test_slope_falls_below_one_when_predictions_are_too_extreme():
    seen, risk, _ = population(40_000, spread=1.6)
    assert recalibration_at(seen, risk, HORIZON)[0][0] == pytest.approx(1 / 1.6, abs=0.03)


def test_death_as_a_competing_event_is_calibrated_for_the_incidence():
    """Two constant hazards: the incidence is a / (a + b) x (1 - exp(-(a + b) t))."""
    rng = np.random.default_rng(3)
    n = 40_000
    a, b = 0.010 * np.exp(0.8 * rng.normal(size=n)), 0.008
    time, end = rng.exponential(1 / (a + b)), rng.uniform(12, 90, n)
    event = np.where(time > end, 0, np.where(rng.random(n) < a / (a + b), 1, 2))
    seen = Observed(np.minimum(time, end), event)
    incidence = a / (a + b) * -np.expm1(-(a + b) * HORIZON)
    slope, intercept = recalibration_at(seen, incidence, HORIZON)
    assert slope[0] == pytest.approx(1.0, abs=0.04)
    assert intercept[0] == pytest.approx(0.0, abs=0.04)
    assert groups_at(seen, incidence, HORIZON).largest_gap[0] < 0.02


def test_counts_are_the_same_as_repeating_patients():
    seen, risk, _ = population(150)
    counts = np.random.default_rng(0).integers(0, 3, (3, 150)).astype(float)
    slopes, intercepts = recalibration_at(seen, risk, HORIZON, counts)
    for row, repeats in enumerate(counts.astype(int)):
        again = np.repeat(np.arange(150), repeats)
        slope, intercept = recalibration_at(seen.take(again), risk[again], HORIZON)
        assert slopes[row] == pytest.approx(slope[0], abs=1e-5)
        assert intercepts[row] == pytest.approx(intercept[0], abs=1e-5)


@pytest.mark.parametrize("link", [CLOGLOG, LOGIT], ids=lambda link: link.name)
def test_no_slope_is_claimed_where_there_is_none(link):
    positive = np.arange(20) % 4 == 0
    assert np.isnan(recalibration(positive, np.full(20, 0.3), each_once(20), link)[0][0])
    nobody = recalibration(np.zeros(20, bool), np.linspace(0.1, 0.9, 20), each_once(20), link)
    assert np.isnan(nobody).all()
    separated = recalibration(np.arange(20) > 9, np.linspace(0.1, 0.9, 20), each_once(20), link)
    assert np.isnan(separated[0][0])


def test_risks_of_exactly_zero_and_one_are_bearable():
    risk = np.array([0.0, 0.0, 0.3, 0.4, 0.6, 0.7, 1.0, 1.0] * 5)
    positive = np.array([0, 0, 0, 1, 0, 1, 1, 1] * 5, dtype=bool)
    slope, intercept = recalibration(positive, risk, each_once(40), CLOGLOG)
    assert np.isfinite(slope[0])
    assert np.isfinite(intercept[0])


def test_groups_compare_mean_risk_with_the_observed_share_by_hand():
    """No censoring: ten patients in five pairs of rising risk; the pair at .5 has no event, a gap of .5."""
    risk = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 2)
    event = np.array([0, 0, 1, 0, 0, 0, 1, 1, 1, 1])
    groups = groups_at(Observed(np.where(event == 1, 5.0, 20.0), event), risk, 10.0)
    np.testing.assert_allclose(groups.predicted[0], [0.1, 0.3, 0.5, 0.7, 0.9])
    np.testing.assert_allclose(groups.observed[0], [0.0, 0.5, 0.0, 1.0, 1.0])
    assert groups.largest_gap[0] == pytest.approx(0.5)
    assert groups.patients.tolist() == [2, 2, 2, 2, 2]


def test_equal_risks_are_never_split():
    members = quantile_groups(np.array([0.2] * 7 + [0.4] * 3), 5)
    assert [rows.tolist() for rows in members] == [list(range(7)), [7, 8, 9]]


def haider_p(survival, event, bins=10):
    """The published definition, patient by patient."""
    mass = np.zeros(bins)
    for s, died in zip(survival, event, strict=True):
        home = max(int(np.ceil(s * bins)) - 1, 0)
        if died:
            mass[home] += 1
            continue
        mass[home] += (s - home / bins) / s
        mass[:home] += 1 / (bins * s)
    return chisquare(mass).pvalue


def test_d_calibration_is_the_published_test():
    rng = np.random.default_rng(0)
    survival, event = rng.uniform(0.01, 1, 300), rng.integers(0, 2, 300)
    ours = d_calibration(Observed(np.ones(300), event), survival)
    assert ours[0] == pytest.approx(haider_p(survival, event))


def test_d_calibration_rarely_rejects_the_truth():
    """Complete follow-up: the p values of right predictions are spread evenly."""
    rng = np.random.default_rng(0)
    p_values = [d_calibration(Observed(np.ones(500), np.ones(500, int)), rng.uniform(size=500))[0] for _ in range(300)]
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_d_calibration_rejects_a_model_that_is_off_by_half():
    seen, _, rate = population(1500, hazard_ratio=1.5)
    assert d_calibration(seen, np.exp(-rate * seen.time))[0] < 1e-4
    right, _, rate = population(1500)
    assert d_calibration(right, np.exp(-rate * right.time))[0] > 0.01


def test_survival_of_zero_goes_to_the_lowest_bin():
    ten_bins_full = np.append(np.linspace(0.15, 0.95, 9), 0.0)
    for code in (0, 1):
        event = np.append(np.ones(9, int), code)
        assert d_calibration(Observed(np.ones(10), event), ten_bins_full)[0] == pytest.approx(1.0)


def test_expected_calibration_error_by_hand():
    """Two groups of four: .25 predicted and .5 seen, .75 predicted and .75 seen: mean distance .125."""
    risk = np.repeat([0.25, 0.75], 4)
    positive = np.array([1, 1, 0, 0, 1, 1, 1, 0], dtype=bool)
    assert expected_calibration_error(positive, risk, bins=2)[0] == pytest.approx(0.125)
    doubled = np.array([[2.0] * 4 + [0.0] * 4])
    assert expected_calibration_error(positive, risk, doubled, bins=2)[0] == pytest.approx(0.25)


def test_debiased_calibration_error_by_hand():
    """Two groups of four: residuals of mean 1/4 with variance 1/3 / 4, and of mean 0: the square is 1/16 - 1/12 < 0."""
    risk = np.repeat([0.25, 0.75], 4)
    positive = np.array([1, 1, 0, 0, 1, 1, 1, 0], dtype=bool)
    assert debiased_calibration_error(positive, risk, bins=2)[0] == 0.0
    positive[2:4] = True
    # Means .75 and 0, variances of a mean 0 and (1/4) / 4: (4 * .75**2 - 4 / 16) / 8.
    assert debiased_calibration_error(positive, risk, bins=2)[0] == pytest.approx(np.sqrt((2.25 - 0.25) / 8))
    first_only = np.array([[1.0] * 4 + [0.0] * 4])
    assert debiased_calibration_error(positive, risk, first_only, bins=2)[0] == pytest.approx(0.75)


def test_debiased_calibration_error_leaves_out_what_chance_adds():
    rng = np.random.default_rng(3)
    risk = rng.uniform(0.1, 0.8, 500)
    for shift in (0.0, 0.1):
        drawn = [rng.random(500) < risk + shift for _ in range(300)]
        found = np.array([debiased_calibration_error(positive, risk)[0] for positive in drawn])
        plain = np.array([expected_calibration_error(positive, risk)[0] for positive in drawn])
        if shift:
            assert np.sqrt((found**2).mean()) == pytest.approx(shift, abs=0.005)
        else:
            assert 0.3 < (found == 0.0).mean() < 0.7
            assert np.median(found) < 0.015 < 0.03 < np.median(plain)
