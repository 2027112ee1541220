"""Log lines of JSON: when, what, and the id to find it by. Never a key, a query, a body or a file name of a client."""

from __future__ import annotations

import datetime
import json
import sys
import traceback


def request(number: str, method: str, route: str, status: int, seconds: float) -> None:
    _write({"event": "request", "request": number, "method": method, "route": route, "status": status, "ms": round(seconds * 1000, 1)})


def error(number: str, fault: BaseException) -> None:
    """A fault of ours, with where it came from but not with the values that led to it."""
    where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in traceback.extract_tb(fault.__traceback__)[-5:]]
    _write({"event": "error", "request": number, "kind": type(fault).__name__, "where": where})


def _write(line: dict[str, object]) -> None:
    print(json.dumps({"time": datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds"), **line}), file=sys.stderr, flush=True)
