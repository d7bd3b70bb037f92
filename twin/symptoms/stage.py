"""Inputs of patients in, expected ratings by item and week out, with what is uncertain about them.

A rating is taken apart as in an analysis of variance with two crossed factors: what is a patient's own at every item
and week, at a week, at an item, and at one answer. Each part has regressions of its own; what they leave is correlated
in the same four ways, and by that earlier ratings tell of later ones.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar, Final

import numpy as np
import pandas as pd

from data.schema import Specification
from twin.arrays import AS_THEY_ARE, Floats
from twin.models.encoding import Encoding
from twin.state import Known
from twin.symptoms.parts import Part
from twin.symptoms.scale import on_scale

EDGE: Final = 0.025
"""Expected ratings nearer to an end of the scale than this share of it scatter like one at that distance."""


@dataclass(frozen=True)
class Correlation:
    """How alike two residuals of one patient are; what is left of 1 is of the single answer."""

    patient: float
    """Any two"""
    visit: float
    """Further, two items of one week"""
    item: float
    """Further, two weeks of one item"""

    def matrix(self, items: int, weeks: int) -> Floats:
        """(items x weeks, items x weeks), items outermost."""
        same_week = np.tile(np.eye(weeks), (items, items))
        same_item = np.kron(np.eye(items), np.ones((weeks, weeks)))
        answer = 1.0 - self.patient - self.visit - self.item
        return np.asarray(
            self.patient + self.visit * same_week + self.item * same_item + answer * np.eye(items * weeks)
        )


@dataclass(frozen=True, eq=False)
class SymptomStage:
    """The regressions for patients who have that many landmarks behind them."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    landmarks_reached: int
    encoding: Encoding
    location: Floats
    """(items, weeks) mean rating; NaN where there were too few ratings"""
    scale: Floats
    """(items, weeks) standard deviation of the ratings: the unit of the parts"""
    patient: Part
    """One regression"""
    visit: Part
    """One a week"""
    item: Part
    """One an item"""
    answer: Part
    """One a week and item, weeks outermost"""
    correlation: Correlation
    residual: Floats
    """(items, weeks) standard deviation of what the regressions leave, in ratings"""
    width: Floats
    """(items, weeks) half a range as a multiple of `scatter`; infinite where too few ratings could tell"""

    def inputs(self, frame: pd.DataFrame, spec: Specification) -> Floats:
        """(n, p) what is known of n patients before the stage's question, as numbers on the cohort's scale.

        Raises:
            Refused: a number stands in another unit than the dictionary's.
        """
        known = Known.at(frame, spec, self.encoding.moment)
        return self.encoding.encode(replace(known, frame=on_scale(known.frame, spec)))

    def expected(self, rows: Floats) -> Expected:
        """Expected ratings for `rows` (n, weeks, k), before anything is known of the patients' own ratings."""
        units = (
            self.patient.means(rows).swapaxes(1, 2)
            + np.einsum("nwk,wk->nw", rows, self.visit.coefficients)[:, None, :]
            + self.item.means(rows).swapaxes(1, 2)
            + np.einsum("nwk,wjk->njw", rows, self._by_week(self.answer.coefficients))
        )
        return Expected(self, rows, self.location + self.scale * units)

    def parameter_variance(self, rows: Floats) -> Floats:
        """(n, items, weeks) variance of the expected ratings by what the cohort leaves open."""
        units = (
            np.einsum("nwk,kl,nwl->nw", rows, self.patient.covariance[0], rows, optimize=True)[:, None, :]
            + np.einsum("nwk,wkl,nwl->nw", rows, self.visit.covariance, rows, optimize=True)[:, None, :]
            + np.einsum("nwk,jkl,nwl->njw", rows, self.item.covariance, rows, optimize=True)
            + np.einsum("nwk,wjkl,nwl->njw", rows, self._by_week(self.answer.covariance), rows, optimize=True)
        )
        return np.asarray(self.scale**2 * units)

    def parameter_covariance(self, row: Floats) -> Floats:
        """(items x weeks, items x weeks) covariance of one patient's expected ratings, items outermost.

        Args:
            row: (weeks, k)
        """
        items, weeks = self.location.shape
        of_visit = np.einsum("wk,wkl,wl->w", row, self.visit.covariance, row)
        of_answer = np.einsum("wk,wjkl,wl->jw", row, self._by_week(self.answer.covariance), row, optimize=True)
        whole = np.tile(row @ self.patient.covariance[0] @ row.T + np.diag(of_visit), (items, items))
        for j, of_item in enumerate(row @ self.item.covariance @ row.T):
            block = slice(j * weeks, (j + 1) * weeks)
            whole[block, block] += of_item + np.diag(of_answer[j])
        scale = self.scale.ravel()
        return np.asarray(whole * np.outer(scale, scale))

    def _by_week(self, of_answers: Floats) -> Floats:
        items, weeks = self.location.shape
        return of_answers.reshape(weeks, items, *of_answers.shape[1:])


