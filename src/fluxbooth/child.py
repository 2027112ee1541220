"""The engine's side of the pipe to `runner.py`: starts a child for each device, hands it work, cancels it, notices its death."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from fluxbooth import lifeline
from fluxbooth.errors import FluxboothError
from fluxbooth.specs import lora_and_weight

Json = dict[str, Any]
LOOK_EVERY, CANCEL_WITHIN, STOP_WITHIN = 0.5, 3.0, 15.0  # seconds


class ChildDied(Exception):
    """The child ended in the middle of its work: out of memory, killed, or a fault of a library."""


class Refused(FluxboothError):
    """The work could not be done; the message is for the user."""


class Child:
    """The one process of a device, with torch in it. Started when first needed, kept from job to job.

    `environment` is what shows it its device.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.environment = environment or {}
        self.base, self.loras = "", frozenset[str]()  # what lies in its memory
        self.process: asyncio.subprocess.Process | None = None
        self.numbers, self.current, self.busy = itertools.count(1), 0, asyncio.Lock()
        self.stopping, self.stopped = False, asyncio.Event()

    async def run(self, request: Json, wanted: Callable[[], bool], heard: Callable[[Json], Awaitable[None]]) -> Json | None:
        """The result of the work; None if `wanted` said meanwhile that nobody waits for it. Never returns once the engine stops.

        Raises Refused with the child's sentence; ChildDied.
        """
        async with self.busy:
            process, self.current = await self._started(), next(self.numbers)
            self.base, self.loras = needs(request)
            self._send({**request, "id": self.current})
            watch = asyncio.create_task(self._watch(wanted))
            try:
                async for reply in self._replies(process):
                    if reply.get("id") != self.current:
                        continue
                    if "result" in reply:
                        return reply["result"]
                    if "failed" in reply:
                        raise Refused(reply["failed"])
                    if "cancelled" in reply:
                        return await self._given_up()
                    await heard(reply)
                self.process = None
                if self.stopping or watch.done():  # it was cancelled, and had to be killed
                    return await self._given_up()
                raise ChildDied(f"exit code {process.returncode}")
            finally:
                watch.cancel()

    async def _watch(self, wanted: Callable[[], bool]) -> None:
        """Cancels the work once nobody wants it, and kills a child that does not listen."""
        while await asyncio.to_thread(wanted):
            await asyncio.sleep(LOOK_EVERY)
        process = self.process
        self._send({"cancel": self.current})
        await asyncio.sleep(CANCEL_WITHIN)
        if process and process.returncode is None:
            process.kill()

    async def _given_up(self) -> None:
        """A cancelled job is over; one that is only interrupted must not seem so, for the next engine goes on with it."""
        if self.stopping:
            self.stopped.set()
            await asyncio.Future()

    async def stop(self) -> None:
        """Ends the work under way, a training with a checkpoint."""
        self.stopping = True
        if self.busy.locked():
            self._send({"cancel": self.current})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.stopped.wait(), timeout=STOP_WITHIN)

    async def _started(self) -> asyncio.subprocess.Process:
        if self.process is None or self.process.returncode is not None:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "fluxbooth.runner", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                start_new_session=True, env={**lifeline.environment(), **self.environment}, limit=2**24,
            )  # fmt: skip
        return self.process

    def _send(self, message: Json) -> None:
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _replies(self, process: asyncio.subprocess.Process) -> AsyncIterator[Json]:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            if line.endswith(b"\n"):
                yield json.loads(line)
        await process.wait()


class Children:
    """A child for each device. Work goes to one that is free: rather to one that has its base in memory, and of these to one that wore
    its LoRAs last."""

    def __init__(self, devices: Sequence[str]) -> None:
        self.all = [Child(environment) for environment in environments(devices)]
        self.idle, self.free = list(self.all), asyncio.Semaphore(len(self.all))
        self.loop: asyncio.AbstractEventLoop | None = None  # that of the workflows

    async def run(self, request: Json, wanted: Callable[[], bool], heard: Callable[[Json], Awaitable[None]]) -> Json | None:
        """As `Child.run`; waits while every device is at work."""
        async with self.free:
            self.loop, child = asyncio.get_running_loop(), self.pick(request)
            self.idle.remove(child)
            try:
                return await child.run(request, wanted, heard)
            finally:
                self.idle.append(child)

    def pick(self, request: Json) -> Child:
        base, loras = needs(request)
        return max(self.idle, key=lambda child: (child.base == base, len(child.loras & loras)))

    async def stop(self) -> None:
        await asyncio.gather(*(child.stop() for child in self.all))


def needs(request: Json) -> tuple[str, frozenset[str]]:
    """The base of a piece of work and its LoRA files."""
    spec = request["spec"]
    return spec.get("base", ""), frozenset(lora_and_weight(text)[0] for text in spec.get("loras", ()))


def environments(devices: Sequence[str]) -> list[dict[str, str]]:
    """What a child of each device is told: which GPU it sees, or how many of the cores are its own. One device without a name
    is whatever torch finds first."""
    cores = devices.count("cpu")
    threads = {} if cores < 2 or "OMP_NUM_THREADS" in os.environ else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // cores))}
    on_cpu = {"CUDA_VISIBLE_DEVICES": "", **threads}
    return [on_cpu if device == "cpu" else {"CUDA_VISIBLE_DEVICES": device} if device else {} for device in devices]
