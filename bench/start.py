"""Row B2: from the order to the first step, of a process that is started for it and of one that
has its base already."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from bench import arms
from bench.steps import Peer, Settings, nano
from fluxbooth.evaluation.demo import PHOTOS

STEPS = "1000"


def seconds(work: Path, peer: Peer | None, rounds: int, threads: int, dtype: str) -> dict[str, Any]:
    """On nano with the demo's ten photos (the peer: one photo), the ways by turns."""
    rows: dict[str, list[float]] = {"fluxbooth, cold": [], "fluxbooth, warm": []} | (
        {"diffusers, cold": []} if peer else {}
    )
    with tempfile.TemporaryDirectory() as folder, _runner() as warm:
        _train(warm, Path(folder) / "first")  # loads the base; not counted
        for number in range(rounds):
            place = Path(folder) / str(number)
            rows["fluxbooth, warm"].append(_train(warm, place / "warm"))
            rows["fluxbooth, cold"].append(_command(place / "cold"))
            if peer:
                rows["diffusers, cold"].append(_script(nano(work, dtype), peer, place, threads))
        warm.kill()
    found: dict[str, Any] = {name: arms.spread(values) for name, values in rows.items()}
    if not peer:
        return found | {"diffusers, cold": "skipped"}
    return found | {
        "warm against diffusers": found["diffusers, cold"]["median"]
        / found["fluxbooth, warm"]["median"]
    }


def _runner() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fluxbooth.engine.device_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def _train(runner: subprocess.Popen[str], out: Path) -> float:
    """As the service asks for it: seconds to the first step; then it is cancelled."""
    assert runner.stdin and runner.stdout
    number = abs(hash(out))
    photos = [str(path) for path in sorted(PHOTOS.glob("*.png"))]
    request = {
        "id": number,
        "work": "train",
        "photos": photos,
        "spec": {"class_name": "man", "steps": int(STEPS)},
        "out": str(out),
    }
    began = time.perf_counter()
    _say(runner.stdin, request)
    for event in _events(runner.stdout):
        if event.get("event") == "step":
            break
    taken = time.perf_counter() - began
    _say(runner.stdin, {"cancel": number})
    for event in _events(runner.stdout):
        if "cancelled" in event:
            break
    return taken


def _command(out: Path) -> float:
    flags = f"--name man --steps {STEPS} --progress json --out {out}"
    command = [sys.executable, "-m", "fluxbooth", "train", str(PHOTOS), *flags.split()]
    began = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout
        for event in _events(process.stdout):
            if event.get("event") == "step":
                break
        taken = time.perf_counter() - began
        process.kill()
    return taken


def _script(settings: Settings, peer: Peer, place: Path, threads: int) -> float:
    told = json.dumps({**settings.__dict__, "out": str(place / "theirs")})
    place.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    with arms.started(
        "diffusers",
        ["bench.diffusers_step", str(peer.script), told],
        place / "theirs.log",
        threads,
        peer.environment,
    ):
        return time.perf_counter() - began


def _say(pipe: IO[str], message: dict[str, Any]) -> None:
    pipe.write(json.dumps(message) + "\n")
    pipe.flush()


def _events(pipe: IO[str]) -> Iterator[dict[str, Any]]:
    for line in pipe:
        yield json.loads(line)
