"""Fitted hazards, inputs and plans in; risks by month for every refit out, with competing events combined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from scipy.special import expit

from twin.arrays import AS_THEY_ARE, Floats

CELLS_AT_ONCE: Final = 1_000_000
"""Risks computed together: about 8 MB an intermediate array, which stays near the processor."""


@dataclass(frozen=True, eq=False)
class HazardModel:
    """A proportional hazard with decisions that act from their month on; row 0 is the fit, the others are refits."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    coefficients: Floats
    """(1 + refits, p) log hazard ratios of the inputs"""
    effects: Floats
    """(1 + refits, d) log hazard ratio of each decision, once in effect"""
    grid: Floats
    """(g,) months, the first is where the model starts, the last the end of the longest follow-up"""
    cumulative: Floats
    """(1 + refits, g) cumulative baseline hazard: of the average patient before any decision"""
    patients: int
    events: int
    prior_sd: float
    """Ridge penalty as the standard deviation of a normal prior on the log hazard ratios of the inputs"""


@dataclass(frozen=True, eq=False)
class BinaryModel:
    """A logistic model; row 0 is the fit, the others are refits."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    intercepts: Floats
    """(1 + refits,)"""
    coefficients: Floats
    """(1 + refits, p) log odds ratios of the inputs"""
    effects: Floats
    """(1 + refits, d) log odds ratio of each decision"""
    patients: int
    events: int
    prior_sd: float

    def risks(self, inputs: Floats, digits: Floats) -> Floats:
        """(1 + refits, n, plans) probabilities for inputs (n, p) under plans (plans, d)."""
        linear = self.intercepts[:, None] + self.coefficients @ inputs.T
        return np.asarray(expit(linear[:, :, None] + (self.effects @ digits.T)[:, None, :]))


def risks(
    event: HazardModel,
    rival: HazardModel | None,
    inputs: Floats,
    digits: Floats,
    effect_months: Floats,
    months: Floats,
    alive_until: float,
) -> Floats:
    """Risk of the event by each month, for patients who were free of it, and of its rival, at `alive_until`.

    With a rival, cause-specific hazards are combined as in Aalen & Johansen 1978 (Scand J Stat 5:141-150): over each
    cell of the grid whoever is still free leaves with probability ``1 - exp(-sum of both hazards)``, split between
    the two causes as their hazards are. Risks and event-free survival add up to 1 exactly.

    Args:
        event: Hazard of the event, with the same `grid` as `rival`.
        rival: Hazard of the event that forestalls it; ``None`` when there is none.
        inputs: (n, p)
        digits: (plans, d) 0 or 1
        effect_months: (plans, d) month from which each decision acts
        months: (m,) within the grid
        alive_until: Risks are 0 up to this month.

    Returns:
        (1 + refits, n, plans, m)
    """
    edges = _edges(event.grid, effect_months, months, alive_until)
    read = np.searchsorted(edges, np.maximum(months, edges[0]))
    exposed = [_increments(model, edges, digits, effect_months) for model in (event, rival) if model is not None]
    ratios = [np.exp(model.coefficients @ inputs.T) for model in (event, rival) if model is not None]
    result = np.empty((len(event.coefficients), len(inputs), len(digits), len(months)))
    step = max(1, CELLS_AT_ONCE // max(1, exposed[0].size))
    for first in range(0, len(inputs), step):
        rows = slice(first, first + step)
        if rival is None:
            result[:, rows] = _single(ratios[0][:, rows], exposed[0], read)
        else:
            result[:, rows] = _competing(ratios[0][:, rows], ratios[1][:, rows], exposed[0], exposed[1], read)
    return result


def _edges(grid: Floats, effect_months: Floats, months: Floats, alive_until: float) -> Floats:
    """Ends of the cells: the model's grid from `alive_until` on, cut where a decision acts and where a risk is read."""
    origin = max(float(grid[0]), alive_until)
    last = float(np.max(months, initial=origin))
    cuts = np.concatenate([grid, effect_months.ravel(), months, [origin]])
    return np.unique(cuts[(cuts >= origin) & (cuts <= last)])


def _increments(model: HazardModel, edges: Floats, digits: Floats, effect_months: Floats) -> Floats:
    """(1 + refits, plans, cells) baseline hazard of each cell times the hazard ratios of the decisions in effect."""
    baseline = np.diff(_interpolated(model, edges), axis=1)
    acting = (effect_months[:, None, :] <= edges[None, :-1, None]) * digits[:, None, :]
    return np.asarray(np.exp(np.einsum("rd,pcd->rpc", model.effects, acting)) * baseline[:, None, :])


def _interpolated(model: HazardModel, months: Floats) -> Floats:
    """(1 + refits, months) cumulative baseline hazard, the hazard being constant between the months of the grid."""
    if len(model.grid) == 1:
        return np.zeros((len(model.cumulative), len(months)))
    above = np.clip(np.searchsorted(model.grid, months, side="left"), 1, len(model.grid) - 1)
    share = (months - model.grid[above - 1]) / (model.grid[above] - model.grid[above - 1])
    low, high = model.cumulative[:, above - 1], model.cumulative[:, above]
    return np.asarray(low + share * (high - low))


def _from_zero(values: Floats) -> Floats:
    """Running sums along the last axis, with the empty sum in front."""
    sums = np.zeros((*values.shape[:-1], values.shape[-1] + 1))
    np.cumsum(values, axis=-1, out=sums[..., 1:])
    return sums


def _single(ratios: Floats, increments: Floats, read: Floats) -> Floats:
    cumulative = _from_zero(increments)[:, None, :, read]
    return np.asarray(-np.expm1(-ratios[:, :, None, None] * cumulative))


def _competing(event: Floats, rival: Floats, event_cells: Floats, rival_cells: Floats, read: Floats) -> Floats:
    hazard = event[:, :, None, None] * event_cells[:, None]
    total = hazard + rival[:, :, None, None] * rival_cells[:, None]
    free = np.exp(-_from_zero(total))
    share = np.divide(hazard, total, out=hazard, where=total > 0)
    return _from_zero((free[..., :-1] - free[..., 1:]) * share)[..., read]
