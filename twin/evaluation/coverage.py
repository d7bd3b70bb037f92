"""Whether intervals hold what they say: held-out draws of risks in, the share of groups and of true risks within out.

Nobody sees a patient's true risk, so that the interval of one patient cannot be checked on real patients. What can be
checked is the interval of a group: its mean risk is stated with draws, and its observed risk is seen up to the chance
of who happened to have the event. The predictive interval of the observed risk combines both; a sound model's holds the
observed risk of about as many groups as its level says. With a few dozen patients a group most of it is chance: it
shows whether risks are wrong by more than that, and no finer; that the intervals of single patients are as wide as they
should be, it does not show. Groups of one cross-validation hang together, because who is held out of one part teaches
the others; large groups are held a little more often than the level says. Draws of different folds are averaged row by
row, which leaves out some of the doubt that they share.

Comparisons are not independent: a group is looked at at several months, audited groups overlap, and draws are shared.
How much that leaves is simulated: observed risks of a sound model are its draws with the noise of resampled patients.
As many independent comparisons as vary like the share of held ones there stand behind the interval of the share.

Where the patients are synthetic and their true risks are given, the intervals of the patients themselves are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import betainc, betaincinv

from data.cohort import Cohort
from twin.arrays import Flags, Floats, Integers
from twin.evaluation.held_out import HeldOut
from twin.evaluation.scores import Sample
from twin.evaluation.subgroups import audited_groups
from twin.evaluation.targets import Target
from twin.interval import percentile_interval, risk_band
from twin.metrics.calibration import quantile_groups
from twin.metrics.censoring import aalen_johansen, ipcw
from twin.metrics.intervals import COVERAGE, MetricValue, estimate
from twin.timeline import all_plans

RISK_GROUPS: Final = 10
PATIENTS_A_GROUP: Final = 50
"""Fewest patients of a group by risk, as far as there are enough for two, and of an audited group"""
HALVINGS: Final = 18
"""Of the interval from 0 to 1 when its ends are sought: to within 4e-6"""


@dataclass(frozen=True, slots=True)
class GroupCoverage:
    """One group of patients at one month: the predictive interval of its observed risk, and that risk."""

    group: str
    patients: int
    month: float
    predicted: float
    """Mean predicted risk"""
    lower: float
    upper: float
    observed: float

    @property
    def within(self) -> bool:
        """Whether the interval holds the observed risk."""
        return self.lower <= self.observed <= self.upper


@dataclass(frozen=True, slots=True)
class TrueCoverage:
    """Coverage of the true risks of synthetic patients by the intervals stated for each."""

    by_month: Mapping[str, MetricValue]
    """Month -> share of patients whose true risk lies within their interval"""
    overall: MetricValue
    """Mean of these over the months"""
    by_group: Mapping[str, MetricValue]
    """Audited group of `PATIENTS_A_GROUP` or more -> mean over the months among its patients"""
    mean_error: Mapping[str, MetricValue]
    """Month -> mean absolute distance of the predicted from the true risk"""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often intervals of a stated level hold what they are of."""

    level: float
    groups_of_risk: MetricValue
    """Share of groups of rising risk, at all horizons, within their predictive interval"""
    audited_groups: MetricValue
    """The same of the audited groups; ``None`` where none is large enough"""
    by_group: tuple[GroupCoverage, ...]
    true_risks: TrueCoverage | None
    """``None`` where nobody knows them"""


def coverage(
    cohort: Cohort, target: Target, found: HeldOut, sample: Sample, level: float, truth: Floats | None = None
) -> Coverage:
    """How often the intervals of held-out patients hold what they are of.

    Args:
        cohort: All patients.
        target: n of them.
        found: Held-out draws of the n.
        sample: Resampling counts of the n.
        level: Of the intervals, e.g. 0.9.
        truth: (patients, plans, horizons) true risks of all patients under every complete plan, in the order of
            `twin.timeline.all_plans`.
    """
    by_risk = [_compared(*group, target, found, sample, level) for group in _risk_groups(target, found)]
    audited = [
        _compared(f"{column}: {name}", month, np.flatnonzero(members), target, found, sample, level)
        for column, name, members in _large_groups(cohort, target)
        for month in target.horizons
    ]
    return Coverage(
        level=level,
        groups_of_risk=_share(by_risk, level),
        audited_groups=_share(audited, level),
        by_group=tuple(group for group, _ in (*by_risk, *audited)),
        true_risks=None if truth is None else _of_truth(cohort, target, found, sample, level, truth),
    )


