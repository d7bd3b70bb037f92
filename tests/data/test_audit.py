from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from data.cohort import Cohort
from data.errors import DamagedArtefact, GeminaError, WrongUsage
from data.store.database import Database
from data.store.store import Store

ENTRIES = 5
TRIGGERS = {
    "audit": ("audit_no_update", "audit_no_delete"),
    "audit_head": ("audit_head_no_delete", "audit_head_only_forward"),
}


@pytest.fixture
def recorded(store: Store) -> Store:
    """A store whose audit has five entries."""
    for number in range(1, ENTRIES + 1):
        store.record(f"actor {number}", "test", f"subject {number}", {"number": number, "name": "Zoë"})
    return store


def tamper(url: str, *statements: str) -> None:
    """Change the audit as somebody would who owns the database: without its guards."""
    database = Database(url)
    with database.connection() as connection:
        for table, triggers in TRIGGERS.items():
            for trigger in triggers:
                connection.execute(text(f"DROP TRIGGER {trigger}" + ("" if database.is_sqlite else f" ON {table}")))
        for statement in statements:
            connection.execute(text(statement))
    database.close()


def test_a_fresh_store_passes(store: Store) -> None:
    verdict = store.verify_audit()
    assert verdict.intact
    assert verdict.entries == 0
    assert list(store.audit()) == []


def test_entries_say_who_did_what_when(recorded: Store) -> None:
    entries = list(recorded.audit())
    assert [entry.number for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[2].actor == "actor 3"
    assert entries[2].details == {"number": 3, "name": "Zoë"}
    at = datetime.fromisoformat(entries[0].at)
    assert at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - at) < timedelta(minutes=1)
    assert recorded.verify_audit().intact


def test_anybody_can_recompute_the_chain_with_a_json_encoder_and_sha256(recorded: Store) -> None:
    previous = "0" * 64
    for entry in recorded.audit():
        fields = {name: value for name, value in entry.as_dict().items() if name != "digest"}
        compact = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
        fields["details"] = json.dumps(entry.details, **compact)  # type: ignore[arg-type]
        assert fields["previous"] == previous
        previous = hashlib.sha256(json.dumps(fields, **compact).encode()).hexdigest()  # type: ignore[arg-type]
        assert entry.digest == previous
    assert recorded.verify_audit().digest == previous


def test_the_audit_knows_nothing_of_patients(store: Store, small_cohort: Cohort) -> None:
    store.import_cohort("demo", small_cohort, source="Zoë.csv", mapping=None, report={}, actor="me")
    store.import_cohort("demo", small_cohort, source="a.csv", mapping=None, report={}, replace=True, actor="me")
    store.purge("demo", 1, actor="me")
    store.delete("demo", actor="me")
    told = json.dumps([entry.as_dict() for entry in store.audit()], ensure_ascii=False)
    assert [entry.action for entry in store.audit()] == [
        "cohort.import",
        "cohort.import",
        "cohort.purge",
        "cohort.delete",
    ]
    # As words: four digits in a row may well stand within a hash.
    for identifier in ("Zoë", "0007", "p_100%", "P-5"):
        assert not re.search(rf"(?<!\w){re.escape(identifier)}(?!\w)", told), identifier


