"""The plain candidate: ridge Cox regression with bends and products of pairs, its prior as wide as the data ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from twin.arrays import Floats
from twin.models.basis import Basis
from twin.models.candidates.protocol import HazardData
from twin.models.hazard import CoxLikelihood
from twin.models.outcome import RegressionHazard, Rows
from twin.models.posterior import CoxProblem, baseline_draws, posterior
from twin.models.time_varying import CoxForm, TimeVarying

COX_LABEL: Final = "ridge Cox regression"
_FIT: Final = Rows.of(0, 1)
STEP_MONTHS: Final = 1.0
"""Between the months at which the baseline hazard is kept"""


@dataclass(frozen=True, eq=False)
class CoxFit:
    """A fitted hazard for one copy of the patients."""

    hazard: RegressionHazard

    def increments(self, inputs: Floats, edges: Floats) -> Floats:
        """(n, cells) cumulative hazard over each cell, for offset 0 and inputs (n, p)."""
        return np.asarray(self.hazard.increments(inputs[None], _FIT, edges)[0])


@dataclass(frozen=True, eq=False)
class RidgeCox:
    """Ridge Cox regression on a basis, its ratios changing over time as the data ask for."""

    basis: Basis

    @property
    def name(self) -> str:
        """What files and settings call it."""
        return "cox"

    @property
    def label(self) -> str:
        """What a page calls it, as within a sentence."""
        return COX_LABEL

    def fit(self, data: HazardData, seed: int) -> CoxFit:
        """The hazard of `data`."""
        form = CoxForm(self.basis, TimeVarying.learn(data.episodes))
        cut, row, score = form.time_varying.split(data.episodes)
        grid = np.union1d(np.arange(data.origin, data.last_month, STEP_MONTHS), [data.last_month])
        if not cut.event.any():
            nothing = np.zeros((1, len(form.scale)))
            return CoxFit(RegressionHazard.of(form, nothing, grid, np.zeros((1, len(grid))), 0.0))
        columns = cut.with_inputs(form.columns(cut.inputs, score))
        likelihood = CoxLikelihood(columns, data.weights[row], data.offset[row])
        problem = CoxProblem(likelihood, np.zeros((len(row), 0)))
        rng = np.random.default_rng(seed)
        found = posterior([problem], form.scale, np.zeros((1, 0)), rng)
        linear = likelihood.linear(found.coefficients[0])
        cumulative = baseline_draws([likelihood], [linear[None]], found.completion, grid, rng)
        return CoxFit(RegressionHazard.of(form, found.coefficients, grid, cumulative, found.prior_sd))