def _risk_groups(target: Target, found: HeldOut) -> Iterator[tuple[str, float, Integers]]:
    """Name, month from the question and patients of each group; at each horizon grouped by the risk by then."""
    count = int(np.clip(len(target.rows) // PATIENTS_A_GROUP, 2, RISK_GROUPS))
    for k, month in enumerate(target.horizons):
        groups = quantile_groups(found.draws[0, :, k], count)
        for place, rows in enumerate(groups, start=1):
            yield f"risk group {place} of {len(groups)}", month, rows


def _large_groups(cohort: Cohort, target: Target) -> Iterator[tuple[str, str, Flags]]:
    """Column, name and members (n,) of each audited group of `PATIENTS_A_GROUP` or more."""
    for column, name, members in audited_groups(cohort, target.rows):
        if members.sum() >= PATIENTS_A_GROUP:
            yield column, name, members


def _compared(
    name: str, month: float, rows: Integers, target: Target, found: HeldOut, sample: Sample, level: float
) -> tuple[GroupCoverage, Flags]:
    """A group at a month, and (resamples,) whether its interval would hold what a sound model lets be observed."""
    draws = found.draws[:, rows, target.horizons.index(month)].mean(axis=1)
    observed, patients = observed_risk(target, rows, month, sample.counts)
    lower, upper = predictive_interval(draws[1:], patients, level)
    simulated = np.resize(draws[1:], len(observed) - 1) + observed[1:] - observed[0]
    group = GroupCoverage(name, len(rows), target.origin + month, float(draws[0]), lower, upper, float(observed[0]))
    return group, (lower <= simulated) & (simulated <= upper)


def observed_risk(target: Target, rows: Integers, month: float, counts: Floats) -> tuple[Floats, float]:
    """(1 + resamples,) observed risk of a group by a month, and as many uncensored patients as would tell it as surely.

    Aalen-Johansen (Kaplan-Meier without competing events). The effective number p (1 - p) / variance is that of
    Cutler & Ederer 1958 (doi:10.1016/0021-9681(58)90126-7), with the bootstrap variance; where nobody or everybody had
    the event, which leaves no variance, the effective sample size of inverse probability of censoring weights (Kish
    1965, section 8.2).

    Args:
        target: n patients.
        rows: Positions of the group's patients.
        month: From the question.
        counts: (1 + resamples, n), the first row of ones.
    """
    observed = target.observed.take(rows)
    risks = aalen_johansen(observed, counts[:, rows]).at(np.array([month]))[:, 0]
    if observed.known_at(month).all():
        return risks, float(len(rows))
    risk, variance = float(risks[0]), float(np.var(risks[1:], ddof=1)) if len(risks) > 2 else 0.0
    if variance > 0.0 and 0.0 < risk < 1.0:
        return risks, min(float(len(rows)), risk * (1.0 - risk) / variance)
    weights = ipcw(observed, month)[0]
    return risks, float(weights.sum() ** 2 / (weights**2).sum()) if weights.any() else 0.0


def predictive_interval(draws: Floats, patients: float, level: float) -> tuple[float, float]:
    """Interval for the observed risk of a group whose true mean risk is one of `draws`.

    The distribution of the observed risk is the mean over draws of binomial ones with `patients` trials. Its mid-p
    distribution function at a share s is, nearly, one less that of a beta distribution with parameters
    ``patients * s + 1/2`` and ``patients * (1 - s) + 1/2`` at the draw (Brown, Cai & DasGupta 2001,
    doi:10.1214/ss/1009213286, section 4.1.2), which is also defined between whole numbers of patients.

    Args:
        draws: (r,) mean risks of the group.
        patients: Effective number of patients, 0 or more.
        level: Share of the distribution within, e.g. 0.9.
    """
    tails = np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    low, high = np.zeros(2), np.ones(2)
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        events = patients * middle[:, None]
        below = 1.0 - betainc(events + 0.5, patients - events + 0.5, np.clip(draws, 0.0, 1.0)).mean(axis=1)
        low, high = np.where(below < tails, middle, low), np.where(below < tails, high, middle)
    return float(low[0]), float(high[1])


def _share(compared: Sequence[tuple[GroupCoverage, Flags]], level: float) -> MetricValue:
    """Share of the comparisons within, with the interval of Jeffreys for as many as are independent.

    The interval is that of Brown, Cai & DasGupta 2001 (doi:10.1214/ss/1009213286, section 4.3) with
    ``level * (1 - level) / variance`` comparisons, the variance being that of the share under a sound model; none with
    fewer than two resamples.
    """
    if not compared:
        return MetricValue(None)
    share = float(np.mean([group.within for group, _ in compared]))
    simulated = np.mean([held for _, held in compared], axis=0)
    if len(simulated) < 2:
        return MetricValue(share)
    variance = max(float(np.var(simulated, ddof=1)), level * (1.0 - level) / len(compared))
    number = level * (1.0 - level) / variance
    tail = (1.0 - COVERAGE) / 2.0
    lower, upper = betaincinv(number * share + 0.5, number * (1.0 - share) + 0.5, [tail, 1.0 - tail])
    return MetricValue(share, float(lower) if share > 0.0 else 0.0, float(upper) if share < 1.0 else 1.0)


def _of_truth(
    cohort: Cohort, target: Target, found: HeldOut, sample: Sample, level: float, truth: Floats
) -> TrueCoverage:
    asked = all_plans(cohort.spec)
    under = np.array([asked.index(plan) for plan in found.plans], dtype=np.intp)
    true = truth[target.rows, under][:, : len(target.horizons)]
    lower, upper = (percentile_interval if target.is_binary else risk_band)(found.draws, level)
    held = ((lower <= true) & (true <= upper)).astype(float)
    months = [f"{month:g}" for month in target.horizons]
    return TrueCoverage(
        by_month=_means(held, months, sample),
        overall=estimate(_mean(held.mean(axis=1), sample.counts)),
        by_group={
            f"{column}: {name}": estimate(_mean(held[members].mean(axis=1), sample.counts[:, members]))
            for column, name, members in _large_groups(cohort, target)
        },
        mean_error=_means(np.abs(found.draws[0] - true), months, sample),
    )


def _means(values: Floats, months: list[str], sample: Sample) -> dict[str, MetricValue]:
    return {month: estimate(_mean(values[:, k], sample.counts)) for k, month in enumerate(months)}


def _mean(values: Floats, counts: Floats) -> Floats:
    return np.asarray(counts @ values / counts.sum(axis=1))
