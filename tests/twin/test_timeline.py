import numpy as np
import pytest

from data.dictionary import load_specification
from data.errors import WrongUsage
from twin.timeline import agrees, all_plans, effect_months, locate, plan_digits, plan_text, question_moment

SPEC = load_specification()
NAN = np.nan


def test_plans_are_every_way_to_decide() -> None:
    assert all_plans(SPEC) == ("000", "001", "010", "011", "100", "101", "110", "111")


@pytest.mark.parametrize("plan", ["000", "1--", "-1-", "---"])
def test_plans_and_digits_are_two_forms_of_one_thing(plan: str) -> None:
    assert plan_text(plan_digits(SPEC, plan)) == plan


@pytest.mark.parametrize("plan", ["", "01", "0100", "2--", "0 1", "\uff10\uff11\uff10"])
def test_what_is_no_plan_is_refused_with_the_decisions(plan: str) -> None:
    with pytest.raises(WrongUsage, match=r"expected 3 digits 0, 1 or - .*induction_chemo, concurrent_chemo"):
        plan_digits(SPEC, plan)


def test_agreement_looks_at_decisions_taken_only() -> None:
    assert agrees("110", "1--")
    assert agrees("110", "---")
    assert not agrees("010", "1--")


def test_radiotherapy_starts_at_once_without_induction() -> None:
    months = effect_months(SPEC, np.array([[0.0, 1.0, 1.0], [1.0, 1.0, 1.0], [NAN, 1.0, NAN]]))
    assert months.tolist() == [[0.0, 0.0, 6.0], [0.0, 3.0, 6.0], [0.0, 0.0, 6.0]]


def test_questions_follow_landmarks() -> None:
    assert [question_moment(SPEC, k) for k in range(3)] == ["decision_ic", "decision_cc", "decision_nd"]


def place(
    decisions: list[float], seen: tuple[bool, bool] = (False, False), assumed: list[float] | None = None
) -> tuple:
    """(landmarks reached, month lived to, index of the next decision) of one patient."""
    recorded = np.array([decisions], dtype=float)
    states = {"after_ic": np.array([seen[0]]), "after_rt": np.array([seen[1]])}
    found = locate(SPEC, recorded, recorded if assumed is None else np.array([assumed]), states)
    return int(found.landmarks_reached[0]), float(found.alive_until[0]), int(found.next_decision[0])


@pytest.mark.parametrize(
    ("decisions", "seen", "expected"),
    [
        ([NAN, NAN, NAN], (False, False), (0, 0.0, 0)),
        ([1, NAN, NAN], (False, False), (0, 0.0, 1)),
        ([1, NAN, NAN], (True, False), (1, 3.0, 1)),
        ([1, 1, NAN], (False, False), (1, 3.0, 2)),
        ([0, 1, NAN], (False, False), (0, 0.0, 2)),
        ([0, 1, NAN], (True, False), (0, 0.0, 2)),
        ([0, 1, NAN], (False, True), (2, 6.0, 2)),
        ([1, 1, 0], (True, True), (2, 6.0, 3)),
        ([0, 0, 1], (False, False), (2, 6.0, 3)),
        ([NAN, 1, NAN], (False, False), (0, 0.0, 2)),
    ],
)
def test_where_a_patient_stands(decisions: list[float], seen: tuple[bool, bool], expected: tuple) -> None:
    assert place(decisions, seen) == expected


def test_a_held_decision_says_when_the_next_acts_but_is_no_evidence_of_life() -> None:
    assert place([NAN, 1, NAN], assumed=[0, 1, 0]) == (0, 0.0, 2)
    assert place([NAN, 1, NAN], assumed=[1, 1, 0]) == (1, 3.0, 2)
