"""The value of the policy in cross-validation: against known fates under random treatment, and against itself."""

import json
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from fixtures.cohorts import QUICK, exponential_cohort

from data.cohort import Cohort, typed_frame
from data.synthetic import generate
from data.synthetic.baseline import Baseline
from data.synthetic.draws import Draw, generator_draw
from data.synthetic.parameters import PARAMETERS
from data.synthetic.recording import record
from data.synthetic.simulation import Trajectories, run
from data.synthetic.treatment import Physicians
from pages.parts.charts import benefit_and_harm, benefit_and_harm_alternative
from pages.parts.palette import LIGHT
from twin.arrays import Floats
from twin.evaluation.evaluate import EvaluationSettings, evaluate
from twin.evaluation.held_out import Fold, split
from twin.evaluation.policy import Loss, PolicyEvaluation, evaluate_policy
from twin.evaluation.policy_gathered import EXACT, GREEDY, RANDOM, Gathered, fixed_plans, gather
from twin.evaluation.policy_text import policy_text
from twin.evaluation.policy_values import Said, decided
from twin.fitting import fit_twin
from twin.metrics.intervals import MetricValue
from twin.policy.off_policy import FEWEST_EFFECTIVE, Estimator
from twin.policy.utility import HORIZON_MONTHS, Weights, utility
from twin.prediction import FittedTwin

PATIENTS, RESAMPLES = 700, 200
OUTCOMES = ("death", "locoregional_failure", "distant_failure", "feeding_tube_6m", "aspiration_6m")
TREATED_AT_ONCE = "01-"


@dataclass
class AtRandom:
    """A coin for induction and for concurrent therapy, or a plan; the physicians' habit for dissection."""

    rng: np.random.Generator
    draw: Draw
    plan: str = "--"

    def induction(self, b: Baseline, frailty: Floats) -> Floats:
        return self._decides(0, len(frailty))

    def concurrent(self, b: Baseline, frailty: Floats, induction: Floats, primary: Floats) -> Floats:
        return self._decides(1, len(frailty))

    def dissection(self, b: Baseline, frailty: Floats, primary: Floats, nodal: Floats) -> Floats:
        return Physicians(self.draw, PARAMETERS).dissection(b, frailty, primary, nodal)

    def _decides(self, decision: int, patients: int) -> Floats:
        digit = self.plan[decision]
        return self.rng.random(patients) < 0.5 if digit == "-" else np.full(patients, digit == "1")


def lived(happened: Trajectories) -> Floats:
    """Utility of each patient, whom nobody lost from sight."""
    judged = happened.death_month > 6.0
    losses = (
        1.0 - np.minimum(happened.death_month, HORIZON_MONTHS) / HORIZON_MONTHS,
        happened.locoregional_month <= HORIZON_MONTHS,
        happened.distant_month <= HORIZON_MONTHS,
        happened.feeding_tube & judged,
        happened.aspiration & judged,
    )
    weights = Weights.of(random_cohort().spec).array(OUTCOMES)
    return utility(np.column_stack(losses).astype(float), weights)


@cache
def people() -> tuple[Cohort, Baseline]:
    """Patients for whom every option is possible."""
    synthetic = generate(PATIENTS, seed=11)
    rows = np.flatnonzero(synthetic.baseline.ecog < 3)
    frame = synthetic.cohort.frame.iloc[rows].reset_index(drop=True)
    return replace(synthetic.cohort, frame=frame), synthetic.baseline.rows(rows)


@cache
def random_cohort() -> Cohort:
    """Treated by coins."""
    cohort, baseline = people()
    rng = np.random.default_rng(5)
    draw = generator_draw(cohort.size, rng)
    happened = run(baseline, AtRandom(rng, draw), draw, PARAMETERS)
    known = cohort.frame[[column.name for column in cohort.spec.available_before("decision_ic")]]
    return replace(cohort, frame=typed_frame(record(known, happened, draw, PARAMETERS), cohort.spec), name="random")


def truth(plan: str) -> float:
    """Mean utility had everybody been treated by a plan, over many lives."""
    cohort, baseline = people()
    means = []
    for seed in range(60):
        rng = np.random.default_rng(100 + seed)
        draw = generator_draw(cohort.size, rng)
        means.append(lived(run(baseline, AtRandom(rng, draw, plan), draw, PARAMETERS)).mean())
    return float(np.mean(means))


