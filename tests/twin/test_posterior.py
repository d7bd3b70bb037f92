"""The posterior behind every interval, against quadrature, other solvers, refits and simulations with a known truth."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import DEPARTURE, EFFECTS, known_effects
from lifelines import NelsonAalenFitter
from scipy.optimize import minimize
from scipy.special import expit, logsumexp
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.errors import NotConverged
from twin.fitting import FitSettings, fit_twin
from twin.models.departure import Departure
from twin.models.hazard import CoxLikelihood, Episodes
from twin.models.posterior import (
    CENTRAL_SD,
    CountProblem,
    CoxProblem,
    LogisticProblem,
    Problem,
    baseline_draws,
    posterior,
)

SPEC = load_specification()


def cox_data(seed: int, *, rows: int = 200, inputs: int = 3, terms: int = 2, ratio: float = 0.5) -> Episodes:
    """Untied times with delayed entry; the last columns are the terms of effects."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, inputs + terms))
    start = rng.choice([0.0, 0.0, 2.0], rows)
    stop = start + rng.exponential(20.0 * np.exp(-ratio * X[:, 0]))
    return Episodes(X, start, stop, rng.random(rows) < 0.6, np.arange(rows)).by_stop()


def cox_problem(whole: Episodes, terms: int, effects: np.ndarray) -> CoxProblem:
    size = whole.inputs.shape[1] - terms
    acting = whole.inputs[:, size:]
    columns = whole.with_inputs(whole.inputs[:, :size])
    return CoxProblem(CoxLikelihood(columns, np.ones(len(acting)), acting @ effects), acting)


def log_partial_likelihood(data: Episodes, linear: np.ndarray) -> float:
    """As Cox wrote it, risk set by risk set; times are not tied."""
    total = 0.0
    for row in np.flatnonzero(data.event):
        at_risk = (data.start < data.stop[row]) & (data.stop >= data.stop[row])
        total += float(linear[row] - logsumexp(linear[at_risk]))
    return total


def logistic_problem(
    seed: int, *, rows: int = 200, inputs: int = 3, effects: tuple[float, ...] = (0.4,)
) -> LogisticProblem:
    rng = np.random.default_rng(seed)
    X, terms = rng.normal(size=(rows, inputs)), rng.normal(size=(rows, len(effects)))
    positive = (rng.random(rows) < expit(-0.5 + X[:, 0] + terms @ np.array(effects))).astype(float)
    return LogisticProblem(X, positive, terms @ np.array(effects), terms)


def log_odds_likelihood(problem: LogisticProblem, at: np.ndarray) -> float:
    linear = at[0] + problem.inputs @ at[1:] + problem.offset
    return float(np.log(expit(np.where(problem.positive == 1, linear, -linear))).sum())


