"""What Alembic runs: the connection of the caller in, the migrations inside the caller's transaction out."""

from __future__ import annotations

from alembic import context

from data.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
