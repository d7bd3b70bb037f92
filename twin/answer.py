"""Refits of one patient's risks under some plans in; curves, probabilities and paired differences out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.errors import NotFound
from twin.arrays import Floats
from twin.curve import DifferenceCurve, Estimate, RiskCurve
from twin.interval import difference_interval, probability_interval, risk_band


@dataclass(frozen=True, eq=False)
class Answer:
    """What a twin says about one patient under some plans."""

    plans: tuple[str, ...]
    months: Floats
    """(m,)"""
    over_time: Mapping[str, Floats]
    """By outcome: (1 + refits, plans, m) risks; row 0 is the fit"""
    binary: Mapping[str, Floats]
    """By outcome: (1 + refits, plans) probabilities"""
    domain_ends: Mapping[str, float]
    level: float
    """Share of the refits within an interval"""
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
            lower, upper = probability_interval(draws[:, k], self.level)
            estimates[name] = Estimate(float(draws[0, k]), float(lower), float(upper))
        return estimates

    def difference(self, plan_a: str, plan_b: str) -> dict[str, DifferenceCurve]:
        """Risks under `plan_a` less those under `plan_b`, by outcome.

        Raises:
            NotFound: a plan was not asked for.
        """
        a, b = self._position(plan_a), self._position(plan_b)
        differences = {}
        for name, draws in self.over_time.items():
            paired = draws[:, a] - draws[:, b]
            lower, upper = difference_interval(paired, self.level)
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
            paired = draws[:, a] - draws[:, b]
            lower, upper = difference_interval(paired, self.level)
            differences[name] = Estimate(float(paired[0]), float(lower), float(upper))
        return differences

    def _position(self, plan: str) -> int:
        if plan not in self.plans:
            raise NotFound.named("plan", plan, self.plans, "ask the twin for this plan too")
        return self.plans.index(plan)
