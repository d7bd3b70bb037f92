"""What is recommended: what is not possible, what abstains, how sure it is, and that nothing later is read."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import structural_cohort
from fixtures.cohorts import structural_twin as twin
from fixtures.learnt_policies import AsExact

from data.dictionary import load_specification
from data.errors import NotFound, Refused, WrongUsage
from data.schema import Contraindication, Expectation, Specification
from twin.interval import percentile_interval
from twin.policy.exact import Decide
from twin.policy.many import recommend_many
from twin.policy.options import RULED_OUT, Exclusion, Options
from twin.policy.patients import Patients
from twin.policy.recommendation import COLUMNS, FALLS_SHORT, MARGIN, advise, recommend, relative_regret
from twin.policy.utility import Weights, utility

SPEC = load_specification()
DEFAULT = Weights.of(SPEC)


@cache
def known(moment: str, patients: int = 40) -> pd.DataFrame:
    frame = structural_cohort().frame.head(patients).reset_index(drop=True)
    return frame[[column.name for column in SPEC.available_before(moment) if column.name in frame]]


@cache
def table(moment: str) -> pd.DataFrame:
    return recommend(twin(), known(moment), DEFAULT)


# The utility


def test_the_weights_of_the_disease_are_those_of_the_contract() -> None:
    assert dict(DEFAULT.by_outcome) == {
        "death": 1.0,
        "locoregional_failure": 0.5,
        "distant_failure": 0.5,
        "feeding_tube_6m": 0.2,
        "aspiration_6m": 0.2,
    }


def test_weights_are_read_as_they_are_written() -> None:
    weights = Weights.parse(SPEC, "death=2, aspiration_6m=0")
    assert weights.by_outcome["death"] == 2.0
    assert weights.by_outcome["aspiration_6m"] == 0.0
    assert weights.by_outcome["feeding_tube_6m"] == 0.2


@pytest.mark.parametrize("text", ["death", "death=much", "death=-1", "death=inf", "death=nan"])
def test_what_is_no_weight_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage):
        Weights.parse(SPEC, text)


def test_an_unknown_outcome_is_named_with_those_there_are() -> None:
    with pytest.raises(NotFound, match="locoregional_failure"):
        Weights.parse(SPEC, "lrf=1")


def test_utility_is_one_less_the_weighted_losses() -> None:
    losses = np.array([[0.5, 0.2], [0.0, 0.0]])
    assert utility(losses, np.array([1.0, 0.5])) == pytest.approx([0.4, 1.0])


# The table


@pytest.mark.parametrize(
    ("moment", "decision"),
    [("decision_ic", "induction_chemo"), ("decision_cc", "concurrent_chemo"), ("decision_nd", "neck_dissection")],
)
def test_one_row_a_patient_about_the_next_open_decision(moment: str, decision: str) -> None:
    found = table(moment)
    assert list(found.columns) == list(COLUMNS)
    assert list(found["patient_id"]) == list(known(moment)["patient_id"])
    assert set(found["decision"]) == {decision}
    assert found["recommendation"].isin([0, 1]).all()
    place = [one.column for one in SPEC.decisions].index(decision)
    assert [int(plan[place]) for plan in found["plan"]] == list(found["recommendation"])
    gain = found["value"] - found["value_next_best"]
    assert (found["gain_lower"] <= gain + 1e-12).all()
    assert (found["gain_upper"] >= gain - 1e-12).all()
    assert found["physician_probability"].between(0.0, 1.0).all()
    assert found["policy_regret"].isna().all()


def test_whoever_has_nothing_left_to_decide_gets_no_row() -> None:
    frame = structural_cohort().frame.head(5).reset_index(drop=True)
    assert recommend(twin(), frame, DEFAULT).empty


@pytest.mark.parametrize("moment", ["decision_cc", "decision_nd"])
def test_decisions_that_were_taken_are_kept(moment: str) -> None:
    taken = known(moment)["induction_chemo"].to_numpy(dtype=float)
    assert [float(plan[0]) for plan in table(moment)["plan"]] == list(taken)


def test_an_option_that_is_ruled_out_is_not_recommended_and_the_reason_is_given() -> None:
    free = table("decision_cc")
    for option in (0, 1):
        found = recommend(twin(), known("decision_cc"), DEFAULT, excluded=(Exclusion("concurrent_chemo", option),))
        assert (found["recommendation"] == 1 - option).all()
        assert (found["abstained"] == 0).all()
        assert found["reason"].str.contains(RULED_OUT).all()
        same = (free["recommendation"] == 1 - option).to_numpy()
        assert found["value"][same].to_numpy() == pytest.approx(free["value"][same].to_numpy())


def test_an_exclusion_later_in_time_is_respected_by_the_sequence() -> None:
    found = recommend(twin(), known("decision_ic"), DEFAULT, excluded=(Exclusion("neck_dissection", 1),))
    assert {plan[2] for plan in found["plan"]} == {"0"}


def test_relabelled_and_shuffled_patients_get_the_same_advice() -> None:
    frame = known("decision_cc")
    order = np.random.default_rng(2).permutation(len(frame))
    other = frame.iloc[order].assign(patient_id=[f"X-{k}" for k in range(len(frame))]).reset_index(drop=True)
    found, before = recommend(twin(), other, DEFAULT), table("decision_cc").iloc[order].reset_index(drop=True)
    for column in ("recommendation", "plan", "abstained", "support"):
        assert list(found[column]) == list(before[column]), column
    for column in ("value", "value_next_best", "gain_lower", "gain_upper", "physician_probability"):
        assert found[column].to_numpy() == pytest.approx(before[column].to_numpy(), abs=1e-9), column


def test_what_comes_later_tells_nothing() -> None:
    """A column that is known only after the question changes neither the question's answer nor whom it is put to."""
    frame = known("decision_ic").assign(rt_dose_gy=70.0)
    pd.testing.assert_frame_equal(recommend(twin(), frame, DEFAULT), table("decision_ic"))


