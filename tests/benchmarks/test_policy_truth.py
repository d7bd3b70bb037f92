"""The value of policies against the worlds' own truth, against lives that are drawn, and against brute force."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import simpson

from benchmarks import policy_worlds
from benchmarks._other_policies import OtherStates
from benchmarks._own_policies import OUTCOMES, OwnStates, own_policies
from benchmarks.policy_truth import (
    BEST_EACH,
    BEST_FIXED,
    OPTIMUM,
    PHYSICIANS,
    WORLDS,
    Planned,
    main,
    recovered,
    report,
    run,
)
from benchmarks.policy_worlds import Choices, Hidden, Histories, PolicyWorld, summed
from benchmarks.truth import halves
from data.dictionary import load_specification
from data.errors import WrongUsage
from data.synthetic import PLANS, Baseline, generate
from data.synthetic.draws import Draw, generator_draw, seeded_draw
from data.synthetic.hpv import probability_hpv_positive
from data.synthetic.parameters import AGENTS, PARAMETERS, RESPONSES
from data.synthetic.simulation import Trajectories
from data.synthetic.simulation import run as simulate
from data.synthetic.treatment import Decider, Forced, Physicians
from data.synthetic.truth import frailty_nodes, true_risk, true_toxicity
from tests.fixtures import other_world
from tests.fixtures.other_world import Lives, live, possible
from twin.arrays import Flags, Floats, Integers
from twin.evaluation.plug_in import plug_in
from twin.fitting import FitSettings
from twin.policy.utility import Weights
from twin.state import Known

PATIENTS, SEED = 16, 4
COPIES = 20_000
SPEC = load_specification()
WEIGHTS = Weights.of(SPEC)
GRID = np.arange(0.0, 60.01, 0.5)
INDUCTION, CONCURRENT, DISSECTION = (decision.column for decision in SPEC.decisions)
CONFOUNDED = {"other": False, "other-confounded": True}


@cache
def world(name: str) -> PolicyWorld:
    return WORLDS[name](PATIENTS, SEED, WEIGHTS)


@cache
def own_baseline() -> Baseline:
    return generate(2 * PATIENTS, SEED).baseline.rows(slice(PATIENTS, None))


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def months_lost(death_risk: Floats) -> Floats:
    """Share of the sixty months, from risks (..., months) on `GRID`, whose steps end wherever a hazard jumps."""
    return simpson(death_risk, x=GRID, axis=-1) / 60.0


# A plan for everybody, against the truth of the worlds


def test_a_fixed_plan_in_the_own_world_has_the_value_of_the_true_risks() -> None:
    made = world("own")
    positive = probability_hpv_positive(made.asked.frame, PARAMETERS)
    assert ((positive > 0) & (positive < 1)).any()
    expected = np.zeros((PATIENTS, len(PLANS)))
    for status, chance in ((True, positive), (False, 1.0 - positive)):
        b = replace(own_baseline(), hpv_positive=np.full(PATIENTS, status))
        risk = true_risk(b, PLANS, GRID, PARAMETERS)
        alive = 1.0 - risk[:, :, 0, GRID == 6.0]
        toxic = alive * true_toxicity(b, PLANS, PARAMETERS)
        losses = [months_lost(risk[:, :, 0]), risk[:, :, 1, -1], risk[:, :, 2, -1], toxic[..., 0], toxic[..., 1]]
        expected += chance[:, None] * (1.0 - np.stack(losses, axis=-1) @ WEIGHTS.array(OUTCOMES))
    for k, plan in enumerate(PLANS):
        np.testing.assert_allclose(made.value(made.fixed(plan)), expected[:, k], atol=1e-6)


@pytest.mark.parametrize("name", CONFOUNDED)
def test_a_fixed_plan_in_the_other_world_has_the_value_of_the_true_risks(name: str) -> None:
    made = world(name)
    truth = other_world.other_world(2 * PATIENTS, SEED, CONFOUNDED[name]).truth(PLANS, GRID)[PATIENTS:]
    losses = np.stack([months_lost(truth[:, :, 0]), truth[:, :, 1, -1], truth[:, :, 2, -1]], axis=-1)
    expected = 1.0 - losses @ WEIGHTS.array(made.outcomes)
    for k, plan in enumerate(PLANS):
        np.testing.assert_allclose(made.value(made.fixed(plan)), expected[:, k], atol=1e-5)


# A policy that responds to what it sees, and the physicians, against lives that are drawn


def inducing(frame: pd.DataFrame) -> Flags:
    return (frame["n_stage"].isin(["N2", "N3"]) | (frame["hpv_status"] == "unknown")).to_numpy(dtype=bool)


def responding(decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
    """Reads everything that a simulated decider is shown."""
    if decision == INDUCTION:
        return inducing(frame).astype(float)
    if decision == CONCURRENT:
        bad = frame["ic_response_primary"].isin(["PR", "PD"]) | (frame["t_stage"] == "T4")
        return (bad | (frame[INDUCTION] == 0)).to_numpy(dtype=float)
    rest = frame["rt_response_nodal"].isin(["PR", "SD"]) & (frame["rt_response_primary"] != "SD")
    return (rest | (frame["ic_response_primary"] == "CR")).to_numpy(dtype=float)


@dataclass
class OwnResponding:
    """The same rule, told of trajectories."""

    record: pd.DataFrame
    complete: Flags = field(default_factory=lambda: np.zeros(0, dtype=bool))

    def induction(self, b: Baseline, frailty: Floats) -> Flags:
        return inducing(self.record)

    def concurrent(self, b: Baseline, frailty: Floats, induction: Flags, primary: Integers) -> Flags:
        self.complete = primary == RESPONSES.index("CR")
        return np.isin(primary, [1, 3]) | (b.t == 3) | ~induction

    def dissection(self, b: Baseline, frailty: Floats, primary: Integers, nodal: Integers) -> Flags:
        return (np.isin(nodal, [1, 2]) & (primary != 2)) | self.complete


@dataclass
class OtherResponding:
    record: pd.DataFrame
    complete: Flags = field(default_factory=lambda: np.zeros(0, dtype=bool))
    primary: Integers = field(default_factory=lambda: np.zeros(0, dtype=int))

    def induction(self) -> Flags:
        return inducing(self.record)

    def concurrent(self, induction: Flags, response: Integers) -> Flags:
        self.complete = induction & (response == 0)
        return (induction & (response == 1)) | (self.record["t_stage"] == "T4").to_numpy(dtype=bool) | ~induction

    def dissection(self, nodal: Integers) -> Flags:
        return (nodal > 0) | self.complete


def nodal_alone(decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
    """`responding`, but for what the other world's deciders are not shown: the primary's response to radiotherapy."""
    if decision != DISSECTION:
        return responding(decision, patients, frame)
    rest = frame["rt_response_nodal"].isin(["PR", "SD"])
    return (rest | (frame["ic_response_primary"] == "CR")).to_numpy(dtype=float)


def lived(death: Floats, locoregional: Floats, distant: Floats) -> list[Floats]:
    return [np.clip(60.0 - death, 0.0, None) / 60.0, locoregional < 60.0, distant < 60.0]


def own_lives(decider: Callable[[pd.DataFrame, Draw], Decider]) -> tuple[Floats, Trajectories]:
    """Utility of each of many lives of the patients asked about, and these."""
    frame, draws = world("own").asked.frame, rng()
    rows = np.repeat(np.arange(PATIENTS), COPIES)
    chance = probability_hpv_positive(frame, PARAMETERS)[rows]
    b = replace(own_baseline().rows(rows), hpv_positive=draws.random(len(rows)) < chance)
    draw = seeded_draw(len(rows), SEED)
    t = simulate(b, decider(frame.iloc[rows], draw), draw, PARAMETERS)
    judged = t.death_month > 6.0
    toxic = [t.feeding_tube & judged, t.aspiration & judged]
    losses = np.stack([*lived(t.death_month, t.locoregional_month, t.distant_month), *toxic], axis=-1)
    return 1.0 - losses @ WEIGHTS.array(OUTCOMES), t


def other_lives(name: str, decider: Callable[[pd.DataFrame, Floats, Draw], object]) -> tuple[Floats, Lives, Floats]:
    """Utility of each of many lives of the patients asked about, these, and their fitness."""
    made, draws = world(name), rng()
    row, people, chance = possible(made.asked.frame)
    drawn = np.concatenate(
        [draws.choice(np.flatnonzero(row == k), COPIES, p=chance[row == k]) for k in range(PATIENTS)]
    )
    fitness = draws.standard_normal(len(drawn)) * CONFOUNDED[name]
    draw = generator_draw(len(drawn), draws)
    record = made.asked.frame.iloc[row[drawn]].reset_index(drop=True)
    lives = live(people.take(drawn), fitness, decider(record, fitness, draw), draw)  # type: ignore[arg-type]
    losses = np.stack(lived(lives.death, lives.locoregional, lives.distant), axis=-1)
    return 1.0 - losses @ WEIGHTS.array(made.outcomes), lives, fitness


def agrees(drawn: Floats, exact: Floats) -> None:
    """Within three standard errors; copies of a patient lie together."""
    by_patient = drawn.reshape(PATIENTS, COPIES)
    se = np.sqrt(by_patient.var(axis=1).sum() / COPIES) / PATIENTS
    assert abs(by_patient.mean() - exact.mean()) < 3.0 * se
    assert se < 1.5e-3
    ratio = (by_patient.mean(axis=1) - exact) / (by_patient.std(axis=1) / np.sqrt(COPIES))
    assert np.abs(ratio).max() < 4.0


def test_a_responding_policy_in_the_own_world_has_the_value_of_drawn_lives() -> None:
    drawn, lives = own_lives(lambda record, draw: OwnResponding(record))
    assert 0.2 < lives.planned_dissection.mean() < 0.8
    agrees(drawn, world("own").value_of(responding))


@pytest.mark.parametrize("name", CONFOUNDED)
def test_a_responding_policy_in_the_other_world_has_the_value_of_drawn_lives(name: str) -> None:
    drawn, _, _ = other_lives(name, lambda record, fitness, draw: OtherResponding(record))
    agrees(drawn, world(name).value_of(nodal_alone))


def confounded(hidden: Hidden, latent: Floats) -> list[float]:
    """Mean product of the latent variable (s,) with induction, and with concurrent therapy without induction."""
    habits, chance = hidden.habits, hidden.chance * latent / PATIENTS
    return [
        float(chance @ habits.induction),
        float(chance @ ((1.0 - habits.induction) * habits.concurrent[:, 0])),
    ]


def test_the_physicians_of_the_own_world_decide_as_in_drawn_lives() -> None:
    drawn, lives = own_lives(lambda record, draw: Physicians(draw, PARAMETERS))
    agrees(drawn, world("own").physicians)
    states = OwnStates(world("own").asked.frame, own_baseline(), PARAMETERS, WEIGHTS.array(OUTCOMES))
    hidden = states.at(np.arange(PATIENTS))
    nodes, _ = frailty_nodes()
    decided = lives.induction, ~lives.induction & (lives.agent > 0)
    expected = confounded(hidden, np.tile(nodes, len(hidden.chance) // len(nodes)))
    np.testing.assert_allclose([(lives.frailty * done).mean() for done in decided], expected, atol=5e-3)


@pytest.mark.parametrize("name", CONFOUNDED)
def test_the_physicians_of_the_other_world_decide_as_in_drawn_lives(name: str) -> None:
    made = world(name)
    drawn, lives, fitness = other_lives(name, other_world.Physicians)
    agrees(drawn, made.physicians)
    states = OtherStates.of(made.asked.frame, CONFOUNDED[name], WEIGHTS.array(made.outcomes))
    hidden = states.at(np.arange(PATIENTS))
    nodes, _ = states.nodes
    decided = lives.induction, ~lives.induction & lives.concurrent
    expected = confounded(hidden, np.tile(nodes, len(hidden.chance) // len(nodes)))
    np.testing.assert_allclose([(fitness * done).mean() for done in decided], expected, atol=5e-3)
    assert (min(expected) > 0.02) == CONFOUNDED[name]


def test_a_policy_that_reads_the_agent_has_the_value_of_drawn_lives() -> None:
    """Lives under both plans share their noise, and with it the agent."""
    (without, lives), (with_it, _) = (
        own_lives(lambda record, draw, plan=plan: Forced.from_plans(plan, len(record))) for plan in ("110", "111")
    )
    drawn = np.where(lives.agent == AGENTS.index("cetuximab"), with_it, without)

    def after_cetuximab(decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
        if decision != DISSECTION:
            return np.ones(len(frame))
        return (frame["concurrent_agent"] == "cetuximab").to_numpy(dtype=float)

    agrees(drawn, world("own").value_of(after_cetuximab))


# Sums and the optimum, against brute force

SHAPE = (3, 2, 2)


def hidden_states() -> Hidden:
    """Three of the first patient and two of the second, with numbers at random."""
    draws, patient = rng(), np.array([0, 0, 0, 1, 1])
    h, g, r = SHAPE
    s = len(patient)
    chance = draws.random(s)
    responses = draws.random((s, h, 2, r))
    return Hidden(
        patient=patient,
        chance=chance / np.bincount(patient, chance)[patient],
        after_induction=np.concatenate([np.ones((s, 1)), draws.dirichlet(np.ones(h - 1), s)], axis=1),
        agents=np.ones((s, 2, g)),
        responses=responses / responses.sum(axis=-1, keepdims=True),
        losses=draws.random((s, 2, g, r, 2)),
        habits=Choices(draws.random(s), draws.random((s, h)), draws.random((s, 1, 1, r))),
    )


def tiny() -> PolicyWorld:
    losses, physicians = summed(2, SHAPE, lambda rows: hidden_states())
    two = replace(world("other").asked, frame=world("other").asked.frame.iloc[:2])
    histories = Histories(({},) * SHAPE[0], ({},) * SHAPE[1], ({},) * SHAPE[2])
    return PolicyWorld("tiny", two, two, (), WEIGHTS, histories, {}, losses, physicians)


Says = Callable[[int, int, int, int, int], float]
"""Probability of a yes to decision d (0, 1, 2) in state s after h, g and r"""


def expected(states: Hidden, patient: int, says: Says) -> float:
    """Utility, history by history."""
    total = 0.0
    for s in np.flatnonzero(states.patient == patient):
        for h, g, r, d in itertools.product(*map(range, SHAPE), range(2)):
            induced, treated = int(h > 0), int(g > 0)
            answers = says(0, s, 0, 0, 0), says(1, s, h, 0, 0), says(2, s, h, g, r)
            chance = states.chance[s] * states.after_induction[s, h] * states.agents[s, induced, g]
            chance *= states.responses[s, h, treated, r]
            for yes, digit in zip(answers, (induced, treated, d), strict=True):
                chance *= yes if digit else 1.0 - yes
            total += chance * states.losses[s, induced, g, r, d]
    return 1.0 - total


def test_sums_over_hidden_states_are_those_of_brute_force() -> None:
    made, states, draws = tiny(), hidden_states(), rng()
    chosen = Choices(draws.random(2), draws.random((2, 3)), draws.random((2, *SHAPE)))
    for patient in range(2):

        def policy(d: int, s: int, h: int, g: int, r: int, at: int = patient) -> float:
            return (chosen.induction[at], chosen.concurrent[at, h], chosen.dissection[at, h, g, r])[d]

        def habit(d: int, s: int, h: int, g: int, r: int) -> float:
            habits = states.habits
            return (habits.induction[s], habits.concurrent[s, h], habits.dissection[s, 0, 0, r])[d]

        assert made.value(chosen)[patient] == pytest.approx(expected(states, patient, policy))
        assert made.physicians[patient] == pytest.approx(expected(states, patient, habit))


def test_the_optimum_is_the_best_of_all_deterministic_policies() -> None:
    made = tiny()
    h, g, r = SHAPE
    best = np.zeros(2)
    # Dissections do not bear on one another: the best one after each history is best in every policy.
    dissections = np.moveaxis(made.losses, -1, 0)
    best_dissection = (dissections[1] < dissections[0]).astype(float)
    for first, *second in itertools.product((0.0, 1.0), repeat=1 + h):
        best = np.maximum(best, made.value(Choices(np.full(2, first), np.tile(second, (2, 1)), best_dissection)))
    for third in itertools.product((0.0, 1.0), repeat=h * g * r):
        same = replace(made.optimum, dissection=np.tile(np.reshape(third, SHAPE), (2, 1, 1, 1)))
        assert (made.value(same) <= best + 1e-12).all()
    np.testing.assert_allclose(made.value(made.optimum), best)


@pytest.mark.parametrize("name", WORLDS)
def test_no_policy_is_better_than_the_optimum(name: str) -> None:
    made, draws = world(name), rng()
    most = made.value(made.optimum) + 1e-12
    for plan in PLANS:
        assert (made.value(made.fixed(plan)) <= most).all()
    assert (made.value_of(responding) <= most).all()
    n, h, g, r, _ = made.losses.shape
    for _ in range(20):
        optimum = made.optimum
        flips = draws.random(n) < 0.2, draws.random((n, h)) < 0.2, draws.random((n, h, g, r)) < 0.2
        parts = (optimum.induction, optimum.concurrent, optimum.dissection)
        assert (made.value(Choices(*(np.abs(p - f) for p, f in zip(parts, flips, strict=True)))) <= most).all()


# What a policy is shown


def shown(made: PolicyWorld) -> Mapping[str, pd.DataFrame]:
    """By decision, all rows that a policy which does everything half the time is asked about."""
    frames: dict[str, list[pd.DataFrame]] = {}

    def ask(decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
        frames.setdefault(decision, []).append(frame.assign(patient=patients))
        return np.full(len(patients), 0.5)

    made.choices(ask, tolerance=0.0)
    return {decision: pd.concat(parts) for decision, parts in frames.items()}


@pytest.mark.parametrize("name", WORLDS)
def test_a_policy_sees_what_is_known_before_the_decision_as_the_cohort_records_it(name: str) -> None:
    made = world(name)
    frames = shown(made)
    assert list(frames) == [INDUCTION, CONCURRENT, DISSECTION]
    for decision, frame in frames.items():
        moment = next(described.moment for described in SPEC.decisions if described.column == decision)
        known = Known(SPEC, moment, frame.drop(columns="patient"))
        whole = Known.at(made.asked.frame, SPEC, moment).frame
        assert list(known.frame.columns) == list(whole.columns)
        assert (known.frame.dtypes == whole.dtypes).all()
        same = whole.iloc[frame["patient"]]
        for column in [name for name in whole if SPEC.column(str(name)).available_from == "baseline"]:
            assert known.frame[column].reset_index(drop=True).equals(same[column].reset_index(drop=True))


def test_histories_are_told_apart_and_only_those_that_can_be_are_asked_about() -> None:
    made = world("own")
    after, last = (shown(made)[decision] for decision in (CONCURRENT, DISSECTION))
    node_negative = (made.asked.frame["n_stage"] == "N0").to_numpy()
    assert node_negative.any()
    responses = ["ic_response_primary", "ic_response_nodal"]
    for patient, rows in after.groupby("patient"):
        assert (rows[INDUCTION] == 0).sum() == 1
        assert rows.loc[rows[INDUCTION] == 0, responses].isna().all(axis=None)
        assert (rows.loc[rows[INDUCTION] == 0, "ic_dlt_neurologic"] == 0).all()
        induced = rows[rows[INDUCTION] == 1]
        assert len(induced) == len(induced[responses].drop_duplicates()) == (4 if node_negative[patient] else 16)
    for patient, rows in last.groupby("patient"):
        assert len(rows) == (5 * 4 * 4 if node_negative[patient] else 17 * 4 * 16)
        assert rows["rt_response_nodal"].isna().all() == node_negative[patient]
        assert not rows["rt_response_primary"].isna().any()
        assert ((rows["concurrent_agent"] == "none") == (rows[CONCURRENT] == 0)).all()


def test_histories_left_out_change_no_value_by_more_than_the_tolerance() -> None:
    made, asked = world("own"), []

    def always(decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
        asked.append(len(patients))
        return np.ones(len(patients))

    exact = made.value_of(always, tolerance=0.0)
    everything, asked = sum(asked), []
    np.testing.assert_allclose(exact, made.value(made.fixed("111")))
    np.testing.assert_allclose(made.value_of(always, tolerance=1e-3), exact, atol=1e-3)
    assert sum(asked) < 0.8 * everything


@pytest.mark.parametrize("name", ["own", "other"])
def test_estimates_from_a_few_histories_are_unbiased(name: str) -> None:
    made, asked = world(name), []

    def counted(decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
        if decision == DISSECTION:
            asked.append(np.bincount(patients).max())
        return responding(decision, patients, frame)

    exact = made.value_of(responding, tolerance=0.0)
    estimates = np.array([made.estimated_value_of(counted, 2, seed).mean() for seed in range(64)])
    assert max(asked) <= 3
    assert abs(estimates.mean() - exact.mean()) < 3.0 * estimates.std() / 8.0
    assert 0.0 < estimates.std() < 3e-3
    np.testing.assert_allclose(made.estimated_value_of(responding, 10**12), exact)
    with pytest.raises(WrongUsage, match="0 histories"):
        made.estimated_value_of(responding, 0)


def test_policies_are_asked_in_parts_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_worlds, "ROWS_AT_ONCE", 100)
    made = world("own")

    def responding_to_few(decision: str, patients: Integers, frame: pd.DataFrame) -> Floats:
        assert len(patients) == len(frame) <= 100
        return responding(decision, patients, frame)

    in_parts = made.value_of(responding_to_few)
    monkeypatch.undo()
    np.testing.assert_array_equal(in_parts, made.value_of(responding))


@pytest.mark.parametrize("answer", [1.5, -0.1, np.nan])
def test_answers_that_are_no_probabilities_are_refused(answer: float) -> None:
    with pytest.raises(WrongUsage, match="no probabilities"):
        world("own").value_of(lambda decision, patients, frame: np.full(len(patients), answer))


# The benchmark


def one_plan(plan: str) -> Callable[[PolicyWorld, FitSettings], Mapping[str, Planned]]:
    return lambda made, settings: {plan: Planned.of(made, np.full(made.asked.size, PLANS.index(plan)))}


def test_a_plan_for_each_patient_has_the_value_of_these_plans() -> None:
    made = world("other")
    plans = np.arange(PATIENTS) % len(PLANS)
    each = np.stack([made.value(made.fixed(plan)) for plan in PLANS])[plans, np.arange(PATIENTS)]
    np.testing.assert_allclose(made.value_of(Planned.of(made, plans), tolerance=0.0), each)


def test_nothing_is_recovered_by_the_physicians_and_everything_by_the_optimum() -> None:
    table = run("other", PATIENTS, SEED, WEIGHTS, learn=one_plan("010")).set_index("policy")
    assert table.loc[PHYSICIANS, "recovered"] == 0.0
    assert table.loc[OPTIMUM, "recovered"] == 1.0
    assert table.loc[BEST_FIXED, "value"] == max(table.loc[f"plan {plan}", "value"] for plan in PLANS)
    assert table.loc[BEST_FIXED, "value"] <= table.loc[BEST_EACH, "value"] <= table.loc[OPTIMUM, "value"]
    assert table.loc["010", "value"] == pytest.approx(table.loc["plan 010", "value"], abs=1e-5)
    assert table.index[table["learnt"]].tolist() == ["010"]
    assert recovered(0.7, 0.6, 0.8) == pytest.approx(0.5)


def test_the_report_says_which_targets_are_met() -> None:
    table = pd.concat([run("other", PATIENTS, seed, WEIGHTS, learn=one_plan("111")) for seed in (0, 1)])
    share = table.loc[table["policy"] == "111", "recovered"].mean()
    met = "met   " if share >= 0.5 else "missed"
    assert f"  {met}  111: recovers {share:.2f}: at least 0.5" in report(table)


def test_the_yardstick_states_utilities_of_every_plan() -> None:
    cohort, others = halves(generate(800, SEED).cohort)
    stated = plug_in(cohort, others, OUTCOMES, WEIGHTS, PLANS, {})
    assert stated.shape == (400, len(PLANS))
    assert (stated < 1.0).all()
    survival = plug_in(cohort, others, ("death",), WEIGHTS, PLANS, {})
    assert (stated < survival).all()


@pytest.mark.parametrize("arguments", [["--weights", "death=x"], ["--world", "none"], ["--seeds", "a"]])
def test_wrong_arguments_are_answered_with_a_sentence(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) != 0
    assert capsys.readouterr().err.count("\n") <= 2


def test_only_the_outcomes_that_are_weighed_count() -> None:
    of_death = Weights.of(SPEC, {outcome.name: float(outcome.name == "death") for outcome in SPEC.outcomes})
    made = own_policies(PATIENTS, SEED, of_death)
    risk = generate(2 * PATIENTS, SEED).truth(["000"], GRID)[PATIENTS:, 0, 0]
    determined = (made.asked.frame["hpv_status"] != "unknown").to_numpy()
    np.testing.assert_allclose(
        made.value(made.fixed("000"))[determined], 1.0 - months_lost(risk)[determined], atol=1e-6
    )
