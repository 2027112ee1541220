"""A local server that takes reports of pictures as Black Forest Labs' does."""

from __future__ import annotations

import http.server
import json
import threading
from collections import Counter
from typing import Literal

Mood = Literal["takes", "takes and hangs up", "hangs up", "takes and waits"]


class Licensor:
    """`counted` has the pictures that it took, by model. Its `mood` is what it does next, or a
    status that it refuses with."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        self.reports: list[int] = []
        self.mood: Mood | int = "takes"
        self.over = threading.Event()
        self.met = threading.Event()  # a request has come
        licensor = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                licensor.answer(self, body["number_of_generations"])

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request: http.server.BaseHTTPRequestHandler, pictures: int) -> None:
        mood = self.mood
        self.met.set()
        parts = request.path.split("/")
        assert parts[:4] + parts[5:] == ["", "v1", "licenses", "models", "usage"] and pictures > 0
        self.keys.add(request.headers["x-key"])
        if isinstance(mood, str) and mood.startswith("takes"):
            self.reports.append(pictures)
            self.counted[parts[4]] += pictures
        if mood == "takes and waits":
            self.over.wait()
        if mood == "takes":
            body = b'{"message": "Usage recorded successfully"}'
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)
        elif isinstance(mood, int):
            request.send_error(mood)
        else:
            request.close_connection = True

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()
