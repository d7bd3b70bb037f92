"""Levels, transitions and what states are worth: what is learnt from a cohort."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from data.dictionary import load_specification
from data.schema import Specification
from data.synthetic import generate
from data.synthetic.cohort import SyntheticCohort
from twin.arrays import Floats
from twin.effects.prior import MannerEffect
from twin.models.followup import EVENT, FollowUp
from twin.record import decision_matrix
from twin.simulation.revealed import fit_revealed_hazards, fit_revealed_probability, period_starts
from twin.simulation.states import UNOBSERVED, learn_steps
from twin.simulation.transition import Learning, Transitions, fit_transitions
from twin.simulation.tree import Tree
from twin.threads import one_thread

SPEC = load_specification()
DRAWS = 50


def learning(frame: pd.DataFrame, inputs: Floats, seed: int = 0, draws: int = DRAWS) -> Learning:
    return Learning(SPEC, frame, inputs, frame, decision_matrix(SPEC, frame), draws, np.random.default_rng(seed))


def induced(patients: int, rng: np.random.Generator, *, complete: Floats) -> pd.DataFrame:
    """Patients after induction and radiotherapy alone; the primary's response to induction is complete at random."""
    return pd.DataFrame(
        {
            "induction_chemo": np.ones(patients),
            "concurrent_chemo": np.zeros(patients),
            "neck_dissection": np.zeros(patients),
            "ic_response_primary": np.where(rng.random(patients) < complete, "CR", "PR"),
        }
    )


@cache
def cohort(patients: int, seed: int) -> SyntheticCohort:
    return generate(patients, seed=seed)


def simple_inputs(frame: pd.DataFrame) -> Floats:
    """Of the structural model: what its states depend on, as far as it is recorded."""
    return np.column_stack(
        [
            frame["hpv_status"] == "positive",
            frame["hpv_status"] == "negative",
            *(frame["t_stage"] == level for level in ("T1", "T3", "T4")),
            *(frame["n_stage"] == level for level in ("N0", "N2", "N3")),
            (frame["age_years"] - 60.0) / 20.0,
            frame["ecog"].fillna(0.0) > 0,
        ]
    ).astype(float)


@cache
def structural_transitions() -> Transitions:
    frame = cohort(1500, 11).cohort.frame
    with one_thread():
        return fit_transitions(learning(frame, simple_inputs(frame)))


def step(name: str, spec: Specification = SPEC, **columns: list[object]):
    frame = pd.DataFrame(columns)
    for column in ("induction_chemo", "concurrent_chemo", "neck_dissection"):
        if column not in frame:
            frame[column] = 1.0
    found = learn_steps(spec, frame, decision_matrix(spec, frame))
    return next(one for one in found if one.moment == name)


def test_rare_levels_are_pooled_with_their_neighbour_and_unseen_ones_too() -> None:
    response = ["CR"] * 40 + ["PR"] * 50 + ["SD"] * 8 + ["PD"] * 3 + ["unknown"] * 9 + [None] * 9
    (variable,) = step("after_ic", ic_response_primary=response).variables
    assert variable.labels == ("CR", "PR", "SD or PD")
    (variable,) = step("after_ic", ic_response_primary=["CR"] * 40 + ["PR"] * 50 + ["SD"] * 4).variables
    assert variable.labels == ("CR", "PR or SD or PD")


def test_unknown_is_not_a_state_but_an_unobserved_value() -> None:
    known = step("after_ic", ic_response_primary=["CR"] * 40 + ["PR"] * 50 + ["unknown"] * 20).variables[0]
    codes = known.codes(pd.DataFrame({"ic_response_primary": ["CR", "unknown", None, "PD"]}))
    assert codes.tolist() == [0, UNOBSERVED, UNOBSERVED, 1]


def test_a_manner_has_the_levels_of_those_who_said_yes() -> None:
    agents = ["none"] * 30 + ["platinum"] * 30 + ["cetuximab"] * 15 + ["other"] * 5
    given = [0.0] * 30 + [1.0] * 50
    (variable,) = step("decision_cc", concurrent_agent=agents, concurrent_chemo=given).variables
    assert variable.labels == ("platinum", "cetuximab or other")


def test_a_sum_of_flags_becomes_none_or_any() -> None:
    flags = {
        "ic_dlt_neurologic": [1.0] * 20 + [0.0] * 40 + [np.nan] * 5,
        "ic_dlt_other": [0.0] * 15 + [np.nan] * 50,
    }
    (variable,) = step("after_ic", **flags).variables
    assert variable.labels == ("none", "any")
    assert variable.codes(pd.DataFrame(flags)).tolist() == [1] * 20 + [0] * 40 + [UNOBSERVED] * 5


