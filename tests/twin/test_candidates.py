"""Every candidate for a hazard against worlds whose hazards are known."""

import importlib
import inspect
import io
import json
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import get_args

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from twin import registry
from twin.models import candidates
from twin.models.candidates.boosting import BoostingSettings, GradientBoosting
from twin.models.candidates.catalogue import CANDIDATES, AnyHazard
from twin.models.candidates.discrete import DiscreteSettings, DiscreteTime, time_basis
from twin.models.candidates.folds import even_folds, inner_folds
from twin.models.candidates.forest import ForestHazard
from twin.models.candidates.incidence import cumulative_incidence
from twin.models.candidates.periods import MarginalHazard, cell_edges, over_edges, person_periods
from twin.models.candidates.protocol import Candidate, FittedHazard, HazardData
from twin.models.hazard import CoxLikelihood, Episodes

NAMED = {candidate.name: candidate for candidate in CANDIDATES}
every_candidate = pytest.mark.parametrize("name", NAMED)
MONTHS = np.array([0.0, 3.0, 12.0, 24.0, 36.0])


@dataclass(frozen=True, eq=False)
class PlainCoxFit:
    coefficients: np.ndarray
    grid: np.ndarray
    cumulative: np.ndarray

    def increments(self, inputs: np.ndarray, edges: np.ndarray) -> np.ndarray:
        return np.exp(inputs @ self.coefficients)[:, None] * np.diff(np.interp(edges, self.grid, self.cumulative))


class PlainCox:
    """Ridge Cox with main effects and a wide prior; the offset enters as an input whose log hazard ratio is 1."""

    name = "cox"
    label = "ridge Cox"

    def fit(self, data: HazardData, seed: int) -> PlainCoxFit:
        data = data.take(np.argsort(data.episodes.stop, kind="stable"))
        cut = data.episodes
        penalty = np.full(cut.inputs.shape[1], 1.0)
        likelihood = CoxLikelihood(replace(cut, inputs=np.column_stack([cut.inputs, data.offset])), data.weights)
        ratios = np.append(np.zeros(len(penalty)), 1.0)
        for _ in range(8):
            _, gradient, information = likelihood.derivatives(ratios)
            gradient = gradient[:-1] - penalty * ratios[:-1]
            ratios[:-1] += np.linalg.solve(information[:-1, :-1] + np.diag(penalty), gradient)
        grid = np.unique(np.append(np.arange(data.origin, data.last_month), data.last_month))
        return PlainCoxFit(ratios[:-1], grid, likelihood.baseline(ratios, grid))


def exponential(rate: np.ndarray, inputs: np.ndarray, seed: int, *, horizon: float = 48.0) -> HazardData:
    """One episode a patient with a constant hazard a month, everybody censored at `horizon` or before."""
    rng = np.random.default_rng(seed)
    death = rng.exponential(1.0 / rate)
    stop = np.minimum(death, np.minimum(rng.exponential(100.0, len(rate)), horizon))
    rows = np.arange(len(rate))
    cut = Episodes(inputs, np.zeros(len(rate)), stop, death == stop, rows)
    return HazardData(cut, np.zeros(len(rate)), np.ones(len(rate)))


def steps(first: np.ndarray, later: np.ndarray, change: float, seed: int, horizon: float = 48.0) -> np.ndarray:
    """Times whose hazard is `first` up to month `change` and `later` from it on, infinite beyond `horizon`."""
    unit = np.random.default_rng(seed).exponential(size=len(first))
    time = np.where(unit < first * change, unit / first, change + (unit - first * change) / later)
    return np.where(time < horizon, time, np.inf)


def linear_rate(inputs: np.ndarray) -> np.ndarray:
    return np.asarray(0.02 * np.exp(1.6 * inputs[:, 0]))


def checkerboard_rate(inputs: np.ndarray) -> np.ndarray:
    return np.where((inputs[:, 0] > 0) ^ (inputs[:, 1] > 0), 0.06, 0.008)


