import functools
from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import simpson
from scipy.linalg import expm

from data.errors import WrongUsage
from data.synthetic import (
    PLANS,
    SURVIVAL_OUTCOMES,
    TOXICITY_OUTCOMES,
    Given,
    SyntheticCohort,
    generate,
    simulate,
    truth,
)
from data.synthetic.effects import confounding, true_effects
from data.synthetic.hazards import LANDMARK, LogHazards
from data.synthetic.hpv import probability_hpv_positive
from data.synthetic.multistate import risks_at
from data.synthetic.parameters import PARAMETERS

MONTHS = (12.0, 24.0, 36.0, 48.0, 60.0)


@pytest.fixture(scope="module")
def synthetic() -> SyntheticCohort:
    return generate(1_500, seed=21)


@pytest.fixture(scope="module")
def risk(synthetic: SyntheticCohort) -> np.ndarray:
    return synthetic.truth(PLANS, (0.0, 3.0, 6.0, *MONTHS))


def _events_by(happened, month: float) -> np.ndarray:
    times = (happened.death_month, happened.locoregional_month, happened.distant_month)
    return np.array([(time <= month).mean() for time in times])


@pytest.mark.parametrize(("patient", "plan"), [(0, "111"), (1, "010"), (2, "100"), (3, "001")])
def test_many_simulated_lives_of_a_patient_agree_with_the_truth(
    synthetic: SyntheticCohort, patient: int, plan: str
) -> None:
    lives = 40_000
    same = synthetic.baseline.rows(np.full(lives, patient))
    happened = simulate(same, plan, np.random.default_rng(patient))
    alone = synthetic.baseline.rows(np.array([patient]))
    risk = truth.true_risk(alone, [plan], MONTHS, PARAMETERS)[0, 0]
    # 17 comparisons a patient at five standard errors: false alarms in about one run of 25,000.
    for k, month in enumerate(MONTHS):
        error = np.sqrt(risk[:, k] * (1.0 - risk[:, k]) / lives)
        np.testing.assert_array_less(np.abs(_events_by(happened, month) - risk[:, k]), 5.0 * error)
    alive = happened.death_month > LANDMARK
    seen = np.array([happened.feeding_tube[alive].mean(), happened.aspiration[alive].mean()])
    true = truth.true_toxicity(alone, [plan], PARAMETERS)[0, 0]
    np.testing.assert_array_less(np.abs(seen - true), 5.0 * np.sqrt(true * (1.0 - true) / alive.sum()))


@pytest.mark.parametrize("plan", PLANS)
def test_simulated_cohorts_agree_with_the_mean_truth(synthetic: SyntheticCohort, plan: str) -> None:
    repeats = 20
    everyone = synthetic.baseline.rows(np.tile(np.arange(1_500), repeats))
    happened = simulate(everyone, plan, np.random.default_rng(PLANS.index(plan)))
    true = synthetic.truth([plan], [60.0])[:, 0, :, 0]
    # Patients differ in risk, so the variance of the mean is that of each one's Bernoulli draws.
    error = np.sqrt((true * (1.0 - true)).mean(axis=0) / everyone.size)
    np.testing.assert_array_less(np.abs(_events_by(happened, 60.0) - true.mean(axis=0)), 5.0 * error)


def test_risks_begin_at_zero_grow_and_stay_probabilities(risk: np.ndarray) -> None:
    assert np.all(risk[..., 0] == 0.0)
    assert np.all(np.diff(risk, axis=-1) >= 0.0)
    assert np.all((risk >= 0.0) & (risk < 1.0))


def test_nobody_fails_before_the_response_is_judged(risk: np.ndarray) -> None:
    assert np.all(risk[:, :, 1:, :3] == 0.0)
    assert np.all(risk[:, :, 0, 1] > 0.0)


def test_more_quadrature_nodes_change_no_risk(synthetic: SyntheticCohort, monkeypatch: pytest.MonkeyPatch) -> None:
    few = synthetic.baseline.rows(slice(0, 150))
    with_eight = truth.true_risk(few, PLANS, MONTHS, PARAMETERS), truth.true_toxicity(few, PLANS, PARAMETERS)
    monkeypatch.setattr(truth, "frailty_nodes", functools.partial(truth.frailty_nodes, 24))
    np.testing.assert_allclose(truth.true_risk(few, PLANS, MONTHS, PARAMETERS), with_eight[0], atol=1e-4)
    np.testing.assert_allclose(truth.true_toxicity(few, PLANS, PARAMETERS), with_eight[1], atol=1e-4)


