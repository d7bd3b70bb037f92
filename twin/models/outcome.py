"""Fitted hazards, patients and plans in; risks by month for every draw out, with competing events combined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal, Protocol, Self

import numpy as np
from pydantic import Field
from scipy.special import expit

from twin.arrays import AS_THEY_ARE, Floats, Integers
from twin.models.basis import Basis
from twin.models.candidates.catalogue import AnyHazard
from twin.models.candidates.incidence import cumulative_incidence
from twin.models.departure import Departure
from twin.models.time_varying import CoxForm, TimeVarying, summed

CELL_MONTHS: Final = 1.0
"""Competing hazards keep their ratio within a cell this long: as long as baseline hazards stay the same, so that
cutting a cell changes no risk. Cells of three months move a failure's risk by up to 0.003, and a draw's by 0.04."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Which draw and which completed copy of the patients each row of an array of draws is of.

    The fit is averaged over all copies, so that it has as many rows as there are copies; every further draw has one.
    """

    draw: Integers
    """(rows,)"""
    copy: Integers
    """(rows,)"""
    copies: int

    @classmethod
    def of(cls, draws: int, copies: int) -> Self:
        """Rows for the fit and `draws` draws, and for that many copies."""
        return cls(
            np.concatenate([np.zeros(copies, dtype=np.intp), np.arange(1, draws + 1)]),
            np.concatenate([np.arange(copies), np.arange(draws) % copies]),
            copies,
        )

    def collapsed(self, values: Floats) -> Floats:
        """(1 + draws, ...) of (rows, ...): the rows of the fit become their mean."""
        if self.copies == 1:
            return values
        return np.concatenate([values[: self.copies].mean(axis=0, keepdims=True), values[self.copies :]])


@dataclass(frozen=True, eq=False)
class Patients:
    """Completed copies of n patients as the models read them."""

    inputs: Floats
    """(copies, n, p) encoded"""
    terms: Floats
    """(copies, n, q) what multiplies each effect term"""

    @property
    def copies(self) -> int:
        """How many copies there are; 1 when nothing was missing."""
        return len(self.inputs)

    def take(self, rows: Integers | slice) -> Patients:
        """Some of the patients."""
        return Patients(self.inputs[:, rows], self.terms[:, rows])


class Prognosis(Protocol):
    """The hazard of an event without the decisions that are compared; row 0 of its draws is the fit."""

    grid: Floats
    """(g,) months; the last is the end of the longest follow-up"""

    def increments(self, inputs: Floats, rows: Rows, edges: Floats) -> Floats:
        """(rows, n, cells) cumulative hazard over each cell between `edges`, for inputs (copies, n, p)."""


@dataclass(frozen=True, eq=False)
class RegressionHazard:
    """A baseline hazard times hazard ratios of the inputs, which may change from period to period."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    basis: Basis
    coefficients: Floats
    """(1 + draws, b) log hazard ratios of the columns of the basis, on average over the periods"""
    time_varying: TimeVarying
    trends: Floats
    """(1 + draws, p) how they change with the score of the period; (1 + draws, 0) where they do not"""
    grid: Floats
    cumulative: Floats
    """(1 + draws, g) cumulative hazard of the average patient without any decision"""
    prior_sd: float
    """Width of the prior of the log hazard ratios"""
    kind: Literal["regression"] = "regression"

    @classmethod
    def of(
        cls, form: CoxForm, coefficients: Floats, grid: Floats, cumulative: Floats, prior_sd: float
    ) -> RegressionHazard:
        """The hazard of a regression with coefficients (1 + draws, b + c) of the columns of `form`."""
        lasting, trends = np.split(coefficients, [len(form.basis.names)], axis=1)
        return cls(form.basis, lasting, form.time_varying, trends, grid, cumulative, prior_sd)

    def increments(self, inputs: Floats, rows: Rows, edges: Floats) -> Floats:
        """(rows, n, cells) cumulative hazard over each cell between `edges`, for inputs (copies, n, p)."""
        fine = self.time_varying.refined(edges)
        return summed(self._within_periods(inputs, rows, fine), fine, edges)

    def _within_periods(self, inputs: Floats, rows: Rows, edges: Floats) -> Floats:
        """`increments` over cells of which none holds a turn."""
        # Interpolated at two sides of a month at which nothing happened, a sum can fall by the last digit.
        between = np.maximum(np.diff(_interpolated(self.grid, self.cumulative, edges), axis=1), 0.0)
        baseline = between[rows.draw][:, None, :]
        lasting = linear(self.basis.expand(inputs), self.coefficients, rows)
        trend = linear(inputs[..., : self.trends.shape[1]], self.trends, rows)
        scores = self.time_varying.scores
        parts = [
            np.exp(lasting + scores[k] * trend)[:, :, None] * baseline[:, :, cells]
            for k, cells in self.time_varying.by_period(edges)
        ]
        return np.concatenate([np.empty((*lasting.shape, 0)), *parts], axis=-1)