def some_inputs(patients: int, columns: int, seed: int) -> np.ndarray:
    return np.random.default_rng(1000 + seed).normal(0.0, 0.5, (patients, columns))


@cache
def world(kind: str) -> HazardData:
    rate: Callable[[np.ndarray], np.ndarray] = {"linear": linear_rate, "checkerboard": checkerboard_rate}[kind]
    inputs = some_inputs(500, 4, 0)
    return exponential(rate(inputs), inputs, 1)


@cache
def fitted(name: str, kind: str) -> FittedHazard:
    candidate: Candidate = PlainCox() if name == "cox" else NAMED[name]
    return candidate.fit(world(kind), 0)


def distance(fit: FittedHazard, rate: Callable[[np.ndarray], np.ndarray]) -> float:
    """Root mean squared distance of 24-month risks of new patients from the closed form."""
    inputs = some_inputs(400, 4, 7)
    risk = 1.0 - np.exp(-fit.increments(inputs, np.array([0.0, 24.0]))[:, 0])
    return float(np.sqrt(np.mean((risk - 1.0 + np.exp(-24.0 * rate(inputs))) ** 2)))


def test_every_candidate_of_the_package_is_in_the_catalogue_and_so_in_these_tests() -> None:
    found = [
        member
        for module in pkgutil.iter_modules(candidates.__path__, f"{candidates.__name__}.")
        for _, member in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        if member.__module__ == module.name and not getattr(member, "_is_protocol", False)
    ]
    assert {one for one in found if {"fit", "name", "label"} <= set(dir(one))} == {type(one) for one in CANDIDATES}
    forms = {one for one in found if hasattr(one, "increments") and "kind" in one.__dataclass_fields__}
    assert forms == set(get_args(get_args(AnyHazard)[0]))
    assert len(NAMED) == len(CANDIDATES)


