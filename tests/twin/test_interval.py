import numpy as np
import pytest

from twin.interval import difference_interval, probability_interval, risk_interval


@pytest.mark.parametrize("interval", [risk_interval, probability_interval])
@pytest.mark.parametrize("shift", [0.0, 0.3, -0.05])
def test_the_fit_lies_within_even_where_all_refits_lie_on_one_side(interval, shift: float) -> None:
    rng = np.random.default_rng(0)
    draws = np.clip(0.1 + shift + 0.02 * rng.standard_normal((201, 50)), 0.0, 1.0)
    draws[0] = 0.1
    lower, upper = interval(draws, 0.9)
    assert ((lower <= draws[0]) & (draws[0] <= upper)).all()
    assert ((lower >= 0) & (upper <= 1)).all()


def test_where_refits_are_centred_the_interval_is_that_of_their_percentiles() -> None:
    draws = np.concatenate([[0.3], np.linspace(0.2, 0.4, 201)])[:, None]
    lower, upper = risk_interval(draws, 0.9)
    assert (lower.item(), upper.item()) == pytest.approx((0.21, 0.39))


def test_the_spread_on_the_scale_of_the_log_hazard_is_kept() -> None:
    """Refits of exponential curves with log hazards spread by 0.1 give ends 2 x 1.645 x 0.1 apart on that scale."""
    rng = np.random.default_rng(1)
    log_hazards = np.log(0.02) + 0.1 * rng.standard_normal(4000) + 0.5
    draws = 1 - np.exp(-60.0 * np.exp(np.concatenate([[np.log(0.02)], log_hazards])))
    lower, upper = risk_interval(draws, 0.9)
    width = np.log(np.log1p(-upper) / np.log1p(-lower))
    assert width == pytest.approx(2 * 1.645 * 0.1, rel=0.05)


def test_certainties_stay_certain() -> None:
    draws = np.zeros((50, 3))
    draws[:, 1] = 1.0
    draws[:, 2] = 0.5
    for interval in (risk_interval, probability_interval):
        lower, upper = interval(draws, 0.9)
        assert lower.tolist() == pytest.approx([0.0, 1.0, 0.5])
        assert upper.tolist() == pytest.approx([0.0, 1.0, 0.5])


def test_differences_stay_on_their_own_scale() -> None:
    draws = np.concatenate([[-0.1], np.linspace(-0.3, 0.1, 201)])
    lower, upper = difference_interval(draws, 0.9)
    assert (float(lower), float(upper)) == pytest.approx((-0.28, 0.08))
