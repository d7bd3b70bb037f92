"""Risks against closed forms, numerical integration and lifelines."""

import numpy as np
import pytest
from scipy.integrate import quad

from twin.models.outcome import BinaryModel, HazardModel, risks

GRID = np.arange(0.0, 121.0)
NO_PLAN = np.zeros((1, 0))
MONTHS = np.array([0.0, 1.0, 6.0, 12.5, 60.0, 120.0])


def hazard(cumulative: np.ndarray, *, coefficients=((),), effects=((),), grid: np.ndarray = GRID) -> HazardModel:
    return HazardModel(
        coefficients=np.array(coefficients, dtype=float),
        effects=np.array(effects, dtype=float),
        grid=grid,
        cumulative=np.atleast_2d(cumulative),
        patients=1,
        events=1,
        prior_sd=1.0,
    )


def read(
    event: HazardModel, rival: HazardModel | None = None, *, months=MONTHS, alive_until: float = 0.0
) -> np.ndarray:
    """Risks of one patient without inputs or decisions, (months,)."""
    return risks(event, rival, np.zeros((1, 0)), NO_PLAN, NO_PLAN, months, alive_until)[0, 0, 0]


def test_a_constant_hazard_gives_the_exponential_distribution() -> None:
    np.testing.assert_allclose(read(hazard(0.02 * GRID)), 1 - np.exp(-0.02 * MONTHS), rtol=1e-12)


def test_constant_competing_hazards_give_their_closed_form() -> None:
    found = read(hazard(0.02 * GRID), hazard(0.03 * GRID))
    np.testing.assert_allclose(found, 0.4 * (1 - np.exp(-0.05 * MONTHS)), rtol=1e-12)


def test_crossing_hazards_agree_with_numerical_integration() -> None:
    """Weibull hazards; the monthly grid takes each as constant within a month."""
    event = lambda t: (t / 80.0) ** 1.5  # noqa: E731
    rival = lambda t: (t / 100.0) ** 0.7  # noqa: E731
    slope = lambda t: 1.5 / 80.0 * (t / 80.0) ** 0.5  # noqa: E731
    found = read(hazard(event(GRID)), hazard(rival(GRID)))
    for month, risk in zip(MONTHS, found, strict=True):
        expected, _ = quad(lambda t: slope(t) * np.exp(-event(t) - rival(t)), 0.0, month)
        assert risk == pytest.approx(expected, abs=2e-4)


def test_causes_and_event_free_survival_add_up_to_one() -> None:
    rng = np.random.default_rng(0)
    one, other = (hazard(np.concatenate([[0.0], np.cumsum(rng.exponential(0.02, 120))])) for _ in range(2))
    first, second = read(one, other), read(other, one)
    free = np.exp(-np.interp(MONTHS, GRID, one.cumulative[0] + other.cumulative[0]))
    np.testing.assert_allclose(first + second + free, 1.0, rtol=1e-12)


def test_without_a_rival_hazard_competing_is_ordinary_survival() -> None:
    cumulative = 0.03 * GRID
    np.testing.assert_allclose(read(hazard(cumulative), hazard(0.0 * GRID)), read(hazard(cumulative)), atol=1e-14)


def test_risks_condition_on_being_alive() -> None:
    """S(t | alive at L) = S(t) / S(L), and nothing can have happened before L."""
    cumulative = (GRID / 50.0) ** 1.3
    survival = np.exp(-np.interp(MONTHS, GRID, cumulative))
    at_six = np.exp(-((6.0 / 50.0) ** 1.3))
    expected = np.where(MONTHS <= 6.0, 0.0, 1 - survival / at_six)
    np.testing.assert_allclose(read(hazard(cumulative), alive_until=6.0), expected, atol=1e-12)


def test_a_decision_acts_from_its_month_on() -> None:
    model = hazard(0.02 * GRID, effects=[[np.log(3.0)]])
    found = risks(model, None, np.zeros((1, 0)), np.array([[0.0], [1.0]]), np.array([[6.0], [6.0]]), MONTHS, 0.0)[0, 0]
    np.testing.assert_allclose(found[0], 1 - np.exp(-0.02 * MONTHS))
    exposure = np.minimum(MONTHS, 6.0) + 3.0 * np.maximum(MONTHS - 6.0, 0.0)
    np.testing.assert_allclose(found[1], 1 - np.exp(-0.02 * exposure))


def test_a_decision_between_the_months_of_the_grid_acts_from_there() -> None:
    model = hazard(0.02 * GRID, effects=[[np.log(2.0)]])
    found = risks(model, None, np.zeros((1, 0)), np.array([[1.0]]), np.array([[2.5]]), np.array([3.0]), 0.0)
    assert found.item() == pytest.approx(1 - np.exp(-0.02 * (2.5 + 2 * 0.5)))


def test_inputs_multiply_the_hazard_and_refits_stay_apart() -> None:
    model = hazard(np.vstack([0.01 * GRID, 0.02 * GRID]), coefficients=[[1.0, 0.0], [0.0, 2.0]], effects=[[], []])
    inputs = np.array([[0.5, -0.5], [0.0, 1.0], [0.0, 0.0]])
    found = risks(model, None, inputs, NO_PLAN, NO_PLAN, np.array([10.0]), 0.0)[:, :, 0, 0]
    expected = 1 - np.exp(-np.array([[0.1], [0.2]]) * np.exp([[0.5, 0.0, 0.0], [-1.0, 2.0, 0.0]]))
    np.testing.assert_allclose(found, expected)


def test_many_patients_at_once_are_the_same_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    one, other = (
        hazard(
            np.cumsum(rng.exponential(0.01, (3, 121)), axis=1),
            coefficients=rng.normal(size=(3, 2)),
            effects=[[0.3]] * 3,
        )
        for _ in range(2)
    )
    inputs, plans, acting = rng.normal(size=(7, 2)), np.array([[0.0], [1.0]]), np.array([[6.0], [6.0]])
    whole = risks(one, other, inputs, plans, acting, MONTHS, 0.0)
    monkeypatch.setattr("twin.models.outcome.CELLS_AT_ONCE", 1)
    assert np.array_equal(risks(one, other, inputs, plans, acting, MONTHS, 0.0), whole)


def test_a_binary_outcome_is_logistic() -> None:
    model = BinaryModel(np.array([-1.0]), np.array([[0.5]]), np.array([[2.0]]), 10, 3, 1.0)
    found = model.risks(np.array([[1.0]]), np.array([[0.0], [1.0]]))[0, 0]
    np.testing.assert_allclose(found, 1 / (1 + np.exp([0.5, -1.5])))