def test_defect_16_no_state_without_treatment() -> None:
    """Without induction there is one state, nothing to show, and nothing is drawn; so for toxicity without an agent."""
    transitions = structural_transitions()
    after_ic, agent, after_rt = transitions.steps
    inputs, draw = np.zeros((3, 10)), np.arange(3)
    declined = np.array([0.0, 0.0, 0.0])
    assert after_ic.step.space(declined).tolist() == [[UNOBSERVED] * 3]
    assert after_ic.step.words(after_ic.step.space(declined)[0]) == ("not applicable",) * 3
    nothing = np.full((1, 3), UNOBSERVED)
    assert after_ic.leaf_probabilities(inputs, draw, declined, np.zeros((1, 0)), nothing) == {}
    assert agent.step.space(declined).shape == (1, 1)
    space = after_rt.step.space(declined)
    assert {after_rt.step.words(state)[2] for state in space} == {"none"}
    history = np.zeros((len(space), after_rt.before))
    for leaf, probability in after_rt.leaf_probabilities(inputs, draw, declined, history, space).items():
        assert leaf.startswith("rt_dlt_")
        np.testing.assert_array_equal(probability[..., 1], 0.0)


def test_a_few_alike_responses_without_chemotherapy_are_not_taken_for_a_law() -> None:
    """All are complete, where two in three of the others are: of eight that is no law, of a hundred it is."""
    for declined, certain in ((8, UNOBSERVED), (100, 0)):
        response = ["CR"] * declined + ["CR"] * 40 + ["PR"] * 20
        given = [0.0] * declined + [1.0] * 60
        found = step("after_rt", rt_response_primary=response, concurrent_chemo=given)
        assert found.certain == (certain,)


def test_what_the_specification_rules_out_is_impossible_however_few_declined() -> None:
    """The built-in specification says that there is no toxicity of a therapy that was not given."""
    rules = tuple(rule for rule in SPEC.contradictions if not rule.code.startswith("toxicity"))
    silent = replace(SPEC, contradictions=rules)
    columns = {"rt_dlt_other": [0.0] * 3 + [0.0] * 40 + [1.0] * 20, "concurrent_chemo": [0.0] * 3 + [1.0] * 60}
    assert step("after_rt", silent, **columns).certain == (UNOBSERVED,)
    assert step("after_rt", **columns).certain == (0,)


def test_transitions_recover_known_probabilities() -> None:
    rng = np.random.default_rng(3)
    patients = 5000
    x = rng.normal(size=patients)
    frame = induced(patients, rng, complete=expit(-0.4 + 0.9 * x))
    complete = (frame["ic_response_primary"] == "CR").to_numpy()
    frame["concurrent_chemo"] = rng.integers(0, 2, patients).astype(float)
    given = frame["concurrent_chemo"].to_numpy() == 1
    frame["concurrent_agent"] = np.where(given, np.where(rng.random(patients) < 0.7, "platinum", "cetuximab"), "none")
    in_rt = expit(-0.2 + 1.2 * complete + 0.5 * given - 0.6 * x)
    frame["rt_response_nodal"] = np.where(rng.random(patients) < in_rt, "CR", "PR")
    transitions = fit_transitions(learning(frame, x[:, None]))
    for value in (-1.5, 0.0, 1.5):
        tree = Tree.grow(
            transitions, SPEC, np.full((1 + DRAWS, 1), value), np.arange(1 + DRAWS), np.array([1.0, 1.0, 0.0])
        )
        first, agent, last = (level.probability for level in tree.levels)
        assert first[0, 0, 0] == pytest.approx(expit(-0.4 + 0.9 * value), abs=0.04)
        assert agent[0, :, 0] == pytest.approx(0.7, abs=0.05)
        after_complete, after_partial = last[0, 0, 0], last[0, 2, 0]
        assert after_complete == pytest.approx(expit(1.5 - 0.6 * value), abs=0.04)
        assert after_partial == pytest.approx(expit(0.3 - 0.6 * value), abs=0.04)
        spread = first[1:, 0, 0].std()
        assert 0.003 < spread < 0.04
        assert abs(first[1:, 0, 0].mean() - first[0, 0, 0]) < 4 * spread / np.sqrt(DRAWS) + 0.005


