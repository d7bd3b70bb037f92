"""Ratings of symptoms in the store, and their files: what goes in comes out, wholly or not at all, and is recorded."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, event, text

from data.cohort import Cohort
from data.errors import Conflict, DamagedArtefact, NotFound, Refused
from data.schema import Specification
from data.store import Store, SymptomSummary, cohorts, migrations
from data.store.database import Database
from data.store.migrations import revision_of
from data.store.tables import Base
from data.symptom_files import check_ratings, questionnaire_of, ratings_csv
from data.symptoms import Item, Questionnaire, SymptomTable, load_questionnaire

PATIENTS = ["Zoë", "0007", "6"]
"""Of `small_cohort`, in another order than there."""


@pytest.fixture
def asked(spec: Specification) -> Questionnaire:
    found = load_questionnaire(spec)
    assert found is not None
    return found


@pytest.fixture
def table(asked: Questionnaire) -> SymptomTable:
    """Three of six patients: one came always, one missed visits, one left questions out."""
    ratings = np.random.default_rng(1).integers(0, 11, (3, 28, 4)).astype(float)
    ratings[1, :, 1:3] = np.nan
    ratings[2, 4:9, 0] = np.nan
    return SymptomTable.of(asked, PATIENTS, ratings)


@pytest.fixture
def stocked(store: Store, small_cohort: Cohort) -> Store:
    """A store with a cohort."""
    store.import_cohort("demo", small_cohort, source="a.csv", mapping=None, report={}, actor="me")
    return store


def bring(store: Store, table: SymptomTable, name: str = "demo", **options: Any) -> SymptomSummary:
    return store.import_symptoms(name, table, **{"source": "r.csv", "report": {}, "actor": "me", **options})


def replace_cohort(store: Store, cohort: Cohort) -> None:
    store.import_cohort("demo", cohort, source="b.csv", mapping=None, report={}, replace=True, actor="me")


def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the database, table by table."""
    database = Database(url)
    with database.reading() as session:
        content = {
            name: sorted(map(tuple, session.execute(text(f'SELECT * FROM "{name}"'))), key=repr)  # noqa: S608
            for name in Base.metadata.tables
        }
    database.close()
    return content


def change(url: str, statement: str) -> int:
    """Change the database behind the program's back; how many rows were changed."""
    database = Database(url)
    with database.connection() as connection:
        changed = connection.execute(text(statement)).rowcount
    database.close()
    return changed


# What goes in comes out


def test_ratings_come_back_as_they_were(stocked: Store, table: SymptomTable) -> None:
    summary = bring(stocked, table)
    loaded = stocked.symptoms("demo")
    assert loaded is not None
    assert loaded.questionnaire == table.questionnaire
    np.testing.assert_array_equal(loaded.ratings(PATIENTS), table.ratings(PATIENTS))
    assert loaded.digest == table.digest == summary.digest
    assert list(loaded.frame["patient_id"].unique()) == ["0007", "Zoë", "6"], "patients stand in the cohort's order"
    answers = 3 * 28 * 4 - 2 * 28 - 5
    assert (summary.cohort, summary.version, summary.patients, summary.ratings) == ("demo", 1, 3, answers)
    assert stocked.symptom_summary("demo") == summary
    assert summary.as_dict()["imported_at"].endswith("+00:00")


def test_the_ratings_of_one_patient(stocked: Store, table: SymptomTable) -> None:
    bring(stocked, table)
    for patient in PATIENTS:
        found = stocked.patient_symptoms("demo", patient)
        assert found is not None
        assert set(found.frame["patient_id"]) == {patient}
        np.testing.assert_array_equal(found.ratings([patient]), table.ratings([patient]))
    for silent in ("P-1", "nobody"):
        found = stocked.patient_symptoms("demo", silent)
        assert found is not None
        assert found.frame.empty


def test_a_cohort_without_ratings_has_none(stocked: Store, table: SymptomTable) -> None:
    assert stocked.symptoms("demo") is None
    assert stocked.symptom_summary("demo") is None
    assert stocked.patient_symptoms("demo", "0007") is None
    with pytest.raises(NotFound, match=r"unknown cohort 'other' \(available: demo\)"):
        stocked.symptoms("other")
    with pytest.raises(NotFound, match="available: 1"):
        stocked.symptom_summary("demo", 2)
    with pytest.raises(NotFound):
        bring(stocked, table, "other")


def test_a_questionnaire_of_ones_own_is_found_again_without_its_file(stocked: Store, spec: Specification) -> None:
    items = (Item("itch", "Itch", "skin", shown=True), Item("cold", "Feeling cold", "skin", shown=False))
    own = Questionnaire(spec.name, items, (0.0, 2.5), 1.0, 100.0, "concurrent_chemo", "first visit")
    table = SymptomTable.of(own, ["6"], np.array([[[100.0, 1.0], [np.nan, 37.0]]]))
    bring(stocked, table)
    loaded = stocked.symptoms("demo")
    assert loaded is not None
    assert loaded.questionnaire == own
    np.testing.assert_array_equal(loaded.ratings(["6"]), table.ratings(["6"]))