@dataclass(frozen=True, eq=False)
class Expected:
    """Expected ratings of n patients, not cut to the scale."""

    stage: SymptomStage
    rows: Floats
    """(n, weeks, k)"""
    mean: Floats
    """(n, items, weeks)"""

    @cached_property
    def variance(self) -> Floats:
        """(n, items, weeks) of the mean, by what the cohort leaves open."""
        return self.stage.parameter_variance(self.rows)

    def given(self, patient: int, observed: Floats) -> tuple[Floats, Floats, Floats]:
        """What one patient's earlier ratings say of later ones.

        The conditional expectation of a normal vector, of which every week sees the weeks before it; the variance is
        that of the expected ratings put through the same weights.

        Args:
            patient: position among the n.
            observed: (items, weeks) ratings, NaN where there is none.

        Returns:
            Mean, its variance, and the share of the ratings' variance that is left, each (items, weeks).
        """
        shape, residual = observed.shape, self.stage.residual.ravel()
        scatter_of = self.stage.correlation.matrix(*shape) * np.outer(residual, residual)
        unsure = self.stage.parameter_covariance(self.rows[patient])
        mean, variance = self.mean[patient].ravel().copy(), self.variance[patient].ravel().copy()
        share = np.ones_like(mean)
        missed = observed.ravel() - mean
        week = np.tile(np.arange(shape[1]), shape[0])
        for w in range(1, shape[1]):
            known, asked = ~np.isnan(missed) & (week < w), week == w
            if not known.any():
                continue
            weights = np.linalg.solve(scatter_of[np.ix_(known, known)], scatter_of[np.ix_(known, asked)]).T
            mean[asked] += weights @ missed[known]
            share[asked] -= (weights * scatter_of[np.ix_(asked, known)]).sum(axis=1) / residual[asked] ** 2
            variance[asked] += np.einsum("tk,kl,tl->t", weights, unsure[np.ix_(known, known)], weights)
            variance[asked] -= 2.0 * (weights * unsure[np.ix_(asked, known)]).sum(axis=1)
        return mean.reshape(shape), np.maximum(variance, 0.0).reshape(shape), share.reshape(shape)


def design(inputs: Floats, acting: Floats) -> Floats:
    """(n, weeks, 1 + p + d): 1, inputs (n, p) alike at every week, and decisions in effect (n, weeks, d)."""
    n, weeks = acting.shape[:2]
    alike = np.column_stack([np.ones(n), inputs])
    return np.concatenate([np.repeat(alike[:, None, :], weeks, axis=1), acting], axis=2)


def scatter(mean: Floats, lowest: float, highest: float) -> Floats:
    """How ratings scatter around an expected rating, up to a factor: least at the ends of the scale.

    The variance function of a proportion, mu (1 - mu): Wedderburn 1974 (doi:10.1093/biomet/61.3.439).
    """
    width = highest - lowest
    share = np.clip((mean - lowest) / width, EDGE, 1.0 - EDGE)
    return np.asarray(width * np.sqrt(share * (1.0 - share)))
