"""How much busy neighbours slow a picture and a training on this machine's cores: `python -m
bench.neighbours --json FILE`.

Each way of sharing the cores is a process of its own that has nano in memory. In every round each
draws a picture and trains thirty steps, by turns and in changing order, beside no, one and two
processes that do nothing but compute. A line of JSON for each measurement and one for each summary:
seconds of the clock and of the processor, and how many times as long as the way of before
takes undisturbed. What else the machine does is in `load`: figures are of an idle
machine only where the first of them is near 0. Three rounds take under five minutes there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import torch

from bench import tables
from bench.machine import described

Json = dict[str, Any]
NEIGHBOURS = (0, 1, 2)
WORK = ("picture", "30 training steps")
ALL = {"OMP_NUM_THREADS": str(os.cpu_count())}
# variables of each way; "ours" is what the package does when nobody says anything, "all threads"
# what torch does by itself
WAYS: dict[str, dict[str, str]] = {
    "ours": {},
    "all threads": ALL,
    "asleep": {**ALL, "OMP_WAIT_POLICY": "passive"},
    "one thread": {"OMP_NUM_THREADS": "1"},
}


def arm() -> None:
    """The process of one way: does what each line of standard input names, and tells how long
    it took."""
    import fluxbooth
    from fluxbooth import threads
    from fluxbooth.evaluation.demo import PHOTOS
    from fluxbooth.lora import training as lora_training
    from fluxbooth.models import loader, registry
    from fluxbooth.photos import inspection
    from fluxbooth.training.dataset import prepare
    from fluxbooth.training.loop import step_loss
    from fluxbooth.training.optimizers import make_optimizer

    drawing, training = loader.load("nano"), loader.load("nano", training=True, dtype="float32")
    photos = inspection.read(PHOTOS)
    spec = registry.resolve(
        fluxbooth.TrainSpec(class_name="man", base="nano", dtype="float32"), len(photos)
    )
    with tempfile.TemporaryDirectory() as cache:
        dataset = prepare(photos, training, spec, Path(cache))
        parameters = lora_training.add(training, spec.rank, 0)
        optimizer, number = make_optimizer(spec, parameters), iter(range(10**6))

        def steps() -> None:
            with threads.free_cores():  # as `fluxbooth.train` does
                for _ in range(30):
                    threads.look()
                    step = next(number)
                    step_loss(training, dataset.batch_at(step, spec), spec, step).backward()
                    optimizer.step()
                    optimizer.zero_grad(set_to_none=True)

        def picture() -> None:
            fluxbooth.generate(
                ["a man in a red hoodie"],
                fluxbooth.GenerateSpec(base="nano", seed=0),
                family=drawing,
            )

        work: dict[str, Callable[[], None]] = dict(zip(WORK, (picture, steps), strict=True))
        picture()
        steps()
        print("ready", flush=True)
        for line in sys.stdin:
            wall, processor = time.perf_counter(), time.process_time()
            work[line.strip()]()
            print(
                json.dumps([time.perf_counter() - wall, time.process_time() - processor]),
                flush=True,
            )


@contextlib.contextmanager
def arms() -> Iterator[dict[str, subprocess.Popen[str]]]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "MKL_", "KMP_"))
    }
    with contextlib.ExitStack() as stack:
        found = {}
        for name, variables in WAYS.items():  # one after another, for each loads torch
            command = [sys.executable, "-m", "bench.neighbours", "--arm"]
            environment = {**clean, **variables}
            found[name] = stack.enter_context(
                subprocess.Popen(
                    command,
                    env=environment,
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            stack.callback(found[name].kill)
            assert found[name].stdout.readline() == "ready\n", f"{name} did not start"
        yield found


@contextlib.contextmanager
def neighbours() -> Iterator[Callable[[int], None]]:
    """Gives how many of them compute; the others are stopped."""
    there = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(max(NEIGHBOURS))
    ]

    def at_work(count: int) -> None:
        for number, process in enumerate(there):
            process.send_signal(signal.SIGCONT if number < count else signal.SIGSTOP)

    try:
        yield at_work
    finally:
        for process in there:
            process.kill()
            process.wait()


def measured(rounds: int, show: Callable[[Json], None]) -> list[Json]:
    rows: list[Json] = []
    with arms() as processes, neighbours() as at_work:
        for number in range(rounds):
            for busy in NEIGHBOURS:
                at_work(busy)
                for what in WORK:
                    for way in list(WAYS)[:: 1 if number % 2 else -1]:
                        process = processes[way]
                        assert process.stdin and process.stdout
                        process.stdin.write(what + "\n")
                        process.stdin.flush()
                        wall, processor = json.loads(process.stdout.readline())
                        load = round(os.getloadavg()[0], 1)
                        rows.append(
                            {
                                "way": way,
                                "neighbours": busy,
                                "what": what,
                                "seconds": wall,
                                "cpu seconds": processor,
                                "load": load,
                            }
                        )
                        show(rows[-1])
    return rows


def summary(rows: list[Json]) -> list[Json]:
    """The median of each, and beside the way of before undisturbed and beside itself
    undisturbed."""

    def median(way: str, what: str, busy: int, kind: str) -> float:
        return statistics.median(
            row[kind]
            for row in rows
            if (row["way"], row["what"], row["neighbours"]) == (way, what, busy)
        )

    found = []
    for what in WORK:
        for way in WAYS:
            for busy in NEIGHBOURS:
                wall = median(way, what, busy, "seconds")
                found.append(
                    {
                        "way": way,
                        "neighbours": busy,
                        "what": what,
                        "seconds": round(wall, 3),
                        "cpu seconds": round(median(way, what, busy, "cpu seconds"), 3),
                        "of all threads undisturbed": round(
                            wall / median("all threads", what, 0, "seconds"), 2
                        ),
                        "of itself undisturbed": round(wall / median(way, what, 0, "seconds"), 2),
                    }
                )
    return found


def table(summed: list[Json]) -> Json:
    """As `bench.tables` shows it: seconds of each way beside none, one and two."""
    found = {(row["what"], row["way"], row["neighbours"]): row["seconds"] for row in summed}
    return {
        "machine": described(torch.get_num_threads()),
        "by": "python -m bench.neighbours --save",
        "columns": ["seconds of", "by", *(f"{busy} neighbours" for busy in NEIGHBOURS)],
        "rows": [
            [what, way, *(f"{found[what, way, busy]:.2f}" for busy in NEIGHBOURS)]
            for what in WORK
            for way in WAYS
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.neighbours", description=__doc__.partition("\n")[0]
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="measurements of each (default: 3)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="keep every measurement and the summary here"
    )
    parser.add_argument("--save", action="store_true", help="keep the summary in bench/results")
    parser.add_argument("--arm", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        return arm()

    def show(row: Json) -> None:
        print(json.dumps(row), flush=True)

    began = [round(value, 1) for value in os.getloadavg()]
    rows = measured(options.rounds, show)
    found = {
        "cores": os.cpu_count(),
        "load at the start": began,
        "rounds": options.rounds,
        "summary": summary(rows),
        "rows": rows,
    }
    for row in found["summary"]:
        show(row)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.save:
        tables.save("neighbours", {"shares": table(found["summary"])})
    return None


if __name__ == "__main__":
    main()
