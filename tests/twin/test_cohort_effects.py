import dataclasses
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import exponential_cohort
from lifelines import CoxPHFitter
from pydantic import TypeAdapter
from scipy.special import expit

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.errors import NotFound, Refused
from data.synthetic import SURVIVAL_OUTCOMES, generate
from twin.behaviour import Behaviour, cross_folds, fit_behaviour
from twin.effects.cohort import (
    UNLEARNT_SD,
    CohortEstimate,
    CohortSettings,
    _HazardRows,
    cohort_effects,
    offsets,
)
from twin.effects.distribution import EffectTerm
from twin.models.followup import FORESTALLED
from twin.models.hazard import Episodes
from twin.threads import one_thread

SPEC = load_specification()
DEATH = SPEC.outcome("death")
INDUCTION, CONCURRENT, DISSECTION = (EffectTerm(decision.column, "") for decision in SPEC.decisions)
ALL = (INDUCTION, CONCURRENT, DISSECTION)
TRUE = np.log(0.7)
REPLICATES = 20


def made(columns: dict[str, object]) -> Cohort:
    size = max(np.size(values) for values in columns.values())
    frame = pd.DataFrame({"patient_id": [f"C-{k}" for k in range(size)], **columns})
    return Cohort(SPEC, typed_frame(frame, SPEC), synthetic=True, name="made")


