"""The environments draw what the exact tables say; observations hold what their layout says."""

from functools import cache

import numpy as np
import pytest
from fixtures.cohorts import at_baseline, structural_cohort, structural_twin
from fixtures.treatment import Always, patients, trivial
from stable_baselines3.common.env_checker import check_env

from twin.arrays import Flags, Floats
from twin.policy.environment import TreatmentEnv, TreatmentVecEnv
from twin.policy.exact import Question, follow, keys, plan_probabilities, plan_values, solve, spread
from twin.policy.observation import BOUND, Layout, at_first, encoded, shares
from twin.policy.patients import Patients
from twin.policy.preferences import Preferences
from twin.policy.process import Place, Process
from twin.policy.prospects import Standing

USUAL = np.array([1.0, 0.5, 0.5, 0.2, 0.2])


@cache
def process() -> Process:
    return Process.of(patients())


def one(position: int = 3) -> Patients:
    return patients().take(np.array([position]))


def often(question: Question) -> Floats:
    """Yes in 7 of 10 patients, whatever was seen."""
    return np.full(question.probability.shape, 0.7)


def draw_yes(rng: np.random.Generator, count: int) -> Flags:
    return rng.random(count) < 0.7


def test_gymnasium_and_sb3_find_nothing_wrong() -> None:
    check_env(TreatmentEnv(process(), Preferences(USUAL)))


def test_an_episode_needs_a_reset() -> None:
    env = TreatmentEnv(process(), Preferences(USUAL))
    with pytest.raises(RuntimeError, match="reset first"):
        env.step(np.int64(0))
    first, _ = env.reset(seed=1, options={"patient": 2, "weights": USUAL})
    again, _ = env.reset(seed=5, options={"patient": 2, "weights": 3.0 * USUAL})
    np.testing.assert_array_equal(first, again)
    ended = [env.step(np.int64(1))[2] for _ in range(3)]
    assert ended == [False, False, True]
    with pytest.raises(RuntimeError, match="reset first"):
        env.action_masks()


def test_many_at_once_draw_states_and_rewards_as_the_exact_tables_say() -> None:
    here, always, count = one(), Always(USUAL), 2048
    vec = TreatmentVecEnv(Process.of(here), always, count, seed=1)
    course = follow(here.prospects, often)
    order, rng = keys(here.prospects), np.random.default_rng(2)
    seen = {key: np.zeros(course.questions[key].probability.shape[1]) for key in order}
    rewards: list[float] = []
    vec.reset()
    for _ in range(3 * 12):
        for number, key in enumerate(order):
            at = vec.place.history[vec.place.node == number]
            seen[key] += np.bincount(at, minlength=len(seen[key]))
        _, reward, ended, infos = vec.step(draw_yes(rng, count).astype(int))
        rewards += reward[ended].tolist()
        assert all(("terminal_observation" in info) == over for info, over in zip(infos, ended, strict=True))
    assert len(rewards) == 12 * count
    (expected,) = course.value(spread(shares(USUAL), 1))
    assert np.mean(rewards) == pytest.approx(expected, abs=4.0 * np.std(rewards) / np.sqrt(len(rewards)))
    for key, counts in seen.items():
        share, chance = counts / counts.sum(), course.questions[key].probability[0]
        assert np.all(np.abs(share - chance) <= 5.0 * np.sqrt(chance * (1.0 - chance) / counts.sum()) + 2e-3), key


def test_one_at_a_time_has_the_expected_return_too() -> None:
    here, rng = one(5), np.random.default_rng(3)
    env = TreatmentEnv(Process.of(here), Always(USUAL))
    env.reset(seed=4)
    rewards = []
    for _ in range(1500):
        env.reset()
        ended = False
        while not ended:
            _, reward, ended, _, _ = env.step(np.int64(draw_yes(rng, 1)[0]))
        rewards.append(reward)
    (expected,) = follow(here.prospects, often).value(spread(shares(USUAL), 1))
    assert np.mean(rewards) == pytest.approx(expected, abs=4.0 * np.std(rewards) / np.sqrt(len(rewards)))


def test_a_barred_option_acts_as_the_one_that_is_allowed() -> None:
    here, count = one(), 512
    allowed = np.ones((1, 3, 2), dtype=bool)
    allowed[0, 0, 0] = allowed[0, 1, 1] = False
    vec = TreatmentVecEnv(Process.of(here, allowed), Always(USUAL), count)
    vec.reset()
    np.testing.assert_array_equal(vec.action_masks(), np.tile([False, True], (count, 1)))
    assert vec.env_method("action_masks", indices=[1])[0].tolist() == [False, True]
    vec.step(np.zeros(count, dtype=int))
    np.testing.assert_array_equal(vec.action_masks(), np.tile([True, False], (count, 1)))
    vec.step(np.ones(count, dtype=int))
    assert {keys(here.prospects)[node] for node in vec.place.node} == {"10-"}


