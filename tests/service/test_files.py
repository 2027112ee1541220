"""Files follow rows: what is refused leaves nothing, what is killed is swept, and nobody is
ever given a stranger's photos."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sqlite3
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from safetensors.numpy import save
from sqlalchemy import event, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.photos import inspection
from fluxbooth.service import account_data
from fluxbooth.service.billing import ledger
from fluxbooth.service.billing.prices import Prices
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import MoreForm, TuneForm
from fluxbooth.service.db.tables import Account, Photo, Tune, now
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.files import row_folders
from fluxbooth.service.files.store import Store
from fluxbooth.service.safety import Judge
from fluxbooth.service.tunes import photo_drafts, train_more, tunes
from tests.service.test_tenants import signed_in
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.installation import Sent, files_of
from tests.support.server import pictures
from tests.support.walking import unmatched

PHOTO = sorted(PHOTOS.glob("*.png"))[0].read_bytes()
NOTHING: tuple[list[str], list[str]] = ([], [])
CAPTIONED = [*pictures(2), ("tune[images][]", ("photo-01.txt", b"ohwx man in his home"))]
WRONG = {"tune[prompts_attributes][0][text]": "<lora:nobody:1> ohwx man"}
DEAR = {"step": {"flux-lora-portrait": 100}, "picture": 1000}


@pytest.fixture(scope="module")
def dear(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A house in which nothing is free but trials."""
    with in_process_server(
        blank, tmp_path_factory.mktemp("dear") / "data", prices=DEAR, checkpoints=0
    ) as opened:
        yield opened


def a_lora() -> bytes:
    """A LoRA of one layer and rank 1, as a file."""
    name = "transformer.single_transformer_blocks.0.attn.to_q.lora_{}.weight"
    return save(
        {
            name.format("A"): np.ones((1, 256), np.float32),
            name.format("B"): np.ones((256, 1), np.float32),
        }
    )


def left(in_process_server: InProcessServer) -> tuple[list[str], list[str]]:
    return unmatched(in_process_server.db, in_process_server.settings.data)


def rich(in_process_server: InProcessServer, name: str) -> tuple[int, httpx.Client]:
    account, client = in_process_server.guest(name)
    with in_process_server.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 10_000_000)
    return account, client


def train(client: httpx.Client, files: Any = None, **fields: str) -> httpx.Response:
    form = {"tune[title]": "t", "tune[name]": "man", "tune[preset]": "flux-lora-portrait"}
    return client.post("/tunes", data=form | fields, files=files or pictures(1))


@pytest.mark.parametrize("end", ["402", "503"])
def test_an_id_that_was_rolled_back_was_seen_by_nobody(
    dear: InProcessServer, capfd: pytest.CaptureFixture[str], end: str
) -> None:
    """It is given again, as if it had never been: no answer, log line, file or row had it."""
    client = dear.guest(f"poor {end}")[1] if end == "402" else rich(dear, "unlucky")[1]
    with dear.db.read() as session:
        given = session.connection().exec_driver_sql(
            "SELECT name, seq + 1 FROM sqlite_sequence WHERE name IN ('tunes', 'prompts')"
        )
        coming = {"prompts": 1} | dict(map(tuple, given))

    def refuse(session: Session) -> None:
        raise OperationalError("COMMIT", {}, sqlite3.OperationalError("database is locked"))

    prompt = {"tune[prompts_attributes][0][text]": "ohwx man at sea"}
    if end == "503":
        event.listen(Session, "before_commit", refuse)
    try:
        answer = train(client, CAPTIONED, **prompt)
    finally:
        if end == "503":
            event.remove(Session, "before_commit", refuse)
    assert answer.status_code == int(end), answer.text
    with contextlib.closing(sqlite3.connect(dear.settings.database)) as connection:
        rows = "\n".join(connection.iterdump())
    files = [str(path) for path in dear.settings.data.rglob("*")]
    seen = [answer.text, str(answer.headers), *capfd.readouterr(), rows, *files]
    its = re.compile(rf"\b{coming['tunes']}\b|prompt-{coming['prompts']}\b")
    assert not [found for text in seen for found in its.findall(text)]
    made = train(rich(dear, f"next {end}")[1], CAPTIONED, **prompt).raise_for_status().json()
    assert made["id"] >= coming["tunes"]


