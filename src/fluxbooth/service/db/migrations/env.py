"""Alembic's way to the database; called through `service.db.migrate`."""

from __future__ import annotations

from alembic import context

from fluxbooth.service.db.database import Database
from fluxbooth.service.db.tables import Row

database = Database(context.config.get_main_option("sqlalchemy.url") or "")
with database.engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Row.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
database.close()
