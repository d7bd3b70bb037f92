"""Patients with values missing in, completed copies out: guesses drawn from what the rest of the record leaves open.

Each column has a model of its own given the others (fully conditional specification, van Buuren 2007,
doi:10.1177/0962280206074463): categories by ridge logistic regressions, numbers by predictive mean matching, which
draws a value that a similar patient of the cohort really has. Copies that a model is fitted on are guessed with the
outcomes (White & Royston 2009, doi:10.1002/sim.3618); a patient who is asked about has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Self

import numpy as np
import pandas as pd
from scipy.special import expit

from data.schema import UNKNOWN, Column, ColumnType, Role, Specification
from twin.arrays import AS_THEY_ARE, Flags, Floats, Integers, Texts
from twin.models.encoding import Columns, Encoding
from twin.models.logistic import fit_ridge_logistic
from twin.state import Known

PRIOR_SD: Final = 0.5
"""Of a log odds ratio per two standard deviations of a number; of a number's slope, in its own standard deviations"""
FEWEST: Final = 10
"""A level that fewer patients have is never guessed; a column recorded in fewer is not guessed at all."""
DONORS: Final = 10
"""Patients nearest in prediction, one of whom lends the value: Morris, White & Royston 2014
(doi:10.1186/1471-2288-14-75)"""
DIGITS: Final = 9
"""Decimals of a prediction: those that differ in the last bits only are equally near."""
SWEEPS: Final = 2
"""The first guess sees other missing values as anybody's, the second as guessed."""


@dataclass(frozen=True, eq=False)
class ColumnModel:
    """What one column is likely to be, given what else is known."""

    __pydantic_config__: ClassVar = AS_THEY_ARE

    column: str
    levels: tuple[str, ...]
    """Of a category, the commonest last; empty for a number"""
    used: Integers
    """Columns of the encoded matrix that are read"""
    coefficients: Floats
    """(levels - 1, 1 + used) of "this level rather than a later one", or (1, 1 + used) of a number's mean in its own
    standard deviations"""
    shares: Floats
    """(levels,) how frequent each is; empty for a number"""
    donors: Floats
    """(k,) ascending predictions of the patients whose number is known; empty for a category"""
    donated: Floats
    """(k,) their numbers"""

    def anybody(self, uniform: Floats) -> Texts | Floats:
        """The value at `uniform` (n,) of the distribution over the cohort, whatever else is known."""
        if not self.levels:
            return np.asarray(np.sort(self.donated)[(uniform * len(self.donated)).astype(int)])
        beyond = np.cumsum(self.shares)[:-1]
        return np.asarray(np.array(self.levels, dtype=object)[np.searchsorted(beyond, uniform)])

    def draw(self, matrix: Floats, uniform: Floats) -> Texts | Floats:
        """A value for each row of `matrix` (n, p), the one at `uniform` (n,) of its distribution."""
        design = np.hstack([np.ones((len(matrix), 1)), matrix[:, self.used]])
        linear = design @ self.coefficients.T
        if not self.levels:
            return self._lent(np.round(linear[:, 0], DIGITS), uniform)
        beyond = np.cumprod(1.0 - expit(linear), axis=1)
        return np.asarray(np.array(self.levels, dtype=object)[(uniform[:, None] > 1.0 - beyond).sum(axis=1)])

    def _lent(self, predicted: Floats, uniform: Floats) -> Floats:
        """The number at `uniform` (n,) among those of the nearest donors, all who are equally near included."""
        count = min(DONORS, len(self.donors))
        start = np.clip(np.searchsorted(self.donors, predicted)[:, None] + np.arange(-count, 1), 0, None)
        start = np.minimum(start, len(self.donors) - count)
        before, after = self.donors[start], self.donors[start + count - 1]
        reach = np.maximum(predicted[:, None] - before, after - predicted[:, None]).min(axis=1)
        first = np.searchsorted(self.donors, np.round(predicted - reach, DIGITS), side="left")
        past = np.searchsorted(self.donors, np.round(predicted + reach, DIGITS), side="right")
        lent = np.sort(self.donated[first[:, None] + np.arange(count)], axis=1)
        result = lent[np.arange(len(lent)), (uniform * count).astype(int)]
        crowded = past - first > count
        for low, high in np.unique(np.column_stack([first, past])[crowded], axis=0):
            rows = crowded & (first == low) & (past == high)
            result[rows] = np.sort(self.donated[low:high])[(uniform[rows] * (high - low)).astype(int)]
        return np.asarray(result)


