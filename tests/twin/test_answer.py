"""Answers about pairs of yes-or-no outcomes, against tables of two by two that are searched for, draw by draw."""

import numpy as np
import pytest
from scipy.optimize import brentq

from data.errors import NotFound
from twin.answer import Answer
from twin.models.dependence import Dependence

DRAWS = 200
PLANS = ("000", "010")


def answer() -> Answer:
    rng = np.random.default_rng(5)
    dependence = Dependence("tube", "aspiration", rng.normal(2.0, 0.4, 1 + DRAWS), 300)
    binary = {name: rng.uniform(0.05, 0.6, (1 + DRAWS, len(PLANS))) for name in ("tube", "aspiration")}
    return Answer(PLANS, np.empty(0), {}, binary, (dependence,), {}, 0.9, "90% of draws")


def both_by_search(first: float, second: float, odds_ratio: float) -> float:
    """The only probability of both that has these margins and this odds ratio."""

    def off(both: float) -> float:
        return both * (1 - first - second + both) - odds_ratio * (first - both) * (second - both)

    return brentq(off, max(0.0, first + second - 1.0), min(first, second), xtol=1e-13)


def test_both_and_either_are_those_of_the_tables_of_every_draw() -> None:
    asked = answer()
    odds_ratios = np.exp(asked.dependences[0].log_odds_ratio)
    for k, plan in enumerate(PLANS):
        margins = [asked.binary[name][:, k] for name in ("tube", "aspiration")]
        both = np.array([both_by_search(*row) for row in zip(*margins, odds_ratios, strict=True)])
        found = asked.together(plan)["tube", "aspiration"]
        for estimate, draws in zip(found, (both, margins[0] + margins[1] - both), strict=True):
            assert estimate.value == pytest.approx(draws[0])
            low, high = np.quantile(draws[1:], [0.05, 0.95], method="weibull")
            assert (estimate.lower, estimate.upper) == pytest.approx((min(low, draws[0]), max(high, draws[0])))


def test_pairs_of_a_plan_that_was_not_asked_for_are_refused() -> None:
    with pytest.raises(NotFound):
        answer().together("111")
