"""What holds for every patient, plan and month, whatever the model says."""

import numpy as np
import pytest
from fixtures.cohorts import structural_twin
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dictionary import load_specification
from data.schema import UNKNOWN, ColumnType
from twin.curve import BeyondFollowUp
from twin.models.outcome import cells, risks
from twin.record import PatientRecord
from twin.timeline import effect_months, plan_digits

SPEC = load_specification()
OUTCOMES_FROM = SPEC.rank("outcome")


def values_of(column) -> st.SearchStrategy:
    if column.type is ColumnType.CATEGORY:
        return st.sampled_from(column.levels)
    if column.type is ColumnType.FLAG:
        return st.sampled_from([0.0, 1.0])
    if column.levels:
        return st.sampled_from([float(level) for level in column.levels])
    if column.type is ColumnType.INTEGER:
        return st.integers(int(column.minimum), int(column.maximum)).map(float)
    return st.floats(column.minimum, column.maximum)


FILLABLE = [
    column for column in SPEC.columns if SPEC.rank(column.available_from) < OUTCOMES_FROM and not column.identifier
]
PATIENTS = st.fixed_dictionaries(
    {}, optional={c.name: values_of(c) for c in FILLABLE if c.type is not ColumnType.STRING}
)
MONTHS = st.lists(st.floats(0.0, 80.0), min_size=1, max_size=12).map(lambda months: sorted({0.0, *months}))
PLAN = st.integers(0, 7)

STANDARD = {
    "age_years": 61.0,
    "sex": "male",
    "ecog": 1.0,
    "smoking_status": "former",
    "pack_years": 12.0,
    "hpv_status": "positive",
    "subsite": "tonsil",
    "bilateral_primary": 0.0,
    "t_stage": "T2",
    "n_stage": "N1",
    "tnm_edition": 8.0,
    "grade": "2",
    "aspiration_baseline": 0.0,
}
"""A patient of whom everything that can be guessed is known"""

SLOWLY = settings(max_examples=30, deadline=None)


def asked(values: dict, choice: int) -> tuple[PatientRecord, str]:
    patient = PatientRecord(SPEC, values)
    plans = structural_twin().plans_for(patient)
    return patient, plans[choice % len(plans)]


def curve_ends(patient: PatientRecord, plan: str) -> np.ndarray:
    """(outcomes,) risk of each outcome, by month 60 or when it is judged."""
    answer = structural_twin().answer(patient, (plan,), [60.0])
    timed = [curve.risk[0] for curve in answer.curves(plan).values()]
    return np.array([*timed, *(estimate.value for estimate in answer.probabilities(plan).values())])


@given(values=PATIENTS, choice=PLAN, months=MONTHS)
@SLOWLY
def test_risks_are_probabilities_that_rise_from_nothing(values: dict, choice: int, months: list[float]) -> None:
    patient, plan = asked(values, choice)
    for curve in structural_twin().curves(patient, plan, months).values():
        # The probability of an event by t: none by time 0, and events do not undo themselves.
        assert curve.risk[0] == 0
        assert (np.diff(curve.risk) >= 0).all()
        assert (curve.risk <= 1).all()
        # The interval is around the risk, and itself made of probabilities.
        assert ((curve.lower >= 0) & (curve.lower <= curve.risk)).all()
        assert ((curve.risk <= curve.upper) & (curve.upper <= 1)).all()


@given(values=PATIENTS, choice=PLAN)
@SLOWLY
def test_probabilities_of_binary_outcomes_lie_within_their_intervals(values: dict, choice: int) -> None:
    patient, plan = asked(values, choice)
    for estimate in structural_twin().binary(patient, plan).values():
        assert 0 <= estimate.lower <= estimate.value <= estimate.upper <= 1


@given(values=PATIENTS, choice=PLAN, months=MONTHS)
@SLOWLY
def test_failure_and_what_forestalls_it_leave_room_for_survival(values: dict, choice: int, months: list[float]) -> None:
    """A patient fails first, dies first, or neither: the three probabilities of each draw add up to 1."""
    patient, plan = asked(values, choice)
    marginal = structural_twin().marginal
    patients = marginal.patients(marginal.known(patient.to_frame(), SPEC))
    rows, digits, at = marginal.rows(patients), plan_digits(SPEC, plan)[None, :], np.array(months)
    edges = cells(np.zeros(1), effect_months(SPEC, digits), at, 0.0)
    read = np.searchsorted(edges, at)
    for name in ("locoregional_failure", "distant_failure"):
        event, rival = marginal.increments(SPEC, name, patients, digits, edges)
        assert rival is not None
        failed, died = risks(event, rival, read, rows), risks(rival, event, read, rows)
        total = np.cumsum(event[0] + rival[0], axis=-1)
        free = np.exp(-np.concatenate([np.zeros((*total.shape[:-1], 1)), total], axis=-1)[..., read])
        np.testing.assert_allclose(failed + died + rows.collapsed(free)[:, :, None], 1.0, rtol=1e-10)
        # Without its rival a failure could only be more likely.
        assert (failed <= risks(event, None, read, rows) + 1e-12).all()


@given(values=PATIENTS, choice=PLAN, beyond=st.floats(1e-6, 1e6))
@settings(max_examples=10, deadline=None)
def test_no_risk_is_told_past_the_last_follow_up(values: dict, choice: int, beyond: float) -> None:
    twin = structural_twin()
    patient, plan = asked(values, choice)
    with pytest.raises(BeyondFollowUp):
        twin.curves(patient, plan, [0.0, max(twin.domain_end(name) for name in twin.marginal.hazards) + beyond])
    assert twin.curves(patient, plan, [0.0, twin.last_month])["death"].risk[1] <= 1


@given(values=PATIENTS, choice=PLAN, months=MONTHS)
@SLOWLY
def test_a_risk_does_not_depend_on_the_other_months_asked_for(values: dict, choice: int, months: list[float]) -> None:
    """Hazards stay the same within a cell: cutting one changes no probability, but for events of the very first day."""
    patient, plan = asked(values, choice)
    together = structural_twin().curves(patient, plan, months)
    alone = structural_twin().curves(patient, plan, months[-1:])
    for name, curve in together.items():
        assert curve.risk[-1] == pytest.approx(alone[name].risk[0], rel=1e-9, abs=1e-5)


@given(values=PATIENTS, choice=PLAN, column=st.sampled_from(["hpv_status", "smoking_status", "t_stage", "ecog"]))
@SLOWLY
def test_forgetting_a_value_gives_a_risk_between_those_of_its_values(values: dict, choice: int, column: str) -> None:
    """Not known is a mixture of what it may be, as far as one value is missing and the others are known."""
    own = {name: value for name, value in values.items() if name in STANDARD and value != UNKNOWN}
    patient, plan = asked({**STANDARD, **own}, choice)
    levels = [float(k) for k in range(5)] if column == "ecog" else [*SPEC.column(column).levels]
    told = [patient.with_value(column, level) for level in levels if level != UNKNOWN]
    risks_told = np.stack([curve_ends(record, plan) for record in told])
    forgotten = curve_ends(patient.with_value(column, None), plan)
    assert (forgotten >= risks_told.min(axis=0) - 1e-9).all()
    assert (forgotten <= risks_told.max(axis=0) + 1e-9).all()


@given(values=PATIENTS, choice=PLAN)
@SLOWLY
def test_support_always_has_a_level_and_a_reason(values: dict, choice: int) -> None:
    patient, plan = asked(values, choice)
    support = structural_twin().support(patient, plan)
    assert support.reasons
    assert 0 <= support.farther_than <= 1
