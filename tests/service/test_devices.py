"""Two devices, here two processes on the CPU: they work at the same time, and what dies is taken
up again on its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxbooth import InputError, hardware
from fluxbooth.engine.device_pool import Device, DevicePool, environments
from fluxbooth.engine.sharing import Waits
from fluxbooth.service.settings import read_settings
from tests.support.server import Server, children, until


@pytest.fixture
def twice(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "data", devices="cpu,cpu") as server:
        yield server


def progress(server: Server, tune: int) -> dict[str, Any]:
    """Changes with every step that is told, even one that is done again."""
    return server.http.get(f"/tunes/{tune}/progress").json()


def runners(server: Server) -> list[int]:
    engine = server.engine()
    fork_servers = children(engine, "fluxbooth.engine.fork_server") if engine else []
    return sorted(
        pid for server in fork_servers for pid in children(server, "fluxbooth.engine.fork_server")
    )


@pytest.mark.slow
def test_two_children_work_at_the_same_time_and_recover_alone_or_together(twice: Server) -> None:
    tunes = [
        twice.new_tune(title, branch="flux1", steps="5000")["id"] for title in ("left", "right")
    ]
    until(lambda: all(progress(twice, tune).get("step") for tune in tunes), "both train")
    before, engine = runners(twice), twice.engine()
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    until(
        lambda: before[0] not in runners(twice) and len(runners(twice)) == 2,
        "the dead process has a successor",
    )
    assert before[1] in runners(twice)  # the other one's work went on
    assert twice.engine() == engine

    reached = [progress(twice, tune) for tune in tunes]
    os.kill(engine or 0, signal.SIGKILL)
    until(
        lambda: len(runners(twice)) == 2 and not {*runners(twice)} & {*before},
        "the next engine has two processes",
    )
    until(
        lambda: all(progress(twice, tune) != was for tune, was in zip(tunes, reached, strict=True)),
        "both train again",
    )
    third = twice.new_tune("third", branch="flux1", steps="5000")["id"]
    reached = [progress(twice, tune) for tune in tunes]
    until(
        lambda: all(progress(twice, tune) != was for tune, was in zip(tunes, reached, strict=True)),
        "both go on",
    )
    assert twice.tune(third)["started_training_at"] is None  # one job a device

    for tune in (third, *tunes):
        twice.http.post(f"/tunes/{tune}/cancel").raise_for_status()


def test_a_child_sees_its_own_device_and_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert environments([""]) == [{}]  # as it was: whatever torch finds
    assert environments(["0", "GPU-1a"]) == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "GPU-1a"},
    ]
    assert (
        environments(["cpu", "cpu"]) == [{"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "3"}] * 2
    )
    assert environments(["cpu"]) == [{"CUDA_VISIBLE_DEVICES": ""}]


def test_the_gpus_are_those_that_the_driver_lists_or_the_user_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 3")
    assert hardware.gpus() == ["1", "3"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert hardware.gpus() == []
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho GPU-a\necho GPU-b\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert hardware.gpus() == ["GPU-a", "GPU-b"]


def test_the_setting_is_a_list_of_names(tmp_path: Path) -> None:
    assert read_settings(data=tmp_path).device_list == []
    assert read_settings(data=tmp_path, devices="cpu,cpu").device_list == ["cpu", "cpu"]
    assert len(DevicePool(["0", "1"]).all) == 2


@pytest.mark.parametrize("name", ["FLUXBOOTH_STORAGE_URL"])
def test_files_that_are_to_lie_elsewhere_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Not left here in silence: whoever sets that means several hosts."""
    monkeypatch.setenv(name, "somewhere://host/name")
    with pytest.raises(InputError, match=f"{name} will not do: in this version"):
        read_settings(data=tmp_path)


def test_work_goes_to_the_child_that_has_what_it_needs() -> None:
    pair = DevicePool(["0", "1"])
    cold, warm = pair.all
    warm.base, warm.loras = "nano", frozenset({"/a.safetensors"})
    assert pair.pick({"spec": {"base": "nano"}}) is warm
    assert pair.pick({"spec": {"base": "flux-dev"}}) is cold
    cold.base = "nano"
    assert pair.pick({"spec": {"base": "nano", "loras": ["/b.safetensors:1.0"]}}) is cold
    assert pair.pick({"spec": {"base": "nano", "loras": ["/a.safetensors:0.8"]}}) is warm
    pair.free.remove(warm)
    assert pair.pick({"spec": {"base": "nano", "loras": ["/a.safetensors:0.8"]}}) is cold


