import numpy as np
import pandas as pd
import pytest
from fixtures.cohorts import at_baseline, structural_cohort
from pydantic import TypeAdapter

from data.cohort import typed_frame
from data.errors import WrongUsage
from data.schema import Specification
from twin import support
from twin.models.encoding import Encoding
from twin.record import decision_matrix
from twin.state import Known
from twin.support import FEWEST_TO_TELL, Support, SupportLevel, SupportModel

PLANS = np.array([[0.0], [1.0]])
BASELINE = "decision_ic"


def two_groups() -> SupportModel:
    """A hundred patients around 0 with plan 0, a hundred around 10 with plan 1."""
    rng = np.random.default_rng(0)
    inputs = np.vstack([rng.normal(0, 1, (100, 2)), rng.normal(10, 1, (100, 2))])
    return SupportModel.fit(inputs, np.repeat([0.0, 1.0], 100)[:, None])


def judge(at: float, outside: tuple[str, ...] = (), propensity: float = np.nan) -> list[Support]:
    return two_groups().judge(np.full((1, 2), at), PLANS, [outside], propensity=np.full((1, 2), propensity))[0]


def known(frame: pd.DataFrame, spec: Specification) -> Known:
    return Known.at(frame, spec, BASELINE)


class Clinic:
    """A synthetic cohort, and patients at its door."""

    def __init__(self) -> None:
        self.cohort = structural_cohort()
        self.spec = self.cohort.spec
        at_zero = known(self.cohort.frame, self.spec)
        self.encoding = Encoding.fit(at_zero)
        self.decisions = decision_matrix(self.spec, self.cohort.frame)
        self.model = SupportModel.fit(self.encoding.encode(at_zero), self.decisions, at_zero)

    def ordinary(self, **values: object) -> pd.DataFrame:
        """A patient in the middle of the cohort, with some values put in their place."""
        frame = at_baseline(self.cohort)
        distances = np.linalg.norm(self.model.inputs, axis=1)
        row = frame.iloc[[int(np.argmin(distances))]].astype(object).assign(**values)
        return typed_frame(row, self.spec)

    def judge(self, frame: pd.DataFrame, plan: str = "010") -> Support:
        digits = np.array([[float(digit) for digit in plan]])
        patient = known(frame, self.spec)
        return self.model.judge(self.encoding.encode(patient), digits, known=patient)[0][0]


@pytest.fixture(scope="module")
def clinic() -> Clinic:
    return Clinic()


def test_a_plan_that_patients_like_this_had_is_supported_and_another_is_not() -> None:
    declined, given = judge(0.0)
    assert (declined.level, declined.alike, declined.alike_with_plan) == (SupportLevel.SUPPORTED, 40, 40)
    assert (given.level, given.alike_with_plan) == (SupportLevel.UNSUPPORTED, 0)
    assert given.sentence == "0 of the 40 most alike patients had this plan."
    assert judge(10.0)[1].level is SupportLevel.SUPPORTED


def test_a_patient_unlike_the_cohort_is_unsupported_whatever_the_plan() -> None:
    far = judge(40.0)
    assert {found.level for found in far} == {SupportLevel.UNSUPPORTED}
    assert far[1].farther_than == 1.0
    assert "farther from the cohort than 100 % of its own patients" in far[1].reasons
    assert far[1].reasons[0].startswith("Input 1 40 is outside the cohort's ")


def test_an_ordinary_pair_of_values_that_do_not_go_together_is_unlike_the_cohort() -> None:
    rng = np.random.default_rng(3)
    first = rng.normal(size=300)
    inputs = np.column_stack([first, first + 0.1 * rng.normal(size=300)])
    along, across = SupportModel.fit(inputs, np.zeros((300, 1))).judge(
        np.array([[1.2, 1.2], [1.2, -1.2]]), PLANS[:1], [(), ()]
    )
    assert along[0].level is SupportLevel.SUPPORTED
    assert across[0].level is SupportLevel.UNSUPPORTED


