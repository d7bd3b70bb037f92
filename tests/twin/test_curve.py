import numpy as np
import pytest

from data.errors import Refused
from twin.curve import BeyondFollowUp, RiskCurve


def curve(*months: float, end: float = 60.0) -> RiskCurve:
    at = np.array(months)
    return RiskCurve("death", at, at / 100, at / 200, at / 50, end, "90% bootstrap")


def test_a_curve_is_read_between_its_months() -> None:
    found = curve(0.0, 12.0, 24.0).at(18.0)
    assert (found.value, found.lower, found.upper) == pytest.approx((0.18, 0.09, 0.36))


@pytest.mark.parametrize("month", [-1.0, 60.5, float("nan")])
def test_months_outside_the_follow_up_are_refused_by_interval(month: float) -> None:
    with pytest.raises(BeyondFollowUp, match=r"death: month .* is outside the follow-up, which is \[0, 60\] months"):
        curve(0.0, month)


@pytest.mark.parametrize("month", [-0.1, 24.1, float("nan")])
def test_a_curve_does_not_go_beyond_itself(month: float) -> None:
    with pytest.raises(Refused, match=r"outside the curve, which is \[0, 24\] months"):
        curve(0.0, 24.0).at(month)
