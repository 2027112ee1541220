"""The service measured on this machine: `python -m bench.service [idle] [kill] [busy] [pages]
[uploads]`. Prints one JSON object; docs/benchmarks.md keeps the figures.

idle     answers a second, their times, and processor time an answer, while nothing trains; memory
         of the API process
kill     how soon after a SIGKILL of engine and device process the next engine takes the job up
         again, and trains its first step
busy     as idle, while nano trains on the same cores
pages    how soon pages of the web app are ready in Chromium, while nothing trains and while nano does
uploads  50 uploads of 10 MB at once: peak memory of the API, and that none is lost
"""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import pages
from fluxbooth.evaluation.demo import PHOTOS
from tests.support.server import Server, until

CLIENTS, SECONDS = 8, 10.0
UPLOADS, UPLOAD_MB = 50, 10
TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
PARTS = ("idle", "kill", "busy", "pages", "uploads")


def rates(server: Server, path: str) -> dict[str, float]:
    """Answers a second over a few clients, their times, and what one costs the API's process,
    whatever else runs on the machine."""
    assert server.process is not None
    end = time.monotonic() + SECONDS

    def ask(_: int) -> list[float]:
        times = []
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        while (began := time.monotonic()) < end:
            connection.request("GET", path, headers={"Authorization": f"Bearer {server.key}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200
            times.append(time.monotonic() - began)
        return times

    before = cpu_ms(server.process.pid)
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        times = sorted(t for each in pool.map(ask, range(CLIENTS)) for t in each)
    spent = cpu_ms(server.process.pid) - before
    return {
        "per second": round(len(times) / SECONDS, 1),
        "p50 ms": round(times[len(times) // 2] * 1000, 1),
        "p99 ms": round(times[int(len(times) * 0.99)] * 1000, 1),
        "processor ms an answer": round(spent / len(times), 2),
    }


def cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_MS


def memory_mb(pid: int, what: str = "VmRSS") -> float:
    """Resident memory now, or at its highest (`VmHWM`)."""
    fields = dict(
        line.split(":", 1)
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if ":" in line
    )
    return round(int(fields[what].split()[0]) / 1024, 1)


def recovery(server: Server) -> dict[str, float]:
    """Seconds from a death, of the device process alone and with the engine, until the job is taken
    again, and until its next step."""
    tune = server.new_tune("killed", branch="flux1", steps="5000")["id"]

    def step() -> int:
        return server.http.get(f"/tunes/{tune}/progress").json().get("step") or 0

    def taken() -> int:
        return sum(
            '"begun"' in line and f"tune-{tune}" in line
            for line in server.log.read_text().splitlines()
        )

    until(step, "it trains")
    before, began = step(), time.monotonic()
    os.kill(server.device_process() or 0, signal.SIGKILL)
    until(lambda: step() != before, "another process trains")
    alone = time.monotonic() - began
    child, engine, before, count = server.device_process(), server.engine(), step(), taken()
    began = time.monotonic()
    for pid in (child, engine):
        os.kill(pid or 0, signal.SIGKILL)
    until(lambda: taken() > count, "the next engine takes the job")
    claimed = time.monotonic() - began
    until(lambda: step() != before, "it trains again")
    first = time.monotonic() - began
    server.http.post(f"/tunes/{tune}/cancel").raise_for_status()
    return {
        "child: step after s": round(alone, 1),
        "engine and child: claimed after s": round(claimed, 1),
        "engine and child: step after s": round(first, 1),
    }


def uploads(server: Server) -> dict[str, float]:
    """All at once, each a tune of one photo with zeros behind its end."""
    assert server.process is not None
    photo = sorted(PHOTOS.glob("*.png"))[0].read_bytes()
    photo += bytes(UPLOAD_MB * 10**6 - len(photo))
    server.http.timeout = 600.0

    def send(number: int) -> int:
        form = {"tune[title]": f"upload {number}", "tune[name]": "man", "tune[branch]": "fast"}
        answer = server.http.post("/tunes", data=form, files=[("tune[images][]", ("a.png", photo))])
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(UPLOADS) as pool:
        made = list(pool.map(send, range(UPLOADS)))
    seconds = time.monotonic() - began
    stored = [
        path.stat().st_size
        for number in made
        for path in (server.data / "files" / "tunes" / str(number) / "photos").iterdir()
    ]
    return {
        "sent": UPLOADS,
        "stored whole": sum(size == len(photo) for size in stored),
        "seconds": round(seconds, 1),
        "peak MB of the API": memory_mb(server.process.pid, "VmHWM"),
    }


def figures(parts: Sequence[str]) -> dict[str, Any]:
    """What the named parts measure."""
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        if set(parts) & {"idle", "kill", "busy", "pages"}:
            server = Server(Path(folder) / "data")
            server.start()
            assert server.process is not None
            found["idle API process, MB"] = memory_mb(server.process.pid)
            tune = server.finished_tune(server.new_tune("one", prompts=1)["id"])["id"]
            number = server.http.get(f"/tunes/{tune}/prompts").json()[0]["id"]
            server.finished_prompt(number)
            paths = ("/tunes", f"/prompts/{number}")
            if "idle" in parts:
                found["idle"] = {path: rates(server, path) for path in paths}
            if "pages" in parts:
                found["pages"] = pages.ready(server, tune)
            if "kill" in parts:
                found["after a kill"] = recovery(server)
            if set(parts) & {"busy", "pages"}:
                busy = server.new_tune("busy", branch="flux1", steps="5000")["id"]
                until(
                    lambda: server.http.get(f"/tunes/{busy}/progress").json().get("step"),
                    "it trains",
                )
                if "busy" in parts:
                    found["while nano trains"] = {path: rates(server, path) for path in paths}
                if "pages" in parts:
                    found["pages while nano trains"] = pages.ready(server, tune)
                server.http.post(f"/tunes/{busy}/cancel")
            server.stop()
        if "uploads" in parts:
            server = Server(Path(folder) / "uploads", flags=["--no-worker"])
            server.start()
            found["uploads"] = uploads(server)
            server.stop()
    return found


def main() -> None:
    print(json.dumps(figures(sys.argv[1:] or PARTS), indent=1))


if __name__ == "__main__":
    main()
