"""The Cox and logistic solvers against lifelines, scikit-learn and numerical derivatives."""

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, CoxTimeVaryingFitter, NelsonAalenFitter
from scipy.optimize import approx_fprime
from sklearn.linear_model import LogisticRegression

from twin.models.hazard import CoxLikelihood, Episodes, fit_ridge_cox
from twin.models.logistic import fit_ridge_logistic
from twin.models.posterior import CoxProblem


def drawn_episodes(seed: int, *, rows: int = 250, inputs: int = 4, entries: bool = True) -> Episodes:
    """Episodes with many tied times and, where asked for, delayed entries, some of which tie with events."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, inputs)) * np.array([1.0, 3.0, 0.2, 1.0])[:inputs]
    start = rng.choice([0.0, 0.0, 3.0, 6.0], rows) if entries else np.zeros(rows)
    stop = start + np.ceil(2 * rng.exponential(12.0 * np.exp(-0.3 * X[:, 0]), rows)) / 2
    return Episodes(X, start, stop, rng.random(rows) < 0.6, np.arange(rows)).by_stop()


def table(episodes: Episodes) -> pd.DataFrame:
    frame = pd.DataFrame(episodes.inputs, columns=[f"x{k}" for k in range(episodes.inputs.shape[1])])
    return frame.assign(start=episodes.start, stop=episodes.stop, event=episodes.event, id=episodes.patient)


def ones(episodes: Episodes) -> np.ndarray:
    return np.ones(len(episodes.stop))


def lifelines_cox(episodes: Episodes, precision: np.ndarray) -> CoxPHFitter:
    """The penalised fit of lifelines, which scales inputs by their deviations and divides the penalty by the rows."""
    frame = table(episodes).drop(columns="id")
    spread = episodes.inputs.std(axis=0, ddof=1)
    reference = CoxPHFitter(penalizer=precision / (len(frame) * spread**2))
    precise = {"precision": 1e-12, "r_precision": 1e-14}
    return reference.fit(frame, "stop", "event", entry_col="start", fit_options=precise)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("entries", [False, True])
def test_ridge_coefficients_equal_those_of_lifelines(seed: int, entries: bool) -> None:
    episodes = drawn_episodes(seed, entries=entries)
    precision = np.array([0.5, 4.0, 30.0, 1.0])
    ours = fit_ridge_cox(CoxLikelihood(episodes, ones(episodes)), precision)
    np.testing.assert_allclose(ours, lifelines_cox(episodes, precision).params_.to_numpy(), atol=1e-6)


def test_the_mode_of_the_posterior_is_the_penalised_fit_of_lifelines() -> None:
    episodes, precision = drawn_episodes(7), np.array([1.0, 1.0, 10.0, 2.0])
    problem = CoxProblem(CoxLikelihood(episodes, ones(episodes)), np.zeros((len(episodes.stop), 0)))
    reference = lifelines_cox(episodes, precision)
    for start in (None, np.full(4, 0.7)):
        mode = problem.mode(precision, start)
        np.testing.assert_allclose(mode.coefficients, reference.params_.to_numpy(), atol=1e-4)


def test_the_covariance_of_a_wide_prior_is_that_of_lifelines() -> None:
    """lifelines takes the inverse information of the unpenalised likelihood; a wide prior leaves it alone."""
    episodes = drawn_episodes(8)
    problem = CoxProblem(CoxLikelihood(episodes, ones(episodes)), np.zeros((len(episodes.stop), 0)))
    reference = CoxPHFitter().fit(table(episodes).drop(columns="id"), "stop", "event", entry_col="start")
    mode = problem.mode(np.full(4, 1e-8), None)
    np.testing.assert_allclose(mode.covariance, reference.variance_matrix_.to_numpy(), rtol=1e-3, atol=1e-7)


def test_a_known_effect_that_doubles_a_hazard_is_one_more_patient_at_risk_to_lifelines() -> None:
    """Without ties an offset of log 2 counts a patient twice in every risk set and once among the deaths."""
    rng = np.random.default_rng(9)
    drawn = drawn_episodes(9, entries=False)
    stop = drawn.stop + rng.uniform(0.0, 0.4, len(drawn.stop))
    episodes = Episodes(drawn.inputs, drawn.start, stop, drawn.event, drawn.patient).by_stop()
    treated = rng.random(len(stop)) < 0.4
    problem = CoxProblem(CoxLikelihood(episodes, ones(episodes), np.log(2.0) * treated), treated[:, None].astype(float))
    silent = Episodes(
        episodes.inputs[treated],
        episodes.start[treated],
        episodes.stop[treated],
        np.zeros(int(treated.sum()), dtype=bool),
        1000 + episodes.patient[treated],
    )
    both = Episodes(
        np.vstack([episodes.inputs, silent.inputs]),
        np.concatenate([episodes.start, silent.start]),
        np.concatenate([episodes.stop, silent.stop]),
        np.concatenate([episodes.event, silent.event]),
        np.concatenate([episodes.patient, silent.patient]),
    )
    precision = np.array([0.5, 4.0, 30.0, 1.0])
    found = problem.mode(precision, None).coefficients
    np.testing.assert_allclose(found, lifelines_cox(both, precision).params_.to_numpy(), atol=1e-4)
    ignored = CoxProblem(CoxLikelihood(episodes, ones(episodes)), problem.terms).mode(precision, None).coefficients
    assert np.abs(found - ignored).max() > 0.003


def test_coefficients_equal_those_of_the_time_varying_fitter() -> None:
    """Two episodes of one patient, cut anywhere, are one patient to the partial likelihood."""
    whole = drawn_episodes(1, entries=False)
    cut = np.minimum(5.25, whole.stop / 2)
    both = Episodes(
        np.vstack([whole.inputs, whole.inputs]),
        np.concatenate([whole.start, cut]),
        np.concatenate([cut, whole.stop]),
        np.concatenate([np.zeros(len(cut), dtype=bool), whole.event]),
        np.concatenate([whole.patient, whole.patient]),
    ).by_stop()
    reference = CoxTimeVaryingFitter().fit(
        table(both), id_col="id", start_col="start", stop_col="stop", event_col="event"
    )
    nearly_free = np.full(4, 1e-10)
    ours = fit_ridge_cox(CoxLikelihood(both, ones(both)), nearly_free)
    np.testing.assert_allclose(ours, reference.params_.to_numpy(), atol=1e-5)
    uncut = fit_ridge_cox(CoxLikelihood(whole, ones(whole)), nearly_free)
    np.testing.assert_allclose(ours, uncut, atol=1e-8)


def test_weights_equal_those_of_lifelines() -> None:
    episodes = drawn_episodes(2, entries=False)
    weights = np.random.default_rng(0).integers(1, 4, len(episodes.stop)).astype(float)
    frame = table(episodes).drop(columns=["id", "start"]).assign(weight=weights)
    reference = CoxPHFitter()
    reference.fit(frame, "stop", "event", weights_col="weight", fit_options={"precision": 1e-12, "r_precision": 1e-14})
    ours = fit_ridge_cox(CoxLikelihood(episodes, weights), np.full(4, 1e-10))
    np.testing.assert_allclose(ours, reference.params_.to_numpy(), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_gradient_and_information_are_derivatives_of_the_value(seed: int) -> None:
    episodes = drawn_episodes(seed)
    weights = np.random.default_rng(seed).integers(1, 5, len(episodes.stop)).astype(float)
    likelihood = CoxLikelihood(episodes, weights)
    point = np.array([0.3, -0.1, 0.5, 0.0])
    value, gradient, information = likelihood.derivatives(point)
    assert value == pytest.approx(likelihood.value(point))
    np.testing.assert_allclose(gradient, approx_fprime(point, likelihood.value, 1e-6), rtol=1e-4, atol=1e-3)
    numeric = approx_fprime(point, lambda at: likelihood.derivatives(at)[1], 1e-6)
    np.testing.assert_allclose(information, -numeric, rtol=1e-4, atol=1e-3)


def test_value_equals_a_sum_over_risk_sets_written_out() -> None:
    episodes = drawn_episodes(5, rows=40)
    point = np.array([0.4, 0.1, -0.3, 0.2])
    risk = np.exp(episodes.inputs @ point)
    expected = 0.0
    for time in np.unique(episodes.stop[episodes.event]):
        at_risk = (episodes.start < time) & (time <= episodes.stop)
        dying = episodes.event & (episodes.stop == time)
        expected += np.log(risk[dying]).sum()
        deaths = int(dying.sum())
        expected -= sum(np.log(risk[at_risk].sum() - k / deaths * risk[dying].sum()) for k in range(deaths))
    assert CoxLikelihood(episodes, ones(episodes)).value(point) == pytest.approx(expected, rel=1e-12)


def test_baseline_hazard_without_inputs_is_nelson_aalen() -> None:
    episodes = drawn_episodes(3, inputs=1, entries=False)
    months = np.array([0.0, 1.0, 4.25, 12.0, 30.0])
    ours = CoxLikelihood(episodes, ones(episodes)).baseline(np.zeros(1), months)
    reference = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(episodes.stop, episodes.event)
    np.testing.assert_allclose(ours, reference.cumulative_hazard_at_times(months).to_numpy(), atol=1e-12)


def test_baseline_hazard_equals_that_of_lifelines() -> None:
    episodes = drawn_episodes(4, entries=False)
    reference = CoxPHFitter(penalizer=0.05).fit(table(episodes).drop(columns=["id", "start"]), "stop", "event")
    coefficients = reference.params_.to_numpy()
    months = reference.baseline_cumulative_hazard_.index.to_numpy()
    at_mean = np.exp(coefficients @ episodes.inputs.mean(axis=0))
    ours = CoxLikelihood(episodes, ones(episodes)).baseline(coefficients, months) * at_mean
    np.testing.assert_allclose(ours, reference.baseline_cumulative_hazard_.iloc[:, 0].to_numpy(), rtol=1e-9)


def test_a_stronger_penalty_shrinks_and_no_events_give_zeros() -> None:
    episodes = drawn_episodes(6)
    likelihood = CoxLikelihood(episodes, ones(episodes))
    sizes = [np.abs(fit_ridge_cox(likelihood, np.full(4, precision))).sum() for precision in (0.1, 10.0, 1e3, 1e6)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < 1e-2
    silent = Episodes(episodes.inputs, episodes.start, episodes.stop, np.zeros(250, dtype=bool), episodes.patient)
    assert not fit_ridge_cox(CoxLikelihood(silent, ones(silent)), np.ones(4)).any()


@pytest.mark.parametrize("weighted", [False, True])
def test_logistic_coefficients_equal_those_of_scikit_learn(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    positive = (rng.random(300) < 1 / (1 + np.exp(1.0 - X[:, 0]))).astype(float)
    weights = rng.integers(0, 4, 300).astype(float) if weighted else np.ones(300)
    reference = LogisticRegression(C=0.5, tol=1e-10, max_iter=10_000).fit(X, positive, sample_weight=weights)
    ours = fit_ridge_logistic(X, positive, weights, np.full(4, 2.0))
    np.testing.assert_allclose(ours, [*reference.intercept_, *reference.coef_[0]], atol=1e-6)


def test_logistic_penalties_of_their_own_equal_inputs_scaled_by_their_priors() -> None:
    """scikit-learn penalises all inputs alike, so that each is scaled by the standard deviation of its prior."""
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 3))
    positive = (rng.random(200) < 0.3).astype(float)
    precision = np.array([0.5, 20.0, 3.0])
    scale = precision**-0.5
    reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000).fit(X * scale, positive)
    expected = [*reference.intercept_, *(reference.coef_[0] * scale)]
    np.testing.assert_allclose(fit_ridge_logistic(X, positive, np.ones(200), precision), expected, atol=1e-5)


def test_a_known_log_odds_ratio_shifts_a_logistic_model_as_a_coefficient_would() -> None:
    """Where the effect that is given is the one scikit-learn would find, all other coefficients are its own."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 3))
    positive = (rng.random(400) < 1 / (1 + np.exp(0.5 - X @ [1.0, 0.0, 0.8]))).astype(float)
    reference = LogisticRegression(C=1e8, tol=1e-10, max_iter=10_000).fit(X, positive)
    offset = X[:, 2] * reference.coef_[0, 2]
    ours = fit_ridge_logistic(X[:, :2], positive, np.ones(400), np.full(2, 1e-8), offset=offset)
    np.testing.assert_allclose(ours, [*reference.intercept_, *reference.coef_[0, :2]], atol=1e-5)


def test_logistic_stays_finite_where_a_resample_is_all_negative() -> None:
    X = np.random.default_rng(2).normal(size=(50, 2))
    fitted = fit_ridge_logistic(X, np.zeros(50), np.ones(50), np.ones(2))
    assert np.isfinite(fitted).all()
    assert fitted[0] < -5
