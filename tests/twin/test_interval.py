import numpy as np
import pytest
from scipy.special import expit

from twin.interval import percentile_interval, risk_band

DRAWS = 20_000


def test_an_interval_of_normal_draws_has_the_textbook_ends() -> None:
    """Log odds spread by 0.5 have 90 % of their mass within 1.645 x 0.5, and percentiles follow monotone scales."""
    draws = np.concatenate([[0.0], np.random.default_rng(0).normal(0.0, 0.5, DRAWS)])
    lower, upper = percentile_interval(expit(draws), 0.9)
    assert lower == pytest.approx(expit(-1.645 * 0.5), abs=0.005)
    assert upper == pytest.approx(expit(1.645 * 0.5), abs=0.005)


@pytest.mark.parametrize("shift", [-0.3, 0.3])
def test_the_fit_lies_within_even_where_all_draws_lie_on_one_side(shift: float) -> None:
    draws = np.concatenate([[0.5], np.random.default_rng(1).uniform(0.45, 0.55, 200) + shift])
    lower, upper = percentile_interval(draws, 0.9)
    assert lower <= 0.5 <= upper


def test_the_ends_of_a_band_never_fall_with_time() -> None:
    rng = np.random.default_rng(2)
    draws = np.sort(rng.uniform(size=(41, 3, 12)), axis=-1)
    for end in risk_band(draws, 0.9):
        assert (np.diff(end, axis=-1) >= 0).all()


def test_the_share_of_draws_within_is_the_level() -> None:
    draws = np.random.default_rng(3).normal(size=DRAWS + 1)
    draws[0] = 0.0
    lower, upper = percentile_interval(draws, 0.8)
    assert ((draws[1:] >= lower) & (draws[1:] <= upper)).mean() == pytest.approx(0.8, abs=0.001)
