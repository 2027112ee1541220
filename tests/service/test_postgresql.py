"""The whole service with its rows in PostgreSQL, and what is refused there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError, TimeoutError

from fluxbooth.cli.main import main
from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.service import opening
from fluxbooth.service.db.database import BUSY, Database
from fluxbooth.service.db.tables import Account
from fluxbooth.service.settings import Settings, read_settings
from tests.support.postgresql import PostgreSQL
from tests.support.server import Receiver, Server, until
from tests.support.walking import unmatched


@pytest.fixture(scope="module")
def address(postgresql: PostgreSQL) -> str:
    return postgresql.new()


@pytest.fixture(scope="module")
def settings(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = Settings(data=tmp_path_factory.mktemp("rows") / "data", database_url=address)
    opening.opened(settings).close()
    yield settings


def test_a_killed_engine_trains_and_draws_on_postgresql(
    postgresql: PostgreSQL, receiver: Receiver, tmp_path: Path
) -> None:
    with Server(tmp_path / "data", database_url=postgresql.new()) as server:
        tune = server.new_tune("a man", steps="40", prompts=1, callback=receiver.url)
        until(lambda: server.tune(tune["id"])["started_training_at"], "it trains")
        server.kill("engine")
        assert server.finished_tune(tune["id"])["trained_at"]
        (prompt,) = server.http.get(f"/tunes/{tune['id']}/prompts").json()
        assert len(server.finished_prompt(prompt["id"])["images"]) == 1
        until(lambda: len(receiver.got) == 2, "both are told")
        assert not (server.data / "fluxbooth.sqlite").exists()
        assert unmatched(server.database, server.data) == ([], [])


def test_one_writes_at_a_time_and_sees_what_the_one_before_wrote(settings: Settings) -> None:
    first, second = (Database(settings.rows_url, patience=0.2) for _ in range(2))
    with first.write() as session:
        session.add(Account(name="new", webhook_secret=""))
        session.flush()
        with pytest.raises(OperationalError, match="lock timeout"), second.write() as other:
            other.scalar(select(Account.id))
        with pytest.raises(TimeoutError), first.write() as other:  # in one process
            other.scalar(select(Account.id))
        with second.read() as reading:
            assert reading.scalar(select(Account).where(Account.name == "new")) is None
    with second.write() as session:
        assert session.scalar(select(Account).where(Account.name == "new")) is not None
    first.close()
    second.close()


def test_readers_have_one_view_and_write_nothing(settings: Settings) -> None:
    db = Database(settings.rows_url)
    with db.read() as session:
        before = len(session.scalars(select(Account)).all())
        with db.write() as writing:
            writing.add(Account(name="while it is read", webhook_secret=""))
        assert len(session.scalars(select(Account)).all()) == before
        session.add(Account(name="never", webhook_secret=""))
        with pytest.raises(Exception, match="read-only"):
            session.flush()
    db.close()


def test_who_is_silent_with_the_right_to_write_loses_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluxbooth.service.db.database.IDLE", 0.2)
    frozen, other = Database(settings.rows_url), Database(settings.rows_url)
    with pytest.raises(BUSY), frozen.write() as session:
        session.scalar(select(Account.id))
        with other.write() as second:  # comes once the server has ended the first
            second.scalar(select(Account.id))
        session.scalar(select(Account.id))
    with frozen.write() as session:  # with a connection made anew
        session.scalar(select(Account.id))
    frozen.close()
    other.close()


def test_another_data_folder_is_kept_out(settings: Settings, tmp_path: Path) -> None:
    other = Settings(data=tmp_path / "data", database_url=settings.database_url)
    with pytest.raises(InputError, match="is missing or empty"):
        opening.opened(other)
    (other.data / "secret").write_bytes(b"x" * 32)
    with pytest.raises(InputError, match="were made with another secret"):
        opening.opened(other)
    same = other.model_copy(update={"secret_file": settings.data / "secret"})
    with pytest.raises(InputError, match="are in another data folder than"):
        opening.opened(same)
    opening.opened(settings).close()


def test_a_new_database_beside_old_files_is_refused(postgresql: PostgreSQL, tmp_path: Path) -> None:
    (tmp_path / "data/files/tunes" / f"5000002-{'a' * 32}").mkdir(parents=True)
    settings = Settings(data=tmp_path / "data", database_url=postgresql.new())
    with pytest.raises(InputError, match=r"is missing: .* row 5000002"):
        opening.opened(settings)


def test_a_server_that_is_not_there_is_a_sentence_without_its_password(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, database_url="postgresql://me:hidden@127.0.0.1:1/rows")
    said = pytest.raises(FluxboothError, match=r"postgresql://127.0.0.1/rows does not")
    with said as error, opening.faults_said(settings):
        opening.opened(settings)
    assert "hidden" not in str(error.value) + repr(settings)


@pytest.mark.parametrize("command", [("backup", "out"), ("restore", "copy")])
def test_backups_of_other_rows_than_a_folders_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: Settings,
    command: tuple[str, str],
) -> None:
    monkeypatch.setenv("FLUXBOOTH_DATABASE_URL", settings.rows_url)
    verb, name = command
    assert main([verb, str(tmp_path / name), "--data", str(settings.data)]) == 2
    assert "pg_dump" in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_other_databases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="FLUXBOOTH_DATABASE_URL will not do"):
        read_settings(data=tmp_path, database_url="mysql://host/rows")
