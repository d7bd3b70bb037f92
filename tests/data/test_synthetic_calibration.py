from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from lifelines import CoxPHFitter, KaplanMeierFitter
from scipy.stats import binom

from data.synthetic import SyntheticCohort, generate, report
from data.synthetic.published import Comparison, Figure, Kind, Patients, Verdict, compare, completed, load_figures

PUBLISHED_PATIENTS = 536


@pytest.fixture(scope="module")
def large() -> SyntheticCohort:
    """Of another seed than those of the report."""
    return generate(20_000, seed=31)


@pytest.fixture(scope="module")
def frame(large: SyntheticCohort) -> pd.DataFrame:
    return completed(large)


@pytest.fixture(scope="module")
def comparisons(large: SyntheticCohort) -> list[Comparison]:
    return compare(generate(PUBLISHED_PATIENTS), large)


def _within(share: float, published: float, patients: int, errors: float = 2.0) -> bool:
    return abs(share - published) <= errors * np.sqrt(share * (1.0 - share) / patients)


@pytest.mark.parametrize(
    ("column", "level", "published"),
    [
        ("induction_chemo", 1.0, 0.362),
        ("concurrent_chemo", 1.0, 0.765),
        ("neck_dissection", 1.0, 0.207),
        ("hpv_status", "positive", 0.569),
        ("t_stage", "T4", 0.160),
        ("n_stage", "N2", 0.466),
        ("smoking_status", "current", 0.215),
        ("feeding_tube_6m", 1.0, 0.183),
        ("aspiration_6m", 1.0, 0.183),
        ("death", 1.0, 129 / 536),
        ("locoregional_failure", 1.0, 76 / 536),
        ("distant_failure", 1.0, 57 / 536),
    ],
)
def test_headline_shares_are_within_sampling_error(
    frame: pd.DataFrame, column: str, level: object, published: float
) -> None:
    assert _within(float((frame[column] == level).mean()), published, PUBLISHED_PATIENTS)


@pytest.mark.parametrize(
    ("decision", "having", "without"),
    [("concurrent_chemo", (0.841, 410), (0.889, 126)), ("neck_dissection", (0.829, 111), (0.859, 425))],
)
def test_crude_survival_by_decision_is_within_sampling_error(
    frame: pd.DataFrame, decision: str, having: tuple[float, int], without: tuple[float, int]
) -> None:
    for value, (published, patients) in ((1.0, having), (0.0, without)):
        group = frame[frame[decision] == value]
        survival = KaplanMeierFitter().fit(group["os_months"], group["death"]).predict(48.0)
        assert _within(float(survival), published, patients)


def test_both_late_toxicities_are_as_common_together_as_published(frame: pd.DataFrame) -> None:
    # 26 % have a feeding tube or aspirate (Wentzel 2021, 582 patients).
    either = ((frame["feeding_tube_6m"] == 1.0) | (frame["aspiration_6m"] == 1.0)).mean()
    assert _within(float(either), 0.26, 582)


def test_adjusted_hazard_ratios_are_in_the_published_range(large: SyntheticCohort, frame: pd.DataFrame) -> None:
    b = large.baseline.rows(frame.index.to_numpy())
    design = pd.DataFrame(
        {
            "os_months": frame["os_months"].to_numpy(),
            "death": frame["death"].to_numpy(),
            "hpv_positive": b.hpv_positive.astype(float),
            "age": b.age_years,
            "pack_years": b.pack_years,
            "t1": (b.t == 0).astype(float),
            "t4": (b.t == 3).astype(float),
            "n3": b.bulky_nodes.astype(float),
            "ecog": b.ecog,
        }
    )
    ratio = np.exp(CoxPHFitter().fit(design, "os_months", "death").params_)
    assert 0.36 < ratio["hpv_positive"] < 0.48  # Ang 2010: .42
    assert ratio["age"] == pytest.approx(1.035, abs=0.007)  # 1.03-1.04 a year
    assert 1.005 < ratio["pack_years"] < 1.02  # Gillison 2012: 1.01 a pack-year
    assert 1.4 < ratio["t4"] < 2.2  # 1.6-2
    assert 1.5 < ratio["n3"] < 2.9  # above 2


def test_every_published_figure_agrees_or_says_why_not(comparisons: list[Comparison]) -> None:
    unexplained = [c.figure.figure for c in comparisons if c.verdict is Verdict.DIFFERS and not c.figure.explanation]
    assert unexplained == []


def test_no_more_figures_lie_beyond_two_errors_than_chance_allows(comparisons: list[Comparison]) -> None:
    beyond = sum(comparison.verdict is not Verdict.WITHIN for comparison in comparisons)
    assert beyond <= binom.ppf(0.95, len(comparisons), 0.0455)


def test_the_demonstration_is_no_unusual_sample_of_the_model(comparisons: list[Comparison]) -> None:
    known = np.array([c.demonstration_z for c in comparisons if np.isfinite(c.demonstration)])
    assert len(known) == len(comparisons)
    assert np.mean(np.abs(known) > 2.0) < 0.10


def test_a_figure_that_is_off_is_called_different(large: SyntheticCohort) -> None:
    figures = {figure.figure: figure for figure in load_figures()}
    patients = Patients(completed(large))
    for name, wrong in (("concurrent therapy", 0.60), ("age, mean (years)", 62.0)):
        value, spread = patients.measure(figures[name])
        off = replace(figures[name], published=wrong)
        assert abs(value - off.published) / (spread / np.sqrt(off.patients)) > 5.0


def test_figures_are_measured_as_they_say() -> None:
    frame = pd.DataFrame(
        {
            "sex": ["male", "female", "male", "male"],
            "age_years": [50.0, 60.0, 70.0, np.nan],
            "os_months": [10.0, 20.0, 50.0, 60.0],
            "death": [1.0, 0.0, 1.0, 0.0],
        }
    )

    def measured(where: str, what: str, kind: Kind) -> float:
        return Patients(frame).measure(Figure("", "", where, what, kind, 0.0, 4, ""))[0]

    assert measured("", "sex == 'male'", Kind.SHARE) == 0.75
    assert measured("sex == 'male'", "age_years", Kind.MEAN) == 60.0
    # One of four dies at month 10, one leaves at 20, one of the two left dies at 50: 3/4 until then, 3/8 after.
    assert measured("", "48", Kind.SURVIVAL) == pytest.approx(0.75)
    assert measured("", "55", Kind.SURVIVAL) == pytest.approx(0.375)
    assert np.isnan(measured("age_years > 90", "age_years", Kind.MEAN))


def test_the_page_names_every_figure(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "LARGE_PATIENTS", 6_000)
    monkeypatch.setattr(report, "EFFECT_PATIENTS", 100)
    page = tmp_path / "synthetic.md"
    assert report.main(["--out", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    for figure in load_figures():
        assert f"| {figure.figure} | {figure.patients} |" in text
    assert "No patient in it ever lived" in text
