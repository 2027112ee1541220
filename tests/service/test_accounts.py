"""Accounts: how they come, what each may take, whose turn it is, and how they end with nothing
left."""

from __future__ import annotations

import contextlib
import heapq
import io
import itertools
import json
import sqlite3
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from fluxbooth.cli.main import main
from fluxbooth.errors import InputError
from fluxbooth.service import account_data
from fluxbooth.service.accounts import accounts, quotas, web_sessions
from fluxbooth.service.billing import ledger
from fluxbooth.service.billing.prices import Prices
from fluxbooth.service.clock import Clock
from fluxbooth.service.db.metering_tables import Metered, Report
from fluxbooth.service.db.tables import (
    Account,
    Installation,
    Movement,
    Order,
    Pack,
    Prompt,
    Removal,
    Row,
    Tune,
    now,
)
from fluxbooth.service.jobs import priority
from fluxbooth.service.settings import read_settings
from fluxbooth.web.rate_limit import SAVED, RateLimiter
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import Receiver, pictures

Json = dict[str, Any]
DAY = 24 * priority.HOUR


@pytest.fixture(scope="module")
def town(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A house with limits and prices."""
    limits: Json = {"waiting_jobs": 3, "stored_mb": 1, "prices": {"picture": 1000}}
    with in_process_server(blank, tmp_path_factory.mktemp("town") / "data", **limits) as opened:
        yield opened


class Operator:
    """The command line beside the server. What it says comes back as bytes."""

    def __init__(
        self, in_process_server: InProcessServer, said: pytest.CaptureFixture[bytes]
    ) -> None:
        self.in_process_server, self.said = in_process_server, said

    def __call__(self, *arguments: str) -> bytes:
        self.said.readouterr()
        status = main([*arguments, "--data", str(self.in_process_server.settings.data)])
        (out, err) = self.said.readouterr()
        assert status == 0, err
        return out

    def refused(self, *arguments: str) -> str:
        assert main([*arguments, "--data", str(self.in_process_server.settings.data)]) == 2
        return self.said.readouterr().err.decode()


@pytest.fixture
def operate(town: InProcessServer, capsysbinary: pytest.CaptureFixture[bytes]) -> Operator:
    return Operator(town, capsysbinary)


def new_tune(client: httpx.Client, title: str = "t", **fields: str) -> httpx.Response:
    form = {"tune[title]": title, "tune[name]": "man"} | {
        f"tune[{name}]": value for name, value in fields.items()
    }
    return client.post("/tunes", data=form, files=pictures(1))


# ── limits
# ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_account_asks_at_its_own_pace() -> None:
    clock = [0.0]
    rate_limiter = RateLimiter(lambda: clock[0])
    assert [rate_limiter.wait(1, 2) for _ in range(2 * SAVED)] == [0] * 2 * SAVED
    assert (
        rate_limiter.wait(1, 2) == 0.5 and rate_limiter.wait(1, 2) == 0.5
    )  # a refusal does not count
    assert rate_limiter.wait(2, 2) == 0
    clock[0] = 0.5
    assert rate_limiter.wait(1, 2) == 0 and rate_limiter.wait(1, 2) == 0.5
    clock[0] = 1000
    assert [rate_limiter.wait(1, 2) for _ in range(2 * SAVED + 1)][-2:] == [0, 0.5]
    assert (
        rate_limiter.wait(1, 0) == 0 and rate_limiter.wait(1, 2) == 0.5
    )  # a limit that is lifted for a while
    assert (rate_limiter.wait(3, 0.01), rate_limiter.wait(3, 0.01)) == (0, 100)


def test_who_asks_too_fast_is_told_when_to_come_again(blank: Path, tmp_path: Path) -> None:
    with in_process_server(blank, tmp_path / "data", requests_per_second=0.1) as slow:
        assert slow.http.get("/users").status_code == 200
        answer = slow.http.get("/users")
        assert answer.status_code == 429 and 8 <= int(answer.headers["retry-after"]) <= 10
        assert "requests a second" in answer.json()["error"]
        assert httpx.get(f"{slow.settings.url}/gallery/packs").status_code == 200
        assert slow.guest("another")[1].get("/users").status_code == 200


def test_waiting_jobs_are_limited_and_a_finished_one_makes_room(town: InProcessServer) -> None:
    account, guest = town.guest("impatient")
    with town.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 10_000)
    made = [guest.post("/prompts", json={"text": f"a man at sea {i}"}) for i in range(4)]
    assert [answer.status_code for answer in made] == [201, 201, 201, 429]
    assert (
        made[3].headers["retry-after"] == "30" and "3 jobs are the most" in made[3].json()["error"]
    )
    assert new_tune(guest).status_code == 429
    town.drawn(made[0].json()["id"])
    assert new_tune(guest).status_code == 201
    with town.db.read() as session:
        assert quotas.waiting(session, account) == 3


def test_stored_bytes_are_limited_and_deleting_makes_room(town: InProcessServer) -> None:
    account, guest = town.guest("collector")
    size = pictures(1)[0][1][1]
    lora = {"tune[lora_file]": ("x.safetensors", a_lora(600_000))}
    form = {"tune[title]": "big", "tune[name]": "man"}
    first = guest.post("/tunes", data=form, files=[*pictures(1), *lora.items()])
    assert first.status_code == 201, first.text
    with town.db.read() as session:
        assert quotas.stored(session, account) == len(size) + len(lora["tune[lora_file]"][1])
    second = guest.post("/tunes", data=form, files=lora)
    assert second.status_code == 422 and "of 1 MB: delete" in second.json()["error"]
    guest.delete(f"/tunes/{first.json()['id']}").raise_for_status()
    assert guest.post("/tunes", data=form, files=lora).status_code == 201


def test_pictures_that_prompts_start_from_are_stored_bytes_too(town: InProcessServer) -> None:
    account, guest = town.guest("painter")
    with town.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 100_000)
    made = guest.post(
        "/prompts", data={"prompt[text]": "a man"}, files={"prompt[input_image]": pictures(1)[0][1]}
    ).json()
    kept = len(httpx.get(made["input_image"]).raise_for_status().content)
    with town.db.read() as session:
        assert quotas.stored(session, account) == kept > 0
    guest.delete(f"/prompts/{made['id']}").raise_for_status()
    with town.db.read() as session:
        assert quotas.stored(session, account) == 0


def test_an_account_may_have_limits_of_its_own(town: InProcessServer, operate: Operator) -> None:
    account, guest = town.guest("Guest of honour")
    other, modest = town.guest("Modest")
    with town.db.write() as session:
        for one in (account, other):
            ledger.credit(session, session.get_one(Account, one), 10_000)

    def limits(*flags: str) -> Json:
        shown = json.loads(operate("account", "limits", "Guest of honour", *flags, "--json"))
        assert shown["id"] == account
        return shown["limits"]

    assert limits() == {"requests_per_second": None, "waiting_jobs": None, "stored_mb": None}
    given = limits("--waiting-jobs", "1", "--requests-per-second", "0.1", "--stored-mb", "0")
    assert given == {"requests_per_second": 0.1, "waiting_jobs": 1, "stored_mb": 0}
    listed = json.loads(operate("account", "list", "--json"))["accounts"]
    assert b"is the sum of its rows" in operate("account", "check")
    assert {
        row["name"]: row["limits"]["waiting_jobs"]
        for row in listed
        if row["id"] in (account, other)
    } == {
        "Guest of honour": 1,
        "Modest": None,
    }
    assert guest.get("/users").status_code == 200
    fast = guest.get("/users")
    assert (
        fast.status_code == 429
        and 1 <= int(fast.headers["retry-after"]) <= 10
        and "0.1 requests a second" in fast.json()["error"]
    )
    assert [modest.get("/users").status_code for _ in range(3)] == [200] * 3
    limits("--requests-per-second", "0")
    made = [guest.post("/prompts", json={"text": f"a man at sea {i}"}) for i in range(2)]
    assert [answer.status_code for answer in made] == [201, 429] and "1 jobs are the most" in made[
        1
    ].json()["error"]
    assert [
        modest.post("/prompts", json={"text": f"a man at sea {i}"}).status_code for i in range(3)
    ] == [201] * 3
    assert limits("--waiting-jobs", "default") == {
        "requests_per_second": 0,
        "waiting_jobs": None,
        "stored_mb": 0,
    }
    lora = {"tune[lora_file]": ("x.safetensors", a_lora(600_000))}
    big = [
        guest.post(
            "/tunes", data={"tune[title]": f"{i}", "tune[name]": "man"}, files=lora
        ).status_code
        for i in range(2)
    ]
    assert big == [201, 201]  # more than the megabyte of everybody else
    assert b"waiting_jobs" in operate("account", "limits", "Guest of honour")
    for wrong in ("-1", "many", "nan"):
        assert "--waiting-jobs" in operate.refused(
            "account", "limits", "Modest", f"--waiting-jobs={wrong}"
        )
    slow = operate.refused("account", "limits", "Modest", "--requests-per-second=1e-300")
    assert "--requests-per-second" in slow
    with pytest.raises(InputError, match=r"REQUESTS_PER_SECOND.*shut everybody out"):
        read_settings(requests_per_second=0.01)
    assert "no account" in operate.refused("account", "limits", "Nobody", "--waiting-jobs", "1")


def a_lora(size: int) -> bytes:
    """Of nano's first single block, with zeros."""
    name, rank = "transformer.single_transformer_blocks.0.attn.to_q", size // 2048
    half = 1024 * rank
    header = json.dumps(
        {
            f"{name}.lora_A.weight": {
                "dtype": "F32",
                "shape": [rank, 256],
                "data_offsets": [0, half],
            },
            f"{name}.lora_B.weight": {
                "dtype": "F32",
                "shape": [256, rank],
                "data_offsets": [half, 2 * half],
            },
        }
    ).encode()
    return len(header).to_bytes(8, "little") + header + bytes(2 * half)


# ── whose turn it is
# ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_fifty_accounts_have_their_turns(blank: Path, tmp_path: Path) -> None:
    """As the queue itself sorts: by priority, then by the time of the job."""
    with in_process_server(blank, tmp_path / "data") as full:
        with full.db.write() as session:
            crowd = [accounts.create_account(session, f"account {i}") for i in range(50)]
            hog = crowd[0]
            for account, drawings in [(hog, 60), *((other, 3) for other in crowd[1:])]:
                tune = Tune(
                    account_id=account.id,
                    title="t",
                    name="man",
                    model_type="lora",
                    branch="flux1",
                    base="nano",
                    base_tune_id=1,
                )
                session.add(tune)
                session.flush()
                full.results.jobs.train(session, tune)
                for _ in range(drawings):
                    prompt = Prompt(
                        account_id=account.id, tune_id=1, text="t", signature="", enqueued=True
                    )
                    session.add(prompt)
                    session.flush()
                    full.results.jobs.prompt(session, prompt)
            owner = {
                row.job: row.account_id
                for kind in (Tune, Prompt)
                for row in session.scalars(select(kind))
            }
        with contextlib.closing(sqlite3.connect(full.settings.database)) as rows:
            query = "SELECT workflow_uuid FROM workflow_status WHERE status = 'ENQUEUED' ORDER BY priority, created_at"
            order = [name for (name,) in rows.execute(query)]
    assert set(order) == set(owner) and len(order) == 60 + 49 * 3 + 50
    for turn in range(3):  # in each round everybody has one turn, the one who asked for most too
        assert Counter(owner[job] for job in order[turn * 50 : turn * 50 + 50]) == Counter(
            account.id for account in crowd
        )
        assert all(job.startswith("prompt") for job in order[turn * 50 : turn * 50 + 50])
    rest = order[150:]
    trainings = [i for i, job in enumerate(rest) if job.startswith("tune")]
    # together, behind as many drawings of one account as six hours count for; only that account has
    # more
    assert (
        trainings[0] == priority.TRAINING_BEHIND / priority.DRAWING_BEHIND - 3
        and trainings[-1] - trainings[0] <= 50
    )
    assert {owner[job] for job in rest if job.startswith("prompt")} == {hog.id}


def test_in_a_rush_that_never_ends_everybody_has_a_share_and_nothing_waits_for_ever() -> None:
    """A device that one account alone could keep busy twice over, for four days: 48 others come
    now and then, and one to train."""
    queue: list[tuple[int, int, str, int]] = []  # place, number, who, when it came
    waiting: Counter[str] = Counter()
    done: dict[str, list[tuple[int, int]]] = {}  # who → when each came, and when it had its turn
    numbers = itertools.count()

    def arrive(second: int, who: str) -> None:
        place = priority.place(second, training=who == "trainer", waiting=waiting[who])
        waiting[who] += 1
        heapq.heappush(queue, (place, next(numbers), who, second))

    for second in range(0, 4 * DAY, 60):  # a drawing takes a minute
        arrive(second, "hog")
        arrive(second, "hog")
        if second % 600 == 0:
            arrive(second, f"guest {second // 600 % 48}")
        if second == DAY:
            arrive(second, "trainer")
        _, _, who, came = heapq.heappop(queue)
        waiting[who] -= 1
        done.setdefault(who, []).append((came, second))
    turns = {who: [turn - came for came, turn in pairs] for who, pairs in done.items()}
    assert (
        all(max(waits) <= 60 for who, waits in turns.items() if who.startswith("guest"))
        and len(turns) == 50
    )
    assert turns["trainer"][0] <= priority.TRAINING_BEHIND + 60
    assert (
        sum(len(waits) for waits in turns.values()) == 4 * DAY / 60
        and len(turns["hog"]) > 0.89 * 4 * DAY / 60
    )
    assert done["hog"] == sorted(done["hog"])  # one account's jobs in the order in which they came


# ── keys
# ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_that_was_cut_or_mistyped_is_told_apart(town: InProcessServer) -> None:
    account, _ = town.guest("Typist")
    with town.db.write() as session:
        keys = [
            accounts.create_key(session, session.get_one(Account, account), "", town.secret)
            for _ in range(2)
        ]
        accounts.revoke_key(session, keys[1][: accounts.PREFIX_LENGTH])
        kept = [row.digest for row in accounts.keys_of(session, session.get_one(Account, account))]
    assert (
        not {letter for key in keys for letter in (key, key[3:]) if letter in str(kept)}
        and len(kept) == 3
    )
    good, revoked = keys
    swapped = good[:20] + ("a" if good[20] != "a" else "b") + good[21:]
    for key, words in (
        (good, None),
        (revoked, "revoked"),
        (good[:-1], "cut or mistyped"),
        (swapped, "cut or mistyped"),
        ("sd_", "cut or mistyped"),
        ("sk_" + good[3:], "Authorization: Bearer"),
    ):
        answer = town.client(key).get("/users")
        assert answer.status_code == (401 if words else 200), key
        assert not words or words in answer.json()["error"]


# ── ends
# ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_account_is_disabled_and_let_in_again(town: InProcessServer, operate: Operator) -> None:
    made = json.loads(operate("account", "create", "Ann Other", "--json").splitlines()[-1])
    ann = town.client(made["key"])
    assert ann.get("/users").json()["name"] == "Ann Other"
    assert "already" in operate.refused("account", "create", "Ann Other")
    operate("account", "disable", "Ann Other")
    assert (ann.get("/users").status_code, "disabled" in ann.get("/users").json()["error"]) == (
        403,
        True,
    )
    operate("account", "enable", str(made["id"]))
    assert ann.get("/users").status_code == 200


def test_credit_is_given_by_the_operator(town: InProcessServer, operate: Operator) -> None:
    account, guest = town.guest("Payer")
    for _ in range(2):
        operate("credit", "Payer", "4.50", "--reference", "inv-1")
    assert guest.get("/users").json()["usd_balance_mc"] == 450_000
    assert operate("credit", "Payer", "-1") == b"Payer has $3.50.\n"
    assert "no account 'Nobody'" in operate.refused("credit", "Nobody", "1")
    listed = json.loads(operate("account", "list", "--json"))["accounts"]
    assert [row["balance_mc"] for row in listed if row["id"] == account] == [350_000]


def test_every_table_belongs_to_accounts_or_is_theirs_to_keep() -> None:
    known = {row.__tablename__ for row, _ in account_data.owned(1)} | {
        Account.__tablename__,
        Movement.__tablename__,
        Clock.__tablename__,
        # of the server and its licensor: they name jobs, and nobody
        Metered.__tablename__,
        Report.__tablename__,
        # files that no row names any more, until the sweep
        Removal.__tablename__,
        Installation.__tablename__,  # of the server: which secret and folder are its own
    }
    assert known == set(Row.metadata.tables)


@pytest.fixture
def estate(town: InProcessServer, receiver: Receiver) -> Iterator[tuple[int, Json]]:
    """An account with something of everything; and another one, which used its pack."""
    account, guest = town.guest(f"rich {receiver.url}")
    other, stranger = town.guest(f"stranger {receiver.url}")
    with town.db.write() as session:
        for one in (account, other):
            ledger.credit(session, session.get_one(Account, one), 20_000)
    tune = new_tune(guest, callback=receiver.url).json()
    town.sampled(tune["id"], 0, 0)
    town.trained(tune["id"])
    prompt = guest.post(
        f"/tunes/{tune['id']}/prompts", json={"text": "ohwx man at sea", "callback": receiver.url}
    ).json()
    town.drawn(prompt["id"])
    pack = guest.post(
        "/packs", json={"pack": {"title": "Mine", "public": True}}, headers={"Idempotency-Key": "a"}
    ).json()
    guest.patch(
        f"/prompts/{prompt['id']}", json={"prompt": {"pack_id": pack["id"]}}
    ).raise_for_status()
    theirs = new_tune(stranger).json()
    town.trained(theirs["id"])
    ran = stranger.post(f"/p/{pack['slug']}/tunes", json={"tune": {"tune_ids": [theirs["id"]]}})
    assert ran.status_code == 201, ran.text
    guest.post(
        f"/p/{pack['slug']}/tunes", json={"tune": {"tune_ids": [tune["id"]]}}
    ).raise_for_status()
    unfinished = new_tune(guest).json()
    with town.db.write() as session:
        web_sessions.sign_in(
            session,
            web_sessions.new_link(session, session.get_one(Account, account), town.secret),
            town.secret,
        )
        web_sessions.new_link(session, session.get_one(Account, account), town.secret)
    made = {
        "client": guest,
        "tune": tune,
        "prompt": prompt,
        "pack": pack,
        "other": other,
        "ran": ran.json(),
        "unfinished": unfinished,
    }
    yield account, made


def test_an_export_has_every_row_and_every_file(
    town: InProcessServer, operate: Operator, estate: tuple[int, Json], tmp_path: Path
) -> None:
    account, made = estate
    folder = tmp_path / "out"
    operate("account", "export", str(account), str(folder))
    with zipfile.ZipFile(io.BytesIO(operate("account", "export", str(account), "-"))) as archive:
        assert archive.testzip() is None
        zipped = {name: archive.read(name) for name in archive.namelist()}
    assert zipped == {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    rows = {
        Path(name).stem: [json.loads(line) for line in text.splitlines()]
        for name, text in zipped.items()
        if name.startswith("rows")
    }
    with town.db.read() as session:
        for row, mine in account_data.owned(account):
            assert (
                len(rows[row.__tablename__])
                == session.scalar(select(func.count()).select_from(row).where(mine))
                > 0
            ), row
    assert {row["kind"] for row in rows["ledger"]} == {"credit", "hold", "capture"}
    assert rows["accounts"][0]["id"] == account
    assert not [word for word in account_data.SECRETS if word.encode() in b"".join(zipped.values())]
    files = {name for name in zipped if name.startswith("files/")}
    of_tune = {
        Path(name).name for name in files if name.startswith(f"files/tunes/{made['tune']['id']}-")
    }
    assert of_tune == {"lora.safetensors", "000.png", "000000-0.jpg"}
    assert {
        Path(name).name
        for name in files
        if name.startswith(f"files/prompts/{made['prompt']['id']}-")
    } == {"0.jpg"}
    assert len([name for name in files if "/photos/" in name]) == 2
    assert "not empty" in operate.refused("account", "export", str(account), str(folder))


@pytest.mark.parametrize("killed", [False, True], ids=["at once", "killed half-way"])
def test_a_deleted_account_leaves_its_number_and_its_ledger(
    town: InProcessServer, operate: Operator, estate: tuple[int, Json], killed: bool
) -> None:
    account, made = estate
    assert "--yes" in operate.refused("account", "delete", str(account))
    picture = made["client"].get(f"/prompts/{made['prompt']['id']}").json()["images"][0]
    assert httpx.get(picture).status_code == 200
    held = made["client"].get("/users").json()["usd_balance_mc"]
    if killed:  # between the transaction that closes it and the removal; the next sweep goes on
        with town.db.write() as session:
            account_data.close(session, session.get_one(Account, account), Prices())
        town.sweep(now())
    else:
        operate("account", "delete", str(account), "--yes")
    assert made["client"].get("/users").status_code == 401
    assert httpx.get(picture).status_code == 404
    assert httpx.get(f"{town.settings.url}/p/{made['pack']['slug']}").status_code == 404
    with town.db.read() as session:
        for row, mine in account_data.owned(account):
            assert session.scalar(select(func.count()).select_from(row).where(mine)) == 0, row
        left = session.get_one(Account, account)
        assert (left.name, left.webhook_secret) == ("", "") and left.deleted_at
        assert ledger.balance(session, account) == held + 1000  # what the run of its pack held
        theirs = session.get_one(Order, made["ran"]["order"]["id"])
        assert (
            theirs.pack_id is None
            and session.get_one(Prompt, made["ran"]["prompt_ids"][0]).deleted_at is None
        )
    assert not town.files(f"tunes/{made['tune']['id']}")
    # the engine finds nobody who waits for what was queued
    number = made["unfinished"]["id"]
    assert (
        town.results.begin_training(number) is None and town.results.count_crash(Tune, number) == 0
    )
    left = town.results.store.path(f"tunes/{number}-{'0' * 32}/work")
    left.mkdir(parents=True)
    town.results.tidy(Tune, number)
    assert not left.parent.exists()


# ── what else has no engine in it
# ────────────────────────────────────────────────────────────────────────────────────


def test_expiry_ends_the_orders_that_waited(town: InProcessServer, receiver: Receiver) -> None:
    account, guest = town.guest(f"late {receiver.url}")
    with town.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 5000)
    tune = new_tune(guest).json()
    town.trained(tune["id"])
    text = {
        "text": "ohwx man at sea",
        "pack_id": guest.post("/packs", json={"title": f"Late {receiver.url}"}).json()["id"],
    }
    template = guest.post(f"/tunes/{tune['id']}/prompts", json={"prompt": text}).json()
    body = {"tune_ids": [tune["id"]], "prompts_callback": receiver.url}
    ran = guest.post(f"/p/{text['pack_id']}/tunes", json={"tune": body}).json()
    assert (
        ran["order"]["total_cost_mc"] == 1000
        and guest.get("/users").json()["usd_balance_mc"] == 3000
    )
    with town.db.write() as session:
        session.get_one(Tune, tune["id"]).expires_at = now()
    town.sweep(now())
    with town.db.read() as session:
        assert session.get_one(Order, ran["order"]["id"]).called_at
        waiting = session.scalars(
            select(Movement.job).where(Movement.account_id == account, Movement.kind == "refund")
        )
        assert set(waiting) == {f"prompt-{template['id']}", f"prompt-{ran['prompt_ids'][0]}"}
    assert guest.get("/users").json()["usd_balance_mc"] == 5000


def test_a_stranger_s_like_counts_for_the_original(town: InProcessServer) -> None:
    _, guest = town.guest("maker")
    _, stranger = town.guest("liker")
    with town.db.write() as session:
        for one in ("maker", "liker"):
            ledger.credit(session, accounts.find(session, one), 10_000)
    mine, theirs = new_tune(guest).json(), new_tune(stranger).json()
    town.trained(mine["id"])
    town.trained(theirs["id"])
    original = guest.post(f"/tunes/{mine['id']}/prompts", json={"text": "ohwx man at sea"}).json()
    pack = guest.post("/packs", json={"title": "Likeable", "public": True}).json()
    guest.patch(
        f"/prompts/{original['id']}", json={"prompt": {"pack_id": pack["id"]}}
    ).raise_for_status()
    drawn = stranger.post(
        f"/p/{pack['id']}/tunes", json={"tune": {"tune_ids": [theirs["id"]]}}
    ).json()["prompt_ids"][0]
    assert stranger.post(f"/prompts/{drawn}/likes").status_code == 201
    assert guest.get(f"/prompts/{original['id']}").json()["prompt_likes_count"] == 1
    assert stranger.get(f"/prompts/{original['id']}").status_code == 404
    # which pack a prompt was made from may be said of any prompt, but no pack that its owner cannot
    # see
    plain = stranger.post("/prompts", json={"text": "a man", "base_pack_id": pack["id"]}).json()
    assert plain["base_pack_id"] == pack["id"]
    assert (
        stranger.patch(f"/prompts/{plain['id']}", json={"prompt": {"base_pack_id": ""}}).json()[
            "base_pack_id"
        ]
        is None
    )
    with town.db.write() as session:
        session.get_one(Pack, pack["id"]).public_at = None
    refused = stranger.patch(
        f"/prompts/{plain['id']}", json={"prompt": {"base_pack_id": pack["id"]}}
    )
    assert refused.status_code == 422 and "base_pack_id" in refused.json()


def test_two_who_close_an_account_at_once_do_it_once(town: InProcessServer) -> None:
    account, _ = town.guest("twice gone")
    both = [
        threading.Thread(
            target=account_data.purge,
            args=(town.db, town.results.store, town.results.jobs, account),
        )
        for _ in range(2)
    ]
    with town.db.write() as session:
        account_data.close(session, session.get_one(Account, account), Prices())
    for one in both:
        one.start()
    for one in both:
        one.join()
    with town.db.read() as session:
        assert session.get_one(Account, account).name == ""
