"""Observed risks against lifelines, brute force and published values."""

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import exponential_cohort, structural_cohort
from lifelines import AalenJohansenFitter, KaplanMeierFitter

from data.cohort import typed_frame
from data.dictionary import load_specification
from data.errors import Refused
from data.synthetic import SURVIVAL_OUTCOMES, generate
from twin.observed import matched_plan, observed_on_plan, observed_risk, observed_share
from twin.record import decision_matrix

SPEC = load_specification()
FAILURE = "locoregional_failure"
MONTHS = [0.0, 6.0, 12.0, 24.0, 36.0, 60.0]


def table(months: list[float], failed: list[int], died: list[int]) -> pd.DataFrame:
    """Patients whose follow-up for failure is all their follow-up."""
    columns = {"os_months": months, "death": died, "lrf_months": months, "locoregional_failure": failed}
    return typed_frame(pd.DataFrame(columns, dtype=float), SPEC)


def test_risk_of_death_is_kaplan_meier_with_greenwood_intervals() -> None:
    frame = structural_cohort().frame
    found = observed_risk(frame, SPEC, "death", MONTHS)
    reference = KaplanMeierFitter(alpha=0.1).fit(frame["os_months"], frame["death"])
    np.testing.assert_allclose(found.curve.risk, 1 - reference.survival_function_at_times(MONTHS), atol=1e-12)
    ends = reference.confidence_interval_survival_function_
    at = ends.index.searchsorted(MONTHS, side="right") - 1
    np.testing.assert_allclose(found.curve.lower[1:], 1 - ends.iloc[at[1:], 1], atol=1e-9)
    np.testing.assert_allclose(found.curve.upper[1:], 1 - ends.iloc[at[1:], 0], atol=1e-9)
    assert found.curve.interval == "90% pointwise"


