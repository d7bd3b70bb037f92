"""What tests share: a small cohort made by hand, and a fresh store on each database."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from data.cohort import Cohort, typed_frame
from data.dictionary import load_specification
from data.schema import Specification
from data.store import Store

POSTGRES = os.environ.get("TWIN_TEST_POSTGRES", "postgresql+psycopg://postgres@127.0.0.1:5432/test")


@pytest.fixture(scope="session")
def spec() -> Specification:
    return load_specification()


@pytest.fixture
def small_cohort(spec: Specification) -> Cohort:
    """Six patients with what real tables have: gaps, text that looks like numbers, numbers that do not end."""
    values = pd.DataFrame(
        {
            "patient_id": ["P-1", "0007", "p_100%", "Zoë", "P-5", "6"],
            "age_years": [61.0, 55.5, 70.1, 1 / 3 + 60, 49.0, 82.0],
            "sex": ["male", "female", "male", "male", "female", "male"],
            "site_id": ["01", None, "north", "01", None, "1E5"],
            "pack_years": [0.0, 12.5, float("nan"), 30.0, 0.1 + 0.2, float("nan")],
            "hpv_status": ["positive", "unknown", "negative", None, "positive", "negative"],
            "t_stage": ["T1", "T2", "T4", "T3", "T0", "T2"],
            "n_stage": ["N1", "N2", "N0", "N2", "N1", "N3"],
            "induction_chemo": [0.0, 1.0, 0.0, 1.0, 0.0, float("nan")],
            "rt_dose_gy": [float("nan")] * 6,
            "os_months": [12.0, 60.25, 3.1, 24.000000000000004, 90.0, 7.5],
            "death": [1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
        }
    )
    return Cohort(spec, typed_frame(values, spec))


@cache
def _unreachable() -> str:
    engine = create_engine(POSTGRES, connect_args={"connect_timeout": 3})
    try:
        engine.connect().close()
    except OperationalError as error:
        return f"no PostgreSQL at {make_url(POSTGRES).render_as_string()}: {error.orig}".strip()
    finally:
        engine.dispose()
    return ""


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """URL of a schema of its own in PostgreSQL, dropped afterwards."""
    reason = _unreachable()
    if reason and os.environ.get("REQUIRE_POSTGRES") == "1":
        pytest.fail(f"REQUIRE_POSTGRES=1, and {reason}")
    if reason:
        pytest.skip(reason)
    schema = f"gemina_test_{uuid.uuid4().hex}"
    engine = create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        url = make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={schema}"})
        yield url.render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP SCHEMA IF EXISTS {schema} CASCADE"))
        engine.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database, once on SQLite and once on PostgreSQL."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An empty store on each database."""
    with Store.open(store_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def radcure_file() -> Path:
    """The public RADCURE training table, which is not part of the product."""
    folder = Path(os.environ.get("GEMINA_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    path = folder / "radcure_training.csv"
    if not path.is_file():
        pytest.skip(f"the RADCURE table is not at {path}; GEMINA_SHARED_DATA may name its folder")
    return path