@dataclass(frozen=True, eq=False)
class Imputer:
    """Models of every column that can be missing, as the cohort teaches them."""

    moment: str
    models: tuple[ColumnModel, ...]
    encoding: Encoding
    """Of the matrix that the models read, with whatever follows it"""

    @classmethod
    def fit(cls, known: Known, encoding: Encoding, beside: Floats | None = None) -> Self:
        """The models that the patients of `known` teach.

        Args:
            known: The cohort.
            encoding: Fitted on it.
            beside: (n, k) further numbers that tell about what is missing, the outcomes of these patients.
        """
        matrix = _matrix(encoding, known, beside)
        models = (_learn(known, column, encoding, matrix) for column in _columns(known))
        return cls(known.moment, tuple(model for model in models if model is not None), encoding)

    @property
    def _settled(self) -> Flags:
        """(p,) indicators of missing values that are guessed.

        A guess takes their place: given the rest of the record, that a value is missing is taken to tell nothing.
        """
        guessed = {model.column for model in self.models}
        sources = np.array(
            [source.source in guessed for source in self.encoding.inputs for _ in source.names], dtype=bool
        )
        return sources & self.encoding.indicates_missing

    def missing(self, known: Known) -> Flags:
        """(n, models) whether each value has to be guessed."""
        return np.column_stack(
            [np.zeros((known.size, 0), dtype=bool), *(_unrecorded(known, model.column) for model in self.models)]
        )

    def complete(self, known: Known, copies: int, seed: int, beside: Floats | None = None) -> Completed:
        """Copies of `known` without missing values, as far as the cohort teaches to guess them.

        The guesses of a patient are spread evenly over what is likely (a Latin hypercube over copies and columns), and
        the same whoever else is asked about.

        Args:
            known: n patients.
            copies: How many.
            seed: Of the guesses.
            beside: (n, k) what the models were fitted with beside the record.
        """
        missing = np.tile(self.missing(known), (copies, 1))
        places = self._places(known.size, copies, seed, apart=beside is not None)
        columns = {name: np.tile(values, copies) for name, values in known.columns.items()}
        encoded = np.tile(self.encoding.encode(known), (copies, 1))
        further = np.empty((len(encoded), 0)) if beside is None else np.tile(beside, (copies, 1))
        sources = {source.source: source for source in self.encoding.inputs}
        for sweep in range(1 + SWEEPS):
            for model, rows, first, at in zip(self.models, missing.T, *np.split(places.T, 2), strict=True):
                if not rows.any():
                    continue
                read = np.hstack([encoded[rows], further[rows]])
                guessed = model.draw(read, at[rows]) if sweep else model.anybody(first[rows])
                columns[model.column] = _replaced(columns.get(model.column), rows, guessed)
                if model.column in sources:
                    place = self.encoding.positions[model.column]
                    encoded[:, place] = sources[model.column].encode(columns, len(encoded))
        encoded[:, self._settled] = 0.0
        return Completed(columns, encoded.reshape(copies, known.size, -1))

    def _places(self, patients: int, copies: int, seed: int, apart: bool) -> Floats:
        """(copies x patients, 2 models) places in the distributions over the cohort, then in those given the rest.

        In a cohort each patient has places of their own.
        """
        rng, size = np.random.default_rng(seed), 2 * len(self.models)
        spread = np.stack([(rng.permutation(copies) + 0.5) / copies for _ in range(size + 1)], axis=1)[:, :size]
        shift = rng.random((patients, size)) if apart else np.zeros((patients, size))
        return np.asarray(((spread[:, None, :] + shift[None]) % 1.0).reshape(copies * patients, size))