def test_many_patients_get_what_each_would_get() -> None:
    told: list[float] = []
    found = recommend_many(twin(), known("decision_ic"), DEFAULT, progress=lambda share, _: told.append(share))
    pd.testing.assert_frame_equal(found, table("decision_ic"))
    assert told[-1] == 1.0


# Abstaining


@pytest.mark.parametrize("moment", ["decision_ic", "decision_cc", "decision_nd"])
def test_it_abstains_for_a_reason_and_only_then(moment: str) -> None:
    found = table(moment)
    doubtful = (found["gain_lower"] < -MARGIN) | (found["support"] != "supported")
    assert list(found["abstained"] == 1) == list(doubtful)
    assert (found["reason"] != "").tolist() == list(doubtful)


def test_a_past_decision_that_is_not_recorded_is_a_reason_to_abstain() -> None:
    frame = known("decision_cc").head(3).assign(induction_chemo=np.nan, ic_response_primary="CR")
    found = recommend(twin(), frame, DEFAULT)
    assert (found["decision"] == "concurrent_chemo").all()
    assert (found["abstained"] == 1).all()
    assert found["reason"].str.contains("induction_chemo not recorded").all()


# What a learnt policy says


@dataclass(frozen=True)
class Always:
    option: float

    def decide(self, _patients: Patients, _weights: np.ndarray) -> Decide:
        return lambda question: np.full(question.probability.shape, self.option)


def test_a_learnt_policy_that_falls_short_is_not_followed() -> None:
    for option in (0.0, 1.0):
        for advice in advise(twin(), known("decision_ic"), DEFAULT, Always(option)):
            short = advice.regret > FALLS_SHORT * advice.spread
            assert list(advice.recommended[short]) == list(advice.best[short])
            assert (advice.recommended[~short] == option).all()
            assert (advice.regret >= 0.0).all()


def test_the_exact_policy_as_the_learnt_one_has_no_regret() -> None:
    for advice in advise(twin(), known("decision_cc"), DEFAULT, AsExact()):
        assert advice.regret == pytest.approx(0.0, abs=1e-12)
        assert list(advice.recommended) == list(advice.best)


def test_relative_regret_is_a_share_of_what_is_at_stake() -> None:
    frame = known("decision_ic")
    for option in (0.0, 1.0):
        shares = relative_regret(twin(), frame, DEFAULT, Always(option))
        assert (shares >= 0.0).all()
        assert (
            0.1 < shares.mean() < 1.0
        )  # of one patient more than 1: what the best policy gains by looking comes on top
    assert relative_regret(twin(), frame, DEFAULT, AsExact()) == pytest.approx(0.0, abs=1e-9)


# Intervals


def test_draws_of_plans_stand_for_draws_of_the_policy() -> None:
    """Of the policy itself every path is drawn, which takes a hundred times as long."""
    for advice in advise(twin(), known("decision_cc").head(12), DEFAULT):
        for row, position in enumerate(advice.prospects.rows[:2]):
            gain = _gain_of_every_path(advice, row, known("decision_cc").iloc[[int(position)]])
            quick, exact = (percentile_interval(draws, 0.9) for draws in (advice.gains[:, row], gain))
            assert np.abs(np.subtract(quick, exact)).max() < 0.35 * np.ptp(exact)


def _gain_of_every_path(advice: object, row: int, frame: pd.DataFrame) -> np.ndarray:
    """(1 + draws,) of the exact policy after either option, from the risks given each path by every draw."""
    situation = twin().situation(frame)
    options = (advice.recommended[row], 1 - advice.recommended[row])  # type: ignore[attr-defined]
    values = [_value_of_every_path(advice, row, situation, int(option)) for option in options]
    return np.asarray(values[0] - values[1])


