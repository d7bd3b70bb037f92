"""How far the truth may be from a model's form: found where it is, and not where it is not."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import multivariate_normal, poisson

from twin.models.departure import WIDTHS, Departure, Waves, expected_chances, width_chances
from twin.models.posterior import CountProblem, LogisticProblem

WIDE = np.array(WIDTHS)


def people(patients: int, seed: int, inputs: int = 6) -> tuple[np.ndarray, Waves]:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(patients, inputs)) / 2
    return values, Waves.learn(values, rng)


def mean_width(chances: np.ndarray) -> float:
    return float(chances @ WIDE)


def nothing_explained(patients: int) -> np.ndarray:
    return np.zeros((patients, 1))


def test_features_hold_no_line_and_are_as_wide_as_they_say() -> None:
    values, waves = people(400, 0)
    features = waves.features(values)
    assert (np.count_nonzero(waves.frequencies, axis=1) == 2).all()
    design = np.column_stack([np.ones(400), values])
    np.testing.assert_allclose(design.T @ features, 0.0, atol=1e-9)
    assert (features**2).sum(axis=1).mean() == pytest.approx(1.0)


def test_two_values_have_no_form_but_a_line() -> None:
    """A slope is all there is to learn of one yes-or-no input: there is nothing to depart from."""
    waves = Waves.learn(np.array([[-0.5], [0.5]] * 20), np.random.default_rng(0))
    assert not waves.features(np.array([[-0.5], [0.5]])).any()


def steps_and_pairs(values: np.ndarray) -> np.ndarray:
    """What no wave was made from: a threshold, and two that count only together; less lines, with mean square 1."""
    surface = 1.0 * (values[:, 0] > 0.3) + 1.5 * ((values[:, 1] > 0) & (values[:, 2] > 0.2))
    design = np.column_stack([np.ones(len(values)), values])
    left = surface - design @ np.linalg.lstsq(design, surface, rcond=None)[0]
    return np.asarray(left / left.std())


@pytest.mark.parametrize("patients", [536, 1500])
def test_planted_departures_are_told_apart(patients: int) -> None:
    """None, one of 0.4 and one of 0.8 on the log ratio; means over six cohorts."""
    found = []
    for planted in (0.0, 0.4, 0.8):
        widths = []
        for seed in range(6):
            values, waves = people(patients, seed)
            rng = np.random.default_rng(seed)
            expected = rng.uniform(0.1, 0.5, patients)
            happened = rng.poisson(expected * np.exp(planted * steps_and_pairs(values))).astype(float)
            level = happened.sum() / expected.sum()
            chances = width_chances(
                lambda columns, happened=happened, expected=expected * level: CountProblem(columns, happened, expected),
                waves.features(values),
                nothing_explained(patients),
            )
            widths.append(mean_width(chances))
        found.append(np.mean(widths))
    assert found[0] < found[1] < found[2]
    assert 1.5 * found[0] < found[2]
    assert found[0] < mean_width(expected_chances()) < found[2]
    assert found[2] > 0.35


def test_what_the_posterior_explains_is_no_departure() -> None:
    """The same misses, once nothing explains them, once the draws of the posterior go the same way."""
    values, waves = people(1500, 7)
    rng = np.random.default_rng(7)
    expected = np.full(1500, 0.4)
    miss = 0.6 * waves.features(values) @ rng.normal(size=2 * len(waves.frequencies))
    happened = rng.poisson(expected * np.exp(miss)).astype(float)

    def judged(explained: np.ndarray) -> float:
        chances = width_chances(
            lambda columns: CountProblem(columns, happened, expected), waves.features(values), explained
        )
        return mean_width(chances)

    draws = 0.6 * waves.features(values) @ rng.normal(size=(2 * len(waves.frequencies), 200))
    assert judged(draws) < 0.6 * judged(nothing_explained(1500))


def test_yes_or_no_outcomes_judge_as_counts_do() -> None:
    values, waves = people(3000, 3)
    rng = np.random.default_rng(3)
    odds = rng.normal(-0.5, 0.5, 3000)

    def judged(log_ratio: np.ndarray) -> float:
        happened = (rng.random(3000) < expit(odds + log_ratio)).astype(float)
        return mean_width(
            width_chances(
                lambda columns: LogisticProblem(columns, happened, odds, np.zeros((3000, 0))),
                waves.features(values),
                nothing_explained(3000),
            )
        )

    assert judged(np.zeros(3000)) < judged(0.7 * np.sign(values[:, 0] * values[:, 1]))


def test_draws_are_as_wide_as_their_widths_and_leave_the_fit_alone() -> None:
    values, waves = people(50, 1)
    chances = np.zeros(len(WIDTHS))
    chances[WIDTHS.index(0.30)] = 1.0
    found = Departure.drawn(waves, chances, 4000, np.random.default_rng(0))
    drawn = found.weights @ waves.features(values).T
    assert not drawn[0].any()
    assert found.width == pytest.approx(0.30)
    assert np.sqrt((drawn[1:] ** 2).mean()) == pytest.approx(0.30, rel=0.03)
    np.testing.assert_allclose(drawn[1:].mean(axis=0), 0.0, atol=0.02)


def test_a_count_problem_has_the_mode_and_the_evidence_of_its_posterior() -> None:
    """Against a general optimiser, and the evidence against an integral on a grid over the one coefficient."""
    rng = np.random.default_rng(4)
    inputs, expected, precision = rng.normal(size=(60, 1)), rng.uniform(0.5, 2.0, 60), np.array([2.0])
    events = rng.poisson(expected * np.exp(0.4 * inputs[:, 0])).astype(float)
    problem = CountProblem(inputs, events, expected)

    def log_posterior(at: float) -> float:
        likelihood = poisson.logpmf(events, expected * np.exp(inputs[:, 0] * at)).sum()
        return float(likelihood + multivariate_normal.logpdf(at, 0.0, 1.0 / precision[0]))

    best = minimize(lambda at: -log_posterior(at[0]), np.zeros(1), tol=1e-10)
    mode = problem.mode(precision, None)
    assert mode.coefficients[0] == pytest.approx(best.x[0], abs=1e-4)
    grid = np.linspace(-3.0, 3.0, 6001)
    heights = np.array([log_posterior(at) for at in grid])
    integral = np.log(np.trapezoid(np.exp(heights - heights.max()), grid)) + heights.max()
    constant = poisson.logpmf(events, expected).sum() + expected.sum()
    assert mode.evidence == pytest.approx(integral - constant, abs=0.02)