@cache
def fitted() -> tuple[list[Fold], list[FittedTwin]]:
    parts = split(random_cohort(), np.arange(random_cohort().size) % 2)
    return parts, [fit_twin(part.training, QUICK) for part in parts]


def shortfall(patients: int) -> Floats:
    """What some learnt policy falls short by."""
    return np.random.default_rng(8).beta(0.2, 5.0, patients)


@cache
def gathered() -> Gathered:
    found = gather(random_cohort(), *fitted(), Weights.of(random_cohort().spec), shortfall(random_cohort().size))
    assert not isinstance(found, str)
    return found


def judged(of: Gathered, resamples: int = RESAMPLES) -> PolicyEvaluation:
    found = evaluate_policy(of, resamples, 0)
    assert not isinstance(found, str)
    return found


@cache
def evaluated() -> PolicyEvaluation:
    return judged(gathered())


def standard_error(found: MetricValue) -> float:
    assert found.lower is not None
    assert found.upper is not None
    return (found.upper - found.lower) / (2 * 1.96)


# Against what is known


@pytest.mark.parametrize("plan", ["00-", "01-", "10-", "11-"])
def test_fixed_plans_have_the_value_that_they_would_have_had(plan: str) -> None:
    expected = truth(plan[:2])
    for name, one in evaluated().policies[plan].values.items():
        error = standard_error(one.value)
        assert error < 0.05
        assert one.value.value == pytest.approx(expected, abs=3 * error), name
    assert evaluated().policies[plan].values[Estimator.WEIGHTED].effective_sample_size > 100


def test_a_coin_is_worth_what_coins_were_worth() -> None:
    coin, found = evaluated().policies[RANDOM], evaluated().physicians
    assert coin.values[Estimator.DOUBLY_ROBUST].difference.value == pytest.approx(0.0, abs=0.015)
    assert found.value == coin.physicians.value


def test_toxicities_of_a_plan_are_expected_as_they_are_seen() -> None:
    """In the dead they are 0: the model alone, uncorrected, comes near the truth of both."""
    cohort, baseline = people()
    rng = np.random.default_rng(1)
    draw = generator_draw(cohort.size, rng)
    happened = run(baseline, AtRandom(rng, draw, "11"), draw, PARAMETERS)
    seen = (happened.feeding_tube & (happened.death_month > 6.0)).mean()
    expected = gathered().said["11-"].first[:, gathered().outcomes.index("feeding_tube_6m")].mean()
    assert expected == pytest.approx(seen, abs=0.06)


def test_as_the_physicians_is_what_was_observed() -> None:
    of = gathered()
    exact = of.said[EXACT]
    policy = np.where(np.isnan(exact.policy), np.nan, 0.3)
    same = Said(of.propensity, policy, policy, exact.first)
    found = judged(replace(of, said={**of.said, EXACT: same}))
    weighted = found.policies[EXACT].values[Estimator.WEIGHTED]
    assert weighted.value.value == pytest.approx(found.physicians.value)
    assert weighted.difference.value == pytest.approx(0.0, abs=1e-12)
    assert weighted.effective_sample_size == pytest.approx(found.patients)


def test_what_the_policy_takes_for_certain_is_worth_what_the_policy_is() -> None:
    of = gathered()
    for name, said in of.said.items():
        certain = said.yes == of.taken[:, of.valued]
        np.testing.assert_allclose(said.taken[certain], said.policy[certain], err_msg=name)


def test_the_exact_policy_is_the_best_that_the_models_know() -> None:
    """But for what is not optimised: dissection is the physicians', and the dead have no toxicity."""
    model = evaluated().model
    best = model[EXACT].value
    assert best is not None
    assert all(best > (one.value or 1.0) - 0.003 for one in model.values())
    assert best > (model[RANDOM].value or 1.0)


# What is not claimed


def test_nothing_is_claimed_of_fewer_than_thirty() -> None:
    few = judged(_some(gathered(), np.arange(random_cohort().size) < 60))
    for one in few.policies.values():
        for value in one.values.values():
            assert value.claim == (value.effective_sample_size >= FEWEST_EFFECTIVE)
            assert not value.better or value.claim
    assert not few.policies["11-"].values[Estimator.DOUBLY_ROBUST].claim
    assert "no claim" in "\n".join(policy_text(few))


