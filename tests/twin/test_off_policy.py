"""Policy values against a world small enough to enumerate, and against patients whose fate under a policy is known."""

import itertools
import json
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.special import expit

from data.cohort import typed_frame
from data.errors import Refused
from data.synthetic import generate, simulate
from data.synthetic.draws import generator_draw
from data.synthetic.parameters import PARAMETERS
from data.synthetic.recording import record
from data.synthetic.simulation import Trajectories, run
from twin.metrics.intervals import resample_counts
from twin.policy.observed_utility import observed_losses
from twin.policy.off_policy import (
    Estimator,
    ModelValues,
    OffPolicySettings,
    Treated,
    as_observed,
    doubly_robust,
    effective_sample_size,
    importance_sampling,
    of_option_taken,
    off_policy,
    weighted_doubly_robust,
)
from twin.policy.sensitivity import STRONGEST, Sensitivity, bounds, sensitivity
from twin.policy.utility import HORIZON_MONTHS, Weights, utility

# A world of two decisions: a patient is of kind 0 or 1; after the first decision dead (DEAD) or in state 0 or 1; the
# dead have no second decision; in the end things went well (1) or not (0).

DEAD = 2
KIND = np.array([0.4, 0.6])
STATE = np.array([[[0.1, 0.5, 0.4], [0.3, 0.3, 0.4]], [[0.2, 0.2, 0.6], [0.05, 0.75, 0.2]]])[:, :, [1, 2, 0]]
"""(kind, first, state) probabilities, of states 0, 1 and dead"""
WELL = np.array(
    [[[[0.2, 0.7], [0.5, 0.4]], [[0.9, 0.3], [0.6, 0.8]]], [[[0.1, 0.3], [0.7, 0.2]], [[0.5, 0.9], [0.4, 0.6]]]]
)
"""(kind, first, state, second) probability that things went well"""
PHYSICIANS = (np.array([0.3, 0.7]), np.array([[[0.2, 0.6], [0.5, 0.8]], [[0.4, 0.3], [0.7, 0.5]]]))
"""Probability of "yes" by kind, and by kind, first and state"""
POLICY = (np.array([0.9, 0.25]), np.array([[[0.5, 0.1], [1.0, 0.7]], [[0.0, 0.6], [0.3, 0.9]]]))


def chance(yes: float, option: int) -> float:
    return yes if option else 1.0 - yes


@dataclass(frozen=True)
class Expected:
    """What somebody expects of the options, and of the policy if they are right."""

    first: np.ndarray
    """(kind, first)"""
    second: np.ndarray
    """(kind, first, state, second)"""

    def at_first(self, kind: int) -> float:
        return sum(chance(POLICY[0][kind], first) * self.first[kind, first] for first in (0, 1))

    def at_second(self, kind: int, first: int, state: int) -> float:
        return sum(chance(POLICY[1][kind, first, state], k) * self.second[kind, first, state, k] for k in (0, 1))


def right() -> Expected:
    """By going back from the end; the dead are worth nothing."""
    later = Expected(np.empty((2, 2)), WELL)
    first = [
        [sum(STATE[kind, first, state] * later.at_second(kind, first, state) for state in (0, 1)) for first in (0, 1)]
        for kind in (0, 1)
    ]
    return Expected(np.array(first), WELL)


RIGHT = right()
TRUTH = float(KIND @ [RIGHT.at_first(0), RIGHT.at_first(1)])


@dataclass
class Course:
    probability: float
    """Under the physicians"""
    taken: tuple[float, float]
    target: tuple[float, float]
    behaviour: tuple[float, float]
    outcome: float
    q: tuple[float, float]
    v: tuple[float, float]


def course(expected: Expected, kind: int, first: int, state: int, second: int, well: int) -> Course:
    b1, p1 = chance(PHYSICIANS[0][kind], first), chance(POLICY[0][kind], first)
    before = KIND[kind] * b1 * STATE[kind, first, state]
    q1, v1, nan = expected.first[kind, first], expected.at_first(kind), float("nan")
    if state == DEAD:
        return Course(before, (first, nan), (p1, nan), (b1, nan), 0.0, (q1, nan), (v1, nan))
    b2, p2 = chance(PHYSICIANS[1][kind, first, state], second), chance(POLICY[1][kind, first, state], second)
    ends = WELL[kind, first, state, second]
    return Course(
        before * b2 * chance(ends, well),
        (first, second),
        (p1, p2),
        (b1, b2),
        float(well),
        (q1, expected.second[kind, first, state, second]),
        (v1, expected.at_second(kind, first, state)),
    )


