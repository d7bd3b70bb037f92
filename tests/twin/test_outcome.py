"""Risks against closed forms and numerical integration."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit

from twin.arrays import Floats
from twin.models.basis import Basis
from twin.models.candidates.periods import MarginalHazard
from twin.models.departure import Departure, Waves
from twin.models.outcome import (
    CELL_MONTHS,
    BinaryModel,
    EventModel,
    FlexibleHazard,
    Patients,
    RegressionHazard,
    Rows,
    cells,
    plan_increments,
    risks,
)
from twin.models.time_varying import CoxForm, TimeVarying

GRID = np.arange(0.0, 121.0)
MONTHS = np.array([0.0, 1.0, 6.0, 12.5, 60.0, 120.0])


def basis(inputs: int) -> Basis:
    none = np.zeros(0, dtype=np.intp)
    return Basis(tuple(f"x{k}" for k in range(inputs)), none, np.zeros(0), none.reshape(0, 2))


def hazard(
    cumulative: np.ndarray,
    *,
    coefficients=((),),
    effects=((),),
    grid: np.ndarray = GRID,
    turns=(),
    departure: Departure | None = None,
) -> EventModel:
    """Row 0 is the fit; without draws there is nothing else. With turns, the coefficients are followed by trends."""
    ratios = np.array(coefficients, dtype=float)
    inputs = ratios.shape[1] // 2 if turns else ratios.shape[1]
    form = CoxForm(basis(inputs), TimeVarying(np.array(turns, dtype=float)))
    prognosis = RegressionHazard.of(form, ratios, grid, np.atleast_2d(cumulative), 1.0)
    departs = departure or Departure.none(inputs, len(ratios) - 1)
    return EventModel(prognosis, np.array(effects, dtype=float), departs, patients=1, events=1)


def patients(inputs=((),), terms=None) -> Patients:
    """One copy."""
    encoded = np.array(inputs, dtype=float)[None]
    return Patients(encoded, np.ones((1, encoded.shape[1], 0)) if terms is None else np.array(terms, dtype=float)[None])


def asked(
    event: EventModel,
    rival: EventModel | None = None,
    *,
    who: Patients | None = None,
    digits=((),),
    acting=((),),
    months=MONTHS,
    alive_until: float = 0.0,
    of_term=(),
) -> Floats:
    """(1 + draws, n, plans, months) as the marginal model asks for them."""
    who = who or patients()
    plans, from_month = np.array(digits, dtype=float), np.array(acting, dtype=float)
    rows = Rows.of(len(event.effects) - 1, who.copies)
    edges = cells(event.prognosis.grid, from_month, np.asarray(months), alive_until)
    read = np.searchsorted(edges, np.maximum(months, edges[0]))
    hazards = [
        plan_increments(model, who, rows, np.array(of_term, dtype=np.intp), plans, from_month, edges) if model else None
        for model in (event, rival)
    ]
    return risks(hazards[0], hazards[1], read, rows)


def read(event: EventModel, rival: EventModel | None = None, **named) -> Floats:
    """Risks of one patient without inputs or decisions, (months,)."""
    return asked(event, rival, **named)[0, 0, 0]


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


def test_cutting_the_cells_changes_no_risk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hazards are kept by month and stay the same in between: the months asked for, and finer cells, change nothing."""
    rng = np.random.default_rng(2)
    steps = [np.concatenate([[0.0], np.cumsum(rng.exponential(0.02, 120) * (rng.random(120) < 0.4))]) for _ in range(2)]
    event, rival = (hazard(cumulative) for cumulative in steps)
    alone = read(event, rival, months=np.array([60.0]))
    among = read(event, rival, months=np.unique(np.append(rng.uniform(0.0, 60.0, 40), 60.0)))
    np.testing.assert_allclose(among[-1], alone[0], rtol=1e-12)
    monkeypatch.setattr("twin.models.outcome.CELL_MONTHS", CELL_MONTHS / 7.0)
    np.testing.assert_allclose(read(event, rival, months=np.array([60.0])), alone, rtol=1e-12)