def _some(of: Gathered, rows: Floats) -> Gathered:
    at = np.flatnonzero(rows)
    return _ordered(of, at)


def _ordered(of: Gathered, at: Floats) -> Gathered:
    """The patients at some positions, in that order."""
    frame = of.cohort.frame.iloc[at].reset_index(drop=True)
    arrays = ("taken", "unrecorded", "propensity", "advised", "abstained", "regret")
    return replace(
        of,
        cohort=replace(of.cohort, frame=frame),
        said={name: said.rows(at) for name, said in of.said.items()},
        **{name: getattr(of, name)[at] for name in arrays},
    )


def test_the_order_of_patients_changes_no_estimate() -> None:
    order = np.random.default_rng(2).permutation(random_cohort().size)
    other = judged(_ordered(gathered(), order), resamples=2)
    for name, one in evaluated().policies.items():
        for estimator, value in one.values.items():
            assert other.policies[name].values[estimator].value.value == pytest.approx(value.value.value)
    assert other.front is not None
    assert other.front.observed.months_lost == pytest.approx(evaluated().front.observed.months_lost)
    assert [one.agreement.value for one in other.choices] == pytest.approx(
        [one.agreement.value for one in evaluated().choices]
    )


def test_patients_with_a_decision_that_is_not_recorded_are_counted_and_left_out() -> None:
    of = gathered()
    frame = of.cohort.frame.copy()
    alive = np.flatnonzero(~np.isnan(of.taken[:, 1]))[:5]
    frame.loc[alive, "concurrent_chemo"] = np.nan
    found = decided(replace(of.cohort, frame=frame), {})
    assert np.flatnonzero(found.unrecorded[:, 1]).tolist() == alive.tolist()
    unrecorded = found.unrecorded[:, :2].any(axis=1)
    left = judged(replace(of, unrecorded=unrecorded))
    assert left.patients == of.cohort.size - 5
    assert sum(left.left_out.values()) == 5


def test_a_decision_beyond_last_contact_is_none() -> None:
    cohort = replace(random_cohort(), frame=random_cohort().frame.copy())
    induced = int(np.flatnonzero(cohort.frame["induction_chemo"] == 1)[0])
    cohort.frame.loc[induced, ["os_months", "concurrent_chemo"]] = [2.0, np.nan]
    found = decided(cohort, {})
    assert np.isnan(found.taken[induced, 1:]).all()
    assert not found.unrecorded[induced].any()
    cohort.frame.loc[induced, "concurrent_chemo"] = 1.0
    assert np.isnan(decided(cohort, {}).taken[induced, 1])


# What is told


def test_dissection_is_left_to_the_physicians() -> None:
    found = evaluated()
    assert found.valued == ("induction_chemo", "concurrent_chemo")
    assert found.left_to_physicians == ("neck_dissection",)
    assert [one.valued for one in found.choices] == [True, True, False]
    assert found.fixed == ("00-", "01-", "10-", "11-")
    assert set(found.policies) == {EXACT, RANDOM, GREEDY, *found.fixed}
    best = found.policies[found.best_fixed].values[Estimator.DOUBLY_ROBUST].value.value
    assert best == max(found.policies[name].values[Estimator.DOUBLY_ROBUST].value.value or 0 for name in found.fixed)


def test_losses_add_up_to_the_utility() -> None:
    found = evaluated()
    for side in ("physicians", "policy"):
        lost = sum(found.weights[name] * getattr(loss, side).value for name, loss in found.losses.items())
        whole = (
            found.physicians if side == "physicians" else found.policies[EXACT].values[Estimator.DOUBLY_ROBUST].value
        )
        assert 1.0 - lost == pytest.approx(whole.value)
    loss: Loss = found.losses["death"]
    assert loss.difference.value == pytest.approx((loss.policy.value or 0.0) - (loss.physicians.value or 0.0))
    assert (loss.policy.lower or 0.0) < (loss.policy.value or 0.0) < (loss.policy.upper or 0.0)


def test_more_weight_on_toxicities_never_buys_more_of_them() -> None:
    """Up to what is not optimised: dissection is the physicians', and the dead have no toxicity."""
    front = evaluated().front
    assert front is not None
    toxicity = [point.toxicity for point in front.exact]
    months = [point.months_lost for point in front.exact]
    assert (np.diff(toxicity) < 2e-3).all()
    assert (np.diff(months) > -5e-2).all()
    assert toxicity[-1] < toxicity[0] - 0.05