def test_a_seed_says_what_is_drawn() -> None:
    runs = []
    for _ in range(2):
        vec = TreatmentVecEnv(process(), Preferences(USUAL), 32)
        vec.seed(9)
        found = [vec.reset()]
        found += [vec.step(np.arange(32) % 2)[0] for _ in range(5)]
        runs.append(np.stack(found))
    np.testing.assert_array_equal(runs[0], runs[1])
    assert vec.observation_space.contains(runs[0][3, 0])


def test_weights_are_shares_and_some_are_near_the_usual_ones() -> None:
    drawn = Preferences(USUAL).draw(np.random.default_rng(0), 3000)
    np.testing.assert_allclose(drawn.sum(axis=1), 1.0)
    assert (drawn >= 0).all()
    assert (drawn == 0).any(axis=1).mean() == pytest.approx(0.3, abs=0.1)
    assert (np.abs(drawn - shares(USUAL)).max(axis=1) < 0.1).mean() > 0.1
    np.testing.assert_array_equal(shares(np.zeros((1, 5))), 0.0)


def test_an_observation_holds_what_the_layout_says() -> None:
    here, layout = patients(), patients().layout
    assert Layout.from_dict(layout.as_dict()) == layout
    place = Place(np.array([4]), shares(USUAL)[None], np.array([2]), np.array([7]))
    (observation,) = process().observe(place)
    node = process().nodes[2]
    assert node.key == "1--"
    n, m = len(layout.inputs), layout.states
    np.testing.assert_allclose(observation[:n], here.inputs[4], rtol=1e-6)
    np.testing.assert_array_equal(observation[n : n + m], node.seen[7])
    assert observation[n + m : layout.weights.start].tolist() == [0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0]
    np.testing.assert_allclose(observation[layout.weights], USUAL / USUAL.sum(), rtol=1e-6)
    assert np.abs(layout.observe(1e9 * here.inputs, node.seen, "1--", here.inputs[:, :5] * 0)).max() == BOUND


def test_what_was_seen_before_stands_where_it_stood_on_the_way() -> None:
    twin, whole = structural_twin(), patients()
    nothing = at_first(twin, 1).observed
    (ahead, *_) = (of for plan, of in whole.prospects.ahead.items() if plan == "100")
    state = 5
    seen = (ahead.sights[0].codes[state], *nothing[1:])
    standing = Standing(np.arange(2), "1--", 1, 0.0, seen)
    frame = at_baseline(structural_cohort()).head(2)
    here = Patients.of(twin, frame, standing)
    np.testing.assert_array_equal(here.seen("1--")[0], whole.seen("1--")[state])
    later = len(here.seen("11-"))
    np.testing.assert_array_equal(here.seen("11-"), whole.seen("11-")[state * later : (state + 1) * later])
    np.testing.assert_array_equal(encoded(twin, frame), whole.inputs[:2])


def test_what_is_never_recorded_is_summed_over() -> None:
    here, weights = patients(), spread(shares(USUAL), patients().size)
    veil = tuple(np.ones(len(sight.step.variables), dtype=bool) for sight in here.prospects.ahead["111"].sights)
    blind, partly = here.veiled(veil), here.veiled((~veil[0], *veil[1:]))
    assert (len(blind.seen("11-")), len(partly.seen("1--"))) == (1, len(here.seen("1--")))
    np.testing.assert_array_equal(blind.seen("11-"), 0.0)
    for veiled in (blind, partly):
        np.testing.assert_allclose(plan_values(veiled.prospects, weights), plan_values(here.prospects, weights))
        lost = solve(here.prospects, weights).value(weights) - solve(veiled.prospects, weights).value(weights)
        assert lost.min() > -1e-12
    chances = plan_probabilities(blind.prospects, follow(blind.prospects, often))
    np.testing.assert_allclose(chances[:, -1], 0.7**3)
    best = plan_values(here.prospects, weights).max(axis=1)
    np.testing.assert_allclose(solve(blind.prospects, weights).value(weights), best)


def test_a_process_may_have_no_states() -> None:
    vec = TreatmentVecEnv(Process.of(trivial()), Always(np.ones(1)), 64)
    observations = vec.reset()
    _, rewards, ended, _ = vec.step((observations[:, 0] > 0).astype(int))
    assert ended.all()
    np.testing.assert_allclose(rewards, np.where(observations[:, 0] > 0, 0.8, 0.5), rtol=1e-6)
