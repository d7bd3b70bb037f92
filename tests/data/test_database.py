from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from data.errors import GeminaError, Refused, WrongUsage
from data.store import migrations
from data.store.database import Database, parse_url
from data.store.store import Store
from data.store.tables import Base

PASSWORD = "hunter2" + "secret"


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_every_name_of_postgresql_means_the_same_driver(scheme: str) -> None:
    assert parse_url(f"{scheme}://me:pw@host/db").drivername == "postgresql+psycopg"


@pytest.mark.parametrize(
    "url",
    ["", "store.db", "mysql://me:secret@host/db", "sqlite://", "sqlite:///:memory:", "sqlite:///x.db?mode=ro",
     "postgresql://me:sec@ret@host/db", "postgresql://me:secret@host:port/db"],
)  # fmt: skip
def test_urls_that_name_no_store_are_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(WrongUsage) as refusal:
        parse_url(url)
    assert "secret" not in str(refusal.value)
    assert "ret@" not in str(refusal.value)


def test_a_tilde_in_the_url_is_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse_url("sqlite:///~/x.db").database == str(tmp_path / "x.db")


def test_sqlite_runs_with_the_settings_that_keep_data(sqlite_url: str) -> None:
    Store.open(sqlite_url).close()
    wanted = {"journal_mode": "delete", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 5000, "secure_delete": 1}
    database = Database(sqlite_url)
    with database.reading() as session:
        assert {name: session.scalar(text(f"PRAGMA {name}")) for name in wanted} == wanted
    database.close()


def test_a_writer_holds_the_lock_from_its_first_moment(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.writing():
        other = sqlite3.connect(database.url.database or "", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
    database.close()


def test_a_reader_sees_one_state_throughout(store_url: str) -> None:
    with Store.open(store_url) as store:
        database = Database(store_url)
        with database.reading() as session:
            before = session.scalar(text("SELECT number FROM audit_head"))
            if not database.is_sqlite:  # on SQLite the writer waits for the reader instead
                store.record("me", "test", "x", {})
            assert session.scalar(text("SELECT number FROM audit_head")) == before == 0
        database.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_the_store_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path}/new/store.db").close()
    assert stat.S_IMODE((tmp_path / "new" / "store.db").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, and no database at all " * 50)
    content = file.read_bytes()
    with pytest.raises(Refused, match="not a database"):
        Store.open(f"sqlite:///{file}")
    assert file.read_bytes() == content


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="cannot be opened"):
        Store.open(f"sqlite:///{tmp_path}")


def test_a_server_that_does_not_answer_is_a_readable_error_without_the_password() -> None:
    with pytest.raises(GeminaError) as refusal:
        Store.open(f"postgresql://me:{PASSWORD}@127.0.0.1:1/db")
    assert "127.0.0.1" in str(refusal.value)
    assert PASSWORD not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_wrong_database_name_is_a_readable_error(postgres_url: str) -> None:
    url = parse_url(postgres_url).set(database="no_such_database_here", password=PASSWORD)
    with pytest.raises(Refused, match="no_such_database_here") as refusal:
        Store.open(url.render_as_string(hide_password=False))
    assert PASSWORD not in str(refusal.value)


def test_a_busy_store_says_so(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.store.database._SQLITE_SETTINGS", ("busy_timeout=50",))
    with Store.open(sqlite_url) as store:
        other = sqlite3.connect(parse_url(sqlite_url).database or "", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Refused, match=r"busy.*try again"):
            store.record("me", "test", "x", {})
        other.execute("ROLLBACK")
        other.close()
        store.record("me", "test", "x", {})
        assert [entry.number for entry in store.audit()] == [1]


def test_a_busy_server_says_so(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.store.database.WAIT_MS", 50)
    with Store.open(postgres_url) as store:
        other = Database(postgres_url)
        with other.connection() as connection:
            connection.execute(text("SELECT id FROM audit_head FOR UPDATE"))
            with pytest.raises(Refused, match=r"busy.*try again"):
                store.record("me", "test", "x", {})
        other.close()
        store.record("me", "test", "x", {})


def test_errors_of_the_database_do_not_repeat_values(store_url: str) -> None:
    with Store.open(store_url):
        database = Database(store_url)
        with pytest.raises(Exception) as failure, database.connection() as connection:  # noqa: PT011
            connection.execute(text("INSERT INTO no_such_table VALUES (:x)"), {"x": "Mrs Smith"})
        assert "Mrs Smith" not in str(failure.value)
        database.close()


def test_migrations_lead_to_exactly_the_tables_of_the_code(store_url: str) -> None:
    with Store.open(store_url):
        database = Database(store_url)
        with database.reading() as session:
            context = MigrationContext.configure(session.connection(), opts={"compare_server_default": True})
            assert compare_metadata(context, Base.metadata) == []
        database.close()


def test_the_list_of_revisions_is_the_folder_of_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(script.revision for script in scripts)[::-1] == migrations.REVISIONS


def test_opening_a_current_store_does_not_import_alembic(sqlite_url: str) -> None:
    Store.open(sqlite_url).close()
    program = (
        "import sys\nfrom data.store.store import Store\n"
        f"Store.open({sqlite_url!r}).close()\nassert not any(name.startswith('alembic') for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_a_store_of_a_newer_program_is_refused_and_left_alone(store_url: str) -> None:
    Store.open(store_url).close()
    database = Database(store_url)
    with database.connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Refused, match=r"revision 9999.*newer version"):
        Store.open(store_url)
    with database.reading() as session:
        assert session.scalar(text("SELECT version_num FROM alembic_version")) == "9999"
    database.close()


def test_a_migration_that_fails_leaves_nothing(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_after_upgrade(connection: object) -> None:
        upgrade(connection)
        raise RuntimeError("the power went")

    upgrade = migrations._upgrade
    monkeypatch.setattr(migrations, "_upgrade", fail_after_upgrade)
    with pytest.raises(RuntimeError, match="power"):
        Store.open(store_url)
    database = Database(store_url)
    with database.reading() as session:
        assert migrations.revision_of(session.connection()) is None
    database.close()
    monkeypatch.undo()
    with Store.open(store_url) as store:
        assert store.cohorts() == []