@every_candidate
def test_increments_are_hazards_that_add_up(name: str) -> None:
    fit = fitted(name, "linear")
    inputs = np.vstack([some_inputs(50, 4, 3), np.full((1, 4), 4.0), np.full((1, 4), -4.0), np.zeros((1, 4))])
    fine = fit.increments(inputs, np.array([0.0, 1e-4, 0.5, 3.0, 3.1, 12.0, 30.0, 36.0]))
    assert fine.shape == (53, 7)
    assert np.isfinite(fine).all()
    assert (fine >= 0).all()
    coarse = fit.increments(inputs, np.array([0.0, 3.0, 36.0]))
    np.testing.assert_allclose(coarse[:, 0], fine[:, :3].sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(coarse[:, 1], fine[:, 3:].sum(axis=1), rtol=1e-9)


@every_candidate
def test_patients_are_predicted_the_same_alone_and_together(name: str) -> None:
    fit = fitted(name, "linear")
    inputs = some_inputs(20, 4, 5)
    alone = np.vstack([fit.increments(row[None, :], MONTHS) for row in inputs])
    np.testing.assert_allclose(fit.increments(inputs, MONTHS), alone, rtol=1e-6)


@every_candidate
def test_a_known_exponential_hazard_is_learnt(name: str) -> None:
    average = MarginalHazard.fit(world("linear"))
    assert distance(fitted(name, "linear"), linear_rate) < 0.6 * distance(average, linear_rate)


@pytest.mark.parametrize("name", ["boosting", "forest"])
def test_trees_find_what_a_linear_model_cannot(name: str) -> None:
    linear = min(distance(fitted(one, "checkerboard"), checkerboard_rate) for one in ("cox", "discrete"))
    assert distance(fitted(name, "checkerboard"), checkerboard_rate) < 0.7 * linear


@every_candidate
def test_hazards_that_cross_are_followed_better_than_by_proportional_ones(name: str) -> None:
    rng = np.random.default_rng(11)
    group = rng.integers(0, 2, 900).astype(float)
    inputs = np.column_stack([group - 0.5, rng.normal(size=900)])
    death = steps(np.where(group == 1, 0.05, 0.01), np.where(group == 1, 0.01, 0.05), 12.0, 12)
    stop = np.minimum(death, 48.0)
    data = HazardData(Episodes(inputs, np.zeros(900), stop, death == stop, np.arange(900)), np.zeros(900), np.ones(900))
    truth = np.array([[0.12, 1.2], [0.6, 0.24]])

    def error(candidate: Candidate) -> float:
        found = candidate.fit(data, 0).increments(np.array([[-0.5, 0.0], [0.5, 0.0]]), np.array([0.0, 12.0, 36.0]))
        return float(np.abs(np.log(found / truth)).mean())

    assert error(NAMED[name]) < 0.75 * error(PlainCox())


@cache
def treated() -> HazardData:
    """Everybody has hazard 0.01 untreated; whoever has a positive first input is known to have four times that."""
    inputs = some_inputs(800, 2, 20)
    offset = np.where(inputs[:, 0] > 0, np.log(4.0), 0.0)
    return replace(exponential(0.01 * np.exp(offset), inputs, 21), offset=offset)


@every_candidate
def test_an_offset_is_taken_as_known(name: str) -> None:
    """Ignored, it would be found again as an effect of the input, and the baseline would be too high."""
    fit = NAMED[name].fit(treated(), 0)
    low, high = fit.increments(np.array([[-0.4, 0.0], [0.4, 0.0]]), np.array([0.0, 24.0]))[:, 0]
    assert 0.7 < high / low < 1.45
    everybody = fit.increments(some_inputs(300, 2, 22), np.array([0.0, 24.0]))
    assert everybody.mean() == pytest.approx(0.24, rel=0.12)


@every_candidate
def test_twice_the_known_hazard_is_half_the_baseline(name: str) -> None:
    inputs = some_inputs(300, 4, 23)
    data = world("linear")
    once = fitted(name, "linear").increments(inputs, MONTHS)
    twice = NAMED[name].fit(replace(data, offset=data.offset + np.log(2.0)), 0).increments(inputs, MONTHS)
    np.testing.assert_allclose(2.0 * twice.sum(axis=1).mean(), once.sum(axis=1).mean(), rtol=0.1)


@every_candidate
def test_whoever_enters_late_was_not_at_risk_before(name: str) -> None:
    """A Weibull hazard that falls; counted from the start, late entrants would hide half of the early deaths."""
    rng = np.random.default_rng(30)
    death = 40.0 * rng.exponential(size=1500) ** (1.0 / 0.6)
    entry = np.where(np.arange(1500) % 3 == 0, 0.0, rng.uniform(3.0, 20.0, 1500))
    seen = death > entry
    stop = np.minimum(death, 40.0)[seen]
    cut = Episodes(some_inputs(1500, 2, 32)[seen], entry[seen], stop, death[seen] == stop, np.flatnonzero(seen))
    data = HazardData(cut, np.zeros(len(stop)), np.ones(len(stop)))
    edges = np.array([0.0, 6.0, 36.0])
    found = NAMED[name].fit(data, 0).increments(some_inputs(200, 2, 33), edges).mean(axis=0)
    np.testing.assert_allclose(found, np.diff((edges / 40.0) ** 0.6), rtol=0.15)
    unaware = replace(data, episodes=replace(cut, start=np.zeros(len(stop))))
    wrong = NAMED[name].fit(unaware, 0).increments(some_inputs(200, 2, 33), edges).mean(axis=0)
    assert wrong[0] < 0.75 * found[0]


@every_candidate
def test_time_can_begin_at_a_landmark(name: str) -> None:
    data = exponential(np.full(400, 0.03), some_inputs(400, 2, 40), 41, horizon=30.0)
    cut = data.episodes
    late = replace(data, episodes=replace(cut, start=cut.start + 6.0, stop=cut.stop + 6.0))
    found = NAMED[name].fit(late, 0).increments(some_inputs(200, 2, 42), np.array([6.0, 12.0, 30.0]))
    np.testing.assert_allclose(found.mean(axis=0), [0.18, 0.54], rtol=0.2)


@every_candidate
def test_patients_count_as_much_as_they_weigh(name: str) -> None:
    rng = np.random.default_rng(50)
    heavy = rng.random(600) < 0.5
    data = exponential(np.where(heavy, 0.02, 0.1), some_inputs(600, 2, 51), 52)
    fit = NAMED[name].fit(replace(data, weights=np.where(heavy, 1.0, 1e-3)), 0)
    found = fit.increments(some_inputs(200, 2, 53), np.array([0.0, 24.0]))
    assert found.mean() == pytest.approx(0.48, rel=0.2)


@every_candidate
@pytest.mark.parametrize("events", [0, 9])
def test_few_events_teach_the_average_and_none_no_hazard(name: str, events: int) -> None:
    stop = np.arange(1.0, 61.0)
    cut = Episodes(some_inputs(60, 2, 60), np.zeros(60), stop, np.arange(60) < events, np.arange(60))
    fit = NAMED[name].fit(HazardData(cut, np.zeros(60), np.ones(60)), 0)
    found = fit.increments(some_inputs(5, 2, 61), np.array([0.0, 60.0]))
    np.testing.assert_allclose(found, events / stop.sum() * 60.0, rtol=1e-9)


@every_candidate
def test_the_same_seed_gives_the_same_hazard_and_leaves_the_generators_alone(name: str) -> None:
    data = world("linear").take(np.arange(200))
    inputs = some_inputs(30, 4, 70)
    before, threads, drawn = torch.get_rng_state(), torch.get_num_threads(), np.random.get_state()[1].copy()
    one, same = (NAMED[name].fit(data, 5).increments(inputs, MONTHS) for _ in range(2))
    assert one.tobytes() == same.tobytes()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads
    np.testing.assert_array_equal(np.random.get_state()[1], drawn)


def stored(value: object, adapter: TypeAdapter) -> object:
    """Through what the registry writes and reads: a JSON document and an archive of arrays, without pickle."""
    arrays: dict[str, np.ndarray] = {}
    document = json.dumps(registry._split(adapter.dump_python(value), arrays, "model"), allow_nan=False)
    packed = io.BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    with np.load(io.BytesIO(packed.getvalue()), allow_pickle=False) as archive:
        return adapter.validate_python(registry._joined(json.loads(document), dict(archive)))


@every_candidate
def test_a_fit_is_stored_and_read_without_running_code(name: str) -> None:
    inputs = some_inputs(30, 4, 80)
    fit = fitted(name, "linear")
    adapter: TypeAdapter[AnyHazard] = TypeAdapter(AnyHazard)
    back = stored(fit, adapter)
    assert type(back) is type(fit)
    assert back.increments(inputs, MONTHS).tobytes() == fit.increments(inputs, MONTHS).tobytes()
    again = stored(back, adapter)  # what was looked up meanwhile is not stored with it
    assert again.increments(inputs, MONTHS).tobytes() == fit.increments(inputs, MONTHS).tobytes()


def test_discrete_hazards_are_those_of_another_solver() -> None:
    """One regression on the whole table by scikit-learn, each column scaled by its prior."""
    from sklearn.linear_model import PoissonRegressor

    data = replace(world("linear"), weights=np.random.default_rng(0).uniform(0.5, 2.0, 500))
    edges = cell_edges(data)
    periods, basis = person_periods(data, edges), time_basis(edges)
    inputs = data.episodes.inputs[periods.episode]
    times = basis[periods.cell]
    products = (inputs[:, :, None] * times[:, None, :]).reshape(len(inputs), -1)
    spread = np.tile(np.where(np.arange(basis.shape[1]) == 0, 0.35, 0.35 * 0.3), inputs.shape[1])
    design = np.column_stack([2.0 * times[:, 1:], products * spread])
    weight = periods.weight * periods.exposure
    reference = PoissonRegressor(alpha=1.0 / weight.sum(), tol=1e-10, max_iter=1000, solver="newton-cholesky")
    reference.fit(design, periods.event / periods.exposure, sample_weight=weight)
    fit = DiscreteTime(DiscreteSettings(0.35, 0.3)).fit(data, 0)
    own = np.exp(fit.coefficients[0] + data.episodes.inputs @ fit.coefficients[1:])[periods.episode, periods.cell]
    np.testing.assert_allclose(own, reference.predict(design), rtol=1e-4)


def test_a_forest_is_the_mean_of_its_leaves() -> None:
    """Two trees by hand; like scikit-learn it compares in single precision, where 0.1 is a little more than 0.1."""
    fit = ForestHazard(
        cells=np.array([0.0, 10.0, 30.0]),
        roots=np.array([0, 3]),
        feature=np.array([0, 0, 0, 1, 0, 0]),
        threshold=np.array([0.1, 0.0, 0.0, 2.0, 0.0, 0.0]),
        left=np.array([1, 1, 2, 4, 4, 5]),
        right=np.array([2, 1, 2, 5, 4, 5]),
        ratios=np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 4.0], [0.0, 0.0], [5.0, 6.0], [7.0, 8.0]]),
        depth=1,
        marginal=np.array([0.01, 0.02]),
        level=np.log(2.0),
        slope=2.0,
    )
    inputs = np.array([[0.0, 2.0], [0.0, 2.5], [0.1, 2.0], [0.2, 2.5]])
    ratio = np.array([[3.0, 4.0], [4.0, 5.0], [4.0, 5.0], [5.0, 6.0]])
    found = fit.increments(inputs, np.array([5.0, 10.0, 30.0]))
    np.testing.assert_allclose(found, 2.0 * ratio**2 * [0.01, 0.02] * [5.0, 20.0], rtol=1e-12)