def test_the_share_of_false_alarms_is_the_one_that_is_set() -> None:
    rng = np.random.default_rng(5)
    unlike, unusual = [], []
    for _ in range(6):
        mixing = rng.normal(size=(6, 6))
        model = SupportModel.fit(rng.normal(size=(300, 6)) @ mixing, np.zeros((300, 1)))
        found = model.judge(rng.normal(size=(1000, 6)) @ mixing, PLANS[:1])
        unlike += [of_plans[0].level is SupportLevel.UNSUPPORTED for of_plans in found]
        unusual += [of_plans[0].farther_than >= 0.95 for of_plans in found]
    # Between cohorts of 300 the share varies with a standard deviation of 0.8 %, in the mean of six with 0.3 %.
    assert np.mean(unlike) == pytest.approx(support.UNLIKE, abs=0.01)
    assert np.mean(unusual) == pytest.approx(support.UNUSUAL, abs=0.015)


def test_what_else_is_outside_is_at_most_thin_and_said() -> None:
    found = judge(0.0, ("the centre is new",))[0]
    assert found.level is SupportLevel.THIN
    assert found.reasons == ("the centre is new", "40 of the 40 most alike patients had this plan")


def test_a_plan_that_physicians_seldom_choose_is_thin_and_one_they_hardly_ever_choose_unsupported() -> None:
    levels = [judge(0.0, propensity=chance)[0].level for chance in (0.5, 0.049, 0.019)]
    assert levels == [SupportLevel.SUPPORTED, SupportLevel.THIN, SupportLevel.UNSUPPORTED]
    found = judge(0.0, propensity=0.019)[0]
    assert found.propensity == 0.019
    assert found.sentence.startswith("Physicians decide like this in 1.9 % of such patients; 40 of the 40")


def test_reasons_come_in_the_order_of_their_gravity() -> None:
    found = judge(0.0, ("the centre is new",), propensity=0.03)[1]
    assert found.reasons[0] == "0 of the 40 most alike patients had this plan"
    assert set(found.reasons[1:]) == {"the centre is new", "physicians decide like this in 3.0 % of such patients"}


def test_a_plan_that_the_cohorts_own_patients_had_is_not_called_unheard_of() -> None:
    inputs = np.random.default_rng(0).normal(size=(400, 2))
    rare = np.where(np.arange(400) < 40, 0.015, 0.5)
    model = SupportModel.fit(inputs, np.zeros((400, 1)), own_propensity=rare)
    at = np.zeros((1, 2))
    found = [model.judge(at, PLANS[:1], propensity=np.array([[chance]]))[0][0].level for chance in (0.015, 0.014)]
    assert found == [SupportLevel.THIN, SupportLevel.UNSUPPORTED]


def test_two_alike_patients_with_a_plan_are_enough_where_those_who_had_it_have_no_more() -> None:
    inputs = np.arange(300.0)[:, None]
    every_twentieth = (np.arange(300) % 20 == 0).astype(float)[:, None]
    model = SupportModel.fit(inputs, every_twentieth)
    assert (model.fewest_alike, two_groups().fewest_alike) == (2, support.TOO_FEW_ALIKE)
    of_two, of_none = model.judge(np.array([[150.0], [10000.0]]), PLANS[1:])
    assert of_two[0].level is SupportLevel.THIN
    assert of_none[0].level is SupportLevel.UNSUPPORTED


def test_patients_who_are_equally_near_count_in_full() -> None:
    angle = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    model = SupportModel.fit(np.column_stack([np.cos(angle), np.sin(angle)]), np.repeat([1.0, 0.0], [30, 170])[:, None])
    found = model.judge(np.zeros((1, 2)), PLANS[::-1])[0]
    assert [plan.effective_with_plan for plan in found] == pytest.approx([30.0, 170.0])


