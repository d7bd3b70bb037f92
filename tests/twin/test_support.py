import numpy as np
import pytest

from twin.support import NEIGHBOURS, SupportLevel, SupportModel


def two_groups() -> SupportModel:
    """A hundred patients around 0 with plan 0, a hundred around 10 with plan 1."""
    rng = np.random.default_rng(0)
    inputs = np.vstack([rng.normal(0, 1, (100, 2)), rng.normal(10, 1, (100, 2))])
    return SupportModel.fit(inputs, np.repeat([0.0, 1.0], 100)[:, None])


PLANS = np.array([[0.0], [1.0]])


def judge(at: float, outside: tuple[str, ...] = ()) -> list:
    return two_groups().judge(np.full((1, 2), at), PLANS, [outside])[0]


def test_a_plan_that_patients_like_this_had_is_supported_and_another_is_not() -> None:
    declined, given = judge(0.0)
    assert (declined.level, declined.alike, declined.alike_with_plan) == (SupportLevel.SUPPORTED, 40, 40)
    assert (given.level, given.alike_with_plan) == (SupportLevel.UNSUPPORTED, 0)
    assert given.sentence == "0 of the 40 most alike patients had this plan."
    assert judge(10.0)[1].level is SupportLevel.SUPPORTED


def test_a_patient_unlike_the_cohort_is_unsupported_whatever_the_plan() -> None:
    far = judge(40.0)
    assert {support.level for support in far} == {SupportLevel.UNSUPPORTED}
    assert far[1].farther_than == 1.0
    assert "farther from the cohort than 100 % of its own patients" in far[1].reasons


def test_a_value_outside_the_cohort_is_at_most_thin_and_said() -> None:
    found = judge(0.0, ("age_years 110 is outside the cohort's 40 to 80",))[0]
    assert found.level is SupportLevel.THIN
    assert found.sentence.endswith("age_years 110 is outside the cohort's 40 to 80.")


def test_few_with_the_plan_are_thin() -> None:
    inputs = np.arange(100.0)[:, None]
    decisions = np.zeros((100, 1))
    decisions[47:52] = 1.0
    assert SupportModel.fit(inputs, decisions).judge(np.array([[50.0]]), PLANS, [()])[0][1].level is SupportLevel.THIN


def test_an_unfinished_plan_is_no_plan() -> None:
    model = SupportModel.fit(np.arange(50.0)[:, None], np.full((50, 1), np.nan))
    assert [support.alike_with_plan for support in model.judge(np.array([[25.0]]), PLANS, [()])[0]] == [0, 0]


def test_own_distances_leave_each_patient_out_of_their_neighbours() -> None:
    inputs = np.random.default_rng(1).normal(size=(60, 3))
    distances = np.linalg.norm(inputs[:, None] - inputs[None], axis=2)
    expected = [np.sort(np.delete(row, k))[:NEIGHBOURS].mean() for k, row in enumerate(distances)]
    np.testing.assert_allclose(SupportModel.fit(inputs, np.zeros((60, 1))).own_distances, np.sort(expected), atol=1e-6)


@pytest.mark.parametrize("patients", [1, 2, 5])
def test_a_tiny_cohort_is_judged_without_failing(patients: int) -> None:
    model = SupportModel.fit(np.arange(float(patients))[:, None], np.zeros((patients, 1)))
    assert model.judge(np.zeros((1, 1)), PLANS, [()])[0][0].level is not SupportLevel.SUPPORTED
