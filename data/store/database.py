"""A database behind one URL: SQLite file or PostgreSQL in, safe transactions and readable errors out."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.orm import Session

from data.errors import GeminaError, Refused, WrongUsage

WAIT_MS: Final = 5_000
"""How long a writer waits for another writer before it gives up."""

SPILL_PAGES: Final = 65_536
"""SQLite keeps up to 256 MB of unwritten pages in memory, so that readers are not locked out during an import."""

_SQLITE_SETTINGS: Final = (
    f"busy_timeout={WAIT_MS}",
    # A write-ahead log can be corrupted by SQLite before 3.51.3 when two connections reset it.
    "journal_mode=DELETE",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"cache_spill={SPILL_PAGES}",
    # Deleted patients must not stay readable in free pages of the file.
    "secure_delete=ON",
)

_NO_PRIVILEGE: Final = "42501"
_LOCK_NOT_AVAILABLE: Final = "55P03"
"""SQLSTATE codes of PostgreSQL (its manual, appendix A)."""

_URL_HELP: Final = "write sqlite:////folder/store.db or postgresql://user:password@host/database"


def parse_url(url: str) -> URL:
    """The URL of a store, with its driver and an absolute path.

    Raises:
        WrongUsage: it is not the URL of a SQLite file or a PostgreSQL database. The message never repeats the URL,
            which may hold a password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise WrongUsage("the store's URL cannot be read", remedy=_URL_HELP) from None
    if parsed.get_backend_name() == "sqlite":
        return _file_url(parsed)
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return _server_url(parsed)
    raise WrongUsage(f"stores of the kind '{parsed.drivername}' are not supported", remedy=_URL_HELP)


def _file_url(url: URL) -> URL:
    if not url.database or url.database == ":memory:" or url.query:
        raise WrongUsage("the URL of a SQLite store must name a file and nothing else", remedy=_URL_HELP)
    return URL.create("sqlite", database=str(Path(url.database).expanduser().absolute()))


def _server_url(url: URL) -> URL:
    if "@" in (url.host or ""):
        raise WrongUsage("the store's URL has two @", remedy="write an @ inside the password as %40")
    return url.set(drivername="postgresql+psycopg")


class Database:
    """Connections to one database, handed out as transactions.

    Readers see one state of the store for as long as their transaction lasts; writers follow one another.
    """

    def __init__(self, url: str) -> None:
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._create_file()
        # Parameters are patients' data: they stay out of error messages.
        self._engine = create_engine(self.url, hide_parameters=True, pool_pre_ping=not self.is_sqlite)
        if self.is_sqlite:
            _configure_sqlite(self._engine)
        server = not self.is_sqlite
        self._writers = self._engine.execution_options(
            **({"isolation_level": "READ COMMITTED"} if server else {"writes": True})
        )
        self._readers = self._engine.execution_options(
            **({"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if server else {})
        )

    @property
    def shown(self) -> str:
        """The URL without its password."""
        return self.url.render_as_string(hide_password=True)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A transaction that sees one state of the store and changes nothing."""
        with self._readable_errors(), Session(self._readers) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A transaction that is committed when the block ends, and undone when anything at all goes wrong in it."""
        with self.connection() as connection, Session(connection) as session:
            yield session
            session.flush()

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """The same as `writing`, below the level of sessions: for migrations."""
        with self._readable_errors(), self._writers.begin() as connection:
            if not self.is_sqlite:
                connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_MS}ms'"))
            yield connection

    @contextmanager
    def _readable_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            translated = self._translate(error)
            if translated is None:
                raise
            raise translated from error

    def _translate(self, error: DBAPIError) -> GeminaError | None:
        """What an error of the driver means to a person; ``None`` when it can only be a fault of ours."""
        reason = self._redacted(str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else "no reason")
        if _is_busy(error):
            return Refused("the store is busy with somebody else's change", remedy="try again in a moment")
        if isinstance(error, ProgrammingError) and getattr(error.orig, "sqlstate", "") != _NO_PRIVILEGE:
            return None
        situations = (OperationalError, InterfaceError, InternalError, DataError, ProgrammingError)
        if isinstance(error, situations) or type(error.orig) is sqlite3.DatabaseError:
            return Refused(
                f"the store {self.shown} cannot be used ({reason})",
                remedy="check that the place exists, that you may write to it and that it is a store of this program",
            )
        return None

    def _redacted(self, message: str) -> str:
        password = self.url.password
        return message.replace(str(password), "***") if password else message

    def _create_file(self) -> None:
        """Create the file readable by its owner alone; SQLite itself would follow the umask."""
        path = Path(str(self.url.database))
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise Refused(
                f"the store {self.shown} cannot be opened ({error.strerror})", remedy="check the folder and its rights"
            ) from error


def _is_busy(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.OperationalError):
        # Extended codes carry the primary one in their low byte.
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    return getattr(error.orig, "sqlstate", "") == _LOCK_NOT_AVAILABLE


def _configure_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _record: Any) -> None:
        # The driver would begin transactions late and leave DDL outside them; `_begin` does it instead.
        connection.isolation_level = None
        for setting in _SQLITE_SETTINGS:
            connection.execute(f"PRAGMA {setting}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
