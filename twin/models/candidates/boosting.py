"""Gradient-boosted hazards: episodes in, shallow trees of inputs and time out, by xgboost on person-periods."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers
from twin.models.candidates.folds import INNER_FOLDS, inner_folds
from twin.models.candidates.periods import (
    MarginalHazard,
    PersonPeriods,
    cell_edges,
    marginal_rates,
    only_the_average,
    over_edges,
    person_periods,
)
from twin.models.candidates.protocol import HazardData

if TYPE_CHECKING:
    from xgboost import Booster, DMatrix

DEPTHS: Final = (1, 2, 3)
"""Depth 1 has no interactions and leaves hazards proportional; depth 3 has those of three inputs, or two and time."""
MOST_ROUNDS: Final = 400
PATIENCE: Final = 25
"""Rounds without a better held-out likelihood after which boosting stops"""
PARAMETERS: Final = {
    "objective": "count:poisson",
    "eta": 0.05,
    "tree_method": "hist",
    "max_bin": 64,
    "subsample": 0.5,
    "min_child_weight": 2.0,
    "lambda": 1.0,
    "base_score": 1.0,
    "nthread": 1,
    "verbosity": 0,
}
"""Friedman 2002 (doi:10.1016/S0167-9473(01)00065-2) for the small step and the half samples; a leaf must expect two
events (`min_child_weight` counts expected events). Columns are not sampled: where they are few, no tree would have both
inputs of an interaction."""

_Bytes: TypeAlias = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class BoostingSettings:
    """How large the model is."""

    depth: int
    rounds: int


@dataclass(frozen=True, eq=False)
class BoostedHazard:
    """Marginal rates times the exponential of a sum of trees."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    booster: _Bytes
    """The trees as xgboost writes them (universal binary JSON)"""
    cells: Floats
    """(cells + 1,) months"""
    rates: Floats
    """(cells,) marginal events a month, where boosting starts"""
    kind: Literal["boosted"] = "boosted"

    def increments(self, inputs: Floats, edges: Floats) -> Floats:
        """(n, cells) as by `FittedHazard`."""
        cells = len(self.rates)
        rows, cell = np.repeat(np.arange(len(inputs)), cells), np.tile(np.arange(cells), len(inputs))
        margin = np.log(self.rates)[cell]
        rates = self._trees.predict(_matrix(inputs, rows, cell, margin)).astype(float)
        return over_edges(rates.reshape(len(inputs), cells), self.cells, edges)

    @cached_property
    def _trees(self) -> Booster:
        from xgboost import Booster

        return Booster({"nthread": 1}, model_file=bytearray(self.booster.tobytes()))


@dataclass(frozen=True)
class GradientBoosting:
    """Candidate: boosted Poisson regression trees on inputs and time."""

    settings: BoostingSettings | None = None
    """Chosen by cross-validation where ``None``"""

    name: ClassVar = "boosting"
    label: ClassVar = "gradient boosting"

    def fit(self, data: HazardData, seed: int) -> BoostedHazard | MarginalHazard:
        """As by `Candidate`."""
        if only_the_average(data):
            return MarginalHazard.fit(data)
        from xgboost import train

        settings = self.settings or _best(data, seed)
        edges = cell_edges(data)
        periods = person_periods(data, edges)
        rates = marginal_rates(periods, len(edges) - 1)
        trees = train(_parameters(settings.depth, seed), _table(data, periods, rates), settings.rounds)
        return BoostedHazard(np.frombuffer(bytes(trees.save_raw("ubj")), dtype=np.uint8), edges, rates)

    def tuned(self, data: HazardData, seed: int) -> GradientBoosting:
        """The candidate with the settings that `data` speaks for."""
        return self if only_the_average(data) else GradientBoosting(self.settings or _best(data, seed))


def _parameters(depth: int, seed: int) -> dict[str, Any]:
    return {**PARAMETERS, "max_depth": depth, "seed": seed}


def _best(data: HazardData, seed: int) -> BoostingSettings:
    """Depth and rounds with the highest likelihood of the patients held out, all folds boosted in step."""
    fold = inner_folds(data, seed)
    edges = cell_edges(data)
    folds = [_Fold.of(data, edges, fold == k) for k in range(INNER_FOLDS)]
    found = {}
    for depth in DEPTHS:
        likelihoods = _by_rounds(folds, _parameters(depth, seed))
        rounds = int(np.argmax(likelihoods))
        found[BoostingSettings(depth, rounds)] = likelihoods[rounds]
    return max(found, key=lambda settings: found[settings])


@dataclass(frozen=True, eq=False)
class _Fold:
    """A part of the patients to boost on, and the others to judge by."""

    training: DMatrix
    test: DMatrix
    test_periods: PersonPeriods

    @classmethod
    def of(cls, data: HazardData, edges: Floats, held_out: Flags) -> _Fold:
        """The fold that holds out some episodes (m,)."""
        train, test = data.take(~held_out), data.take(held_out)
        periods, test_periods = person_periods(train, edges), person_periods(test, edges)
        rates = marginal_rates(periods, len(edges) - 1)
        return cls(_table(train, periods, rates), _table(test, test_periods, rates), test_periods)


def _by_rounds(folds: list[_Fold], parameters: dict[str, Any]) -> list[float]:
    """Held-out log-likelihood after 0, 1, ... rounds, until it has not risen for long enough."""
    from xgboost import Booster

    boosters = [Booster(parameters, [fold.training, fold.test]) for fold in folds]
    likelihoods = [_held_out(folds, boosters)]
    while len(likelihoods) <= min(MOST_ROUNDS, int(np.argmax(likelihoods)) + PATIENCE):
        for fold, booster in zip(folds, boosters, strict=True):
            booster.update(fold.training, len(likelihoods) - 1)
        likelihoods.append(_held_out(folds, boosters))
    return likelihoods


def _held_out(folds: list[_Fold], boosters: list[Booster]) -> float:
    total = 0.0
    for fold, booster in zip(folds, boosters, strict=True):
        expected = booster.predict(fold.test).astype(float)
        total += fold.test_periods.likelihood(expected / fold.test_periods.exposure)
    return total


def _table(data: HazardData, periods: PersonPeriods, rates: Floats) -> DMatrix:
    margin = np.log(periods.exposure * rates[periods.cell])
    matrix = _matrix(data.episodes.inputs, periods.episode, periods.cell, margin)
    matrix.set_info(label=periods.event, weight=periods.weight)
    return matrix


def _matrix(inputs: Floats, rows: Integers, cell: Integers, margin: Floats) -> DMatrix:
    """Inputs and the position of the cell as its time; trees know order only, so that any clock would do."""
    from xgboost import DMatrix

    values = np.column_stack([inputs[rows], cell]).astype(np.float32)
    return DMatrix(values, base_margin=margin, nthread=1)
