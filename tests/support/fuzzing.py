"""Requests that a fuzzer makes of the document at /openapi.json, sent to a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

from tests.support.server import Json, Server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def fuzz(server: Server, examples: int, seed: int = 20261124) -> Counter[int]:
    """Runs schemathesis with requests that the document allows and such that it does not, so many
    of each route at most; how many answers there were of each status."""
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "run",
        f"{server.http.base_url}/openapi.json",
        "--phases",
        "examples,fuzzing",
        "--seed",
        str(seed),
        "--max-examples",
        str(examples),
        "--checks",
        CHECKS,
        "--generation-database",
        "none",
        "--no-color",
        "--no-shrink",
        "--suppress-health-check",
        "all",
        "--warnings",
        "off",
        "-H",
        f"Authorization: Bearer {server.key}",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=server.data, env=server.environment
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    answered: Json = server.http.get("/users").json()
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    events = [line["event"] for line in lines]
    assert answered["id"] and "error" not in events
    return Counter(line["status"] for line in lines if line["event"] == "request")