def followed(rate: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Death at a constant rate a month, censored at month 60 or before."""
    death = rng.exponential(1.0 / rate)
    censored = rng.exponential(100.0, len(rate)).clip(None, 60.0)
    return {"os_months": np.minimum(death, censored), "death": (death <= censored).astype(float)}


def confounded(patients: int, seed: int) -> Cohort:
    """Heavy smokers are treated more often and die sooner; treatment lowers the hazard to 0.7 of what it was."""
    rng = np.random.default_rng(seed)
    age, smoking = rng.normal(size=(2, patients))
    treated = rng.random(patients) < expit(0.2 + 0.8 * smoking)
    rate = 0.006 * np.exp(0.3 * age + 0.8 * smoking + TRUE * treated)
    columns = {"age_years": 60 + 8 * age, "pack_years": 60 + 12 * smoking, "concurrent_chemo": treated.astype(float)}
    return made({**columns, **followed(rate, rng)})


def without(cohort: Cohort, column: str) -> Cohort:
    return dataclasses.replace(cohort, frame=cohort.frame.drop(columns=column))


def estimated(cohort: Cohort, behaviour: Behaviour, terms: tuple[EffectTerm, ...] = (CONCURRENT,)) -> CohortEstimate:
    return cohort_effects(cohort, DEATH, terms, behaviour)


@cache
def replicates() -> pd.DataFrame:
    """Log hazard ratios: crude, with both models right, with one of them, and with neither."""
    rows = []
    with one_thread():
        for seed in range(REPLICATES):
            whole = confounded(900, seed)
            blind = without(whole, "pack_years")
            sees, sees_not = fit_behaviour(whole), fit_behaviour(blind)
            both = estimated(whole, sees).distribution
            rows.append(
                {
                    "crude": _crude(whole),
                    "both": both.mean[0],
                    "se": both.sd[0],
                    "propensity alone": estimated(blind, sees).distribution.mean[0],
                    "regression alone": estimated(whole, sees_not).distribution.mean[0],
                    "neither": estimated(blind, sees_not).distribution.mean[0],
                }
            )
    return pd.DataFrame(rows)


def _crude(cohort: Cohort) -> float:
    table = cohort.frame[["concurrent_chemo", "os_months", "death"]]
    return float(CoxPHFitter().fit(table, "os_months", "death").params_["concurrent_chemo"])


def test_confounding_by_what_is_recorded_is_removed() -> None:
    found = replicates()
    assert np.exp(found["crude"].mean()) > 1.05
    assert found["both"].mean() == pytest.approx(TRUE, abs=0.08)
    covered = np.abs(found["both"] - TRUE) < 1.6449 * found["se"]
    assert covered.sum() >= 15
    assert found["se"].mean() == pytest.approx(found["both"].std(), rel=0.4)


@pytest.mark.parametrize("right", ["propensity alone", "regression alone"])
def test_one_of_the_two_models_is_enough(right: str) -> None:
    assert replicates()[right].mean() == pytest.approx(TRUE, abs=0.12)


def test_without_either_model_the_confounding_stays() -> None:
    assert replicates()["neither"].mean() > TRUE + 0.4


def test_what_follows_from_states_in_between_is_weighted_right() -> None:
    """Responders to induction live longer and are spared concurrent therapy, which truly lowers the hazard."""
    found, blind = [], []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        induction = rng.integers(0, 2, 900).astype(float)
        responds = (rng.random(900) < 0.5) & (induction == 1)
        treated = rng.random(900) < np.where(responds, 0.25, 0.75)
        survival = followed(0.012 * np.exp(-1.2 * responds + TRUE * treated), rng)
        # Nobody dies before both decisions are taken: the test is about weights and not about time.
        survival["os_months"] = survival["os_months"] + 3.0
        response = np.where(induction == 1, np.where(responds, "CR", "SD"), None)
        cohort = made(
            {
                "age_years": rng.normal(60, 8, 900),
                "induction_chemo": induction,
                "ic_response_primary": response,
                "concurrent_chemo": treated.astype(float),
                **survival,
            }
        )
        terms = (INDUCTION, CONCURRENT)
        found.append(estimated(cohort, fit_behaviour(cohort), terms).distribution.mean[1])
        unseen = fit_behaviour(without(cohort, "ic_response_primary"))
        blind.append(estimated(cohort, unseen, terms).distribution.mean[1])
    assert np.mean(found) == pytest.approx(TRUE, abs=0.1)
    assert np.mean(blind) > TRUE + 0.15


def test_a_decision_counts_from_its_month_on() -> None:
    """Who dies before month 6 never had the dissection: counted from time zero, it would look like a cure."""
    effects, spread = [], []
    for seed in range(10):
        cohort = exponential_cohort(1500, seed, log_hazard_ratio_dissection=np.log(0.6), death_rate=0.02)
        found = estimated(cohort, fit_behaviour(cohort), ALL)
        assert found.learnt.tolist() == [False, True, True]
        effects.append(found.distribution.mean[1:])
        spread.append(found.distribution.sd[1:])
        neck = found.overlap[1]
        assert (neck.decision, neck.treated + neck.untreated) == ("neck_dissection", (cohort.frame.os_months > 6).sum())
        assert neck.treated == (cohort.frame["neck_dissection"] == 1).sum()
    standard_error = np.mean(spread, axis=0) / np.sqrt(10)
    assert (np.abs(np.mean(effects, axis=0) - [0.0, np.log(0.6)]) < 2.5 * standard_error).all()
    assert (standard_error < 0.03).all()


def test_an_effect_may_differ_by_what_is_known_of_the_patient() -> None:
    rng = np.random.default_rng(12)
    age = rng.normal(60.0, 10.0, 4000)
    treated = (rng.random(4000) < 0.5).astype(float)
    rate = 0.01 * np.exp(treated * (-0.4 + 0.3 * (age - 60.0) / 10.0))
    cohort = made({"age_years": age.clip(20, 100), "concurrent_chemo": treated, **followed(rate, rng)})
    terms = (CONCURRENT, EffectTerm("concurrent_chemo", "per 10 years", column="age_years", centre=60.0, per=10.0))
    found = estimated(cohort, fit_behaviour(cohort), terms)
    assert found.distribution.mean == pytest.approx([-0.4, 0.3], abs=0.13)
    assert found.average == pytest.approx([1.0, (age.clip(20, 100) / 10.0 - 6.0).mean()])


def test_a_yes_or_no_outcome_has_an_odds_ratio() -> None:
    tube = SPEC.outcome("feeding_tube_6m")
    crude, found, spread = [], [], []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        age, smoking = rng.normal(size=(2, 900))
        treated = rng.random(900) < expit(0.8 * smoking)
        risk = expit(-1.5 + 0.8 * smoking + np.log(2.0) * treated)
        cohort = made(
            {
                "age_years": 60 + 8 * age,
                "pack_years": 60 + 12 * smoking,
                "concurrent_chemo": treated.astype(float),
                "os_months": np.full(900, 24.0),
                "feeding_tube_6m": (rng.random(900) < risk).astype(float),
            }
        )
        estimate = cohort_effects(cohort, tube, (CONCURRENT,), fit_behaviour(cohort))
        odds = cohort.frame.groupby("concurrent_chemo")["feeding_tube_6m"].mean().pipe(lambda p: p / (1 - p))
        crude.append(np.log(odds[1.0] / odds[0.0]))
        found.append(estimate.distribution.mean[0])
        spread.append(estimate.distribution.sd[0])
    assert np.mean(crude) > np.log(2.0) + 0.4
    assert np.mean(found) == pytest.approx(np.log(2.0), abs=0.1)
    assert np.mean(spread) == pytest.approx(np.std(found), rel=0.6)


def test_no_patients_own_outcome_is_in_their_offset() -> None:
    cohort = confounded(400, seed=4)
    behaviour = fit_behaviour(cohort)
    (before,) = offsets(cohort, DEATH, (CONCURRENT,), behaviour)
    dead = int(np.flatnonzero(cohort.frame["death"] == 1)[0])
    frame = cohort.frame.copy()
    frame.loc[dead, ["death", "os_months"]] = [0.0, 60.0]
    (after,) = offsets(dataclasses.replace(cohort, frame=frame), DEATH, (CONCURRENT,), behaviour)
    own_fold = cross_folds(400, 0) == cross_folds(400, 0)[dead]
    np.testing.assert_array_equal(after[own_fold], before[own_fold])
    assert (after[~own_fold] != before[~own_fold]).all()
    again = fit_behaviour(dataclasses.replace(cohort, frame=frame))
    np.testing.assert_array_equal(again.held_out, behaviour.held_out)


def failing(patients: int, seed: int) -> Cohort:
    """Necks that fail are dissected: of two patients with a failure both, of two without one."""
    rng = np.random.default_rng(seed)
    failed = rng.random(patients) < 0.25
    survival = followed(np.where(failed, 0.02, 0.006), rng)
    survival["os_months"] = survival["os_months"] + 6.0
    return made(
        {
            "age_years": rng.normal(60, 8, patients),
            "concurrent_chemo": rng.integers(0, 2, patients).astype(float),
            "neck_dissection": np.where(failed, 1.0, rng.integers(0, 2, patients)),
            "locoregional_failure": failed.astype(float),
            "lrf_months": np.where(failed, np.minimum(9.0, survival["os_months"]), survival["os_months"]),
            **survival,
        }
    )


def test_a_decision_that_a_failure_brings_about_is_not_blamed_for_it() -> None:
    cohort = failing(1500, seed=1)
    behaviour = fit_behaviour(cohort)
    terms = (CONCURRENT, DISSECTION)
    found = estimated(cohort, behaviour, terms)
    naive = CoxPHFitter().fit(cohort.frame[["neck_dissection", "os_months", "death"]], "os_months", "death")
    assert naive.params_["neck_dissection"] > 0.3
    assert np.abs(found.distribution.mean).max() < 2 * found.distribution.sd.min()
    failed = cohort.frame["locoregional_failure"] == 1
    turned = cohort.frame.assign(neck_dissection=cohort.frame["neck_dissection"].where(~failed, 0.0))
    again = estimated(dataclasses.replace(cohort, frame=turned), behaviour, terms)
    np.testing.assert_array_equal(again.distribution.mean, found.distribution.mean)
    np.testing.assert_array_equal(again.distribution.covariance, found.distribution.covariance)


def dissected_for_residue(patients: int, seed: int) -> Cohort:
    """A neck that has not cleared by month 6 is dissected more often and kills more often; dissection does nothing."""
    rng = np.random.default_rng(seed)
    cleared = rng.random(patients) < 0.5
    dissected = rng.random(patients) < np.where(cleared, 0.2, 0.7)
    early = rng.random(patients) < 0.1
    later = followed(0.012 * np.exp(-1.2 * cleared), rng)
    return made(
        {
            "age_years": rng.normal(60, 8, patients),
            "rt_response_nodal": np.where(early, None, np.where(cleared, "CR", "PR")),
            "neck_dissection": np.where(early, np.nan, dissected),
            "os_months": np.where(early, rng.uniform(0.5, 5.5, patients), 6.0 + later["os_months"]),
            "death": np.where(early, 1.0, later["death"]),
        }
    )


def test_either_model_is_enough_for_a_decision_that_follows_from_states() -> None:
    """Against the right regression on the same patients, so that chance does not count."""
    errors = []
    for seed in range(6):
        cohort = dissected_for_residue(900, seed)
        sees = fit_behaviour(cohort)
        guesses = dataclasses.replace(sees, held_out=np.full_like(sees.held_out, 0.45))
        reached = cohort.frame[cohort.frame["os_months"] > 6]
        table = reached[["neck_dissection", "os_months", "death"]]
        right = table.assign(cleared=(reached["rt_response_nodal"] == "CR").astype(float))
        crude, reference = (
            CoxPHFitter().fit(one, "os_months", "death").params_["neck_dissection"] for one in (table, right)
        )
        both, regression_alone = (
            estimated(cohort, behaviour, (DISSECTION,)).distribution.mean[0] for behaviour in (sees, guesses)
        )
        errors.append(np.array([crude, both, regression_alone]) - reference)
    crude, both, regression_alone = np.mean(errors, axis=0)
    assert crude > 0.3
    assert abs(both) < 0.06
    assert abs(regression_alone) < 0.06


def test_what_happened_before_such_a_decision_does_not_bear_on_it() -> None:
    cohort = dissected_for_residue(600, seed=1)
    behaviour = fit_behaviour(cohort)
    early = cohort.frame["os_months"] < 6
    earlier = cohort.frame.assign(os_months=cohort.frame["os_months"].where(~early, 1.0))
    assert early.sum() > 30
    before = estimated(cohort, behaviour, (DISSECTION,)).distribution
    after = estimated(dataclasses.replace(cohort, frame=earlier), behaviour, (DISSECTION,)).distribution
    np.testing.assert_array_equal(after.mean, before.mean)
    np.testing.assert_array_equal(after.covariance, before.covariance)


@pytest.mark.parametrize("cause", ["itself", "what forestalls it"])
def test_for_the_failure_itself_that_decision_is_not_learnt(cause: str) -> None:
    cohort = failing(900, seed=2)
    outcome, end = SPEC.outcome("locoregional_failure"), {"itself": 1, "what forestalls it": FORESTALLED}[cause]
    found = cohort_effects(cohort, outcome, (CONCURRENT, DISSECTION), fit_behaviour(cohort), cause=end)
    assert found.learnt.tolist() == [True, False]
    assert found.decisions == ("concurrent_chemo",)
    assert found.distribution.mean[1] == 0.0
    assert found.distribution.sd[1] == UNLEARNT_SD
    assert found.distribution.covariance[0, 1] == 0.0


def test_few_events_or_one_option_teach_nothing() -> None:
    cohort = confounded(200, seed=1)
    behaviour = fit_behaviour(cohort)
    rare = cohort.frame.assign(death=(np.arange(200) < 9).astype(float))
    found = estimated(dataclasses.replace(cohort, frame=rare), behaviour)
    assert not found.learnt.any()
    assert found.overlap == ()
    assert found.events == 9
    single = dataclasses.replace(cohort, frame=cohort.frame.assign(concurrent_chemo=1.0))
    assert not estimated(single, fit_behaviour(single)).learnt.any()
    absent = cohort_effects(cohort, SPEC.outcome("aspiration_6m"), (CONCURRENT,), behaviour)
    assert (absent.patients, absent.events, absent.learnt.tolist()) == (0, 0, [False])


def test_a_term_that_hardly_anybody_teaches_keeps_its_prior() -> None:
    cohort = confounded(600, seed=3)
    rare = EffectTerm("concurrent_chemo", "under 36", group="age_years<36")
    nobody = EffectTerm("concurrent_chemo", "under 20", group="age_years<20")
    assert 0 < (cohort.frame["age_years"] < 36).sum() < 3
    found = estimated(cohort, fit_behaviour(cohort), (CONCURRENT, rare, nobody)).distribution
    assert found.sd[1] > 0.7
    assert (found.mean[2], found.sd[2]) == pytest.approx((0.0, 1.0))
    assert found.sd[0] < 0.3


def weighted_rows(late: bool) -> tuple[_HazardRows, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    terms = rng.normal(size=(250, 2))
    stop = rng.exponential(np.exp(-0.5 * terms[:, 0]))
    start = np.where(rng.random(250) < 0.3, 0.3 * stop, 0.0) if late else np.zeros(250)
    cut = Episodes(np.hstack([terms, terms]), start, stop, rng.random(250) < 0.7, np.arange(250))
    rows = _HazardRows.of(cut)
    return rows, rows.in_effect, rng.uniform(0.3, 3.0, 250)


def solved(rows: _HazardRows, terms: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    solution = rows.solve(terms, weights, np.zeros(len(terms)), np.full(2, 1e-9))
    return solution.mean, solution.influence


def test_estimate_and_standard_errors_are_those_of_lifelines() -> None:
    rows, terms, weights = weighted_rows(late=False)
    mean, influence = solved(rows, terms, weights)
    table = pd.DataFrame(terms, columns=["a", "b"]).assign(stop=rows.cut.stop, event=rows.cut.event, weight=weights)
    reference = CoxPHFitter().fit(table, "stop", "event", weights_col="weight", robust=True)
    np.testing.assert_allclose(mean, reference.params_, atol=1e-5)
    np.testing.assert_allclose(np.sqrt((influence**2).sum(axis=0)), reference.standard_errors_, rtol=1e-4)


def test_influence_is_what_a_little_less_weight_changes() -> None:
    """Also for patients who enter late, whom the reference above does not handle."""
    rows, terms, weights = weighted_rows(late=True)
    mean, influence = solved(rows, terms, weights)
    for row in range(0, 250, 10):
        lighter = weights.copy()
        lighter[row] *= 0.999
        changed = (mean - solved(rows, terms, lighter)[0]) / 0.001
        np.testing.assert_allclose(influence[row], changed, atol=2e-5)


def test_overlap_tells_who_can_be_compared() -> None:
    cohort = confounded(1500, seed=6)
    behaviour = fit_behaviour(cohort)
    (overlap,) = estimated(cohort, behaviour).overlap
    treated = (cohort.frame["concurrent_chemo"] == 1).sum()
    assert (overlap.treated, overlap.untreated) == (treated, 1500 - treated)
    assert overlap.effective_treated < treated
    assert overlap.effective_untreated < 1500 - treated
    assert overlap.imbalance_before > 0.6
    assert overlap.imbalance_after < 0.1
    propensity = behaviour.out_of_fold("concurrent_chemo")
    assert (overlap.lowest, overlap.highest) == (propensity.min(), propensity.max())
    assert overlap.share_both_real == pytest.approx(np.mean((propensity >= 0.05) & (propensity <= 0.95)))
    constant = dataclasses.replace(behaviour, held_out=np.full((1500, 1), treated / 1500))
    (even,) = estimated(cohort, constant).overlap
    assert even.effective_treated == pytest.approx(treated)
    assert even.largest_weight == pytest.approx(1.0, abs=0.01)
    assert even.imbalance_after == pytest.approx(even.imbalance_before, abs=1e-3)


def test_missing_values_may_be_filled_in_for_the_terms() -> None:
    cohort = confounded(300, seed=2)
    behaviour = fit_behaviour(cohort)
    terms = (CONCURRENT, EffectTerm("concurrent_chemo", "older", group="age_years>60"))
    gaps = dataclasses.replace(cohort, frame=cohort.frame.assign(age_years=np.nan))
    old, young = (cohort.frame.assign(age_years=age) for age in (70.0, 50.0))
    found = cohort_effects(gaps, DEATH, terms, behaviour, completed=[old, young, young, young])
    assert found.average.tolist() == [1.0, 0.25]
    assert cohort_effects(gaps, DEATH, terms, behaviour).average.tolist() == [1.0, 0.0]


@cache
def structural_effects(patients: int, seed: int) -> tuple[CohortEstimate, np.ndarray, np.ndarray]:
    """Estimate, true and naive log hazard ratios of death of the three decisions."""
    synthetic = generate(patients, seed)
    with one_thread():
        found = estimated(synthetic.cohort, fit_behaviour(synthetic.cohort), ALL)
    pairs = (("110", "010"), ("010", "000"), ("011", "010"))
    plans = sorted({plan for pair in pairs for plan in pair})
    # The mean over the first patients: the truth takes longer than the estimate.
    risk = generate(min(patients, 400), seed).truth(plans, [60.0])[:, :, SURVIVAL_OUTCOMES.index("death"), 0]
    hazard = dict(zip(plans, np.log(-np.log1p(-risk)).T, strict=True))
    true = np.array([(hazard[given] - hazard[withheld]).mean() for given, withheld in pairs])
    table = synthetic.cohort.frame[[*(term.decision for term in ALL), "os_months", "death"]].dropna()
    naive = CoxPHFitter().fit(table, "os_months", "death").params_.to_numpy()
    return found, true, naive


def test_on_the_synthetic_cohort_estimates_are_nearer_the_truth_than_naive_ones() -> None:
    """Unrecorded frailty remains; the assumed systematic error has to hold it."""
    runs = [structural_effects(1500, seed) for seed in range(5)]
    truth = np.mean([true for _, true, _ in runs], axis=0)
    assert np.exp(truth) == pytest.approx([1.10, 0.81, 0.99], abs=0.02)
    errors = np.array([found.distribution.mean - true for found, true, _ in runs])
    naive = np.array([crude - true for _, true, crude in runs])
    assert (np.abs(errors.mean(axis=0)) < 0.5 * np.abs(naive.mean(axis=0))).all()
    assert np.abs(errors.mean(axis=0)).max() < 0.2
    sds = np.array([np.hypot(found.distribution.sd, found.confounding_sd) for found, _, _ in runs])
    assert (np.abs(errors) < 1.96 * sds).mean() >= 0.85


def test_an_estimate_is_plain_data() -> None:
    found, _, _ = structural_effects(1500, 0)
    adapter = TypeAdapter(CohortEstimate)
    again = adapter.validate_python(adapter.dump_python(found))
    np.testing.assert_array_equal(again.distribution.covariance, found.distribution.covariance)
    assert again.overlap == found.overlap


def test_the_wrong_patients_terms_and_settings_are_refused() -> None:
    cohort = confounded(100, seed=0)
    behaviour = fit_behaviour(cohort)
    with pytest.raises(Refused, match="behaviour of 100 patients for a cohort of 90"):
        estimated(dataclasses.replace(cohort, frame=cohort.frame.head(90)), behaviour)
    with pytest.raises(NotFound, match="unknown decision 'surgery'"):
        estimated(cohort, behaviour, (EffectTerm("surgery", ""),))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: CohortSettings(truncated=0.5),
        lambda: CohortSettings(prior_sd=0.0),
        lambda: CohortSettings(regression_prior_sd=-1.0),
        lambda: CohortSettings(confounding_sd=-0.1),
    ],
)
def test_impossible_settings_are_refused(wrong: Callable[[], CohortSettings]) -> None:
    with pytest.raises(Refused):
        wrong()
