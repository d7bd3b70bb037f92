"""A policy and patients in; how much it loses to the best policy, exactly, out.

Both are followed through every history (`twin.policy.exact.follow`); nothing is sampled but patients and weights.

Relative regret is that of one patient with one choice of weights over the spread of that patient with those weights:
the difference of utility between the best and the worst plan. Where all plans are worth nearly the same, a wrong
choice is no loss but would be a large part of nothing: a spread below `LEAST_SPREAD` counts as that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

import numpy as np

from twin.arrays import Floats
from twin.policy.exact import Decide, follow, plan_values, solve
from twin.policy.patients import Patients

LEAST_SPREAD: Final = 1e-4
"""In utility with weights that add up to 1"""
TARGET_MEAN, TARGET_P95 = 0.01, 0.03
"""Of relative regret"""

Policy = Callable[[Patients, Floats], Decide]
"""A policy for patients with weights (n, outcomes)"""


@dataclass(frozen=True)
class Regret:
    """Over pairs of a patient and weights; utilities are those with weights that add up to 1."""

    mean: float
    """Of relative regret"""
    p95: float
    """95th percentile of relative regret"""
    largest: float
    absolute: float
    """Mean of regret in utility"""
    absolute_p95: float
    spread: float
    """Mean of the difference of utility between the best and the worst plan"""
    optimal: float
    """Share of pairs that lose less than a millionth"""
    narrow: float
    """Share of pairs whose spread is below `LEAST_SPREAD`"""
    pairs: int

    @classmethod
    def of(cls, lost: Floats, spread: Floats) -> Self:
        """Of regrets (k,) and spreads (k,)."""
        relative = lost / np.maximum(spread, LEAST_SPREAD)
        return cls(
            mean=float(relative.mean()),
            p95=float(np.quantile(relative, 0.95)),
            largest=float(relative.max()),
            absolute=float(lost.mean()),
            absolute_p95=float(np.quantile(lost, 0.95)),
            spread=float(spread.mean()),
            optimal=float((lost < 1e-6).mean()),
            narrow=float((spread < LEAST_SPREAD).mean()),
            pairs=len(lost),
        )

    @property
    def met(self) -> bool:
        """Whether the target is."""
        return self.mean <= TARGET_MEAN and self.p95 <= TARGET_P95

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Examination:
    """n patients with k choices of weights, and what is best for them."""

    patients: Patients
    weights: Floats
    """(k, n, outcomes) that add up to 1"""
    best: Floats
    """(k, n) utility under the best policy"""
    spread: Floats
    """(k, n) between the best and the worst plan"""

    @classmethod
    def of(cls, patients: Patients, weights: Floats) -> Self:
        """Patients with weights (k, n, outcomes) that add up to 1."""
        best = [solve(patients.prospects, own).value(own) for own in weights]
        plans = [plan_values(patients.prospects, own) for own in weights]
        return cls(patients, weights, np.array(best), np.array([np.ptp(values, axis=1) for values in plans]))

    def lost(self, policy: Policy) -> Floats:
        """(k, n) regret of a policy."""
        followed = [follow(self.patients.prospects, policy(self.patients, own)).value(own) for own in self.weights]
        return np.asarray(self.best - np.array(followed))

    def regret(self, policy: Policy) -> Regret:
        """Of a policy, over all pairs."""
        return pooled([self], policy)


def pooled(examinations: Sequence[Examination], policy: Policy) -> Regret:
    """Regret of a policy over all pairs of some examinations."""
    lost = [examination.lost(policy).ravel() for examination in examinations]
    return Regret.of(np.concatenate(lost), np.concatenate([one.spread.ravel() for one in examinations]))
