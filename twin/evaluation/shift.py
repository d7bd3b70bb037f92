"""A twin's inputs and those of another cohort in, how far each has shifted out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.stats import chi2_contingency

from data.cohort import Cohort
from data.schema import UNKNOWN
from twin.arrays import Floats, Integers, Texts
from twin.models.encoding import NOT_RECORDED, CategoryInput, NumberInput
from twin.prediction import FittedTwin
from twin.record import decision_matrix
from twin.state import Known

FEWEST_IN_A_BIN: Final = 10
"""Patients of both sides together; rarer levels share a bin"""
BINS: Final = 10
"""Of a number: tenths of the patients that taught the twin"""
ROUNDING: Final = 1e-9
"""Of an encoded number, in its own units"""


@dataclass(frozen=True, slots=True)
class InputShift:
    """How one input, or the use of one decision, differs from that in the patients that taught the twin."""

    name: str
    label: str
    stability_index: float | None
    """Population stability index over recorded values; ``None`` where too few are recorded"""
    p_value: float | None
    """Of Pearson's chi-squared on the same bins"""
    before: str
    """Mean of a number, commonest level of a category with its share, share of "yes" of a decision"""
    now: str
    standardised_difference: float | None
    """Of a number's means, in pooled standard deviations; ``None`` for a category"""
    missing_before: float
    """Share of patients"""
    missing_now: float


def input_shifts(twin: FittedTwin, cohort: Cohort) -> Iterator[InputShift]:
    """Every input that the models read, then how often each decision was "yes"."""
    yield from _inputs(twin, cohort)
    yield from _decisions(twin, cohort)


def _inputs(twin: FittedTwin, cohort: Cohort) -> Iterator[InputShift]:
    encoding = twin.marginal.encoding
    known = Known.at(cohort.frame, cohort.spec, encoding.moment)
    for source in encoding.inputs:
        if isinstance(source, NumberInput):
            taught = twin.support_model.inputs[:, encoding.positions[source.source]]
            yield _number(source, _label(twin, source.source), taught, known.frame)
        else:
            yield _category(source, _label(twin, source.source), twin.origin.patients, known)


def _label(twin: FittedTwin, source: str) -> str:
    sums = {feature.name: feature.label for feature in twin.spec.features}
    return sums.get(source) or twin.spec.column(source).label


def _number(source: NumberInput, label: str, taught: Floats, frame: pd.DataFrame) -> InputShift:
    """A number or a sum; `taught` (patients, names of the source) are the encoded values that taught the twin."""
    present = [name for name in source.members if name in frame]
    now = frame[present].sum(axis=1, min_count=1).to_numpy(dtype=float) if present else np.full(len(frame), np.nan)
    recorded = taught[:, -1] < 0 if source.missing_share else np.ones(len(taught), dtype=bool)
    before = taught[recorded, 0] * source.scale + source.mean if source.varies else np.full(recorded.sum(), source.mean)
    seen = now[~np.isnan(now)]
    # Encoded values come back with an error in the last digits: an edge must not cut through equal ones.
    beyond = ROUNDING * source.scale
    edges = np.unique(np.quantile(before, np.arange(1, BINS) / BINS) + beyond) if before.size else np.zeros(0)
    bins = len(edges) + 1
    index, p_value = stability(
        np.bincount(np.searchsorted(edges, before), minlength=bins),
        np.bincount(np.searchsorted(edges, seen), minlength=bins),
    )
    pooled = np.sqrt((before.var() + seen.var()) / 2.0) if before.size and seen.size else 0.0
    return InputShift(
        name=source.source,
        label=label,
        stability_index=index,
        p_value=p_value,
        before=f"mean {before.mean():.3g}" if before.size else "not recorded",
        now=f"mean {seen.mean():.3g}" if seen.size else "not recorded",
        standardised_difference=float((seen.mean() - before.mean()) / pooled) if pooled > 0 else None,
        missing_before=source.missing_share,
        missing_now=float(np.isnan(now).mean()),
    )


def _category(source: CategoryInput, label: str, patients: int, known: Known) -> InputShift:
    values = _levels(known, source.source)
    levels = [level for level in dict.fromkeys((*source.levels, *values)) if level != NOT_RECORDED]
    shares = dict(zip(source.levels, source.shares, strict=True))
    before = np.array([round(shares.get(level, 0.0) * patients) for level in levels])
    now = np.array([int((values == level).sum()) for level in levels])
    index, p_value = stability(before, now)
    return InputShift(
        name=source.source,
        label=label,
        stability_index=index,
        p_value=p_value,
        before=_commonest(levels, before),
        now=_commonest(levels, now),
        standardised_difference=None,
        missing_before=shares.get(NOT_RECORDED, 0.0),
        missing_now=float((values == NOT_RECORDED).mean()),
    )


def _levels(known: Known, column: str) -> Texts:
    if column not in known.columns:
        return np.full(known.size, NOT_RECORDED, dtype=object)
    values = known.columns[column]
    return np.where(pd.isna(values) | (values == UNKNOWN), NOT_RECORDED, values).astype(object)


def _commonest(levels: list[str], counts: Integers) -> str:
    if not counts.sum():
        return "not recorded"
    most = int(np.argmax(counts))
    return f"{levels[most].replace('_', ' ')} {100 * counts[most] / counts.sum():.0f} %"


def _decisions(twin: FittedTwin, cohort: Cohort) -> Iterator[InputShift]:
    """How often each decision was "yes"; what the twin holds at one value is compared too."""
    recorded = decision_matrix(cohort.spec, cohort.frame)
    for k, decision in enumerate(twin.spec.decisions):
        before, now = (matrix[~np.isnan(matrix[:, k]), k] for matrix in (twin.support_model.decisions, recorded))
        index, p_value = stability(*(np.array([(one == 0).sum(), (one == 1).sum()]) for one in (before, now)))
        yield InputShift(
            name=decision.column,
            label=decision.label,
            stability_index=index,
            p_value=p_value,
            before=f"given to {100 * before.mean():.0f} %" if before.size else "not recorded",
            now=f"given to {100 * now.mean():.0f} %" if now.size else "not recorded",
            standardised_difference=None,
            missing_before=float(np.isnan(twin.support_model.decisions[:, k]).mean()),
            missing_now=float(np.isnan(recorded[:, k]).mean()),
        )


def stability(before: Integers, now: Integers) -> tuple[float | None, float | None]:
    """Population stability index of two rows of counts (bins,), and the p value of Pearson's chi-squared.

    The index is the symmetrised Kullback-Leibler divergence, sum of (q - p) log(q / p); half a patient is added to
    every bin, so that an empty one does not make it infinite. Bins of fewer than `FEWEST_IN_A_BIN` patients of both
    rows together are put into one.

    Returns:
        ``None`` for both where either row is empty or fewer than two bins are left.
    """
    counts = np.stack([before, now]).astype(float)
    rare = counts.sum(axis=0) < FEWEST_IN_A_BIN
    counts = np.column_stack([counts[:, ~rare], counts[:, rare].sum(axis=1)])
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2 or not counts.sum(axis=1).all():
        return None, None
    smoothed = counts + 0.5
    p, q = smoothed / smoothed.sum(axis=1, keepdims=True)
    index = float(((q - p) * np.log(q / p)).sum())
    return index, float(chi2_contingency(counts, correction=False).pvalue)
