"""A recommendation as a reader sees it: the numbers of the table, and the policy of the exact solution."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import structural_cohort
from fixtures.cohorts import structural_twin as twin
from fixtures.learnt_policies import AsExact, Contrary

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.errors import Refused, WrongUsage
from data.evidence import load_evidence
from twin.arrays import Floats
from twin.effects.sources import bearing_on
from twin.observed import observed_share_on_plan
from twin.policy import recommendation
from twin.policy.exact import Question, plan_probabilities, reach
from twin.policy.explanation import Explanation, explain
from twin.policy.options import RULED_OUT, Exclusion
from twin.policy.recommendation import FALLS_SHORT, Learnt, advise, recommend
from twin.policy.utility import Weights
from twin.record import decision_matrix

SPEC = load_specification()
MOMENTS = ("decision_ic", "decision_cc", "decision_nd")


def weights() -> Weights:
    return Weights.of(SPEC)


def patient(moment: str, row: int = 0, **changed: object) -> pd.DataFrame:
    """One patient of the cohort as known before a moment."""
    frame = structural_cohort().frame.iloc[[row]].reset_index(drop=True)
    known = [column.name for column in SPEC.available_before(moment) if column.name in frame]
    return typed_frame(frame[known].assign(**changed), SPEC)


@cache
def explained(moment: str, row: int = 0) -> Explanation:
    found = explain(twin(), patient(moment, row), weights())
    assert found is not None
    return found


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("row", [0, 5])
def test_the_page_and_the_file_say_the_same(moment: str, row: int) -> None:
    found = explained(moment, row)
    (told,) = recommend(twin(), patient(moment, row), weights()).to_dict("records")
    assert told["decision"] == found.decision.column
    assert told["recommendation"] == found.recommended.option == 1 - found.other.option
    assert told["plan"] == found.recommended.plan
    assert (told["value"], told["value_next_best"]) == (found.recommended.value, found.other.value)
    assert (told["gain_lower"], told["gain_upper"]) == (found.gain.lower, found.gain.upper)
    assert told["physician_probability"] == found.physician
    assert told["support"] == found.recommended.support.level.value
    assert (bool(told["abstained"]), told["reason"]) == (found.verdict.abstained, found.verdict.reason)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_gain_is_what_the_contrasts_add_up_to_and_nothing_else(moment: str) -> None:
    """Utility is linear in the losses, so the weighted differences of the fit make up the gain."""
    found = explained(moment)
    units = [found.horizon_months if c.in_months else 100.0 for c in found.contrasts]
    parts = [
        weights().by_outcome[c.outcome.name] * c.difference.value / unit
        for c, unit in zip(found.contrasts, units, strict=True)
    ]
    assert -sum(parts) == pytest.approx(found.gain.value, abs=1e-12)
    assert found.gain.value == pytest.approx(found.recommended.value - found.other.value, abs=1e-12)
    for contrast, unit in zip(found.contrasts, units, strict=True):
        apart = contrast.recommended.value - contrast.other.value
        assert contrast.difference.value == pytest.approx(apart, abs=1e-9)
        for estimate in (contrast.recommended, contrast.other):
            assert 0.0 <= estimate.lower <= estimate.value <= estimate.upper <= unit
        assert contrast.clear == (not contrast.difference.lower <= 0.0 <= contrast.difference.upper)


def test_draws_of_both_options_belong_together() -> None:
    """What is unsure about the patient is common to both options: paired draws differ less than unpaired ones."""
    (advice,) = advise(twin(), patient("decision_ic"), weights())
    paired = advice.differences[1:, 0].std(axis=0)
    unpaired = np.sqrt((advice.losses[1:, 0].var(axis=0)).sum(axis=0))
    assert (paired < unpaired).all()
    assert advice.differences == pytest.approx(
        advice.losses[:, [0], advice.recommended] - advice.losses[:, [0], 1 - advice.recommended]
    )


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("row", [0, 3])
def test_later_questions_lead_to_the_sequences_that_the_policy_ends_with(moment: str, row: int) -> None:
    """Who is asked the last question ends with "yes" as often as it is answered so: both count the same histories."""
    found = explained(moment, row)
    (advice,) = advise(twin(), patient(moment, row), weights())
    for way, later in zip(found.ways, found.later, strict=True):
        chances = plan_probabilities(advice.prospects, advice.exact, np.array([float(way.option)]))[0]
        ends_yes = sum(c for plan, c in zip(advice.prospects.plans, chances, strict=True) if plan.endswith("1"))
        last = [one for one in later if one.decision is SPEC.decisions[-1]]
        if last:
            assert sum(one.chance * one.yes for one in last) == pytest.approx(ends_yes, abs=2 * 0.005)
        for one in later:
            assert one.so_far[SPEC.decisions.index(found.decision)] == str(way.option)
            for each in (one, *one.seen):
                assert each.values[1] > each.values[0] or each.yes < 1.0
                assert each.values[1] <= each.values[0] + 1e-12 or each.yes > 0.0
            if one.seen:
                for k in (0, 1):
                    assert sum(seen.chance * seen.values[k] for seen in one.seen) == pytest.approx(one.values[k])
                assert sum(seen.chance for seen in one.seen) == pytest.approx(1.0)
                assert sum(seen.chance * seen.yes for seen in one.seen) == pytest.approx(one.yes)
                assert one.told_by
            else:
                assert not one.told_by


def test_every_depth_is_reached_with_certainty() -> None:
    (advice,) = advise(twin(), patient("decision_ic"), weights())
    for first in (None, np.zeros(1), np.ones(1)):
        reached = reach(advice.prospects, advice.exact, first)
        for decided in range(len(SPEC.decisions) + 1):
            here = [chance for key, chance in reached.items() if key.count("-") == len(SPEC.decisions) - decided]
            assert sum(float(chance.sum()) for chance in here) == pytest.approx(1.0)


def test_a_policy_that_looks_at_one_state_is_told_by_that_state() -> None:
    """A neck that responded completely is left alone, another one dissected: the nodal response tells it all."""
    step = next(model.step for model in twin().states.transitions.steps if model.step.moment == "after_rt")
    nodal = [variable.name for variable in step.variables].index("rt_response_nodal")

    def looks(question: Question) -> Floats:
        if SPEC.decisions[question.decision].column != "neck_dissection":
            return np.ones(question.probability.shape)
        digits = np.array([float(digit) if digit != "-" else 0.0 for digit in question.so_far])
        left = (step.space(digits)[:, nodal] != 0).astype(float)
        return np.tile(left, (1, question.probability.shape[1] // len(left)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recommendation, "solve", lambda some, *_: recommendation.follow(some, looks))
        found = explain(twin(), patient("decision_cc"), weights())
    assert found is not None
    (last,) = found.later[0] if found.recommended.option == 1 else found.later[1]
    assert last.told_by == step.variables[nodal].label
    assert [seen.yes for seen in last.seen] == [0.0, *[1.0] * (len(last.seen) - 1)]
    assert last.seen[0].label == "CR"


# What is not possible, not recorded, not left


def test_a_contraindicated_option_is_named_and_still_told_apart() -> None:
    found = explain(twin(), patient("decision_ic", ecog=3.0), weights())
    assert found is not None
    assert (found.recommended.option, found.exact) == (0, 0)
    assert found.other.barred == "ECOG performance status 3 or worse"
    assert not found.recommended.barred
    assert not found.verdict.abstained
    assert found.other.barred in found.verdict.reason
    assert len(found.contrasts) == len(twin().outcomes)
    assert {one.plan for one in found.sequences if one.possible} == {"000", "001"}


def test_a_manner_that_is_not_possible_is_named() -> None:
    found = explain(twin(), patient("decision_cc", 0, induction_chemo=1.0, ic_dlt_neurologic=1.0), weights())
    assert found is not None
    assert found.left_out == ("platinum: dose-limiting neurological toxicity of induction",)


@pytest.mark.parametrize("option", [0, 1])
def test_ruling_an_option_out_leaves_the_other(option: int) -> None:
    excluded = [Exclusion("induction_chemo", option)]
    found = explain(twin(), patient("decision_ic"), weights(), excluded=excluded)
    assert found is not None
    assert found.recommended.option == 1 - option
    assert found.other.barred == RULED_OUT
    assert all(one.possible == (one.plan[0] != str(option)) for one in found.sequences)
    with pytest.raises(WrongUsage, match="both options"):
        explain(
            twin(), patient("decision_ic"), weights(), excluded=[*excluded, Exclusion("induction_chemo", 1 - option)]
        )


def test_a_later_option_that_is_ruled_out_is_never_taken() -> None:
    found = explain(twin(), patient("decision_ic"), weights(), excluded=[Exclusion("neck_dissection", 1)])
    assert found is not None
    assert found.recommended.plan.endswith("0")
    last = [one for later in found.later for one in later if one.decision.column == "neck_dissection"]
    assert last
    assert all(one.yes == 0.0 for one in last)


def test_a_past_decision_without_a_record_makes_it_abstain() -> None:
    found = explain(twin(), patient("decision_cc", induction_chemo=np.nan, ic_response_primary="CR"), weights())
    assert found is not None
    assert found.assumed == ("Induction chemotherapy",)
    assert found.verdict.abstained


def test_nothing_is_said_where_nothing_is_left_to_decide() -> None:
    frame = patient("decision_nd", induction_chemo=0.0, concurrent_chemo=1.0, neck_dissection=0.0)
    assert explain(twin(), frame, weights()) is None


def test_weights_of_nothing_gain_nothing() -> None:
    none = Weights(dict.fromkeys(weights().by_outcome, 0.0))
    found = explain(twin(), patient("decision_ic"), none)
    assert found is not None
    assert (found.gain.lower, found.gain.value, found.gain.upper) == (0.0, 0.0, 0.0)


# A learnt policy


@pytest.mark.parametrize(("learnt", "short"), [(AsExact(), False), (Contrary(), True)])
def test_a_learnt_policy_is_shown_unless_it_falls_short(learnt: Learnt, short: bool) -> None:
    found = explain(twin(), patient("decision_ic"), weights(), learnt)
    assert found is not None
    assert found.learnt is not None
    assert found.learnt.falls_short == short == (found.learnt.share > FALLS_SHORT)
    assert (found.learnt.option == found.exact) != short
    assert found.recommended.option == found.exact
    assert (found.learnt.regret > 0.0) == short


# What stands beside it


def test_evidence_bears_on_patients_it_applies_to_and_was_read() -> None:
    evidence = load_evidence(SPEC)
    positive, negative, unknown = (
        bearing_on(evidence, SPEC, "induction_chemo", patient("decision_ic", hpv_status=status, t_stage="T4"))
        for status in ("positive", "negative", "unknown")
    )
    assert all(effect.verified and effect.used for effect in (*positive, *negative, *unknown))
    groups = [{str(effect.group) for effect in rows} for rows in (positive, negative, unknown)]
    assert "hpv_status=positive" in groups[0] - groups[1]
    assert any("hpv_status=negative" in group for group in groups[1] - groups[0])
    assert groups[2] >= groups[0] | groups[1]
    concurrent = bearing_on(evidence, SPEC, "concurrent_chemo", patient("decision_ic", hpv_status="positive"))
    assert {effect.decision for effect in concurrent} == {"concurrent_chemo", "concurrent_agent"}


def test_a_share_is_of_those_who_had_the_plan_dissected_or_not() -> None:
    cohort = structural_cohort()
    decisions = decision_matrix(SPEC, cohort.frame)
    shared = observed_share_on_plan(cohort, "aspiration_6m", "011", decisions)
    had_it = cohort.frame[(decisions[:, 0] == 0) & (decisions[:, 1] == 1)]["aspiration_6m"].dropna()
    assert (shared.patients, shared.share.value) == (len(had_it), pytest.approx(had_it.mean()))
    assert shared == observed_share_on_plan(cohort, "aspiration_6m", "010", decisions)
    nobody = Cohort(SPEC, cohort.frame.head(0))
    with pytest.raises(Refused, match="recorded in none"):
        observed_share_on_plan(nobody, "aspiration_6m", "011", decisions[:0])
