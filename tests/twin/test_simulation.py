"""One patient's course between the decisions: what may be seen, what each sight changes, and policies that look."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import structural_cohort
from pydantic import TypeAdapter

from data.dictionary import load_specification
from data.errors import NotFound, Refused, WrongUsage
from data.evidence import StateTerm
from data.schema import Decision
from twin.arrays import Floats
from twin.models.candidates.incidence import cumulative_incidence
from twin.models.outcome import Rows
from twin.record import decision_matrix
from twin.registry import _joined, _split
from twin.simulation.acting import Acting, state_levels
from twin.simulation.expected import carried_out, under
from twin.simulation.policy import Choice, Policy, following
from twin.simulation.revealed import Revealed
from twin.simulation.sampling import sample
from twin.simulation.situation import Situation, StateModels
from twin.simulation.transition import Learning, fit_transitions
from twin.threads import one_thread
from twin.timeline import effect_months

SPEC = load_specification()
DRAWS = 200
TIMED = ("death", "locoregional_failure", "distant_failure")
BINARY = ("feeding_tube_6m", "aspiration_6m")
MONTHS = np.array([2.0, 4.0, 12.0, 24.0, 60.0])


@dataclass(frozen=True)
class Steady:
    """A patient with constant hazards and effects that differ from draw to draw."""

    copies: int = 1
    draws: int = DRAWS
    outcomes: tuple[str, ...] = TIMED + BINARY

    @property
    def inputs(self) -> Floats:
        return np.tile(np.linspace(-0.3, 0.3, self.copies)[:, None], (1, 3))

    @property
    def completed(self) -> pd.DataFrame:
        return pd.DataFrame(index=range(self.copies))

    def increments(self, outcome: str, digits: Floats, rows: Rows, edges: Floats) -> tuple[Floats, Floats | None]:
        event = self._hazard(TIMED.index(outcome), digits, rows, edges)
        return event, None if outcome == "death" else self._hazard(3, digits, rows, edges)

    def probability(self, outcome: str, digits: Floats, rows: Rows) -> Floats:
        rng = np.random.default_rng(9)
        level = -1.5 + 0.2 * rng.normal(size=1 + self.draws)[rows.draw] + 0.3 * digits.sum()
        return 1.0 / (1.0 + np.exp(-level - self.inputs[rows.copy, 0]))

    def _hazard(self, cause: int, digits: Floats, rows: Rows, edges: Floats) -> Floats:
        rng = np.random.default_rng(cause)
        noise = 0.2 * rng.normal(size=(1 + self.draws, 4))
        noise[0] = 0.0
        rate = 0.006 * np.exp(noise[rows.draw, 0] + self.inputs[rows.copy, 0])
        effects = np.array([-0.1, -0.3, 0.1]) + noise[rows.draw, 1:]
        acting = digits * (effect_months(SPEC, digits) <= edges[:-1, None])
        return rate[:, None] * np.diff(edges) * np.exp(effects @ acting.T)


DEPENDING = (
    StateTerm("concurrent_chemo", "after a partial response", "ic_response_primary=PR", 0.4, 0.1),
    StateTerm("neck_dissection", "after an incomplete response", "rt_response_nodal!=CR", 1.0, 0.1),
)
"""What two decisions do more in some; the first is asked about after its state, at one and the same month"""


@cache
def models() -> StateModels:
    """Transitions of the structural model; what its states say is set by hand, with an effect of every response."""
    frame = structural_cohort().frame
    inputs = np.column_stack(
        [frame["hpv_status"] == "positive", frame["t_stage"] == "T4", (frame["age_years"] - 60) / 20]
    ).astype(float)
    rng = np.random.default_rng(2)
    with one_thread():
        transitions = fit_transitions(Learning(SPEC, frame, inputs, frame, decision_matrix(SPEC, frame), DRAWS, rng))
    worse = {"CR": 0.0, "PR": 0.6, "SD or PD": 1.1, "PR or SD or PD": 0.7, "any": 0.2, "cetuximab": 0.3}
    mean = np.array([worse.get(label, 0.0) for m in transitions.steps for v in m.step.variables for label in v.labels])
    learnt = Learning(SPEC, frame, inputs, frame, decision_matrix(SPEC, frame), DRAWS, rng)
    acting = [
        Acting(term, decision, state_levels(term, transitions, learnt), term.prior_mean + spread, taught=False)
        for decision, term in enumerate(DEPENDING, start=1)
        for spread in [np.append(0.0, term.prior_sd * rng.normal(size=DRAWS))]
    ]
    revealed = {}
    for name in TIMED + BINARY:
        causes = 2 if name in TIMED[1:] else 1
        drawn = mean + 0.15 * rng.normal(size=(causes, 1 + DRAWS, len(mean))) * (mean != 0)
        drawn[:, 0] = mean
        drawn[1:] *= 0.5
        revealed[name] = Revealed(name, drawn, (50,) * causes, (0.4,) * causes, (), tuple(acting))
    return StateModels(transitions, revealed)


def frame(**values: object) -> pd.DataFrame:
    return pd.DataFrame({"patient_id": ["A"], **{name: [value] for name, value in values.items()}})


def situation(individual: Steady | None = None, **values: object) -> Situation:
    return Situation.of(SPEC, models(), frame(**values), individual or Steady())


INDUCED = {"induction_chemo": 1.0}
AFTER_INDUCTION = {
    **INDUCED,
    "ic_response_primary": "PR",
    "ic_response_nodal": "PR",
    "ic_dlt_neurologic": 0.0,
}
AFTER_RADIOTHERAPY = {
    **AFTER_INDUCTION,
    "concurrent_chemo": 1.0,
    "concurrent_agent": "platinum",
    "rt_response_primary": "CR",
    "rt_response_nodal": "PR",
    "rt_dlt_neurologic": 0.0,
}


def looking(decision: Decision, row: pd.DataFrame, history: Mapping[str, str]) -> float:
    """A policy that looks at the responses."""
    assert row["patient_id"].iloc[0] == "A"
    if decision.column == "induction_chemo":
        return 0.5
    if decision.column == "concurrent_chemo":
        return 0.1 if history["ic_response_primary"] == "CR" else 0.9
    return 0.0 if history["rt_response_nodal"] == "CR" else 0.8


@pytest.mark.parametrize("plan", ["000", "011", "101", "111"])
def test_before_anything_is_seen_the_answer_is_that_of_the_models_from_time_zero(plan: str) -> None:
    at_zero, steady = situation(), Steady()
    risks = at_zero.risks(plan, MONTHS)
    rows, digits = Rows.of(DRAWS, 1), np.array([float(digit) for digit in plan])
    for outcome in TIMED:
        edges = np.unique(np.concatenate([np.arange(0.0, 60.0, 3.0), MONTHS]))
        event, rival = steady.increments(outcome, digits, rows, edges)
        expected = cumulative_incidence(event, rival)[:, np.searchsorted(edges, MONTHS)]
        np.testing.assert_allclose(risks[outcome], expected, atol=1e-12)
    for outcome in BINARY:
        np.testing.assert_allclose(risks[outcome][:, 0], steady.probability(outcome, digits, rows), atol=1e-12)


@pytest.mark.parametrize("plan", ["010", "110", "011", "111"])
def test_averaged_over_the_paths_the_risks_are_those_of_the_models_from_time_zero(plan: str) -> None:
    at_zero = situation()
    paths, by_path = at_zero.risks_by_path(plan, MONTHS)
    np.testing.assert_allclose(paths.probability.sum(axis=1), 1.0)
    for outcome, risks in at_zero.risks(plan, MONTHS).items():
        mixture = np.einsum("rj,rjm->rm", paths.probability, by_path[outcome])
        np.testing.assert_allclose(mixture, risks, rtol=0, atol=1e-8)
        assert np.ptp(by_path[outcome][0, :, -1]) > 0.05


@pytest.mark.parametrize(
    ("values", "moment"), [(INDUCED, "after_ic"), (AFTER_INDUCTION, "decision_cc")], ids=["response", "agent"]
)
def test_the_risks_given_each_next_state_average_to_the_risk_before_it(
    values: Mapping[str, object], moment: str
) -> None:
    """From the moment the state is seen: what each state would change, weighted by how likely it is, cancels."""
    before = situation(**{**values, **({"concurrent_chemo": 1.0} if moment == "decision_cc" else {})})
    month = 3.0
    before = replace(before, alive_until=month)
    paths, _ = before.risks_by_path("111", MONTHS)
    position = paths.moments.index(moment)
    level = before.tree(np.ones(3)).levels[position]
    for outcome in TIMED:
        average = np.zeros_like(before.risks("111", MONTHS)[outcome])
        for state, codes in enumerate(level.codes):
            chance = (paths.probability * (paths.states[:, position] == state)).sum(axis=1)
            observed = tuple(codes if k == position else seen for k, seen in enumerate(before.observed))
            given = replace(before, observed=observed).risks("111", MONTHS)[outcome]
            average += chance[:, None] * given
        np.testing.assert_allclose(average, before.risks("111", MONTHS)[outcome], rtol=0, atol=1e-8)


def test_after_radiotherapy_the_law_of_total_probability_holds_too() -> None:
    seen = {name: value for name, value in AFTER_RADIOTHERAPY.items() if not name.startswith("rt_")}
    before = replace(situation(**seen), alive_until=6.0)
    (primary, nodal, toxicity, *_) = before.states("111", "after_rt")
    paths, _ = before.risks_by_path("111", MONTHS)
    total = before.risks("111", MONTHS)["death"]
    average = np.zeros_like(total)
    for words, chance in zip(paths.labels, paths.probability.T, strict=True):
        shown = {
            "rt_response_primary": words[-3].split(" or ")[0],
            "rt_response_nodal": words[-2].split(" or ")[0],
            "rt_dlt_other": float(words[-1] == "any"),
        }
        average += chance[:, None] * situation(**seen, **shown).risks("111", MONTHS)["death"]
    np.testing.assert_allclose(average, total, rtol=0, atol=1e-8)
    assert primary.levels[0] == nodal.levels[0] == "CR"
    assert toxicity.levels == ("none", "any")


RESPONDED = {**AFTER_RADIOTHERAPY, "rt_response_primary": "CR"}


def hazard_ratio(outcome: str, response: str) -> float:
    """Of dissection in a patient who responded, by the risks of 0.1 months from month 6 on."""
    given = situation(**{**RESPONDED, "rt_response_nodal": response}).fit_only()
    with_it, without = (given.risks(plan, [6.1], [outcome])[outcome][0, 0] for plan in ("111", "110"))
    return float(with_it / without)


@pytest.mark.parametrize("outcome", TIMED)
def test_a_decision_does_more_in_those_who_show_the_state(outcome: str) -> None:
    """The ratio of the two ratios is that of the term; a decision whose state was not seen has its average effect."""
    complete, partial = hazard_ratio(outcome, "CR"), hazard_ratio(outcome, "PR")
    assert np.log(partial / complete) == pytest.approx(1.0, abs=0.01)
    average = np.exp(0.1)
    assert complete < average < partial


def test_what_a_decision_does_more_is_no_effect_on_what_forestalls_the_outcome() -> None:
    revealed, rows = models().revealed["distant_failure"], Rows.of(0, 1)
    ratios = revealed.ratios(Steady().completed, rows)
    (start, own), (month, added) = revealed.ratios_from(SPEC, np.array([0.0, 0.0, 1.0]), ratios, rows)
    assert (start, month) == (0.0, 6.0)
    assert own.shape == added.shape
    assert added[0].any()
    assert not added[1].any()
    assert len(revealed.ratios_from(SPEC, np.array([0.0, 0.0, 0.0]), ratios, rows)) == 1


def test_a_bad_response_raises_the_risk_and_a_good_one_lowers_it() -> None:
    before = replace(situation(**INDUCED), alive_until=3.0).risks("110", MONTHS)
    good = situation(**INDUCED, ic_response_primary="CR", ic_response_nodal="CR").risks("110", MONTHS)
    bad = situation(**INDUCED, ic_response_primary="PD", ic_response_nodal="PD").risks("110", MONTHS)
    for outcome in TIMED:
        assert (good[outcome][0, 1:] < before[outcome][0, 1:]).all()
        assert (bad[outcome][0, 1:] > before[outcome][0, 1:]).all()
        assert (good[outcome][:, 0] == 0).all()
    for outcome in BINARY:
        assert good[outcome][0, 0] < before[outcome][0, 0] < bad[outcome][0, 0]


def test_defect_15_distributions_are_passed_on_and_outcomes_read_induction_states() -> None:
    """Patients do not have the average of two responses: neither the states to come nor the risks are those of a mean.

    And with the same response to radiotherapy, the response to induction still matters.
    """
    at_zero = situation()
    paths, by_path = at_zero.risks_by_path("110", MONTHS)
    likely, risks = paths.probability[0], by_path["death"][0, :, -1]
    mixture = at_zero.risks("110", MONTHS)["death"][0, -1]
    assert likely @ risks == pytest.approx(mixture, abs=1e-8)
    assert np.sqrt(likely @ (risks - mixture) ** 2) > 0.03

    tree = at_zero.fit_only().tree(np.array([1.0, 1.0, 0.0]))
    histories = tree.histories(np.arange(tree.paths), len(tree.levels))
    ratios = models().revealed["death"].coefficients[0, 0]
    of_mean_patient = np.exp(likely @ histories @ ratios) / (likely @ np.exp(histories @ ratios))
    hazard = -np.log(1.0 - at_zero.risks("110", [6.0, 60.0])["death"][0])
    plugged_in = 1.0 - np.exp(-hazard[0] - (hazard[1] - hazard[0]) * of_mean_patient)
    assert plugged_in < mixture - 0.01

    after = {name: value for name, value in AFTER_RADIOTHERAPY.items() if name != "ic_response_primary"}
    good = situation(**after, ic_response_primary="CR").risks("111", MONTHS)
    bad = situation(**after, ic_response_primary="SD").risks("111", MONTHS)
    for outcome in TIMED:
        assert bad[outcome][0, -1] > good[outcome][0, -1] + 0.01


def test_plans_that_agree_until_a_decision_give_the_same_risks_until_then() -> None:
    early = np.array([1.0, 2.0, 3.0, 4.0, 6.0])
    given = situation(**AFTER_INDUCTION)
    one, other = given.risks("110", early), given.risks("111", early)
    for outcome in TIMED:
        np.testing.assert_allclose(one[outcome], other[outcome], atol=1e-12)
    for outcome in TIMED:
        declined = given.risks("100", early)[outcome][:, :3]
        np.testing.assert_allclose(declined, one[outcome][:, :3], atol=1e-12)


def test_a_response_that_is_partly_recorded_lies_between_those_it_leaves_open() -> None:
    plan = "110"
    partly = situation(**INDUCED, ic_response_primary="PR").risks(plan, MONTHS)["death"][0, -1]
    complete = [
        situation(**INDUCED, ic_response_primary="PR", ic_response_nodal=nodal, ic_dlt_other=toxicity)
        for nodal in ("CR", "PR", "PD")
        for toxicity in (0.0, 1.0)
    ]
    risks = [one.risks(plan, MONTHS)["death"][0, -1] for one in complete]
    assert min(risks) < partly < max(risks)


def test_states_that_are_unknown_after_radiotherapy_are_inferred_from_what_followed() -> None:
    """Not knowing the response to induction, a poor one to radiotherapy makes a poor one to induction likelier."""
    after = {name: value for name, value in AFTER_RADIOTHERAPY.items() if not name.startswith("ic_")}
    good = situation(**{**after, "rt_response_primary": "CR"}).paths("111")
    bad = situation(**{**after, "rt_response_primary": "PR"}).paths("111")
    complete = [np.array([words[0] == "CR" for words in paths.labels]) for paths in (good, bad)]
    assert (good.probability[0] @ complete[0]) > (bad.probability[0] @ complete[1])


def test_what_is_shown_next_has_the_leaves_and_adds_up() -> None:
    shown = situation().states("110", "after_ic")
    names = [one.name for one in shown]
    assert names[:3] == ["ic_response_primary", "ic_response_nodal", "ic_toxicities"]
    assert {"ic_dlt_neurologic", "ic_dose_change"} <= set(names)
    for one in shown:
        assert one.probability.shape == (1 + DRAWS, len(one.levels))
        np.testing.assert_allclose(one.probability.sum(axis=1), 1.0)
    anything = shown[2].probability[0, 1]
    flags = [one.probability[0, 1] for one in shown if one.name.startswith("ic_dlt_")]
    assert max(flags) < anything < sum(flags)
    (agent,) = situation().states("010", "decision_cc")
    assert agent.levels[0] == "platinum"


def test_without_induction_there_is_nothing_to_see_of_it() -> None:
    for one in situation().states("010", "after_ic"):
        assert one.levels == ("not applicable",)
        assert (one.probability == 1.0).all()
    with pytest.raises(NotFound, match="unknown step 'decision_nd'"):
        situation().states("010", "decision_nd")


def test_missing_values_are_averaged_over_and_told_apart_by_what_is_seen() -> None:
    """Of the copies of an incomplete patient, those that expected what was seen count more."""
    incomplete = Steady(copies=5)
    risks = situation(incomplete).risks("110", MONTHS)
    edges = np.unique(np.concatenate([np.arange(0.0, 60.0, 3.0), MONTHS]))
    hazards, _ = incomplete.increments("death", np.array([1.0, 1.0, 0.0]), Rows.of(0, 5), edges)
    each = cumulative_incidence(hazards, None)[:, -1]
    assert np.ptp(each) > 0.05
    assert risks["death"].shape == (1 + DRAWS, len(MONTHS))
    assert risks["death"][0, -1] == pytest.approx(np.mean(each), abs=1e-10)
    at_zero = situation(incomplete)
    paths, by_path = at_zero.risks_by_path("110", MONTHS)
    for outcome in TIMED:
        mixture = np.einsum("rj,rjm->rm", paths.probability, by_path[outcome])
        np.testing.assert_allclose(mixture, risks[outcome], rtol=0, atol=1e-8)


def test_a_plan_that_contradicts_the_record_or_leaves_a_decision_open_is_refused() -> None:
    given = situation(**AFTER_INDUCTION)
    with pytest.raises(Refused, match="plan '010' disagrees with the decisions taken"):
        given.risks("010", MONTHS)
    with pytest.raises(WrongUsage, match="leaves a decision open"):
        given.risks("1-0", MONTHS)
    with pytest.raises(WrongUsage, match="leaves a decision open"):
        under(given, "1-0", MONTHS)
    with pytest.raises(WrongUsage, match=r"the policy says 1\.5 for concurrent_chemo"):
        under(given, lambda *_: 1.5, MONTHS)


@pytest.mark.parametrize("values", [{}, AFTER_INDUCTION], ids=["time zero", "after induction"])
def test_a_policy_that_follows_a_plan_has_the_risks_of_the_plan(values: Mapping[str, object]) -> None:
    given = situation(**values)
    plan = given.risks("110", MONTHS)
    named = under(given, "110", MONTHS)
    asked = under(given, lambda decision, _row, _seen: float("110"[SPEC.decisions.index(decision)]), MONTHS)
    assert named.sampled == asked.sampled == 0
    for outcome, risks in plan.items():
        np.testing.assert_allclose(named.risks[outcome][0], risks[0], atol=1e-8)
        np.testing.assert_allclose(asked.risks[outcome][0], risks[0], atol=1e-8)


def test_a_policy_that_tosses_coins_has_the_average_risk_of_the_plans() -> None:
    at_zero = situation()
    tossed = under(at_zero, lambda *_: 0.5, MONTHS, draws=True)
    plans = [at_zero.risks(f"{k:03b}", MONTHS) for k in range(8)]
    for outcome in TIMED + BINARY:
        np.testing.assert_allclose(tossed.risks[outcome], np.mean([risks[outcome] for risks in plans], axis=0))


def test_a_policy_that_looks_is_answered_for_every_draw_as_for_the_fit() -> None:
    few = Steady(draws=3)
    given = replace(situation(few, **INDUCED), rows=Rows.of(3, 1))
    every, fit = (under(given, looking, MONTHS, draws=draws) for draws in (True, False))
    for outcome in TIMED + BINARY:
        assert len(every.risks[outcome]) == 4
        np.testing.assert_allclose(every.risks[outcome][[0]], fit.risks[outcome], atol=1e-12)
        assert np.ptp(every.risks[outcome][:, -1]) > 1e-4


AGENT = "concurrent_agent"


def with_agent(agent: str, plan: str = "111") -> Policy:
    return following(SPEC, plan, {AGENT: agent})


def after_induction(*, copies: int = 1) -> Situation:
    """Everything is recorded up to the decision; of the copies of an incomplete patient only the baseline differs."""
    return replace(situation(Steady(copies=copies), **AFTER_INDUCTION), alive_until=3.0)


def test_a_chosen_agent_is_answered_as_one_that_is_recorded() -> None:
    """For a complete patient of whom nothing before it is unknown, both say the same."""
    before = after_induction()
    for agent in ("platinum", "cetuximab"):
        recorded = situation(**AFTER_INDUCTION, concurrent_chemo=1.0, concurrent_agent=agent)
        for outcome, risks in carried_out(before, "111", {AGENT: agent}, MONTHS).items():
            np.testing.assert_allclose(risks, recorded.risks("111", MONTHS)[outcome], rtol=0, atol=1e-10)
    one, other = (carried_out(before, "111", {AGENT: a}, MONTHS)["death"][0, -1] for a in ("cetuximab", "platinum"))
    assert one > other + 0.005


@pytest.mark.parametrize("plan", ["010", "111"])
def test_agents_chosen_as_physicians_do_average_to_the_answer_without_a_choice(plan: str) -> None:
    """The law of total probability, in every draw; before decision 2 nothing is unknown that the agent depends on."""
    before = after_induction() if plan == "111" else situation()
    (agent,) = before.states(plan, "decision_cc")
    for outcome, total in before.risks(plan, MONTHS).items():
        given = [carried_out(before, plan, {AGENT: level.split(" or ")[0]}, MONTHS)[outcome] for level in agent.levels]
        average = np.einsum("rl,lrm->rm", agent.probability, given)
        np.testing.assert_allclose(average, total, rtol=0, atol=1e-8)
        assert np.ptp(given, axis=0)[0, -1] > 0.005


def test_a_choice_says_nothing_about_what_is_not_known_as_a_record_would() -> None:
    """With the responses to induction ahead, every path keeps its share; only the agent in it is no longer drawn."""
    at_zero = situation()
    paths, by_path = at_zero.risks_by_path("110", MONTHS)
    level = at_zero.tree(np.array([1.0, 1.0, 0.0])).levels[1]
    expected = np.zeros(len(MONTHS))
    for response in np.unique(paths.states[:, 0]):
        with_response = paths.states[:, 0] == response
        cetuximab = with_response & np.array(
            [level.words[k][AGENT].startswith("cetuximab") for k in paths.states[:, 1]]
        )
        share = paths.probability[0, cetuximab] / paths.probability[0, cetuximab].sum()
        expected += paths.probability[0, with_response].sum() * (share @ by_path["death"][0, cetuximab])
    chosen = carried_out(at_zero, "110", {AGENT: "cetuximab"}, MONTHS)["death"][0]
    np.testing.assert_allclose(chosen, expected, rtol=0, atol=1e-8)


def test_a_policy_may_choose_the_agent_by_what_it_saw() -> None:
    def by_response(decision: Decision, _row: pd.DataFrame, history: Mapping[str, str]) -> Choice:
        if decision.column != "concurrent_chemo":
            return Choice(float(decision.column == "induction_chemo"))
        return Choice(1.0, "platinum" if history["ic_response_primary"] == "CR" else "cetuximab")

    policies = (with_agent("platinum", "110"), by_response, with_agent("cetuximab", "110"))
    platinum, mixed, cetuximab = (under(situation(), policy, MONTHS).risks["death"][0, -1] for policy in policies)
    assert platinum + 0.001 < mixed < cetuximab - 0.001
    drawn = sample(situation(), by_response, 2000, np.random.default_rng(0), 60.0)
    seen = drawn.dropna(subset=[AGENT])
    complete = seen["ic_response_primary"] == "CR"
    assert set(seen.loc[complete, AGENT]) == {"platinum"}
    assert {agent.split(" or ")[0] for agent in seen.loc[~complete, AGENT]} == {"cetuximab"}


def test_an_impossible_manner_is_refused() -> None:
    given = situation()
    with pytest.raises(WrongUsage, match="concurrent_agent 'carboplatin' is unknown to the cohort"):
        under(given, with_agent("carboplatin"), MONTHS)
    with pytest.raises(WrongUsage, match="declines induction_chemo and would carry it out with 'cetuximab'"):
        under(given, lambda *_: Choice(0.0, "cetuximab"), MONTHS)
    with pytest.raises(WrongUsage, match="induction_chemo cannot be carried out with 'cetuximab'"):
        under(given, lambda *_: Choice(0.5, "cetuximab"), MONTHS)
    with pytest.raises(WrongUsage, match="plan '101' declines what concurrent_agent 'cetuximab' would carry out"):
        with_agent("cetuximab", "101")
    with pytest.raises(WrongUsage, match="hpv_status is the manner of no decision"):
        following(SPEC, "111", {"hpv_status": "positive"})
    recorded = situation(concurrent_agent="platinum")
    with pytest.raises(WrongUsage, match="with 'cetuximab': 'platinum' is recorded"):
        carried_out(recorded, "010", {AGENT: "cetuximab"}, MONTHS)


def test_a_decision_that_is_taken_keeps_the_agent_that_is_recorded() -> None:
    given = situation(**AFTER_INDUCTION, concurrent_chemo=1.0, concurrent_agent="platinum")
    asked = under(given, with_agent("cetuximab"), MONTHS).risks["death"][0]
    np.testing.assert_allclose(asked, given.risks("111", MONTHS)["death"][0], rtol=0, atol=1e-10)


def monte_carlo(trajectories: pd.DataFrame, outcome: str, months: Floats) -> Floats:
    happened = (trajectories[f"{outcome}_cause"] == "event").to_numpy()
    return (happened[:, None] & (trajectories[f"{outcome}_month"].to_numpy()[:, None] <= months)).mean(axis=0)


@pytest.mark.parametrize(
    ("policy", "values"),
    [
        ("010", {}),
        ("111", {}),
        (looking, {}),
        ("111", AFTER_INDUCTION),
        (looking, AFTER_INDUCTION),
        (following(SPEC, "110", {"concurrent_agent": "cetuximab"}), {}),
    ],
    ids=["plan 010", "plan 111", "looking", "plan 111 after induction", "looking after induction", "cetuximab"],
)
def test_sampled_trajectories_agree_with_the_exact_answer(policy: Policy | str, values: Mapping[str, object]) -> None:
    given = situation(**values)
    exact = under(given, policy, MONTHS)
    count = 20_000
    drawn = sample(given, policy, count, np.random.default_rng(7), 60.0)
    assert exact.paths > 0
    for outcome in TIMED:
        risk = exact.risks[outcome][0]
        error = np.sqrt(np.maximum(risk * (1 - risk), 1e-4) / count)
        assert (np.abs(monte_carlo(drawn, outcome, MONTHS) - risk) < 4 * error).all(), outcome
    for outcome in BINARY:
        risk = exact.risks[outcome][0, 0]
        alive = drawn[outcome].dropna()
        assert abs(alive.mean() - risk) < 4 * np.sqrt(risk * (1 - risk) / len(alive)), outcome


def test_too_many_paths_are_sampled_and_the_answer_says_so() -> None:
    exact = under(situation(), looking, MONTHS)
    drawn = under(situation(), looking, MONTHS, rng=np.random.default_rng(1), limit=100)
    assert exact.paths > 100
    assert exact.sampled == drawn.paths == 0
    assert drawn.sampled >= 1000
    for outcome in TIMED:
        error = np.sqrt(exact.risks[outcome] * (1 - exact.risks[outcome]) / drawn.sampled)
        assert (np.abs(drawn.risks[outcome] - exact.risks[outcome]) < 4 * error + 1e-3).all()


def test_trajectories_end_with_death_and_hold_no_state_without_treatment() -> None:
    drawn = sample(situation(), looking, 4000, np.random.default_rng(0), 60.0)
    declined = drawn["induction_chemo"] == 0
    assert set(drawn.loc[declined, "ic_response_primary"].dropna()) == {"not applicable"}
    assert set(drawn.loc[declined, "ic_dose_change"].dropna()) == {"not applicable"}
    alone = drawn["concurrent_chemo"] == 0
    assert set(drawn.loc[alone, "concurrent_agent"].dropna()) == {"not applicable"}
    assert set(drawn.loc[alone, "rt_toxicities"].dropna()) == {"none"}
    died = (drawn["death_cause"] == "event") & (drawn["death_month"] <= 3.0)
    assert died.sum() > 10
    later = drawn.loc[died, ["rt_response_primary", "rt_response_nodal", "neck_dissection", "aspiration_6m"]]
    assert later.isna().all(axis=None)
    assert drawn.loc[~died, "concurrent_chemo"].notna().all()
    again = sample(situation(), looking, 4000, np.random.default_rng(0), 60.0)
    pd.testing.assert_frame_equal(drawn, again)


def test_a_cohort_without_states_leaves_the_models_from_time_zero_alone() -> None:
    decided = ["induction_chemo", "concurrent_chemo", "neck_dissection"]
    bare = structural_cohort().frame[["patient_id", *decided]]
    transitions = fit_transitions(
        Learning(
            SPEC, bare, np.zeros((len(bare), 3)), bare, decision_matrix(SPEC, bare), DRAWS, np.random.default_rng(0)
        )
    )
    plain = Situation.of(SPEC, StateModels(transitions, {}), frame(), Steady())
    for outcome, risks in plain.risks("110", MONTHS).items():
        np.testing.assert_allclose(risks, situation().risks("110", MONTHS)[outcome])
    policy = under(plain, lambda *_: 0.5, MONTHS)
    assert policy.paths == 8
    assert len(sample(plain, "110", 10, np.random.default_rng(0), 60.0)) == 10


def test_what_is_learnt_is_stored_as_plain_values_and_comes_back_the_same() -> None:
    adapter = TypeAdapter(StateModels)
    arrays: dict[str, Floats] = {}
    document = _split(adapter.dump_python(models()), arrays, "states")
    back = adapter.validate_python(_joined(document, arrays))
    given = frame(**AFTER_INDUCTION)
    one = Situation.of(SPEC, models(), given, Steady()).risks("111", MONTHS)
    other = Situation.of(SPEC, back, given, Steady()).risks("111", MONTHS)
    for outcome, risks in one.items():
        np.testing.assert_array_equal(risks, other[outcome])


def seconds(action: Callable[[], object]) -> float:
    """Processor time, the best of three."""
    best = np.inf
    for _ in range(3):
        start = time.process_time()
        action()
        best = min(best, time.process_time() - start)
    return float(best)


def test_answers_come_in_time() -> None:
    """Four plans after induction with all draws within 150 ms, a policy within 100 ms; thrice that if it is busy."""
    months = np.arange(0.0, 61.0)
    with one_thread():
        four = seconds(lambda: [situation(**AFTER_INDUCTION).risks(p, months) for p in ("100", "101", "110", "111")])
        policy = seconds(lambda: under(situation(), looking, [12.0, 24.0, 60.0]))
    assert four < 0.45
    assert policy < 0.3