def test_patients_who_are_farther_count_for_less() -> None:
    # 20 at a distance of 1 and 80 at 3: the most alike are 20, the weight at 1 is exp(-2), that at 3 is exp(-18).
    inputs = np.repeat([1.0, 3.0], [20, 80])[:, None]
    found = SupportModel.fit(inputs, np.zeros((100, 1))).judge(np.zeros((1, 1)), PLANS[:1])[0][0]
    near, far = np.exp(-2.0), np.exp(-18.0)
    expected = (20 * near + 80 * far) ** 2 / (20 * near**2 + 80 * far**2)
    assert found.effective_with_plan == pytest.approx(expected, rel=1e-12)


def test_few_with_the_plan_are_thin() -> None:
    inputs = np.arange(200.0)[:, None]
    decisions = np.zeros((200, 1))
    decisions[97:102] = 1.0
    found = SupportModel.fit(inputs, decisions).judge(np.array([[100.0]]), PLANS)[0][1]
    assert found.level is SupportLevel.THIN
    assert found.sentence.startswith("5 of the 40 most alike patients had this plan (weighted by nearness as good as ")


def test_an_unfinished_plan_is_no_plan() -> None:
    model = SupportModel.fit(np.arange(50.0)[:, None], np.full((50, 1), np.nan))
    assert [found.alike_with_plan for found in model.judge(np.array([[25.0]]), PLANS)[0]] == [0, 0]


@pytest.mark.parametrize("patients", [1, 2, 5, FEWEST_TO_TELL - 1])
def test_a_cohort_that_is_too_small_to_tell_says_so(patients: int) -> None:
    model = SupportModel.fit(np.arange(float(patients))[:, None], np.zeros((patients, 1)))
    found = model.judge(np.zeros((1, 1)), PLANS[:1])[0][0]
    assert found.level is not SupportLevel.SUPPORTED
    assert f"the cohort's {patients} patients are too few to tell who is unlike them" in found.reasons


def test_a_large_cohort_is_represented_by_a_part_that_is_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(support, "MOST_STORED", 120)
    inputs = np.random.default_rng(2).normal(size=(500, 3))
    decisions = (inputs[:, :1] > 0).astype(float)
    one, other = SupportModel.fit(inputs, decisions), SupportModel.fit(inputs, decisions)
    assert one.inputs.shape == (120, 3)
    np.testing.assert_array_equal(one.inputs, other.inputs)
    np.testing.assert_array_equal(one.decisions, (one.inputs[:, :1] > 0).astype(float))
    assert one.judge(np.full((1, 3), 0.1), PLANS)[0][0].alike == 24


def test_an_ordinary_patient_is_supported(clinic: Clinic) -> None:
    found = clinic.judge(clinic.ordinary())
    assert found.level is SupportLevel.SUPPORTED
    assert (found.missing, len(found.reasons)) == ((), 1)


def test_what_is_missing_is_named_with_how_many_lack_it(clinic: Clinic) -> None:
    lack_hpv = (clinic.cohort.frame["hpv_status"].astype(object) == "unknown").mean()
    found = clinic.judge(clinic.ordinary(hpv_status="unknown"))
    assert found.missing == ("HPV or p16 status",)
    assert found.missing_share == pytest.approx(lack_hpv)
    assert found.level is SupportLevel.SUPPORTED


def test_a_gap_that_nobody_in_the_cohort_has_is_thin_and_no_worse(clinic: Clinic) -> None:
    assert not clinic.cohort.frame[["ecog", "smoking_status"]].isna().any(axis=None)
    found = clinic.judge(clinic.ordinary(ecog=np.nan, smoking_status=None))
    assert found.level is SupportLevel.THIN
    assert found.missing_share == 0
    assert found.sentence.startswith("Nobody in the cohort lacks ECOG performance status and Smoking status;")
    bare = clinic.ordinary()[["patient_id", "age_years", "sex", "t_stage", "n_stage"]]
    assert clinic.judge(bare).level is SupportLevel.THIN


