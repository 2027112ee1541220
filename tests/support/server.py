"""The real server as tests meet it: `fluxbooth serve` in processes of its own, spoken to over
its socket."""

from __future__ import annotations

import contextlib
import functools
import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.service.db.database import Database
from tests.support import contract
from tests.support.installation import files_of

Json = dict[str, Any]
FEW = "4"  # steps
PATIENCE = 240.0  # seconds: far more than anything takes on a free machine


class Server:
    """`prefix` is a command to start it with, `flags` are more of `fluxbooth serve`."""

    def __init__(
        self, data: Path, prefix: Sequence[str] = (), flags: Sequence[str] = (), **settings: str
    ) -> None:
        self.data, self.port, self.key = data, free_port(), ""
        self.prefix, self.flags = prefix, flags
        names = {f"FLUXBOOTH_{name.upper()}": value for name, value in settings.items()}
        self.environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "FLUXBOOTH_PRIVATE_NETWORK": "true",
            "FLUXBOOTH_CHECKPOINTS": "0",
            **names,
        }
        self.log = data.with_name(data.name + ".log")
        self.process: subprocess.Popen[bytes] | None = None
        self.ends = contextlib.ExitStack()  # closes the clients of tests

    def start(self) -> None:
        began = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            serve = [
                sys.executable,
                "-m",
                "fluxbooth",
                "serve",
                "--data",
                str(self.data),
                "--port",
                str(self.port),
            ]
            command = [*self.prefix, *serve, *self.flags]
            self.process = subprocess.Popen(
                command, env=self.environment, stderr=log, stdout=log, start_new_session=True
            )
        until(lambda: self.answers() or self.over(), "the server answers")
        said = self.log.read_bytes()[began:].decode()
        assert not self.over(), said
        if found := re.search(r"sd_[\w-]+", said):
            self.key = found[0]
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=60,
            event_hooks={"response": [contract.held]},
        )
        self.http = self.ends.enter_context(client)

    @functools.cached_property
    def database(self) -> Database:
        """Its rows, beside it."""
        return self.ends.enter_context(
            contextlib.closing(
                Database(
                    self.environment.get("FLUXBOOTH_DATABASE_URL")
                    or f"sqlite:///{self.data}/fluxbooth.sqlite"
                )
            )
        )

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.ends.close()

    def answers(self) -> bool:
        # httpx's clients take long to make
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def over(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)

    def engine(self) -> int | None:
        return (
            next(iter(children(self.process.pid, "fluxbooth.engine.worker")), None)
            if self.process
            else None
        )

    def device_process(self) -> int | None:
        parent = self.fork_server()
        return (
            next(iter(children(parent, "fluxbooth.engine.fork_server")), None) if parent else None
        )

    def fork_server(self) -> int | None:
        engine = self.engine()
        return (
            next(iter(children(engine, "fluxbooth.engine.fork_server")), None) if engine else None
        )

    def kill(self, what: str) -> None:
        """SIGKILL to the "device process", the "engine", the "api" or "all" of them; a server
        without its API is started again."""
        assert self.process is not None
        api, engine, process = self.process.pid, self.engine(), self.device_process()
        # of all, the engine first: it must not see its device process die, and the kernel may be
        # faster with that than we are
        for pid in {
            "device process": [process],
            "engine": [engine],
            "api": [api],
            "all": [engine, process, api],
        }[what]:
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if what in ("api", "all"):
            self.process.wait(PATIENCE)
            self.start()

    def files(self, place: str) -> list[Path]:
        """What lies in the folder of a row, given as `tunes/7`."""
        return files_of(self.data / "files", place)

    def tune(self, number: int) -> Json:
        return self.http.get(f"/tunes/{number}").raise_for_status().json()

    def prompt(self, number: int) -> Json:
        return self.http.get(f"/prompts/{number}").raise_for_status().json()

    def finished_tune(self, number: int) -> Json:
        until(
            lambda: (t := self.tune(number))["trained_at"] or t.get("failed_at"),
            f"tune {number} is finished",
        )
        return self.tune(number)

    def finished_prompt(self, number: int) -> Json:
        until(lambda: self.prompt(number)["trained_at"], f"prompt {number} is finished")
        return self.prompt(number)

    def new_tune(self, title: str, photos: int = 4, prompts: int = 0, **fields: str) -> Json:
        """One that learns next to nothing unless told how many steps to take, and draws in few."""
        form = {
            f"tune[{name}]": value
            for name, value in {
                "title": title,
                "name": "man",
                "branch": "fast",
                "steps": FEW,
                **fields,
            }.items()
        }
        for i in range(prompts):
            form[f"tune[prompts_attributes][{i}][text]"] = (
                f"sks man at the beach, smiling, picture {i}"
            )
            form[f"tune[prompts_attributes][{i}][steps]"] = FEW
            if "callback" in fields:
                form[f"tune[prompts_attributes][{i}][callback]"] = fields["callback"]
        answer = self.http.post("/tunes", data=form, files=pictures(photos))
        assert answer.status_code == 201, answer.text
        return answer.json()


def pictures(count: int) -> list[tuple[str, tuple[str, bytes]]]:
    return [
        ("tune[images][]", (path.name, path.read_bytes()))
        for path in sorted(PHOTOS.glob("*.png"))[:count]
    ]


def children(parent: int, module: str) -> list[int]:
    """Processes that `parent` started and that run `module`."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except (OSError, IndexError):  # it ended while we looked
            continue
        if above == parent and module.encode() in words:
            found.append(int(folder.name))
    return found


def until(done: Callable[[], object], what: str) -> None:
    """Asks again and again; fails after far too long."""
    limit = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < limit, f"waited {PATIENCE:.0f} s in vain until {what}"
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Receiver:
    """A real HTTP server that keeps the callbacks it gets."""

    def __init__(self, status: Callable[[int], int] = lambda count: 200) -> None:
        self.got: list[tuple[dict[str, str], str, Any]] = []  # headers, path, body
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.got.append((headers, self.path, json.loads(body)))
                receiver.raw = body
                self.send_response(status(len(receiver.got)))
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.raw = b""
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
