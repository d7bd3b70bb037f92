"""What is likely to be seen on the way, of a fitted twin."""

import numpy as np
import pytest
from fixtures.cohorts import at_baseline, structural_cohort, structural_twin

from data.dictionary import load_specification
from data.errors import Refused
from twin.ahead import COLUMNS, Sight, sights, state_table
from twin.record import PatientRecord
from twin.simulation.sampling import sample

SPEC = load_specification()
RESPONDED = {"induction_chemo": 1.0, "ic_response_primary": "CR", "ic_response_nodal": "CR", "ic_dlt_other": 0.0}


def record(**values: str | float) -> PatientRecord:
    found = PatientRecord.from_row(SPEC, at_baseline(structural_cohort()).iloc[0])
    for column, value in values.items():
        found = found.with_value(column, value)
    return found


def moments(found: tuple[Sight, ...]) -> list[str]:
    return [sight.step.moment for sight in found]


def chances(found: tuple[Sight, ...], name: str) -> dict[str, float]:
    (thing,) = (thing for sight in found for thing in sight.things if thing.name == name)
    return {level: chance.value for level, chance in thing.levels}


def test_every_step_of_the_plan_that_lies_ahead_is_listed_and_nothing_that_is_recorded() -> None:
    twin = structural_twin()
    assert moments(sights(twin, record(), "110")) == ["after_ic", "decision_cc", "after_rt"]
    assert moments(sights(twin, record(), "000")) == ["after_rt"]
    assert moments(sights(twin, record(**RESPONDED), "110")) == ["decision_cc", "after_rt"]
    given = record(**RESPONDED, concurrent_chemo=1.0)
    assert moments(sights(twin, given, "110")) == ["after_rt"]
    partly = sights(twin, record(induction_chemo=1.0, ic_response_primary="CR"), "110")
    assert "after_ic" not in moments(partly)
    with pytest.raises(Refused, match="plan '010' disagrees"):
        sights(twin, given, "010")


def test_probabilities_add_up_lie_in_their_intervals_and_are_those_of_the_simulator() -> None:
    twin = structural_twin()
    found = sights(twin, record(), "110")
    drawn = sample(twin.situation(record().to_frame()), "110", 20_000, np.random.default_rng(0), 7.0)
    compared = 0
    for sight in found:
        for thing in sight.things:
            assert sum(chance.value for _, chance in thing.levels) == pytest.approx(1.0)
            alive = drawn[thing.name].dropna()
            for level, chance in thing.levels:
                assert chance.lower <= chance.value <= chance.upper
                error = 4.0 * np.sqrt(max(chance.value * (1.0 - chance.value), 1e-3) / len(alive))
                assert (alive == level).mean() == pytest.approx(chance.value, abs=error + 0.01), (thing.name, level)
                compared += 1
    assert compared > 30


@pytest.mark.parametrize("site", ["primary", "nodal"])
def test_a_poor_response_to_induction_foretells_one_of_the_same_site_to_radiotherapy(site: str) -> None:
    twin, seen = structural_twin(), f"ic_response_{site}"
    good, poor = (sights(twin, record(**{**RESPONDED, seen: response}), "110") for response in ("CR", "SD"))
    one, other = (chances(found, f"rt_response_{site}")["CR"] for found in (good, poor))
    assert one > other + 0.02


def test_a_chosen_agent_is_not_listed_and_leaves_the_step_before_alone() -> None:
    """Responses to induction are as if nothing was chosen; toxicities of the therapy are those of the agent."""
    twin = structural_twin()
    usual = sights(twin, record(), "110")
    by_agent = {
        agent: sights(twin, record(), "110", {"concurrent_agent": agent}) for agent in ("platinum", "cetuximab")
    }
    for found in by_agent.values():
        assert moments(found) == ["after_ic", "after_rt"]
        assert chances(found, "ic_response_primary") == pytest.approx(chances(usual, "ic_response_primary"))
    one, other = (chances(found, "rt_toxicities")["any"] for found in by_agent.values())
    low, high = sorted((one, other))
    assert high > low + 0.005
    assert low < chances(usual, "rt_toxicities")["any"] < high


def test_the_table_has_the_columns_of_the_file_and_the_order_of_the_patients() -> None:
    frame = structural_cohort().frame.head(12).sample(frac=1.0, random_state=1)
    asked = frame[list(at_baseline(structural_cohort()).columns)]
    table = state_table(structural_twin(), asked, ["000", "110"])
    assert tuple(table.columns) == COLUMNS
    assert table["patient_id"].drop_duplicates().tolist() == asked["patient_id"].tolist()
    totals = table.groupby(["patient_id", "plan", "moment", "state"])["probability"].sum()
    np.testing.assert_allclose(totals, 1.0)
    assert set(table["model"]) == {"test-1"}
    over = state_table(structural_twin(), frame[frame["neck_dissection"].notna()], "all")
    assert over.empty
    assert tuple(over.columns) == COLUMNS