def hessian(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Central second differences."""
    size = len(at)
    moves = step * np.eye(size)
    result = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            signs = [(a, b, a * b) for a in (1, -1) for b in (1, -1)]
            result[i, j] = sum(s * function(at + a * moves[i] + b * moves[j]) for a, b, s in signs) / (4 * step**2)
    return result


PRECISION = np.array([1.0, 4.0, 20.0])


def test_the_cox_mode_and_its_covariance_are_those_of_the_log_posterior_written_out() -> None:
    whole, effects = cox_data(0), np.array([0.3, -0.2])

    def log_posterior(at: np.ndarray) -> float:
        linear = whole.inputs @ np.concatenate([at, effects])
        return log_partial_likelihood(whole, linear) - 0.5 * float(PRECISION @ at**2)

    mode = cox_problem(whole, 2, effects).mode(PRECISION, None)
    best = minimize(lambda at: -log_posterior(at), np.zeros(3), tol=1e-10)
    np.testing.assert_allclose(mode.coefficients, best.x, atol=1e-4)
    numeric = np.linalg.inv(-hessian(log_posterior, mode.coefficients))
    np.testing.assert_allclose(mode.covariance, numeric, rtol=1e-3, atol=1e-6)


def test_the_logistic_covariance_is_that_of_the_log_posterior_written_out() -> None:
    problem = logistic_problem(1)

    def log_posterior(at: np.ndarray) -> float:
        return log_odds_likelihood(problem, at) - 0.5 * float(PRECISION @ at[1:] ** 2)

    mode = problem.mode(PRECISION, None)
    best = minimize(lambda at: -log_posterior(at), np.zeros(4), tol=1e-10)
    np.testing.assert_allclose(mode.coefficients, best.x, atol=1e-4)
    numeric = np.linalg.inv(-hessian(log_posterior, mode.coefficients))
    np.testing.assert_allclose(mode.covariance, numeric, rtol=1e-3, atol=1e-6)


def test_the_logistic_mode_is_scikit_learns_with_the_same_prior() -> None:
    """Its one penalty suits all inputs once each is scaled by the standard deviation of its prior."""
    problem = logistic_problem(2, effects=())
    scale = PRECISION**-0.5
    reference = LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(problem.inputs * scale, problem.positive)
    expected = [*reference.intercept_, *(reference.coef_[0] * scale)]
    np.testing.assert_allclose(problem.mode(PRECISION, None).coefficients, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["cox", "logistic"])
def test_the_mode_moves_with_the_effects_as_refits_do(kind: str) -> None:
    """`Mode.answer` is the derivative of refitted coefficients by the effects that are given."""
    whole, step = cox_data(3), 1e-3

    def refit(effects: np.ndarray) -> np.ndarray:
        if kind == "cox":
            return cox_problem(whole, 2, effects).mode(PRECISION, None).coefficients
        base = logistic_problem(3, effects=(0.4, -0.3))
        problem = LogisticProblem(base.inputs, base.positive, base.terms @ effects, base.terms)
        return problem.mode(PRECISION, None).coefficients

    effects = np.array([0.4, -0.3])
    mode = (
        cox_problem(whole, 2, effects).mode(PRECISION, None)
        if kind == "cox"
        else logistic_problem(3, effects=(0.4, -0.3)).mode(PRECISION, None)
    )
    moved = [(refit(effects + move) - refit(effects - move)) / (2 * step) for move in step * np.eye(2)]
    assert np.abs(mode.answer).max() > 0.01
    np.testing.assert_allclose(mode.answer, np.column_stack(moved), atol=2e-3)


def problem_of(kind: str, scale: float) -> Problem:
    """A problem of two columns; the first of them, or the counts, are `scale` times too large."""
    whole, odds = cox_data(0, inputs=2), logistic_problem(0, inputs=2)
    stretched = np.array([scale, 1.0])
    return {
        "a Cox regression": cox_problem(whole.with_inputs(whole.inputs * [*stretched, 1.0, 1.0]), 2, np.zeros(2)),
        "a logistic regression": replace(odds, inputs=odds.inputs * stretched),
        "a regression of counts": CountProblem(odds.inputs, odds.positive * scale, np.full(len(odds.inputs), 0.5)),
    }[kind]


@pytest.mark.parametrize("kind", ["a Cox regression", "a logistic regression", "a regression of counts"])
def test_what_does_not_converge_is_named_and_never_returned(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step is not enough for any of them; nor are fifty where a column overflows or counts are absurd."""
    assert np.isfinite(problem_of(kind, 1.0).mode(np.ones(2), None).coefficients).all()
    with (
        pytest.raises(NotConverged, match=f"{kind} did not converge in 50 steps: look for columns"),
        np.errstate(all="ignore"),
    ):
        problem_of(kind, 1e200).mode(np.ones(2), None)
    for module in ("hazard", "logistic", "posterior"):
        monkeypatch.setattr(f"twin.models.{module}.MAX_ITERATIONS", 1)
    with pytest.raises(NotConverged, match=f"{kind} did not converge in 1 steps"):
        problem_of(kind, 1.0).mode(np.ones(2), None)


def test_draws_given_other_effects_lie_where_refits_given_those_effects_do() -> None:
    """The same random numbers with and without a shift of the effects differ by what a refit differs by."""
    whole = cox_data(4, rows=400)
    # Terms that resemble an input: what the effects take away, that input has to give.
    whole = whole.with_inputs(np.column_stack([whole.inputs[:, :4], whole.inputs[:, 0] + 0.5 * whole.inputs[:, 4]]))
    given, shift = np.array([0.0, 0.1]), np.array([0.0, 0.15])
    scale, draws = np.ones(3), 50
    problem, moved = cox_problem(whole, 2, given), cox_problem(whole, 2, given + shift)
    still = np.tile(given, (1 + draws, 1))
    elsewhere = np.vstack([given, np.tile(given + shift, (draws, 1))])
    one, other = (posterior([problem], scale, effects, np.random.default_rng(0)) for effects in (still, elsewhere))
    np.testing.assert_array_equal(one.coefficients[0], other.coefficients[0])
    refitted = posterior([moved], scale, np.tile(given + shift, (1 + draws, 1)), np.random.default_rng(0))
    expected = refitted.coefficients[0] - one.coefficients[0]
    found = (other.coefficients[1:] - one.coefficients[1:]).mean(axis=0)
    assert expected[0] < -0.08
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize("kind", ["cox", "logistic"])
def test_the_evidence_of_a_width_is_the_integral_over_the_coefficient(kind: str) -> None:
    """Up to a constant that all widths share; Laplace's error is of the order of one over the events."""
    grid = np.linspace(-2.5, 2.5, 101)
    if kind == "cox":
        whole = cox_data(5, rows=120, inputs=1, terms=0)
        problem: CoxProblem | LogisticProblem = cox_problem(whole, 0, np.zeros(0))
        likelihood = np.array([log_partial_likelihood(whole, whole.inputs[:, 0] * at) for at in grid])
    else:
        logistic = problem = logistic_problem(5, inputs=1, effects=())
        levels = np.linspace(-2.0, 1.5, 101)
        surface = np.array([[log_odds_likelihood(logistic, np.array([a, b])) for a in levels] for b in grid])
        likelihood = logsumexp(surface, axis=1)
    ours, exact = [], []
    for sd in (0.1, 0.3, 0.75):
        ours.append(problem.mode(np.array([sd**-2.0]), None).evidence)
        exact.append(logsumexp(likelihood + norm.logpdf(grid, scale=sd)))
    np.testing.assert_allclose(np.diff(ours), np.diff(exact), atol=0.03)
    assert np.ptp(exact) > 1.0


@pytest.mark.parametrize(("true_sd", "lowest", "highest"), [(0.0, 0.0, 0.15), (0.3, 0.2, 0.42), (0.8, 0.5, 0.75)])
def test_the_prior_is_as_wide_as_the_effects_are(true_sd: float, lowest: float, highest: float) -> None:
    """Where nothing predicts the prior narrows, where much does it widens, from the same place."""
    rng = np.random.default_rng(6)
    X = rng.normal(size=(700, 12))
    stop = rng.exponential(np.exp(-X @ rng.normal(0.0, true_sd, 12)))
    data = Episodes(X, np.zeros(700), stop, stop < np.quantile(stop, 0.7), np.arange(700)).by_stop()
    found = posterior([cox_problem(data, 0, np.zeros(0))], np.ones(12), np.zeros((21, 0)), rng)
    assert lowest <= found.prior_sd <= highest
    assert (found.prior_sd < CENTRAL_SD) == (true_sd < CENTRAL_SD)


def test_draws_have_the_moments_of_the_mixture_over_widths_and_copies() -> None:
    """Two copies whose modes differ: the draws hold the spread within each and the distance between them."""
    scale, draws = np.ones(2), 4000
    problems = [cox_problem(cox_data(seed, inputs=2, terms=0, rows=150), 0, np.zeros(0)) for seed in (7, 8)]
    found = posterior(problems, scale, np.zeros((1 + draws, 0)), np.random.default_rng(0))
    assert found.completion[:5].tolist() == [-1, 0, 1, 0, 1]
    alone = [posterior([p], scale, np.zeros((1 + draws, 0)), np.random.default_rng(1)).coefficients for p in problems]
    of_copy = [found.coefficients[found.completion == k] for k in (0, 1)]
    for ours, single in zip(of_copy, alone, strict=True):
        np.testing.assert_allclose(ours.std(axis=0), single[1:].std(axis=0), rtol=0.1)
    np.testing.assert_allclose(found.coefficients[0], found.coefficients[1:].mean(axis=0), atol=0.01)


def test_baseline_draws_are_a_gamma_process_around_nelson_aalen() -> None:
    """A step with d events among n at risk is gamma, of mean d / n and variance d / n^2, apart from the other steps."""
    rng = np.random.default_rng(9)
    stop = np.ceil(rng.exponential(12.0, 150))
    event = rng.random(150) < 0.7
    data = Episodes(np.zeros((150, 0)), np.zeros(150), stop, event, np.arange(150)).by_stop()
    likelihood, draws = CoxLikelihood(data, np.ones(150)), 6000
    grid = np.array([0.0, 0.5, 3.0, 10.0, 25.0])
    completion = np.concatenate([[-1], np.zeros(draws, dtype=int)])
    found = baseline_draws([likelihood], [np.zeros((1 + draws, 150))], completion, grid, rng)
    reference = NelsonAalenFitter(nelson_aalen_smoothing=False).fit(stop, event)
    np.testing.assert_allclose(found[0], reference.cumulative_hazard_at_times(grid), atol=1e-12)
    np.testing.assert_allclose(found[1:].mean(axis=0), found[0], rtol=0.02, atol=1e-12)
    steps = [(sum(event & (stop == t)), sum(stop >= t), t) for t in np.unique(stop[event])]
    variance = [sum(d / n**2 for d, n, t in steps if t <= month) for month in grid]
    np.testing.assert_allclose(found[1:].var(axis=0), variance, rtol=0.08, atol=1e-12)
    between = np.diff(found[1:][:, 1:], axis=1)
    assert np.abs(np.corrcoef(between.T) - np.eye(3)).max() < 0.05


def test_baseline_draws_cover_a_true_exponential_hazard() -> None:
    """Over samples of the same rate the estimate lies within 1.645 of its own draws' standard deviations in 90 %."""
    rng = np.random.default_rng(10)
    grid, completion = np.array([6.0, 18.0]), np.concatenate([[-1], np.zeros(100, dtype=int)])
    score = []
    for _ in range(300):
        time, end = rng.exponential(20.0, 80), rng.uniform(10.0, 40.0, 80)
        data = Episodes(np.zeros((80, 0)), np.zeros(80), np.minimum(time, end), time <= end, np.arange(80)).by_stop()
        found = baseline_draws([CoxLikelihood(data, np.ones(80))], [np.zeros((101, 80))], completion, grid, rng)
        score.append((found[0] - grid / 20.0) / found[1:].std(axis=0))
    assert (np.abs(score) < 1.645).mean(axis=0) == pytest.approx([0.9, 0.9], abs=0.05)


def test_baselines_of_several_copies_belong_to_their_draws() -> None:
    """The fit is the mean of the copies, and a draw that doubles everybody's hazard has half the baseline."""
    rng = np.random.default_rng(11)
    copies = []
    for rate in (10.0, 30.0):
        stop = np.sort(rng.exponential(rate, 400))
        data = Episodes(np.zeros((400, 0)), np.zeros(400), stop, np.ones(400, dtype=bool), np.arange(400))
        copies.append(CoxLikelihood(data, np.ones(400)))
    completion = np.array([-1, 0, 1, 0, 1])
    doubled = np.vstack([np.zeros((2, 400)), np.full((1, 400), np.log(2.0))])
    found = baseline_draws(copies, [doubled, doubled], completion, np.array([5.0]), rng)[:, 0]
    np.testing.assert_allclose(found[1:], [0.5, 5 / 30, 0.25, 5 / 60], rtol=0.25)
    each = [likelihood.baseline(np.zeros(0), np.array([5.0]))[0] for likelihood in copies]
    assert found[0] == pytest.approx(np.mean(each), rel=1e-12)


COVERED_AT = np.array([12.0, 36.0, 60.0])


def drawn_truth(rng: np.random.Generator, patients: int) -> tuple[Cohort, np.ndarray]:
    """A cohort with constant hazards whose log ratios are drawn as a prior expects them; (n,) rates a month."""
    age = rng.normal(60.0, 10.0, patients).clip(30.0, 90.0)
    male = rng.random(patients) < 0.7
    stage = rng.integers(1, 4, patients)
    nodes = rng.integers(0, 3, patients)
    ratios = [rng.normal(0.0, sd, size) for sd, size in ((0.2, 1), (0.4, 1), (0.4, 4), (0.4, 3))]
    log_ratio = ratios[0] * (age - 60.0) / 10.0 + ratios[1] * male + ratios[2][stage] + ratios[3][nodes]
    rate = 0.012 * np.exp(log_ratio - log_ratio.mean())
    death, end = rng.exponential(1.0 / rate), rng.uniform(24.0, 120.0, patients)
    frame = pd.DataFrame(
        {
            "patient_id": [f"X-{k}" for k in range(patients)],
            "age_years": age,
            "sex": np.where(male, "male", "female"),
            "t_stage": [f"T{k}" for k in stage],
            "n_stage": [f"N{k}" for k in nodes],
            "os_months": np.minimum(death, end),
            "death": (death <= end).astype(float),
        }
    )
    return Cohort(SPEC, typed_frame(frame, SPEC), synthetic=True), rate


def coverage(replicates: int, seed: int) -> np.ndarray:
    """(months,) share of patients whose true risk lies within their 90 % interval, over freshly drawn cohorts."""
    rng = np.random.default_rng(seed)
    inside = []
    for _ in range(replicates):
        cohort, rate = drawn_truth(rng, 250)
        twin = fit_twin(cohort, FitSettings(select=False))
        known = cohort.frame.head(25).drop(columns=["os_months", "death"])
        table = twin.predict(known, "all", COVERED_AT)
        lower, upper = (table[end].to_numpy().reshape(25, 3) for end in ("lower", "upper"))
        truth = -np.expm1(-rate[:25, None] * COVERED_AT)
        inside.append(((truth >= lower) & (truth <= upper)).mean(axis=0))
    return np.mean(inside, axis=0)


def test_nine_in_ten_true_risks_lie_within_intervals_of_the_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed form: the risk by month t is 1 - exp(-rate t). Of 40 cohorts the share has a standard error of 0.015.

    Departures from the form are left out, as here the form is right.
    """
    monkeypatch.setattr(EFFECTS, known_effects((), {}))
    monkeypatch.setattr(DEPARTURE, lambda model, *_: Departure.none(model.prognosis.basis.inputs, 200))
    assert coverage(40, 12) == pytest.approx([0.9] * 3, abs=0.045)


def test_where_the_form_is_right_the_departure_widens_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 250 patients a departure can hardly be ruled out: intervals err to the wide side, by a few in a hundred."""
    monkeypatch.setattr(EFFECTS, known_effects((), {}))
    found = coverage(15, 12)
    assert (found >= 0.9 - 2 * 0.025).all()
    assert found.mean() < 0.97
