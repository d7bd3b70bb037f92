"""Defects that published twins of this disease were found to have, each as a test that this one does not have it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import (
    CANDIDATES,
    EFFECTS,
    QUICK,
    at_baseline,
    exponential_cohort,
    known_effects,
    structural_cohort,
    structural_twin,
)
from lifelines import AalenJohansenFitter, KaplanMeierFitter
from sklearn.metrics import roc_auc_score

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.schema import Role
from twin import registry
from twin.evaluation.held_out import Fold, held_out
from twin.evaluation.targets import target
from twin.fitting import FitSettings, fit_twin
from twin.metrics.censoring import aalen_johansen, kaplan_meier
from twin.metrics.discrimination import auc_at
from twin.metrics.observed import EVENT, Observed
from twin.models.candidates.discrete import DiscreteTime
from twin.models.followup import CENSORED, FORESTALLED, follow_up
from twin.observed import observed_on_plan, observed_risk, observed_share
from twin.prediction import FittedTwin
from twin.record import PatientRecord, decision_matrix
from twin.timeline import question_moment

SPEC = load_specification()
HORIZONS = [12.0, 36.0, 60.0]


@pytest.mark.parametrize("select", [False, True])
def test_defect_03_outcomes_of_held_out_patients_change_no_prediction_of_the_evaluated_models(
    select: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dealt out anew among them, their outcomes leave models, penalties, imputations and the choice of a candidate."""
    monkeypatch.setattr(CANDIDATES, (DiscreteTime(),))
    settings = FitSettings(draws=20, select=select, folds=2)
    cohort, rng = exponential_cohort(240, 3, death_rate=0.03, log_hazard_ratio_age=0.5), np.random.default_rng(0)
    hidden = np.arange(240) % 4 == 0
    frame, columns = cohort.frame.copy(), ["os_months", "death"]
    frame.loc[hidden, columns] = frame.loc[hidden, columns].to_numpy()[rng.permutation(int(hidden.sum()))]
    assert not frame.equals(cohort.frame)

    def said(of: Cohort) -> list[np.ndarray]:
        asked = target(of, SPEC.outcome("death"), [12.0, 24.0])
        assert not isinstance(asked, str)
        asked = replace(asked, months=np.array([12.0, 24.0]), horizons=(12.0, 24.0))
        (found,) = held_out([Fold.of(of, hidden)], [asked], settings, lambda done: None)
        assert np.array_equal(found.known, hidden)
        return [found.draws[:, hidden], *(risks[hidden] for risks in found.risks.values())]

    before, after = said(cohort), said(replace(cohort, frame=frame))
    assert len(before) == 4
    for one, other in zip(before, after, strict=True):
        assert one.tobytes() == other.tobytes()
    # The same of patients who are not held out does change them: the comparison above could have failed.
    frame = cohort.frame.copy()
    frame.loc[~hidden, columns] = frame.loc[~hidden, columns].to_numpy()[rng.permutation(int((~hidden).sum()))]
    assert not np.array_equal(said(replace(cohort, frame=frame))[0], before[0])


def test_defect_03_candidates_are_chosen_within_the_training_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever compares them never meets a held-out patient, and holds out patients of the training part in turn."""
    met: list[set[tuple[float, ...]]] = []

    class Watched(DiscreteTime):
        def fit(self, data, seed):
            met.append({tuple(row) for row in data.episodes.inputs})
            return super().fit(data, seed)

    monkeypatch.setattr(CANDIDATES, (Watched(),))
    cohort = exponential_cohort(240, 4, death_rate=0.03)
    hidden = np.arange(240) % 4 == 0
    asked = target(cohort, SPEC.outcome("death"), [12.0, 24.0])
    assert not isinstance(asked, str)
    held_out([Fold.of(cohort, hidden)], [asked], FitSettings(draws=20, folds=3), lambda done: None)
    everybody = set().union(*met)
    assert len(met) >= 3
    assert len(everybody) == int((~hidden).sum())
    assert all(len(part) < len(everybody) for part in met[:3])


def test_defect_04_no_model_of_time_zero_reads_what_came_after_the_first_decision() -> None:
    """Every later column, the dose among them, is dealt out anew: what the patient was before decides the answer."""
    first = question_moment(SPEC, 0)
    frame, twin = structural_cohort().frame, structural_twin()
    later = [c.name for c in SPEC.columns if SPEC.rank(c.available_from) >= SPEC.rank(first) and c.name in frame]
    assert {"rt_dose_gy", "rt_fractions", "concurrent_agent", "ic_dlt_other", "rt_response_nodal"} <= set(later)
    rng = np.random.default_rng(0)
    dealt = frame.assign(**{name: frame[name].to_numpy()[rng.permutation(len(frame))] for name in later})
    for table in (frame, dealt, frame.drop(columns=later)):
        known = twin.marginal.known(table, SPEC)
        assert not set(known.frame) & set(later)
    ours, theirs = (twin.marginal.patients(twin.marginal.known(table, SPEC)) for table in (frame, dealt))
    assert ours.inputs.tobytes() == theirs.inputs.tobytes()


def test_defect_04_a_fit_with_other_doses_is_the_same_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dose, fractions, agent, responses and toxicities of treatment change no coefficient of a model of time zero."""
    cohort, twin = structural_cohort(), structural_twin()
    monkeypatch.setattr(EFFECTS, lambda *asked, **named: twin.effects)
    between = [
        column.name
        for column in SPEC.having(Role.COVARIATE, Role.STATE)
        if column.available_from != SPEC.moments[0] and column.name in cohort.frame
    ]
    assert {"rt_dose_gy", "rt_fractions", "concurrent_agent", "ic_response_nodal"} <= set(between)
    rng = np.random.default_rng(1)
    dealt = cohort.frame.assign(**{name: cohort.frame[name].to_numpy()[rng.permutation(400)] for name in between})
    other = fit_twin(Cohort(SPEC, dealt), QUICK)
    some = at_baseline(cohort).head(40)
    ours, theirs = (fitted.predict_draws(some, ["000", "110"], HORIZONS) for fitted in (twin, other))
    for name, draws in ours.items():
        assert draws.tobytes() == theirs[name].tobytes(), name


