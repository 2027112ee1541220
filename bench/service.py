"""The service measured on this machine: `python -m bench.service`. Prints one JSON object; docs/measurements.md keeps the figures.

Answers a second and their times while nothing trains and while nano trains on the same cores, memory of the idle API, and how soon after
a SIGKILL the next engine takes the job up again and trains its first step.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.service.server import Server, until

CLIENTS, SECONDS = 8, 10.0


def rates(server: Server, path: str) -> dict[str, float]:
    """Answers a second over a few clients, and the 99th percentile of their times in milliseconds."""
    until_then = time.monotonic() + SECONDS

    def ask(_: int) -> list[float]:
        times = []
        with httpx.Client(base_url=server.http.base_url, headers=server.http.headers) as client:
            while (began := time.monotonic()) < until_then:
                client.get(path).raise_for_status()
                times.append(time.monotonic() - began)
        return times

    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        times = sorted(t for each in pool.map(ask, range(CLIENTS)) for t in each)
    return {"per second": round(len(times) / SECONDS, 1), "p99 ms": round(times[int(len(times) * 0.99)] * 1000, 1)}


def memory_mb(pid: int) -> float:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return round(int(fields["VmRSS"].split()[0]) / 1024, 1)


def recovery(server: Server) -> dict[str, float]:
    """Seconds from the death of engine and child until the job is taken again, and until its next step."""
    tune = server.new_tune("killed", branch="flux1", steps="5000")["id"]

    def step() -> int:
        return server.http.get(f"/tunes/{tune}/progress").json().get("step") or 0

    until(step, "it trains")
    engine, child, before = server.engine(), server.child(), step()
    began = time.monotonic()
    for pid in (child, engine):
        os.kill(pid or 0, signal.SIGKILL)
    until(lambda: server.child() not in (None, child), "the next engine has a child at the job")
    claimed = time.monotonic() - began
    until(lambda: step() != before, "it trains again")
    first = time.monotonic() - began
    server.http.post(f"/tunes/{tune}/cancel").raise_for_status()
    return {"claimed after s": round(claimed, 1), "step after s": round(first, 1)}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data")
        server.start()
        assert server.process is not None
        figures: dict[str, Any] = {"idle API process, MB": memory_mb(server.process.pid)}
        prompt = server.finished_tune(server.new_tune("one", prompts=1)["id"])["id"]
        number = server.http.get(f"/tunes/{prompt}/prompts").json()[0]["id"]
        server.finished_prompt(number)
        figures["idle"] = {path: rates(server, path) for path in ("/tunes", f"/prompts/{number}")}
        print(figures, file=sys.stderr, flush=True)
        figures["after a kill"] = recovery(server)
        busy = server.new_tune("busy", branch="flux1", steps="5000")["id"]
        until(lambda: server.http.get(f"/tunes/{busy}/progress").json().get("step"), "it trains")
        figures["while nano trains"] = {path: rates(server, path) for path in ("/tunes", f"/prompts/{number}")}
        server.http.post(f"/tunes/{busy}/cancel")
        server.stop()
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