def _value_of_every_path(advice: object, row: int, situation: object, option: int) -> np.ndarray:
    some, course = advice.prospects, advice.exact  # type: ignore[attr-defined]
    months = np.linspace(0.0, 60.0, 13)
    weights = advice.weights[row]  # type: ignore[attr-defined]
    total: np.ndarray = np.zeros(1)
    key = some.so_far
    decision = course.questions[key].decision
    branch = f"{key[:decision]}{option}{key[decision + 1 :]}"
    for plan in [p for p in some.plans if p[: decision + 1] == branch[: decision + 1]]:
        paths, risks = situation.risks_by_path(plan, months)  # type: ignore[attr-defined]
        taken = _taken(course, row, branch, plan, paths.probability.shape[1])
        losses = [
            np.trapezoid(risks[name], months, axis=-1) / 60.0 if name == "death" else risks[name][..., -1]
            for name in some.outcomes
        ]
        loss = np.tensordot(weights, np.stack(losses), axes=1)
        total = total + (paths.probability * taken * loss).sum(axis=1)
    return 1.0 - total


def _taken(course: object, row: int, key: str, plan: str, paths: int) -> np.ndarray:
    """(paths,) whether the policy ends with a plan after each path, the open decision after `key` being the last."""
    if "-" not in key:
        return np.full(paths, float(key == plan))
    yes = course.yes[key][row]  # type: ignore[attr-defined]
    here = yes if plan[key.index("-")] == "1" else 1.0 - yes
    return np.repeat(here, paths // len(here))


# What is possible


def with_rules(*rules: Contraindication) -> Specification:
    return replace(SPEC, contraindications=rules)


def rows(**columns: Sequence[object]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_a_contraindication_that_is_recorded_bars_the_option() -> None:
    frame = rows(ecog=[0.0, 3.0, np.nan, 4.0])
    options = Options.of(SPEC, frame)
    barred = [row for row in range(4) if not options.allowed[row, 0, 1]]
    assert barred == [1, 3]
    assert options.reasons[1]["induction_chemo", 1] == "ECOG performance status 3 or worse"
    assert options.allowed[:, :, 0].all()


def test_a_manner_that_is_contraindicated_is_not_used() -> None:
    frame = (
        known("decision_cc")
        .head(6)
        .assign(induction_chemo=1.0, ic_response_primary="PR", ic_response_nodal="PR", ic_dlt_neurologic=1.0)
    )
    options = Options.of(SPEC, frame)
    assert options.barred_manners[0] == {("concurrent_chemo", "platinum")}
    (advice,) = advise(twin(), frame, DEFAULT)
    ahead = advice.prospects.ahead["110"]
    (agent, *_rest) = ahead.sights
    platinum = [values[0] for values in agent.step.variables[0].levels].index("platinum")
    shares = ahead.probability.reshape(advice.prospects.size, agent.states, -1).sum(axis=2)
    assert shares[:, platinum] == pytest.approx(0.0, abs=1e-12)
    assert shares.sum(axis=1) == pytest.approx(1.0)


def test_a_rule_with_several_conditions_needs_all_of_them() -> None:
    rule = Contraindication(
        "induction_chemo", None, (Expectation("age_years", minimum=80.0), Expectation("sex", ("female",))), "x"
    )
    options = Options.of(with_rules(rule), rows(age_years=[85.0, 85.0, 70.0], sex=["female", "male", "female"]))
    assert list(options.allowed[:, 0, 1]) == [False, True, True]


def test_both_options_cannot_be_ruled_out() -> None:
    with pytest.raises(WrongUsage, match="both options"):
        Options.of(SPEC, rows(ecog=[0.0]), (Exclusion("induction_chemo", 0), Exclusion("induction_chemo", 1)))


@pytest.mark.parametrize("text", ["induction_chemo", "induction_chemo=2"])
def test_an_exclusion_names_an_option(text: str) -> None:
    with pytest.raises(WrongUsage):
        Exclusion.parse(SPEC, text)


def test_an_exclusion_names_a_decision() -> None:
    with pytest.raises(NotFound, match="neck_dissection"):
        Exclusion.parse(SPEC, "surgery=1")


def test_a_decision_that_contradicts_the_cohort_is_refused() -> None:
    from twin.fitting import FitSettings, fit_twin

    cohort = structural_cohort()
    without = replace(cohort, frame=cohort.frame.assign(induction_chemo=0.0))
    only = fit_twin(without, FitSettings(draws=20, select=False, states=False))
    with pytest.raises(Refused, match="holds it at 0"):
        recommend(only, known("decision_ic").assign(induction_chemo=1.0), DEFAULT)
    found = recommend(only, known("decision_ic"), DEFAULT)
    assert set(found["decision"]) == {"concurrent_chemo"}
