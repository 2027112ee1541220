"""What the pages say and offer by the bases that are served: what each may be used for, what was
reported of it, photos that are looked at, pictures that are edited."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from fluxbooth.service import metering
from fluxbooth.service.db.metering_tables import Report
from fluxbooth.service.db.tables import Account, Prompt
from fluxbooth.service.prompts import references
from tests.service.conftest import blank
from tests.service.test_tenants import signed_in
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import pictures

__all__ = ["blank"]
DRAFT = "a-draft-0000000000"


@pytest.fixture(scope="module")
def klein(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    data = tmp_path_factory.mktemp("klein") / "data"
    with in_process_server(blank, data, base="flux2-klein") as opened:
        yield opened


@pytest.fixture(scope="module")
def dev(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(
        blank,
        tmp_path_factory.mktemp("dev") / "data",
        base="flux-dev",
        flux_dev_license="commercial",
        bfl_key="a-key",
        bfl_url="http://127.0.0.1:9",
        safety="off",
        lora_download=True,
    ) as opened:
        yield opened


def owner(server: InProcessServer) -> httpx.Client:
    with server.db.read() as session:
        number = session.scalars(select(Account.id).order_by(Account.id)).first()
    assert number is not None
    return signed_in(server, number)


def words(page: httpx.Response) -> str:
    assert page.status_code == 200, page.text
    return " ".join(re.sub(r"<[^>]+>", " ", page.text).split())


def test_the_server_page_says_what_may_be_used_for_what_and_what_was_reported(
    klein: InProcessServer, dev: InProcessServer
) -> None:
    said = words(owner(klein).get("/app/server"))
    assert "Flux2.klein 4B base_tune_id 2004 May be used for: any use, commercial too." in said
    assert "Looks at reference pictures, at most 4 for a picture." in said
    assert "FLUXBOOTH_LORA_DOWNLOAD" not in said and "reported to Black Forest Labs" not in said
    with dev.db.write() as session:
        metering.count(session, dev.settings, "flux-dev", "prompt-7", 5)
        session.add(Report(model="flux-1-dev", pictures=3, unanswered=1))
    assert not metering.report(dev.db, dev.settings)  # nobody is there
    said = words(owner(dev).get("/app/server"))
    assert "May be used for: non-commercial use; commercial use needs a licence" in said
    assert "FLUXBOOTH_LORA_DOWNLOAD=true hands out LoRAs of flux-dev and flux-krea" in said
    assert "flux-1-dev 0 reported, 5 still to be reported." in said
    assert "3 may have been counted once too often" in said and "cannot be reached" in said
    assert "a-key" not in said


def test_a_new_tune_may_be_a_reference_where_the_base_looks_at_pictures(
    klein: InProcessServer, dev: InProcessServer
) -> None:
    assert "Nothing is learnt" not in words(owner(dev).get("/app/tunes/new", follow_redirects=True))
    browser = owner(klein)
    said = words(browser.get("/app/tunes/new", follow_redirects=True))
    assert "Reference Nothing is learnt: pictures look at the photo (at most 4)." in said
    assert "Flux2.klein 4B: any use, commercial too." in said
    plan = browser.get("/app/plan", params={"preset": "reference", "photos": 1}).json()
    assert plan["words"] == ["Nothing is learnt: it is ready at once."]
    form = {"draft": DRAFT, "tune[title]": "me", "tune[name]": "man", "tune[preset]": "reference"}
    answer = browser.post("/app/tunes", data=form, files=pictures(1))
    assert answer.status_code == 303, answer.text
    page = words(browser.get(answer.headers["location"]))
    assert "A reference: flux2-klein looks at the photo, and nothing was learnt." in page


def test_the_page_create_edits_a_picture_or_starts_from_it(klein: InProcessServer) -> None:
    form = {"tune[title]": "me", "tune[name]": "man", "tune[model_type]": "faceid"}
    tune = klein.http.post("/tunes", data=form, files=pictures(1)).json()["id"]
    browser = owner(klein)
    assert 'name="how" value="edit" checked' in browser.get("/app/create").text
    picture = {"input_image": pictures(1)[0][1]}

    def made(**fields: str) -> Prompt:
        asked = {"text": "a red scarf, in a garden", "tune": str(tune), **fields}
        answer = browser.post("/app/prompts", data=asked, files=picture)
        assert answer.status_code == 303, answer.text
        with klein.db.read() as session:
            row = session.scalars(select(Prompt).order_by(Prompt.id.desc())).first()
            assert row is not None and row.text.startswith(f"<faceid:{tune}:1> ")
            return row

    edited, started = made(how="edit"), made(how="start", strength="0.4")
    assert edited.fields[references.EDITS] and "denoising_strength" not in edited.fields
    assert references.EDITS not in started.fields
    assert started.fields["denoising_strength"] == 0.4
