"""The ledger: whatever is asked, ended, repeated or killed, in whatever order, it adds up."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from fluxbooth.errors import InputError
from fluxbooth.prompts.options import OPTIONS
from fluxbooth.service.accounts import accounts
from fluxbooth.service.billing import ledger, prices
from fluxbooth.service.context import Context
from fluxbooth.service.contract.forms import PromptForm, TuneForm
from fluxbooth.service.db.tables import Account, Movement, Prompt, Tune, now
from fluxbooth.service.errors import NotFound, ServiceError
from fluxbooth.service.prompts import prompts
from fluxbooth.service.settings import read_settings
from fluxbooth.service.tunes import tunes
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import pictures

Json = dict[str, Any]

STEP, PICTURE, MEGAPIXEL, GRAIN = 7, 1000, 6400, 50
PRICES = {
    "step": {"none": STEP},
    "picture": PICTURE,
    "megapixel": MEGAPIXEL,
    "options": {"film_grain": GRAIN},
}
NANO = PICTURE + 100  # a picture of 2**14 of a megapixel's 2**20
FATES = st.sampled_from(("done", "done", "twice", "lost", "lost, then done"))


class Killed(Exception):
    pass


@contextlib.contextmanager
def killed_before_commit() -> Iterator[None]:
    def die(_: Session) -> None:
        raise Killed

    event.listen(Session, "before_commit", die)
    try:
        with pytest.raises(Killed):
            yield
    finally:
        event.remove(Session, "before_commit", die)


def meet(fate: str, step: Callable[[], object]) -> bool:
    """Does a step of one transaction, with what kills may make of it. Whether it took place."""
    if fate.startswith("lost"):
        with killed_before_commit():
            step()
        if fate == "lost":
            return False
    step()
    if fate == "twice":
        step()
    return True


@pytest.fixture(scope="module")
def shop(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A house with prices, one of them for an option."""
    with in_process_server(
        blank, tmp_path_factory.mktemp("shop") / "data", prices=PRICES
    ) as opened:
        yield opened


@pytest.mark.parametrize("option", get_args(prices.Option))
def test_an_option_that_is_refused_has_no_price(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPTIONS, option, replace(OPTIONS[option], refused="is not built"))
    with pytest.raises(
        InputError, match=rf"FLUXBOOTH_PRICES_OPTIONS.*{option} cannot have a price.*does not do it"
    ):
        read_settings(data=tmp_path, prices={"options": {option: 5}})
    assert read_settings(data=tmp_path, prices={"options": {option: 0}}).prices.options == {
        option: 0
    }


