"""Draws of one patient's risks under some plans in; curves, probabilities and paired differences out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.errors import NotFound
from twin.arrays import Floats
from twin.curve import DifferenceCurve, Estimate, RiskCurve
from twin.interval import percentile_interval, risk_band
from twin.models.dependence import Dependence


@dataclass(frozen=True, eq=False)
class Answer:
    """What a twin says about one patient under some plans."""

    plans: tuple[str, ...]
    months: Floats
    """(m,)"""
    over_time: Mapping[str, Floats]
    """By outcome: (1 + draws, plans, m) risks; row 0 is the fit"""
    binary: Mapping[str, Floats]
    """By outcome: (1 + draws, plans) probabilities"""
    dependences: tuple[Dependence, ...]
    """Of pairs of binary outcomes"""
    domain_ends: Mapping[str, float]
    level: float
    """Share of the draws within an interval"""
    interval: str

    def curves(self, plan: str) -> dict[str, RiskCurve]:
        """Risk curves by outcome under `plan`.

        Raises:
            NotFound: the plan was not asked for.
        """
        k = self._position(plan)
        curves = {}
        for name, draws in self.over_time.items():
            lower, upper = risk_band(draws[:, k], self.level)
            end = self.domain_ends[name]
            curves[name] = RiskCurve(name, self.months, draws[0, k], lower, upper, end, self.interval)
        return curves

    def probabilities(self, plan: str) -> dict[str, Estimate]:
        """Probabilities of the binary outcomes under `plan`.

        Raises:
            NotFound: the plan was not asked for.
        """
        k = self._position(plan)
        estimates = {}
        for name, draws in self.binary.items():
            estimates[name] = self._estimate(draws[:, k])
        return estimates

    def together(self, plan: str) -> dict[tuple[str, str], tuple[Estimate, Estimate]]:
        """For each pair of binary outcomes, the probabilities of both and of at least one under `plan`.

        Raises:
            NotFound: the plan was not asked for.
        """
        k = self._position(plan)
        pairs = {}
        for pair in self.dependences:
            first, second = self.binary[pair.first][:, k], self.binary[pair.second][:, k]
            both, either = (self._estimate(draws) for draws in (pair.both(first, second), pair.either(first, second)))
            pairs[pair.first, pair.second] = (both, either)
        return pairs

    def _estimate(self, draws: Floats) -> Estimate:
        lower, upper = percentile_interval(draws, self.level)
        return Estimate(float(draws[0]), float(lower), float(upper))

    def difference(self, plan_a: str, plan_b: str) -> dict[str, DifferenceCurve]:
        """Risks under `plan_a` less those under `plan_b`, by outcome.

        Raises:
            NotFound: a plan was not asked for.
        """
        a, b = self._position(plan_a), self._position(plan_b)
        differences = {}
        for name, draws in self.over_time.items():
            paired = draws[:, a] - draws[:, b]
            lower, upper = percentile_interval(paired, self.level)
            differences[name] = DifferenceCurve(name, self.months, paired[0], lower, upper, self.interval)
        return differences

    def probability_difference(self, plan_a: str, plan_b: str) -> dict[str, Estimate]:
        """Probabilities of the binary outcomes under `plan_a` less those under `plan_b`.

        Raises:
            NotFound: a plan was not asked for.
        """
        a, b = self._position(plan_a), self._position(plan_b)
        differences = {}
        for name, draws in self.binary.items():
            differences[name] = self._estimate(draws[:, a] - draws[:, b])
        return differences

    def _position(self, plan: str) -> int:
        if plan not in self.plans:
            raise NotFound.named("plan", plan, self.plans, "ask the twin for this plan too")
        return self.plans.index(plan)
