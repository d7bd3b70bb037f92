"""How well predicted risks order patients: observed times and risks in, concordance and AUC of every resample out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from twin.metrics.censoring import inverse_censoring, ipcw
from twin.metrics.observed import CENSORED, COMPETING, EVENT, BoolArray, FloatArray, IntArray, Observed, counts_or_once


def harrell_c(
    observed: Observed, risk: FloatArray, counts: FloatArray | None = None, strata: IntArray | None = None
) -> FloatArray:
    """Share of comparable pairs in which the patient with the earlier event has the higher risk; ties count half.

    Harrell et al. 1982 (doi:10.1001/jama.1982.03320430047030). A pair is comparable when one patient has the event and
    the other is followed for longer, or is censored at the same time. A competing event forestalls the event
    for good, so that its patient outlasts everybody (Wolbers et al. 2009, doi:10.1097/EDE.0b013e3181a39056).

    Args:
        observed: n patients.
        risk: (n,) anything that rises with the risk, such as the risk at the last horizon.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
        strata: (n,) only patients of one stratum are compared. For cross-validated risks these are the folds: models of
            different folds differ in level, against the held-out events (Parker et al. 2007,
            doi:10.1186/1471-2105-8-326).

    Returns:
        (resamples,) concordance in [0, 1]; NaN without comparable pairs.
    """
    counts = counts_or_once(counts, observed.size)
    return _concordance(observed, risk, counts * (observed.event == EVENT), (counts, counts), strata)


def uno_c(
    observed: Observed,
    risk: FloatArray,
    tau: float,
    counts: FloatArray | None = None,
    strata: IntArray | None = None,
) -> FloatArray:
    """Concordance up to month `tau` that does not depend on the censoring.

    Uno et al. 2011 (doi:10.1002/sim.4154): each pair weighs one over its probability of being seen, here
    G(t-) squared at the earlier event t. With competing events Wolbers et al. 2014 (doi:10.1093/biostatistics/kxt059):
    a patient who had the competing event at s by then weighs 1 / G(s-) in the pair instead.

    Args:
        observed: n patients.
        risk: (n,) anything that rises with the risk by `tau`.
        tau: events at this month or later are not counted.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
        strata: (n,) only patients of one stratum are compared (see `harrell_c`).

    Returns:
        (resamples,) concordance in [0, 1]; NaN without comparable pairs.
    """
    counts = counts_or_once(counts, observed.size)
    inverse = inverse_censoring(observed, observed.time, counts)
    cases = counts * inverse * ((observed.event == EVENT) & (observed.time < tau))
    # A later patient is seen with the probability G(t-) of the case's own time: that factor goes to the case.
    return _concordance(observed, risk, cases, (counts, counts * inverse), strata, later_factor=inverse)


def auc_at(
    observed: Observed,
    risk: FloatArray,
    month: float,
    counts: FloatArray | None = None,
    strata: IntArray | None = None,
) -> FloatArray:
    """Cumulative/dynamic AUC: how well `risk` tells those with the event by `month` from those without.

    Weighted for censoring as by Uno et al. 2007 (doi:10.1198/016214507000000149); with competing events those who had
    one by `month` are controls (Blanche et al. 2013, doi:10.1002/sim.5958, second definition).

    Args:
        observed: n patients.
        risk: (n,) predicted risk by `month`.
        month: the horizon, months.
        counts: (resamples, n) how often each patient is in each resample; every patient once where ``None``.
        strata: (n,) only patients of one stratum are compared (see `harrell_c`).

    Returns:
        (resamples,) AUC in [0, 1]; NaN without cases or without controls.
    """
    return auc(observed.event_by(month), risk, ipcw(observed, month, counts), strata)


def auc(positive: BoolArray, risk: FloatArray, weights: FloatArray, strata: IntArray | None = None) -> FloatArray:
    """Weighted share of (positive, negative) pairs in which the positive has the higher risk; ties count half.

    Args:
        positive: (n,) whether the patient had the event.
        risk: (n,) anything that rises with the risk.
        weights: (resamples, n) weights of the patients, such as resampling counts.
        strata: (n,) only patients of one stratum are compared.

    Returns:
        (resamples,) AUC in [0, 1]; NaN without pairs.
    """
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for rows in _rows_of_strata(strata, len(risk)):
        rank = _dense_rank(risk[rows])
        cases, controls = weights[:, rows] * positive[rows], weights[:, rows] * ~positive[rows]
        controls_at = _sum_by_rank(rank, controls)
        beaten = np.cumsum(controls_at, axis=1) - 0.5 * controls_at
        won += (_sum_by_rank(rank, cases) * beaten).sum(axis=1)
        pairs += cases.sum(axis=1) * controls.sum(axis=1)
    return _share(won, pairs)


def _concordance(
    observed: Observed,
    risk: FloatArray,
    cases: FloatArray,
    others: tuple[FloatArray, FloatArray],
    strata: IntArray | None,
    later_factor: FloatArray | float = 1.0,
) -> FloatArray:
    """Weighted concordance; `others` weigh the second patients: those who last longer, and those forestalled."""
    factor = np.broadcast_to(later_factor, cases.shape)
    later, forestalled = others[0], others[1] * (observed.event == COMPETING)
    won, pairs = np.zeros(len(cases)), np.zeros(len(cases))
    for rows in _rows_of_strata(strata, observed.size):
        outlasting, forestalling = _keys(observed.take(rows))
        rank = _dense_rank(risk[rows])
        for key, case, other in (
            (outlasting, cases[:, rows] * factor[:, rows], later[:, rows]),
            (forestalling, cases[:, rows], forestalled[:, rows]),
        ):
            if other.any():
                won += (case * _beaten_weight(key, rank, other)).sum(axis=1)
                pairs += (case * _weight_beyond(key, other)).sum(axis=1)
    return _share(won, pairs)


def _keys(observed: Observed) -> tuple[IntArray, IntArray]:
    """Two (n,) orders in which every patient comparable with a case has a greater key than the case.

    In the first these are the patients who last longer (censored at the same time counts as longer); in the second,
    those with a competing event at the case's time or before.
    """
    month = _dense_rank(observed.time)
    return 2 * month + (observed.event == CENSORED), -2 * month - (observed.event == EVENT)


def _weight_beyond(key: IntArray, weights: FloatArray) -> FloatArray:
    """(resamples, n) for every patient the weight of those with a greater key."""
    rank = _dense_rank(key)
    at_key = _sum_by_rank(rank, weights)
    beyond: FloatArray = at_key.sum(axis=1, keepdims=True) - np.cumsum(at_key, axis=1)
    return beyond[:, rank]


def _beaten_weight(key: IntArray, rank: IntArray, weights: FloatArray) -> FloatArray:
    """(resamples, n) for every patient the weight of those with a greater key and a lower rank; equal ranks half.

    Patients in order of their keys are split by the bits of their ranks, highest first, as in a radix sort: whoever
    has a lower rank shares the leading bits up to one in which it has 0. A sum over the rest of the
    block at each bit counts every pair once, in O(n log n) for all resamples together.
    """
    # Within a key the lower rank comes first, so that patients of one key never beat each other.
    order = np.lexsort((rank, key))
    beaten = 0.5 * _tied_weight(key, rank, weights)
    for bit in reversed(range(int(rank.max(initial=0)).bit_length())):
        block, upper = rank[order] >> (bit + 1), (rank[order] >> bit) & 1 == 1
        lower_so_far = np.cumsum(np.where(upper, 0.0, weights[:, order]), axis=1)
        last_of_block = np.searchsorted(block, block[upper], side="right") - 1
        beaten[:, order[upper]] += lower_so_far[:, last_of_block] - lower_so_far[:, upper]
        order = order[np.argsort(rank[order] >> bit, kind="stable")]
    return beaten


def _tied_weight(key: IntArray, rank: IntArray, weights: FloatArray) -> FloatArray:
    """(resamples, n) for every patient the weight of those with a greater key and the same rank."""
    pair = rank * (np.ptp(key) + 1) + (key - key.min())
    return _weight_beyond(pair, weights) - _weight_beyond(rank, weights)


def _rows_of_strata(strata: IntArray | None, patients: int) -> Iterator[IntArray]:
    if strata is None:
        yield np.arange(patients)
        return
    for stratum in np.unique(strata):
        yield np.flatnonzero(strata == stratum)


def _dense_rank(values: FloatArray | IntArray) -> IntArray:
    """(n,) 0 for the smallest value, 1 for the next; equal values share a rank."""
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def _sum_by_rank(rank: IntArray, weights: FloatArray) -> FloatArray:
    """(resamples, ranks) weight at every rank."""
    order = np.argsort(rank, kind="stable")
    first = np.flatnonzero(np.diff(rank[order], prepend=-1))
    return np.add.reduceat(weights[:, order], first, axis=1)


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