def composite(failed: list[int], died: list[int]) -> pd.DataFrame:
    """Patients followed for 60 months, or to a failure at month 10, or to death at month 20."""
    size = len(failed)
    until = np.where(np.array(died) == 1, 20.0, 60.0)
    columns = {
        "patient_id": [f"C-{k}" for k in range(size)],
        "os_months": until,
        "death": died,
        "lrf_months": np.where(np.array(failed) == 1, 10.0, until),
        "locoregional_failure": failed,
        "feeding_tube_6m": failed,
    }
    return typed_frame(pd.DataFrame(columns), SPEC)


def test_defect_05_free_of_events_is_who_had_none() -> None:
    """Of 20 patients 3 fail and 2 others die: 15 are free of both, whoever is asked."""
    frame = composite([1] * 3 + [0] * 17, [0] * 3 + [1] * 2 + [0] * 15)
    followed = follow_up(frame, SPEC, SPEC.outcome("locoregional_failure"))
    assert followed.cause.tolist() == [EVENT] * 3 + [FORESTALLED] * 2 + [CENSORED] * 15
    observed = Observed(followed.months, followed.cause)
    month = np.array([50.0])
    assert kaplan_meier(observed).at(month)[0, 0] == pytest.approx(15 / 20)
    assert observed.event_by(50.0).tolist() == [True] * 3 + [False] * 17
    assert observed.known_at(50.0).all()
    found = {name: observed_risk(frame, SPEC, name, month) for name in ("locoregional_failure", "death")}
    assert found["locoregional_failure"].curve.risk[0] == pytest.approx(3 / 20)
    assert found["death"].curve.risk[0] == pytest.approx(2 / 20)
    assert found["locoregional_failure"].at_risk[0] == 15
    share = observed_share(frame, SPEC, "feeding_tube_6m")
    assert (share.share.value, share.events) == (3 / 20, 3)


def test_defect_05_more_events_mean_fewer_who_are_free_of_them() -> None:
    month = np.array([50.0])
    some, more = ([1] * 3 + [0] * 17, [1] * 8 + [0] * 12)
    free, risk = [], []
    for failed in (some, more):
        frame = composite(failed, [0] * 20)
        followed = follow_up(frame, SPEC, SPEC.outcome("locoregional_failure"))
        free.append(kaplan_meier(Observed(followed.months, followed.cause)).at(month)[0, 0])
        risk.append(observed_risk(frame, SPEC, "locoregional_failure", month).curve.risk[0])
    assert free[0] > free[1]
    assert risk[0] < risk[1]


def test_defect_05_a_twin_predicts_the_event_and_not_its_absence() -> None:
    """Over the cohort predicted and observed risks are about the same, on the side of the rare as of the common."""
    cohort, twin = structural_cohort(), structural_twin()
    table = twin.predict(at_baseline(cohort), ["010"], [24.0]).groupby("outcome")["risk"].mean()
    for name in ("death", "locoregional_failure", "distant_failure"):
        seen = observed_risk(cohort.frame, SPEC, name, [24.0]).curve.risk[0]
        assert seen < 0.35
        assert table[name] == pytest.approx(seen, abs=0.12), name
    for name in ("feeding_tube_6m", "aspiration_6m"):
        assert table[name] == pytest.approx(observed_share(cohort.frame, SPEC, name).share.value, abs=0.12), name


