"""The host's engine process: takes jobs, keeps a child for each device, writes rows. Never imports torch.

Jobs are DBOS workflows, so that what was taken is taken up again after any kill. There is one engine per data folder, held by a file
lock; it dies with the server that started it. SIGTERM lets a training write a checkpoint, and its job goes back.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from dbos import DBOS, DBOSPortableJSONSerializer
from sqlalchemy.exc import OperationalError

from fluxbooth import log, machine
from fluxbooth.child import ChildDied, Children, Refused
from fluxbooth.errors import InputError
from fluxbooth.lifeline import die_with_parent
from fluxbooth.service import accounts, db, inputs, webhooks
from fluxbooth.service.fetch import FetchError, fetch, rules_for
from fluxbooth.service.jobs import DELIVERY, DEVICE, FAST, VERSION, JobEngine, account_secret
from fluxbooth.service.links import Signer
from fluxbooth.service.results import MOST_DEATHS, Results
from fluxbooth.service.settings import Settings, read_settings
from fluxbooth.service.store import Store, is_full
from fluxbooth.service.tables import Callback, Prompt, Tune, now

Json = dict[str, Any]
T = TypeVar("T")
SWEEP_EVERY, LOCK_WITHIN = 3600.0, 20.0
REFUSED = 2  # exit code: starting again would not help
GONE = 410  # a receiver's word that it wants no more
LONGEST_PAUSE = 30.0  # seconds between two tries to write
LONGEST_WAIT = 86_400.0  # seconds that a receiver may ask to be left alone for
RECOVERIES = 1000  # how often a job may be taken up again after the engine was killed; children that die are counted apart


class Engine:
    """What the workflows work with; one a process."""

    def __init__(self, settings: Settings) -> None:
        secret = accounts.pepper(settings.data)
        self.settings, self.children = settings, Children(settings.device_list or machine.gpus() or [""])
        self.jobs = JobEngine(settings, Signer(secret, settings.url))
        self.results = Results(settings, db.Database(settings.database_url), Store(settings.data), self.jobs)
        self.rules = rules_for(settings)

    async def train(self, number: int) -> Json | None:
        request = await written(self.results.begin_training, number)
        if request is None:
            return None
        losses, told = list[float](), [0.0]

        async def heard(event: Json) -> None:
            if event["event"] == "sample":
                await written(self.results.sampled, number, event)
            if event["event"] == "warning":
                await written(self.results.warned, number, [event["text"]])
            if event["event"] == "checkpoint":
                await written(self.results.got_further, number)
            if event["event"] != "step":
                return
            losses.append(event["loss"])
            if time.monotonic() - told[0] > 1.0 or event["step"] == event["steps"]:
                told[0] = time.monotonic()
                try:
                    await asyncio.to_thread(self.results.progress, number, event, losses)
                except OperationalError as fault:  # the training itself goes on
                    log.error(fault)

        return await self.children.run(request, lambda: self.results.tune_wanted(number), heard)

    async def draw(self, number: int) -> Json | None:
        request = await written(self.results.begin_drawing, number)
        if request is None:
            return None

        async def heard(event: Json) -> None:
            if event["event"] == "picture" and event["done"] < event["of"]:  # the last come with the result
                try:
                    await asyncio.to_thread(self.results.drawn, number, event["pictures"])
                except OperationalError as fault:  # they come with the result, too
                    log.error(fault)

        return await self.children.run(request, lambda: self.results.prompt_wanted(number), heard)

    def fetch_inputs(self, number: int) -> None:
        """The pictures that a prompt starts from and was given by address. Raises FetchError, or InputError for what is no picture."""
        if prompt := self.results.prompt_to_fetch_for(number):
            store = self.results.store
            self.results.inputs_fetched(number, inputs.fetch_missing(prompt, store, lambda url, path: fetch(url, path, self.rules)))

    def fetch_photos(self, number: int) -> None:
        """Photos given by address, one after another, each kept as it arrives. Raises FetchError naming the one that will not come."""
        for photo, url in self.results.photos_to_fetch(number):
            if not self.results.tune_wanted(number):
                return
            target = self.results.store.incoming / f"tune-{number}-{photo}"
            fetch(url, target, self.rules)
            key = f"tunes/{number}/photos/{photo}.jpg"
            self.results.store.take(target, key)
            self.results.photo_fetched(number, photo, key)

    def deliver(self, callback_id: str, attempt: int) -> None:
        """One attempt; a failed one enqueues the next, ten in all."""
        with self.results.db.read() as session:
            row = session.get(Callback, callback_id)
            if row is None or row.delivered_at or row.failed_at:
                return
            secret, url, body = account_secret(session, row), row.url, row.body.encode()
        headers = webhooks.signed_headers(secret, callback_id, int(time.time()), body)
        answer = webhooks.deliver(url, body, headers, self.rules)
        log.write("callback", callback=callback_id, attempt=attempt, status=answer.status, reason=answer.reason or None)
        with self.results.db.write() as session:
            row = session.get(Callback, callback_id)
            if row is None or row.delivered_at or row.attempts >= attempt:
                return
            row.attempts, row.last_error = attempt, answer.error
            if answer.delivered:
                row.delivered_at = now()
            elif attempt >= webhooks.ATTEMPTS or answer.status == GONE:
                row.failed_at = now()
            else:
                wait = max(webhooks.delay(attempt + 1, random.Random()), min(answer.retry_after or 0.0, LONGEST_WAIT))
                self.jobs.deliver(session, callback_id, attempt + 1, wait)
            if row.prompt_id and attempt == 1:  # an order may have waited for this
                session.flush()
                self.jobs.settle(session, row.account_id)


engine: Engine  # set by `main` before any workflow runs


@DBOS.workflow(name="train", max_recovery_attempts=RECOVERIES)
async def train(number: int) -> None:
    await run(number, Tune, "train")


@DBOS.workflow(name="draw", max_recovery_attempts=RECOVERIES)
async def draw(number: int) -> None:
    await run(number, Prompt, "draw")


async def run(number: int, kind: type[Tune] | type[Prompt], work: str) -> None:
    with log.about(job=f"{'tune' if kind is Tune else 'prompt'}-{number}"):
        log.write("begun", work=work)
        log.write("over", outcome=await ended(number, kind, work))


async def ended(number: int, kind: type[Tune] | type[Prompt], work: str) -> str:
    """Does a job and tells everybody who waits for it; what came of it."""
    results = engine.results
    publish = results.publish_tune if kind is Tune else results.publish_prompt
    fail = results.fail_tune if kind is Tune else results.fail_prompt
    try:
        answer = await tried(number, work)
        if answer["outcome"] == "done":
            await written(publish, number, answer["result"])
        elif answer["outcome"] == "failed":
            await written(fail, number, answer["reason"])
        outcome = answer["outcome"]
    except Exception as fault:  # whatever it was, whoever waits for this job must hear of its end
        log.error(fault)
        outcome = "fault"
        await written(fail, number, "A fault of the server ended this; its log says more.")
    await written(results.tidy, kind, number)
    return outcome


async def written(work: Callable[..., T], *arguments: Any) -> T:
    """Does what writes rows or files, and waits while the disk is full or the database taken: the end of a job must not be lost."""
    wait = min(1.0, LONGEST_PAUSE)
    while True:
        try:
            return await asyncio.to_thread(work, *arguments)
        except (OperationalError, OSError) as fault:
            if isinstance(fault, OSError) and not is_full(fault):
                raise
            log.error(fault)
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_PAUSE)


async def tried(number: int, work: str) -> Json:
    """The outcome of a job, tried again when the child dies on it, but not for ever."""
    while True:
        answer: Json = await attempt(number, work)
        if answer["outcome"] != "died":
            return answer
        if answer["deaths"] >= MOST_DEATHS:
            reason = f"The process that does the work died {answer['deaths']} times on this, at the same place: it may need more memory."
            return {"outcome": "failed", "reason": reason}


@DBOS.step(name="attempt")
async def attempt(number: int, work: str) -> Json:
    """One try at a job. Its answer is kept by the engine, so that a kill right after it repeats nothing."""
    try:
        await asyncio.to_thread(engine.fetch_photos if work == "train" else engine.fetch_inputs, number)
        result = await (engine.train(number) if work == "train" else engine.draw(number))
    except (Refused, FetchError, InputError) as error:
        return {"outcome": "failed", "reason": str(error)}
    except ChildDied as error:
        # counted here, in the step: a workflow that is taken up again runs through its finished steps without doing them
        deaths = await written(engine.results.died, Tune if work == "train" else Prompt, number)
        log.write("child died", how=str(error), deaths=deaths, most=MOST_DEATHS)
        return {"outcome": "died", "deaths": deaths}
    return {"outcome": "done", "result": result} if result is not None else {"outcome": "unwanted"}


@DBOS.workflow(name="deliver", max_recovery_attempts=RECOVERIES)
async def deliver(callback_id: str, attempt: int) -> None:
    await post(callback_id, attempt)


@DBOS.step(name="post")
async def post(callback_id: str, attempt: int) -> None:
    await asyncio.to_thread(engine.deliver, callback_id, attempt)


def lock(data: Path) -> IO[str]:
    """The right to be the engine of a data folder. Raises InputError if another engine keeps it."""
    file = (data / "engine.lock").open("w")
    until = time.monotonic() + LOCK_WITHIN
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > until:
                raise InputError(
                    f"Another engine works on {data}: stop it, or start this server with --no-worker; several engines need PostgreSQL."
                ) from None
            time.sleep(0.1)  # one that was just stopped is still writing its checkpoint


def main() -> None:
    global engine
    settings = read_settings()
    die_with_parent(signal.SIGTERM)
    try:
        held = lock(settings.data)
    except InputError as error:
        print(f"fluxbooth: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    engine = Engine(settings)
    engine.children.start()  # they take longer to start than all that follows
    DBOS(config={
        "name": "fluxbooth", "system_database_url": settings.database_url, "executor_id": "local", "application_version": VERSION,
        "sys_db_pool_size": 10, "serializer": DBOSPortableJSONSerializer(), "run_migrations": True, "log_level": "WARNING",
        "enable_otlp": False,
    })  # fmt: skip
    engine.results.sweep(now())
    stop = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    DBOS.launch()
    for name in (DEVICE, FAST):
        DBOS.register_queue(name, worker_concurrency=len(engine.children.all), polling_interval_sec=0.2, on_conflict="always_update")
    DBOS.register_queue(DELIVERY, worker_concurrency=20, polling_interval_sec=0.5, on_conflict="always_update")
    (settings.data / "engine.pid").write_text(str(os.getpid()))
    while not stop.wait(SWEEP_EVERY):
        engine.results.sweep(now())
    if engine.children.loop is not None:
        asyncio.run_coroutine_threadsafe(engine.children.stop(), engine.children.loop).result()
    held.close()
    os._exit(0)  # the job under way stays taken: the next engine goes on with it


if __name__ == "__main__":
    main()
