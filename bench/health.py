"""Asks /health fifty times a second: `python -m bench.health PORT`. It loads nothing, so that
it starts at once."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time

EVERY = 0.02  # seconds


def ask(port: int) -> None:
    """Asks until standard input is closed, then prints the milliseconds that each answer took."""
    over, times = threading.Event(), []
    threading.Thread(target=lambda: (sys.stdin.read(), over.set())).start()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    while not over.is_set():
        began = time.monotonic()
        connection.request("GET", "/health")
        connection.getresponse().read()
        times.append((time.monotonic() - began) * 1000)
        over.wait(EVERY)
    print(json.dumps(times))


if __name__ == "__main__":
    ask(int(sys.argv[1]))
