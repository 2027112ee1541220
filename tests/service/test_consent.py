"""The operator's consent text: who gives photos agrees to it, and the tune keeps what was agreed
to and when, whatever the operator writes later."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.service import account_data
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import MoreForm
from fluxbooth.service.db.tables import Tune, now
from fluxbooth.service.tunes import train_more
from tests.service.test_tenants import signed_in
from tests.support.in_process_server import InProcessServer, in_process_server

WORDS = "I am on these photos, or whoever is has agreed. <Version 1>"
PHOTO = sorted(PHOTOS.glob("*.png"))[0].read_bytes()
FORM = {"tune[title]": "Robin", "tune[name]": "man", "tune[preset]": "trial"}


@pytest.fixture(scope="module")
def house(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(
        blank, tmp_path_factory.mktemp("consent") / "data", consent=WORDS
    ) as opened:
        yield opened


def sent(browser: httpx.Client, draft: str, **more: str) -> httpx.Response:
    photo = {"tune[images][]": ("a.png", PHOTO)}
    form = {**FORM, "draft": draft, **{f"tune[{name}]": value for name, value in more.items()}}
    return browser.post("/app/tunes", data=form, files=photo)


def test_a_tune_keeps_what_was_agreed_to_and_when(house: InProcessServer) -> None:
    browser, began = signed_in(house, 1), now()
    assert "I am on these photos" in browser.get("/app/tunes/new", follow_redirects=True).text
    refused = sent(browser, "refused-0000000000000")
    assert refused.status_code == 422 and "Tick what you must agree to" in refused.text
    made = sent(browser, "agreed-00000000000000", consent="1")
    assert made.status_code == 303
    number = int(made.headers["location"].rpartition("/")[2])
    row: Any = house.row(Tune, number)
    assert row.consent == WORDS and began <= row.consented_at <= now()
    house.trained(number)
    later = dataclasses.replace(
        house.results, settings=house.settings.model_copy(update={"consent": "Other words."})
    )
    more = house.write(
        1,
        lambda session, account: (
            train_more.more(Context.of(later, session, account), number, MoreForm.read({})).id
        ),
    )
    again: Any = house.row(Tune, more)
    assert (again.consent, again.consented_at) == (row.consent, row.consented_at)


def test_what_was_agreed_to_is_in_the_export(house: InProcessServer, tmp_path: Path) -> None:
    made = sent(signed_in(house, 1), "exported-000000000000", consent="1")
    account_data.export(house.db, house.results.store, 1, account_data.Folder(tmp_path))
    rows = map(json.loads, (tmp_path / "rows" / "tunes.jsonl").read_text().splitlines())
    number = int(made.headers["location"].rpartition("/")[2])
    told = next(row for row in rows if row["id"] == number)
    assert told["consent"] == WORDS and told["consented_at"].endswith("+00:00")


def test_programs_have_agreed_elsewhere(house: InProcessServer) -> None:
    form = {"tune[title]": "x", "tune[name]": "man", "tune[branch]": "fast"}
    answer = house.http.post("/tunes", data=form, files={"tune[images][]": ("a.png", PHOTO)})
    row: Any = house.row(Tune, answer.json()["id"])
    assert row.consent is None and row.consented_at is None