def test_the_digest_tells_answers_apart_and_nothing_else(table: SymptomTable) -> None:
    shuffled = table.frame.sample(frac=1.0, random_state=1).reset_index(drop=True)
    answered = shuffled.dropna().reset_index(drop=True)
    assert len(answered) < len(shuffled)
    for frame in (shuffled, answered):
        assert SymptomTable(table.questionnaire, frame).digest == table.digest
    first = answered.index[0]
    other = (answered.loc[first, "rating"] + 1) % 11
    seen = {table.digest}
    for changed in (
        answered.drop(index=first).reset_index(drop=True),
        answered.assign(rating=answered["rating"].where(answered.index != first, other)),
        answered.assign(patient_id=answered["patient_id"].replace("Zoë", "Zoe")),
        answered.assign(week=answered["week"].mask(answered["patient_id"].eq("0007") & answered["week"].eq(27.0), 7.0)),
        answered.assign(item=answered["item"].replace({"pain": "fatigue", "fatigue": "pain"})),
    ):
        seen.add(SymptomTable(table.questionnaire, changed).digest)
    assert len(seen) == 6


# Rules


def test_ratings_belong_to_a_version_of_the_cohort(stocked: Store, table: SymptomTable, small_cohort: Cohort) -> None:
    bring(stocked, table)
    replace_cohort(stocked, small_cohort)
    assert stocked.symptoms("demo") is None
    assert stocked.symptoms("demo", 1) is not None
    assert bring(stocked, table, version=1, replace=True).version == 1
    assert bring(stocked, table).version == 2


def test_ratings_are_not_overwritten_unasked(stocked: Store, store_url: str, table: SymptomTable) -> None:
    bring(stocked, table)
    before = dump(store_url)
    with pytest.raises(Conflict, match=r"version 1 of cohort 'demo' has ratings.*--replace"):
        bring(stocked, table)
    assert dump(store_url) == before


def test_replacing_is_recorded_with_what_was_there(stocked: Store, table: SymptomTable, asked: Questionnaire) -> None:
    bring(stocked, table)
    other = SymptomTable.of(asked, ["P-1"], np.full((1, 28, 4), 7.0))
    bring(stocked, other, replace=True, actor="eve")
    loaded = stocked.symptoms("demo")
    assert loaded is not None
    assert loaded.patients == ("P-1",)
    first, second = list(stocked.audit())[-2:]
    assert (first.action, first.subject, first.details["replaced"]) == ("symptoms.import", "demo", None)
    assert second.actor == "eve"
    assert second.details == {
        "version": 1,
        "patients": 1,
        "ratings": 112,
        "digest": other.digest,
        "replaced": table.digest,
    }
    assert stocked.verify_audit().intact


def test_the_audit_knows_nothing_of_patients(stocked: Store, table: SymptomTable) -> None:
    bring(stocked, table, source="Zoë.csv", report={"findings": ["Zoë"]})
    told = json.dumps([entry.as_dict() for entry in stocked.audit()], ensure_ascii=False)
    assert not any(identifier in told for identifier in ("Zoë", "0007"))


def test_what_cannot_belong_to_the_cohort_is_refused(
    stocked: Store, store_url: str, table: SymptomTable, asked: Questionnaire
) -> None:
    before = dump(store_url)
    strangers = SymptomTable(asked, table.frame.replace({"patient_id": {"Zoë": "JANE-DOE"}}))
    with pytest.raises(Refused, match="1 patients who are not in version 1") as refused:
        bring(stocked, strangers)
    assert "JANE" not in str(refused.value)
    with pytest.raises(Refused, match="ratings of 'larynx'"):
        bring(stocked, SymptomTable(dataclasses.replace(asked, spec="larynx"), table.frame))
    with pytest.raises(Refused, match="no ratings"):
        bring(stocked, SymptomTable(asked, table.frame.assign(rating=np.nan)))
    assert dump(store_url) == before


@pytest.mark.parametrize("how", ["delete", "purge"])
def test_ratings_go_with_their_patients(
    stocked: Store, store_url: str, table: SymptomTable, small_cohort: Cohort, how: str
) -> None:
    bring(stocked, table)
    replace_cohort(stocked, small_cohort)
    bring(stocked, table)
    if how == "purge":
        stocked.purge("demo", 1, actor="me")
        assert stocked.symptoms("demo") is not None
    else:
        stocked.delete("demo", actor="me")
    left = {name: len(rows) for name, rows in dump(store_url).items()}
    kept = {"purge": (6, 1, 3), "delete": (0, 0, 0)}[how]
    assert (left["patients"], left["symptom_sets"], left["symptom_ratings"]) == kept


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
    stocked: Store, store_url: str, table: SymptomTable, asked: Questionnaire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohorts, "CHUNK", 2)
    bring(stocked, table)
    other = SymptomTable.of(asked, ["P-1", "6", "P-5"], np.full((3, 28, 4), 7.0))
    with failing_at(0) as changes:
        bring(stocked, table, replace=True)
    before = dump(store_url)
    assert len(changes) >= 7, "both tables cleared, a set, two chunks of patients, entry and head of the audit"
    for step in range(1, len(changes) + 1):
        with failing_at(step), pytest.raises(ConnectionResetError):
            bring(stocked, other, replace=True)
        assert dump(store_url) == before, f"failure at change {step}: {changes[step - 1]}"
    assert stocked.verify_audit().intact


