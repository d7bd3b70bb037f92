"""A design and targets in, ridge regressions that share their penalties out, with what they do not know.

Bayesian ridge regression with the prior variances chosen by the evidence: MacKay 1992 (doi:10.1162/neco.1992.4.3.415).
Regressions of one part mostly share the prior variance of a kind of coefficient, so that hundreds of small ones decide
together how far to shrink.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np

from twin.arrays import AS_THEY_ARE, Floats, Integers

MAX_ROUNDS: Final = 30
CLOSE_ENOUGH: Final = 0.02
"""Rounds end when no variance, of a prior or of noise, changes by more than this share."""
SHARED_WEIGHT: Final = 4.0
"""The shared prior variance counts as much as this many coefficients of a regression's own."""
SMALLEST_VARIANCE: Final = 1e-6
"""Of a prior: below it coefficients are nil to three decimals of a standard deviation."""


@dataclass(frozen=True, eq=False)
class Part:
    """Regressions on one design of k columns, the first of which is 1."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    coefficients: Floats
    """(r, k) posterior means"""
    covariance: Floats
    """(r, k, k) posterior covariances"""

    def means(self, design: Floats) -> Floats:
        """(..., r) fitted values at the rows of `design` (..., k)."""
        return np.asarray(design @ self.coefficients.T)


@dataclass(frozen=True, eq=False)
class FittedPart:
    """A part, and how it would have predicted its own targets."""

    part: Part
    left_out: tuple[Floats, ...]
    """For each block, (n, r) target less its prediction by the regression without that row; NaN where no target is"""


@dataclass(frozen=True, eq=False)
class _Sums:
    """What a regression needs of its rows, for r regressions."""

    rows: Floats
    """(r,)"""
    centre: Floats
    """(r, q) mean of the inputs"""
    level: Floats
    """(r,) mean of the target"""
    products: Floats
    """(r, q, q) of the centred inputs"""
    cross: Floats
    """(r, q) of centred inputs and target"""
    square: Floats
    """(r,) of the centred target"""

    @classmethod
    def of(cls, inputs: Floats, targets: Floats) -> _Sums:
        """Sums over the rows of `inputs` (n, q) in which a column of `targets` (n, r) is not NaN."""
        known = ~np.isnan(targets)
        counted, filled = known.astype(float).T, np.where(known, targets, 0.0)
        rows = counted.sum(axis=1)
        at_least_one = np.maximum(rows, 1.0)
        centre, level = counted @ inputs / at_least_one[:, None], filled.sum(axis=0) / at_least_one
        outer = (inputs[:, :, None] * inputs[:, None, :]).reshape(len(inputs), -1)
        q = inputs.shape[1]
        return cls(
            rows=rows,
            centre=centre,
            level=level,
            products=(counted @ outer).reshape(-1, q, q)
            - rows[:, None, None] * centre[:, :, None] * centre[:, None, :],
            cross=filled.T @ inputs - (rows * level)[:, None] * centre,
            square=(filled**2).sum(axis=0) - rows * level**2,
        )

    @classmethod
    def joined(cls, blocks: Sequence[_Sums]) -> _Sums:
        """The regressions of all blocks, one after another."""
        names = ("rows", "centre", "level", "products", "cross", "square")
        return cls(**{name: np.concatenate([getattr(block, name) for block in blocks]) for name in names})


def fit_part(
    designs: Sequence[Floats], targets: Sequence[Floats], kinds: Integers, fixed: Floats, start: float = 0.01
) -> FittedPart:
    """Regressions of the columns of every block of targets on the design of that block.

    Args:
        designs: for each block, (n, q) inputs without the column of 1.
        targets: for each block, (n, r) targets, NaN where there is none.
        kinds: (q,) kind of each input: a position in `fixed`.
        fixed: (kinds,) prior variance of each kind, NaN where the evidence is to choose it.
        start: prior variance the search starts from.
    """
    sums = _Sums.joined([_Sums.of(inputs, block) for inputs, block in zip(designs, targets, strict=True)])
    coefficients, covariance, noise = _by_evidence(sums, kinds, fixed, start)
    part = Part(*_with_intercept(sums, coefficients, covariance, noise))
    ends = np.cumsum([block.shape[1] for block in targets])
    left_out = tuple(
        _left_out(part, noise, slice(end - block.shape[1], end), inputs, block)
        for end, inputs, block in zip(ends, designs, targets, strict=True)
    )
    return FittedPart(part, left_out)


def _by_evidence(sums: _Sums, kinds: Integers, fixed: Floats, start: float) -> tuple[Floats, Floats, Floats]:
    """Coefficients (r, q), their covariances (r, q, q) and noise variances (r,) under the likeliest prior variances."""
    member = np.equal.outer(kinds, np.arange(len(fixed))).astype(float)
    prior = np.tile(np.where(np.isnan(fixed), start, fixed), (len(sums.rows), 1))
    noise = np.maximum(sums.square / np.maximum(sums.rows, 1.0), SMALLEST_VARIANCE)
    diagonal = np.arange(len(kinds))
    for _ in range(MAX_ROUNDS):
        precision = sums.products / noise[:, None, None]
        precision[:, diagonal, diagonal] += 1.0 / prior[:, kinds]
        covariance = np.linalg.inv(precision)
        coefficients = np.einsum("rpq,rq->rp", covariance, sums.cross) / noise[:, None]
        determined = 1.0 - covariance[:, diagonal, diagonal] / prior[:, kinds]
        update = np.where(np.isnan(fixed), _likeliest(coefficients**2 @ member, determined @ member), fixed)
        missed = sums.square - 2.0 * (coefficients * sums.cross).sum(axis=1)
        missed += np.einsum("rp,rpq,rq->r", coefficients, sums.products, coefficients)
        quieter = np.maximum(missed / np.maximum(sums.rows - 1.0 - determined.sum(axis=1), 1.0), SMALLEST_VARIANCE)
        used, steps = noise, np.concatenate([np.log(update / prior).ravel(), np.log(quieter / noise)])
        prior, noise = update, quieter
        if np.all(np.abs(steps) < CLOSE_ENOUGH):
            break
    return np.asarray(coefficients), np.asarray(covariance), np.asarray(used)


def _likeliest(squares: Floats, determined: Floats) -> Floats:
    """(r, kinds) prior variances: each regression's own, drawn towards the one they share.

    Args:
        squares: (r, kinds) sums of the squared coefficients.
        determined: (r, kinds) how many coefficients the data determine, MacKay's gamma.
    """
    shared = squares.sum(axis=0) / np.maximum(determined.sum(axis=0), 1e-9)
    own = (squares + SHARED_WEIGHT * shared) / (determined + SHARED_WEIGHT)
    return np.asarray(np.maximum(own, SMALLEST_VARIANCE))


def _with_intercept(sums: _Sums, slopes: Floats, covariance: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """The same for inputs that are not centred, with the intercept in front."""
    intercepts = sums.level - (sums.centre * slopes).sum(axis=1)
    shared = -np.einsum("rpq,rq->rp", covariance, sums.centre)
    of_level = noise / np.maximum(sums.rows, 1.0)
    corner = of_level - (shared * sums.centre).sum(axis=1)
    q = slopes.shape[1]
    whole = np.empty((len(slopes), 1 + q, 1 + q))
    whole[:, 0, 0] = corner
    whole[:, 0, 1:] = whole[:, 1:, 0] = shared
    whole[:, 1:, 1:] = covariance
    return np.column_stack([intercepts, slopes]), whole


def _left_out(part: Part, noise: Floats, block: slice, inputs: Floats, targets: Floats) -> Floats:
    """Residual over one minus leverage: Allen 1974 (doi:10.1080/00401706.1974.10489157), the penalty as it is."""
    design = np.column_stack([np.ones(len(inputs)), inputs])
    covariance = part.covariance[block]
    leverage = np.einsum("rnp,np->nr", design @ covariance, design) / noise[block]
    residual = targets - design @ part.coefficients[block].T
    return np.asarray(residual / np.maximum(1.0 - leverage, 1e-3))