def test_freireich_1963_remission_times() -> None:
    """The 6-MP arm of Freireich et al. 1963 (doi:10.1182/blood.V21.6.699.699).

    Survival and Greenwood's standard errors are printed in many textbooks: 0.857 (0.076) at week 6, 0.753 (0.096) at
    week 10, 0.448 (0.135) at week 23.
    """
    times = [6, 6, 6, 7, 10, 13, 16, 22, 23, 6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
    frame = table([float(t) for t in times], [0] * 21, [1] * 9 + [0] * 12)
    found = observed_risk(frame, SPEC, "death", [6.0, 10.0, 23.0], level=0.95)
    np.testing.assert_allclose(1 - found.curve.risk, [0.857, 0.753, 0.448], atol=5e-4)
    log_survival = np.log1p(-found.curve.risk)
    error = np.log(np.log1p(-found.curve.upper) / log_survival) / 1.959964 * np.exp(log_survival) * -log_survival
    np.testing.assert_allclose(error, [0.0764, 0.0963, 0.1346], atol=5e-4)


@pytest.mark.parametrize("seed", range(3))
def test_competing_risk_is_aalen_johansen(seed: int) -> None:
    """Without ties lifelines does not jitter; variance as there."""
    rng = np.random.default_rng(seed)
    months, cause = rng.exponential(30.0, 80), rng.choice([0, 1, 2], 80)
    months[np.argmax(months)] = 200.0
    cause[np.argmax(months)] = 0
    frame = table(list(months), list(cause == 1), list(cause == 2))
    found = observed_risk(frame, SPEC, "locoregional_failure", MONTHS)
    reference = AalenJohansenFitter(calculate_variance=True).fit(months, cause, event_of_interest=1)
    at = reference.cumulative_density_.index.searchsorted(MONTHS, side="right") - 1
    np.testing.assert_allclose(found.curve.risk, reference.cumulative_density_.iloc[at, 0], atol=1e-9)
    some = found.curve.risk > 0
    variance = reference.variance_.iloc[at[some]].to_numpy()
    free = 1 - found.curve.risk[some]
    implied = np.log(np.log1p(-found.curve.upper[some]) / np.log(free)) / 1.644854 * free * -np.log(free)
    np.testing.assert_allclose(implied**2, variance, rtol=1e-4)


def test_competing_risk_of_a_handful_of_patients_by_hand() -> None:
    """Seven patients, two tied: at 2 one fails of 7; at 3 one fails and one dies of 6; at 5 one fails of 3."""
    frame = table([2, 3, 3, 4, 5, 6, 9], [1, 1, 0, 0, 1, 0, 0], [0, 0, 1, 0, 0, 1, 0])
    found = observed_risk(frame, SPEC, "locoregional_failure", [1.0, 2.0, 3.0, 5.0, 9.0])
    free_after_3 = 6 / 7 * 4 / 6
    expected = [0, 1 / 7, 1 / 7 + 6 / 7 / 6, 1 / 7 + 1 / 7 + free_after_3 / 3, 1 / 7 + 1 / 7 + free_after_3 / 3]
    np.testing.assert_allclose(found.curve.risk, expected, atol=1e-12)
    assert found.at_risk.tolist() == [7, 7, 6, 3, 1]
    assert (found.patients, found.events) == (7, 3)


def test_nothing_is_drawn_beyond_the_last_follow_up() -> None:
    found = observed_risk(table([2, 10], [0, 0], [1, 0]), SPEC, "death", [0, 2, 10, 12, 60])
    assert found.curve.months.tolist() == [0, 2, 10]
    assert found.curve.domain_end == 10
    assert found.at_risk.tolist() == [2, 2, 1, 0, 0]


def test_nobody_or_everybody_is_no_certainty() -> None:
    """Wilson's limits at 90 %: the upper one of 0 of 2 is 1.6449^2 / (2 + 1.6449^2) = 0.575, that of 2 of 2 its
    complement; at month 0 nothing can have happened."""
    found = observed_risk(table([2, 3], [0, 0], [1, 1]), SPEC, "death", [0, 1, 3])
    assert found.curve.lower == pytest.approx([0, 0, 0.425], abs=5e-4)
    assert found.curve.upper == pytest.approx([0, 0.575, 1], abs=5e-4)


def test_observed_on_a_plan_has_no_immortal_time() -> None:
    """All die at 3 % a month whatever the plan: those who die before the last decision must count in every group."""
    cohort = exponential_cohort(3000, 1, death_rate=0.03)
    decisions = decision_matrix(cohort.spec, cohort.frame)
    months = np.array([6.0, 12.0, 24.0])
    for plan in ("010", "011"):
        found = observed_on_plan(cohort, "death", plan, decisions, months)
        assert found.curve.risk == pytest.approx(1 - np.exp(-0.03 * months), abs=0.04), plan


def test_a_failure_that_brings_a_dissection_about_makes_no_difference_between_plans() -> None:
    """The observed risk is the mean truth of the group under the dissections planned for it, within three errors.

    Matched on the dissection as recorded, the failures without one would be 0.04 too few and those with one 0.14 too
    many; the error of a share of 1,500 is 0.009.
    """
    world = generate(3000, 1)
    spec, happened = world.cohort.spec, world.happened
    decisions = decision_matrix(spec, world.cohort.frame)
    assert (matched_plan(spec, "010"), matched_plan(spec, "111")) == ("01-", "11-")
    without, planned = (observed_on_plan(world.cohort, FAILURE, plan, decisions, [60.0]) for plan in ("010", "011"))
    assert without.curve.risk == planned.curve.risk
    assert without.patients == planned.patients
    matched = (decisions[:, 0] == 0) & (decisions[:, 1] == 1)
    truth = world.truth(["010", "011"], [60.0])[matched, :, SURVIVAL_OUTCOMES.index(FAILURE), 0]
    own = np.where(happened.planned_dissection[matched], truth[:, 1], truth[:, 0]).mean()
    assert without.curve.risk[0] == pytest.approx(own, abs=3 * np.sqrt(own * (1 - own) / matched.sum()))


def test_the_share_of_a_binary_outcome_has_wilsons_interval() -> None:
    """Newcombe 1998 (doi:10.1002/(SICI)1097-0258(19980430)17:8<857::AID-SIM777>3.0.CO;2-E), table I: 15 of 148."""
    frame = typed_frame(pd.DataFrame({"feeding_tube_6m": [1.0] * 15 + [0.0] * 133 + [np.nan]}), SPEC)
    found = observed_share(frame, SPEC, "feeding_tube_6m", level=0.95)
    assert (round(found.share.lower, 4), round(found.share.upper, 4)) == (0.0624, 0.1605)
    assert (found.patients, found.events) == (148, 15)


def test_a_group_without_the_outcome_is_refused() -> None:
    nobody = structural_cohort().frame.head(0)
    with pytest.raises(Refused, match="death: recorded in none of 0 patients"):
        observed_risk(nobody, SPEC, "death", [12])
    with pytest.raises(Refused, match="feeding_tube_6m: recorded in none of 0 patients"):
        observed_share(nobody, SPEC, "feeding_tube_6m")
