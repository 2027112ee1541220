"""How long a picture waits while a training runs on the only device, and what that costs the
training: `python -m bench.aside --save`.

Parts: `waits` starts a server on nano. An account trains twice on the same photos; during the second
training another account asks for pictures, each half a second after the one before is there. Compared
are the wait of each beyond its own time, the LoRA with the first one's, each picture with the same
one drawn before. `loses` trains in this process and stands aside for a picture in every second
block of five steps, so that what else runs on the machine slows both kinds of blocks alike.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from bench import tables
from bench.machine import described
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.files import tensors_sha256
from fluxbooth.service.accounts import accounts
from fluxbooth.service.db.tables import Image, Prompt, Tune
from tests.support.server import Server, until

Json = dict[str, Any]
PARTS = ("waits", "loses")
SEEDS = 5  # of the pictures, by turns
BETWEEN = 0.5  # seconds from a picture to the next that is asked for
BLOCK = 5  # steps, of one photo each


def waits(pictures: int, steps: int) -> Json:
    with tempfile.TemporaryDirectory() as folder, Server(Path(folder) / "data") as server:
        with server.database.write() as session:
            key = accounts.create_key(
                session,
                accounts.create_account(session, "the other"),
                "",
                accounts.pepper(server.data),
            )
        other = {"Authorization": f"Bearer {key}"}

        def train(title: str) -> int:
            return server.new_tune(title, branch="flux1", steps=str(steps))["id"]

        def ask(seed: int) -> int:
            asked = {"text": "a man at the beach", "seed": seed, "steps": 10}
            answer = server.http.post("/prompts", json=asked, headers=other)
            number = answer.raise_for_status().json()["id"]
            until(lambda: _row(server, Prompt, number).trained_at, "the picture is there")
            return number

        def training() -> bool:
            return _row(server, Tune, second).trained_at is None

        before = [_digest(server, ask(seed)) for seed in range(SEEDS)]
        first = server.finished_tune(train("unbroken"))["id"]
        second = train("broken")
        until(lambda: _row(server, Tune, second).started_training_at, "it trains")
        beside = list[int]()
        while len(beside) < pictures and training():
            time.sleep(BETWEEN)
            beside.append(ask(len(beside) % SEEDS))
        during = beside if training() else beside[:-1]  # the last may have come after it
        server.finished_tune(second)
        rows = [_row(server, Prompt, number) for number in during]
        beyond = sorted((row.started_training_at - row.created_at).total_seconds() for row in rows)
        own = [(row.trained_at - row.started_training_at).total_seconds() for row in rows]
        took = {
            name: _seconds(_row(server, Tune, number))
            for name, number in (("unbroken", first), ("broken", second))
        }
        return {
            "pictures asked for while it trained": len(rows),
            "wait beyond its own time, s": {
                "median": statistics.median(beyond),
                "p95": beyond[int(0.95 * (len(beyond) - 1))],
                "longest": beyond[-1],
            },
            "a picture's own time, median s": statistics.median(own),
            "pictures equal to those drawn before": sum(
                _digest(server, number) == before[i % SEEDS] for i, number in enumerate(during)
            ),
            "weights bit-identical": _weights(server, first) == _weights(server, second),
            "steps": steps,
            "training alone, s": took["unbroken"],
            "training beside the pictures, s": took["broken"],
            "of that, pictures, s": sum(own),
        }


def _row(server: Server, kind: type[Any], number: int) -> Any:
    with server.database.read() as session:
        return session.get_one(kind, number)


def _seconds(row: Any) -> float:
    return (row.trained_at - row.started_training_at).total_seconds()


def _digest(server: Server, prompt: int) -> str:
    with server.database.read() as session:
        (image,) = session.query(Image).filter_by(prompt_id=prompt)
        return hashlib.sha256((server.data / "files" / image.key).read_bytes()).hexdigest()


def _weights(server: Server, tune: int) -> str:
    return tensors_sha256(load_file(server.data / "files" / _row(server, Tune, tune).lora))


def loses(blocks: int) -> Json:
    """Seconds of a step in blocks with a picture and in those without."""
    from fluxbooth import GenerateSpec, TrainSpec, generate, train
    from fluxbooth.lora import training as lora_training
    from fluxbooth.models import loader

    family = loader.load("nano", training=True)
    drawing = GenerateSpec(base="nano", seed=1)
    generate("a man at the beach", drawing, family=family)
    ends, drawn = list[float](), list[float]()

    def aside() -> None:
        began = time.perf_counter()
        step = len(ends)
        if step < blocks * BLOCK and step % BLOCK == 0 and step // BLOCK % 2:
            with lora_training.branches_off(family):
                generate("a man at the beach", drawing, family=family)
            drawn.append(time.perf_counter() - began)
        ends.append(time.perf_counter() - sum(drawn))

    counted = _BetweenSteps(aside)
    spec = TrainSpec(
        class_name="man", base="nano", steps=blocks * BLOCK, batch_size=1, checkpoint_every=10**6
    )
    with tempfile.TemporaryDirectory() as folder:
        train(PHOTOS, spec, Path(folder) / "run", counted, family=family, aside=counted.aside)
    steps = [after - before for before, after in itertools.pairwise(ends)][: blocks * BLOCK]
    kinds = [
        [
            sum(steps[first : first + BLOCK])
            for first in range(kind * BLOCK, len(steps) - BLOCK + 1, 2 * BLOCK)
        ]
        for kind in (0, 1)
    ]
    plain, broken = (statistics.median(kind[1:]) for kind in kinds)
    own = statistics.median(drawn)
    return {
        "pauses": len(drawn),
        "five steps without a picture, median s": plain,
        "five steps with one, the picture's own time left out, median s": broken,
        "a picture's own time, median s": own,
        "loss beyond the pictures' own time, % of it": 100 * (broken - plain) / own,
    }


class _BetweenSteps:
    """Calls it from the first step on: where the preparation stands aside is not between steps."""

    def __init__(self, between: Callable[[], None]) -> None:
        self.between, self.prepared = between, False

    def __call__(self, event: Any) -> None:
        self.prepared = self.prepared or event["event"] == "prepared"

    def aside(self) -> None:
        if self.prepared:
            self.between()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.aside", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="by default all")
    parser.add_argument("--pictures", type=int, default=50, metavar="N")
    parser.add_argument("--steps", type=int, default=150, metavar="N", help="of each training")
    parser.add_argument("--blocks", type=int, default=16, metavar="N", help="of five steps")
    parser.add_argument("--save", action="store_true", help="keep the figures in bench/results")
    options = parser.parse_args()
    parts: dict[str, Callable[[], Json]] = {
        "waits": lambda: waits(options.pictures, options.steps),
        "loses": lambda: loses(options.blocks),
    }
    for name in options.part or PARTS:
        load = round(os.getloadavg()[0], 1)
        found = parts[name]()
        print(json.dumps({name: found, "load at the start": load}, indent=1), flush=True)
        if options.save:
            path = tables.RESULTS / "aside.json"
            kept = tables.load("aside") if path.exists() else {}
            kept[name] = {
                "machine": described(torch.get_num_threads()) | {"load at the start": load},
                "by": f"python -m bench.aside --part {name} --save",
                "row": found,
            }
            tables.save("aside", kept)


if __name__ == "__main__":
    main()
