"""Pseudo-observations against lifelines, scikit-survival and leaving patients out one by one; and what they mean."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import AalenJohansenFitter, KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time
from sksurv.nonparametric import cumulative_incidence_competing_risks

from data.errors import NotFound, Refused
from data.synthetic import generate
from twin.metrics.censoring import aalen_johansen, kaplan_meier
from twin.metrics.observed import Observed
from twin.models.followup import CENSORED, EVENT, FORESTALLED, FollowUp, follow_up
from twin.policy.observed_utility import incidence, judged, observed_losses, share_lost
from twin.policy.utility import Weights, utility

HORIZON = 6.0
# Whole months so that ties of every kind occur, also at the horizon.
patients = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 2)), min_size=2, max_size=25)


def followed_of(rows: list[tuple[int, int]]) -> FollowUp:
    """The same patients and one who has the event last, so that the curves are known from then on."""
    month, cause = np.array([*rows, (9, EVENT)]).T
    return FollowUp(month.astype(float), cause)


def sample(n: int, seed: int, ties: bool) -> FollowUp:
    rng = np.random.default_rng(seed)
    months = rng.exponential(40.0, n)
    followed = FollowUp(np.ceil(months) if ties else months, rng.integers(0, 3, n))
    followed.months[-1] = 200.0
    return followed


def without(followed: FollowUp, i: int) -> FollowUp:
    return followed.take(np.arange(len(followed.months)) != i)


def one_by_one(statistic, followed: FollowUp) -> np.ndarray:
    n = len(followed.months)
    return np.array([n * statistic(followed) - (n - 1) * statistic(without(followed, i)) for i in range(n)])


def lifelines_share_lost(followed: FollowUp) -> float:
    fitted = KaplanMeierFitter().fit(followed.months, followed.cause != CENSORED)
    return 1.0 - restricted_mean_survival_time(fitted, t=60.0) / 60.0


def lifelines_incidence(followed: FollowUp) -> float:
    fitted = AalenJohansenFitter(calculate_variance=False).fit(followed.months, followed.cause, event_of_interest=EVENT)
    return float(fitted.predict(60.0))


def sksurv_incidence(followed: FollowUp) -> float:
    times, risks = cumulative_incidence_competing_risks(followed.cause, followed.months)
    return float(np.append(0.0, risks[EVENT])[np.searchsorted(times, 60.0, side="right")])


@pytest.mark.parametrize("ties", [False, True])
def test_months_lost_equal_those_of_lifelines_with_patients_left_out_one_by_one(ties):
    followed = sample(60, seed=1, ties=ties)
    np.testing.assert_allclose(share_lost(followed, 60.0), one_by_one(lifelines_share_lost, followed), atol=1e-10)


def test_incidence_equals_that_of_lifelines_with_patients_left_out_one_by_one():
    followed = sample(60, seed=2, ties=False)
    np.testing.assert_allclose(incidence(followed, 60.0), one_by_one(lifelines_incidence, followed), atol=1e-10)


def test_incidence_equals_that_of_scikit_survival_with_ties():
    followed = sample(60, seed=3, ties=True)
    np.testing.assert_allclose(incidence(followed, 60.0), one_by_one(sksurv_incidence, followed), atol=1e-10)


def leave_one_out_counts(n: int) -> np.ndarray:
    """Everybody, then everybody but each: what the bootstrap's curves make of zero counts."""
    return np.vstack([np.ones(n), 1.0 - np.eye(n)])


@given(rows=patients, horizon=st.sampled_from([6.0, 12.0]))
def test_any_small_group_with_ties(rows, horizon):
    """Also where nobody is left at the horizon: without the last patient the curve stays where it was."""
    followed = followed_of(rows)
    n = len(followed.months)
    observed, counts = Observed(followed.months, followed.cause), leave_one_out_counts(n)
    risk = aalen_johansen(observed, counts).at(np.array([horizon]))[:, 0]
    np.testing.assert_allclose(incidence(followed, horizon), n * risk[0] - (n - 1) * risk[1:], atol=1e-9)
    # The curve steps at whole months, so that the area under it is a sum.
    free = kaplan_meier(observed, counts).at(np.arange(horizon)).sum(axis=1) / horizon
    expected = n * (1.0 - free[0]) - (n - 1) * (1.0 - free[1:])
    np.testing.assert_allclose(share_lost(followed, horizon), expected, atol=1e-9)


@given(rows=patients)
def test_without_censoring_they_are_the_losses(rows):
    followed = followed_of([(month, cause or EVENT) for month, cause in rows])
    lost = 1.0 - np.minimum(followed.months, HORIZON) / HORIZON
    np.testing.assert_allclose(share_lost(followed, HORIZON), lost, atol=1e-9)
    happened = (followed.months <= HORIZON) & (followed.cause == EVENT)
    np.testing.assert_allclose(incidence(followed, HORIZON), happened, atol=1e-9)


def test_their_mean_in_a_group_is_the_loss_of_the_group():
    """Exponential times with another rate in either group, and censoring that has nothing to do with it."""
    rng, n, rates = np.random.default_rng(0), 20_000, np.array([0.005, 0.02])
    group = rng.integers(0, 2, n)
    event, rival = rng.exponential(1.0 / rates[group]), rng.exponential(100.0, n)
    censoring = rng.uniform(12.0, 150.0, n)
    months = np.minimum.reduce([event, rival, censoring])
    cause = np.select([censoring == months, event == months], [CENSORED, EVENT], FORESTALLED)
    lost, failed = share_lost(FollowUp(months, cause), 60.0), incidence(FollowUp(months, cause), 60.0)
    for k, rate in enumerate(rates):
        total, members = rate + 0.01, group == k
        free = (1.0 - np.exp(-60.0 * total)) / total
        for pseudo, expected in ((lost, 1.0 - free / 60.0), (failed, rate * free)):
            error = pseudo[members].std() / np.sqrt(members.sum())
            assert pseudo[members].mean() == pytest.approx(expected, abs=3.5 * error)


