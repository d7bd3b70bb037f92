"""Brings the schema of a store to the newest revision: a database of any known age in, the present tables out.

A new revision is a file ``versions/v<number>_<what>.py`` (`script.py.mako` is its form) and one more entry in
`REVISIONS`. Revisions only add or convert; a store is never taken back to an older one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from data.errors import Refused
from data.store.database import Database

REVISIONS: Final = ("0001", "0002")
"""Every revision this program knows, oldest first; kept here so that an up-to-date store never imports Alembic."""

_LOCK: Final = 0x67656D696E61
"""Key of PostgreSQL's advisory lock around migrations ("gemina" in ASCII)."""


def bring_up_to_date(database: Database) -> None:
    """Migrate the store to the newest revision, in one transaction and once, whoever else opens it meanwhile.

    Raises:
        Refused: the store was made by a newer program, or cannot be used.
    """
    with database.reading() as session:
        if _is_current(session.connection()):
            return
    with database.connection() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if not _is_current(connection):
            _upgrade(connection)


def revision_of(connection: Connection) -> str | None:
    """Revision of the store's schema; ``None`` for a database without one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _is_current(connection: Connection) -> bool:
    revision = revision_of(connection)
    if revision is not None and revision not in REVISIONS:
        raise Refused(
            f"the store has schema revision {revision}, this program knows revisions up to {REVISIONS[-1]}",
            remedy="the store was opened by a newer version of the program: install that version",
        )
    return revision == REVISIONS[-1]


def _upgrade(connection: Connection) -> None:
    # Alembic takes a quarter of a second to import, and most starts have nothing to migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
