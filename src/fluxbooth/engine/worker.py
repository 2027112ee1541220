"""The host's engine process: takes jobs, keeps a process for each device, writes rows. Never
imports torch.

Jobs are DBOS workflows, so that what was taken is taken up again after any kill. There is one
engine per data folder, held by a file lock; it dies with the server that started it. SIGTERM lets a
training write a checkpoint, and its job goes back.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from dbos import DBOS, DBOSPortableJSONSerializer

from fluxbooth import hardware, locks, log
from fluxbooth.engine import liveness
from fluxbooth.engine.device_pool import (
    DevicePool,
    DeviceProcessDied,
    DiedAtOtherWork,
    ForkServerDied,
    NoRoom,
    Refused,
)
from fluxbooth.engine.sharing import Waits
from fluxbooth.errors import FluxboothError, InputError
from fluxbooth.events import DeviceEvent
from fluxbooth.files import is_full
from fluxbooth.process_lifetime import PARENT, die_with_parent
from fluxbooth.service import clock, expiry, fetching, metering, opening, safety
from fluxbooth.service.accounts import accounts
from fluxbooth.service.db import database
from fluxbooth.service.db.tables import Prompt, Tune
from fluxbooth.service.files import reserve
from fluxbooth.service.files.signed_urls import Signer
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.jobs.queue import (
    APART,
    DELIVERY,
    DEVICE,
    FAST,
    FAST_PICTURES,
    FETCH,
    LONG,
    PICTURES,
    VERSION,
    JobEngine,
)
from fluxbooth.service.outgoing.fetch import rules_for
from fluxbooth.service.settings import Settings, read_settings
from fluxbooth.service.transitions import MOST_DEATHS, Transitions
from fluxbooth.types import Json

T = TypeVar("T")
DEATHS = {
    ForkServerDied: "fork server died",
    DiedAtOtherWork: "device process died at other work",
}  # which are no fault of the job that is told of them
SWEEP_EVERY, LOCK_WITHIN = 3600.0, 20.0
REFUSED = 2  # exit code: starting again would not help
LONGEST_PAUSE = 30.0  # seconds between two tries to write
TO_A_HOST, OF_AN_ACCOUNT, OF_ALL = 4, 16, 128  # callbacks that are delivered at once
# tunes and prompts whose pictures are fetched at once, of an account and in all
FETCHES, ALL_FETCHES = 2, 64
# seconds between two looks at a queue, 0.5 of others: a look takes milliseconds of a processor that
# may be the one which trains
ASKED_EVERY = {DEVICE: 0.2, PICTURES: 0.2, LONG: 1.0, FETCH: 1.0}
OF_TUNES = ("train", "fetch_photos")  # kinds of work
# how often a job may be taken up again after the engine was killed; device processes that die are
# counted apart
RECOVERIES = 1000


class Engine:
    """What the workflows work with; one a process."""

    def __init__(self, settings: Settings) -> None:
        secret = accounts.pepper(settings)
        self.settings = settings
        self.devices = DevicePool(settings.device_list or hardware.gpus() or [""])
        self.jobs = JobEngine(settings, Signer(secret, settings.url))
        self.results = Transitions(
            settings, database.Database(settings.rows_url), Store(settings.data), self.jobs
        )
        self.rules = rules_for(settings)
        # to deliver, by account
        self.turns = defaultdict[int, asyncio.Semaphore](lambda: asyncio.Semaphore(OF_AN_ACCOUNT))
        self.turn = asyncio.Semaphore(OF_ALL)

    async def train(self, number: int) -> Json | None:
        request = await retry_write(self.results.begin_training, number)
        if request is None:
            return None
        losses, told = list[float](), [0.0]

        async def on_event(event: DeviceEvent) -> None:
            if event["event"] == "begun":
                await retry_write(self.results.training_begun, number)
            if event["event"] == "sample":
                await retry_write(self.results.sampled, number, event)
            if event["event"] == "scored":
                await retry_write(self.results.scored, number, event)
            if event["event"] == "warning":
                await retry_write(self.results.warned, number, [event["text"]])
            if event["event"] == "prepared":
                await retry_write(self.results.prepared, number, event)
            if event["event"] == "checkpoint":
                await retry_write(self.results.reset_crashes, number)
            if event["event"] != "step":
                return
            losses.append(event["loss"])
            if time.monotonic() - told[0] > 1.0 or event["step"] == event["steps"]:
                told[0] = time.monotonic()
                try:
                    await asyncio.to_thread(self.results.progress, number, event, losses)
                except database.BUSY as fault:  # the training itself goes on
                    log.error(fault)

        return await self.devices.run(request, lambda: self.results.tune_wanted(number), on_event)

    async def draw(self, number: int) -> Json | None:
        request = await retry_write(self.results.begin_drawing, number)
        if request is None:
            return None

        async def on_event(event: DeviceEvent) -> None:
            if event["event"] == "begun":
                await retry_write(self.results.drawing_begun, number)
            # the last come with the result
            if event["event"] == "picture" and event["done"] < event["of"]:
                try:
                    await asyncio.to_thread(self.results.drawn, number, event["pictures"])
                except database.BUSY as fault:  # they come with the result, too
                    log.error(fault)

        return await self.devices.run(request, lambda: self.results.prompt_wanted(number), on_event)

    async def fetch_photos(self, number: int) -> Json:
        await retry_write(fetching.photos, self.results, number, self.rules)
        return {}

    async def fetch_inputs(self, number: int) -> Json:
        await retry_write(fetching.input_pictures, self.results, number, self.rules)
        return {}

    async def deliver(self, callback_id: str, attempt: int) -> None:
        """One attempt, when its account has a turn."""
        row = await asyncio.to_thread(callbacks.find, self.results.db, callback_id)
        if row is not None:
            async with self.turns[row.account_id], self.turn:
                await asyncio.to_thread(
                    callbacks.deliver, self.results.db, self.jobs, self.rules, callback_id, attempt
                )


engine: Engine  # set by `main` before any workflow runs


@DBOS.workflow(name="train", max_recovery_attempts=RECOVERIES)
async def train(number: int) -> None:
    await run(number, Tune, "train")


@DBOS.workflow(name="draw", max_recovery_attempts=RECOVERIES)
async def draw(number: int) -> None:
    await run(number, Prompt, "draw")


@DBOS.workflow(name="fetch_photos", max_recovery_attempts=RECOVERIES)
async def fetch_photos(number: int) -> None:
    await run(number, Tune, "fetch_photos")


@DBOS.workflow(name="fetch_inputs", max_recovery_attempts=RECOVERIES)
async def fetch_inputs(number: int) -> None:
    await run(number, Prompt, "fetch_inputs")


async def run(number: int, kind: type[Tune] | type[Prompt], work: str) -> None:
    with log.about(job=f"{'tune' if kind is Tune else 'prompt'}-{number}"):
        log.write("begun", work=work)
        log.write("over", outcome=await ended(number, kind, work))


async def ended(number: int, kind: type[Tune] | type[Prompt], work: str) -> str:
    """Does a job and tells everybody who waits for it; what came of it."""
    results = engine.results
    fetched = {"fetch_photos": results.photos_here, "fetch_inputs": results.inputs_here}
    publish = results.publish_tune if kind is Tune else results.publish_prompt
    fail = results.fail_tune if kind is Tune else results.fail_prompt
    try:
        answer = await run_with_retries(number, work)
        if answer["outcome"] == "done" and work in fetched:
            await retry_write(fetched[work], number)
        elif answer["outcome"] == "done":
            await retry_write(publish, number, answer["result"])
        elif answer["outcome"] == "failed":
            await retry_write(fail, number, answer["reason"])
        elif answer["outcome"] == "waits":
            await retry_write(results.draw_alone, number, answer["reason"])
            return "waits"  # its other job goes on with what this one leaves
        outcome = answer["outcome"]
    except Exception as fault:  # whatever it was, whoever waits for this job must hear of its end
        log.error(fault)
        outcome = "fault"
        await retry_write(fail, number, "A fault of the server ended this; its log says more.")
    await retry_write(results.tidy, kind, number)
    return outcome


async def patiently(work: Callable[[], Awaitable[T]]) -> T:
    """Does it, and does it again after a while as long as the disk is full or the database
    taken."""
    wait = min(1.0, LONGEST_PAUSE)
    while True:
        try:
            return await work()
        except (*database.BUSY, OSError, NoRoom) as fault:
            if isinstance(fault, OSError) and not is_full(fault):
                raise
            log.error(fault)
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_PAUSE)


async def retry_write(work: Callable[..., T], *arguments: Any) -> T:
    """Does what writes rows or files: the end of a job must not be lost."""
    return await patiently(lambda: asyncio.to_thread(work, *arguments))


async def run_with_retries(number: int, work: str) -> Json:
    """The outcome of a job, tried again when the device process dies on it, but not for ever."""
    while True:
        # once more if the disk had no room to note what came of it: work that is done is not done
        # again then
        answer = await patiently(lambda: attempt(number, work))
        if answer["outcome"] != "died":
            return answer
        if answer["deaths"] >= MOST_DEATHS:
            reason = (
                f"The process that does the work died {answer['deaths']} times on this, at the "
                "same place: it may need more memory."
            )
            return {"outcome": "failed", "reason": reason}


@DBOS.step(name="attempt")
async def attempt(number: int, work: str) -> Json:
    """One try at a job.

    Its answer is kept by the engine, so that a kill right after it repeats nothing.
    """
    try:
        does: dict[str, Callable[[int], Awaitable[Json | None]]] = {
            "train": engine.train,
            "draw": engine.draw,
            "fetch_photos": engine.fetch_photos,
            "fetch_inputs": engine.fetch_inputs,
        }
        result = await patiently(lambda: does[work](number))
    except (Refused, InputError) as error:
        wanted = engine.results.tune_wanted if work in OF_TUNES else engine.results.prompt_wanted
        if not await asyncio.to_thread(wanted, number):  # its files went before it was cancelled
            return {"outcome": "unwanted"}
        return {"outcome": "failed", "reason": str(error)}
    except DeviceProcessDied as error:
        # counted here, in the step: a workflow that is taken up again runs through its finished
        # steps without doing them
        deaths = await retry_write(
            engine.results.count_crash, Tune if work == "train" else Prompt, number
        )
        log.write("device process died", how=str(error), deaths=deaths, most=MOST_DEATHS)
        return {"outcome": "died", "deaths": deaths}
    except Waits as reason:
        return {"outcome": "waits", "reason": str(reason)}
    except (ForkServerDied, DiedAtOtherWork) as error:  # no fault of this job: not counted as one
        log.write(DEATHS[type(error)], how=str(error))
        return {"outcome": "died", "deaths": 0}
    return {"outcome": "done", "result": result} if result is not None else {"outcome": "unwanted"}


@DBOS.workflow(name="deliver", max_recovery_attempts=RECOVERIES)
async def deliver(callback_id: str, attempt: int) -> None:
    await post(callback_id, attempt)


@DBOS.step(name="post")
async def post(callback_id: str, attempt: int) -> None:
    await engine.deliver(callback_id, attempt)


def lock(data: Path) -> IO[str]:
    """The right to be the engine of a data folder. Raises InputError if another engine keeps it."""
    # one that was just stopped is still writing its checkpoint
    held = locks.held(data / "engine.lock", LOCK_WITHIN)
    if held is None:
        raise InputError(
            f"Another engine works on {data}: stop it, or start this server with --no-worker."
        )
    return held


def sweep(results: Transitions) -> None:
    """Deletes what has expired and what a kill left, as far as the disk and the database let it."""

    def swept() -> None:
        expiry.sweep(results.db, results.store, results.jobs, clock.believed(results.db))

    try:
        reserve.spend(results.store, swept)
        reserve.keep(results.store)
    except (*database.BUSY, OSError) as fault:  # in an hour it is tried again
        log.error(fault)


def main() -> None:
    global engine
    settings = read_settings()
    die_with_parent(signal.SIGTERM)
    if PARENT in os.environ:  # the server listens at the other end
        liveness.tell(lambda: os.write(1, b"."))
    try:
        with opening.faults_said(settings):
            safety.check(settings)
            held = lock(settings.data)
            engine = Engine(settings)
    except FluxboothError as error:
        print(f"fluxbooth: {error}", file=sys.stderr)
        sys.exit(REFUSED)
    engine.devices.start()  # they take longer to start than all that follows
    _configure_jobs(settings)
    sweep(engine.results)
    stop = threading.Event()

    def leave(*_: object) -> None:
        stop.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, leave)
    DBOS.launch()
    _register_queues(engine.devices)
    (settings.data / "engine.pid").write_text(str(os.getpid()))
    reporter = metering.Reporter(engine.results.db, settings, stop)
    if settings.bfl_key:
        reporter.start()
    while not stop.wait(SWEEP_EVERY):
        sweep(engine.results)
    if engine.devices.loop is not None:
        asyncio.run_coroutine_threadsafe(engine.devices.stop(), engine.devices.loop).result()
    if reporter.is_alive():  # an attempt that is cut off leaves its pictures in doubt
        reporter.join(metering.ATTEMPT)
    held.close()
    os._exit(0)  # the job under way stays taken: the next engine goes on with it


def _configure_jobs(settings: Settings) -> None:
    DBOS(
        config={
            "name": "fluxbooth",
            "system_database_url": settings.rows_url,
            "executor_id": "local",
            "application_version": VERSION,
            "sys_db_pool_size": 10,
            "serializer": DBOSPortableJSONSerializer(),
            "run_migrations": True,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
    )


def _register_queues(pool: DevicePool) -> None:
    devices = len(pool.all)
    beside = devices if pool.on_gpu else 1  # else each of them has one process
    for name, at_once in (
        *((name, devices) for name in (DEVICE, PICTURES, FAST, FAST_PICTURES)),
        *((name, beside) for name in (APART, LONG)),
    ):
        _register(name, worker_concurrency=at_once)
    _register(DELIVERY, partition_worker_concurrency=TO_A_HOST)
    _register(FETCH, worker_concurrency=ALL_FETCHES, partition_worker_concurrency=FETCHES)


def _register(
    name: str,
    worker_concurrency: int | None = None,
    partition_worker_concurrency: int | None = None,
) -> None:
    DBOS.register_queue(
        name,
        worker_concurrency=worker_concurrency,
        partition_worker_concurrency=partition_worker_concurrency,
        polling_interval_sec=ASKED_EVERY.get(name, 0.5),
        on_conflict="always_update",
    )


if __name__ == "__main__":
    main()