def test_a_patient_without_a_value_stands_at_the_mean_and_the_others_count_for_everybody():
    values = np.array([1.0, 0.0, np.nan, 0.0, 1.0, 0.0, np.nan])
    pseudo = judged(values, np.zeros(7, dtype=bool))

    def mean_without(i: int) -> float:
        return float(np.nanmean(np.delete(values, i)))

    expected = [7 * np.nanmean(values) - 6 * mean_without(i) for i in range(7)]
    np.testing.assert_allclose(pseudo, expected, atol=1e-12)
    assert pseudo.mean() == pytest.approx(np.nanmean(values))


def test_unrecorded_follow_up_is_handled_like_any_missing_value():
    followed = sample(30, seed=4, ties=True)
    followed.months[[3, 8]] = np.nan
    seen = followed.take(followed.recorded)
    n, everybody = 30, lifelines_share_lost(seen)
    pseudo = share_lost(followed, 60.0)
    np.testing.assert_allclose(pseudo[[3, 8]], everybody)
    left_out = np.array([lifelines_share_lost(without(seen, i)) for i in range(28)])
    np.testing.assert_allclose(pseudo[followed.recorded], n * everybody - (n - 1) * left_out, atol=1e-10)


def test_who_died_before_it_was_judged_did_not_have_it():
    values = np.array([1.0, np.nan, 0.0, 1.0])
    died = np.array([False, True, False, True])
    np.testing.assert_allclose(judged(values, died), [1.0, 0.0, 0.0, 1.0], atol=1e-12)


def test_the_dead_do_not_stand_for_the_living_without_a_value():
    """Half of the living have it; of four of six living that is not recorded, and two are dead."""
    values = np.array([1.0, 0.0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan])
    died = np.arange(8) >= 6
    pseudo = judged(values, died)
    assert pseudo.mean() == pytest.approx(6 / 8 * 1 / 2)
    np.testing.assert_allclose(pseudo[2:], [0.5, 0.5, 0.5, 0.5, 0.0, 0.0])


def test_nothing_is_said_beyond_the_follow_up():
    followed = FollowUp(np.array([10.0, 20.0, 20.0]), np.array([EVENT, EVENT, CENSORED]))
    with pytest.raises(Refused, match="month 20"):
        incidence(followed, 60.0)
    dead = FollowUp(followed.months, np.full(3, EVENT))
    np.testing.assert_allclose(incidence(dead, 60.0), 1.0)


def test_one_patient_is_too_few():
    with pytest.raises(Refused, match="recorded in 1"):
        judged(np.array([1.0, np.nan]), np.zeros(2, dtype=bool))
    with pytest.raises(Refused, match="recorded in 0"):
        incidence(FollowUp(np.full(2, np.nan), np.zeros(2, dtype=int)), 60.0)


def test_a_cohort_is_fast_and_a_hundred_thousand_patients_are_possible():
    cohort, registry = sample(1500, 5, ties=False), sample(100_000, 5, ties=False)
    start = time.perf_counter()
    share_lost(cohort, 60.0)
    incidence(cohort, 60.0)
    assert time.perf_counter() - start < 0.5
    assert np.isfinite(incidence(registry, 60.0)).all()


# A whole cohort


OUTCOMES = ("death", "locoregional_failure", "distant_failure", "feeding_tube_6m", "aspiration_6m")


@pytest.fixture(scope="module")
def cohort():
    return generate(400, seed=3).cohort


def test_every_patient_has_a_loss_in_every_outcome(cohort):
    losses = observed_losses(cohort.frame, cohort.spec, OUTCOMES)
    assert losses.shape == (400, 5)
    assert np.isfinite(losses).all()
    assert cohort.frame["feeding_tube_6m"].isna().any()
    assert observed_losses(cohort.frame, cohort.spec, ()).shape == (400, 0)


def test_their_mean_is_the_estimate_of_the_cohort(cohort):
    losses = observed_losses(cohort.frame, cohort.spec, OUTCOMES)
    weights = Weights.of(cohort.spec).array(OUTCOMES)
    expected = []
    for name in OUTCOMES[:3]:
        followed = follow_up(cohort.frame, cohort.spec, cohort.spec.outcome(name))
        expected.append(lifelines_share_lost(followed) if name == "death" else sksurv_incidence(followed))
    expected += [cohort.frame[name].fillna(0.0).mean() for name in OUTCOMES[3:]]
    assert utility(losses, weights).mean() == pytest.approx(1.0 - weights @ np.array(expected), abs=2e-4)


def test_what_is_not_there_is_refused_by_name(cohort):
    with pytest.raises(NotFound, match="stroke"):
        observed_losses(cohort.frame, cohort.spec, ("stroke",))
    with pytest.raises(Refused, match="aspiration_6m: recorded in 0 patients"):
        observed_losses(cohort.frame.drop(columns="aspiration_6m"), cohort.spec, ("aspiration_6m",))
    with pytest.raises(Refused, match="death: followed to month 1"):
        observed_losses(cohort.frame, cohort.spec, ("death",), horizon=240.0)


def test_without_a_date_of_death_nobody_is_known_to_have_died(cohort):
    unknown = cohort.frame.assign(os_months=np.nan, death=np.nan)
    losses = observed_losses(unknown, cohort.spec, ("aspiration_6m",))[:, 0]
    missing = pd.isna(cohort.frame["aspiration_6m"]).to_numpy()
    np.testing.assert_allclose(losses[missing], cohort.frame["aspiration_6m"].mean())