def test_boosting_starts_from_the_average() -> None:
    fit = GradientBoosting(BoostingSettings(depth=2, rounds=0)).fit(world("linear"), 0)
    inputs = some_inputs(5, 4, 85)
    average = MarginalHazard.fit(world("linear")).increments(inputs, MONTHS)
    np.testing.assert_allclose(stored(fit, TypeAdapter(AnyHazard)).increments(inputs, MONTHS), average, rtol=1e-6)


def test_a_time_basis_is_orthogonal_and_opens_with_a_constant_and_a_line() -> None:
    edges = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
    basis = time_basis(edges)
    np.testing.assert_allclose(basis.T @ basis / 7.0, np.eye(basis.shape[1]), atol=1e-12)
    np.testing.assert_allclose(basis[:, 0], 1.0)
    clock = np.log((edges[1:] + edges[:-1]) / 2.0)
    assert np.corrcoef(basis[:, 1], clock)[0, 1] == pytest.approx(1.0)


def test_person_periods_keep_all_time_at_risk_and_every_event() -> None:
    rng = np.random.default_rng(90)
    start, offset = rng.uniform(0.0, 10.0, 300), rng.normal(size=300)
    cut = Episodes(np.zeros((300, 0)), start, start + rng.exponential(20.0, 300), rng.random(300) < 0.5, np.arange(300))
    data = HazardData(cut, offset, rng.uniform(0.5, 2.0, 300))
    edges = cell_edges(data)
    periods = person_periods(data, edges)
    exposure = np.bincount(periods.episode, periods.exposure)
    np.testing.assert_allclose(exposure, np.exp(offset) * (cut.stop - cut.start), rtol=1e-12)
    np.testing.assert_array_equal(np.bincount(periods.episode, periods.event), cut.event)
    assert (np.bincount(periods.cell, periods.event) > 0).all()
    # The likelihood of rates is that of the times themselves: log hazard at the end less hazard on the way.
    rates = rng.uniform(0.01, 0.1, len(edges) - 1)
    direct = 0.0
    for row in range(300):
        hazard = sum(
            rate * max(0.0, min(cut.stop[row], upper) - max(start[row], lower))
            for rate, lower, upper in zip(rates, edges[:-1], edges[1:], strict=True)
        )
        ends_in = next(k for k, upper in enumerate(edges[1:]) if cut.stop[row] <= upper)
        direct += data.weights[row] * (cut.event[row] * np.log(rates[ends_in]) - np.exp(offset[row]) * hazard)
    assert periods.likelihood(rates[periods.cell]) == pytest.approx(direct, rel=1e-12)


