"""A backup is one moment of rows and files, whatever is deleted beside it; it says what it
holds."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxbooth.cli.main import main
from fluxbooth.errors import InputError
from fluxbooth.service import account_data, backups, opening
from fluxbooth.service.db.tables import Account, Tune
from fluxbooth.service.files import reserve
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import tunes
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.walking import unmatched


@pytest.fixture(scope="module")
def home(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(blank, tmp_path_factory.mktemp("home") / "data") as opened:
        yield opened


def trained(home: InProcessServer, account: int) -> int:
    tune = home.tune(account, "a tune")
    home.trained(tune)
    prompt = home.prompt(account, tune, "sks man at the beach")
    home.drawn(prompt)
    return tune


def delete(home: InProcessServer, account: int, tune: int) -> None:
    def hide(session: Any) -> list[str]:
        return tunes.delete(
            session, home.results.jobs, session.get_one(Account, account), tune, with_prompts=True
        )

    reserve.delete(home.db, home.results.store, hide)


@pytest.mark.parametrize("when", ["before the rows are copied", "while files are copied"])
def test_a_backup_beside_deletions_is_one_moment(
    home: InProcessServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    account = home.account()
    first, second = trained(home, account), trained(home, account)
    doomed = [first]
    named, copy = backups._named, shutil.copy2

    def then_deleted(*arguments: Any) -> Any:
        if doomed:
            delete(home, account, doomed.pop())
        return copy(*arguments)

    def listed(session: Any, store: Any) -> Iterator[str]:
        keys = list(named(session, store))
        session.rollback()
        if doomed:
            delete(home, account, doomed.pop())
        return iter(keys)

    if when == "while files are copied":
        monkeypatch.setattr(backups.shutil, "copy2", then_deleted)
    else:
        monkeypatch.setattr(
            backups, "_named", lambda s, store: listed(s, store) if doomed else named(s, store)
        )
    made = backups.make(home.settings, home.db, home.results.store, tmp_path / "copy")
    monkeypatch.undo()
    assert made["missing"] == 0 and not doomed
    restored = Settings(data=tmp_path / "copy")
    with contextlib.closing(opening.opened(restored)) as database:
        assert unmatched(database, restored.data) == ([], [])
        with database.read() as session:
            here = {
                number: session.get_one(Tune, number).deleted_at is None
                for number in (first, second)
            }
    assert here == {first: when == "while files are copied", second: True}
    assert unmatched(home.db, home.settings.data) == ([], [])


@pytest.mark.parametrize("when", ["before the moment", "while rows are written"])
def test_an_export_beside_deletions_is_one_moment(
    home: InProcessServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    account = home.account()
    first, second = trained(home, account), trained(home, account)
    doomed, listed = [first], account_data._files

    class Sink(account_data.Folder):
        def lines(self, name: str, lines: Any) -> None:
            if doomed:
                delete(home, account, doomed.pop())
            super().lines(name, lines)

    def then_deleted(*arguments: Any) -> Iterator[str]:
        keys = list(listed(*arguments))
        if doomed:
            delete(home, account, doomed.pop())
        return iter(keys)

    if when == "before the moment":
        monkeypatch.setattr(account_data, "_files", then_deleted)
    store, out = home.results.store, tmp_path / "out"
    count = account_data.export(home.db, store, account, Sink(out))
    assert not doomed
    rows = [json.loads(line) for line in (out / "rows/tunes.jsonl").read_text().splitlines()]
    kept = {row["id"] for row in rows if row["deleted_at"] is None}
    assert kept == ({second} if when == "before the moment" else {first, second})
    there = [path for path in (out / "files").rglob("*") if path.is_file()]
    assert len(there) == count == 3 * len(kept)  # photo, LoRA, picture
    assert all((out / "files" / row["lora"]).is_file() for row in rows if row["id"] in kept)
    assert not [path for path in store.incoming.rglob("*") if path.is_file()]


def test_an_export_to_where_nothing_can_be_written_is_a_sentence(
    home: InProcessServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account, _ = home.guest("exported")
    (tmp_path / "file").touch()
    out, data = tmp_path / "file" / "out", str(home.settings.data)
    assert main(["account", "export", str(account), str(out), "--data", data]) == 1
    assert f"The export to {out} ended half-way" in capsys.readouterr().err


def test_an_account_that_is_deleted_under_its_export_is_said_so(
    home: InProcessServer, tmp_path: Path
) -> None:
    account = home.account()
    trained(home, account)
    home.write(account, lambda s, owner: account_data.close(s, owner, home.settings.prices))
    with pytest.raises(InputError, match=f"Account {account} has just been deleted"):
        account_data.export(home.db, home.results.store, account, account_data.Folder(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_backup_says_what_it_holds_and_a_deleted_account_which_backups_hold_it(
    home: InProcessServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account, _ = home.guest("held")
    tune = trained(home, account)
    for name in ("one", "two"):
        assert main(["backup", str(tmp_path / name), "--data", str(home.settings.data)]) == 0
    shutil.rmtree(tmp_path / "two")
    (held,) = [
        row
        for row in json.loads((tmp_path / "one/holds.json").read_text())["accounts"]
        if row["id"] == account
    ]
    with home.db.read() as session:
        expires = session.get_one(Tune, tune).expires_at
    assert held["tunes"][0]["id"] == tune and held["expires_at"] == held["tunes"][0]["expires_at"]
    assert expires and held["expires_at"].startswith(expires.isoformat()[:19])
    capsys.readouterr()
    assert main(["account", "delete", "held", "--yes", "--data", str(home.settings.data)]) == 0
    said = capsys.readouterr().out
    assert (
        str(tmp_path / "one") in said
        and held["expires_at"] in said
        and str(tmp_path / "two") not in said
    )


def test_a_backup_without_a_part_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy/fluxbooth.sqlite").touch()
    assert main(["restore", str(tmp_path / "copy"), "--data", str(tmp_path / "data")]) == 2
    assert "it has no secret" in capsys.readouterr().err and not (tmp_path / "data").exists()