def test_an_earlier_state_that_is_not_recorded_does_not_bias_what_follows() -> None:
    """Half of the first responses are missing at random: what follows is as in the complete cohort."""
    rng = np.random.default_rng(8)
    patients = 4000
    x = rng.normal(size=patients)
    frame = induced(patients, rng, complete=expit(x))
    later = expit(-0.5 + 1.5 * (frame["ic_response_primary"] == "CR").to_numpy())
    frame["rt_response_nodal"] = np.where(rng.random(patients) < later, "CR", "PR")
    frame.loc[rng.random(patients) < 0.5, "ic_response_primary"] = None
    transitions = fit_transitions(learning(frame, x[:, None]))
    tree = Tree.grow(transitions, SPEC, np.zeros((1, 1)), np.zeros(1, dtype=int), np.array([1.0, 0.0, 0.0]))
    assert tree.levels[-1].probability[0, :, 0] == pytest.approx([expit(1.0), expit(-0.5)], abs=0.05)


def test_states_of_new_patients_of_the_structural_model_come_out_as_predicted_in_every_subgroup() -> None:
    """Fitted on 1,500, judged on 4,000 others: mean prediction within four standard errors of the observed share."""
    transitions = structural_transitions()
    fresh = cohort(4000, 12).cohort.frame
    decisions, inputs = decision_matrix(SPEC, fresh), simple_inputs(fresh)
    groups = {
        "all": np.ones(len(fresh), dtype=bool),
        "T4": (fresh["t_stage"] == "T4").to_numpy(),
        "T1": (fresh["t_stage"] == "T1").to_numpy(),
        "HPV-negative": (fresh["hpv_status"] == "negative").to_numpy(),
        "N2": (fresh["n_stage"] == "N2").to_numpy(),
        "old": (fresh["age_years"] > 65).to_numpy(),
    }
    judged = 0
    for model in transitions.steps:
        codes = model.step.codes(fresh)
        seen = np.zeros((len(fresh), model.before))
        if model.before:
            seen = transitions.histories(fresh, inputs, decisions)[:, : model.before]
        for position, variable in enumerate(model.step.variables):
            rows = (codes[:, position] != UNOBSERVED) & model.step.applies(decisions)
            if model.step.certain[position] != UNOBSERVED:
                rows &= decisions[:, model.step.decision] == 1
            before = model.step.indicators(codes)[:, : sum(len(v.levels) for v in model.step.variables[:position])]
            taken = np.where(np.arange(3) <= model.step.decision, np.nan_to_num(decisions), 0.0)
            predicted = model.models[position].each(
                inputs, np.zeros(len(fresh), dtype=int), taken, np.hstack([seen, before])
            )
            for name, members in groups.items():
                inside = rows & members
                if inside.sum() < 60:
                    continue
                learnt = 1500 / len(fresh) * inside.sum()
                for level in range(len(variable.levels)):
                    share = (codes[inside, position] == level).mean()
                    mean = predicted[inside, level].mean()
                    error = np.sqrt(max(mean * (1 - mean), 0.01) * (1 / inside.sum() + 1 / learnt))
                    assert abs(share - mean) < 4 * error, (model.step.moment, variable.name, name, level)
                    judged += 1
    assert judged > 60


def test_organ_toxicities_agree_with_whether_there_was_any() -> None:
    after_ic = structural_transitions().steps[0]
    space = after_ic.step.space(np.array([1.0, 1.0, 0.0]))
    states = np.repeat(space, 400, axis=0)
    patients = len(states)
    drawn = after_ic.draw_leaves(
        np.zeros((patients, 10)),
        np.zeros(patients, dtype=int),
        np.array([1.0, 1.0, 0.0]),
        np.zeros((patients, 0)),
        states,
        np.random.default_rng(0),
    )
    flags = np.column_stack([level for name, level in drawn.items() if name.startswith("ic_dlt_")])
    np.testing.assert_array_equal(flags.any(axis=1), states[:, 2] == 1)
    shown = after_ic.leaf_probabilities(
        np.zeros((1, 10)), np.zeros(1, dtype=int), np.array([1.0, 1.0, 0.0]), np.zeros((len(space), 0)), space
    )
    for name, level in drawn.items():
        mean = shown[name][0, :, 1:].mean()
        share = (level.reshape(len(space), -1)[:, :, None] == np.arange(1, shown[name].shape[2])).mean()
        assert share == pytest.approx(mean, abs=4 * np.sqrt(0.25 / patients)), name


def followed(rng: np.random.Generator, early: Floats, late: Floats, months: float = 60.0) -> FollowUp:
    """Deaths at a constant rate before month 3 and at another after it, censored at `months`."""
    unit = rng.exponential(size=len(early))
    time = np.where(unit < 3 * early, unit / early, 3 + (unit - 3 * early) / late)
    return FollowUp(np.minimum(time, months), np.where(time < months, EVENT, 0))