@dataclass(frozen=True, eq=False)
class FlexibleHazard:
    """A hazard of any form, in doubt as the regression on the same patients is.

    A flexible fit has no posterior, and refits of it on resamples scatter less than it errs: what they all smooth away
    is the same. But it cannot know more of the patients than the simpler model does. So its draws are its fit times
    what each draw of the regression is to the regression's own fit.
    """

    __pydantic_config__: ClassVar = AS_THEY_ARE

    fitted: AnyHazard
    regression: RegressionHazard
    kind: Literal["flexible"] = "flexible"

    @property
    def grid(self) -> Floats:
        """(g,) months as those of the regression."""
        return self.regression.grid

    def increments(self, inputs: Floats, rows: Rows, edges: Floats) -> Floats:
        """(rows, n, cells) cumulative hazard over each cell between `edges`, for inputs (copies, n, p)."""
        periods = self.regression.time_varying
        fine = periods.refined(edges)
        fit = np.stack([self.fitted.increments(copy, fine) for copy in inputs])[rows.copy]
        ratios = self._ratios(inputs, rows)
        for k, cells in periods.by_period(fine):
            fit[:, :, cells] *= ratios[:, :, k, None]
        return summed(fit, fine, edges)

    def _ratios(self, inputs: Floats, rows: Rows) -> Floats:
        """(rows, n, periods) what each draw of the regression is to its fit over a whole period.

        Not cell by cell: where the cohort had no event the regression's hazard is 0 in every draw, for certain.
        """
        grid = self.regression.grid
        whole = np.concatenate([grid[:1], self.regression.time_varying.turns, grid[-1:]])
        plain = self.regression.increments(inputs, Rows.of(0, rows.copies), whole)[rows.copy]
        drawn = self.regression.increments(inputs, rows, whole)
        return np.divide(drawn, plain, out=np.ones_like(drawn), where=plain > 0)


@dataclass(frozen=True, eq=False)
class EventModel:
    """The hazard of one event: prognosis, and the effects of decisions that act from their month on."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    prognosis: Annotated[RegressionHazard | FlexibleHazard, Field(discriminator="kind")]
    effects: Floats
    """(1 + draws, q) log hazard ratio of each term"""
    departure: Departure
    """Of the log hazard from the form of the prognosis"""
    patients: int
    events: int

    def increments(self, inputs: Floats, rows: Rows, edges: Floats) -> Floats:
        """(rows, n, cells) cumulative hazard over each cell between `edges` without decisions, departures included."""
        base = self.prognosis.increments(inputs, rows, edges)
        return np.asarray(base * np.exp(departures(self.departure, inputs, rows))[:, :, None])


@dataclass(frozen=True, eq=False)
class BinaryModel:
    """A logistic model; row 0 is the fit."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    basis: Basis
    intercepts: Floats
    """(1 + draws,)"""
    coefficients: Floats
    """(1 + draws, b) log odds ratios of the columns of the basis"""
    effects: Floats
    """(1 + draws, q) log odds ratio of each term"""
    departure: Departure
    """Of the log odds from the form of the model"""
    acting: Floats
    """(d,) 1 for decisions that can act before the outcome is judged"""
    patients: int
    events: int
    prior_sd: float

    def risks(self, patients: Patients, rows: Rows, decision_of_term: Integers, digits: Floats) -> Floats:
        """(1 + draws, n, plans) probabilities under plans (plans, d)."""
        return rows.collapsed(self.by_row(patients, rows, decision_of_term, digits))

    def by_row(self, patients: Patients, rows: Rows, decision_of_term: Integers, digits: Floats) -> Floats:
        """(rows, n, plans) the same before the rows of the fit are averaged."""
        prognosis = (
            self.intercepts[rows.draw, None]
            + linear(self.basis.expand(patients.inputs), self.coefficients, rows)
            + departures(self.departure, patients.inputs, rows)
        )
        by_decision = decision_effects(self.effects, patients.terms, decision_of_term, digits.shape[1], rows)
        shift = np.einsum("rnd,pd->rnp", by_decision, digits * self.acting)
        return np.asarray(expit(prognosis[:, :, None] + shift))