def everything(expected: Expected) -> list[Course]:
    """Every course that can happen, once."""
    alive = itertools.product((0, 1), (0, 1), (0, 1), (0, 1), (0, 1))
    dead = itertools.product((0, 1), (0, 1), (DEAD,), (0,), (0,))
    return [course(expected, *steps) for steps in (*alive, *dead)]


def arrays(courses: list[Course]) -> tuple[Treated, ModelValues]:
    def table(name: str) -> np.ndarray:
        return np.array([getattr(one, name) for one in courses], dtype=float)

    return (
        Treated(table("taken"), table("target"), table("behaviour"), table("outcome")),
        ModelValues(table("q"), table("v")),
    )


COURSES = everything(RIGHT)
ALL, MODEL = arrays(COURSES)
CHANCES = np.array([[one.probability for one in COURSES]])
"""As counts they make the mean over a sample the expectation over the physicians' patients."""
rng = np.random.default_rng(0)
_, WRONG_MODEL = arrays(everything(Expected(rng.uniform(0, 1, (2, 2)), rng.uniform(0, 1, (2, 2, 2, 2)))))
WRONG_PHYSICIANS = replace(ALL, behaviour=np.sqrt(ALL.behaviour))
NOTHING = ModelValues(np.zeros_like(ALL.taken), np.zeros_like(ALL.taken))


def drawn(n: int, seed: int) -> tuple[Treated, ModelValues]:
    rows = np.random.default_rng(seed).choice(len(COURSES), n, p=CHANCES[0])
    return arrays([COURSES[row] for row in rows])


def test_the_world_adds_up():
    assert CHANCES.sum() == pytest.approx(1.0)
    assert len(COURSES) == 36


def test_importance_sampling_is_unbiased():
    """A model that says 0 leaves plain importance sampling; and the weights have mean one at every decision."""
    assert doubly_robust(ALL, NOTHING, CHANCES)[0] == pytest.approx(TRUTH, abs=1e-12)
    np.testing.assert_allclose(CHANCES @ ALL.weights(), 1.0, atol=1e-12)
    assert importance_sampling(ALL, CHANCES)[0] == pytest.approx(TRUTH, abs=1e-12)


@pytest.mark.parametrize("estimator", [doubly_robust, weighted_doubly_robust])
def test_either_the_model_or_the_probabilities_may_be_wrong(estimator):
    assert estimator(ALL, MODEL, CHANCES)[0] == pytest.approx(TRUTH, abs=1e-12)
    assert estimator(ALL, WRONG_MODEL, CHANCES)[0] == pytest.approx(TRUTH, abs=1e-12)
    assert estimator(WRONG_PHYSICIANS, MODEL, CHANCES)[0] == pytest.approx(TRUTH, abs=1e-12)
    assert abs(estimator(WRONG_PHYSICIANS, WRONG_MODEL, CHANCES)[0] - TRUTH) > 0.02


def test_truncation_keeps_a_right_model_right():
    assert doubly_robust(ALL, MODEL, CHANCES, largest=0.8)[0] == pytest.approx(TRUTH, abs=1e-12)
    assert abs(importance_sampling(ALL, CHANCES, largest=0.8)[0] - TRUTH) > 0.005


def test_a_right_model_lowers_the_variance():
    values = {model: [] for model in ("right", "none")}
    for seed in range(200):
        treated, model = drawn(200, seed)
        nothing = ModelValues(0.0 * treated.taken, 0.0 * treated.taken)
        values["right"].append(doubly_robust(treated, model, np.ones((1, 200)))[0])
        values["none"].append(doubly_robust(treated, nothing, np.ones((1, 200)))[0])
    assert np.mean(values["right"]) == pytest.approx(TRUTH, abs=0.01)
    assert np.mean(values["none"]) == pytest.approx(TRUTH, abs=0.02)
    assert np.var(values["right"]) < 0.85 * np.var(values["none"])


def test_intervals_cover_the_truth():
    """Of 100 samples 95 are expected, and fewer than 88 once in a thousand."""
    covered = dict.fromkeys(Estimator, 0)
    for seed in range(100):
        treated, model = drawn(300, seed)
        found = off_policy(treated, model, resample_counts(300, 300, seed))
        for name, one in found.values.items():
            covered[name] += one.value.lower <= TRUTH <= one.value.upper
    assert min(covered.values()) >= 88