def _by_matrix_exponential(log: dict[str, float], months: tuple[float, ...]) -> np.ndarray:
    """Death, locoregional and distant incidence from the generator of the seven-state process.

    States: free, L, M, both (L first), both (M first), dead without L, M; dead later, the last split by what was seen.
    """
    c = PARAMETERS.course
    labels = ["0", "L", "M", "LM", "D0", "DL", "DM", "DLM"]
    at = labels.index
    edges = [LANDMARK, *c.breaks, np.inf]
    state = np.zeros(len(labels))
    state[at("0")] = 1.0
    results, cuts = [], sorted({LANDMARK, *months, *c.breaks})
    for start, end in pairwise(cuts):
        k = int(np.searchsorted(edges, start, side="right")) - 1
        lr, dm = c.locoregional[k] * np.exp(log["locoregional"]), c.distant[k] * np.exp(log["distant"])
        failing = c.after_failure_shape[k] * np.exp(log["after_failure"])
        rates = {
            ("0", "L"): lr,
            ("0", "M"): dm,
            ("0", "D0"): c.death[k] * np.exp(log["death"]),
            ("L", "LM"): c.distant_after_locoregional * dm,
            ("L", "DL"): c.death_after_locoregional * failing,
            ("M", "LM"): c.locoregional_after_distant * lr,
            ("M", "DM"): c.death_after_distant * failing,
            ("LM", "DLM"): c.death_after_both * failing,
        }
        generator = np.zeros((len(labels), len(labels)))
        for (source, target), rate in rates.items():
            generator[at(source), at(target)] += rate
            generator[at(source), at(source)] -= rate
        state = state @ expm(generator * (end - start))
        if end in months:
            dead = [at(label) for label in labels if label.startswith("D")]
            saw_l = [at(label) for label in ("L", "LM", "DL", "DLM")]
            saw_m = [at(label) for label in ("M", "LM", "DM", "DLM")]
            results.append([state[dead].sum(), state[saw_l].sum(), state[saw_m].sum()])
    return np.array(results)


def _equal_leaving_rates() -> dict[str, float]:
    """Hazards at which leaving the event-free state is as fast as dying of a locoregional failure."""
    c = PARAMETERS.course
    free = c.death[0] + c.locoregional[0] + c.distant[0]
    ratio = c.death_after_locoregional * c.after_failure_shape[0] / (free - c.distant_after_locoregional * c.distant[0])
    common = float(np.log(ratio))
    return {"death": common, "locoregional": common, "distant": common, "after_failure": 0.0}


@pytest.mark.parametrize(
    "log",
    [
        {"death": 0.0, "locoregional": 0.0, "distant": 0.0, "after_failure": 0.0},
        {"death": 2.5, "locoregional": 2.0, "distant": -1.0, "after_failure": 0.8},
        {"death": -3.0, "locoregional": -4.0, "distant": 3.0, "after_failure": -1.0},
        _equal_leaving_rates(),
    ],
    ids=["average", "poor", "distant", "equal rates"],
)
def test_the_closed_form_is_the_matrix_exponential(log: dict[str, float]) -> None:
    months = (6.5, 12.0, 30.0, 48.0, 150.0)
    hazards = LogHazards(**{name: np.array([value]) for name, value in log.items()})
    closed = [[r.death[0], r.locoregional[0], r.distant[0]] for r in risks_at(hazards, months, PARAMETERS.course)]
    np.testing.assert_allclose(closed, _by_matrix_exponential(log, months), atol=1e-6)


def test_months_of_life_are_the_area_under_survival() -> None:
    rng = np.random.default_rng(0)
    hazards = LogHazards(*rng.normal(0.0, 1.0, (4, 20)))
    months = np.arange(6.0, 60.01, 0.25)
    risks = risks_at(hazards, list(months), PARAMETERS.course)
    alive = np.stack([1.0 - risk.death for risk in risks])
    area = [simpson(alive[:stop], x=months[:stop], axis=0) for stop in (9, len(months))]
    np.testing.assert_allclose([risks[8].months, risks[-1].months], area, atol=1e-6)


