"""A real, dirty cohort: what is suggested unaided, and what a mapping edited by hand brings in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.cohort import TimeZero
from data.findings import Severity
from data.importing import Checked, check_source
from data.mapping.model import Mapping, load_mapping
from data.schema import Specification
from data.suggestion.suggest import Suggestion, suggest_mapping_for_source

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("GEMINA_SHARED_DATA", ROOT.parent / "shared" / "data"))
RADCURE = SHARED / "radcure_training.csv"
MAPPING = ROOT / "tests" / "fixtures" / "radcure_mapping.json"
IN_SITU_ROW = 1003

pytestmark = pytest.mark.skipif(
    not RADCURE.is_file(), reason=f"the RADCURE table is not at {RADCURE}; GEMINA_SHARED_DATA may name its folder"
)

RIGHT_COLUMNS = {
    "patient_id": "patient_id", "Age": "age_years", "Sex": "sex", "ECOG PS": "ecog", "Smoking PY": "pack_years",
    "Smoking Status": "smoking_status", "Subsite": "subsite", "T": "t_stage", "N": "n_stage", "Stage": "stage_group",
    "HPV": "hpv_status", "Chemo": "concurrent_chemo", "Dose": "rt_dose_gy", "Fx": "rt_fractions", "Status": "death",
    "Cause of Death": "cause_of_death",
}  # fmt: skip
USABLE = {*RIGHT_COLUMNS, "Length FU", "Distant", "Ds Site"}
"""What holds a canonical column or the disease; Local and Regional make one only together."""

RIGHT_VALUES = {
    "ecog": {"ECOG 0": "0", "ECOG 4": "4"},
    "t_stage": {"T4a": "T4", "T4b": "T4", "T2 (2)": "T2"},
    "n_stage": {"N2b": "N2"},
    "stage_group": {"IVA": "IV"},
    "smoking_status": {"Ex-smoker": "former", "Non-smoker": "never"},
    "hpv_status": {"Yes, positive": "positive", "Yes, Negative": "negative"},
    "concurrent_chemo": {"none": "0"},
    "death": {"Dead": "1", "Alive": "0"},
    "subsite": {"Base of Tongue": "base_of_tongue", "Tonsillar Fossa": "tonsil", "Soft Palate": "soft_palate"},
    "cause_of_death": {"Index Cancer": "index_cancer", "Other Cancer (Lung)": "other"},
}


@pytest.fixture(scope="module")
def content() -> bytes:
    return RADCURE.read_bytes()


@pytest.fixture(scope="module")
def suggestion(content: bytes, spec: Specification) -> Suggestion:
    return suggest_mapping_for_source(content, "radcure.csv", spec)


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return load_mapping(MAPPING.read_bytes(), MAPPING.name)


@pytest.fixture(scope="module")
def checked(content: bytes, spec: Specification, mapping: Mapping) -> Checked:
    return check_source(content, "radcure.csv", spec, mapping, skip_bad_rows=True)


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return pd.read_csv(RADCURE, dtype=str, keep_default_na=False)


def test_most_usable_columns_are_suggested_right_and_none_wrong(suggestion: Suggestion) -> None:
    assert suggestion.mapping is not None
    assert suggestion.mapping.filter == {"Ds Site": ("Oropharynx",)}
    suggested = suggestion.mapping.columns
    assert suggested.items() <= RIGHT_COLUMNS.items()
    assert (len(suggested) + 1) / len(USABLE) >= 0.8


@pytest.mark.parametrize("target", RIGHT_VALUES)
def test_spellings_are_suggested_right(suggestion: Suggestion, target: str) -> None:
    assert suggestion.mapping is not None
    assert suggestion.mapping.values[target].items() >= RIGHT_VALUES[target].items()


def test_what_is_not_sure_is_asked(suggestion: Suggestion) -> None:
    assert suggestion.mapping is not None
    asked = {question.column: question for question in suggestion.mapping.unresolved}
    assert suggestion.exit == 3
    assert "without a unit" in asked["Length FU"].reason
    assert "empty cell could mean no" in asked["Distant"].reason
    assert asked["Local"].candidates == asked["Regional"].candidates == ("locoregional_failure",)
    assert "'Tis' x 1" in asked["T"].reason


def test_all_oropharynx_patients_but_the_one_in_situ_are_kept(checked: Checked, raw: pd.DataFrame) -> None:
    report = checked.report
    assert (report.exit, report.rows, report.kept, report.left_out_rows) == (3, 776, 775, (IN_SITU_ROW,))
    assert raw["T"][IN_SITU_ROW - 2] == "Tis"
    errors = {(f.row, f.column, f.got) for f in report.findings if f.severity is Severity.ERROR}
    assert errors == {(IN_SITU_ROW, "T", "'Tis'"), (IN_SITU_ROW, "Stage", "'0'")}


def test_a_strict_import_is_refused_because_of_that_one(content: bytes, spec: Specification, mapping: Mapping) -> None:
    strict = check_source(content, "radcure.csv", spec, mapping)
    assert (strict.report.exit, strict.report.kept, strict.cohort) == (1, 0, None)


def test_the_values_are_those_of_the_source(checked: Checked, raw: pd.DataFrame) -> None:
    """Read a second time with pandas alone: months, counts and levels agree patient by patient."""
    assert checked.cohort is not None
    frame = checked.cohort.frame.set_index("patient_id")
    source = raw[(raw["Ds Site"] == "Oropharynx") & (raw["T"] != "Tis")].set_index("patient_id")
    assert list(frame.index) == list(source.index)
    np.testing.assert_allclose(frame["os_months"], source["Length FU"].astype(float) * 12)
    assert (frame["t_stage"].astype(str) == source["T"].str[:2]).all()
    assert (frame["n_stage"].astype(str) == source["N"].str[:2]).all()
    assert (frame["death"] == (source["Status"] == "Dead")).all()
    failed = (source["Local"] != "") | (source["Regional"] != "")
    assert (frame["locoregional_failure"] == failed).all()
    assert (frame["distant_failure"] == (source["Distant"] == "Yes")).all()
    assert set(frame["tnm_edition"]) == {7.0}
    assert checked.cohort.time_zero is TimeZero.DIAGNOSIS


def test_failures_are_timed_by_the_earlier_date_and_lie_within_the_follow_up(
    checked: Checked, raw: pd.DataFrame
) -> None:
    assert checked.cohort is not None
    frame = checked.cohort.frame.set_index("patient_id")
    source = raw.set_index("patient_id").loc[frame.index]
    dates = source[["Date Local", "Date Regional", "RT Start"]].apply(pd.to_datetime, format="%m/%d/%Y")
    months = (dates[["Date Local", "Date Regional"]].min(axis=1) - dates["RT Start"]).dt.days / 30.4375
    expected = months.fillna(frame["os_months"])
    np.testing.assert_allclose(frame["lrf_months"], expected)
    assert (frame["os_months"] >= frame["lrf_months"]).all()
    assert (frame["os_months"] >= frame["df_months"]).all()


def test_what_is_doubtful_in_the_times_is_said(checked: Checked) -> None:
    counts = checked.report.counts
    # Persistent disease is dated at the start of radiotherapy; two origins of time are mixed by the mapping.
    assert counts["event_at_time_zero"] == 26
    assert counts["two_origins_of_time"] == 2
    assert counts["stage_group_disagrees"] == 1
