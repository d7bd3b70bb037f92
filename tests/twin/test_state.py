import pandas as pd
import pytest
from fixtures.cohorts import structural_cohort

from data.dictionary import load_specification
from data.errors import NotFound
from twin.state import Known, NotYetKnown

SPEC = load_specification()


@pytest.mark.parametrize("moment", SPEC.moments)
def test_only_what_is_available_before_the_moment_is_kept(moment: str) -> None:
    known = Known.at(structural_cohort().frame, SPEC, moment)
    kept = {SPEC.rank(SPEC.column(name).available_from) for name in known.frame.columns}
    assert all(rank < SPEC.rank(moment) for rank in kept)
    assert kept == set(range(SPEC.rank(moment)))


def test_a_later_column_is_refused_by_name() -> None:
    frame = pd.DataFrame({"age_years": [60.0], "rt_dose_gy": [70.0]})
    with pytest.raises(NotYetKnown, match=r"not yet known at decision_ic: rt_dose_gy \(from after_cc_decision\)"):
        Known(SPEC, "decision_ic", frame)


def test_a_decision_is_not_known_when_it_is_asked_for() -> None:
    frame = pd.DataFrame({"concurrent_chemo": [1.0], "concurrent_agent": ["platinum"]})
    with pytest.raises(NotYetKnown, match="concurrent_chemo"):
        Known(SPEC, "decision_cc", frame)
    assert list(Known.at(frame, SPEC, "decision_nd").frame) == ["concurrent_chemo", "concurrent_agent"]


def test_a_moment_that_does_not_exist_is_named() -> None:
    with pytest.raises(NotFound, match="unknown moment 'tomorrow'"):
        Known.at(pd.DataFrame(), SPEC, "tomorrow")