class Ledger(RuleBasedStateMachine):
    """An account, its jobs and the engine.

    The model of each job: its cost, and whether it is open, done or refunded.
    """

    work = Bundle("work")
    numbers = itertools.count(1)

    def __init__(self, in_process_server: InProcessServer) -> None:
        super().__init__()
        self.in_process_server, self.results, self.credits = (
            in_process_server,
            in_process_server.results,
            0,
        )
        self.cost: dict[str, int] = {}
        self.pictures: dict[str, int] = {}  # that a prompt asks for
        self.state: dict[str, str] = {}
        self.shown: dict[str, int] = {}  # pictures of a prompt that were published before its end
        self.needs: dict[str, str] = {}  # a prompt's job → the job of the tune it waits for
        with in_process_server.db.write() as session:
            self.account = accounts.create_account(session, f"machine {next(self.numbers)}")

    def free(self) -> int:
        return self.credits - sum(
            self.earned(job) if self.state[job] == "refunded" else cost
            for job, cost in self.cost.items()
        )

    def earned(self, job: str) -> int:
        """Of a job that ended before it was done: for the pictures that were published by then."""
        return self.cost[job] // self.pictures.get(job, 1) * self.shown.get(job, 0)

    def end(self, job: str, state: str) -> None:
        if self.state[job] == "open":
            self.state[job] = state

    def end_prompts_of(self, job: str) -> None:
        for prompt, tune in self.needs.items():
            if tune == job:
                self.end(prompt, "refunded")

    @rule(amount=st.integers(1, 30_000), fate=FATES)
    def credit(self, amount: int, fate: str) -> None:
        reference = f"r{next(self.numbers)}"

        def step() -> None:
            with self.in_process_server.db.write() as session:
                ledger.credit(session, self.account, amount, reference)

        self.credits += amount if meet(fate, step) else 0

    @rule(
        target=work,
        photos=st.integers(1, 4),
        steps=st.none() | st.integers(1, 900),
        nested=st.lists(st.integers(1, 4), max_size=2),
        fast=st.booleans(),
        lost=st.booleans(),
    )
    def accept_tune(
        self, photos: int, steps: int | None, nested: list[int], fast: bool, lost: bool
    ) -> Any:
        texts = [
            {"text": f"{'sks' if fast else 'ohwx'} man at sea", "num_images": count}
            for count in nested
        ]
        asked = {
            "title": "t",
            "name": "man",
            "steps": steps,
            "branch": "fast" if fast else "flux1",
            "prompts_attributes": texts,
            "image_urls": [f"http://127.0.0.1/{i}.png" for i in range(photos)],
        }
        costs = (
            [0] * (1 + len(nested))
            if fast
            else [STEP * (steps or max(300, 100 * photos)), *(count * NANO for count in nested)]
        )
        made: list[str] = []

        def step() -> None:
            with self.in_process_server.db.write() as session:
                form, owner = TuneForm.read(asked), session.get_one(Account, self.account.id)
                tune = tunes.create(
                    Context.of(self.results, session, owner),
                    form,
                    [],
                )
                drawn = session.scalars(
                    select(Prompt).where(Prompt.uses.any(tune_id=tune.id)).order_by(Prompt.id)
                )
                made[:] = [tune.job, *(prompt.job for prompt in drawn)]

        return self.accepted(step, costs, made, lost)

    @rule(
        target=work,
        count=st.integers(1, 8),
        grain=st.booleans(),
        lost=st.booleans(),
        on=st.none() | work,
    )
    def accept_prompt(self, count: int, grain: bool, lost: bool, on: str | None) -> Any:
        tune = on if on and on.startswith("tune") and self.state[on] != "refunded" else None
        made: list[str] = []
        fast = False

        def step() -> None:
            nonlocal fast
            with self.in_process_server.db.write() as session:
                owner = session.get_one(Account, self.account.id)
                row = session.get_one(Tune, int(tune.split("-")[1])) if tune else None
                fast = row is not None and row.branch == "fast"
                form = PromptForm.read(
                    {
                        "text": f"{'sks' if fast else 'ohwx'} man at sea",
                        "num_images": count,
                        "film_grain": grain,
                    }
                )
                target = row.id if row else 1504944
                made[:] = [
                    prompts.create(
                        Context.of(self.results, session, owner),
                        form,
                        target=target,
                    ).job
                ]

        if tune and self.gone(tune):
            return multiple()
        branch_is_fast = bool(tune) and self.cost[tune or ""] == 0
        # of a trial, the plain pictures are free
        costs = [count * ((0 if branch_is_fast else NANO) + (GRAIN if grain else 0))]
        jobs = self.accepted(step, costs, made, lost)
        if made and tune:
            self.needs.update({job: tune for job in made if job in self.state})
        return jobs

    def gone(self, job: str) -> bool:
        with self.in_process_server.db.read() as session:
            return session.get_one(Tune, int(job.split("-")[1])).deleted_at is not None

    def accepted(
        self, step: Callable[[], None], costs: list[int], made: list[str], lost: bool
    ) -> Any:
        if sum(costs) > self.free():
            with pytest.raises(ServiceError, match="Funds do not cover this") as refusal:
                step()
            assert refusal.value.status == 402
            return multiple()
        if not meet("lost" if lost else "done", step):
            return multiple()
        self.cost.update(zip(made, costs, strict=True))
        self.state.update(dict.fromkeys(made, "open"))
        self.needs.update(dict.fromkeys(made[1:], made[0]))
        with self.in_process_server.db.read() as session:
            for job in made:
                if job.startswith("prompt"):
                    prompt = session.get_one(Prompt, int(job.split("-")[1]))
                    self.pictures[job] = prompt.num_images
        return multiple(*made)

    @rule(job=work, count=st.integers(1, 7))
    def some_pictures_are_drawn(self, job: str, count: int) -> None:
        kind, number = job.split("-")
        waits = self.needs.get(job) and self.state[self.needs[job]] == "open"
        if kind == "tune" or self.state[job] != "open" or waits:
            return
        for _ in range(2):  # the second time after a kill
            self.in_process_server.shown(int(number), count)
        drawn = min(count, self.pictures[job])
        self.shown[job] = max(self.shown.get(job, 0), drawn)

    @rule(job=work, fate=FATES, good=st.booleans(), every=st.sampled_from((1, 3)))
    def the_engine_ends_it(self, job: str, fate: str, good: bool, every: int) -> None:
        """A training may end after one in `every` of its steps, because nothing got better."""
        kind, number = job.split("-")
        planned = max(1, self.cost[job] // STEP)
        trained = max(1, planned // every)
        if kind == "prompt" and self.needs.get(job) and self.state[self.needs[job]] == "open":
            return  # it is not in the queue yet
        if kind == "tune":
            self.results.begin_training(int(number))
            step = (
                (
                    lambda: self.results.publish_tune(
                        int(number), {"lora": "/nowhere", "steps": trained, "planned": planned}
                    )
                )
                if good
                else (lambda: self.results.fail_tune(int(number), "It did not work."))
            )
        else:
            request = self.results.begin_drawing(int(number))
            result = self.in_process_server.pictures(request) if request else {"pictures": []}
            step = (
                (lambda: self.results.publish_prompt(int(number), result))
                if good
                else (lambda: self.results.fail_prompt(int(number), "It did not work."))
            )
        before = self.state[job]
        if meet(fate, step):
            self.end(job, "done" if good else "refunded")
            if kind == "tune" and good and before == "open":
                self.cost[job] = STEP * trained if self.cost[job] else 0
            if kind == "tune" and not good and before == "open":
                self.end_prompts_of(job)

    @rule(job=work, fate=FATES)
    def the_owner_cancels(self, job: str, fate: str) -> None:
        if not job.startswith("tune") or self.gone(job):
            return

        def step() -> None:
            with self.in_process_server.db.write() as session:
                tunes.cancel(session, self.results.jobs, self.account, int(job.split("-")[1]))

        before = self.state[job]
        if meet(fate, step) and before == "open":
            self.end(job, "refunded")
            self.end_prompts_of(job)

    @rule(job=consumes(work), fate=st.sampled_from(("done", "lost, then done")))
    def the_owner_deletes(self, job: str, fate: str) -> None:
        kind, number = job.split("-")

        def step() -> None:
            with self.in_process_server.db.write() as session:
                if kind == "tune":
                    tunes.delete(
                        session, self.results.jobs, self.account, int(number), with_prompts=True
                    )
                else:
                    prompts.delete(session, self.results.jobs, self.account, int(number))

        if kind == "prompt" and self.deleted_with_its_tune(int(number)):
            return
        if kind == "tune" and self.gone(job):  # it expired before
            with pytest.raises(NotFound):
                step()
            return
        meet(fate, step)
        self.end(job, "refunded")
        if kind == "tune":
            self.end_prompts_of(job)

    def deleted_with_its_tune(self, number: int) -> bool:
        with self.in_process_server.db.read() as session:
            return session.get_one(Prompt, number).deleted_at is not None

    @rule(job=work)
    def it_expires(self, job: str) -> None:
        if not job.startswith("tune") or self.state[job] != "done" or self.gone(job):
            return
        with self.in_process_server.db.write() as session:
            session.get_one(Tune, int(job.split("-")[1])).expires_at = now()
        for _ in range(2):
            self.in_process_server.sweep(now())
        self.end_prompts_of(job)

    def cut_short(self, job: str) -> dict[str, int]:
        if self.state[job] == "open":
            return {}
        back = self.cost[job] - self.earned(job)
        return {"capture": back} if self.shown.get(job) else {"refund": back}

    @invariant()
    def it_adds_up(self) -> None:
        with self.in_process_server.db.read() as session:
            rows = session.scalars(
                select(Movement).where(Movement.account_id == self.account.id)
            ).all()
            assert ledger.balance(session, self.account.id) == self.free() >= 0
        assert sum(row.amount_mc for row in rows) == self.free()
        moved: dict[str, dict[str, int]] = {}
        for row in rows:
            moved.setdefault(row.job, {})[row.kind] = row.amount_mc
        endings = {"done": {"capture": 0}}
        for job, cost in self.cost.items():
            ending = endings.get(self.state[job]) or self.cut_short(job)
            assert moved.pop(job, {}) == ({"hold": -cost, **ending} if cost else {}), job
        assert all(set(kinds) == {"credit"} for kinds in moved.values())


def test_the_ledger_adds_up_whatever_happens(shop: InProcessServer) -> None:
    bounds = settings(
        max_examples=25,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(lambda: Ledger(shop), settings=bounds)


@pytest.mark.slow
def test_the_ledger_adds_up_whatever_happens_for_long(shop: InProcessServer) -> None:
    bounds = settings(
        max_examples=1000,
        stateful_step_count=50,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(lambda: Ledger(shop), settings=bounds)


def rich(shop: InProcessServer, name: str, amount: int) -> httpx.Client:
    account, guest = shop.guest(name)
    with shop.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), amount)
    return guest


def new_tune(guest: httpx.Client, photos: int, **fields: str) -> Json:
    form = {"tune[title]": "t", "tune[name]": "man"} | {
        f"tune[{name}]": value for name, value in fields.items()
    }
    answer = guest.post("/tunes", data=form, files=pictures(photos))
    assert answer.status_code == 201, answer.text
    return answer.json()


def left(guest: httpx.Client) -> int:
    return guest.get("/users").json()["usd_balance_mc"]


def test_an_estimate_is_what_is_then_held(shop: InProcessServer) -> None:
    guest = rich(shop, "careful", 20_000)

    def estimate(kind: str, **asked: object) -> Json:
        return (
            guest.get(
                f"/estimates/{kind}", params={name: str(value) for name, value in asked.items()}
            )
            .raise_for_status()
            .json()
        )

    whole = estimate("tune", photos=2)
    assert (whole["steps"], whole["cost_mc"], whole["cost"], whole["covered"]) == (
        300,
        300 * STEP,
        3,
        True,
    )
    short = estimate("tune", photos=2, steps=10)
    assert short["cost_mc"] == 10 * STEP
    assert (
        estimate("tune", photos=2, preset="flux-lora-portrait")["cost_mc"]
        == estimate("tune", photos=2, branch="fast")["cost_mc"]
        == 0
    )
    assert estimate("tune", photos=50, steps=9000)["covered"] is False
    tune = new_tune(guest, 2)
    assert (tune["cost_mc"], left(guest)) == (300 * STEP, 20_000 - 300 * STEP)
    free = new_tune(guest, 1, branch="fast")
    assert free["cost_mc"] == 0 == estimate("prompt", tune_id=free["id"], num_images=8)["cost_mc"]
    asked = {"num_images": 2, "film_grain": True, "w": 128, "h": 256}
    cost = 2 * (PICTURE + 2 * 100 + GRAIN)
    assert estimate("prompt", tune_id=tune["id"], **asked)["cost_mc"] == cost
    shop.trained(tune["id"])
    with shop.db.write() as session:
        session.get_one(Tune, tune["id"]).progress = {"steps_per_second": 4.0}
    assert (estimate("tune", photos=2)["measured"], estimate("tune", photos=2)["seconds"]) == (
        True,
        75.0,
    )
    key = {"Idempotency-Key": "once"}
    for _ in range(2):
        drawn = guest.post(
            f"/tunes/{tune['id']}/prompts", json={"text": "ohwx man at sea", **asked}, headers=key
        ).json()
    assert (drawn["cost_mc"], left(guest)) == (cost, 20_000 - 300 * STEP - cost)
    shop.drawn(drawn["id"])
    with shop.db.write() as session:
        row = session.get_one(Prompt, drawn["id"])
        assert row.trained_at
        row.started_training_at = row.trained_at - datetime.timedelta(seconds=10)
    again = estimate("prompt", tune_id=tune["id"], **{**asked, "num_images": 4, "h": 128})
    # twice as many of half the size
    assert (again["pictures"], again["seconds"], again["measured"]) == (4, 10.0, True)
    assert guest.get("/estimates/prompt", params={"tune_id": 12}).status_code == 404
    assert guest.get("/estimates/prompt", params={"num_images": 9}).status_code == 422


def test_what_was_never_done_here_is_guessed(blank: Path, tmp_path: Path) -> None:
    with in_process_server(blank, tmp_path / "data") as opened:
        whole, short = (
            opened.http.get("/estimates/tune", params={"photos": 2, "steps": steps}).json()
            for steps in (300, 10)
        )
        picture = opened.http.get("/estimates/prompt").json()
    assert not whole["measured"] and not picture["measured"]
    assert short["seconds"] > 0 and picture["seconds"] > 0
    assert whole["seconds"] == pytest.approx(30 * short["seconds"])


def test_without_funds_nothing_is_made_and_what_failed_costs_nothing(shop: InProcessServer) -> None:
    guest = rich(shop, "poor", NANO)
    answer = guest.post("/prompts", json={"text": "a man", "num_images": 2})
    assert answer.status_code == 402
    assert (
        answer.json()["error"]
        == answer.json()["base"][0]
        == "Funds do not cover this: it costs $0.022, and $0.011 are free. Add credit first."
    )
    nested = {
        "title": "t",
        "name": "man",
        "image_urls": ["http://127.0.0.1/x.png"],
        "steps": 1,
        "prompts_attributes": [{"text": "ohwx man"}],
    }
    assert guest.post("/tunes", json={"tune": nested}).status_code == 402
    assert guest.get("/prompts").json() == guest.get("/tunes").json() == [] and left(guest) == NANO
    drawn = guest.post("/prompts", json={"text": "a man"}).json()
    assert left(guest) == 0
    shop.results.fail_prompt(drawn["id"], "It did not work.")
    assert left(guest) == NANO
    assert [row.kind for row in ledger_of(shop, "poor")] == ["refund", "hold", "credit"]


def ledger_of(shop: InProcessServer, name: str) -> Sequence[Movement]:
    with shop.db.read() as session:
        return ledger.movements(session, accounts.find(session, name), limit=10)


def test_packs_say_what_they_cost_and_orders_what_they_did(shop: InProcessServer) -> None:
    guest = rich(shop, "packer", 10_000)
    pack = guest.get("/p/corporate").json()
    cover = httpx.get(pack["cover_url"])
    assert (cover.status_code, cover.headers["content-type"]) == (200, "image/webp")
    assert pack["costs"]["person"] == {"cost": 7, "cost_mc": 6 * NANO, "num_images": 6}
    assert pack["cost_mc_hash"] == dict.fromkeys(("man", "woman", "person"), 6 * NANO)
    assert {row["cost_mc"] for row in pack["template_prompts"]} == {NANO}
    tune = new_tune(guest, 1, steps="1")
    ran = guest.post(
        "/p/corporate/tunes",
        json={"tune": {"tune_ids": [tune["id"]], "prompt_attributes": {"film_grain": True}}},
    ).json()
    assert ran["order"]["total_cost_mc"] == 6 * (NANO + GRAIN)
    assert left(guest) == 10_000 - STEP - 6 * (NANO + GRAIN)
    guest.delete(f"/tunes/{tune['id']}").raise_for_status()
    assert left(guest) == 10_000
    with pytest.raises(InputError, match="FLUXBOOTH_PRICES"):
        read_settings(prices={"step": {"flux-lora-focus": -1}})


@pytest.mark.parametrize(
    "how", ["fails", "its tune is deleted", "both are deleted", "is deleted", "is cancelled"]
)
@pytest.mark.parametrize("count", [0, 3])
def test_what_was_shown_is_charged_however_the_prompt_ends(
    shop: InProcessServer, how: str, count: int
) -> None:
    name = f"{how} {count}"
    guest = rich(shop, name, 20_000)
    tune = new_tune(guest, 1, steps="10")["id"]
    shop.trained(tune)
    before = left(guest)
    asked = {"text": "ohwx man at sea", "num_images": 4}
    prompt = guest.post(f"/tunes/{tune}/prompts", json=asked).json()["id"]
    shop.shown(prompt, count)
    shop.shown(prompt, count)  # after a kill: the same pictures, at the same addresses
    before_the_end = image_names(shop, prompt)
    if how == "fails":
        shop.results.fail_prompt(prompt, "The process that does the work died.")
    elif how == "is cancelled":
        cancel(shop, name, prompt)
    else:
        tune_goes = f"/tunes/{tune}{'?delete_prompts=true' if how == 'both are deleted' else ''}"
        guest.delete(f"/prompts/{prompt}" if how == "is deleted" else tune_goes).raise_for_status()
    assert left(guest) == before - count * NANO
    row = shop.row(Prompt, prompt)
    assert row.cost_mc == count * NANO
    if row.deleted_at is None:
        shown = guest.get(f"/prompts/{prompt}").json()
        names = [address.rpartition("/")[2].partition(".")[0] for address in shown["images"]]
        assert names == before_the_end and len(names) == count
        assert ("3 of 4 pictures were drawn" in shown["user_error"]) == bool(count)
    kinds = [movement.kind for movement in ledger_of(shop, name)]
    assert kinds[0] == ("capture" if count else "refund")


def image_names(shop: InProcessServer, prompt: int) -> list[str]:
    with shop.db.read() as session:
        return [image.name for image in session.get_one(Prompt, prompt).images]


def cancel(shop: InProcessServer, name: str, prompt: int) -> None:
    with shop.db.write() as session:
        prompts.cancel(session, shop.results.jobs, accounts.find(session, name), prompt)


def test_racing_for_the_last_money_ends_with_one_winner(shop: InProcessServer) -> None:
    account, guest = shop.guest("racer")
    with shop.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 2 * NANO + 1, "race")
    statuses: list[int] = []
    race = threading.Barrier(6)

    def spend() -> None:
        race.wait()
        statuses.append(guest.post("/prompts", json={"text": "a man at sea"}).status_code)

    racers = [threading.Thread(target=spend) for _ in range(6)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert sorted(statuses) == [201, 201, 402, 402, 402, 402]
    assert guest.get("/users").json()["usd_balance_mc"] == 1


def test_steps_that_were_not_trained_are_given_back_in_the_row_of_the_capture(
    shop: InProcessServer,
) -> None:
    account, _ = shop.guest("early")
    with shop.db.write() as session:
        owner = session.get_one(Account, account)
        ledger.credit(session, owner, 3000)
        form = TuneForm.read(
            {"title": "t", "name": "man", "image_urls": ["http://127.0.0.1/1.png"]}
        )
        number = tunes.create(Context.of(shop.results, session, owner), form, []).id
        assert ledger.balance(session, account) == 3000 - 300 * STEP
    shop.results.begin_training(number)
    result = {"lora": "/nowhere", "steps": 200, "planned": 300, "chosen": 100}

    def publish() -> None:
        shop.results.publish_tune(number, result)

    with killed_before_commit():
        publish()
    assert len(ledger_of(shop, "early")) == 2
    for _ in range(2):
        publish()
        rows = [(row.kind, row.amount_mc) for row in ledger_of(shop, "early")]
        assert rows == [("capture", 100 * STEP), ("hold", -300 * STEP), ("credit", 3000)]
    with shop.db.read() as session:
        row = session.get_one(Tune, number)
        assert (row.cost_mc, row.steps) == (200 * STEP, 200)


@pytest.mark.parametrize(
    ("cost", "planned", "trained", "back"),
    [(2100, 300, 300, 0), (2100, 300, 200, 700), (100, 3, 1, 66), (0, 300, 1, 0), (7, 1, 5, 0)],
)
def test_no_fraction_of_a_step_is_given_away(
    cost: int, planned: int, trained: int, back: int
) -> None:
    assert prices.untrained(cost, planned, trained) == back


def test_a_repeat_moves_nothing_and_the_database_refuses_what_no_code_should_write(
    shop: InProcessServer,
) -> None:
    account, _ = shop.guest("double")
    with shop.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 100)
        for _ in range(2):
            ledger.hold(session, account, "tune-0", 70)
        row = Tune(id=0, cost_mc=70)
        for _ in range(2):
            ledger.refund(session, row)
            assert ledger.balance(session, account) == 100 and row.cost_mc == 0
        ledger.capture(session, "tune-0")
        assert ledger.balance(session, account) == 100
        ledger.capture(session, "tune-00")  # what was free has nothing to capture
    assert [row.kind for row in ledger_of(shop, "double")] == ["refund", "hold", "credit"]
    for second in ("hold", "capture", "refund"):
        with pytest.raises(IntegrityError), shop.db.write() as session:
            for kind in ("hold", "refund", second) if second != "hold" else ("hold", "hold"):
                session.add(Movement(account_id=account, job="tune-1", kind=kind, amount_mc=0))
                session.flush()


def test_a_balance_that_is_not_the_sum_of_its_rows_is_found(shop: InProcessServer) -> None:
    """Rows of whoever writes them count, of an earlier version too; what is wrong is named."""
    account, _ = shop.guest("cooked")
    with shop.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 100)
        session.execute(
            text(
                "INSERT INTO ledger (account_id, job, kind, amount_mc, created_at) "
                f"VALUES ({account}, 'credit-old', 'credit', 5, '2026-11-01 00:00:00')"
            )
        )
        assert ledger.balance(session, account) == 105 and not ledger.wrong(session)
        cook = "UPDATE accounts SET balance_mc = balance_mc + {} WHERE id = " + str(account)
        session.execute(text(cook.format(3)))
        assert ledger.wrong(session) == [(account, 108, 105)]
        session.execute(text(cook.format(-3)))