def two_states(seed: int, patients: int = 4000):
    """A cohort in which a partial response doubles the hazard from month 3, and x acts on both response and hazard.

    Returns:
        What is learnt from, the course, and the log hazard in each period before the response was seen.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=patients)
    complete = expit(0.3 - 0.8 * x)
    frame = induced(patients, rng, complete=complete)
    partial = (frame["ic_response_primary"] == "PR").to_numpy()
    base = 0.006 * np.exp(0.6 * x)
    course = followed(rng, base, base * np.where(partial, 2.0, 1.0))
    expected = np.log(complete + (1 - complete) * 2.0)
    early, later = 0.6 * x, 0.6 * x + expected
    logs = np.column_stack([early] + [later] * (len(period_starts(SPEC)) - 1))
    return learning(frame, x[:, None], draws=100), course, logs


def partial_response(learnt: Learning, course: FollowUp, logs: Floats) -> tuple[float, float]:
    transitions = fit_transitions(learnt)
    found = fit_revealed_hazards(SPEC.outcome("death"), course, {EVENT: logs}, transitions, learnt)
    (variable,) = transitions.steps[0].step.variables
    other = 1 - variable.common
    of_partial = found.coefficients[0, :, other] * (1 if other == 1 else -1)
    assert found.coefficients[0, :, variable.common].tolist() == [0.0] * 101
    return float(of_partial[0]), float(of_partial[1:].std())


def test_what_a_state_says_is_recovered() -> None:
    fit, spread = partial_response(*two_states(1))
    assert 0.02 < spread < 0.15
    assert fit == pytest.approx(np.log(2.0), abs=3 * spread)


def test_a_state_is_not_credited_with_what_the_models_before_it_missed() -> None:
    """x worsens both response and survival. Left out of the models before, it must not be counted as the response's."""
    learnt, course, logs = two_states(2)
    blind = np.zeros_like(logs)
    with_x, _ = partial_response(learnt, course, logs)
    without_x, spread = partial_response(learnt, course, blind)
    assert without_x == pytest.approx(with_x, abs=3 * spread)


@pytest.mark.parametrize("events", [True, False])
def test_published_ratios_of_an_agent_are_taken_where_the_cohort_says_little_or_nothing(events: bool) -> None:
    rng = np.random.default_rng(4)
    patients = 120
    frame = pd.DataFrame(
        {
            "induction_chemo": np.zeros(patients),
            "concurrent_chemo": np.ones(patients),
            "neck_dissection": np.zeros(patients),
            "concurrent_agent": np.where(rng.random(patients) < 0.4, "platinum", "cetuximab"),
        }
    )
    learnt = learning(frame, rng.normal(size=(patients, 1)))
    transitions = fit_transitions(learnt)
    course = followed(rng, np.full(patients, 0.01), np.full(patients, 0.01))
    if not events:
        course = FollowUp(course.months, np.zeros(patients, dtype=int))
    logs = np.zeros((patients, len(period_starts(SPEC))))
    priors = {"concurrent_agent": (MannerEffect("cetuximab", ("",), (), 0.4, 0.02),)}
    found = fit_revealed_hazards(SPEC.outcome("death"), course, {EVENT: logs}, transitions, learnt, priors)
    platinum, elsewhere, cetuximab = found.coefficients[0].T
    assert (platinum == 0).all()
    assert (elsewhere == 0).all()
    assert cetuximab[0] == pytest.approx(0.4, abs=0.05)
    assert cetuximab[1:].std() == pytest.approx(0.02, rel=0.4)


def test_without_events_a_state_says_nothing() -> None:
    learnt, course, logs = two_states(5, patients=300)
    alive = FollowUp(course.months, np.zeros(300, dtype=int))
    found = fit_revealed_hazards(SPEC.outcome("death"), alive, {EVENT: logs}, fit_transitions(learnt), learnt)
    assert not found.coefficients.any()
    assert found.events == (0,)


def test_what_a_state_says_about_a_binary_outcome_is_recovered() -> None:
    rng = np.random.default_rng(6)
    patients = 5000
    x = rng.normal(size=patients)
    complete = expit(0.2 - 0.5 * x)
    frame = induced(patients, rng, complete=complete)
    partial = (frame["ic_response_primary"] == "PR").to_numpy()
    level = -1.5 + 0.7 * x
    positive = (rng.random(patients) < expit(level + 0.9 * partial)).astype(float)
    before = complete * expit(level) + (1 - complete) * expit(level + 0.9)
    learnt = learning(frame, x[:, None], draws=100)
    transitions = fit_transitions(learnt)
    found = fit_revealed_probability(SPEC.outcome("feeding_tube_6m"), positive, before, transitions, learnt)
    (variable,) = transitions.steps[0].step.variables
    other = 1 - variable.common
    fit = found.coefficients[0, 0, other] * (1 if other == 1 else -1)
    assert fit == pytest.approx(0.9, abs=3 * found.coefficients[0, 1:, other].std())
