"""Hazard ratios that change: periods of follow-up, and what a regression on them finds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifelines import CoxTimeVaryingFitter

from twin.models.basis import Basis
from twin.models.candidates.protocol import HazardData
from twin.models.hazard import CoxLikelihood, Episodes, fit_ridge_cox
from twin.models.ridge_cox import RidgeCox
from twin.models.time_varying import FEWEST_EVENTS, CoxForm, TimeVarying

NONE = np.zeros(0, dtype=np.intp)
ONE_INPUT = Basis(("x",), NONE, np.zeros(0), NONE.reshape(0, 2))


WANES = (0.0, 15.0, 45.0, 200.0)
LOG_RATIOS = (1.2, 0.6, 0.0)


def waning(patients: int, seed: int) -> Episodes:
    """A factor whose log hazard ratio is 1.2, then 0.6 from month 15 on, then 0 from month 45 on."""
    rng = np.random.default_rng(seed)
    factor = rng.integers(0, 2, patients) - 0.5
    passed = np.zeros((patients, len(WANES)))
    rates = 0.02 * np.exp(factor[:, None] * np.array(LOG_RATIOS))
    passed[:, 1:] = np.cumsum(rates * np.diff(WANES), axis=1)
    drawn = rng.exponential(size=patients)
    months = np.array([np.interp(one, mine, WANES) for one, mine in zip(drawn, passed, strict=True)])
    stop = np.minimum(months, 100.0)
    return Episodes(factor[:, None], np.zeros(patients), stop, months <= 100.0, np.arange(patients))


@given(st.lists(st.floats(1.0, 100.0), max_size=4, unique=True), st.integers(0, 10_000))
def test_cutting_episodes_loses_no_time_and_no_event(turns: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.0, 30.0, 20)
    cut = Episodes(
        rng.normal(size=(20, 1)), start, start + rng.exponential(30.0, 20), rng.random(20) < 0.5, np.arange(20)
    )
    periods = TimeVarying(np.sort(np.array(turns)))
    split, row, score = periods.split(cut)
    assert (split.stop > split.start).all()
    np.testing.assert_allclose(np.bincount(row, split.stop - split.start, minlength=20), cut.stop - cut.start)
    np.testing.assert_array_equal(np.bincount(row, split.event, minlength=20), cut.event)
    assert (split.stop[split.event] == cut.stop[row[split.event]]).all()
    assert (np.diff(split.stop) >= 0).all()
    # No episode holds a turn, and its score is that of the period it lies in.
    for turn in turns:
        assert not ((split.start < turn) & (turn < split.stop)).any()
    np.testing.assert_array_equal(score, periods.scores[np.searchsorted(periods.turns, split.start, side="right")])


def test_each_period_has_about_as_many_events() -> None:
    cut = waning(3000, 0)
    turns = TimeVarying.learn(cut).turns
    counts = np.histogram(cut.stop[cut.event], [0.0, *turns, np.inf])[0]
    assert len(turns) == 2
    assert counts.max() < 1.25 * counts.min()
    np.testing.assert_array_equal(turns, np.round(turns))


def test_few_events_leave_the_ratios_constant() -> None:
    cut = waning(3000, 0)
    few = cut.take(np.append(np.flatnonzero(cut.event)[: FEWEST_EVENTS - 1], np.flatnonzero(~cut.event)))
    form = CoxForm(ONE_INPUT, TimeVarying.learn(few))
    assert len(form.time_varying.turns) == 0
    np.testing.assert_array_equal(form.time_varying.scores, [0.0])
    assert form.columns(few.inputs, np.zeros(len(few.stop))).shape[1] == len(form.scale) == 1


def test_the_regression_is_that_of_lifelines_with_a_time_varying_covariate() -> None:
    cut = waning(400, 1)
    form = CoxForm(ONE_INPUT, TimeVarying.learn(cut))
    split, _, score = form.time_varying.split(cut)
    columns = form.columns(split.inputs, score)
    ours = fit_ridge_cox(CoxLikelihood(split.with_inputs(columns), np.ones(len(score))), np.full(2, 1e-9))
    long = pd.DataFrame({"id": split.patient, "start": split.start, "stop": split.stop, "event": split.event})
    reference = CoxTimeVaryingFitter().fit(
        long.assign(lasting=columns[:, 0], trend=columns[:, 1]), id_col="id", event_col="event"
    )
    np.testing.assert_allclose(ours, reference.params_.to_numpy(), atol=1e-4)


def test_a_factor_that_wanes_is_found_to_wane() -> None:
    cut = waning(3000, 2)
    data = HazardData(cut, np.zeros(3000), np.ones(3000))
    fit = RidgeCox(ONE_INPUT).fit(data, 0)
    with_it, without = fit.increments(np.array([[0.5], [-0.5]]), np.array([0.0, 10.0, 20.0, 40.0, 60.0, 100.0]))
    early, _, between, _, late = np.log(with_it / without)
    assert early == pytest.approx(1.2, abs=0.25)
    assert between == pytest.approx(0.6, abs=0.25)
    assert late == pytest.approx(0.0, abs=0.25)