@dataclass(frozen=True, eq=False)
class Completed:
    """Copies of n patients in which nothing that can be guessed is missing."""

    columns: Columns
    """(copies x n,) values of each column, copy after copy"""
    inputs: Floats
    """(copies, n, p) encoded; indicators of a missing value that was guessed are 0, the average"""

    @property
    def frame(self) -> pd.DataFrame:
        """The columns as a table of copies x n rows."""
        return pd.DataFrame(dict(self.columns))


def _replaced(values: Texts | Floats | None, rows: Flags, guessed: Texts | Floats) -> Texts | Floats:
    """A copy of `values`, or of nothing, with what was guessed in `rows`."""
    result: Texts | Floats = guessed.copy() if values is None else values.copy()
    result[rows] = guessed
    return result


def _columns(known: Known) -> Iterator[Column]:
    summed = {member for feature in known.spec.features for member in feature.members}
    for column in known.spec.having(Role.COVARIATE):
        if column.name in known.frame and column.name not in summed:
            yield column


def _unrecorded(known: Known, column: str) -> Flags:
    if column not in known.columns:
        return np.ones(known.size, dtype=bool)
    values = known.columns[column]
    return np.asarray(pd.isna(values) | (values == UNKNOWN), dtype=bool)


def _matrix(encoding: Encoding, known: Known, beside: Floats | None) -> Floats:
    encoded = encoding.encode(known)
    return encoded if beside is None else np.hstack([encoded, beside])


def _learn(known: Known, column: Column, encoding: Encoding, matrix: Floats) -> ColumnModel | None:
    recorded = ~_unrecorded(known, column.name)
    if recorded.sum() < FEWEST:
        return None
    used = _readable(known.spec, column.name, encoding, matrix.shape[1])
    values = known.columns[column.name][recorded]
    if column.type is ColumnType.CATEGORY:
        return _category(column.name, values.astype(str), used, matrix[recorded])
    if column.type is ColumnType.STRING:
        return None
    return _number(column.name, values.astype(float), used, matrix[recorded])


def _readable(spec: Specification, column: str, encoding: Encoding, size: int) -> Integers:
    """Columns of the matrix that may tell about `column`: not itself, and not what is coded by it."""
    barred = {column, *(name for rule in spec.imputation if rule.column == column for name in rule.without)}
    own = np.array([source.source in barred for source in encoding.inputs for _ in source.names], dtype=bool)
    return np.flatnonzero(~np.concatenate([own, np.zeros(size - len(own), dtype=bool)]))


def _category(name: str, values: Texts, used: Integers, matrix: Floats) -> ColumnModel | None:
    levels, counts = np.unique(values, return_counts=True)
    common = [str(levels[k]) for k in np.argsort(counts, kind="stable") if counts[k] >= FEWEST]
    if not common:
        return None
    coefficients = np.zeros((len(common) - 1, 1 + len(used)))
    at_risk = np.isin(values, common)
    for k, level in enumerate(common[:-1]):
        is_level = (values[at_risk] == level).astype(float)
        coefficients[k] = _logistic(matrix[at_risk][:, used], is_level)
        at_risk &= values != level
    counted = np.array([float((values == level).sum()) for level in common])
    return ColumnModel(name, tuple(common), used, coefficients, counted / counted.sum(), np.zeros(0), np.zeros(0))


def _logistic(inputs: Floats, positive: Floats) -> Floats:
    return fit_ridge_logistic(inputs, positive, np.ones(len(positive)), np.full(inputs.shape[1], PRIOR_SD**-2.0))


def _number(name: str, values: Floats, used: Integers, matrix: Floats) -> ColumnModel:
    spread = float(values.std()) or 1.0
    design = np.hstack([np.ones((len(values), 1)), matrix[:, used]])
    penalty = np.concatenate([[0.0], np.full(len(used), PRIOR_SD**-2.0)])
    slope = np.linalg.solve(design.T @ design + np.diag(penalty), design.T @ (values / spread))
    predicted = np.round(design @ slope, DIGITS)
    order = np.argsort(predicted, kind="stable")
    return ColumnModel(name, (), used, slope[None, :], np.zeros(0), predicted[order], values[order])
