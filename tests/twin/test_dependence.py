import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twin.models.dependence import Dependence

probabilities = st.floats(0.01, 0.99)


def of(log_odds_ratio: float) -> Dependence:
    return Dependence("one", "other", np.array([log_odds_ratio]), 100)


@given(first=probabilities, second=probabilities, log_odds_ratio=st.floats(-5, 5))
def test_the_table_of_both_outcomes_has_its_margins_and_its_odds_ratio(
    first: float, second: float, log_odds_ratio: float
) -> None:
    """Margins and odds ratio determine a table of two by two; rebuilt from the probability of both, it has them."""
    both = float(of(log_odds_ratio).both(np.array([first]), np.array([second]))[0])
    table = np.array([[both, first - both], [second - both, 1 - first - second + both]])
    assert (table > -1e-12).all()
    cross = np.log(table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0]))
    assert cross == pytest.approx(log_odds_ratio, abs=1e-5)


def test_independent_outcomes_multiply() -> None:
    found = of(0.0).either(np.array([0.3]), np.array([0.4]))
    np.testing.assert_allclose(found, [1 - 0.7 * 0.6])


@pytest.mark.parametrize("truth", [0.0, 1.2, 2.5])
def test_the_odds_ratio_of_simulated_pairs_is_found(truth: float) -> None:
    """One outcome is drawn, the other given it with its conditional probability from a table of that odds ratio."""
    rng = np.random.default_rng(4)
    first, second = rng.uniform(0.1, 0.4, 4_000), rng.uniform(0.1, 0.4, 4_000)
    both = np.array([of(truth).both(np.array([a]), np.array([b]))[0] for a, b in zip(first, second, strict=True)])
    one = rng.random(4_000) < first
    other = rng.random(4_000) < np.where(one, both / first, (second - both) / (1 - first))
    found = Dependence.fit(("one", "other"), (one * 1.0, other * 1.0), (first, second), 500, rng)
    spread = found.log_odds_ratio[1:].std()
    assert abs(found.log_odds_ratio[0] - truth) < 3 * spread
    assert spread < 0.2


def test_what_one_says_about_the_other_averages_to_its_probability_and_has_the_odds_ratio() -> None:
    pair = Dependence("one", "other", np.array([np.log(9.0)]), 100)
    asked, known = np.array([0.2, 0.5, 0.3]), np.array([0.4, 0.1, 0.0])
    with_it, without = (pair.given(asked, known, np.full(3, happened)) for happened in (True, False))
    np.testing.assert_allclose(known * with_it + (1 - known) * without, asked, atol=1e-12)
    odds = with_it[:2] / (1 - with_it[:2]) / (without[:2] / (1 - without[:2]))
    np.testing.assert_allclose(odds, 9.0)
    assert without[2] == 0.3
