"""The engine's side of the pipes to its device processes (`device_process.py`), one for each
device: it hands them work, cancels it, and notices when one dies or falls silent. A picture may be
handed to a process that trains, which stands aside for it.

A fork server (`fork_server.py`) lies in between where there can be one, so that after a death the
next device process is there at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from fluxbooth import log, process_lifetime
from fluxbooth.engine import liveness
from fluxbooth.engine.sharing import Waits
from fluxbooth.errors import FluxboothError
from fluxbooth.events import DeviceEvent
from fluxbooth.models import registry
from fluxbooth.specs import lora_and_weight
from fluxbooth.types import Json

FORK_SERVER, DEVICE_PROCESS = "fluxbooth.engine.fork_server", "fluxbooth.engine.device_process"
OTHER_BASE = (
    "Every device trains on another base than this picture is drawn on, so the picture is drawn "
    "after a training."
)
OnEvent = Callable[[DeviceEvent], Awaitable[None]]
LOOK_EVERY, CANCEL_WITHIN, STOP_WITHIN = 0.5, 3.0, 15.0  # seconds


class DeviceProcessDied(Exception):
    """The device process ended in the middle of its work: out of memory, killed, or a fault of a
    library."""


class ForkServerDied(Exception):
    """The fork server was killed, and with it the device process in the middle of its work, which
    had no part in that."""


class DiedAtOtherWork(Exception):
    """The device process ended while it drew a picture, for which this work stood aside; or before
    it had begun this work."""


class NoRoom(Exception):
    """The disk had no room for what the device process made. The work can be done again, a
    training from its last checkpoint."""


class Refused(FluxboothError):
    """The work could not be done; the message is for the user."""


def close_input(process: subprocess.Popen[bytes]) -> None:
    """Our end of the pipe to a process that has ended."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # what it did not read any more
        process.stdin.close()