def test_the_average_is_events_by_exposure() -> None:
    cut = Episodes(
        np.zeros((3, 1)), np.zeros(3), np.array([2.0, 4.0, 10.0]), np.array([True, False, True]), np.arange(3)
    )
    fit = MarginalHazard.fit(HazardData(cut, np.log([1.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.5])))
    # 1.5 events in 2 + 4 + 0.5 * 2 * 10 months
    np.testing.assert_allclose(fit.increments(np.zeros((1, 1)), np.array([0.0, 8.0])), 1.5 / 16.0 * 8.0)


def test_rates_that_are_constant_between_cells_add_up_over_any_edges() -> None:
    rates, cells = np.array([[1.0, 10.0, 100.0]]), np.array([2.0, 4.0, 8.0, 16.0])
    found = over_edges(rates, cells, np.array([2.0, 3.0, 5.0, 5.5, 16.0]))
    np.testing.assert_allclose(found, [[1.0, 11.0, 5.0, 25.0 + 800.0]])


def test_folds_hold_patients_together_and_spread_events_evenly() -> None:
    patient = np.repeat(np.arange(100, 200), 2)
    event = np.zeros(200, dtype=bool)
    event[1:61:2] = True
    cut = Episodes(np.zeros((200, 0)), np.tile([0.0, 1.0], 100), np.tile([1.0, 2.0], 100), event, patient)
    fold = inner_folds(HazardData(cut, np.zeros(200), np.ones(200)), 3)
    assert (fold[::2] == fold[1::2]).all()
    np.testing.assert_array_equal(np.bincount(fold[event]), 6)
    np.testing.assert_array_equal(np.bincount(fold[::2]), 20)
    assert not np.array_equal(even_folds(event, 5, 0), even_folds(event, 5, 1))