@pytest.mark.parametrize(
    ("statement", "bad"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE number = 3", 3),
        ("UPDATE audit SET at = '2020-01-01T00:00:00.000000+00:00' WHERE number = 1", 1),
        ("UPDATE audit SET action = 'other' WHERE number = 5", 5),
        ("UPDATE audit SET subject = subject || ' ' WHERE number = 2", 2),
        ("UPDATE audit SET details = '{}' WHERE number = 4", 4),
        ("UPDATE audit SET details = 'no json' WHERE number = 4", 4),
        ("UPDATE audit SET digest = previous WHERE number = 2", 2),
        ("UPDATE audit SET previous = digest WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("DELETE FROM audit WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 5", 5),
        ("DELETE FROM audit WHERE number >= 3", 3),
        ("DELETE FROM audit", 1),
        ("UPDATE audit_head SET digest = '0'", 5),
        ("UPDATE audit_head SET number = 4", 5),
        ("UPDATE audit_head SET number = 6", 6),
        ("DELETE FROM audit_head", 6),
    ],
)
def test_tampering_is_found_and_its_first_entry_named(
    recorded: Store, store_url: str, statement: str, bad: int
) -> None:
    tamper(store_url, statement)
    verdict = recorded.verify_audit()
    assert not verdict.intact
    assert verdict.bad_entry == bad
    assert f"entry {bad}" in str(verdict)
    assert verdict.as_dict()["bad_entry"] == bad


def test_entries_that_changed_places_are_found(recorded: Store, store_url: str) -> None:
    tamper(
        store_url,
        "UPDATE audit SET number = 99 WHERE number = 2",
        "UPDATE audit SET number = 2 WHERE number = 4",
        "UPDATE audit SET number = 4 WHERE number = 99",
    )
    assert recorded.verify_audit().bad_entry == 2


def test_a_gap_closed_by_renumbering_is_found(recorded: Store, store_url: str) -> None:
    tamper(
        store_url,
        "DELETE FROM audit WHERE number = 3",
        "UPDATE audit SET number = 3 WHERE number = 4",
        "UPDATE audit SET number = 4 WHERE number = 5",
        "UPDATE audit_head SET number = 4",
    )
    assert recorded.verify_audit().bad_entry == 3


def test_an_entry_slipped_in_at_the_end_is_found(recorded: Store, store_url: str) -> None:
    tamper(
        store_url,
        "INSERT INTO audit SELECT 6, at, actor, action, subject, details, digest, digest FROM audit WHERE number = 5",
    )
    assert recorded.verify_audit().bad_entry == 6


def test_a_long_chain_is_read_in_pieces(recorded: Store, store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.store.audit._FETCHED_AT_ONCE", 2)
    assert [entry.number for entry in recorded.audit()] == [1, 2, 3, 4, 5]
    assert recorded.verify_audit().entries == ENTRIES
    tamper(store_url, "DELETE FROM audit WHERE number = 3")
    assert recorded.verify_audit().bad_entry == 3


def test_details_that_are_no_json_are_a_readable_error(recorded: Store, store_url: str) -> None:
    tamper(store_url, "UPDATE audit SET details = 'no json' WHERE number = 4")
    with pytest.raises(DamagedArtefact, match=r"entry 4.*audit verify"):
        recorded.audit()


def test_a_chain_without_its_head_is_not_continued(recorded: Store, store_url: str) -> None:
    tamper(store_url, "DELETE FROM audit_head")
    with pytest.raises(DamagedArtefact, match="audit verify"):
        recorded.record("me", "test", "x", {})


def test_the_database_itself_refuses_changes_of_the_past(recorded: Store, store_url: str) -> None:
    database = Database(store_url)
    for statement in (
        "UPDATE audit SET actor = 'nobody' WHERE number = 3",
        "DELETE FROM audit WHERE number = 5",
        "DELETE FROM audit",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET number = 0",
        "UPDATE audit_head SET digest = '0'",
        "UPDATE audit_head SET number = number + 2",
    ):
        with pytest.raises((GeminaError, DBAPIError), match="append-only"), database.connection() as connection:
            connection.execute(text(statement))
    database.close()
    assert recorded.verify_audit().entries == ENTRIES


def test_postgresql_refuses_to_truncate_the_audit(postgres_url: str) -> None:
    with Store.open(postgres_url) as store:
        store.record("me", "test", "x", {})
        for table in ("audit", "audit_head"):
            database = Database(postgres_url)
            with pytest.raises((GeminaError, DBAPIError), match="append-only"), database.connection() as connection:
                connection.execute(text(f"TRUNCATE {table}"))
            database.close()
        assert store.verify_audit().entries == 1


@pytest.mark.parametrize("actor", ["", "  "])
def test_nobody_is_not_an_actor(store: Store, actor: str) -> None:
    with pytest.raises(WrongUsage, match="actor"):
        store.record(actor, "test", "x", {})
    assert list(store.audit()) == []


@pytest.mark.parametrize("details", [{"x": float("nan")}, {"x": object()}])
def test_details_without_a_canonical_form_are_not_written(store: Store, details: dict[str, object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        store.record("me", "test", "x", details)
    assert list(store.audit()) == []


def in_threads(*works: Callable[[], None]) -> None:
    """Run all at once; a failure of any is a failure."""
    failures: list[BaseException] = []
    gate = threading.Barrier(len(works))

    def run(work: Callable[[], None]) -> None:
        try:
            gate.wait()
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize("shared", [True, False], ids=["one store object", "two store objects"])
def test_two_writers_at_once_make_one_chain(store: Store, store_url: str, shared: bool) -> None:
    each = 20
    with Store.open(store_url) as second:
        writers = [store, store if shared else second]

        def write(who: int) -> None:
            for number in range(each):
                writers[who].record(f"writer {who}", "test", str(number), {})

        in_threads(lambda: write(0), lambda: write(1))
    verdict = store.verify_audit()
    assert verdict.intact, str(verdict)
    assert verdict.entries == 2 * each
    for who in (0, 1):
        subjects = [entry.subject for entry in store.audit() if entry.actor == f"writer {who}"]
        assert subjects == [str(number) for number in range(each)]


def test_two_imports_at_once_make_two_versions(store: Store, small_cohort: Cohort) -> None:
    def bring() -> None:
        for _ in range(5):
            store.import_cohort("demo", small_cohort, source="a.csv", mapping=None, report={}, replace=True, actor="me")

    in_threads(bring, bring)
    assert [summary.version for summary in store.versions("demo")] == list(range(10, 0, -1))
    assert [entry.details["version"] for entry in store.audit()] == list(range(1, 11))
    assert store.verify_audit().intact


def test_many_openings_at_once_migrate_once(store_url: str) -> None:
    in_threads(*[lambda: Store.open(store_url).close() for _ in range(4)])
    with Store.open(store_url) as store:
        assert store.verify_audit().intact


def test_the_chain_goes_on_after_closing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/store.db"
    for number in range(3):
        with Store.open(url) as store:
            store.record("me", "test", str(number), {})
    with Store.open(url) as store:
        assert store.verify_audit().entries == 3
