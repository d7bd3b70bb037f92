"""What a clinician would check first about what is recommended, on synthetic patients whom the twin never saw."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import QUICK

from data.dictionary import load_specification
from data.synthetic import generate
from twin.arrays import Floats
from twin.fitting import fit_twin
from twin.policy.exact import solve
from twin.policy.prospects import Prospects, prospects
from twin.policy.standing import standings
from twin.policy.utility import Weights
from twin.prediction import FittedTwin

SPEC = load_specification()
DEFAULT = Weights.of(SPEC)
LEARNT, OTHERS = 536, 200
SEEDS = range(4)
"""One cohort of this size can be far off: what is recommended is looked at on average over some"""


@dataclass(frozen=True, eq=False)
class Asked:
    """Patients before a decision, and what lies ahead of them by the twin of a cohort that they are not in."""

    frame: pd.DataFrame
    ahead: tuple[Prospects, ...]
    place: int

    def recommended(self, weights: Weights = DEFAULT) -> Floats:
        """(n,) 1 for "yes" and 0 for "no" at the decision; NaN for whom another one is next."""
        result = np.full(len(self.frame), np.nan)
        for some in self.ahead:
            if some.open[0] == self.place:
                result[some.rows] = solve(some, weights.array(some.outcomes)).yes[some.so_far][:, 0]
        return result

    def expected(self, outcome: str, weights: Weights) -> float:
        """Mean loss under the best policy."""
        losses = [solve(some, weights.array(some.outcomes)).losses for some in self.ahead]
        return float(np.concatenate(losses)[:, self.ahead[0].outcomes.index(outcome)].mean())


@cache
def learnt(seed: int) -> tuple[FittedTwin, pd.DataFrame]:
    """A twin, and other patients."""
    cohort = generate(LEARNT + OTHERS, seed).cohort
    twin = fit_twin(replace(cohort, frame=cohort.frame.head(LEARNT)), QUICK)
    return twin, cohort.frame.iloc[LEARNT:].reset_index(drop=True)


@cache
def asked(moment: str, seed: int) -> Asked:
    twin, others = learnt(seed)
    frame = others[[column.name for column in SPEC.available_before(moment) if column.name in others]]
    place = [decision.moment for decision in SPEC.decisions].index(moment)
    ahead = tuple(some for standing in standings(twin, frame) for some in prospects(twin, frame, standing))
    return Asked(frame, ahead, place)


def on_average(moment: str, of: Callable[[pd.DataFrame], pd.Series] | None = None, weights: Weights = DEFAULT) -> float:
    """Share of "yes" over all cohorts' patients, or some of them."""
    parts = []
    for seed in SEEDS:
        one = asked(moment, seed)
        yes = one.recommended(weights)
        parts.append(yes if of is None else yes[of(one.frame).to_numpy(dtype=bool)])
    assert sum(np.isfinite(part).sum() for part in parts) >= 10
    return float(np.nanmean(np.concatenate(parts)))


def extensive_without_hpv(frame: pd.DataFrame) -> pd.Series:
    return (frame.hpv_status == "negative") & ((frame.t_stage == "T4") | (frame.n_stage == "N3"))


def early_with_hpv(frame: pd.DataFrame) -> pd.Series:
    return (frame.hpv_status == "positive") & frame.t_stage.isin(["T1", "T2"]) & frame.n_stage.isin(["N0", "N1"])


def test_concurrent_chemotherapy_is_not_abandoned() -> None:
    assert 0.3 < on_average("decision_cc") < 0.98


def test_extensive_disease_without_hpv_gets_induction_more_often() -> None:
    extensive, early = (on_average("decision_ic", group) for group in (extensive_without_hpv, early_with_hpv))
    assert extensive > early + 0.2


def test_a_neck_with_disease_left_is_dissected_far_more_often_than_a_clear_one() -> None:
    partial, complete = (
        on_average("decision_nd", lambda frame, level=level: frame.rt_response_nodal == level) for level in ("PR", "CR")
    )
    assert partial > complete + 0.4


@pytest.mark.parametrize("harm", ["feeding_tube_6m", "aspiration_6m"])
@pytest.mark.parametrize("moment", ["decision_ic", "decision_cc", "decision_nd"])
def test_more_weight_on_a_harm_never_makes_more_of_it(moment: str, harm: str) -> None:
    before = np.inf
    for weight in (0.0, 0.1, 0.2, 0.4, 0.8, 1.6):
        expected = asked(moment, 0).expected(harm, Weights.of(SPEC, {harm: weight}))
        assert expected <= before + 1e-9
        before = expected


def test_with_survival_alone_more_concurrent_chemotherapy_is_given() -> None:
    """Nothing is lost by a harm that does not count."""
    alone = Weights.of(SPEC, {outcome.name: 0.0 for outcome in SPEC.outcomes if outcome.name != "death"})
    assert on_average("decision_cc", weights=alone) > 0.9