@pytest.fixture(scope="module")
def effects(synthetic: SyntheticCohort) -> dict[tuple[str, str], float]:
    """Hazard ratios by the first four letters of the treatment compared, and group."""
    return {(e.comparison[:4], e.group): e.hazard_ratio for e in true_effects(synthetic)}


def test_concurrent_therapy_helps_the_young_and_not_the_old(effects: dict[tuple[str, str], float]) -> None:
    assert 0.75 < effects["conc", "all"] < 0.85
    assert effects["conc", "under 55 years"] < effects["conc", "55 to 64 years"] < effects["conc", "70 years and over"]
    assert effects["conc", "70 years and over"] == pytest.approx(1.0, abs=0.05)


def test_induction_helps_extensive_hpv_negative_disease_alone(effects: dict[tuple[str, str], float]) -> None:
    assert effects["indu", "HPV-negative, T4 or N3"] == pytest.approx(0.65, abs=0.05)
    assert 1.05 < effects["indu", "HPV-positive"] < 1.6
    assert effects["plan", "all"] == pytest.approx(1.0, abs=0.05)


def test_the_crude_effect_of_concurrent_therapy_has_the_wrong_sign() -> None:
    compared = {item.decision: item for item in confounding(generate(2_000, seed=22))}
    concurrent = compared["Concurrent chemotherapy"]
    assert concurrent.true < -0.02
    assert concurrent.crude > 0.02
    assert compared["Neck dissection"].crude > compared["Neck dissection"].true + 0.03


def test_truth_given_the_record_averages_over_an_undetermined_status(synthetic: SyntheticCohort) -> None:
    true = synthetic.truth(["010"], [60.0])[:, 0, 0, 0]
    recorded = synthetic.truth(["010"], [60.0], Given.RECORDED)[:, 0, 0, 0]
    masked = (synthetic.cohort.frame["hpv_status"] == "unknown").to_numpy()
    np.testing.assert_array_equal(true[~masked], recorded[~masked])
    positive = synthetic.baseline.hpv_positive
    assert np.all(true[masked & positive] <= recorded[masked & positive])
    assert np.all(true[masked & ~positive] >= recorded[masked & ~positive])


def test_the_probability_of_hpv_is_calibrated_where_it_was_not_determined() -> None:
    large = generate(40_000, seed=23)
    chance = probability_hpv_positive(large.cohort.frame, PARAMETERS)
    masked = (large.cohort.frame["hpv_status"] == "unknown").to_numpy()
    chance, positive = chance[masked], large.baseline.hpv_positive[masked]
    bins = np.digitize(chance, np.quantile(chance, np.arange(0.1, 1.0, 0.1)))
    for k in range(10):
        members = bins == k
        error = np.sqrt((chance[members] * (1.0 - chance[members])).sum()) / members.sum()
        assert abs(positive[members].mean() - chance[members].mean()) < 4.0 * error
    # Scoring better than the prior shows that the bins are not calibrated for want of information.
    assert chance[positive].mean() - chance[~positive].mean() > 0.1


def test_the_long_table_holds_the_same_numbers(synthetic: SyntheticCohort) -> None:
    few = generate(5, seed=21)
    table = few.true_risks(["000", "111"], [12.0, 60.0]).set_index(["patient_id", "plan", "outcome", "month"])["risk"]
    assert len(table) == 5 * 2 * (3 * 2 + 2)
    assert table["SYN-00004", "111", SURVIVAL_OUTCOMES[1], 60.0] == few.truth(["111"], [60.0])[3, 0, 1, 0]
    assert table["SYN-00002", "000", TOXICITY_OUTCOMES[1], 6.0] == few.toxicity_truth(["000"])[1, 0, 1]


def test_impossible_questions_are_refused(synthetic: SyntheticCohort) -> None:
    with pytest.raises(WrongUsage, match="'11-'"):
        synthetic.truth(["11-"], [12.0])
    with pytest.raises(WrongUsage, match="months"):
        synthetic.truth(["110"], [-1.0])
    with pytest.raises(WrongUsage, match="'2'"):
        synthetic.toxicity_truth(["2"])