def linear(columns: Floats, coefficients: Floats, rows: Rows) -> Floats:
    """(rows, n) linear predictors of columns (copies, n, b) with coefficients (1 + draws, b)."""
    if rows.copies == 1:
        return np.asarray(coefficients[rows.draw] @ columns[0].T)
    return np.asarray((columns[rows.copy] @ coefficients[rows.draw][:, :, None])[:, :, 0])


def departures(departure: Departure, inputs: Floats, rows: Rows) -> Floats:
    """(rows, n) log ratios by which the truth may depart from a model, for inputs (copies, n, p)."""
    return linear(departure.waves.features(inputs), departure.weights, rows)


def decision_effects(effects: Floats, terms: Floats, decision_of_term: Integers, decisions: int, rows: Rows) -> Floats:
    """(rows, n, decisions) log ratio of each decision in each patient."""
    result = np.zeros((len(rows.draw), terms.shape[1], decisions))
    for decision in range(decisions):
        of_decision = np.flatnonzero(decision_of_term == decision)
        if of_decision.size:
            result[:, :, decision] = linear(terms[:, :, of_decision], effects[:, of_decision], rows)
    return result


def cells(grid: Floats, effect_months: Floats, months: Floats, alive_until: float) -> Floats:
    """Edges of the cells from `alive_until` on: where hazards change, decisions act and risks are read."""
    origin = max(float(grid[0]), alive_until)
    last = float(np.max(months, initial=origin))
    cuts = np.concatenate([grid, np.arange(0.0, last, CELL_MONTHS), effect_months.ravel(), months, [origin]])
    return np.unique(cuts[(cuts >= origin) & (cuts <= last)])


def plan_increments(
    model: EventModel,
    patients: Patients,
    rows: Rows,
    decision_of_term: Integers,
    digits: Floats,
    effect_months: Floats,
    edges: Floats,
) -> list[Floats]:
    """For each plan, (rows, n, cells) cumulative hazard over each cell.

    Args:
        model: Of the event.
        patients: n patients.
        rows: Draws and copies.
        decision_of_term: (q,) position of the decision of each term.
        digits: (plans, d) 0 or 1
        effect_months: (plans, d) month from which each decision acts
        edges: (cells + 1,) months
    """
    base = model.increments(patients.inputs, rows, edges)
    by_decision = decision_effects(model.effects, patients.terms, decision_of_term, digits.shape[1], rows)
    result = []
    for given, from_month in zip(digits, effect_months, strict=True):
        acting = (from_month[None, :] <= edges[:-1, None]) * given
        changed = base.copy()
        for pattern in np.unique(acting, axis=0):
            if pattern.any():
                during = (acting == pattern).all(axis=1)
                changed[:, :, during] *= np.exp(by_decision @ pattern)[:, :, None]
        result.append(changed)
    return result


def risks(event: Sequence[Floats], rival: Sequence[Floats] | None, read: Integers, rows: Rows) -> Floats:
    """Risk of the event at the edges of position `read`, for patients free of it, and of its rival, at the first edge.

    Args:
        event: For each plan, (rows, n, cells) cumulative hazard over each cell.
        rival: The same of the event that forestalls it; ``None`` when there is none.
        read: (m,) positions of edges.
        rows: Draws and copies.

    Returns:
        (1 + draws, n, plans, m)
    """
    rivals: Sequence[Floats | None] = rival if rival is not None else [None] * len(event)
    each = [cumulative_incidence(hazard, other)[..., read] for hazard, other in zip(event, rivals, strict=True)]
    return np.stack([rows.collapsed(values) for values in each], axis=2)


def _interpolated(grid: Floats, cumulative: Floats, months: Floats) -> Floats:
    """(draws, months) cumulative hazard, the hazard being constant between the months of the grid."""
    if len(grid) == 1:
        return np.zeros((len(cumulative), len(months)))
    above = np.clip(np.searchsorted(grid, months, side="left"), 1, len(grid) - 1)
    share = (months - grid[above - 1]) / (grid[above] - grid[above - 1])
    low, high = cumulative[:, above - 1], cumulative[:, above]
    return np.asarray(low + share * (high - low))