def test_what_is_refused_leaves_nothing_for_the_next_tune_to_train_on(
    dear: InProcessServer,
) -> None:
    _, first = rich(dear, "first")
    account, second = rich(dear, "second")
    poor = dear.guest("poor")[1]
    form = {"tune[title]": "t", "tune[name]": "man"}
    refused = [
        train(first, CAPTIONED, **WRONG),
        train(poor, CAPTIONED),
        first.post(
            "/p/corporate/tunes",
            data=form | {"tune[prompt_attributes][cfg_scale]": "7"},
            files=CAPTIONED,
        ),
        poor.post("/p/corporate/tunes", data=form, files=CAPTIONED),
    ]
    assert [answer.status_code for answer in refused] == [422, 402, 422, 402]
    assert left(dear) == NOTHING
    made = train(second, pictures(1)).raise_for_status().json()
    assert dear.files(f"tunes/{made['id']}") == ["000.png"]
    request = dear.results.begin_training(made["id"])
    assert request and [Path(photo).read_bytes() for photo in request["photos"]] == [PHOTO]
    out = io.BytesIO()
    sink = account_data.Zip(out)
    assert account_data.export(dear.db, dear.results.store, account, sink) == 1
    sink.close()
    (name,) = [name for name in zipfile.ZipFile(out).namelist() if name.startswith("files/")]
    assert name.endswith("/photos/000.png")


def test_a_lora_file_or_a_picture_that_is_refused_leaves_nothing(dear: InProcessServer) -> None:
    _, client = rich(dear, "importer")
    poor = dear.guest("poor importer")[1]
    lora = [("tune[lora_file]", ("a.safetensors", a_lora()))]
    assert train(client, lora, **WRONG).status_code == 422
    start = {"prompt[text]": "a man", "prompt[denoising_strength]": "0.5"}
    files = {"prompt[input_image]": ("a.png", PHOTO), "prompt[mask_image]": ("b.png", PHOTO)}
    assert poor.post("/prompts", data=start, files=files).status_code == 402
    assert left(dear) == NOTHING
    made = client.post("/prompts", data=start, files=files).raise_for_status().json()
    assert dear.files(f"prompts/{made['id']}") == ["input_image.jpg", "mask_image.png"]
    again = (
        client.post(f"/prompts/{made['id']}/duplicate", json={"prompt": {"num_images": 2}})
        .raise_for_status()
        .json()
    )
    client.delete(f"/prompts/{made['id']}").raise_for_status()
    assert dear.files(f"prompts/{again['id']}") == ["input_image.jpg", "mask_image.png"]
    assert train(client, lora).status_code == 201 and left(dear) == NOTHING


def test_train_more_without_funds_leaves_nothing(dear: InProcessServer) -> None:
    account, client = rich(dear, "goes on")
    tune = train(client).raise_for_status().json()["id"]
    dear.trained(tune)
    results = dear.results

    def more(session: Any, owner: Account) -> Tune:
        return train_more.more(
            Context.of(results, session, owner),
            tune,
            MoreForm.read({"steps": 1000}),
        )

    with dear.db.write() as session:
        owner = session.get_one(Account, account)
        ledger.credit(session, owner, -ledger.balance(session, account))
    with pytest.raises(ServiceError, match="Funds do not cover"):
        dear.write(account, more)
    assert left(dear) == NOTHING
    with dear.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 10_000_000)
    made = dear.write(account, more).id
    request = results.begin_training(made)
    assert request and Path(request["spec"]["continue_from"]).is_file()
    results.fail_tune(made, "no luck")
    results.tidy(Tune, made)
    assert dear.files(f"tunes/{made}") == ["000.png"] and left(dear) == NOTHING


def test_a_draft_keeps_its_photos_until_they_are_paid_for(dear: InProcessServer) -> None:
    account, _ = dear.guest("saver")
    browser, draft = signed_in(dear, account), "a-draft-of-a-saver"
    browser.post(
        f"/app/drafts/{draft}/photos", files={"photo": ("a.png", PHOTO)}
    ).raise_for_status()
    browser.post(
        f"/app/drafts/{draft}/photos/1/caption", data={"caption": "ohwx man smiling"}
    ).raise_for_status()
    form = {
        "tune[title]": "t",
        "tune[name]": "man",
        "tune[preset]": "flux-lora-portrait",
        "draft": draft,
    }
    assert browser.post("/app/tunes", data=form).status_code == 402
    assert len(browser.get(f"/app/drafts/{draft}/photos").json()["photos"]) == 1
    with dear.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 10_000_000)
    answer = browser.post("/app/tunes", data=form)
    assert answer.status_code == 303
    assert dear.files(f"tunes/{answer.headers['location'].rpartition('/')[2]}") == [
        "000.png",
        "000.txt",
    ]
    assert left(dear) == NOTHING


