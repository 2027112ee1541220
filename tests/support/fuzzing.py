"""Requests that a fuzzer makes of the document at /openapi.json, sent to a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

from tests.support.server import Json, Server

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


# half the paths name rows that are there; what is deleted is no other's
KNOWN = """
[dictionaries]
rows.values = [{kept}]
doomed.values = [{doomed}]
packs.values = ["corporate", "pets"]

[parameters]
"path.number" = {{ dictionary = "rows", probability = 0.5 }}
"path.name" = {{ dictionary = "packs", probability = 0.5 }}
"body.tune_ids[*]" = {{ dictionary = "rows", probability = 0.5 }}

[[operations]]
include-method = "DELETE"
parameters = {{ "path.number" = {{ dictionary = "doomed", probability = 0.5 }} }}
"""


def known(server: Server) -> str:
    """Makes a few tunes and prompts; the fuzzer's configuration that names them."""
    tunes = [server.new_tune(title, photos=1)["id"] for title in ("kept", "doomed")]
    prompts = [server.http.post("/prompts", json={"text": text}).json()["id"] for text in "ab"]
    kept, doomed = (", ".join(map(str, pair)) for pair in zip(tunes, prompts, strict=True))
    return KNOWN.format(kept=kept, doomed=doomed)


def fuzz(server: Server, examples: int, seed: int = 20261124) -> Counter[int]:
    """Runs schemathesis with requests that the document allows and such that it does not, so many
    of each route at most; how many answers there were of each status."""
    configuration = server.data.with_name("fuzzer.toml")
    configuration.write_text(known(server))
    command = [
        sys.executable,
        "-m",
        "schemathesis.cli",
        "--config-file",
        str(configuration),
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
