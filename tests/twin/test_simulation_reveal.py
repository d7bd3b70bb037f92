import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from twin.arrays import Floats
from twin.simulation.reveal import reveal, reveal_probability


def incidences(hazards: Floats) -> Floats:
    """Cumulative incidence of each cause, cell after cell: (causes, ..., cells) of the same shape."""
    result = np.zeros_like(hazards)
    free = np.ones(hazards.shape[1:-1])
    so_far = np.zeros(hazards.shape[:-1])
    for cell in range(hazards.shape[-1]):
        total = hazards[..., cell].sum(axis=0)
        leaving = -np.expm1(-total)
        for cause in range(len(hazards)):
            share = np.divide(hazards[cause, ..., cell], total, out=np.zeros_like(total), where=total > 0)
            so_far[cause] += free * leaving * share
        free = free * (1.0 - leaving)
        result[..., cell] = so_far
    return result


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    causes=st.integers(1, 2),
    rows=st.integers(1, 4),
    states=st.integers(2, 12),
    cells=st.integers(1, 12),
    scale=st.sampled_from([0.001, 0.01, 0.1, 0.5]),
    spread=st.sampled_from([0.1, 0.7, 1.5]),
)
def test_the_mixture_of_revealed_hazards_is_the_hazard_before(
    seed: int, causes: int, rows: int, states: int, cells: int, scale: float, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    before = rng.exponential(scale, (causes, rows, cells)) * (rng.random((1, 1, cells)) < 0.8)
    probability = rng.dirichlet(np.full(states, 0.5), rows)
    log_multipliers = rng.normal(0.0, spread, (causes, rows, states, 3))
    log_multipliers[..., 0] = 0.0
    period = np.sort(rng.integers(0, 3, cells))
    given_state = reveal(before, probability, log_multipliers, period)
    assert (given_state >= 0).all()
    mixture = np.einsum("rs,krsc->krc", probability, incidences(given_state))
    np.testing.assert_allclose(mixture, incidences(before), rtol=0, atol=1e-8)


def test_hazards_of_one_cause_follow_the_laplace_transform_of_the_multipliers() -> None:
    """Shares p of states with hazards w c(t) survive as sum p exp(-w C), which has to be the survival before."""
    probability, multiplier = np.array([0.5, 0.3, 0.2]), np.array([0.6, 1.5, 4.0])
    before = np.full((1, 1, 24), 0.03)
    log_multipliers = np.log(multiplier)[None, None, :, None]
    given_state = reveal(before, probability[None], log_multipliers, np.zeros(24, dtype=np.intp))
    survival = np.exp(-np.cumsum(before[0, 0]))
    level = [brentq(lambda c, s=s: probability @ np.exp(-multiplier * c) - s, 0.0, 10.0, xtol=1e-14) for s in survival]
    np.testing.assert_allclose(
        np.cumsum(given_state[0, 0], axis=1), multiplier[:, None] * np.array(level), rtol=0, atol=3e-8
    )


def test_nothing_changes_before_a_state_acts_or_where_it_says_nothing() -> None:
    rng = np.random.default_rng(0)
    before = rng.exponential(0.02, (2, 3, 8))
    probability = rng.dirichlet(np.ones(4), 3)
    period = np.array([0, 0, 0, 1, 1, 1, 1, 1])
    acting = np.stack([np.zeros((2, 3, 4)), rng.normal(size=(2, 3, 4))], axis=-1)
    early = reveal(before, probability, acting, period)[..., :3]
    np.testing.assert_array_equal(early, np.broadcast_to(before[:, :, None, :3], early.shape))
    silent = reveal(before, probability, np.full((2, 3, 4, 2), 0.7), period)
    np.testing.assert_allclose(silent, np.broadcast_to(before[:, :, None], silent.shape), rtol=1e-12)


def test_a_bad_state_raises_the_hazard_and_a_good_one_lowers_it() -> None:
    before = np.full((1, 1, 5), 0.05)
    given_state = reveal(before, np.array([[0.5, 0.5]]), np.array([[[[0.0], [1.0]]]]), np.zeros(5, dtype=np.intp))
    assert (given_state[0, 0, 0] < 0.05).all()
    assert (given_state[0, 0, 1] > 0.05).all()
    np.testing.assert_allclose(given_state[0, 0, 1] / given_state[0, 0, 0], np.e, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    states=st.integers(1, 12),
    spread=st.sampled_from([0.1, 1.0, 4.0]),
    share=st.floats(1e-4, 1 - 1e-4),
)
def test_the_mixture_of_revealed_probabilities_is_the_probability_before(
    seed: int, states: int, spread: float, share: float
) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(states), 3)
    log_odds = rng.normal(0.0, spread, (3, states))
    given_state = reveal_probability(np.full(3, share), probability, log_odds)
    np.testing.assert_allclose((probability * given_state).sum(axis=1), share, rtol=0, atol=1e-10)
    odds = given_state / (1.0 - given_state)
    np.testing.assert_allclose(np.log(odds) - np.log(odds[:, :1]), log_odds - log_odds[:, :1], atol=1e-6)


def test_two_equal_states_of_opposite_odds_have_the_closed_form() -> None:
    """With odds ratio r and probability a half before, the two are 1 / (1 + sqrt r) and its complement."""
    given_state = reveal_probability(np.array([0.5]), np.array([[0.5, 0.5]]), np.array([[0.0, np.log(9.0)]]))
    assert given_state[0] == pytest.approx([0.25, 0.75], abs=1e-12)
