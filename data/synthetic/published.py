"""A synthetic cohort in, its figures beside those published of the reference cohort out.

The published figures stand in `published.csv`, one a row: the patients meant (`where`), what is measured (`what`, over
canonical columns and `sequence`), how (`kind`), the value, the number of patients behind it, and, where the synthetic
cohort is known to differ, why.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources

import numpy as np
import pandas as pd
from lifelines import KaplanMeierFitter
from scipy.stats import binom, norm

from data.synthetic.cohort import SyntheticCohort
from data.synthetic.draws import BoolArray, FloatArray

SIGNIFICANCE = 0.05
"""Family-wise level at which a difference needs an explanation (Bonferroni over all figures)."""
_TWO_ERRORS = 2.0 * norm.sf(2.0)


class Kind(StrEnum):
    """How a figure is measured."""

    SHARE = "share"
    """Share of the patients for whom `what` is true; a missing value is not."""
    MEAN = "mean"
    """Mean of `what`."""
    SURVIVAL = "survival"
    """Kaplan-Meier survival at month `what`."""


class Verdict(StrEnum):
    """How a published figure agrees with the model, its sampling error taken from the model."""

    WITHIN = "within 2 SE"
    ADJUSTED = "within sampling error, adjusted for multiplicity"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Figure:
    """One published figure."""

    section: str
    figure: str
    where: str
    what: str
    kind: Kind
    published: float
    patients: int
    explanation: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A published figure beside the synthetic ones."""

    figure: Figure
    demonstration: float
    """In the cohort that the demonstration shows; NaN when it has no such patient."""
    large: float
    """In a cohort so large that its own sampling error does not matter."""
    standard_error: float
    """Of the figure in as many patients as the published one has, by the model."""
    p_value: float
    """Two-sided, of the published figure under the model."""
    verdict: Verdict

    @property
    def z(self) -> float:
        """Synthetic minus published, in standard errors."""
        return (self.large - self.figure.published) / self.standard_error if self.standard_error else 0.0

    @property
    def demonstration_z(self) -> float:
        """Demonstration minus model, in standard errors: how unusual a sample it is."""
        return (self.demonstration - self.large) / self.standard_error if self.standard_error else 0.0


def load_figures() -> tuple[Figure, ...]:
    """All published figures, in order of section."""
    text = resources.files("data.synthetic").joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(
        Figure(
            section=row["section"],
            figure=row["figure"],
            where=row["where"],
            what=row["what"],
            kind=Kind(row["kind"]),
            published=float(row["published"]),
            patients=int(row["patients"]),
            explanation=row["explanation"],
        )
        for row in csv.DictReader(text.splitlines(), strict=True)
    )


def completed(synthetic: SyntheticCohort) -> pd.DataFrame:
    """The patients comparable with the published cohort, which holds completed sequences: those alive at month 6.

    Adds the column `sequence`.
    """
    frame = synthetic.cohort.frame
    decisions = frame[[decision.column for decision in synthetic.cohort.spec.decisions]]
    kept = frame[decisions.notna().all(axis=1)]
    digits = decisions.loc[kept.index].astype(int).astype(str)
    categories = kept.select_dtypes("category").columns
    return kept.astype(dict.fromkeys(categories, object)).assign(sequence=digits.agg("".join, axis=1))


def compare(demonstration: SyntheticCohort, large: SyntheticCohort) -> list[Comparison]:
    """Every published figure beside those of both cohorts."""
    figures = load_figures()
    few, many = Patients(completed(demonstration)), Patients(completed(large))
    return [_comparison(figure, few, many, len(figures)) for figure in figures]


class Patients:
    """Patients of whom figures are asked; every expression is evaluated once."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self._columns = {str(name): frame[name] for name in frame}
        self._everyone: BoolArray = np.ones(len(frame), dtype=np.bool_)
        self._known: dict[str, FloatArray] = {}

    def measure(self, figure: Figure) -> tuple[float, float]:
        """The figure and the standard deviation of one patient's contribution to it; NaN when nobody is meant."""
        meant = self._value(figure.where) == 1.0 if figure.where else self._everyone
        if not meant.any():
            return float("nan"), float("nan")
        if figure.kind is Kind.MEAN:
            values = self._value(figure.what)[meant]
            return float(np.nanmean(values)), float(np.nanstd(values, ddof=1))
        share = self._share(figure, meant)
        return share, float(np.sqrt(share * (1.0 - share)))

    def _share(self, figure: Figure, meant: BoolArray) -> float:
        if figure.kind is Kind.SHARE:
            return float(self._value(figure.what)[meant].mean())
        fitter = KaplanMeierFitter().fit(self._columns["os_months"][meant], self._columns["death"][meant])
        return float(fitter.predict(float(figure.what)))

    def _value(self, expression: str) -> FloatArray:
        """Of every patient."""
        if expression not in self._known:
            value = pd.eval(expression, engine="python", resolvers=[self._columns])
            self._known[expression] = np.asarray(value, dtype=np.float64)
        return self._known[expression]


def _comparison(figure: Figure, few: Patients, many: Patients, family: int) -> Comparison:
    demonstration, _ = few.measure(figure)
    value, spread = many.measure(figure)
    error = spread / np.sqrt(figure.patients)
    p_value = _p_value(figure, value, error)
    verdict = Verdict.WITHIN if p_value >= _TWO_ERRORS else Verdict.ADJUSTED
    if p_value < SIGNIFICANCE / family:
        verdict = Verdict.DIFFERS
    return Comparison(figure, demonstration, value, error, p_value, verdict)


def _p_value(figure: Figure, expected: float, error: float) -> float:
    """Of the published figure: exact binomial for a share, normal for a mean."""
    if figure.kind is Kind.MEAN:
        return float(2.0 * norm.sf(abs(figure.published - expected) / error))
    count = round(figure.published * figure.patients)
    tails: FloatArray = np.array(
        [binom.cdf(count, figure.patients, expected), binom.sf(count - 1, figure.patients, expected)]
    )
    return float(min(1.0, 2.0 * tails.min()))