def test_the_difference_is_paired():
    """Policy as practised: in every resample its value is what was observed."""
    treated, model = drawn(200, 1)
    counts = resample_counts(200, 100, seed=0)
    found = off_policy(replace(treated, target=treated.behaviour), model, counts)
    weighted = found.values[Estimator.WEIGHTED]
    assert weighted.value == found.physicians
    assert (weighted.difference.value, weighted.difference.lower, weighted.difference.upper) == (0.0, 0.0, 0.0)
    assert weighted.effective_sample_size == pytest.approx(200)
    assert weighted.claim
    assert not weighted.better
    assert found.agreeing == 200
    np.testing.assert_allclose(as_observed(treated, counts), counts @ treated.returns / 200)


def test_weighted_importance_sampling_stays_within_the_returns():
    treated, _ = drawn(60, 2)
    treated = replace(treated, returns=np.random.default_rng(0).uniform(0.3, 0.4, 60))
    values = importance_sampling(treated, resample_counts(60, 500, seed=0))
    assert (values >= treated.returns.min()).all()
    assert (values <= treated.returns.max()).all()


def test_the_order_of_patients_does_not_matter():
    treated, model = drawn(150, 3)
    counts, order = resample_counts(150, 50, seed=0), np.random.default_rng(0).permutation(150)
    other = Treated(treated.taken[order], treated.target[order], treated.behaviour[order], treated.returns[order])
    model_too = ModelValues(model.taken[order], model.policy[order])
    one, two = off_policy(treated, model, counts), off_policy(other, model_too, counts[:, order])
    for name in Estimator:
        assert one.values[name].value.value == pytest.approx(two.values[name].value.value, abs=1e-12)
        assert one.values[name].difference.lower == pytest.approx(two.values[name].difference.lower, abs=1e-12)
    assert sensitivity(treated, counts) == sensitivity(other, counts[:, order])


def test_effective_sample_size():
    assert effective_sample_size(np.array([1.0, 1.0, 0.0])) == 2.0
    assert effective_sample_size(np.array([3.0, 1.0])) == pytest.approx(16 / 10)
    assert effective_sample_size(np.zeros(4)) == 0.0


def test_nothing_is_claimed_from_few():
    treated, model = drawn(40, 4)
    found = off_policy(treated, model, resample_counts(40, 100, seed=0)).values[Estimator.DOUBLY_ROBUST]
    assert found.effective_sample_size < 30
    assert found.value.value is not None
    assert not found.claim
    assert not found.better
    assert "30 are needed" in found.reason
    assert sensitivity(treated, resample_counts(40, 100, seed=0)).interval == 1.0


def test_a_policy_that_nobody_followed_has_no_value():
    treated, _ = drawn(50, 5)
    nobody = replace(treated, target=np.zeros_like(treated.target))
    counts = resample_counts(50, 20, seed=0)
    found = off_policy(nobody, None, counts)
    weighted = found.values[Estimator.WEIGHTED]
    assert (weighted.value.value, weighted.effective_sample_size, weighted.claim) == (None, 0.0, False)
    assert (found.agreeing, found.largest_share) == (0, 0.0)
    assert list(found.values) == [Estimator.WEIGHTED]
    assert sensitivity(nobody, counts) == Sensitivity(1.0, 1.0)


def test_without_resamples_nothing_is_claimed():
    treated, model = drawn(200, 6)
    found = off_policy(replace(treated, target=treated.behaviour), model, np.ones((1, 200)))
    assert found.values[Estimator.WEIGHTED].reason.startswith("no interval")


def test_a_decision_that_nobody_had_changes_nothing():
    treated, model = drawn(80, 7)
    none, counts = np.full((80, 1), np.nan), resample_counts(80, 10, seed=0)

    def between(table: np.ndarray) -> np.ndarray:
        return np.hstack([table[:, :1], none, table[:, 1:]])

    wider = Treated(between(treated.taken), between(treated.target), between(treated.behaviour), treated.returns)
    wider_model = ModelValues(between(model.taken), between(model.policy))
    for estimator in (doubly_robust, weighted_doubly_robust):
        np.testing.assert_allclose(estimator(wider, wider_model, counts), estimator(treated, model, counts))
    np.testing.assert_allclose(importance_sampling(wider, counts), importance_sampling(treated, counts))


def test_without_decisions_the_value_is_what_was_observed():
    empty = np.empty((20, 0))
    treated = Treated(empty, empty, empty, np.linspace(0, 1, 20))
    found = off_policy(treated, ModelValues(empty, empty), resample_counts(20, 20, seed=0))
    assert {one.value.value for one in found.values.values()} == {0.5}


