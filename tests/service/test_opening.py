"""A data folder whose parts do not belong together is refused in a sentence, and so is one that
cannot be used."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uvicorn

from fluxbooth.cli.main import main
from fluxbooth.errors import InputError
from fluxbooth.service import opening
from fluxbooth.service.accounts import accounts
from fluxbooth.service.files.store import Store
from fluxbooth.service.settings import Settings, read_settings

FOLDER = f"{5_000_002}-{'a' * 32}"


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole data folder, to be copied."""
    folder = tmp_path_factory.mktemp("known") / "data"
    # by a process of its own: this one may hold a connection, and with it a file, beside the database
    made = [sys.executable, "-m", "fluxbooth", "key", "create", "--data", str(folder)]
    subprocess.run(made, check=True, capture_output=True)
    return folder


@pytest.fixture
def data(known: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(known, tmp_path / "data"))


Says = Callable[..., tuple[int, str]]


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Says:
    """How a command ends, and what it says."""

    def run(data: Path, *arguments: str) -> tuple[int, str]:
        code = main([*(arguments or ("serve", "--no-worker")), "--data", str(data)])
        return code, capsys.readouterr().err

    return run


@pytest.fixture(autouse=True)
def _unserved(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not refused must not run for ever."""
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: pytest.fail("it serves"))


def sentence(words: str) -> str:
    assert (
        words.startswith("fluxbooth: ") and words.count("\n") == 1 and "Traceback" not in words
    ), words
    return words


def test_a_missing_secret_is_never_made_anew_in_silence(says: Says, data: Path) -> None:
    (data / accounts.SECRET).unlink()
    for command in ((), ("key", "list"), ("key", "create")):
        code, words = says(data, *command)
        assert (
            code == 2
            and "without it no key or session of this server opens anything" in sentence(words)
        )
    assert not (data / accounts.SECRET).exists()


@pytest.mark.parametrize(
    "command",
    [
        ("account", "list"),
        ("account", "check"),
        ("account", "disable", "owner"),
        ("credit", "owner", "5"),
        ("key", "list"),
        ("key", "revoke", "sd_"),
        ("callbacks", "list"),
        ("backup", "copy"),
    ],
)
def test_a_folder_that_was_mistyped_is_named_and_stays_as_it_is(
    says: Says, tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    typo = tmp_path / "srv" / "fluxboth"
    code, words = says(typo, *command)
    assert code == 2 and f"There is no server's data in {typo}" in sentence(words)
    assert not typo.parent.exists() and not (tmp_path / "copy").exists()


def test_files_without_their_database_are_no_new_installation(says: Says, data: Path) -> None:
    (data / "files/tunes" / FOLDER).mkdir(parents=True)
    for path in data.glob("fluxbooth.sqlite*"):
        path.unlink()
    code, words = says(data)
    assert code == 2 and "is missing" in sentence(words) and "row 5000002" in words
    assert not (data / "fluxbooth.sqlite").exists() and (data / "files/tunes" / FOLDER).is_dir()


def test_a_database_that_is_younger_than_its_files_is_refused(says: Says, data: Path) -> None:
    place = data / "files/tunes" / FOLDER
    place.mkdir(parents=True)
    code, words = says(data)
    assert code == 2 and "is younger than its files" in sentence(words) and place.is_dir()
    place.rename(place.with_name("5000002"))  # as version 0.1.0 called them
    assert says(data)[0] == 2
    # what a request leaves that is killed
    place.with_name("5000002").rename(place.with_name(f"5000000-{'a' * 32}"))
    opening.opened(Settings(data=data)).close()


def test_a_kill_between_secret_and_database_is_a_new_installation(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data")
    Store(settings.data)
    accounts.new_pepper(settings.data)
    before = accounts.pepper(settings)
    opening.opened(settings).close()
    assert accounts.pepper(settings) == before


GIVEN = "a secret of forty letters or so, all told"


def test_a_secret_from_elsewhere_is_noted_and_another_one_is_kept_out(tmp_path: Path) -> None:
    given = read_settings(data=tmp_path / "data", secret=GIVEN)
    opening.opened(given).close()
    assert not (given.data / accounts.SECRET).exists() and GIVEN not in repr(given)
    (tmp_path / "secret").write_text(GIVEN + "\n")
    opening.opened(read_settings(data=given.data, secret_file=str(tmp_path / "secret"))).close()
    with pytest.raises(InputError, match="were made with another secret"):
        opening.opened(read_settings(data=given.data, secret=GIVEN + "?"))
    with pytest.raises(InputError, match="set one of them"):
        read_settings(data=given.data, secret=GIVEN, secret_file=str(tmp_path / "secret"))
    (tmp_path / "secret").write_text("short\n")
    with pytest.raises(InputError, match="holds 5 bytes"):
        opening.opened(read_settings(data=given.data, secret_file=str(tmp_path / "secret")))


def test_a_folders_own_secret_is_kept_to_and_may_be_made_anew(data: Path) -> None:
    with pytest.raises(InputError, match="were made with another secret"):
        opening.opened(Settings(data=data, secret=GIVEN))
    (data / accounts.SECRET).write_bytes(b"x" * 32)  # as its loss is answered
    opening.opened(Settings(data=data)).close()
    opening.opened(Settings(data=data, secret="x" * 32)).close()


def test_a_damaged_database_is_said_so(says: Says, data: Path) -> None:
    database = data / "fluxbooth.sqlite"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # all of it into the one file
    whole = database.read_bytes()
    with database.open("r+b") as file:
        file.write(b"no database, but words" * 8)
    for command in ((), ("account", "list")):
        code, words = says(data, *command)
        assert code == 1 and "is damaged" in sentence(words) and "fluxbooth restore" in words
    half = len(whole) // 2 // 4096 * 4096
    database.write_bytes(whole[:half] + b"\xff" * 4096 * 4 + whole[half + 4096 * 4 :])
    code, words = says(data)
    assert code == 1 and "is damaged" in sentence(words)


def test_a_folder_that_cannot_be_written_to_is_said_so(says: Says, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    code, words = says(tmp_path / "file" / "data")
    assert code == 1 and "cannot be written to (not a directory)" in sentence(words)


READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && shift && exec "$@"'


def test_a_read_only_folder_is_said_so(data: Path) -> None:
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", READ_ONLY, "sh", str(data)]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("this system gives a process no view of its own of the disk")
    run = [*prefix, sys.executable, "-m", "fluxbooth", "serve", "--no-worker", "--data", str(data)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "cannot be written to" in sentence(done.stderr)


FULL = '''mount -t tmpfs -o size=12m tmpfs "$2" && cp -r "$1/." "$2" && { dd if=/dev/zero of="$2/ballast" bs=4096 || true; }
shift 2 && exec "$@"'''


@pytest.mark.parametrize(
    ("command", "ends"), [(("account", "list"), 0), (("account", "create", "new"), 1)]
)
def test_a_full_disk_is_opened_and_what_finds_no_room_says_so(
    data: Path, tmp_path: Path, command: tuple[str, ...], ends: int
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    assert not list(data.glob("*-shm"))  # SQLite has to make its own on the full disk
    prefix = ["unshare", "--map-root-user", "--mount", "sh", "-c", FULL, "sh", str(data), str(disk)]
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("this system gives a process no disk of its own")
    run = [*prefix, sys.executable, "-m", "fluxbooth", *command, "--data", str(disk)]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == ends, done.stderr
    if ends:
        assert "make room on its disk" in sentence(done.stderr[done.stderr.index("fluxbooth: ") :])
