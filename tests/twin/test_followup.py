import numpy as np
import pandas as pd
import pytest

from data.cohort import typed_frame
from data.dictionary import load_specification
from twin.models.followup import CENSORED, EVENT, FORESTALLED, FollowUp, episodes, follow_up, while_on_plan

SPEC = load_specification()


def failures(rows: list[dict[str, float]]) -> FollowUp:
    frame = typed_frame(pd.DataFrame(rows), SPEC)
    return follow_up(frame, SPEC, SPEC.outcome("locoregional_failure"))


def test_death_forestalls_a_failure_only_where_it_ends_the_follow_up_for_it() -> None:
    died, examined = {"os_months": 40.0, "death": 1.0}, {"os_months": 40.0, "death": 0.0}
    followed = failures(
        [
            {**died, "lrf_months": 40.0, "locoregional_failure": 0.0},
            {**died, "lrf_months": 20.0, "locoregional_failure": 0.0},
            {**died, "lrf_months": 20.0, "locoregional_failure": 1.0},
            {**examined, "lrf_months": 40.0, "locoregional_failure": 0.0},
            {**died, "lrf_months": 39.95, "locoregional_failure": 0.0},
        ]
    )
    assert followed.cause.tolist() == [FORESTALLED, CENSORED, EVENT, CENSORED, FORESTALLED]
    assert followed.months.tolist() == [40.0, 20.0, 20.0, 40.0, 39.95]


def test_an_outcome_that_is_not_recorded_has_no_follow_up() -> None:
    followed = failures([{"os_months": 10.0, "death": 0.0, "lrf_months": np.nan, "locoregional_failure": 1.0}])
    assert not followed.recorded.any()


def test_an_event_on_the_first_day_is_at_risk_of_it() -> None:
    frame = typed_frame(pd.DataFrame([{"os_months": 0.0, "death": 1.0}]), SPEC)
    followed = follow_up(frame, SPEC, SPEC.outcome("death"))
    assert 0 < followed.months[0] < 1 / 30
    assert followed.cause[0] == EVENT


def test_a_binary_outcome_has_no_follow_up() -> None:
    with pytest.raises(ValueError, match="feeding_tube_6m has no time"):
        follow_up(pd.DataFrame(), SPEC, SPEC.outcome("feeding_tube_6m"))


def cut(months: float, cause: int, decision: float, *, effect: float = 6.0, origin: float = 0.0) -> list[tuple]:
    """(start, stop, event, decision) of the episodes of one patient with one decision."""
    made = episodes(
        FollowUp(np.array([months]), np.array([cause])),
        EVENT,
        np.array([[7.0]]),
        np.array([[decision]]),
        np.array([[effect]]),
        origin,
    )
    assert (made.inputs[:, 0] == 7.0).all()
    rows = zip(made.start, made.stop, made.event, made.inputs[:, 1], strict=True)
    return [(float(a), float(b), bool(c), float(d)) for a, b, c, d in rows]


def test_a_decision_counts_from_the_month_it_takes_effect() -> None:
    assert cut(20.0, EVENT, 1.0) == [(0.0, 6.0, False, 0.0), (6.0, 20.0, True, 1.0)]


def test_what_does_not_change_is_one_episode() -> None:
    assert cut(20.0, EVENT, 0.0) == [(0.0, 20.0, True, 0.0)]
    assert cut(20.0, EVENT, 1.0, effect=0.0) == [(0.0, 20.0, True, 1.0)]


def test_who_dies_before_a_decision_never_enters_the_time_it_acts_in() -> None:
    assert cut(4.0, EVENT, np.nan) == [(0.0, 4.0, True, 0.0)]
    assert cut(6.0, EVENT, np.nan) == [(0.0, 6.0, True, 0.0)]


def test_who_lives_to_an_unrecorded_decision_leaves_at_it() -> None:
    assert cut(20.0, EVENT, np.nan) == [(0.0, 6.0, False, 0.0)]


def test_a_competing_event_is_censoring_for_this_cause() -> None:
    assert cut(20.0, FORESTALLED, 0.0) == [(0.0, 20.0, False, 0.0)]


def test_from_a_landmark_on_only_what_follows_it_counts() -> None:
    assert cut(20.0, EVENT, 1.0, origin=6.0) == [(6.0, 20.0, True, 1.0)]
    assert cut(6.0, EVENT, 1.0, origin=6.0) == []


@pytest.mark.parametrize("seed", range(5))
def test_episodes_add_up_to_the_follow_up(seed: int) -> None:
    """Whatever the cuts, the time at risk of patients whose decisions are known is the time they were followed."""
    rng = np.random.default_rng(seed)
    months = rng.exponential(10.0, 50)
    decisions = rng.integers(0, 2, (50, 3)).astype(float)
    effects = rng.choice([0.0, 3.0, 6.0], (50, 3))
    made = episodes(FollowUp(months, rng.integers(0, 3, 50)), EVENT, np.zeros((50, 1)), decisions, effects, 0.0)
    at_risk = np.bincount(made.patient, weights=made.stop - made.start)
    np.testing.assert_allclose(at_risk, months)


def test_a_decision_that_a_plan_leaves_open_ends_nobodys_time_on_it() -> None:
    followed = FollowUp(np.full(4, 20.0), np.full(4, EVENT))
    decisions = np.array([[0.0, 0.0], [0.0, 1.0], [0.0, np.nan], [1.0, 0.0]])
    months = np.tile([3.0, 6.0], (4, 1))
    matched = while_on_plan(followed, decisions, months, np.array([0.0, 0.0]))
    assert matched.months.tolist() == [20.0, 6.0, 6.0, 3.0]
    opened = while_on_plan(followed, decisions, months, np.array([0.0, np.nan]))
    assert opened.months.tolist() == [20.0, 20.0, 20.0, 3.0]
    assert opened.cause.tolist() == [EVENT, EVENT, EVENT, CENSORED]
