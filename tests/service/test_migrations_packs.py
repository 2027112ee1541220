"""The migration of packs: the schema it makes is the tables', and an older database keeps what
it has."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from fluxbooth.service import clock
from fluxbooth.service.db import checkpoint_tables, metering_tables
from fluxbooth.service.db.database import MIGRATIONS
from fluxbooth.service.db.tables import FIRST_TEMPLATE, Row

assert checkpoint_tables and clock and metering_tables  # their rows are of the schema, too


def test_likes_are_carried_over_and_the_schema_is_the_tables(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{tmp_path / 'x.sqlite'}")
    command.upgrade(config, "0001")
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO accounts VALUES (1, 'owner', 's', 0, 0, '2026-01-01')"
        )
        for number, liked in ((1, 0), (2, 1)):
            connection.exec_driver_sql(
                "INSERT INTO prompts (id, account_id, tune_id, text, num_images, fields, spec, advice, signature, deaths, liked, enqueued,"
                " created_at, updated_at) VALUES (?, 1, 1, 'a', 1, '{}', '{}', '[]', 's', 0, ?, 0, '2026-01-01', '2026-01-01')",
                (number, liked),
            )
    command.upgrade(config, "head")
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT id, likes FROM prompts ORDER BY id").all() == [
            (1, 0),
            (2, 1),
        ]
        assert (
            connection.exec_driver_sql(
                "SELECT seq FROM sqlite_sequence WHERE name = 'templates'"
            ).scalar()
            == FIRST_TEMPLATE - 1
        )
        assert compare_metadata(MigrationContext.configure(connection), Row.metadata) == []


def test_the_packs_of_a_fresh_installation_no_longer_name_a_base(tmp_path: Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{tmp_path / 'x.sqlite'}")
    command.upgrade(config, "0013")
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'x.sqlite'}")
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO accounts (id, name, webhook_secret, idempotent, auto_extend, created_at)"
            " VALUES (1, 'owner', 's', 0, 0, '2026-01-01')"
        )
        for slug, base in (("corporate", 1504944), ("pets", 3063697), ("mine", 1504944)):
            connection.exec_driver_sql(
                "INSERT INTO packs (account_id, slug, title, subtitle, base_tune_id, model_type,"
                " token, created_at, updated_at) VALUES (1, ?, 't', '', ?, 'lora', 'ohwx',"
                " '2026-01-01', '2026-01-01')",
                (slug, base),
            )
    command.upgrade(config, "head")
    with engine.begin() as connection:
        kept = connection.exec_driver_sql("SELECT slug, own_base FROM packs ORDER BY id").all()
        assert kept == [("corporate", 1), ("pets", 0), ("mine", 0)]