def test_causes_and_event_free_survival_add_up_to_one() -> None:
    rng = np.random.default_rng(0)
    one, other = (np.concatenate([[0.0], np.cumsum(rng.exponential(0.02, 120))]) for _ in range(2))
    first, second = read(hazard(one), hazard(other)), read(hazard(other), hazard(one))
    free = np.exp(-np.interp(MONTHS, GRID, one + other))
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
    found = asked(model, who=patients(terms=[[1.0]]), digits=[[0], [1]], acting=[[6], [6]], of_term=[0])[0, 0]
    np.testing.assert_allclose(found[0], 1 - np.exp(-0.02 * MONTHS))
    exposure = np.minimum(MONTHS, 6.0) + 3.0 * np.maximum(MONTHS - 6.0, 0.0)
    np.testing.assert_allclose(found[1], 1 - np.exp(-0.02 * exposure))


def test_a_decision_between_the_months_of_the_grid_acts_from_there() -> None:
    model = hazard(0.02 * GRID, effects=[[np.log(2.0)]])
    found = asked(model, who=patients(terms=[[1.0]]), digits=[[1]], acting=[[2.5]], months=np.array([3.0]), of_term=[0])
    assert found.item() == pytest.approx(1 - np.exp(-0.02 * (2.5 + 2 * 0.5)))


def test_a_decision_changes_both_causes_each_by_its_own_effect() -> None:
    """From month 6 on the event's rate halves and the rival's doubles: the closed form of each stretch."""
    who, plan = patients(terms=[[1.0]]), {"digits": [[1]], "acting": [[6]], "of_term": [0]}
    event, rival = hazard(0.02 * GRID, effects=[[np.log(0.5)]]), hazard(0.01 * GRID, effects=[[np.log(2.0)]])
    found = asked(event, rival, who=who, months=np.array([6.0, 30.0]), **plan)[0, 0, 0]
    first = 2 / 3 * (1 - np.exp(-0.03 * 6))
    later = np.exp(-0.03 * 6) * 1 / 3 * (1 - np.exp(-0.03 * 24))
    np.testing.assert_allclose(found, [first, first + later], rtol=1e-12)