def censored_early(seed: int, patients: int) -> tuple[Observed, np.ndarray, np.ndarray]:
    """What is seen of patients who are censored at a fixed rate; their scores; and when each has the event."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=patients)
    time, end = rng.exponential(40.0 * np.exp(-score)), rng.exponential(30.0, patients)
    observed = Observed(np.minimum(time, end), (time <= end).astype(np.int64))
    return observed, score, time


def test_defect_06_auc_weights_patients_by_their_chance_of_being_followed() -> None:
    """By lifelines' reverse Kaplan-Meier and scikit-learn's weighted AUC; who left before with no event is unknown."""
    observed, score, _ = censored_early(0, 400)
    month = 24.0
    reverse = KaplanMeierFitter().fit(observed.time, observed.event == 0)
    had = observed.event_by(month)
    known = had | (observed.time >= month)
    followed = reverse.survival_function_at_times(np.minimum(observed.time, month) - 1e-9).to_numpy()
    expected = roc_auc_score(had[known], score[known], sample_weight=1.0 / followed[known])
    assert auc_at(observed, score, month)[0] == pytest.approx(expected, abs=1e-9)
    naive = roc_auc_score(observed.time < month, score)
    assert abs(naive - expected) > 0.02


def test_defect_06_auc_is_that_of_complete_follow_up_and_the_naive_label_is_not() -> None:
    """Who would be seen to have the event by month 24 is known here, also of the censored."""
    found, naive, truth = [], [], []
    for seed in range(5):
        observed, score, time = censored_early(seed, 2000)
        truth.append(roc_auc_score(time <= 24.0, score))
        found.append(auc_at(observed, score, 24.0)[0])
        naive.append(roc_auc_score(observed.time < 24.0, score))
    assert np.mean(found) == pytest.approx(np.mean(truth), abs=0.01)
    assert np.mean(naive) < np.mean(truth) - 0.05


def test_defect_10_observed_curves_let_the_censored_go_when_they_leave() -> None:
    """Kaplan-Meier and Aalen-Johansen of lifelines; counting the censored as free for ever would be far below."""
    rng = np.random.default_rng(7)
    failure, death, end = rng.exponential(60.0, 150), rng.exponential(90.0, 150), rng.exponential(20.0, 150)
    months, until = np.minimum(np.minimum(failure, death), end), np.minimum(death, end)
    columns = {
        "os_months": until,
        "death": (death <= end).astype(float),
        "lrf_months": months,
        "locoregional_failure": ((failure <= death) & (failure <= end)).astype(float),
    }
    frame = typed_frame(pd.DataFrame(columns), SPEC)
    at = np.array([12.0, 24.0])
    died = observed_risk(frame, SPEC, "death", at)
    reference = KaplanMeierFitter(alpha=0.1).fit(until, columns["death"])
    np.testing.assert_allclose(died.curve.risk, 1 - reference.survival_function_at_times(at), atol=1e-12)
    cause = np.where(columns["locoregional_failure"] == 1, 1, np.where((death <= end) & (death < failure), 2, 0))
    failed = observed_risk(frame, SPEC, "locoregional_failure", at)
    incidence = AalenJohansenFitter().fit(months, cause, event_of_interest=1).cumulative_density_
    np.testing.assert_allclose(
        failed.curve.risk, incidence.iloc[incidence.index.searchsorted(at, side="right") - 1, 0], atol=1e-9
    )
    for found, happened, when in ((died, columns["death"], until), (failed, cause == 1, months)):
        assert found.curve.risk[1] > 1.3 * (happened.astype(bool) & (when <= 24.0)).mean()
        assert (found.curve.lower < found.curve.risk).all()
        assert (found.curve.risk < found.curve.upper).all()
    np.testing.assert_allclose(aalen_johansen(Observed(months, cause)).at(at)[0], failed.curve.risk, atol=1e-12)


def test_defect_10_intervals_of_observed_curves_hold_the_truth_as_often_as_they_say() -> None:
    """1 - exp(-rate t) of those on a plan, with four in ten censored; the share of 150 groups has an error of 0.024."""
    inside = []
    for seed in range(150):
        cohort = exponential_cohort(120, seed, death_rate=0.03, censoring_rate=0.02)
        decisions = decision_matrix(SPEC, cohort.frame)
        found = observed_on_plan(cohort, "death", "011", np.nan_to_num(decisions, nan=1.0), np.array([12.0]))
        inside.append(found.curve.lower[0] <= 1 - np.exp(-0.36) <= found.curve.upper[0])
    assert np.mean(inside) == pytest.approx(0.9, abs=0.07)


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_defect_11_an_interval_holds_the_share_of_draws_that_its_label_says(level: float) -> None:
    """The label is that of the settings, and its ends are the percentiles of the draws: 10 and 90, or 5 and 95."""
    cohort = exponential_cohort(250, 5, death_rate=0.03, log_hazard_ratio_age=0.4)
    twin = fit_twin(cohort, FitSettings(interval=level, select=False))
    assert twin.origin.interval == level
    some = at_baseline(cohort).head(20)
    table = twin.predict(some, ["010"], [24.0])
    assert set(table["interval"]) == {f"{100 * level:g}% calibrated"}
    draws = twin.predict_draws(some, ["010"], [24.0])["death"][1:, :, 0, 0]
    within = ((draws >= table["lower"].to_numpy()) & (draws <= table["upper"].to_numpy())).mean(axis=0)
    assert within == pytest.approx(np.full(20, level), abs=0.011)
    below = (draws < table["lower"].to_numpy()).mean(axis=0)
    assert below == pytest.approx(np.full(20, (1 - level) / 2), abs=0.011)
    curve = twin.curves(PatientRecord.from_row(SPEC, some.iloc[0]), "010", [24.0])["death"]
    assert curve.interval == f"{100 * level:g}% calibrated"


def test_defect_11_an_answer_does_not_depend_on_a_mode_or_on_chance() -> None:
    """Nothing is left switched on by the fit, and no generator outside is drawn from: the same again, to the bit."""
    cohort = exponential_cohort(150, 6, death_rate=0.03)
    asked = (at_baseline(cohort).head(10), "all", [24.0])
    np.random.seed(1)
    twin = fit_twin(cohort, QUICK)
    answers = [twin.predict(*asked) for _ in range(2)]
    assert (np.random.get_state()[1] == np.random.RandomState(1).get_state()[1]).all()
    np.random.seed(2)
    for other in (answers[1], fit_twin(cohort, QUICK).predict(*asked)):
        pd.testing.assert_frame_equal(answers[0], other, check_exact=True)


def served(kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Cohort, FittedTwin]:
    """A twin of a cohort with gaps: served by Cox regression with states, or by another candidate."""
    if kind == "cox":
        return structural_cohort(), structural_twin()
    monkeypatch.setattr(CANDIDATES, (DiscreteTime(),))
    monkeypatch.setattr("twin.selection.serves", lambda scores, errors: len(scores) - 1)
    monkeypatch.setattr(EFFECTS, known_effects((), {}))
    cohort = exponential_cohort(200, 9, death_rate=0.03)
    status = np.random.default_rng(9).choice(["positive", "negative", "unknown"], 200)
    cohort = Cohort(SPEC, typed_frame(cohort.frame.assign(hpv_status=status), SPEC))
    return cohort, fit_twin(cohort, FitSettings(draws=20, folds=2))


@pytest.mark.parametrize("kind", ["cox", "another"])
def test_defect_12_an_answer_is_the_same_alone_in_a_batch_in_any_order_and_after_storage(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No patient attends to another, and what was fitted is what serves."""
    cohort, twin = served(kind, monkeypatch)
    patients = cohort.frame.head(8)
    assert twin.marginal.incomplete(twin.marginal.known(patients, SPEC)).any()
    asked = ("all", [12.0, 60.0])

    def answered(by, frame: pd.DataFrame) -> pd.DataFrame:
        table = by.predict(frame, *asked).drop(columns="model")
        return table.sort_values(["patient_id", "plan", "outcome", "month"]).reset_index(drop=True)

    together = answered(twin, patients)
    alone = pd.concat([answered(twin, patients.iloc[[row]]) for row in range(0, 8, 3)])
    some = together[together["patient_id"].isin(patients["patient_id"].iloc[::3])].reset_index(drop=True)
    pd.testing.assert_frame_equal(
        alone.sort_values(["patient_id", "plan", "outcome", "month"]).reset_index(drop=True), some, rtol=1e-12
    )
    shuffled = patients.sample(frac=1.0, random_state=0)
    pd.testing.assert_frame_equal(answered(twin, shuffled), together, rtol=1e-12)
    among_others = answered(twin, cohort.frame.head(20))
    kept = among_others[among_others["patient_id"].isin(patients["patient_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, together, rtol=1e-12)
    registry.save(twin, tmp_path, "one-1")
    pd.testing.assert_frame_equal(answered(registry.load(tmp_path, "one-1"), patients), together, check_exact=True)


def test_defect_12_a_patient_of_the_cohort_is_answered_as_a_stranger_with_the_same_record() -> None:
    """Neither the identifier nor having taught the models changes an answer."""
    twin, row = structural_twin(), at_baseline(structural_cohort()).iloc[0]
    own = PatientRecord.from_row(SPEC, row)
    stranger = own.with_value("patient_id", "somebody-else")
    ours, theirs = (twin.answer(record, ("010",), [60.0]) for record in (own, stranger))
    for name, draws in ours.over_time.items():
        assert draws.tobytes() == theirs.over_time[name].tobytes()