def test_a_picture_to_go_on_from_leaves_no_copy(dear: InProcessServer) -> None:
    account, client = rich(dear, "varies")
    prompt = client.post("/prompts", json={"text": "a man"}).raise_for_status().json()["id"]
    dear.drawn(prompt)
    name = (
        client.get(f"/prompts/{prompt}").json()["images"][0].rpartition("/")[2].removesuffix(".jpg")
    )
    browser = signed_in(dear, account)
    form = {"text": "a man", "count": "1", "from": name}
    assert (
        browser.post(f"/app/pictures/{name}/vary").status_code
        == browser.post("/app/prompts", data=form).status_code
        == 303
    )
    assert browser.post("/app/prompts", data={**form, "count": "99"}).status_code == 422
    assert left(dear) == NOTHING and dear.files(f"prompts/{prompt}") == ["0.jpg"]


def test_the_sweep_takes_what_a_kill_left_and_not_what_is_under_way(dear: InProcessServer) -> None:
    store, results = dear.results.store, dear.results
    made = train(rich(dear, "kept")[1]).raise_for_status().json()["id"]
    stray = store.path(f"tunes/{made + 1}-{'a' * 32}/photos/000.jpg")
    killed = store.arrivals / "0123456789abcdef" / "photo.part"
    for path in (stray, killed, store.incoming / "arriving.part"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PHOTO)
    (store.arrivals / "of-0.1.0.part").write_bytes(PHOTO)
    dear.sweep(now())
    assert left(dear) == (
        [str((store.incoming / "arriving.part").relative_to(dear.settings.data))],
        [],
    )
    (store.incoming / "arriving.part").unlink()

    account = dear.account()
    photo = store.incoming / "photo.part"
    photo.write_bytes(PHOTO)
    with results.db.write() as session:  # its files are in place, its row is not
        form = TuneForm.read({"title": "under way", "name": "man", "branch": "fast"})
        tune = tunes.create(
            Context.of(results, session, session.get_one(Account, account)),
            form,
            [Sent(photo, "a.png")],
        )
        sweeping = threading.Thread(target=row_folders.sweep, args=(results.db, store))
        sweeping.start()
        sweeping.join(0.3)
        assert sweeping.is_alive() and dear.files(f"tunes/{tune.id}") == ["000.png"]
    sweeping.join()
    photo.unlink()
    assert dear.files(f"tunes/{tune.id}") == ["000.png"] and left(dear) == NOTHING


def test_a_folder_that_is_there_is_nobody_elses(dear: InProcessServer) -> None:
    with dear.db.write() as session:
        tune = session.get_one(Tune, train(rich(dear, "twice")[1]).raise_for_status().json()["id"])
        with pytest.raises(FileExistsError):
            row_folders.make(session, dear.results.store, tune)


def test_rows_of_the_first_version_keep_their_folders(dear: InProcessServer) -> None:
    _, client = rich(dear, "old")
    tune, store = train(client, CAPTIONED).raise_for_status().json()["id"], dear.results.store
    with dear.db.write() as session:
        row = session.get_one(Tune, tune)
        store.path(row.folder).rename(store.path(f"tunes/{tune}"))
        for photo in row.photos:
            photo.key = (photo.key or "").replace(row.folder, f"tunes/{tune}")
        session.flush()
        session.execute(update(Tune).where(Tune.id == tune).values(nonce=""))
    assert httpx.get(client.get(f"/tunes/{tune}").json()["orig_images"][0]).content == PHOTO
    dear.trained(tune)
    dear.sweep(now())
    assert (
        dear.files(f"tunes/{tune}") == ["000.png", "000.txt", "001.png", "lora.safetensors"]
        and left(dear) == NOTHING
    )
    client.delete(f"/tunes/{tune}").raise_for_status()
    assert dear.files(f"tunes/{tune}") == [] and left(dear) == NOTHING


