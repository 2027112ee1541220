"""A small Hugging Face hub on this machine: real HTTP, the part of its protocol that a download
uses.

A file of another folder stands for a repository: access, revision and tree by the API; metadata,
redirects to a store, and ranges of bytes by `resolve`. What is larger than 10 kB counts as stored
by LFS.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "3de623fc3c33e44ffbe2bad470d0f45bccf2eb21"  # the one that flux-dev is pinned to
LARGE = 10_000


@dataclass
class Hub:
    folder: Path
    repository: str = "black-forest-labs/FLUX.1-dev"
    main: str = COMMIT  # the commit that main is at; `commit` stays, whatever it is
    commit: str = COMMIT
    gated: bool = True
    # whether the account has accepted the licence
    tokens: dict[str, bool] = field(default_factory=dict)
    damaged: set[str] = field(default_factory=set)  # files that come with a wrong byte
    stall_in: str | None = None  # a file that stops after three quarters
    stalled: threading.Event = field(default_factory=threading.Event)
    resume: threading.Event = field(default_factory=threading.Event)
    log: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, range
    address: str = ""
    store: str = ""  # where large files lie: another host, as on the real hub
    also: tuple[Hub, ...] = ()  # other repositories of it

    def contents(self) -> dict[str, bytes]:
        return {
            str(p.relative_to(self.folder)): p.read_bytes()
            for p in sorted(self.folder.rglob("*"))
            if p.is_file()
        }

    def ranges(self, name: str) -> list[str | None]:
        return [
            part for method, path, part in self.log if method == "GET" and path == f"/store/{name}"
        ]


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"server_hub": hub})
    )
    hub.address = f"http://127.0.0.1:{server.server_port}"
    for one in (hub, *hub.also):
        one.address = hub.address
        one.store = f"http://localhost:{server.server_port}/store"
        one.store += f"/{one.repository}" if one is not hub else ""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.resume.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: Hub
    hub: Hub  # or the other repository that is asked for

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.server_hub.log.append((self.command, path, self.headers.get("Range")))
        also = self.server_hub.also
        hub = next((one for one in also if f"/{one.repository}/" in f"{path}/"), self.server_hub)
        self.hub = hub
        api = f"/api/models/{hub.repository}"
        if path == f"{api}/auth-check":
            if self._allowed():
                self._json({})
        elif path in (
            f"{api}/revision/{hub.commit}",
            f"{api}/revision/{hub.main}",
            f"{api}/revision/main",
            api,
        ):
            sha = hub.commit if path.endswith(f"/{hub.commit}") else hub.main
            self._json(
                {
                    "_id": "1",
                    "id": hub.repository,
                    "modelId": hub.repository,
                    "sha": sha,
                    "gated": hub.gated,
                    "siblings": [],
                }
            )
        elif path in (f"{api}/tree/{hub.commit}", f"{api}/tree/{hub.main}"):
            self._json([self._entry(name, data) for name, data in hub.contents().items()])
        elif path.startswith(
            (f"/{hub.repository}/resolve/{hub.commit}/", f"/{hub.repository}/resolve/{hub.main}/")
        ):
            if self._allowed():
                self._resolve(*path.removeprefix(f"/{hub.repository}/resolve/").split("/", 1))
        elif path.startswith("/store/"):
            self._send(path.removeprefix("/store/").removeprefix(f"{hub.repository}/"))
        else:
            self._refuse(404, "RepoNotFound")

    def _allowed(self) -> bool:
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        if not self.hub.gated or self.hub.tokens.get(token):
            return True
        if token and token not in self.hub.tokens:
            self._refuse(401, None)
        else:
            self._refuse(403 if token else 401, "GatedRepo")
        return False

    def _entry(self, name: str, data: bytes) -> dict[str, object]:
        entry: dict[str, object] = {
            "type": "file",
            "path": name,
            "size": len(data),
            "oid": _git(data),
        }
        if len(data) > LARGE:
            entry["lfs"] = {
                "oid": hashlib.sha256(data).hexdigest(),
                "size": len(data),
                "pointerSize": 130,
            }
        return entry

    def _resolve(self, commit: str, name: str) -> None:
        data = self.hub.contents()[name]
        large = len(data) > LARGE
        etag = hashlib.sha256(data).hexdigest() if large else _git(data)
        headers = {
            "X-Repo-Commit": commit,
            "X-Linked-Etag": f'"{etag}"',
            "X-Linked-Size": str(len(data)),
            "ETag": f'"{etag}"',
        }
        if large:
            self._start(
                302, headers | {"Location": f"{self.hub.store}/{name}", "Content-Length": "0"}
            )
        else:
            self._start(200, headers | {"Content-Length": str(len(data))})
            if self.command == "GET":
                self.wfile.write(data)

    def _send(self, name: str) -> None:
        hub, data = self.hub, self.hub.contents()[name]
        if name in hub.damaged:
            data = bytes([data[0] ^ 1]) + data[1:]
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        body = data[start:]
        headers = {"Content-Length": str(len(body))} | (
            {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if wanted else {}
        )
        self._start(206 if wanted else 200, headers)
        if self.command == "HEAD":
            return
        if name == hub.stall_in:
            self.wfile.write(body[: len(body) * 3 // 4])  # the client writes 10 MB at a time
            self.wfile.flush()
            hub.stalled.set()
            hub.resume.wait()
            self.close_connection = True
            return
        self.wfile.write(body)

    def _json(self, value: object) -> None:
        body = json.dumps(value).encode()
        self._start(200, {"Content-Type": "application/json", "Content-Length": str(len(body))})
        self.wfile.write(body)

    def _refuse(self, code: int, reason: str | None) -> None:
        self._start(
            code,
            ({"X-Error-Code": reason, "X-Error-Message": "no access"} if reason else {})
            | {"Content-Length": "0"},
        )

    def _start(self, code: int, headers: dict[str, str]) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


def _git(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
