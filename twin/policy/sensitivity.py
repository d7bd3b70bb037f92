"""How strong must a cause that nobody recorded be, for a policy's lead over the physicians to vanish?

Patients and a policy in, a strength out. The strength Gamma, at least 1, is that of Tan's marginal sensitivity model
(2006, doi:10.1198/016214506000000023): had the unrecorded cause been known too, the odds of each decision would differ
from those of its propensity by a factor of at most Gamma, either way. At 1 the propensities are right. At Gamma the
inverse of a propensity b lies anywhere from ``1 + (1/b - 1) / Gamma`` to ``1 + (1/b - 1) Gamma``, for each patient and
decision on its own; a patient's weight lies between the products of these. The bounds are the lowest and the highest
value of weighted importance sampling over all such weights, exactly: at the extreme the weights are as low as can be on
one side of some return and as high as can be on the other (Zhao, Small & Bhattacharya 2019, doi:10.1111/rssb.12327,
whose percentile bootstrap also gives the interval). As a set of confounders that includes impossible ones, whose
propensities do not average to those that were seen (Dorn & Guo 2023, doi:10.1080/01621459.2022.2069572), the true
strength that is needed may be larger, never smaller.

It says of a policy what an E-value says of a risk ratio (VanderWeele & Ding 2017, doi:10.7326/M16-2607): how much it
would take to explain the finding away. The E-value itself is not given. It is a function of the risk ratio between two
options of one decision; a mean utility is no risk, and policy and physicians differ in several decisions, for some
patients only. Nor are the two comparable in size: an E-value bounds how strongly the cause is tied to the decision and
to the outcome, both, while Gamma bounds the first and lets the second be anything. To judge a Gamma, set it beside the
odds ratios by which recorded causes move the decisions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from twin.arrays import Floats
from twin.metrics.intervals import estimate, over_resamples
from twin.policy.off_policy import FEWEST_EFFECTIVE, Treated, as_observed, effective_sample_size

STRONGEST: Final = 20.0
"""Up to which strength is searched"""
PRECISION: Final = 0.005
"""Of a strength, relative"""


@dataclass(frozen=True)
class Sensitivity:
    """Smallest strengths at which the policy is no longer better than the physicians.

    1 where it is not better to begin with, or nothing is known of it; ``None`` where it still is at `STRONGEST`.
    """

    estimate: float | None
    """At which the estimate could be no better"""
    interval: float | None
    """At which the interval of the difference could reach 0: below that it is shown to be better. 1 where the effective
    sample size is too small for a claim."""

    def as_dict(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"estimate": self.estimate, "interval": self.interval, "searched_to": STRONGEST}


def sensitivity(treated: Treated, counts: Floats, largest: float = math.inf) -> Sensitivity:
    """The strengths for weighted importance sampling.

    Args:
        treated: n patients.
        counts: (1 + resamples, n) as of `twin.metrics.intervals.resample_counts`.
        largest: To which weights are truncated, as in the estimate.
    """
    observed = as_observed(treated, counts)

    def lead(strength: float, part: Floats) -> Floats:
        least, most = _weights(treated, strength, largest)
        return _lowest(treated.returns, least, most, part) - observed[: len(part)]

    shown = effective_sample_size(treated.final_weights(largest)) >= FEWEST_EFFECTIVE
    return Sensitivity(
        estimate=_vanishes(lambda strength: float(lead(strength, counts[:1])[0])),
        interval=_vanishes(lambda strength: _lower_end(lead(strength, counts))) if shown else 1.0,
    )


def bounds(treated: Treated, counts: Floats, strength: float, largest: float = math.inf) -> tuple[Floats, Floats]:
    """Lowest and highest value of weighted importance sampling at a strength, both (resamples,).

    Args:
        treated: n patients.
        counts: (resamples, n).
        strength: Gamma, at least 1.
        largest: To which weights are truncated.

    Returns:
        NaN where no patient of a resample was treated as the policy would.

    Raises:
        ValueError: a strength below 1.
    """
    if not strength >= 1:
        raise ValueError(f"a strength of {strength:g} is below 1")
    least, most = _weights(treated, strength, largest)
    return _lowest(treated.returns, least, most, counts), -_lowest(-treated.returns, least, most, counts)


def _weights(treated: Treated, strength: float, largest: float) -> tuple[Floats, Floats]:
    """(n,) smallest and largest weight of each patient."""
    odds_against = 1.0 / np.where(treated.reached, treated.behaviour, 1.0) - 1.0
    ends = []
    for factor in (1.0 / strength, strength):
        ratios = np.where(treated.reached, treated.target * (1.0 + odds_against * factor), 1.0)
        ends.append(np.minimum(ratios.prod(axis=1), largest))
    return ends[0], ends[1]


def _lowest(returns: Floats, least: Floats, most: Floats, counts: Floats) -> Floats:
    """(resamples,) smallest weighted mean of returns (n,) with weights between two ends (n,).

    With the returns in ascending order some first ones have the largest weights and the others the smallest: all n + 1
    such means are at hand from cumulative sums, and the smallest of them is the answer.
    """
    on_policy = np.flatnonzero(most > 0)
    order = on_policy[np.argsort(returns[on_policy], kind="stable")]
    ascending, light, heavy = returns[order], least[order], most[order]

    def smallest(part: Floats) -> Floats:
        weight = _from_light_to_heavy(part, light, heavy)
        total = _from_light_to_heavy(part, light * ascending, heavy * ascending)
        means = np.divide(total, weight, out=np.full_like(total, np.nan), where=part.any(axis=1, keepdims=True))
        return np.asarray(means.min(axis=1))

    return over_resamples(smallest, counts[:, order])


def _from_light_to_heavy(counts: Floats, light: Floats, heavy: Floats) -> Floats:
    """(resamples, 1 + n) sums over n patients, the first k of them at `heavy` and the others at `light`."""
    steps = np.hstack([(counts @ light)[:, None], counts * (heavy - light)])
    return np.asarray(steps.cumsum(axis=1))


def _lower_end(drawn: Floats) -> float:
    """Where the interval of a difference (1 + resamples,) begins; NaN where it is not defined."""
    lower = estimate(drawn).lower
    return math.nan if lower is None else lower


def _vanishes(lead: Callable[[float], float]) -> float | None:
    """Smallest strength at which a lead, which only falls with the strength, is not above 0; by bisection."""
    if not lead(1.0) > 0:
        return 1.0
    if lead(STRONGEST) > 0:
        return None
    holds, lost = 1.0, STRONGEST
    while lost / holds > 1.0 + PRECISION:
        middle = math.sqrt(holds * lost)
        holds, lost = (middle, lost) if lead(middle) > 0 else (holds, middle)
    return lost
