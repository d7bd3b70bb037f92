"""The second synthetic world: its truth against simulated lives, its marginals, and what an import says of it."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from fixtures import other_world as module
from fixtures.other_world import OUTCOMES, PLANS, Lives, OtherWorld, other_world, relive, true_risk
from lifelines import CoxPHFitter

from data.errors import WrongUsage
from data.export import cohort_csv
from data.findings import Severity
from data.importing import check_source
from twin.fitting import fit_twin

MONTHS = (3.0, 6.0, 12.0, 24.0, 36.0, 48.0, 60.0)
WORLDS = pytest.mark.parametrize("confounder", [False, True], ids=["known", "confounded"])


@cache
def world(confounder: bool) -> OtherWorld:
    return other_world(6_000, seed=11, confounder=confounder)


@cache
def risks(confounder: bool) -> np.ndarray:
    return world(confounder).truth(PLANS, (0.0, *MONTHS))


def events_by(lives: Lives, month: float) -> np.ndarray:
    """(n, outcomes)."""
    return np.stack([lives.death <= month, lives.locoregional <= month, lives.distant <= month], axis=-1)


def hazard_ratio(plan: str, against: str, members: np.ndarray, month: float, confounder: bool = False) -> float:
    """Geometric mean over patients of the ratio of the cumulative hazards of death."""
    at = risks(confounder)[members, :, 0, 1 + MONTHS.index(month)]
    with_it, without = at[:, PLANS.index(plan)], at[:, PLANS.index(against)]
    return float(np.exp(np.log(np.log1p(-with_it) / np.log1p(-without)).mean()))


@WORLDS
@pytest.mark.parametrize(("patient", "plan"), [(0, "111"), (1, "010"), (2, "100"), (3, "001"), (4, "000")])
def test_many_lives_of_a_patient_agree_with_the_truth(confounder: bool, patient: int, plan: str) -> None:
    lives = 200_000
    rng = np.random.default_rng(patient)
    fitness = rng.normal(size=lives) if confounder else np.zeros(lives)
    lived = relive(world(confounder).people.take(np.full(lives, patient)), fitness, plan, rng)
    alone = world(confounder).people.take(np.array([patient]))
    true = true_risk(alone, [plan], MONTHS, confounder)[0, 0]
    seen = np.stack([events_by(lived, month).mean(axis=0) for month in MONTHS], axis=-1)
    # 210 comparisons in all at 4.5 standard errors (0.005 and less): false alarms in about one run of 700.
    np.testing.assert_array_less(np.abs(seen - true), 4.5 * np.sqrt(true * (1.0 - true) / lives) + 1e-9)


@WORLDS
@pytest.mark.parametrize("plan", ["010", "101"])
def test_the_truth_is_calibrated_given_what_is_recorded(confounder: bool, plan: str) -> None:
    """Lives with the true covariates and fitness; risks from the record alone, with whatever is missing from it."""
    many = other_world(60_000, seed=12, confounder=confounder)
    record = many.cohort.frame
    true = many.truth([plan], [60.0])[:, 0, :, 0]
    seen = events_by(relive(many.people, many.fitness, plan, np.random.default_rng(1)), 60.0)
    missing = {
        "hpv": record["hpv_status"] == "unknown",
        "pack-years": record["pack_years"].isna(),
        "ecog": record["ecog"].isna(),
    }
    pattern = pd.DataFrame(missing).to_numpy() @ np.array([1, 2, 4])
    groups = [pattern == p for p in range(8)]
    groups += [(missing["hpv"] & (record["subsite"] == "soft_palate")).to_numpy()]
    groups += [(missing["pack-years"] & (record["age_years"] > 68)).to_numpy()]
    for k in range(len(OUTCOMES)):
        tenth = np.digitize(true[:, k], np.quantile(true[:, k], np.arange(0.1, 1.0, 0.1)))
        for members in [*groups, *(tenth == d for d in range(10))]:
            error = np.sqrt((true[members, k] * (1.0 - true[members, k])).sum()) / members.sum()
            assert abs(seen[members, k].mean() - true[members, k].mean()) < 4.5 * error


@WORLDS
def test_the_mean_truth_is_what_simulated_cohorts_show(confounder: bool) -> None:
    """Means over patients and lives leave 0.001 and less to chance."""
    few, repeats = world(confounder).people.take(np.arange(2_000)), 60
    everyone = few.take(np.tile(np.arange(few.size), repeats))
    rng = np.random.default_rng(3)
    fitness = rng.normal(size=everyone.size) if confounder else np.zeros(everyone.size)
    seen = events_by(relive(everyone, fitness, "110", rng), 60.0).mean(axis=0)
    true = true_risk(few, ["110"], [60.0], confounder)[:, 0, :, 0]
    error = np.sqrt((true * (1.0 - true)).mean(axis=0) / everyone.size)
    assert error.max() < 0.0014
    np.testing.assert_array_less(np.abs(seen - true.mean(axis=0)), 4.0 * error)


@WORLDS
def test_finer_quadrature_changes_no_risk_by_a_thousandth(confounder: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    few = world(confounder).people.take(np.arange(150))
    months = (*MONTHS, 120.0)
    coarse = true_risk(few, PLANS, months, confounder)
    for name, finer in (("QUADRATURE_NODES", 40), ("_PANEL_NODES", 24), ("_INNER_NODES", 100)):
        monkeypatch.setattr(module, name, finer)
    np.testing.assert_allclose(coarse, true_risk(few, PLANS, months, confounder), atol=2e-4)


@WORLDS
def test_risks_begin_at_zero_grow_and_stay_probabilities(confounder: bool) -> None:
    risk = risks(confounder)
    assert np.all(risk[..., 0] == 0.0)
    assert np.all(np.diff(risk, axis=-1) >= 0.0)
    assert np.all(risk < 1.0)
    before_the_response = 1 + MONTHS.index(6.0)
    assert np.all(risk[:, :, 1:, : before_the_response + 1] == 0.0)


def test_a_risk_does_not_depend_on_the_other_months_asked_for() -> None:
    few = other_world(60, seed=4)
    together = few.truth(["110"], (7.3, 24.0, 60.0))[..., 1]
    np.testing.assert_allclose(few.truth(["110"], (24.0,))[..., 0], together, atol=1e-4)


@WORLDS
def test_events_and_treatments_are_as_frequent_as_stated(confounder: bool) -> None:
    lives, frame = world(confounder).lives, world(confounder).cohort.frame
    dead, failed, spread = events_by(lives, 60.0).mean(axis=0)
    assert 0.25 < dead < 0.35
    assert 0.10 < failed < 0.15
    assert 0.10 < spread < 0.15
    assert frame["induction_chemo"].mean() == pytest.approx(0.25, abs=0.04)
    assert frame["concurrent_chemo"].mean() == pytest.approx(0.60, abs=0.04)
    assert frame["neck_dissection"].mean() == pytest.approx(0.15, abs=0.03)
    censored = frame.loc[frame["death"] == 0.0, "os_months"]
    assert 24.0 <= censored.min() < 26.0
    assert 118.0 < censored.max() <= 120.0
    # Nobody's plan is out of reach: every plan was given to some who are like any patient.
    taken = frame[["induction_chemo", "concurrent_chemo", "neck_dissection"]].dropna().value_counts(normalize=True)
    assert len(taken) == 8
    assert taken.min() > 0.005


def test_concurrent_chemotherapy_helps_less_in_the_old_and_less_late() -> None:
    old = world(False).people.old
    everyone = np.ones_like(old)
    assert 0.78 < hazard_ratio("010", "000", everyone, 60.0) < 0.85
    assert hazard_ratio("010", "000", ~old, 60.0) + 0.1 < hazard_ratio("010", "000", old, 60.0) < 1.0
    assert hazard_ratio("010", "000", everyone, 12.0) > hazard_ratio("010", "000", everyone, 36.0) + 0.05
    assert 0.78 < hazard_ratio("010", "000", everyone, 60.0, confounder=True) < 0.85


def test_induction_is_neutral_but_helps_extensive_hpv_negative_disease_and_dissection_is_neutral() -> None:
    people = world(False).people
    everyone = np.ones(people.size, dtype=bool)
    assert hazard_ratio("110", "010", everyone, 60.0) == pytest.approx(1.0, abs=0.03)
    assert hazard_ratio("110", "010", people.induction_helps, 60.0) < 0.8
    assert hazard_ratio("011", "010", everyone, 60.0) == pytest.approx(1.0, abs=0.04)


def test_the_effect_of_age_wanes() -> None:
    """The hazard of a Cox model is not proportional: the old die faster at first, and less so later."""
    lives, people = world(False).lives, world(False).people
    table = pd.DataFrame({name: getattr(people, name).astype(float) for name in ("old", "heavy", "hpv_positive", "t4")})

    def ratio(start: float, stop: float) -> float:
        at_risk = table.assign(time=np.minimum(lives.death, stop), event=lives.death <= stop)[lives.death > start]
        return float(CoxPHFitter().fit(at_risk, "time", "event").hazard_ratios_["old"])

    assert ratio(0.0, 24.0) > 1.25 * ratio(60.0, 120.0)


def test_fitness_confounds_where_it_is_asked_for_and_nowhere_else() -> None:
    confounded = world(True)
    names = ("hpv_positive", "heavy", "frail", "old", "t4", "n3", "level_4", "lymphoid")
    table = pd.DataFrame({name: getattr(confounded.people, name).astype(float) for name in names})
    lives = confounded.lives
    table = table.assign(fitness=confounded.fitness, time=np.minimum(lives.death, 120.0), event=lives.death <= 120.0)
    per_sd = CoxPHFitter().fit(table, "time", "event").params_["fitness"]
    assert np.exp(-per_sd) == pytest.approx(1.8, abs=0.15)
    for treated in (lives.induction, lives.concurrent, lives.dissection):
        assert confounded.fitness[treated].mean() > confounded.fitness[~treated].mean() + 0.5
    assert not world(False).fitness.any()
    for column in ("hpv_status", "pack_years", "ecog", "t_stage", "age_years"):
        missing = confounded.cohort.frame[column].isna() | (confounded.cohort.frame[column].astype(str) == "unknown")
        assert missing.sum() == 0 or abs(confounded.fitness[missing].mean()) < 0.1


def test_responses_carry_information_about_failure() -> None:
    frame = world(False).cohort.frame
    judged = frame[frame["os_months"] > 12.0]
    share = judged.groupby("rt_response_primary", observed=True)["locoregional_failure"].mean()
    assert share["CR"] + 0.05 < share["PR"] < share["SD"]


def test_late_dissections_are_recorded_like_planned_ones() -> None:
    frame, lives = world(False).cohort.frame, world(False).lives
    late = (frame["neck_dissection"] == 1.0) & ~lives.dissection
    assert late.sum() > 50
    assert (frame.loc[late, "locoregional_failure"] == 1.0).all()


def test_other_columns_are_recorded_and_missing_for_other_reasons() -> None:
    frame = world(False).cohort.frame
    assert not {"smoking_status", "grade", "feeding_tube_6m", "concurrent_agent"} & set(frame.columns)
    assert frame["ecog"].isna().mean() == pytest.approx(0.5, abs=0.03)
    unasked = frame["pack_years"].isna()
    assert unasked[frame["age_years"] > 68].mean() > unasked[frame["age_years"] < 55].mean() + 0.2
    assert (frame["hpv_status"] == "unknown").mean() == pytest.approx(0.24, abs=0.03)
    assert frame["os_months"].notna().all()


@WORLDS
def test_a_patient_does_not_depend_on_how_many_are_asked_for(confounder: bool) -> None:
    few, many = other_world(40, 3, confounder), other_world(900, 3, confounder)
    pd.testing.assert_frame_equal(few.cohort.frame, many.cohort.frame.head(40))
    np.testing.assert_allclose(few.truth(PLANS, [60.0]), many.truth(PLANS, [60.0])[:40], rtol=1e-12)
    assert not few.cohort.frame["os_months"].equals(other_world(40, 4, confounder).cohort.frame["os_months"])


@WORLDS
def test_a_strict_import_finds_nothing_to_warn_of(confounder: bool) -> None:
    cohort = world(confounder).cohort
    checked = check_source(cohort_csv(cohort), "other.csv", cohort.spec)
    assert checked.report.kept == cohort.size
    assert {finding.severity for finding in checked.report.findings} <= {Severity.INFO}
    assert checked.cohort is not None
    assert checked.cohort.synthetic
    pd.testing.assert_frame_equal(checked.cohort.frame, cohort.frame)


def test_a_twin_of_it_compares_every_plan() -> None:
    twin = fit_twin(other_world(300, seed=1).cohort)
    assert twin.plans == PLANS
    assert set(OUTCOMES) <= set(twin.outcomes)


@pytest.mark.parametrize(("patients", "seed"), [(0, 0), (-4, 0), (10, -1)])
def test_an_impossible_world_is_refused(patients: int, seed: int) -> None:
    with pytest.raises(WrongUsage, match="cannot invent"):
        other_world(patients, seed)


def test_impossible_questions_are_refused() -> None:
    few = other_world(5)
    with pytest.raises(WrongUsage, match="'11-'"):
        few.truth(["11-"], [12.0])
    with pytest.raises(WrongUsage, match="months"):
        few.truth(["110"], [-1.0])