def test_a_learnt_policy_is_held_against_the_exact_one() -> None:
    of, found = gathered(), evaluated()
    assert of.regret is not None
    assert found.regret is not None
    assert found.regret.mean.value == pytest.approx(shortfall(random_cohort().size).mean())
    assert found.regret.percentile_95.value == pytest.approx(
        np.quantile(shortfall(random_cohort().size), 0.95), rel=0.1
    )
    assert "The learnt policy falls short" in " ".join(" ".join(policy_text(found)).split())
    without = judged(replace(of, regret=None), resamples=2)
    assert without.regret is None
    assert without.as_dict()["regret"] is None


def test_the_document_has_what_the_contract_asks() -> None:
    document = json.loads(json.dumps(evaluated().as_dict(), allow_nan=False))
    assert set(document) == {
        "patients",
        "left_out",
        "horizon",
        "weights",
        "valued",
        "left_to_physicians",
        "physicians",
        "policies",
        "fixed",
        "best_fixed",
        "sensitivity",
        "losses",
        "choices",
        "abstention",
        "regret",
        "weightings",
        "front",
        "not_compared",
    }
    exact = document["policies"][EXACT]
    assert set(exact["values"]) == {"weighted", "doubly_robust", "weighted_doubly_robust"}
    assert {"value", "difference", "effective_sample_size", "claim", "reason"} <= set(exact["values"]["doubly_robust"])
    choice = document["choices"]["concurrent_chemo"]
    assert {"recommended", "given", "agreement", "overlap", "groups"} <= set(choice)
    assert choice["overlap"]["value"] > 0.9
    assert 0.0 <= document["abstention"]["share"]["value"] <= 1.0


def test_with_one_decision_there_are_two_plans() -> None:
    spec = random_cohort().spec
    assert fixed_plans(spec, (1,), {"induction_chemo": 0, "neck_dissection": 0}) == ("000", "010")


def test_a_cohort_with_one_decision_is_valued_by_it() -> None:
    cohort = exponential_cohort(300, 4, death_rate=0.02)
    frame = cohort.frame.drop(columns="neck_dissection")
    found = evaluate(
        replace(cohort, frame=frame), EvaluationSettings(folds=2, resamples=20, fit=QUICK, landmarks=False)
    )
    assert found.policy is not None
    assert found.policy.valued == ("concurrent_chemo",)
    assert found.policy.fixed == ("000", "010")
    assert found.policy.front is None
    # Treatment was by a coin and changes nothing.
    for one in found.policy.policies.values():
        value = one.values[Estimator.DOUBLY_ROBUST]
        assert value.difference.value == pytest.approx(0.0, abs=3 * standard_error(value.difference) + 1e-9)


def test_a_cohort_without_decisions_says_why() -> None:
    cohort = exponential_cohort(200, 4, death_rate=0.02)
    frame = cohort.frame.drop(columns=["concurrent_chemo", "neck_dissection"])
    settings = EvaluationSettings(folds=2, resamples=5, fit=QUICK, landmarks=False)
    found = evaluate(replace(cohort, frame=frame), settings)
    assert found.policy is None
    (reason,) = [one.reason for one in found.not_evaluated if one.what == "policy"]
    assert "no decision" in reason
    assert found.as_dict()["policy"] is None
    skipped = evaluate(cohort, replace(settings, policy=False))
    assert skipped.policy is None
    assert "left out" in {one.what: one.reason for one in skipped.not_evaluated}["policy"]


def test_text_says_what_the_values_rest_on() -> None:
    text = " ".join("\n".join(policy_text(evaluated())).split())
    assert "Neck dissection is as the physicians took it in all of them" in text
    assert "below 30 nothing is claimed" in text
    assert "best on these very patients" in text


def test_the_front_is_drawn_and_told() -> None:
    front = evaluated().as_dict()["front"]
    figure = benefit_and_harm(front, LIGHT)
    assert [len(trace.x) for trace in figure.data] == [len(front["exact"]), 4, 1]
    assert list(figure.data[0].y) == [point["months_lost"] for point in front["exact"]]
    said = benefit_and_harm_alternative(front)
    assert all(plan in said for plan in evaluated().fixed)
    assert f"{front['observed']['months_lost']:.1f} months" in said
