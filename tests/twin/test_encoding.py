import numpy as np
import pandas as pd
import pytest

from data.cohort import typed_frame
from data.dictionary import load_specification
from twin.models.encoding import CategoryInput, Encoding, NumberInput
from twin.state import Known

SPEC = load_specification()
NAN = float("nan")


def known(**columns: list) -> Known:
    return Known(SPEC, "decision_ic", typed_frame(pd.DataFrame(columns), SPEC))


def test_a_number_is_centred_over_two_standard_deviations() -> None:
    cohort = known(age_years=[50.0, 60.0, 70.0, 80.0])
    encoding = Encoding.fit(cohort)
    assert encoding.names == ("age_years",)
    values = encoding.encode(cohort)[:, 0]
    assert values.mean() == pytest.approx(0)
    assert values.std() == pytest.approx(0.5)


def test_a_number_with_two_values_is_an_indicator() -> None:
    values = Encoding.fit(known(tnm_edition=[7.0, 8.0, 8.0, 8.0])).encode(known(tnm_edition=[7.0, 8.0]))[:, 0]
    np.testing.assert_allclose(values, [-0.75, 0.25])


def test_a_missing_number_counts_as_the_average_and_says_that_it_is_missing() -> None:
    encoding = Encoding.fit(known(pack_years=[0.0, 10.0, 20.0, NAN]))
    assert encoding.names == ("pack_years", "pack_years not recorded")
    np.testing.assert_allclose(encoding.encode(known(pack_years=[NAN, 10.0])), [[0.0, 0.75], [0.0, -0.25]])


def test_a_number_that_the_cohort_always_has_counts_as_the_average_where_it_is_missing() -> None:
    encoding = Encoding.fit(known(age_years=[50.0, 70.0, 65.0]))
    assert encoding.encode(known(age_years=[NAN])).tolist() == [[0.0]]
    assert encoding.encode(known(sex=["male"])).tolist() == [[0.0]]


def test_the_most_frequent_level_is_the_reference_and_unknown_is_missing() -> None:
    encoding = Encoding.fit(known(hpv_status=["positive"] * 5 + ["unknown", None, None] + ["negative"] * 2))
    assert encoding.names == ("hpv_status negative", "hpv_status not recorded")
    rows = encoding.encode(known(hpv_status=["positive", "unknown", None, "negative"]))
    np.testing.assert_allclose(rows, np.array([[0, 0], [0, 1], [0, 1], [1, 0]]) - np.array([0.2, 0.3]), atol=1e-12)


def test_not_recorded_is_never_the_reference() -> None:
    """Then a level that is guessed for a patient would be a departure from being unknown."""
    encoding = Encoding.fit(known(hpv_status=["unknown"] * 8 + ["positive", "negative", "negative"]))
    assert encoding.names == ("hpv_status positive", "hpv_status not recorded")
    assert encoding.indicates_missing.tolist() == [False, True]


def test_columns_of_the_matrix_are_found_by_their_source_and_indicators_of_gaps_are_told_apart() -> None:
    cohort = known(
        age_years=[50.0, 60.0, 70.0], pack_years=[0.0, 20.0, NAN], t_stage=["T1", "T2", "T3"], ecog=[1.0, NAN, 1.0]
    )
    encoding = Encoding.fit(cohort)
    at = {name: encoding.names[place] for name, place in encoding.positions.items()}
    assert at["pack_years"] == ("pack_years", "pack_years not recorded")
    assert at["ecog"] == ("ecog not recorded",)
    assert set(at["t_stage"]) == {"t_stage T2", "t_stage T3"}
    assert sum(map(len, at.values())) == len(encoding.names)
    told = dict(zip(encoding.names, encoding.indicates_missing.tolist(), strict=True))
    assert [name for name, missing in told.items() if missing] == ["ecog not recorded", "pack_years not recorded"]


def test_a_level_that_the_cohort_never_saw_counts_as_the_average() -> None:
    encoding = Encoding.fit(known(t_stage=["T1", "T2", "T2"]))
    assert encoding.encode(known(t_stage=["T4", None])).tolist() == [[0.0], [0.0]]


def test_sums_stand_for_their_members() -> None:
    encoding = Encoding.fit(known(ln_ipsi_2a=[1.0, 1.0, 0.0], ln_ipsi_3=[0.0, 1.0, 0.0], ln_contra_2a=[1.0, 0.0, 0.0]))
    assert encoding.names == ("nodal_levels_ipsilateral", "nodal_levels_contralateral")
    entry = encoding.inputs[0]
    assert isinstance(entry, NumberInput)
    assert (entry.minimum, entry.maximum, entry.mean) == (0.0, 2.0, 1.0)


def test_a_sum_counts_what_is_recorded_and_is_missing_only_when_nothing_is() -> None:
    encoding = Encoding.fit(known(ln_ipsi_2a=[1.0, 1.0, 0.0, NAN], ln_ipsi_3=[NAN, 1.0, 0.0, NAN]))
    entry = encoding.inputs[0]
    assert isinstance(entry, NumberInput)
    assert (entry.mean, entry.missing_share) == (1.0, 0.25)


def test_what_does_not_vary_is_left_out() -> None:
    cohort = known(age_years=[60.0, 60.0], sex=["male", "male"], ecog=[NAN, NAN], hpv_status=[None, "unknown"])
    assert Encoding.fit(cohort).names == ()
    assert Encoding.fit(cohort).encode(cohort).shape == (2, 0)


def test_whether_a_constant_was_recorded_can_vary() -> None:
    assert Encoding.fit(known(ecog=[1.0, NAN, 1.0])).names == ("ecog not recorded",)


def test_roles_that_are_no_inputs_are_left_out() -> None:
    cohort = known(
        age_years=[50.0, 60.0, 70.0],
        race_ethnicity=["white", "black", "asian"],
        diagnosis_year=[2001.0, 2002.0, 2003.0],
        site_id=["a", "b", "c"],
        stage_group=["I", "II", "III"],
        patient_id=["1", "2", "3"],
    )
    assert Encoding.fit(cohort).names == ("age_years",)


def test_what_lies_outside_the_cohort_is_said() -> None:
    encoding = Encoding.fit(known(age_years=[50.0, 70.0, 60.0], t_stage=["T1", "T2", "T1"]))
    said = encoding.outside(known(age_years=[96.0, 60.0, NAN], t_stage=["T1", "T4", None]))
    assert said == [
        ("age_years 96 is outside the cohort's 50 to 70",),
        ("t_stage is T4, which nobody in the cohort is",),
        ("age_years is not recorded", "t_stage is not recorded"),
    ]


def test_levels_keep_their_shares() -> None:
    entry = Encoding.fit(known(sex=["male", "female", "male", "male"])).inputs[0]
    assert entry == CategoryInput("sex", ("male", "female"), (0.75, 0.25))
