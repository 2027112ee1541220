"""The engine's side of the pipe, with real device processes on nano."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import torch
from safetensors.torch import save_file

from fluxbooth import process_lifetime
from fluxbooth.engine import liveness
from fluxbooth.engine.device_pool import (
    CANCEL_WITHIN,
    SLOWER,
    UNKNOWN,
    Device,
    DeviceProcessDied,
    ForkServerDied,
    NoRoom,
    Refused,
    close_input,
)
from tests.support.server import until


@pytest.fixture
def device() -> Iterator[Device]:
    device = Device({"CUDA_VISIBLE_DEVICES": ""})
    yield device
    if device.process is not None:
        device.process.kill()
        device.process.wait()
        close_input(device.process)


def request(out: Path) -> dict[str, Any]:
    return {
        "work": "generate",
        "text": "a man at the beach",
        "spec": {"base": "nano", "steps": 2, "seed": 1},
        "out": str(out),
    }


async def silent(event: dict[str, Any]) -> None:
    assert event["event"] in ("begun", "plan", "advice", "picture", "phase")


def wanted() -> bool:
    return True


def test_after_a_death_the_fork_server_has_another(device: Device, tmp_path: Path) -> None:
    async def story() -> None:
        async def kill(event: dict[str, Any]) -> None:
            device.kill()

        first = await device.run(request(tmp_path / "first"), wanted, silent)
        assert device.process is not None and first is not None
        fork_server, pid = device.process.pid, device.pid
        device.kill()  # while it has nothing to do: nobody's work has failed
        until(lambda: device.pid is None, "the death is heard of")
        second = await device.run(request(tmp_path / "second"), wanted, silent)
        assert (
            second is not None and second["pictures"][0]["recipe"] == first["pictures"][0]["recipe"]
        )
        assert device.pid != pid
        with pytest.raises(DeviceProcessDied):
            await device.run(request(tmp_path / "third"), wanted, kill)
        assert await device.run(request(tmp_path / "third"), wanted, silent)
        assert device.process.pid == fork_server

    asyncio.run(story())


def test_a_full_disk_is_no_death_and_no_refusal(device: Device, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "0.tmp").symlink_to("/dev/full")  # where the picture is written first

    async def story() -> None:
        with pytest.raises(NoRoom):
            await device.run(request(out), wanted, silent)
        pid = device.pid
        assert list(out.iterdir()) == []
        assert await device.run(request(out), wanted, silent)
        assert device.pid == pid and [path.name for path in out.iterdir()] == ["0.jpg"]

    asyncio.run(story())


def test_the_death_of_the_fork_server_and_the_silence_of_a_process_end_their_work(
    device: Device,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    async def story() -> None:
        async def kill_the_fork_server(event: dict[str, Any]) -> None:
            assert device.process is not None
            device.process.kill()

        async def stop_the_device_process(event: dict[str, Any]) -> None:
            assert device.pid is not None
            os.kill(device.pid, signal.SIGSTOP)

        with pytest.raises(ForkServerDied):  # which is nobody's fault
            await device.run(request(tmp_path / "first"), wanted, kill_the_fork_server)
        monkeypatch.setattr(liveness, "SILENT_AFTER", 5.0)
        with pytest.raises(DeviceProcessDied, match="silent"):
            await device.run(request(tmp_path / "second"), wanted, stop_the_device_process)
        assert '"event": "device process silent"' in capfd.readouterr().err
        monkeypatch.setattr(liveness, "SILENT_AFTER", 300.0)
        assert await device.run(request(tmp_path / "third"), wanted, silent)

    asyncio.run(story())


def test_silence_is_what_the_listener_lived_through(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(liveness.time, "monotonic", lambda: clock[0])
    silence = liveness.Silence()

    def look(seconds: float, *, expected: bool = True) -> bool:
        clock[0] += seconds
        return silence.look(expected=expected)

    assert not any(look(1) for _ in range(299))  # it may take its time to start
    silence.heard()
    assert not any(look(1) for _ in range(60)) and silence.is_late
    assert look(1)
    silence.heard()
    assert not silence.is_late and not look(86_400)  # all were stopped, and went on
    silence.heard()
    assert not any(look(1, expected=False) for _ in range(600))


def test_a_picture_of_one_colour_is_no_picture_and_the_work_fails(
    device: Device, tmp_path: Path
) -> None:
    """So that nobody pays for it."""
    name = "transformer.transformer_blocks.0.attn.to_q.lora_{}.weight"
    save_file(
        {
            name.format("A"): torch.full((1, 256), 1e30),
            name.format("B"): torch.full((256, 1), 1e30),
        },
        tmp_path / "strong.safetensors",
    )
    told: list[str] = []

    async def heard(event: dict[str, Any]) -> None:
        told.append(event["event"])

    work = request(tmp_path / "out")
    work["spec"]["loras"] = [str(tmp_path / "strong.safetensors")]
    with pytest.raises(Refused, match=r"of one colour.*lower weights"):
        asyncio.run(device.run(work, wanted, heard))
    assert "picture" not in told


@pytest.mark.slow
def test_where_a_fork_would_have_no_gpu_the_process_begins_anew(tmp_path: Path) -> None:
    program = (
        "import torch; torch.cuda._is_in_bad_fork = lambda: True; "
        "from fluxbooth.engine import fork_server; fork_server.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=process_lifetime.environment(),
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(json.dumps({"id": 1, **request(tmp_path / "out")}) + "\n")
        process.stdin.flush()
        started, *_, last = map(json.loads, _until_result(process.stdout))
        process.stdin.close()  # the end of everything
    assert "started" in started and last["result"]["pictures"]
    assert process.returncode == 0


def _until_result(lines: IO[str]) -> Iterator[str]:
    for line in lines:
        yield line
        if '"result"' in line:
            return


def test_time_to_answer_a_cancel_follows_from_steps_and_checkpoints() -> None:
    device = Device()
    assert device.answers_within() == CANCEL_WITHIN  # a picture ends at once
    device.pace = dict.fromkeys(("step", "checkpoint"), UNKNOWN)
    device._note_pace({"event": "step", "steps_per_second": 0.25})
    device._note_pace({"event": "checkpoint", "seconds": 2.0})
    assert device.answers_within() == CANCEL_WITHIN + SLOWER * (4.0 + 2.0)
    device._note_pace({"event": "sample"})
    device._note_pace({"event": "step", "steps_per_second": 0.0})  # too slow for three digits
    assert device.answers_within() == CANCEL_WITHIN + SLOWER * 6.0