def test_truncation_is_counted():
    treated, model = drawn(100, 8)
    found = off_policy(treated, model, resample_counts(100, 20, seed=0), OffPolicySettings(largest_weight=2.0))
    assert found.truncated == (treated.final_weights() > 2.0).sum() > 0
    assert found.largest_share == pytest.approx(2.0 / np.minimum(treated.final_weights(), 2.0).sum())


def test_it_becomes_json():
    treated, model = drawn(100, 9)
    found = json.loads(json.dumps(off_policy(treated, model, resample_counts(100, 20, seed=0)).as_dict()))
    assert set(found["values"]) == {"weighted", "doubly_robust", "weighted_doubly_robust"}
    assert set(found["values"]["weighted"]["value"]) == {"value", "lower", "upper"}


def test_probability_of_what_was_decided():
    np.testing.assert_array_equal(
        of_option_taken(np.array([[0.2, 0.2, 0.2]]), np.array([[1.0, 0.0, np.nan]])), [[0.2, 0.8, np.nan]]
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"returns": np.full(2, np.nan)}, "finite"),
        ({"returns": np.zeros(3)}, "one a patient"),
        ({"target": np.full((2, 1), 1.1)}, "0 to 1"),
        ({"target": np.full((2, 1), np.nan)}, "0 to 1"),
        ({"behaviour": np.zeros((2, 1))}, "above 0"),
        ({"behaviour": np.ones((2, 2))}, "one shape"),
        ({"taken": np.full((2, 1), 2.0)}, "0, 1 or NaN"),
    ],
)
def test_impossible_input_is_refused(change, said):
    fine = {"taken": np.ones((2, 1)), "target": np.ones((2, 1)), "behaviour": np.ones((2, 1)), "returns": np.ones(2)}
    with pytest.raises(ValueError, match=said):
        Treated(**{**fine, **change})


def test_a_model_without_a_value_is_refused():
    treated, model = drawn(10, 0)
    counts = np.ones((1, 10))
    with pytest.raises(ValueError, match="lacks a value"):
        doubly_robust(treated, ModelValues(model.taken * np.nan, model.policy), counts)
    with pytest.raises(ValueError, match="must be that of the policy"):
        doubly_robust(replace(treated, target=np.ones((10, 2))), model, counts)
    with pytest.raises(ValueError, match="shape"):
        doubly_robust(treated, ModelValues(model.taken[:, :1], model.policy[:, :1]), counts)
    with pytest.raises(ValueError, match="one shape"):
        ModelValues(model.taken, model.policy[:, :1])
    with pytest.raises(Refused, match="above 0"):
        OffPolicySettings(largest_weight=0.0)
    with pytest.raises(Refused, match="no patients"):
        off_policy(Treated(*np.empty((3, 0, 2)), np.empty(0)), None, np.ones((1, 0)))


# A cause that nobody recorded


def extreme(treated: Treated, strength: float, sign: float) -> float:
    """The bound as a linear program, by Charnes and Cooper's substitution for ratios (doi:10.1002/nav.3800090303).

    Variables are the share of every patient in the weight, and one over the total weight.
    """
    here = treated.reached
    against = np.where(here, 1.0 / treated.behaviour - 1.0, 0.0)
    target = np.where(here, treated.target, 1.0)
    least, most = ((target * (1.0 + against * factor)).prod(axis=1) for factor in (1.0 / strength, strength))
    n = treated.size
    limits = np.vstack(
        [np.hstack([-np.eye(n), least[:, None]]), np.hstack([np.eye(n), -most[:, None]])],
    )
    found = linprog(
        np.append(sign * treated.returns, 0.0),
        A_ub=limits,
        b_ub=np.zeros(2 * n),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=(0, None),
    )
    assert found.success
    return sign * found.fun