def test_a_reference_credits_once(shop: InProcessServer) -> None:
    account, guest = shop.guest("payer")
    for _ in range(2):
        with shop.db.write() as session:
            ledger.credit(session, session.get_one(Account, account), 500_000, "invoice 7")
    assert guest.get("/users").json()["usd_balance_mc"] == 500_000
    with pytest.raises(InputError, match="invoice 7"), shop.db.write() as session:
        ledger.credit(session, session.get_one(Account, account), 400_000, "invoice 7")


@pytest.mark.parametrize(
    ("typed", "amount", "said"),
    [
        ("25", 2_500_000, "$25.00"),
        ("$4.5", 450_000, "$4.50"),
        ("0.00025", 25, "$0.00025"),
        ("-3.31", -331_000, "-$3.31"),
    ],
)
def test_amounts_are_exact(typed: str, amount: int, said: str) -> None:
    assert ledger.millicents(typed) == amount
    assert ledger.dollars(amount) == said


@pytest.mark.parametrize(
    "typed",
    [
        *("", "0", "ten", "nan", "inf", "1e30", "0.000001", "--5"),
        *("1e999999", "-1e999999", "1_0", "１", "1e2", ".", "12345678901", "1.00000000000000001"),
    ],
)
def test_what_is_no_amount_is_refused(typed: str) -> None:
    with pytest.raises(InputError, match="write dollars like"):
        ledger.millicents(typed)