@pytest.mark.parametrize(
    "changed",
    [{"weights": np.array([1.0, 0.0])}, {"weights": np.ones(3)}, {"offset": np.array([0.0, np.nan])}],
)
def test_data_that_cannot_be_fitted_is_refused(changed: dict) -> None:
    cut = Episodes(np.zeros((2, 1)), np.zeros(2), np.ones(2), np.ones(2, dtype=bool), np.arange(2))
    with pytest.raises(ValueError, match=r"weights|offset"):
        HazardData(**{"episodes": cut, "offset": np.zeros(2), "weights": np.ones(2), **changed})


def test_constant_competing_hazards_have_their_closed_form_incidence() -> None:
    months = np.array([0.0, 1.0, 5.0, 30.0, 120.0])
    found = cumulative_incidence(0.02 * np.diff(months), 0.03 * np.diff(months))
    np.testing.assert_allclose(found, 0.4 * (1.0 - np.exp(-0.05 * months)), rtol=1e-12)
    alone = cumulative_incidence(0.02 * np.diff(months)[None, :], None)
    np.testing.assert_allclose(alone[0], 1.0 - np.exp(-0.02 * months), rtol=1e-12)
    nobody_leaves = cumulative_incidence(np.zeros(3), np.zeros(3))
    np.testing.assert_array_equal(nobody_leaves, 0.0)
