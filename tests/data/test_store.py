from __future__ import annotations

import dataclasses
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine, event, text

from data.cohort import Cohort, TimeZero, content_digest, typed_frame
from data.dictionary import load_specification
from data.errors import Conflict, DamagedArtefact, NotFound, Refused, WrongUsage
from data.schema import ColumnType, Specification
from data.store import cohorts as stored_cohorts
from data.store.database import Database
from data.store.store import CohortSummary, Store
from data.store.tables import Base

MAPPING = {"columns": {"Age": "age_years"}, "values": {"sex": {"m": "male"}}, "time_zero": "diagnosis"}
REPORT = {"file": "a.csv", "exit": 3, "rows": 7, "kept": 6, "counts": {"Übergröße": 1}}


def bring(store: Store, cohort: Cohort, name: str = "demo", **options: Any) -> CohortSummary:
    return store.import_cohort(
        name, cohort, **{"source": "a.csv", "mapping": None, "report": {}, "actor": "me", **options}
    )


def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the database, table by table."""
    database = Database(url)
    with database.reading() as session:
        content = {
            table.name: sorted(map(tuple, session.execute(text(f'SELECT * FROM "{table.name}"'))), key=repr)  # noqa: S608
            for table in Base.metadata.sorted_tables
        }
    database.close()
    return content


def older(cohort: Cohort, years: float) -> Cohort:
    return dataclasses.replace(cohort, frame=cohort.frame.assign(age_years=cohort.frame["age_years"] + years))


def test_a_cohort_comes_back_as_it_was(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    loaded = store.load("demo")
    pd.testing.assert_frame_equal(loaded.frame, small_cohort.frame, check_exact=True)
    assert loaded.spec == small_cohort.spec
    assert (loaded.name, loaded.version, loaded.time_zero, loaded.synthetic) == ("demo", 1, "treatment_start", False)
    assert content_digest(loaded.frame, loaded.spec) == content_digest(small_cohort.frame, small_cohort.spec)


def test_marks_are_kept(store: Store, small_cohort: Cohort) -> None:
    bring(store, dataclasses.replace(small_cohort, time_zero=TimeZero.DIAGNOSIS, synthetic=True))
    loaded = store.load("demo")
    assert loaded.time_zero is TimeZero.DIAGNOSIS
    assert loaded.synthetic is True
    assert store.cohorts()[0].time_zero == "diagnosis"
    assert store.cohorts()[0].synthetic is True


def test_floats_come_back_bit_for_bit(store: Store, spec: Specification) -> None:
    hard = [
        5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        -0.0,
        0.1 + 0.2,
        1 / 3,
        2.0**53 + 2,
        1e22,
        123456789.123456789,
    ]
    random = np.random.default_rng(1).integers(0, 2**64, 300, dtype=np.uint64).view(np.float64)
    values = np.array([*hard, *random[np.isfinite(random)]])
    frame = pd.DataFrame({"patient_id": [f"p{i}" for i in range(len(values))], "os_months": values})
    bring(store, Cohort(spec, typed_frame(frame, spec)))
    loaded = store.load("demo").frame["os_months"]
    assert [struct.pack("<d", value) for value in loaded] == [struct.pack("<d", value) for value in values]


def test_every_column_of_the_dictionary_can_be_stored(store: Store, spec: Specification) -> None:
    values = pd.DataFrame({column.name: _two_values_and_a_gap(column.type, column.levels) for column in spec.columns})
    values[spec.key] = ["1", "2", "3"]
    cohort = Cohort(spec, typed_frame(values, spec))
    bring(store, cohort)
    pd.testing.assert_frame_equal(store.load("demo").frame, cohort.frame, check_exact=True)


def _two_values_and_a_gap(kind: ColumnType, levels: tuple[str, ...]) -> list[Any]:
    if kind is ColumnType.CATEGORY:
        return [levels[0], None, levels[-1]]
    return ["a", None, "NA"] if kind is ColumnType.STRING else [1.0, float("nan"), 0.0]


def test_order_and_chunks_do_not_matter(store: Store, spec: Specification, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_cohorts, "CHUNK", 7)
    monkeypatch.setattr("data.store.rows._CHUNK", 5)
    identifiers = [f"p{i}" for i in np.random.default_rng(0).permutation(50)]
    frame = pd.DataFrame({"patient_id": identifiers, "age_years": np.arange(50.0)})
    bring(store, Cohort(spec, typed_frame(frame, spec)))
    assert store.load("demo").frame["patient_id"].tolist() == identifiers
    assert store.patient_ids("demo").identifiers == tuple(identifiers)


def test_a_specification_of_ones_own_is_found_again_without_its_file(store: Store, small_cohort: Cohort) -> None:
    own = dataclasses.replace(small_cohort.spec, name="my-disease", version=3, label="Mine")
    summary = bring(store, dataclasses.replace(small_cohort, spec=own))
    assert (summary.spec, summary.spec_version) == ("my-disease", 3)
    assert store.load("demo").spec == own


def test_a_specification_that_poses_as_a_built_in_one_is_refused(store: Store, small_cohort: Cohort) -> None:
    poser = dataclasses.replace(small_cohort.spec, label="Something else")
    with pytest.raises(Conflict, match="differs from the built-in"):
        bring(store, dataclasses.replace(small_cohort, spec=poser))
    assert store.cohorts() == []


def test_mapping_and_report_are_kept(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort, mapping=MAPPING, report=REPORT)
    bring(store, small_cohort, name="canonical")
    assert store.mapping_of("demo") == MAPPING
    assert store.report_of("demo") == REPORT
    assert store.mapping_of("canonical") is None


def test_the_summary_tells_what_is_stored(store: Store, small_cohort: Cohort) -> None:
    summary = bring(store, small_cohort, source="clinic.csv")
    assert store.cohorts() == [summary] == store.versions("demo")
    assert store.cohort("demo") == summary
    assert (summary.name, summary.version, summary.patients, summary.source) == ("demo", 1, 6, "clinic.csv")
    assert summary.digest == content_digest(small_cohort.frame, small_cohort.spec)
    assert "age_years" in summary.recorded
    assert "rt_dose_gy" not in summary.recorded, "a column without any value records nothing"
    assert summary.as_dict()["imported_at"].endswith("+00:00")


def test_a_store_that_is_closed_and_opened_again_still_has_it(store_url: str, small_cohort: Cohort) -> None:
    with Store.open(store_url) as store:
        bring(store, small_cohort)
    with Store.open(store_url) as store:
        pd.testing.assert_frame_equal(store.load("demo").frame, small_cohort.frame)


def test_replacing_keeps_the_old_version_until_it_is_purged(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    second = bring(store, older(small_cohort, 1), replace=True)
    assert second.version == 2
    assert [(s.version, s.current) for s in store.versions("demo")] == [(2, True), (1, False)]
    pd.testing.assert_frame_equal(store.load("demo").frame, older(small_cohort, 1).frame)
    pd.testing.assert_frame_equal(store.load("demo", 1).frame, small_cohort.frame)
    store.purge("demo", 1, actor="me")
    assert [s.version for s in store.versions("demo")] == [2]
    with pytest.raises(NotFound, match=r"unknown version of cohort 'demo' '1' \(available: 2\)"):
        store.load("demo", 1)


def test_the_current_version_cannot_be_purged(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    with pytest.raises(Conflict, match="current one"):
        store.purge("demo", 1, actor="me")
    assert store.load("demo").size == 6


def test_an_existing_name_is_not_overwritten_unasked(store: Store, store_url: str, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    before = dump(store_url)
    with pytest.raises(Conflict, match="cohort 'demo' exists"):
        bring(store, older(small_cohort, 1))
    assert dump(store_url) == before


def test_deleting_removes_every_patient_and_is_recorded(store: Store, store_url: str, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    bring(store, older(small_cohort, 1), replace=True)
    bring(store, small_cohort, name="other")
    store.delete("demo", actor="eve")
    assert [summary.name for summary in store.cohorts()] == ["other"]
    assert len(dump(store_url)["patients"]) == small_cohort.size
    last = list(store.audit())[-1]
    assert (last.actor, last.action, last.subject, last.details) == (
        "eve",
        "cohort.delete",
        "demo",
        {"versions": [1, 2]},
    )
    for reading in (store.load, store.versions, store.mapping_of, store.patient_ids):
        with pytest.raises(NotFound, match=r"unknown cohort 'demo' \(available: other\)"):
            reading("demo")


def test_a_version_number_is_never_given_twice(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    bring(store, small_cohort, replace=True)
    store.delete("demo", actor="me")
    assert bring(store, small_cohort).version == 3, "a result that names version 1 must not mean other patients"


def test_deleted_patients_cannot_be_read_from_the_file(sqlite_url: str, small_cohort: Cohort) -> None:
    frame = small_cohort.frame.assign(patient_id=[f"UNMISTAKABLE-{i}" for i in range(6)])
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with Store.open(sqlite_url) as store:
        bring(store, dataclasses.replace(small_cohort, frame=frame))
        assert b"UNMISTAKABLE" in file.read_bytes()
        store.delete("demo", actor="me")
        assert b"UNMISTAKABLE" not in file.read_bytes()


def test_unknown_names_say_what_there_is(store: Store, small_cohort: Cohort) -> None:
    with pytest.raises(NotFound, match=r"unknown cohort 'demo' \(available: none\)"):
        store.load("demo")
    with pytest.raises(NotFound):
        store.delete("demo", actor="me")
    bring(store, small_cohort)
    with pytest.raises(NotFound, match="available: 1"):
        store.load("demo", 2)


def test_names_that_could_hurt_elsewhere_are_refused(store: Store, small_cohort: Cohort) -> None:
    for name in ("", ".", "..", "-x", "a b", "a/b", "a\\b", "é", "a\n", "x" * 65, "a'b", "a%b"):
        with pytest.raises(WrongUsage, match="cannot name a cohort"):
            bring(store, small_cohort, name=name)
    assert store.cohorts() == []


def test_ordinary_names_are_taken(store: Store, small_cohort: Cohort) -> None:
    for name in ("a", "7", "A-b_c.d", "x" * 64):
        assert bring(store, small_cohort, name=name).name == name


def _without_patients(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.iloc[:0]


def _one_identifier_twice(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(patient_id=["a", "b", "c", "d", "e", "a"])


def _one_identifier_missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(patient_id=["a", "b", None, "d", "e", "f"])


def _infinite(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(os_months=[1.0, 2.0, np.inf, 4.0, 5.0, 6.0])


def _untyped(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(sex=frame["sex"].astype(object))


def _foreign_column(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(shoe_size=42.0)


def _without_identifiers(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="patient_id")


def test_what_could_not_be_read_back_is_refused(store: Store, store_url: str, small_cohort: Cohort) -> None:
    before = dump(store_url)
    for spoil, said in (
        (_without_patients, "no patients"),
        (_one_identifier_twice, "identifier of their own"),
        (_one_identifier_missing, "identifier of their own"),
        (_infinite, "not finite"),
        (_untyped, "types and levels"),
        (_foreign_column, "shoe_size"),
        (_without_identifiers, "no column patient_id"),
    ):
        with pytest.raises(Refused, match=said):
            bring(store, dataclasses.replace(small_cohort, frame=spoil(small_cohort.frame)))
    assert dump(store_url) == before


@contextmanager
def failing_at(step: int) -> Iterator[list[str]]:
    """Let the change number `step` that is sent to a database fail; collects the changes that were sent."""
    sent: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.split()[0] in ("INSERT", "UPDATE", "DELETE"):
            sent.append(statement)
            if len(sent) == step:
                raise ConnectionResetError("the cable was pulled")

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", count)


def test_an_import_that_fails_anywhere_leaves_the_store_as_it_was(
    store: Store, store_url: str, small_cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_cohorts, "CHUNK", 2)
    bring(store, small_cohort, name="other")
    bring(store, small_cohort)
    with failing_at(0) as changes:
        bring(store, small_cohort, replace=True)
    before = dump(store_url)
    assert len(changes) >= 6, "a version, three chunks of patients, the entry and the head of the audit"
    for step in range(1, len(changes) + 1):
        with failing_at(step), pytest.raises(ConnectionResetError):
            bring(store, older(small_cohort, 1), replace=True)
        assert dump(store_url) == before, f"failure at change {step}: {changes[step - 1]}"
    assert store.verify_audit().intact
    assert bring(store, older(small_cohort, 1), replace=True).version == 3


def test_a_deletion_that_fails_anywhere_leaves_the_store_as_it_was(
    store: Store, store_url: str, small_cohort: Cohort
) -> None:
    bring(store, small_cohort)
    before = dump(store_url)
    for step in (1, 2, 3, 4):
        with failing_at(step), pytest.raises(ConnectionResetError):
            store.delete("demo", actor="me")
        assert dump(store_url) == before


def test_a_change_without_an_actor_does_not_happen(store: Store, store_url: str, small_cohort: Cohort) -> None:
    before = dump(store_url)
    with pytest.raises(WrongUsage, match="actor"):
        bring(store, small_cohort, actor=" ")
    assert dump(store_url) == before


def change(url: str, statement: str) -> None:
    database = Database(url)
    with database.connection() as connection:
        connection.execute(text(statement))
    database.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE patients SET body = replace(body, '55.5', '55.6') WHERE row = 1",
        "DELETE FROM patients WHERE row = 5",
        "UPDATE patients SET body = '[1' WHERE row = 0",
        "UPDATE patients SET body = '[]' WHERE row = 0",
        "UPDATE patients SET body = body || ',' || body WHERE row = 0",
        "UPDATE patients SET body = replace(body, '\"male\"', '[\"male\"]') WHERE row = 0",
        "UPDATE patients SET body = replace(body, '\"male\"', '\"mail\"') WHERE row = 0",
        "UPDATE patients SET row = 99 WHERE row = 0",
    ],
)
def test_a_cohort_changed_behind_the_stores_back_is_not_read(
    store: Store, store_url: str, small_cohort: Cohort, damage: str
) -> None:
    bring(store, small_cohort)
    change(store_url, damage)
    with pytest.raises(DamagedArtefact):
        store.load("demo")


def test_patients_are_listed_in_pages(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    page = store.patient_ids("demo", offset=2, limit=2)
    assert (page.identifiers, page.total) == (("p_100%", "Zoë"), 6)
    assert store.patient_ids("demo", offset=6, limit=2).identifiers == ()


def test_search_takes_every_character_literally(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    everybody = tuple(small_cohort.frame["patient_id"])
    for search, found in {
        "": everybody,
        "p-": ("P-1", "P-5"),
        "%": ("p_100%",),
        "_": ("p_100%",),
        "/": (),
        "'": (),
        "00": ("0007", "p_100%"),
        "ë": ("Zoë",),
    }.items():
        page = store.patient_ids("demo", search=search)
        assert (page.identifiers, page.total) == (found, len(found)), search


def test_one_patient_is_one_typed_row(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    bring(store, older(small_cohort, 1), replace=True)
    expected = small_cohort.frame.iloc[[1]].reset_index(drop=True)
    pd.testing.assert_frame_equal(store.patient("demo", "0007", version=1), expected)
    assert store.patient("demo", "0007")["age_years"].tolist() == [56.5]


def test_an_unknown_patient_is_an_error_that_names_no_other(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    with pytest.raises(NotFound, match="no patient '7' in cohort 'demo' version 1") as refusal:
        store.patient("demo", "7")
    assert "0007" not in str(refusal.value)


def test_the_default_specification_is_not_copied_from_the_store(store: Store, small_cohort: Cohort) -> None:
    bring(store, small_cohort)
    assert store.load("demo").spec is load_specification()
