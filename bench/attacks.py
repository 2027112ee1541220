"""Attacks on a server of this machine, and what everybody else sees of them: `python -m
bench.attacks [ATTACK ...]`.

Each attack runs against a server of its own. While it does, /health is asked fifty times a second,
and at its end the highest resident memory of the API's process is read. Prints one line of JSON for
each.

- refusals: eight clients send tunes of four photos whose nested prompt is refused, again and again.
- anonymous: three bodies of 14.5 MB, nearly all values, to the form that signs in, with no session.
- keyed: such a body with a key to /tunes, one to /prompts, and eight prompts with a text of 14.5 MB
  where base64 belongs.
- pictures: two requests of four progressive JPEGs with 6,000 scans each; another account uploads
  photos meanwhile.
- pngs: as pictures, with PNGs of a million empty chunks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import torch

from bench import tables
from bench.machine import described
from bench.service import memory_mb
from tests.support.hostile import many_values, slow_jpeg, slow_png
from tests.support.server import Server, pictures

Json = dict[str, Any]
SIZE, FLOOD_SECONDS = 14_500_000, 10.0


@contextlib.contextmanager
def watched(server: Server) -> Iterator[Json]:
    """Fills in what /health and memory were like in the meantime."""
    assert server.process is not None
    # the highest memory counts from here
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
    # in a process of its own: what the attackers do in this one must not count
    asking = [sys.executable, "-m", "bench.health", str(server.port)]
    asker = subprocess.Popen(asking, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    began = time.monotonic()
    found = {}
    yield found
    times = sorted(json.loads(asker.communicate()[0]))
    found |= {"seconds": round(time.monotonic() - began, 1), "asked": len(times)}
    found |= {f"/health p{p} ms": round(times[len(times) * p // 100], 1) for p in (50, 99)}
    found |= {
        "/health max ms": round(times[-1], 1),
        "API peak MB": memory_mb(server.process.pid, "VmHWM"),
    }


def together(work: Sequence[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(work)) as pool:
        return [done.result() for done in [pool.submit(one) for one in work]]


def another(server: Server) -> httpx.Client:
    """A client of one more account."""
    command = [
        sys.executable,
        "-m",
        "fluxbooth",
        "account",
        "create",
        "neighbour",
        "--data",
        str(server.data),
        "--json",
    ]
    made = subprocess.run(
        command, capture_output=True, text=True, check=True, env=server.environment
    ).stdout
    return httpx.Client(
        base_url=server.http.base_url,
        headers={"Authorization": f"Bearer {json.loads(made)['key']}"},
        timeout=600,
    )


def refusals(server: Server) -> Json:
    end, files = time.monotonic() + FLOOD_SECONDS, pictures(4)
    form = {
        "tune[title]": "refused",
        "tune[name]": "man",
        "tune[prompts_attributes][0][text]": "<lora:1:1> nobody's",
    }

    def flood() -> list[int]:
        statuses = []
        with httpx.Client(
            base_url=server.http.base_url, headers=server.http.headers, timeout=600
        ) as client:
            while time.monotonic() < end:
                statuses.append(client.post("/tunes", data=form, files=files).status_code)
        return statuses

    return counted([status for each in together([flood] * 8) for status in each])


def anonymous(server: Server) -> Json:
    origin = {"Origin": str(server.http.base_url).rstrip("/"), "Content-Type": "application/json"}

    def send() -> int:
        return answered(
            lambda: httpx.post(
                f"{server.http.base_url}/app/login",
                content=many_values(SIZE),
                headers=origin,
                timeout=600,
            )
        )

    return counted(together([send] * 3))


def keyed(server: Server) -> Json:
    server.http.timeout = httpx.Timeout(600)
    text = json.dumps({"text": "a man", "input_image_base64": "A" * SIZE}).encode()

    def send(path: str, body: bytes) -> Callable[[], int]:
        return lambda: answered(
            lambda: server.http.post(
                path, content=body, headers={"Content-Type": "application/json"}
            )
        )

    return counted(
        together(
            [send(path, many_values(SIZE)) for path in ("/tunes", "/prompts")]
            + [send("/prompts", text)] * 8
        )
    )


def slow(server: Server, picture: bytes) -> Json:
    """How long a photo of another account takes alone, and while slow pictures are looked at."""
    neighbour = another(server)
    form = {"tune[title]": "slow", "tune[name]": "man", "tune[branch]": "fast"}
    server.http.timeout = httpx.Timeout(600)

    def attack() -> int:
        files = [("tune[images][]", (f"{number}.jpg", picture)) for number in range(4)]
        return answered(lambda: server.http.post("/tunes", data=form, files=files))

    def upload() -> float:
        began = time.monotonic()
        neighbour.post("/tunes", data=form, files=pictures(4)).raise_for_status()
        return round(time.monotonic() - began, 2)

    alone = upload()
    with ThreadPoolExecutor(2) as pool:
        attacks = [pool.submit(attack) for _ in range(2)]
        time.sleep(1.0)  # they are being decoded
        meanwhile = [upload() for _ in range(3)]
        return {
            "alone s": alone,
            "meanwhile s": meanwhile,
            **counted([one.result() for one in attacks]),
        }


def answered(send: Callable[[], httpx.Response]) -> int:
    """The status; 0 if the server hung up before all was sent."""
    try:
        return send().status_code
    except httpx.TransportError:
        return 0


def counted(statuses: Sequence[int]) -> Json:
    return {"answers": {str(status): statuses.count(status) for status in sorted(set(statuses))}}


ATTACKS: dict[str, Callable[[Server], Json]] = {
    "refusals": refusals, "anonymous": anonymous, "keyed": keyed,
    "pictures": lambda server: slow(server, slow_jpeg(6000)),
    "pngs": lambda server: slow(server, slow_png(1_000_000)),
}  # fmt: skip


def table(rows: Sequence[Json]) -> Json:
    """As `bench.tables` shows it: what everybody else saw of each attack."""
    figures = ("/health p50 ms", "/health p99 ms", "/health max ms", "API peak MB")
    return {
        "machine": described(torch.get_num_threads()),
        "by": "python -m bench.attacks --save",
        "columns": ["attack", *figures, "upload of another, alone and meanwhile (s)", "answers"],
        "rows": [
            [
                row["attack"],
                *(row[figure] for figure in figures),
                f"{row['alone s']}; {max(row['meanwhile s'])}" if "alone s" in row else None,
                ", ".join(f"{count} x {status}" for status, count in row["answers"].items()),
            ]
            for row in rows
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.attacks")
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help=", ".join(ATTACKS))
    parser.add_argument("--save", action="store_true", help="keep all in bench/results")
    options = parser.parse_args()
    rows = []
    for name in options.attacks or ATTACKS:
        with (
            tempfile.TemporaryDirectory() as folder,
            Server(Path(folder) / "data", flags=["--no-worker"]) as server,
        ):
            assert server.process is not None
            idle = memory_mb(server.process.pid)
            with watched(server) as found:
                shown = ATTACKS[name](server)
            rows.append({"attack": name, "idle MB": idle, **found, **shown})
            print(json.dumps(rows[-1]), flush=True)
    if options.save:
        tables.save("attacks", {"neighbours": table(rows)})


if __name__ == "__main__":
    main()