class Device:
    """The one process of a device, with torch in it. Kept from job to job.

    `environment` is what shows it its device.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.environment = environment or {}
        self.base, self.loras = "", frozenset[str]()  # what lies in its memory
        self.process: subprocess.Popen[bytes] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None  # where work is waited for
        self.pid: int | None = None  # of the device process itself
        self.numbers, self.busy, self.trains = itertools.count(1), asyncio.Lock(), False
        self.replies: dict[int, asyncio.Queue[Json]] = {}  # by the number of the work
        self.begun: list[int] = []  # as the process has told: last what it is at now
        self.stopping, self.idle = False, asyncio.Event()

    async def run(
        self,
        request: Json,
        wanted: Callable[[], bool],
        on_event: OnEvent,
        *,
        beside: bool = False,
    ) -> Json | None:
        """The result of the work; None if `wanted` said meanwhile that nobody waits for it. Never
        returns once the engine stops. It waits for the work before it; `beside` that, it goes to
        the process at once, which stands aside for it if it trains.

        Raises Refused with the device process's sentence; NoRoom; Waits, of what cannot be done
        beside a training; DeviceProcessDied; DiedAtOtherWork; ForkServerDied.
        """
        async with contextlib.nullcontext() if beside else self.busy:
            self.start()
            self.loop, number = asyncio.get_running_loop(), next(self.numbers)
            if not request.get("apart") and not beside:
                self.base, self.loras = needs(request)
            replies = self.replies[number] = asyncio.Queue[Json]()
            self._send({**request, "id": number})
            watch = asyncio.create_task(self._watch(number, wanted))
            try:
                result = await self._answer(replies, on_event, watch)
            finally:
                watch.cancel()
                del self.replies[number]
                if not self.replies:
                    self.idle.set()
            if result is None and self.stopping:
                # a cancelled job is over; one that is only interrupted must not seem so, for the
                # next engine goes on with it
                await asyncio.Future()
            return result

    async def _answer(
        self, replies: asyncio.Queue[Json], on_event: OnEvent, watch: asyncio.Task[None]
    ) -> Json | None:
        """What comes of a piece of work, its events told meanwhile; None where it was given up."""
        while True:
            reply = await replies.get()
            if "died" in reply:
                if self.stopping or watch.done():  # it was cancelled, and had to be killed
                    return None
                raise reply["fault"](reply["died"])
            if "result" in reply:
                return reply["result"]
            if "failed" in reply:
                raise Refused(reply["failed"])
            if "waits" in reply:
                raise Waits(reply["waits"])
            if "full" in reply:
                raise NoRoom
            if "cancelled" in reply:
                return None
            await on_event(cast(DeviceEvent, reply))

    async def _watch(self, number: int, wanted: Callable[[], bool]) -> None:
        """Cancels the work once nobody wants it, and kills a process that does not listen."""
        while await asyncio.to_thread(wanted):
            await asyncio.sleep(LOOK_EVERY)
        pid, silent = self.pid, 0.0
        self._send({"cancel": number})
        while silent < CANCEL_WITHIN:
            await asyncio.sleep(LOOK_EVERY)
            # what has not begun, or stands aside, ends when its turn comes
            silent += LOOK_EVERY if self.begun[-1:] == [number] else 0.0
        if pid == self.pid:
            self.kill()

    def kill(self) -> None:
        """Without warning. Another is started for the next work."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """Ends the work under way, a training with a checkpoint."""
        self.stopping = True
        self.idle.clear()
        for number in self.replies:
            self._send({"cancel": number})
        if self.replies:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.idle.wait(), timeout=STOP_WITHIN)

    def start(self) -> None:
        """Starts the process unless it runs: what it imports takes seconds."""
        if self.process is not None:
            if self.process.poll() is None:
                return
            close_input(self.process)
        self.process = subprocess.Popen(
            [sys.executable, "-m", FORK_SERVER if sys.platform == "linux" else DEVICE_PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={**process_lifetime.environment(), **self.environment},
        )
        self.pid = None if sys.platform == "linux" else self.process.pid
        silence = liveness.Silence()
        threading.Thread(target=self._read, args=(self.process, silence), daemon=True).start()
        threading.Thread(target=self._guard, args=(self.process, silence), daemon=True).start()

    def _send(self, message: Json) -> None:
        assert self.process is not None and self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its death is heard of at the other pipe
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def _read(self, process: subprocess.Popen[bytes], silence: liveness.Silence) -> None:
        """The thread that hears a process until its end."""
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                silence.heard()
                self._hear_line(process, line)
        code = process.wait()
        if silence.look():
            self._hear_death(
                process, DeviceProcessDied, f"it was silent for {silence.seconds:.0f} s"
            )
        else:
            # where there is a fork server, who is killed here is not who does the work; one that
            # cannot start is a fault that must be told
            killed = sys.platform == "linux" and code < 0
            self._hear_death(
                process, ForkServerDied if killed else DeviceProcessDied, f"exit code {code}"
            )

    def _hear_line(self, process: subprocess.Popen[bytes], line: bytes) -> None:
        try:
            reply = json.loads(line)
        except ValueError:  # cut off by a death
            return
        if "alive" in reply:
            return
        if "started" in reply:
            self.pid = reply["started"]
        elif "died" in reply:
            self.pid = None
            self._hear_death(process, DeviceProcessDied, f"exit code {reply['died']}")
        else:
            self._follow(reply)
            self._hear(process, reply.pop("id"), reply)

    def _follow(self, reply: Json) -> None:
        """Notes what the process is at."""
        if reply.get("event") == "begun":
            self.begun.append(reply["id"])
        elif "event" not in reply:
            self.begun = [number for number in self.begun if number != reply["id"]]

    def _guard(self, process: subprocess.Popen[bytes], silence: liveness.Silence) -> None:
        """The thread that kills a fork server and its device process once something should be
        heard from them, and is not."""
        while process.poll() is None:
            # a fork server without a device process says nothing
            if silence.look(expected=self.pid is not None or bool(self.replies)):
                log.write(
                    "device process silent",
                    pid=self.pid,
                    seconds=round(silence.seconds),
                    then="killed",
                )
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            time.sleep(liveness.EVERY)

    def _hear_death(
        self, process: subprocess.Popen[bytes], fault: type[Exception], how: str
    ) -> None:
        """Tells all who wait; who is at fault is what the process was at."""
        at, self.begun = self.begun[-1:], []
        for number in list(self.replies):
            of = (
                DiedAtOtherWork
                if fault is DeviceProcessDied and at not in ([], [number])
                else fault
            )
            self._hear(process, number, {"died": how, "fault": of})

    def _hear(self, process: subprocess.Popen[bytes], number: int, reply: Json) -> None:
        if self.loop is None or process is not self.process:
            return
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            if (replies := self.replies.get(number)) is not None:
                self.loop.call_soon_threadsafe(replies.put_nowait, reply)
            elif reply.get("event") == "begun":  # a process that died had not read it
                self.loop.call_soon_threadsafe(self._send, {"cancel": number})


class DevicePool:
    """A process for each device. Work goes to one that is free: rather to one that has its base in
    memory, and of these to one that used its LoRAs last.

    A picture waits for no training on its base: where no device is free, one that trains on that
    base stands aside for it. What is `fast`, a trial on nano, waits for no other work: where no
    device is free for it, another process does it on the CPU. What needs no base, such as an
    enlargement, takes a moment on a GPU and up to minutes on a CPU, where it keeps no picture
    waiting: it has a process `apart`, and what takes `long` another, so that it keeps no short work
    waiting, either.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self.all = [Device(environment) for environment in environments(devices)]
        # started when they are first needed
        self.spare, self.apart, self.long = (Device(*environments(["cpu"])) for _ in range(3))
        self.on_gpu = not {"", "cpu"}.issuperset(devices)
        self.free, self.changed = list(self.all), asyncio.Condition()
        self.loop: asyncio.AbstractEventLoop | None = None  # that of the workflows

    def start(self) -> None:
        for device in self.all:
            device.start()

    async def run(
        self, request: Json, wanted: Callable[[], bool], on_event: OnEvent
    ) -> Json | None:
        """As `Device.run`; waits while every device is at work, but a picture for no training.

        Raises Waits where each device trains on another base than a picture's. One that is to have
        a device `alone` does wait.
        """
        self.loop = asyncio.get_running_loop()
        if request.get("apart") and not self.on_gpu:
            device = self.long if request.get("long") else self.apart
            return await device.run(request, wanted, on_event)
        if request.get("fast") and not any(self._has_room(one, request) for one in self.free):
            return await self.spare.run(request, wanted, on_event, beside=_is_quick(request))
        async with self.changed:
            while (found := self._found(request)) is None:
                await self.changed.wait()
            device, beside = found
            if not beside:
                self.free.remove(device)
                device.trains = request.get("work") == "train"
        try:
            return await device.run(request, wanted, on_event, beside=beside)
        finally:
            if not beside:
                async with self.changed:
                    device.trains = False
                    self.free.append(device)
                    self.changed.notify_all()

    def _found(self, request: Json) -> tuple[Device, bool] | None:
        """The device for some work, and whether it is done beside a training there; None: it has to
        wait. Raises Waits."""
        if self.free:
            return self.pick(request), False
        if not _is_quick(request):
            return None
        if fit := [one for one in self.all if one.trains and one.base == needs(request)[0]]:
            return min(fit, key=lambda one: len(one.replies)), True
        if all(one.trains for one in self.all):
            raise Waits(OTHER_BASE)
        return None

    def pick(self, request: Json) -> Device:
        base, loras = needs(request)
        return max(
            self.free,
            key=lambda device: (device.base == base, not device.base, len(device.loras & loras)),
        )

    def _has_room(self, device: Device, request: Json) -> bool:
        """Whether no other base would have to leave a device's memory, to be read again after a
        trial."""
        return device.base in ("", needs(request)[0])

    async def stop(self) -> None:
        beside = (self.spare, self.apart, self.long)
        await asyncio.gather(*(device.stop() for device in (*self.all, *beside)))


def _is_quick(request: Json) -> bool:
    """Whether a training stands aside for it: a picture that needs the base, and no device of its
    own."""
    needs_more = request.get("apart") or request.get("alone")
    return request.get("work") == "generate" and not needs_more


def needs(request: Json) -> tuple[str, frozenset[str]]:
    """The base of a piece of work, by its weights where it has others to train on, and its LoRA
    files."""
    spec = request["spec"]
    base = spec.get("base", "")
    row = registry.BASES.get(base)
    if row is not None and row.pair and request.get("work") == "train":
        base = row.train_source
    return base, frozenset(lora_and_weight(text)[0] for text in spec.get("loras", ()))


def environments(devices: Sequence[str]) -> list[dict[str, str]]:
    """What the process of each device is told: which GPU it sees, or how many of the cores are its
    own. One device without a name is whatever torch finds first.
    """
    cores = devices.count("cpu")
    threads = (
        {}
        if cores < 2 or "OMP_NUM_THREADS" in os.environ
        else {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // cores))}
    )
    on_cpu = {"CUDA_VISIBLE_DEVICES": "", **threads}
    return [
        on_cpu if device == "cpu" else {"CUDA_VISIBLE_DEVICES": device} if device else {}
        for device in devices
    ]