def test_a_trial_takes_no_device_that_it_would_have_to_wait_for_or_empty() -> None:
    """Which device gets the work; none is started."""
    asked: list[Device] = []

    async def run(device: Device, *_: object, beside: bool = False) -> None:
        asked.append(device)

    async def ask(pool: DevicePool, request: dict[str, Any]) -> Device:
        await pool.run(request, lambda: True, heard)
        return asked.pop()

    async def heard(event: dict[str, Any]) -> None: ...

    async def story() -> None:
        trial, other = {"fast": True, "spec": {"base": "nano"}}, {"spec": {"base": "flux-dev"}}
        pair = DevicePool(["0", "1"])
        first, second = pair.all
        assert await ask(pair, trial) in pair.all  # nothing lies in their memory yet
        first.base = second.base = "flux-dev"
        assert await ask(pair, trial) is pair.spare and await ask(pair, other) in pair.all
        second.base = "nano"
        assert await ask(pair, trial) is second
        pair.free.clear()  # both train
        assert await ask(pair, trial) is pair.spare

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Device, "run", run)
        asyncio.run(story())


def test_a_trial_is_done_while_a_training_goes_on(own_server: Server) -> None:
    long = own_server.new_tune("long", branch="flux1", steps="9000")["id"]
    until(lambda: own_server.tune(long)["started_training_at"], "the training has begun")
    tune = own_server.finished_tune(own_server.new_tune("short", prompts=1)["id"])
    (drawn,) = own_server.http.get(f"/tunes/{tune['id']}/prompts").json()
    assert tune["trained_at"] and len(own_server.finished_prompt(drawn["id"])["images"]) == 1
    assert own_server.tune(long)["trained_at"] is None and not own_server.tune(long).get(
        "failed_at"
    )
    own_server.http.post(f"/tunes/{long}/cancel").raise_for_status()


def test_a_picture_waits_for_no_training_on_its_base() -> None:
    """Which device gets the work, and how; none is started."""
    asked: list[tuple[Device, bool]] = []
    ends = asyncio.Event()

    async def run(
        device: Device, request: dict[str, Any], *_: object, beside: bool = False
    ) -> None:
        asked.append((device, beside))
        if not beside:
            device.base = request["spec"]["base"]
            await ends.wait()

    async def heard(event: dict[str, Any]) -> None: ...

    def work(kind: str, base: str, **more: bool) -> dict[str, Any]:
        return {"work": kind, "spec": {"base": base}, **more}

    async def story() -> None:
        pair = DevicePool(["0", "1"])

        def begin(request: dict[str, Any]) -> asyncio.Task[Any]:
            return asyncio.create_task(pair.run(request, lambda: True, heard))

        jobs = [begin(work("train", "nano"))]
        while not asked:
            await asyncio.sleep(0)
        ((trains, _),) = asked
        (other,) = (device for device in pair.all if device is not trains)
        jobs.append(begin(work("generate", "nano")))  # rather on a device that is free
        while len(asked) < 2:
            await asyncio.sleep(0)
        assert asked.pop() == (other, False)
        await begin(work("generate", "nano"))  # none is free: the training stands aside
        assert asked.pop() == (trains, True)
        waits = begin(work("generate", "flux-dev"))  # the other one will soon be free
        alone = begin(work("generate", "nano", alone=True))
        await asyncio.sleep(0)
        assert len(asked) == 1 and not waits.done() and not alone.done()
        ends.set()
        await asyncio.gather(waits, alone, *jobs)
        assert {beside for _, beside in asked} == {False}
        ends.clear()
        both = [begin(work("train", base)) for base in ("nano", "flux-krea")]
        while pair.free:
            await asyncio.sleep(0)
        with pytest.raises(Waits, match="trains on another base"):
            await begin(work("generate", "flux-dev"))
        ends.set()
        await asyncio.gather(*both)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Device, "run", run)
        asyncio.run(story())
