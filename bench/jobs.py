"""Row B5: how long the next job waits for its turn when so many others wait, with the queue that
the service has.

A database of that many waiting jobs, made by copying one; an engine that takes them one at a time;
the time from the start of a job that does nothing to the start of the next one. It includes the
engine's polling, which the service sets too.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

POLL = 0.2  # seconds, as worker.py sets it
COUNTED = 20


def rows(sizes: list[int]) -> dict[str, Any]:
    """Milliseconds from job to job: median and 90th percentile, for each number of jobs that
    wait."""
    found: dict[str, Any] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "bench.jobs", folder, str(size)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[f"{size} waiting"] = json.loads(told.splitlines()[-1])
    first, last = found[f"{sizes[0]} waiting"], found[f"{sizes[-1]} waiting"]
    return found | {"last over first": last["cpu ms a job"] / first["cpu ms a job"]}


def fill(path: Path, jobs: int) -> None:
    """Copies the one job that waits."""
    with sqlite3.connect(path) as database:
        count = (
            f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {jobs - 1}) "
        )
        for table in ("workflow_status", "workflow_input"):
            names = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            values = [f"{name} || '-' || i" if name == "workflow_uuid" else name for name in names]
            database.execute(
                f"{count}INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table}, n"
            )
    database.close()


def engine(folder: Path, jobs: int) -> None:
    from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer

    from fluxbooth.service.jobs.priority import LAST
    from fluxbooth.service.jobs.queue import DEVICE, VERSION

    path = folder / "jobs.sqlite"
    url, starts, done = f"sqlite:///{path}", list[float](), threading.Event()
    cpu: list[float] = []
    DBOS(
        config={
            "name": "fluxbooth",
            "system_database_url": url,
            "executor_id": "local",
            "application_version": VERSION,
            "serializer": DBOSPortableJSONSerializer(),
            "run_migrations": True,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
    )

    @DBOS.workflow(name="train")
    async def train(number: int) -> None:
        starts.append(time.perf_counter())
        cpu.append(time.process_time())
        if len(starts) > COUNTED:
            done.set()

    DBOS.launch()
    client = DBOSClient(system_database_url=url, serializer=DBOSPortableJSONSerializer())
    client.enqueue(
        {
            "queue_name": DEVICE,
            "workflow_name": "train",
            "workflow_id": "tune",
            "app_version": VERSION,
            "priority": LAST,
        },
        1,
    )
    fill(path, jobs)
    DBOS.register_queue(
        DEVICE, worker_concurrency=1, polling_interval_sec=POLL, on_conflict="always_update"
    )
    done.wait()
    gaps = sorted((b - a) * 1000 for a, b in itertools.pairwise(starts[1:]))
    spent = [(b - a) * 1000 for a, b in itertools.pairwise(cpu[1:])]
    told = {
        "ms a job": statistics.median(gaps),
        "p90": gaps[int(len(gaps) * 0.9)],
        "cpu ms a job": statistics.median(spent),
    }
    print(json.dumps(told), flush=True)
    os._exit(0)


if __name__ == "__main__":
    engine(Path(sys.argv[1]), int(sys.argv[2]))