@pytest.mark.parametrize("strength", [1.0, 1.3, 2.0, 8.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bounds_are_those_of_a_linear_program(strength, seed):
    treated, _ = drawn(15, seed)
    treated = replace(treated, returns=np.random.default_rng(seed).normal(size=15).round(1))
    lower, upper = bounds(treated, np.ones((1, 15)), strength)
    assert lower[0] == pytest.approx(extreme(treated, strength, 1.0), abs=1e-8)
    assert upper[0] == pytest.approx(extreme(treated, strength, -1.0), abs=1e-8)


def test_at_strength_one_the_bounds_are_the_estimate():
    treated, _ = drawn(100, 1)
    counts = resample_counts(100, 20, seed=0)
    for largest in (np.inf, 2.0):
        lower, upper = bounds(treated, counts, 1.0, largest)
        np.testing.assert_allclose(lower, importance_sampling(treated, counts, largest), atol=1e-12)
        np.testing.assert_allclose(upper, lower, atol=1e-12)


def test_bounds_only_widen_with_the_strength():
    treated, _ = drawn(100, 2)
    found = np.array([bounds(treated, np.ones((1, 100)), strength) for strength in np.linspace(1, 10, 40)])[:, :, 0]
    assert (np.diff(found[:, 0]) <= 1e-12).all()
    assert (np.diff(found[:, 1]) >= -1e-12).all()
    with pytest.raises(ValueError, match="below 1"):
        bounds(treated, np.ones((1, 100)), 0.9)


def test_counts_are_the_same_as_repeating_patients():
    treated, _ = drawn(40, 3)
    counts = resample_counts(40, 5, seed=0)
    together = np.array(bounds(treated, counts, 1.7))
    for k, row in enumerate(counts):
        rows = np.repeat(np.arange(40), row.astype(int))
        alone = Treated(*(getattr(treated, name)[rows] for name in ("taken", "target", "behaviour", "returns")))
        np.testing.assert_allclose(np.array(bounds(alone, np.ones((1, 40)), 1.7))[:, 0], together[:, k], atol=1e-12)


def confounded(strength: float) -> tuple[Treated, np.ndarray, float]:
    """A hidden cause that is also the return moves the odds of "yes" from even, by `strength` either way.

    Returns:
        The policy "yes" for everybody, the probability of each kind of patient, and the value of the policy.
    """
    yes = np.array([1.0, strength]) / np.array([1.0 + strength, 1.0 + strength])
    kinds = [(cause, option) for cause in (0, 1) for option in (0, 1)]
    chances = np.array([[0.5 * chance(yes[cause], option) for cause, option in kinds]])
    taken = np.array([[float(option)] for _, option in kinds])
    recorded = np.full((4, 1), 0.5)
    return Treated(taken, taken, recorded, np.array([float(cause) for cause, _ in kinds])), chances, 0.5


@pytest.mark.parametrize("strength", [1.5, 3.0])
def test_bounds_hold_the_truth_under_a_cause_of_that_strength(strength):
    treated, chances, truth = confounded(strength)
    assert importance_sampling(treated, chances)[0] == pytest.approx(strength / (1.0 + strength))
    lower, upper = bounds(treated, chances, strength)
    assert lower[0] <= truth <= upper[0]
    lower, _ = bounds(treated, chances, 1.0 + 0.2 * (strength - 1.0))
    assert lower[0] > truth


def test_the_strength_at_which_a_lead_vanishes():
    """Of 60 treated 45 fare well, of 40 untreated none: at ratio r of weights, 45 / (45 + 15 r) is 45 / 100."""
    taken = np.repeat([1.0, 0.0], [60, 40])[:, None]
    returns = np.repeat([1.0, 0.0], [45, 55])
    treated = Treated(taken, taken, np.where(taken == 1, 0.6, 0.4), returns)
    counts = resample_counts(100, 300, seed=0)
    found = sensitivity(treated, counts)
    ratio = 55 / 15
    # (1 + a g) / (1 + a / g) = ratio, with odds against a
    against = 0.4 / 0.6
    expected = max(np.roots([against, 1.0 - ratio, -ratio * against]))
    assert found.estimate == pytest.approx(expected, rel=0.006)
    assert 1.0 < found.interval < found.estimate
    lower, _ = bounds(treated, counts, found.interval)
    assert np.quantile((lower - as_observed(treated, counts))[1:], 0.025) == pytest.approx(0.0, abs=0.004)
    worse = sensitivity(replace(treated, returns=1.0 - returns), counts)
    assert worse == Sensitivity(1.0, 1.0)
    certain = sensitivity(replace(treated, returns=np.where(taken[:, 0] == 1, 1.0, 0.0)), counts)
    assert certain == Sensitivity(None, None)
    assert certain.as_dict() == {"estimate": None, "interval": None, "searched_to": STRONGEST}


# Invented patients whose fate under a policy is known

OUTCOMES = ("death", "locoregional_failure", "distant_failure", "feeding_tube_6m", "aspiration_6m")
DIGITS = np.array([0.0, 1.0, 0.0])


@dataclass
class Habits:
    """Physicians who go by stage and response, with probabilities that are noted."""

    rng: np.random.Generator
    yes: list[np.ndarray] = field(default_factory=list)

    def induction(self, b, frailty):
        return self._decides(-1.5 + 1.0 * (b.t >= 2) + 1.0 * b.level_4 + 0.5 * b.ecog)

    def concurrent(self, b, frailty, induction, primary):
        return self._decides(1.6 - 0.8 * induction - 0.7 * (primary == 0) - 0.4 * (b.t < 1))

    def dissection(self, b, frailty, primary, nodal):
        return self._decides(-2.2 + 1.5 * (nodal > 0))

    def _decides(self, logit):
        self.yes.append(expit(logit))
        return self.rng.random(len(logit)) < self.yes[-1]


def without_censoring(happened: Trajectories, weights: np.ndarray) -> np.ndarray:
    judged = happened.death_month > 6.0
    losses = (
        1.0 - np.minimum(happened.death_month, HORIZON_MONTHS) / HORIZON_MONTHS,
        happened.locoregional_month <= HORIZON_MONTHS,
        happened.distant_month <= HORIZON_MONTHS,
        happened.feeding_tube & judged,
        happened.aspiration & judged,
    )
    return utility(np.column_stack(losses).astype(float), weights)


@dataclass
class Invented:
    treated: Treated
    model: ModelValues
    complete: np.ndarray
    """Returns without censoring"""
    truth: float


@pytest.fixture(scope="module")
def invented() -> Invented:
    """1,500 patients treated by `Habits`, and the policy "concurrent therapy and nothing else"."""
    synthetic = generate(1500, seed=11)
    spec, people, rng = synthetic.cohort.spec, synthetic.baseline, np.random.default_rng(5)
    weights = Weights.of(spec).array(OUTCOMES)
    habits, draw = Habits(rng), generator_draw(1500, rng)
    happened = run(people, habits, draw, PARAMETERS)
    known_at_start = synthetic.cohort.frame[[column.name for column in spec.available_before("decision_ic")]]
    frame = typed_frame(record(known_at_start, happened, draw, PARAMETERS), spec)
    options = np.column_stack([happened.induction, happened.agent > 0, happened.planned_dissection])
    lived = frame[[decision.column for decision in spec.decisions]].notna().to_numpy()
    taken = np.where(lived, options, np.nan)
    treated = Treated(
        taken=taken,
        target=of_option_taken(np.tile(DIGITS, (1500, 1)), taken),
        behaviour=of_option_taken(np.column_stack(habits.yes), taken),
        returns=utility(observed_losses(frame, spec, OUTCOMES), weights),
    )
    # A rough model: at every decision what the covariates at the start let expect, each loss at its probability.
    risk = synthetic.truth(["010"], [HORIZON_MONTHS])[:, 0, :, 0]
    toxic = synthetic.toxicity_truth(["010"])[:, 0]
    rough = utility(np.hstack([risk, toxic]), weights)
    model = ModelValues(np.tile(rough[:, None], 3), np.tile(rough[:, None], 3))
    lives = [without_censoring(simulate(people, "010", rng), weights).mean() for _ in range(200)]
    return Invented(treated, model, without_censoring(happened, weights), float(np.mean(lives)))


def test_the_policy_is_valued_at_its_truth_despite_censoring(invented):
    found = off_policy(invented.treated, invented.model, resample_counts(1500, 500, seed=0))
    for one in found.values.values():
        assert one.claim
        error = (one.value.upper - one.value.lower) / (2 * 1.96)
        assert error < 0.02
        assert one.value.value == pytest.approx(invented.truth, abs=2.5 * error)
    complete = invented.complete
    error = complete.std() / np.sqrt(1500)
    assert found.physicians.value == pytest.approx(complete.mean(), abs=error)


def test_the_weights_have_something_to_do(invented):
    """Whoever happened to be treated so had less disease: even a wise judge of them expected better of them."""
    expected, weights = invented.model.policy[:, 0], invented.treated.final_weights()
    assert expected[weights > 0].mean() - expected.mean() > 0.015
    assert np.average(expected, weights=weights) == pytest.approx(expected.mean(), abs=0.01)


def test_as_the_physicians_is_what_was_observed(invented):
    same = replace(invented.treated, target=invented.treated.behaviour)
    found = off_policy(same, None, resample_counts(1500, 100, seed=0)).values[Estimator.WEIGHTED]
    assert found.value.value == pytest.approx(invented.treated.returns.mean())
    assert found.effective_sample_size == pytest.approx(1500)