def test_what_does_not_go_together_is_said_in_words_with_numbers(clinic: Clinic) -> None:
    frame = clinic.cohort.frame
    never = int((frame["smoking_status"] == "never").sum())
    expected = never * (frame["pack_years"] > 0).mean()
    found = clinic.judge(clinic.ordinary(smoking_status="never", pack_years=60.0))
    assert found.level is SupportLevel.UNSUPPORTED
    assert found.reasons[0] == (
        "Smoking exposure above 0 (here 60 pack-years) with Smoking status never: nobody in the cohort, "
        f"where {expected:.0f} would be by chance"
    )


def test_a_level_that_nobody_has_is_unlike_the_cohort_and_said(clinic: Clinic) -> None:
    found = clinic.judge(clinic.ordinary(t_stage="T0"))
    assert (found.level, found.reasons[0]) == (
        SupportLevel.UNSUPPORTED,
        "nobody in the cohort has Clinical T category T0",
    )
    # A column without variation enters no model, and still says that the patient is of another kind.
    assert (clinic.cohort.frame["tnm_edition"] == 8).all()
    old = clinic.judge(clinic.ordinary(tnm_edition=7.0))
    assert old.level is SupportLevel.UNSUPPORTED
    assert "nobody in the cohort has AJCC/UICC edition of T and N 7" in old.reasons


def test_a_value_just_beyond_the_range_is_thin_and_far_beyond_it_unsupported(clinic: Clinic) -> None:
    oldest = clinic.cohort.frame["age_years"].max()
    near, far = (clinic.judge(clinic.ordinary(age_years=oldest + years)) for years in (0.1, 20.0))
    assert far.level is SupportLevel.UNSUPPORTED
    assert near.level is not SupportLevel.SUPPORTED
    youngest = clinic.cohort.frame["age_years"].min()
    assert f"Age at diagnosis {oldest + 20:g} years is outside the cohort's {youngest:g} to {oldest:g}" in far.reasons


def test_words_are_those_of_the_specification(clinic: Clinic) -> None:
    strange = clinic.ordinary(
        subsite="pharyngeal_wall", bilateral_primary=1.0, pack_years=190.0, ecog=4.0, hpv_status="unknown", grade=None
    )
    found = clinic.judge(strange)
    for column in clinic.spec.columns:
        assert "_" not in column.name or column.name not in found.sentence
    assert "nobody in the cohort has Oropharynx subsite pharyngeal wall" in found.reasons


def test_states_that_were_not_seen_are_no_gap(clinic: Clinic) -> None:
    later = Known.at(clinic.cohort.frame, clinic.spec, "decision_cc")
    encoding = Encoding.fit(later)
    model = SupportModel.fit(encoding.encode(later), clinic.decisions, later)
    declined = clinic.cohort.frame[clinic.cohort.frame["induction_chemo"] == 0].iloc[[0]]
    patient = Known.at(declined, clinic.spec, "decision_cc")
    found = model.judge(encoding.encode(patient), np.array([[0.0, 1.0, 0.0]]), known=patient)[0][0]
    assert not any("induction" in label for label in found.missing)


def test_patients_come_in_the_form_that_the_cohort_came_in(clinic: Clinic) -> None:
    patient = known(clinic.ordinary(), clinic.spec)
    with pytest.raises(WrongUsage, match="another form"):
        clinic.model.judge(clinic.encoding.encode(patient), np.array([[0.0, 1.0, 0.0]]))
    with pytest.raises(WrongUsage, match="another form"):
        two_groups().judge(np.zeros((1, 2)), PLANS, known=patient)


def test_it_is_plain_data_without_identifiers_and_comes_back_the_same(clinic: Clinic) -> None:
    adapter = TypeAdapter(SupportModel)
    stored = adapter.dump_python(clinic.model)
    assert clinic.cohort.frame["patient_id"].iloc[0] not in repr(stored)
    patient = known(clinic.ordinary(smoking_status="never", pack_years=60.0), clinic.spec)
    arguments = clinic.encoding.encode(patient), np.array([[0.0, 1.0, 0.0]])
    again = adapter.validate_python(stored).judge(*arguments, known=patient)
    assert again[0][0].reasons == clinic.model.judge(*arguments, known=patient)[0][0].reasons