def test_what_a_job_leaves_that_no_row_names_goes_at_its_end(dear: InProcessServer) -> None:
    tune = train(rich(dear, "cancels")[1]).raise_for_status().json()["id"]
    request, results = dear.results.begin_training(tune), dear.results
    assert request
    late = results.store.path(results.store.path(dear.row(Tune, tune).folder).name)
    made = dear.made(request, "lora.safetensors")
    with dear.db.write() as session:
        tunes.cancel(
            session, results.jobs, session.get_one(Account, dear.row(Tune, tune).account_id), tune
        )
    # in place, and then rolled back
    results.store.take(Path(made["lora"]), f"{dear.row(Tune, tune).folder}/lora.safetensors")
    results.tidy(Tune, tune)
    assert (
        not late.exists() and dear.files(f"tunes/{tune}") == ["000.png"] and left(dear) == NOTHING
    )


def test_a_photo_that_arrives_for_a_deleted_tune_is_not_kept(dear: InProcessServer) -> None:
    _, client = rich(dear, "changed their mind")
    form = {"tune": {"title": "t", "name": "man", "image_urls": ["http://127.0.0.1:9/a.jpg"]}}
    tune = client.post("/tunes", json=form).raise_for_status().json()["id"]
    ((photo, _),) = dear.results.photos_to_fetch(tune)
    client.delete(f"/tunes/{tune}").raise_for_status()
    arrived = dear.results.store.incoming / "arrived"
    arrived.write_bytes(PHOTO)
    dear.results.photo_fetched(tune, photo, arrived, Judge(dear.settings))
    arrived.unlink()  # it is still its fetcher's, who removes it
    dear.results.tidy(Tune, tune)
    assert left(dear) == NOTHING
    with dear.db.read() as session:
        assert session.get_one(Photo, photo).key is None


def test_drafts_go_with_their_day_their_tune_and_their_account(dear: InProcessServer) -> None:
    account, _ = rich(dear, "drafts")
    browser, store = signed_in(dear, account), dear.results.store
    for name in ("kept-draft-01234567", "old-draft-012345678", "made-draft-01234567"):
        browser.post(
            f"/app/drafts/{name}/photos", files={"photo": ("a.png", PHOTO)}
        ).raise_for_status()
    old = store.drafts / str(account) / "old-draft-012345678"
    for path in (*old.iterdir(), old):
        os.utime(path, (0, now().timestamp() - 2 * photo_drafts.DAY))
    form = {
        "tune[title]": "t",
        "tune[name]": "man",
        "tune[preset]": "trial",
        "draft": "made-draft-01234567",
    }
    kept = store.drafts / str(account) / "made-draft-01234567"
    kept.rename(kept.with_name("x"))
    assert browser.post("/app/tunes", data=form).status_code == 422
    kept.with_name("x").rename(kept)
    assert browser.post("/app/tunes", data=form).status_code == 303
    kept.mkdir(parents=True, exist_ok=True)  # as after a kill between the commit and this
    (kept / "1.jpg").write_bytes(PHOTO)
    dear.sweep(now())
    assert [path.name for path in (store.drafts / str(account)).iterdir()] == [
        "kept-draft-01234567"
    ]
    with dear.db.write() as session:
        account_data.close(session, session.get_one(Account, account), Prices())
    dear.sweep(now())
    assert not (store.drafts / str(account)).exists()


def test_a_tune_for_an_account_that_was_deleted_meanwhile_is_refused(
    dear: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, client = rich(dear, "deleted while it sends")
    looked = inspection.look

    def then_deleted(*arguments: Any) -> Any:
        seen = looked(*arguments)
        with dear.db.write() as session:
            account_data.close(session, session.get_one(Account, account), Prices())
        account_data.purge(dear.db, dear.results.store, dear.results.jobs, account)
        return seen

    monkeypatch.setattr(inspection, "look", then_deleted)
    assert train(client).status_code == 403
    assert left(dear) == NOTHING
    with dear.db.read() as session:
        assert not session.query(Tune).filter(Tune.account_id == account).count()


def test_a_store_has_one_folder_for_what_arrives_in_a_process(tmp_path: Path) -> None:
    first, second = Store(tmp_path), Store(tmp_path)
    assert first.incoming == second.incoming and not files_of(first.folder, "tunes/1")
    second.sweep()
    assert first.incoming.is_dir()
