"""Bends and products against functions that they must be able to follow."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data.cohort import typed_frame
from data.dictionary import load_specification
from data.schema import Specification
from twin.models.basis import BEND, FEWEST_VALUES, MAIN, PRODUCT, Basis
from twin.models.encoding import Encoding
from twin.models.hazard import CoxLikelihood, Episodes
from twin.models.posterior import CoxProblem, posterior
from twin.state import Known

PAIRS = ("age_years", "hpv_status", "t_stage")
SPEC = replace(load_specification(), interacting=PAIRS)


def learnt(spec: Specification = SPEC, patients: int = 400, **changed: object) -> tuple[Basis, Encoding, np.ndarray]:
    """Basis, encoding and inputs of a cohort with two numbers, a flag and three categories."""
    rng = np.random.default_rng(0)
    columns = {
        "age_years": rng.normal(60, 10, patients).clip(20, 100),
        "sex": rng.choice(["male", "female"], patients),
        "ecog": rng.integers(0, 3, patients).astype(float),
        "hpv_status": rng.choice(["positive", "negative"], patients),
        "t_stage": rng.choice(["T1", "T2", "T3"], patients),
        **changed,
    }
    known = Known(spec, "decision_ic", typed_frame(pd.DataFrame(columns), spec))
    encoding = Encoding.fit(known)
    inputs = encoding.encode(known)
    return Basis.learn(encoding, inputs, spec), encoding, inputs


def test_a_number_bends_at_its_quartiles_and_nothing_else_does() -> None:
    basis, encoding, inputs = learnt()
    bends = [name for name in basis.names if "bend" in name]
    assert bends == ["age_years, bend 1", "age_years, bend 2", "age_years, bend 3"]
    age = inputs[:, encoding.names.index("age_years")]
    np.testing.assert_allclose(basis.knots, np.quantile(age, [0.25, 0.5, 0.75]))


@pytest.mark.parametrize(("distinct", "bends"), [(FEWEST_VALUES - 1, 0), (FEWEST_VALUES, 3)])
def test_a_number_with_few_values_is_not_bent(distinct: int, bends: int) -> None:
    basis, _, _ = learnt(age_years=50.0 + np.arange(400) % distinct)
    assert len(basis.bent) == bends


def test_a_knot_at_the_edge_of_the_values_would_be_a_copy_and_is_left_out() -> None:
    """Most have never smoked: the lower quartiles are the smallest value itself."""
    years = np.concatenate([np.zeros(240), np.arange(160.0)])
    basis, _, inputs = learnt(pack_years=years)
    smoked = [name for name in basis.names if name.startswith("pack_years, bend")]
    assert smoked == ["pack_years, bend 1"]
    columns = basis.expand(inputs)
    assert np.linalg.matrix_rank(np.column_stack([np.ones(400), columns])) == columns.shape[1] + 1


def test_products_are_of_the_pairs_that_the_specification_names() -> None:
    basis, _, inputs = learnt()
    named = {name for name in basis.names if " x " in name}
    assert named == {
        f"{one} x {other}"
        for one, other in [
            ("age_years", "hpv_status negative"),
            ("age_years", "hpv_status positive"),
            *(("age_years", f"t_stage {t}") for t in ("T1", "T2", "T3")),
            *((f"hpv_status {h}", f"t_stage {t}") for h in ("positive", "negative") for t in ("T1", "T2", "T3")),
        ]
        if {one, other} <= set(learnt()[1].names)
    }
    assert len(named) == 1 + 2 + 2
    columns = dict(zip(basis.names, basis.expand(inputs).T, strict=True))
    for name in named:
        one, other = name.split(" x ")
        np.testing.assert_array_equal(columns[name], columns[one] * columns[other])


def test_the_inputs_come_first_as_they_are_and_copies_are_expanded_alike() -> None:
    basis, encoding, inputs = learnt()
    assert basis.names[: len(encoding.names)] == encoding.names
    assert len(set(basis.names)) == len(basis.names) == basis.expand(inputs).shape[1]
    np.testing.assert_array_equal(basis.expand(inputs)[:, : inputs.shape[1]], inputs)
    np.testing.assert_array_equal(basis.expand(np.stack([inputs, -inputs]))[1], basis.expand(-inputs))


def test_a_plain_basis_is_the_inputs() -> None:
    _, encoding, inputs = learnt()
    plain = Basis.plain(encoding)
    np.testing.assert_array_equal(plain.expand(inputs), inputs)
    assert plain.scale.tolist() == [MAIN] * inputs.shape[1]


def test_departures_from_a_straight_line_and_from_additivity_are_expected_to_be_smaller() -> None:
    basis, encoding, _ = learnt()
    said = [BEND if "bend" in name else PRODUCT if " x " in name else MAIN for name in basis.names]
    assert said.count(MAIN) == len(encoding.names)
    assert basis.scale.tolist() == said
    assert MAIN > BEND > PRODUCT > 0


def test_bends_follow_any_broken_line_between_the_knots() -> None:
    """What is linear between quartiles is a combination of the columns, whatever its slopes."""
    basis, encoding, inputs = learnt()
    age = encoding.names.index("age_years")
    columns = np.column_stack([np.ones(400), basis.expand(inputs)])
    broken = np.interp(inputs[:, age], [-3.0, *basis.knots, 3.0], [1.0, -0.5, 2.0, 2.0, -1.0])
    coefficients = np.linalg.lstsq(columns, broken, rcond=None)[0]
    np.testing.assert_allclose(columns @ coefficients, broken, atol=1e-9)
    straight = np.column_stack([np.ones(400), Basis.plain(encoding).expand(inputs)])
    residual = broken - straight @ np.linalg.lstsq(straight, broken, rcond=None)[0]
    assert residual.std() > 0.3


def test_a_threshold_and_an_interaction_are_learnt_where_a_plain_model_cannot() -> None:
    """The log hazard rises after age 60 only, and twice as steeply in HPV-negative patients: known for everybody."""
    basis, encoding, inputs = learnt(patients=1500)
    rng = np.random.default_rng(1)
    age = inputs[:, encoding.names.index("age_years")]
    level = next(name for name in encoding.names if name.startswith("hpv_status"))
    negative = inputs[:, encoding.names.index(level)] > 0
    truth = 1.6 * np.maximum(age, 0.0) * np.where(negative, 2.0, 0.5)
    stop = rng.exponential(np.exp(-truth))
    order = np.argsort(stop)
    errors = []
    for form in (basis, Basis.plain(encoding)):
        columns = form.expand(inputs)
        data = Episodes(columns[order], np.zeros(1500), stop[order], np.ones(1500, dtype=bool), order)
        problem = CoxProblem(CoxLikelihood(data, np.ones(1500)), np.zeros((1500, 0)))
        found = columns @ posterior([problem], form.scale, np.zeros((21, 0)), rng).coefficients[0]
        errors.append((found - truth - (found - truth).mean()).std())
    assert errors[0] < 0.25
    assert errors[1] > 2 * errors[0]