def test_damage_is_noticed(stocked: Store, store_url: str, table: SymptomTable) -> None:
    for damage, said in (
        ("UPDATE symptom_ratings SET body = replace(body, '9.0', '8.0')", "not what was imported"),
        ("DELETE FROM symptom_ratings WHERE row = 1", "not what was imported"),
        ("UPDATE symptom_ratings SET row = 0 WHERE row = 1", "not what was imported"),
        ("UPDATE symptom_ratings SET body = replace(body, '9.0', '9.5')", "cannot be read"),
        ("UPDATE symptom_ratings SET body = replace(body, '9.0', '99')", "cannot be read"),
        ("UPDATE symptom_ratings SET body = '[1' WHERE row = 1", "cannot be read"),
        ("UPDATE symptom_ratings SET body = '[]' WHERE row = 1", "cannot be read"),
        ("UPDATE symptom_sets SET questionnaire = '{}'", "cannot be read"),
    ):
        bring(stocked, table, replace=True)
        assert change(store_url, damage) > 0
        with pytest.raises(DamagedArtefact, match=rf"version 1 of cohort 'demo' .*{said}"):
            stocked.symptoms("demo")


def test_a_store_made_before_there_were_ratings_takes_them(
    store_url: str, table: SymptomTable, small_cohort: Cohort
) -> None:
    database = Database(store_url)
    with database.connection() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    old = Store(database)
    old.import_cohort("demo", small_cohort, source="a.csv", mapping=None, report={}, actor="me")
    entries = [entry.as_dict() for entry in old.audit()]
    old.close()
    with Store.open(store_url) as store:
        pd.testing.assert_frame_equal(store.load("demo").frame, small_cohort.frame, check_exact=True)
        assert [entry.as_dict() for entry in store.audit()] == entries
        bring(store, table)
        assert store.symptoms("demo") is not None
        assert store.verify_audit().intact
    database = Database(store_url)
    with database.reading() as session:
        assert revision_of(session.connection()) == "0002"
    database.close()


# Files


def test_a_file_gives_back_what_was_written(table: SymptomTable, small_cohort: Cohort) -> None:
    formula = {"patient_id": {"Zoë": "=1+1"}}
    cohort = dataclasses.replace(small_cohort, frame=small_cohort.frame.replace(formula), name="demo")
    content = ratings_csv(SymptomTable(table.questionnaire, table.frame.replace(formula)), cohort)
    assert content.startswith(b"# gemina: synthetic=0 spec=oropharynx\r\npatient_id,item,week,rating\r\n'=1+1,pain,0,")
    checked = check_ratings(content, "r.csv", cohort)
    assert checked.table is not None
    assert checked.table.frame.equals(table.frame.replace(formula))
    report = checked.report.as_dict()
    assert (report["file"], report["exit"], report["findings"]) == ("r.csv", 0, [])
    assert (report["rows"], report["kept"]) == (len(table.frame), len(table.frame))
    assert report["digest"] == checked.table.digest != table.digest


def test_invented_ratings_do_not_mix_with_real_patients(table: SymptomTable, small_cohort: Cohort) -> None:
    invented = dataclasses.replace(small_cohort, synthetic=True)
    content = ratings_csv(table, invented)
    assert check_ratings(content, "r.csv", invented).report.exit == 0
    report = check_ratings(content, "r.csv", small_cohort).report
    assert (report.exit, report.kept, report.counts) == (1, 0, {"synthetic_ratings": 1})
    other = content.replace(b"spec=oropharynx", b"spec=larynx")
    assert check_ratings(other, "r.csv", invented).report.counts == {"other_specification": 1}


@pytest.mark.parametrize(
    ("rows", "code"),
    [("", "no_rows"), ("6,pain,0,\n6,pain,7,NA\n", "no_ratings"), ("6,pain,0,often\n", "not_a_number")],
)
def test_a_file_without_an_answer_is_refused(small_cohort: Cohort, rows: str, code: str) -> None:
    report = check_ratings(f"patient_id,item,week,rating\n{rows}".encode(), "r.csv", small_cohort).report
    assert (report.exit, report.kept, report.digest, report.counts) == (1, 0, "", {code: 1})


def test_what_is_no_table_is_unreadable(small_cohort: Cohort) -> None:
    assert check_ratings(b"PK\x03\x04", "r.csv", small_cohort).report.exit == 2


def test_a_disease_whose_patients_are_not_asked_is_refused(small_cohort: Cohort) -> None:
    other = dataclasses.replace(small_cohort, spec=dataclasses.replace(small_cohort.spec, name="elsewhere"))
    with pytest.raises(Refused, match="'elsewhere' has no questionnaire"):
        questionnaire_of(other)