def test_effects_differ_by_patient_as_their_terms_say_and_by_decision() -> None:
    """Three terms: two of the first decision, of which one is confined to the second patient, and one of the other."""
    model = hazard(0.02 * GRID, coefficients=[[0.0]], effects=[[-0.2, 0.5, 0.9]])
    who = patients(inputs=[[0.0], [0.0]], terms=[[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    plans = {"digits": [[1, 0], [0, 1], [1, 1]], "acting": [[0, 0]] * 3, "of_term": [0, 0, 1]}
    found = asked(model, who=who, months=np.array([10.0]), **plans)[0, :, :, 0]
    ratios = np.exp([[-0.2, 0.9, 0.7], [0.3, 0.9, 1.2]])
    np.testing.assert_allclose(found, 1 - np.exp(-0.2 * ratios), rtol=1e-12)


def test_inputs_multiply_the_hazard_and_draws_stay_apart() -> None:
    model = hazard(np.vstack([0.01 * GRID, 0.02 * GRID]), coefficients=[[1.0, 0.0], [0.0, 2.0]], effects=[[], []])
    inputs = [[0.5, -0.5], [0.0, 1.0], [0.0, 0.0]]
    found = asked(model, who=patients(inputs), months=np.array([10.0]))[:, :, 0, 0]
    expected = 1 - np.exp(-np.array([[0.1], [0.2]]) * np.exp([[0.5, 0.0, 0.0], [-1.0, 2.0, 0.0]]))
    np.testing.assert_allclose(found, expected)


def test_many_patients_at_once_are_the_same_as_each_alone() -> None:
    rng = np.random.default_rng(1)
    one, other = (
        hazard(
            np.cumsum(rng.exponential(0.01, (3, 121)), axis=1),
            coefficients=rng.normal(size=(3, 2)),
            effects=[[0.3], [0.1], [0.5]],
        )
        for _ in range(2)
    )
    who = patients(rng.normal(size=(7, 2)), rng.normal(size=(7, 1)))
    plans = {"digits": [[0], [1]], "acting": [[6], [6]], "of_term": [0]}
    whole = asked(one, other, who=who, **plans)
    for row in range(7):
        np.testing.assert_allclose(asked(one, other, who=who.take([row]), **plans)[:, 0], whole[:, row], rtol=1e-12)


def test_the_fit_is_the_mean_over_the_copies_and_each_draw_has_one_of_them() -> None:
    """Two completed copies of a patient, whose hazards are 0.1 and 0.3 by month 10."""
    model = hazard(np.vstack([0.01 * GRID] * 4), coefficients=[[np.log(3.0)]] * 4, effects=np.zeros((4, 0)))
    two = Patients(np.array([[[0.0]], [[1.0]]]), np.zeros((2, 1, 0)))
    found = asked(model, who=two, months=np.array([10.0]))[:, 0, 0, 0]
    one, other = 1 - np.exp(-0.1), 1 - np.exp(-0.3)
    np.testing.assert_allclose(found, [(one + other) / 2, one, other, one], rtol=1e-12)


def test_a_prognosis_of_any_form_takes_the_same_decisions_and_is_in_doubt_as_the_regression() -> None:
    """A rate of 0.01 a month; draws of the regression are 1, 3 and 2 times its fit; a decision doubles from month 6."""
    fitted = MarginalHazard(np.array([0.0, 60.0, 120.0]), np.full(2, 0.01))
    regression = hazard(np.outer([1.0, 1.0, 3.0, 2.0], 0.05 * GRID), coefficients=np.zeros((4, 0))).prognosis
    prognosis = FlexibleHazard(fitted, regression)
    model = EventModel(prognosis, np.full((4, 1), np.log(2.0)), Departure.none(0, 3), 1, 1)
    who, plan = patients(terms=[[1.0]]), {"digits": [[1]], "acting": [[6]], "of_term": [0]}
    found = asked(model, who=who, months=np.array([30.0]), **plan)[:, 0, 0, 0]
    np.testing.assert_allclose(found, 1 - np.exp(-54.0 * np.array([0.01, 0.01, 0.03, 0.02])), rtol=1e-12)


def test_where_the_regression_expects_nothing_a_flexible_fit_stands_alone() -> None:
    fitted = MarginalHazard(np.array([0.0, 60.0, 120.0]), np.full(2, 0.01))
    silent = hazard(np.zeros((3, len(GRID))), coefficients=np.zeros((3, 0))).prognosis
    found = FlexibleHazard(fitted, silent).increments(np.zeros((1, 1, 0)), Rows.of(2, 1), np.array([0.0, 5.0]))
    np.testing.assert_allclose(found[:, 0, 0], 0.05)


def test_a_binary_outcome_is_logistic() -> None:
    model = BinaryModel(
        basis=basis(1),
        intercepts=np.array([-1.0]),
        coefficients=np.array([[0.5]]),
        effects=np.array([[2.0, 0.7]]),
        departure=Departure.none(1, 0),
        acting=np.array([1.0, 0.0]),
        patients=10,
        events=3,
        prior_sd=1.0,
    )
    who = patients(inputs=[[1.0]], terms=[[1.0, 1.0]])
    digits = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = model.risks(who, Rows.of(0, 1), np.array([0, 1]), digits)[0, 0]
    np.testing.assert_allclose(found, expit([-0.5, 1.5, -0.5]))


def test_a_binary_outcome_of_an_incomplete_patient_is_the_mean_probability() -> None:
    model = BinaryModel(
        basis=basis(1),
        intercepts=np.zeros(3),
        coefficients=np.full((3, 1), 2.0),
        effects=np.zeros((3, 0)),
        departure=Departure.none(1, 2),
        acting=np.zeros(0),
        patients=10,
        events=3,
        prior_sd=1.0,
    )
    two = Patients(np.array([[[-1.0]], [[1.0]]]), np.zeros((2, 1, 0)))
    found = model.risks(two, Rows.of(2, 2), np.zeros(0, dtype=np.intp), np.zeros((1, 0)))[:, 0, 0]
    np.testing.assert_allclose(found, [0.5, expit(-2.0), expit(2.0)])


def test_ratios_that_change_over_time_agree_with_numerical_integration() -> None:
    """One input of 1: its log ratio is .7 - .5, then .7, then .7 + .5; months asked for and turns fall as they may."""
    event = hazard(0.01 * GRID, coefficients=[[0.7, 0.5]], turns=(10.0, 30.0))
    found = asked(event, who=patients([[1.0]]))[0, 0, 0]
    slope = lambda t: 0.01 * np.exp(0.7 + 0.5 * (-1 if t < 10 else 0 if t < 30 else 1))  # noqa: E731
    for month, risk in zip(MONTHS, found, strict=True):
        cumulative, _ = quad(slope, 0.0, month, points=[10.0, 30.0])
        assert risk == pytest.approx(1 - np.exp(-cumulative), abs=1e-9)


def test_a_cell_that_holds_a_turn_is_the_sum_of_its_parts() -> None:
    event = hazard(0.01 * GRID, coefficients=[[0.7, 0.5]], turns=(10.0, 30.0))
    rows, inputs = Rows.of(0, 1), np.ones((1, 1, 1))
    fine = event.prognosis.increments(inputs, rows, np.array([0.0, 10.0, 20.0, 30.0, 50.0]))
    coarse = event.prognosis.increments(inputs, rows, np.array([0.0, 20.0, 50.0]))
    np.testing.assert_allclose(coarse, fine.reshape(1, 1, 2, 2).sum(axis=-1), rtol=1e-12)


def test_a_departure_moves_draws_by_its_features_and_never_the_fit() -> None:
    """One wave of frequency 0, with no line taken away, is the same for everybody: cosine 1, sine 0."""
    departs = Departure(
        Waves(np.zeros((1, 1)), np.zeros((2, 2)), 1.0), np.array([[0.0, 0.0], [0.4, 9.0], [-0.2, 9.0]]), 0.3
    )
    event = hazard(
        np.tile(0.01 * GRID, (3, 1)), coefficients=np.zeros((3, 1)), effects=np.zeros((3, 0)), departure=departs
    )
    found = asked(event, who=patients([[1.7]]), months=np.array([60.0]))[:, 0, 0, 0]
    np.testing.assert_allclose(found, 1 - np.exp(-0.6 * np.exp([0.0, 0.4, -0.2])), rtol=1e-12)
    model = BinaryModel(
        basis=basis(1),
        intercepts=np.full(3, -1.0),
        coefficients=np.zeros((3, 1)),
        effects=np.zeros((3, 0)),
        departure=departs,
        acting=np.zeros(0),
        patients=10,
        events=3,
        prior_sd=1.0,
    )
    risk = model.risks(patients([[1.7]]), Rows.of(2, 1), np.zeros(0, dtype=np.intp), np.zeros((1, 0)))[:, 0, 0]
    np.testing.assert_allclose(risk, expit([-1.0, -0.6, -1.2]), rtol=1e-12)


def test_no_cell_has_a_hazard_below_zero() -> None:
    """After a step from a small to a large sum a flat stretch begins: interpolation there is off by the last digit."""
    rng = np.random.default_rng(5)
    low, high = rng.uniform(0.0, 0.1, 5000), rng.uniform(0.2, 0.9, 5000)
    assert (low + (high - low) > high).any()
    cumulative = np.stack([np.zeros(5000), low, high, high], axis=1)
    grid = np.array([0.0, 1.0, 2.0, 3.0])
    model = hazard(cumulative, coefficients=np.zeros((5000, 0)), effects=np.zeros((5000, 0)), grid=grid)
    found = model.increments(np.zeros((1, 1, 0)), Rows.of(4999, 1), np.array([0.0, 1.0, 2.0, 2.5, 3.0]))
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=-1)[:, 0], high)
