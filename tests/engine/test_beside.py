"""Pictures that are drawn in a device's process while it trains, and what a cancel or a kill leaves
of the two; with real processes on nano."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from fluxbooth.engine import device_pool
from fluxbooth.engine.device_pool import Device, DeviceProcessDied, DiedAtOtherWork, close_input
from fluxbooth.engine.device_process import DeviceProcess
from fluxbooth.engine.sharing import Waits
from fluxbooth.errors import DoesNotFit
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.files import tensors_sha256
from tests.conftest import QUICK

STEPS = 5
Json = dict[str, Any]


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device({"CUDA_VISIBLE_DEVICES": ""})
    yield device
    if device.process is not None:
        device.process.kill()
        device.process.wait()
        close_input(device.process)


def training(out: Path, steps: int = STEPS, **more: Any) -> Json:
    spec = QUICK.model_copy(update={"steps": steps, "dtype": "auto", **more})
    photos = sorted(map(str, PHOTOS.glob("*.png")))[:2]
    return {
        "work": "train",
        "photos": photos,
        "spec": spec.model_dump(mode="json"),
        "out": str(out),
    }


def drawing(out: Path, **spec: Any) -> Json:
    return {
        "work": "generate",
        "text": "a man at the beach",
        "spec": {"base": "nano", "steps": 2, "seed": 1, **spec},
        "out": str(out),
    }


def wanted() -> bool:
    return True


async def silent(event: Json) -> None: ...


class Under:
    """A training that is under way."""

    def __init__(self, device: Device, request: Json, is_wanted: Callable[[], bool]) -> None:
        self.steps, self.begun = 0, asyncio.Event()
        self.task = asyncio.create_task(device.run(request, is_wanted, self.heard))

    async def heard(self, event: Json) -> None:
        if event["event"] == "step":
            self.steps = event["step"]
            self.begun.set()


@asynccontextmanager
async def under_way(
    device: Device, request: Json, is_wanted: Callable[[], bool] = wanted
) -> AsyncIterator[Under]:
    """From its first step on."""
    under = Under(device, request, is_wanted)
    await under.begun.wait()
    yield under


def sha256(result: Json | None) -> str:
    assert result is not None
    return hashlib.sha256(Path(result["pictures"][0]["path"]).read_bytes()).hexdigest()


def weights(result: Json | None) -> str:
    assert result is not None
    return tensors_sha256(load_file(result["lora"]))


def test_pictures_beside_a_training_are_the_plain_base_s_and_its_weights_are_its_own(
    device: Device, tmp_path: Path
) -> None:
    async def story() -> None:
        plain = sha256(await device.run(drawing(tmp_path / "plain"), wanted, silent))
        unbroken = weights(await device.run(training(tmp_path / "unbroken"), wanted, silent))
        async with under_way(device, training(tmp_path / "broken")) as under:
            count = 0
            while not under.task.done():
                out = tmp_path / str(count)
                found = await device.run(drawing(out), wanted, silent, beside=True)
                assert sha256(found) == plain
                count += 1
            assert count >= STEPS // 2
            assert weights(await under.task) == unbroken

    asyncio.run(story())


def test_what_needs_the_base_otherwise_waits_and_a_cancel_ends_one_of_the_two(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        over = list[str]()
        request = training(tmp_path / "run", steps=4000)
        async with under_way(device, request, lambda: "training" not in over) as under:
            with pytest.raises(Waits, match="kept otherwise"):
                await device.run(
                    drawing(tmp_path / "other", dtype="bfloat16"), wanted, silent, beside=True
                )

            async def begun(event: Json) -> None:
                over.append("picture")

            long = drawing(tmp_path / "long", steps=200, num_images=8)
            pid = device.pid
            assert await device.run(long, lambda: "picture" not in over, begun, beside=True) is None
            before = under.steps
            assert await device.run(drawing(tmp_path / "next"), wanted, silent, beside=True)
            under.begun.clear()
            await under.begun.wait()
            assert under.steps > before  # it goes on

            monkeypatch.setattr(device_pool, "CANCEL_WITHIN", 0.5)

            async def cancel(event: Json) -> None:
                over.append("training")  # while it stands aside, which is longer than it may take

            slow = drawing(tmp_path / "slow", steps=40)
            drawn = await device.run(slow, wanted, cancel, beside=True)
            assert drawn is not None and await under.task is None and device.pid == pid
        assert list((tmp_path / "run" / "run").glob("step-*"))  # it left a checkpoint

    asyncio.run(story())


def test_a_death_counts_for_what_was_under_way(device: Device, tmp_path: Path) -> None:
    async def story() -> None:
        async def kill(event: Json) -> None:
            if event["event"] == "begun":
                device.kill()

        async with under_way(device, training(tmp_path / "run", steps=4000)) as under:
            with pytest.raises(DeviceProcessDied):
                await device.run(drawing(tmp_path / "0"), wanted, kill, beside=True)
            with pytest.raises(DiedAtOtherWork):
                await under.task
        assert await device.run(drawing(tmp_path / "0"), wanted, silent)
        async with under_way(device, training(tmp_path / "again", steps=4000)) as under:
            device.kill()
            with pytest.raises(DeviceProcessDied):
                await under.task

    asyncio.run(story())


def test_what_has_no_room_beside_a_training_waits_and_what_was_cancelled_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a picture does not fit at all, it fails; none is drawn here."""

    def no_room(*_: object, **__: object) -> None:
        raise DoesNotFit("It does not fit.")

    monkeypatch.setattr(
        importlib.import_module("fluxbooth.generation.generate"), "generate", no_room
    )
    monkeypatch.setattr(DeviceProcess, "resident", lambda *_: None)
    process = DeviceProcess(told := io.StringIO())

    def end(number: int) -> Json:
        process.do({"id": number, **drawing(tmp_path)})
        return json.loads(told.getvalue().splitlines()[-1])

    assert end(1) == {"id": 1, "failed": "It does not fit."}
    process.under_way = [2]  # a training
    assert "no memory for this picture beside" in end(3)["waits"]
    process.cancel(4)
    assert end(4) == {"id": 4, "cancelled": True} and '"id": 4, "event"' not in told.getvalue()
    assert process.under_way == [2] and not process.cancelled
