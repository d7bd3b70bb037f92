import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import exponential_cohort, structural_cohort, structural_twin

from data.cohort import Cohort
from data.errors import Refused
from twin.fitting import FitSettings, fit_twin


@pytest.mark.parametrize("settings", [{"refits": 19}, {"interval": 1.0}, {"interval": 0.0}])
def test_settings_that_give_no_interval_are_refused(settings: dict) -> None:
    with pytest.raises(Refused):
        FitSettings(**settings)


def test_the_same_seed_gives_the_same_twin_and_another_one_other_refits() -> None:
    cohort = exponential_cohort(200, 0, death_rate=0.02)
    one, same, other = (fit_twin(cohort, FitSettings(refits=20, seed=seed)) for seed in (5, 5, 6))
    models = [twin.stages[0].hazards["death"].event for twin in (one, same, other)]
    assert models[0].coefficients.tobytes() == models[1].coefficients.tobytes()
    assert models[0].cumulative.tobytes() == models[1].cumulative.tobytes()
    assert not np.array_equal(models[0].coefficients[1:], models[2].coefficients[1:])


def test_progress_rises_to_the_end_and_names_the_outcome() -> None:
    told: list[tuple[float, str]] = []
    fit_twin(exponential_cohort(150, 0, death_rate=0.02), FitSettings(refits=20), lambda *said: told.append(said))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert told[0] == (0.0, "Death, from month 0")
    assert told[-1] == (1.0, "fitted")


def test_a_cohort_that_teaches_nothing_is_refused_with_the_reasons() -> None:
    cohort = exponential_cohort(30, 0, death_rate=0.0001)
    with pytest.raises(Refused, match=r"cannot teach any outcome \(death: \d events in this cohort"):
        fit_twin(cohort)


def test_every_landmark_with_states_has_models_of_those_who_lived_to_it() -> None:
    frame = structural_cohort().frame
    stages = structural_twin().stages
    assert [stage.month for stage in stages] == [0.0, 3.0, 6.0]
    for stage in stages:
        model = stage.hazards["death"].event
        assert model.patients <= int((frame["os_months"] > stage.month).sum())
        assert model.grid[0] == stage.month
        assert (model.cumulative[:, 0] == 0).all()
        assert (np.diff(model.cumulative, axis=1) >= 0).all()


def test_the_refits_scatter_around_the_fit() -> None:
    """The standard deviation of the refits of the strongest effect is near its textbook standard error."""
    cohort = exponential_cohort(500, 4, death_rate=0.02, log_hazard_ratio_age=0.5)
    twin = fit_twin(cohort, FitSettings(refits=200))
    model = twin.stages[0].hazards["death"].event
    age = twin.stages[0].encoding.names.index("age_years")
    deaths, spread = model.events, 0.5
    assert model.coefficients[0, age] == pytest.approx(1.0, abs=0.3)
    assert model.coefficients[1:, age].std() == pytest.approx(1 / (spread * np.sqrt(deaths)), rel=0.3)


def test_a_failure_with_too_few_events_after_a_landmark_is_left_to_the_stage_before() -> None:
    cohort = structural_cohort()
    early = cohort.frame["lrf_months"].where(cohort.frame["locoregional_failure"] != 1, 2.0)
    frame = cohort.frame.assign(lrf_months=early)
    twin = fit_twin(Cohort(cohort.spec, frame), FitSettings(refits=20))
    assert ["locoregional_failure" in stage.hazards for stage in twin.stages] == [True, False, False]
    table = twin.predict(frame.head(40), "all", [24])
    later = table.query("outcome == 'locoregional_failure' and risk == 0")
    assert not table.isna().any().any()
    assert len(later) > 0


def test_a_patient_whose_first_decision_is_unknown_teaches_nothing_about_time() -> None:
    cohort = structural_cohort()
    frame = cohort.frame.copy()
    frame.loc[:99, "induction_chemo"] = np.nan
    twin = fit_twin(Cohort(cohort.spec, frame), FitSettings(refits=20))
    assert twin.stages[0].hazards["death"].event.patients == 300


def test_a_cohort_with_required_columns_only_can_be_fitted() -> None:
    whole = structural_cohort()
    required = [column.name for column in whole.spec.columns if column.required]
    twin = fit_twin(Cohort(whole.spec, whole.frame[required]), FitSettings(refits=20))
    assert twin.plans == ("000",)
    assert twin.outcomes == ("death",)
    assert len(twin.predict(whole.frame[["patient_id"]].head(2), "all", [12])) == 2


def test_patients_who_are_all_alike_can_be_fitted() -> None:
    """No input varies: what is left is the baseline hazard, which is Kaplan-Meier's up to ties."""
    cohort = exponential_cohort(200, 2, death_rate=0.02)
    frame = cohort.frame.assign(
        age_years=60.0, sex=pd.Categorical(["male"] * 200), t_stage="T1", n_stage="N0", concurrent_chemo=0.0
    )[["patient_id", "age_years", "sex", "t_stage", "n_stage", "os_months", "death"]]
    twin = fit_twin(Cohort(cohort.spec, frame), FitSettings(refits=20))
    risk = twin.predict(frame.head(1), "all", [24])["risk"].iloc[0]
    followed = frame.sort_values("os_months")
    at_risk = np.arange(200, 0, -1)
    deaths = (followed["death"] == 1) & (followed["os_months"] <= 24)
    assert risk == pytest.approx(1 - np.prod(1 - deaths.to_numpy() / at_risk), abs=0.005)
