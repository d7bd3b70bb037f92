"""Metrics of a yes-or-no outcome: what happened and predicted risks in, scores of every resample out.

AUC and recalibration are those of `discrimination.auc` and `calibration.recalibration` with resampling counts as
weights.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from twin.metrics.calibration import quantile_groups
from twin.metrics.observed import BoolArray, FloatArray, counts_or_once

ECE_BINS: Final = 10


def brier(positive: BoolArray, risk: FloatArray, counts: FloatArray | None = None) -> FloatArray:
    """Mean squared distance between predicted risk and outcome (Brier 1950).

    doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.

    Args:
        positive: (n,) whether the patient had the event.
        risk: (n,) predicted risk.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.

    Returns:
        (resamples,) scores in [0, 1].
    """
    counts = counts_or_once(counts, len(risk))
    return np.asarray(counts @ (positive - risk) ** 2 / counts.sum(axis=1), dtype=np.float64)


def expected_calibration_error(
    positive: BoolArray, risk: FloatArray, counts: FloatArray | None = None, bins: int = ECE_BINS
) -> FloatArray:
    """Mean distance between predicted and observed share over groups of similar risk.

    Naeini et al. 2015 (doi:10.1609/aaai.v29i1.9602), with quantile groups of the sample, the same in every resample.
    It is above 0 also for perfect risks, because the observed shares scatter; the noise of resampling adds to it (see
    `intervals.estimate`).

    Args:
        positive: (n,) whether the patient had the event.
        risk: (n,) predicted risk.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
        bins: how many groups of equal size.

    Returns:
        (resamples,) errors in [0, 1].
    """
    counts = counts_or_once(counts, len(risk))
    surplus = positive - risk
    gaps = [np.abs(counts[:, rows] @ surplus[rows]) for rows in quantile_groups(risk, bins)]
    return np.asarray(np.sum(gaps, axis=0) / counts.sum(axis=1), dtype=np.float64)


def debiased_calibration_error(
    positive: BoolArray, risk: FloatArray, counts: FloatArray | None = None, bins: int = ECE_BINS
) -> FloatArray:
    """Root mean square distance between predicted and observed share over groups of similar risk, without chance.

    Kumar et al. 2019 (arXiv:1909.10155, section 4): the squared distance of every group less what chance makes of it.
    That is the variance of the mean residual here, not of the mean outcome: predictions differ within a group. It is 0
    where the distances are not beyond chance, as in about half of all samples with perfect risks. In large samples it
    is at least the `expected_calibration_error`, as a root mean square is at least a mean.

    Args:
        positive: (n,) whether the patient had the event.
        risk: (n,) predicted risk.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
        bins: how many groups of equal size.

    Returns:
        (resamples,) errors in [0, 1].
    """
    counts = counts_or_once(counts, len(risk))
    surplus = positive - risk
    squared = np.zeros(len(counts))
    for rows in quantile_groups(risk, bins):
        here = counts[:, rows]
        size = np.maximum(here.sum(axis=1), 1.0)
        mean = here @ surplus[rows] / size
        variance = (here @ surplus[rows] ** 2 / size - mean**2) / np.maximum(size - 1.0, 1.0)
        squared += size * (mean**2 - variance)
    return np.asarray(np.sqrt(np.maximum(squared, 0.0) / counts.sum(axis=1)), dtype=np.float64)
