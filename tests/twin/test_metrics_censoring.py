"""Life tables against lifelines, scikit-survival and hand-worked ties; weights against what they must add up to."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from sksurv.nonparametric import CensoringDistributionEstimator, cumulative_incidence_competing_risks

from twin.metrics.censoring import aalen_johansen, censoring_survival, ipcw, kaplan_meier
from twin.metrics.observed import COMPETING, EVENT, Observed, each_once

# Whole months so that ties of every kind occur.
patients = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 2)), min_size=2, max_size=30)


def observed_of(rows: list[tuple[int, int]]) -> Observed:
    time, event = np.array(rows).T
    return Observed(time.astype(float), event)


def sample(seed: int = 0, n: int = 200) -> Observed:
    rng = np.random.default_rng(seed)
    return Observed(np.ceil(rng.exponential(20, n)), rng.integers(0, 3, n))


def test_kaplan_meier_equals_lifelines_with_ties():
    observed = sample()
    months = np.arange(0.0, 80.0, 0.5)
    theirs = KaplanMeierFitter().fit(observed.time, observed.event > 0).survival_function_at_times(months)
    np.testing.assert_allclose(kaplan_meier(observed).at(months)[0], theirs.to_numpy(), atol=1e-12)


def test_aalen_johansen_equals_scikit_survival_with_ties():
    observed = sample(1)
    times, incidence = cumulative_incidence_competing_risks(observed.event, observed.time)
    np.testing.assert_allclose(aalen_johansen(observed).at(times)[0], incidence[EVENT], atol=1e-12)


def test_censoring_distribution_equals_scikit_survival_with_ties():
    observed = sample(2)
    labels = np.array(list(zip(observed.event > 0, observed.time, strict=True)), dtype=[("e", bool), ("t", float)])
    theirs = CensoringDistributionEstimator().fit(labels)
    np.testing.assert_allclose(
        censoring_survival(observed).at(observed.time)[0], theirs.predict_proba(observed.time), atol=1e-12
    )


def test_events_leave_before_censorings_of_the_same_month():
    # Month 2: one event and one censoring among three. By then 2 of 3 are left to be censored, so G drops to 1/2.
    curve = censoring_survival(Observed(np.array([2.0, 2.0, 3.0]), np.array([1, 0, 1])))
    assert curve.before(np.array([2.0]))[0, 0] == 1.0
    assert curve.at(np.array([2.0]))[0, 0] == 0.5


def test_counts_are_the_same_as_repeating_patients():
    observed = sample(3, n=40)
    counts = np.random.default_rng(0).integers(0, 4, (5, 40)).astype(float)
    months = np.arange(0.0, 50.0)
    for estimator in (kaplan_meier, aalen_johansen, censoring_survival):
        together = estimator(observed, counts).at(months)
        for row, repeats in enumerate(counts.astype(int)):
            alone = estimator(observed.take(np.repeat(np.arange(40), repeats)))
            np.testing.assert_allclose(together[row], alone.at(months)[0], atol=1e-12)


@given(rows=patients, month=st.integers(1, 9))
def test_weighted_share_with_the_event_is_aalen_johansen(rows, month):
    """Inverse weighting of the complete cases and the product-limit estimator are one (Satten and Datta 2001)."""
    observed = observed_of(rows)
    weights = ipcw(observed, month)[0]
    expected = aalen_johansen(observed).at(np.array([float(month)]))[0, 0]
    assert (weights * observed.event_by(month)).sum() / len(rows) == pytest.approx(expected, abs=1e-12)


@given(rows=patients)
def test_free_and_the_two_incidences_add_up_to_one(rows):
    """Everybody is free, had the event, or had the competing event."""
    observed = observed_of(rows)
    swapped = Observed(observed.time, np.array([0, COMPETING, EVENT])[observed.event])
    months = np.arange(0.0, 10.0)
    total = kaplan_meier(observed).at(months) + aalen_johansen(observed).at(months) + aalen_johansen(swapped).at(months)
    np.testing.assert_allclose(total, 1.0, atol=1e-12)


@given(rows=patients, month=st.integers(1, 8))
def test_weights_add_up_to_the_patients_while_anyone_is_followed(rows, month):
    """Those who are known stand for all, themselves included, as long as follow-up reaches the month."""
    observed = observed_of(rows)
    if (observed.time >= month).any():
        assert ipcw(observed, month).sum() == pytest.approx(len(rows))


def test_no_censoring_means_no_weighting():
    observed = Observed(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1, 2, 1, 2]))
    np.testing.assert_array_equal(ipcw(observed, 2.5), each_once(4))


@pytest.mark.parametrize(
    ("time", "event"),
    [([1.0, -1.0], [0, 1]), ([1.0, np.nan], [0, 1]), ([1.0, 2.0], [0, 3]), ([1.0], [0, 1]), ([[1.0]], [[0]])],
)
def test_impossible_observations_are_refused(time, event):
    with pytest.raises(ValueError, match="must be"):
        Observed(np.array(time), np.array(event))


def test_counts_of_another_number_of_patients_are_refused():
    with pytest.raises(ValueError, match=r"expected \(resamples, 200\)"):
        kaplan_meier(sample(), np.ones((3, 7)))
