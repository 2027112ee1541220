"""A data folder that version 0.1.0 left, with work waiting and under way, under this version.

`tests/data/version_0_1_0` is what a server of that version had when it was killed: all rows of its
database, and what had been written of the training at step 2 of 12."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.service.billing import ledger
from tests.support.server import Server

LEFT = Path(__file__).parents[1] / "data" / "version_0_1_0"
UNDER_WAY, WAITING, PICTURES = 5000000, 5000001, (1, 2)


def left(data: Path) -> None:
    data.mkdir()
    with contextlib.closing(sqlite3.connect(data / "fluxbooth.sqlite")) as rows:
        rows.executescript((LEFT / "rows.sql").read_text())
    (data / "secret").write_bytes(secrets.token_bytes(32))
    for tune in (UNDER_WAY, WAITING):
        photos = data / "files" / "tunes" / str(tune) / "photos"
        photos.mkdir(parents=True)
        for number, photo in enumerate(sorted(PHOTOS.glob("*.png"))[:4]):
            shutil.copy(photo, photos / f"{number:03}.png")
    work = data / "files" / "tunes" / str(UNDER_WAY) / "work" / "run"
    shutil.copytree(LEFT / "run", work)
    (work / "step-000002").mkdir()  # of weights that this version would not read


def test_what_version_0_1_0_left_is_done_by_this_one_and_costs_what_was_held(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    left(data)
    made = [sys.executable, "-m", "fluxbooth", "key", "create", "--data", str(data), "--json"]
    server = Server(data, prices=json.dumps({"step": {"none": 10}, "picture": 1000}))
    found = re.search(r"sd_[\w-]+", subprocess.run(made, capture_output=True, text=True).stdout)
    assert found
    server.key = found[0]
    with server:
        for tune in (UNDER_WAY, WAITING):
            assert server.finished_tune(tune)["trained_at"]
        for picture in PICTURES:
            assert server.finished_prompt(picture)["images"]
        assert "begun anew" in server.log.read_text()  # for nano is taught otherwise since
        with server.database.read() as session:
            spent = 500_000 - ledger.balance(session, 1)
        assert spent == 12 * 10 + 4 * 10 + 2 * 1000
