"""Guesses of what is missing, against the distributions that the data were drawn from."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter
from scipy.special import expit

from data.cohort import typed_frame
from data.dictionary import load_specification
from twin.models.encoding import Encoding
from twin.models.imputation import DONORS, FEWEST, Completed, Imputer
from twin.state import Known

SPEC = load_specification()
NAN = float("nan")


def known(spec=SPEC, **columns) -> Known:
    return Known(spec, "decision_ic", typed_frame(pd.DataFrame(columns), spec))


def taught(cohort: Known, beside: np.ndarray | None = None) -> Imputer:
    return Imputer.fit(cohort, Encoding.fit(cohort), beside)


def values(completed: Completed, column: str, copies: int) -> np.ndarray:
    """(copies, n)."""
    return np.asarray(completed.columns[column]).reshape(copies, -1)


def hidden(cells: np.ndarray, gone: np.ndarray) -> np.ndarray:
    return np.where(gone, None, cells.astype(object))


def by_age(seed: int, patients: int = 3000) -> tuple[Known, np.ndarray]:
    """HPV is rarer in the old and unknown more often in them; (n,) true status."""
    rng = np.random.default_rng(seed)
    age = rng.normal(60.0, 10.0, patients).clip(20.0, 100.0)
    positive = rng.random(patients) < expit(0.5 - 0.08 * (age - 60.0))
    gone = rng.random(patients) < expit(-1.0 + 0.05 * (age - 60.0))
    status = np.where(positive, "positive", "negative")
    return known(age_years=age, hpv_status=hidden(status, gone)), positive


@pytest.mark.parametrize("age", [45.0, 60.0, 75.0])
def test_a_category_is_guessed_with_its_probability_given_the_rest(age: float) -> None:
    cohort, _ = by_age(0)
    asked = known(age_years=[age], hpv_status=["unknown"])
    guessed = values(taught(cohort).complete(asked, 400, 0), "hpv_status", 400)
    assert set(guessed.ravel()) == {"positive", "negative"}
    assert (guessed == "positive").mean() == pytest.approx(expit(0.5 - 0.08 * (age - 60.0)), abs=0.05)


def test_a_category_of_many_levels_keeps_all_their_probabilities() -> None:
    rng = np.random.default_rng(1)
    female = rng.random(6000) < 0.4
    shares = {True: [0.6, 0.3, 0.1], False: [0.2, 0.3, 0.5]}
    smoked = np.array([rng.choice(["never", "former", "current"], p=shares[bool(f)]) for f in female])
    sex = np.where(female, "female", "male")
    cohort = known(sex=sex, smoking_status=hidden(smoked, rng.random(6000) < 0.3))
    asked = known(sex=["female", "male"], smoking_status=[None, None])
    guessed = values(taught(cohort).complete(asked, 1000, 0), "smoking_status", 1000)
    for column, expected in zip(guessed.T, (shares[True], shares[False]), strict=True):
        found = [(column == level).mean() for level in ("never", "former", "current")]
        assert found == pytest.approx(expected, abs=0.03)


def test_a_number_is_lent_by_patients_who_resemble() -> None:
    """Skewed with a lump at zero, and higher in the old: a normal model would guess neither."""
    rng = np.random.default_rng(2)
    age = rng.uniform(40.0, 80.0, 4000)
    never = rng.random(4000) < 0.3
    years = np.where(never, 0.0, np.exp(0.05 * (age - 40.0) + rng.normal(2.0, 0.5, 4000)))
    gone = rng.random(4000) < 0.4
    cohort = known(age_years=age, pack_years=np.where(gone, NAN, years))
    asked = known(age_years=np.repeat([50.0, 70.0], 100) + np.tile(np.linspace(-4, 4, 100), 2), pack_years=[NAN] * 200)
    guessed = values(taught(cohort).complete(asked, 40, 0), "pack_years", 40)
    assert np.isin(guessed, years[~gone]).all()
    for decade in (slice(0, 100), slice(100, 200)):
        some = guessed[:, decade]
        centre = 50.0 if decade.start == 0 else 70.0
        assert (some == 0).mean() == pytest.approx(0.3, abs=0.06)
        smoked = some[some > 0]
        assert np.median(np.log(smoked)) == pytest.approx(2.0 + 0.05 * (centre - 40.0), abs=0.15)
        assert np.log(smoked).std() == pytest.approx(0.5, abs=0.15)


def test_a_number_that_nothing_tells_about_is_lent_by_anybody() -> None:
    """Whoever looks the same is equally near: all of them lend, not the few who come first in the file."""
    rng = np.random.default_rng(3)
    male = rng.random(2000) < 0.5
    years = np.where(male, rng.uniform(50.0, 100.0, 2000), rng.uniform(0.0, 50.0, 2000))
    order = np.argsort(years)
    cohort = known(sex=np.where(male, "male", "female")[order], pack_years=years[order])
    asked = known(sex=["male", "female"], pack_years=[NAN, NAN])
    guessed = values(taught(cohort).complete(asked, 200, 0), "pack_years", 200)
    for column, low in zip(guessed.T, (50.0, 0.0), strict=True):
        assert len(np.unique(column)) > 5 * DONORS
        np.testing.assert_allclose(np.quantile(column, [0.1, 0.5, 0.9]), low + np.array([5.0, 25.0, 45.0]), atol=4.0)


def test_one_guess_agrees_with_another() -> None:
    """Both smoking and pack-years are missing: a guessed never-smoker gets few pack-years, a smoker many."""
    rng = np.random.default_rng(4)
    never = rng.random(2000) < 0.5
    years = np.where(never, 0.0, rng.uniform(20.0, 60.0, 2000))
    status = np.where(never, "never", "current")
    cohort = known(age_years=rng.normal(60, 10, 2000), smoking_status=status, pack_years=years)
    asked = known(age_years=[60.0], smoking_status=[None], pack_years=[NAN])
    completed = taught(cohort).complete(asked, 200, 0)
    guessed, smoked = values(completed, "smoking_status", 200)[:, 0], values(completed, "pack_years", 200)[:, 0]
    assert (guessed == "never").mean() == pytest.approx(0.5, abs=0.1)
    assert ((smoked == 0) == (guessed == "never")).mean() > 0.95


def test_what_is_known_is_never_changed() -> None:
    rng = np.random.default_rng(5)
    cohort, _ = by_age(5, 300)
    columns = {
        "age_years": np.where(rng.random(300) < 0.2, NAN, cohort.columns["age_years"]),
        "hpv_status": cohort.columns["hpv_status"],
        "ecog": rng.choice([0.0, 1.0, 2.0, NAN], 300),
    }
    gappy = known(**columns)
    completed = taught(gappy).complete(gappy, 7, 0)
    for name, original in gappy.columns.items():
        recorded = ~pd.isna(original)
        found = values(completed, name, 7)
        assert (found[:, recorded] == original[recorded]).all(), name
        assert not pd.isna(found).any(), name
    encoding = Encoding.fit(gappy)
    of_values = ~encoding.indicates_missing
    told = ~pd.isna(pd.DataFrame(dict(gappy.columns))).any(axis=1).to_numpy()
    expected = encoding.encode(gappy)[np.ix_(told, of_values)]
    assert of_values.sum() == 3
    assert (completed.inputs[:, told][:, :, of_values] == expected).all()


def test_that_a_value_was_missing_tells_nothing_once_it_is_guessed() -> None:
    """A patient in whom it is guessed is to the models one who has that value."""
    cohort, _ = by_age(6, 400)
    imputer = taught(cohort)
    guessed = imputer.complete(known(age_years=[60.0], hpv_status=["unknown"]), 20, 0).inputs[:, 0]
    recorded = imputer.complete(known(age_years=[60.0] * 2, hpv_status=["positive", "negative"]), 1, 0).inputs[0]
    assert {tuple(row) for row in guessed} == {tuple(row) for row in recorded}
    at = Encoding.fit(cohort).names.index("hpv_status not recorded")
    assert (guessed[:, at] == 0).all()


def test_the_completions_of_a_patient_do_not_depend_on_who_else_is_asked() -> None:
    cohort, _ = by_age(7, 500)
    imputer = taught(cohort)
    asked = known(age_years=[50.0, NAN, 70.0, 61.5], hpv_status=["unknown", None, "positive", "unknown"])
    together = imputer.complete(asked, 40, 1)
    for order in ([3], [2, 0], [3, 2, 1, 0]):
        some = Known(SPEC, asked.moment, asked.frame.iloc[order].reset_index(drop=True))
        alone = imputer.complete(some, 40, 1)
        np.testing.assert_array_equal(alone.inputs, together.inputs[:, order])
        for name in alone.columns:
            assert (values(alone, name, 40) == values(together, name, 40)[:, order]).all()


@pytest.mark.parametrize("of_cohort", [False, True])
def test_copies_are_spread_evenly_over_what_is_likely(of_cohort: bool) -> None:
    """A Latin hypercube: of 40 copies a level of probability p is in 40 p, within one; at random it varies by three."""
    cohort, _ = by_age(8, 300)
    beside = np.random.default_rng(0).normal(size=(300, 1)) if of_cohort else None
    imputer = taught(cohort, beside)
    many = values(imputer.complete(cohort, 1000, 3, beside), "hpv_status", 1000)
    few = values(imputer.complete(cohort, 40, 3, beside), "hpv_status", 40)
    gone = pd.isna(cohort.columns["hpv_status"])
    expected = (many[:, gone] == "positive").mean(axis=0)
    assert expected.std() > 0.1
    assert np.abs((few[:, gone] == "positive").sum(axis=0) - 40 * expected).max() <= 1.05


def test_guesses_of_two_columns_are_apart() -> None:
    """Sex and smoking are unrelated: places of one must not follow those of the other."""
    rng = np.random.default_rng(9)
    cohort = known(
        sex=hidden(rng.choice(["male", "female"], 5000), rng.random(5000) < 0.3),
        smoking_status=hidden(rng.choice(["never", "current"], 5000), rng.random(5000) < 0.3),
    )
    completed = taught(cohort).complete(known(sex=[None], smoking_status=[None]), 400, 0)
    male = values(completed, "sex", 400)[:, 0] == "male"
    never = values(completed, "smoking_status", 400)[:, 0] == "never"
    assert abs(np.corrcoef(male, never)[0, 1]) < 0.15


def test_patients_of_a_cohort_have_places_of_their_own() -> None:
    """If all patients alike had the same guess in a copy, the copies would differ as if the cohort were one patient."""
    cohort = known(age_years=[60.0] * 500, hpv_status=["positive"] * 150 + ["negative"] * 150 + [None] * 200)
    beside = np.zeros((500, 1))
    imputer = taught(cohort, beside)
    guessed = values(imputer.complete(cohort, 5, 0, beside), "hpv_status", 5)[:, 300:] == "positive"
    assert guessed.mean(axis=1) == pytest.approx([0.5] * 5, abs=0.15)


def test_columns_that_the_specification_bars_are_not_read() -> None:
    """Here HPV follows the N category to the letter; barred, it tells nothing."""
    rng = np.random.default_rng(10)
    positive = rng.random(2000) < 0.5
    nodes = np.where(positive, "N1", "N3")
    age = rng.normal(60, 10, 2000)
    columns = {
        "age_years": age,
        "n_stage": nodes,
        "tnm_edition": np.where(positive, 8.0, 7.0),
        "hpv_status": np.where(positive, "positive", "negative"),
    }
    asked = {"age_years": [60.0] * 2, "n_stage": ["N1", "N3"], "tnm_edition": [8.0, 7.0], "hpv_status": [None, None]}
    assert {"n_stage", "tnm_edition"} == {n for r in SPEC.imputation if r.column == "hpv_status" for n in r.without}
    barred = values(taught(known(**columns)).complete(known(**asked), 100, 0), "hpv_status", 100) == "positive"
    np.testing.assert_array_equal(barred[:, 0], barred[:, 1])
    free = replace(SPEC, imputation=())
    read = values(taught(known(free, **columns)).complete(known(free, **asked), 100, 0), "hpv_status", 100)
    assert (read[:, 0] == "positive").mean() > 0.95
    assert (read[:, 1] == "positive").mean() < 0.05


def test_what_hardly_anybody_has_is_never_guessed() -> None:
    rng = np.random.default_rng(11)
    site = np.array(["tonsil"] * 300 + ["soft_palate"] * (FEWEST - 1) + ["base_of_tongue"] * FEWEST)
    few = np.concatenate([np.arange(FEWEST - 1) % 3, np.full(len(site) - FEWEST + 1, NAN)])
    cohort = known(subsite=site, ecog=few, age_years=rng.normal(60, 10, len(site)))
    imputer = taught(cohort)
    assert {model.column for model in imputer.models} == {"subsite", "age_years"}
    guessed = values(imputer.complete(known(subsite=[None] * 3, age_years=[50.0, 60.0, 70.0]), 400, 0), "subsite", 400)
    assert set(guessed.ravel()) == {"tonsil", "base_of_tongue"}


def test_a_column_that_a_file_lacks_is_guessed_like_one_that_is_empty() -> None:
    cohort, _ = by_age(12, 500)
    imputer = taught(cohort)
    lacking = imputer.complete(known(age_years=[50.0, 70.0]), 40, 0)
    empty = imputer.complete(known(age_years=[50.0, 70.0], hpv_status=[None, None]), 40, 0)
    np.testing.assert_array_equal(lacking.inputs, empty.inputs)


def smokers(seed: int, patients: int) -> tuple[pd.DataFrame, np.ndarray]:
    """HPV lengthens life and smoking shortens it, and they go together; HPV is unknown in half, more in the dead."""
    rng = np.random.default_rng(seed)
    positive = rng.random(patients) < 0.5
    years = rng.uniform(0.0, 30.0, patients) + np.where(positive, 0.0, 25.0)
    rate = 0.01 * np.exp(-1.0 * positive + 0.02 * (years - 30.0))
    death, end = rng.exponential(1.0 / rate), rng.uniform(24.0, 120.0, patients)
    died = death <= end
    gone = rng.random(patients) < np.where(died, 0.6, 0.4)
    columns = {"positive": positive, "years": years, "months": np.minimum(death, end), "died": died.astype(float)}
    return pd.DataFrame(columns), gone


def cox(frame: pd.DataFrame, hpv: np.ndarray, *others: str) -> np.ndarray:
    """Log hazard ratios of HPV and of a pack-year, by lifelines."""
    table = frame.assign(hpv=hpv.astype(float))[["hpv", "years", *others, "months", "died"]]
    return CoxPHFitter().fit(table, "months", "died").params_[["hpv", "years"]].to_numpy()


def test_guessing_with_the_outcome_keeps_coefficients_that_a_level_unknown_would_bias() -> None:
    """True log hazard ratios: -1 of HPV, 0.02 of a pack-year; their means have standard errors of 0.05 and 0.001.

    With unknown as a level those who have it mix both, so that their smoking stands for HPV as well. Guessed without
    the outcome, HPV loses a part of its effect in those in whom it is guessed.
    """
    found: dict[str, list[np.ndarray]] = {"with outcome": [], "without": [], "as a level": []}
    for seed in range(3):
        frame, gone = smokers(seed, 2500)
        status = hidden(np.where(frame["positive"], "positive", "negative"), gone)
        cohort = known(pack_years=frame["years"].to_numpy(), hpv_status=status)
        order = np.argsort(frame["months"].to_numpy())
        hazard = np.empty(len(frame))
        hazard[order] = np.cumsum(frame["died"].to_numpy()[order] / np.arange(len(frame), 0, -1))
        outcome = np.column_stack([frame["died"] - frame["died"].mean(), hazard - hazard.mean()])
        for name, beside in (("with outcome", outcome), ("without", None)):
            copies = values(taught(cohort, beside).complete(cohort, 2, seed, beside), "hpv_status", 2)
            found[name].append(np.mean([cox(frame, copy == "positive") for copy in copies], axis=0))
        level = frame.assign(unknown=gone.astype(float))
        found["as a level"].append(cox(level, (frame["positive"] & ~gone).to_numpy(), "unknown"))
    mean = {name: np.mean(each, axis=0) for name, each in found.items()}
    assert mean["with outcome"][0] == pytest.approx(-1.0, abs=0.15)
    assert mean["with outcome"][1] == pytest.approx(0.02, abs=0.004)
    assert mean["without"][0] > -0.75
    assert mean["as a level"][1] > 0.03
