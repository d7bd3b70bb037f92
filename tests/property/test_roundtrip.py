"""Export then import gives the same cohort, whatever it holds; and no damage to a file ever raises."""

from __future__ import annotations

import csv
import functools
import io
import random

import numpy as np
import pandas as pd
import pytest
from fixtures.bad_files import GOOD, with_columns
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.cells import FORMULA_STARTS, MISSING_TOKENS
from data.cohort import Cohort, TimeZero, content_digest, typed_frame
from data.dictionary import load_specification
from data.export import cohort_csv
from data.importing import check_source
from data.schema import UNKNOWN, Column, ColumnType, Specification
from data.suggestion.suggest import suggest_mapping_for_source

SPEC = load_specification()

# Text as import leaves it: trimmed, not one of the spellings of a missing cell, no NUL.
AWKWARD = st.builds(
    lambda start, rest: start + rest,
    st.sampled_from(["'", "''", *FORMULA_STARTS, '"', ","]),
    st.text("a'=,\"\r\n;#", max_size=8),
)
TEXT = (
    (st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=12) | AWKWARD)
    .map(str.strip)
    .filter(lambda text: text and text.casefold() not in MISSING_TOKENS | {UNKNOWN})
)

REQUIRED = {column.name for column in SPEC.columns if column.required}


def _values(column: Column) -> st.SearchStrategy[object]:
    if column.type is ColumnType.STRING:
        return TEXT
    if column.type is ColumnType.FLAG:
        return st.sampled_from([0.0, 1.0])
    if column.levels:
        return st.sampled_from([float(v) for v in column.levels] if column.is_numeric else list(column.levels))
    if column.type is ColumnType.INTEGER:
        return st.integers(int(column.minimum or 0), int(column.maximum or 0)).map(float)
    return st.floats(column.minimum, column.maximum)


@st.composite
def cohorts(draw: st.DrawFn) -> Cohort:
    """Cohorts without contradictions: only columns that no rule of the specification relates to others."""
    free = (
        "age_years",
        "sex",
        "site_id",
        "race_ethnicity",
        "pack_years",
        "t_stage",
        "n_stage",
        "grade",
        "rt_fractions",
    )
    size = draw(st.integers(1, 5))
    columns = [SPEC.column(name) for name in (*free, "os_months", "death", "feeding_tube_6m")]
    data: dict[str, list[object]] = {
        "patient_id": draw(
            st.lists(TEXT.filter(lambda t: "@" not in t), min_size=size, max_size=size, unique=True).filter(_no_numbers)
        )
    }
    for column in columns:
        cell = _values(column) if column.name in REQUIRED else st.none() | _values(column)
        data[column.name] = draw(st.lists(cell, min_size=size, max_size=size))
    recorded = {name: cells for name, cells in data.items() if any(cell is not None for cell in cells)}
    frame = typed_frame(pd.DataFrame(recorded, dtype=object), SPEC)
    return Cohort(SPEC, frame, draw(st.sampled_from(TimeZero)), synthetic=draw(st.booleans()))


def _no_numbers(identifiers: list[str]) -> bool:
    """Long numbers alone are record numbers, which import stops by design."""
    return not any(sum(sign.isdigit() for sign in identifier) > 6 for identifier in identifiers)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(cohorts())
def test_export_then_import_gives_the_same_cohort(cohort: Cohort) -> None:
    checked = check_source(cohort_csv(cohort), "export.csv", SPEC)
    assert checked.cohort is not None, [str(finding) for finding in checked.report.findings]
    # Nothing may be lost or altered: neither a digit, nor a gap, nor a leading zero, nor the order of patients.
    pd.testing.assert_frame_equal(checked.cohort.frame, cohort.frame, check_exact=True)
    assert checked.report.digest == content_digest(cohort.frame, SPEC)
    assert (checked.cohort.time_zero, checked.cohort.synthetic) == (cohort.time_zero, cohort.synthetic)


@given(TEXT)
def test_no_exported_text_starts_a_formula(text: str) -> None:
    frame = typed_frame(pd.DataFrame({"patient_id": [text], "os_months": [-0.0]}), SPEC)
    written = cohort_csv(Cohort(SPEC, frame)).decode().split("\r\n", 1)[1]
    _, [cell, _] = csv.reader(io.StringIO(written, newline=""))
    assert cell[0] not in FORMULA_STARTS


SEEDS = (
    GOOD,
    GOOD.replace(b",", b";"),
    with_columns(lrf_months="20", locoregional_failure="1", site_id="=1", stage_group="IV", tnm_edition="7"),
    b"\xef\xbb\xbf# gemina: synthetic=1 time_zero=diagnosis spec=oropharynx\n" + GOOD,
)


@functools.cache
def _alphabet() -> bytes:
    return bytes(range(256)) + b",;\t\"\r\n#'=" * 8


def _mutated(content: bytes, rng: random.Random) -> bytes:
    mutated = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(mutated) + 1)
        action = rng.choice(("insert", "delete", "replace", "repeat"))
        if action == "insert":
            mutated.insert(at, rng.choice(_alphabet()))
        elif action == "delete":
            del mutated[at : at + rng.randint(1, 9)]
        elif action == "replace" and at < len(mutated):
            mutated[at] = rng.choice(_alphabet())
        else:
            mutated[at:at] = mutated[at : at + rng.randint(1, 40)]
    return bytes(mutated)


@pytest.mark.parametrize("seed", range(200))
def test_damage_never_raises_and_never_shifts_a_cell(seed: int, spec: Specification) -> None:
    rng = random.Random(seed)  # noqa: S311 - damage, not secrets
    content = _mutated(rng.choice(SEEDS), rng)
    checked = check_source(content, "damaged.csv", spec, skip_bad_rows=rng.random() < 0.5)
    suggest_mapping_for_source(content, "damaged.csv", spec)
    assert checked.report.exit in (0, 1, 2, 3)
    assert (checked.cohort is None) == (checked.report.exit in (1, 2))
    if checked.cohort is not None:
        # A cell of another column would be outside these levels: what was kept stands where it belongs.
        frame = checked.cohort.frame
        assert frame["sex"].isin(["male", "female"]).all()
        assert frame["death"].isin([0.0, 1.0]).all()
        assert np.isfinite(frame["os_months"]).all()
