"""What the log says, and what it must not."""

from __future__ import annotations

import json
from typing import Any

from tests.support.server import Server, pictures


def lines(server: Server) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")
    ]


def test_a_request_is_followed_to_its_job_and_the_job_to_its_end(server: Server) -> None:
    answer = server.http.post("/prompts", json={"text": "a xylophone of glass"})
    prompt = answer.json()["id"]
    server.finished_prompt(prompt)
    request, job = answer.headers["x-request-id"], f"prompt-{prompt}"
    own = [line for line in lines(server) if line.get("request") == request]
    assert [(line["event"], line.get("job"), line.get("route")) for line in own] == [
        ("accepted", job, None),
        ("request", None, "/prompts"),
    ]
    assert own[1]["status"] == 201 and own[1]["ms"] > 0
    done = [line for line in lines(server) if line.get("job") == job and "request" not in line]
    assert done[0]["event"] == "begun"
    assert all("time" in line for line in own + done)


def test_keys_texts_queries_and_names_of_files_stay_out_of_it(server: Server) -> None:
    # more than an encoder takes: libraries like to repeat what they cut off
    words = " ".join(f"word{i}" for i in range(120))
    form = {
        "tune[title]": "a private title",
        "tune[name]": "man",
        "tune[branch]": "fast",
        "tune[prompts_attributes][0][text]": f"sks man {words}",
    }
    made = server.http.post("/tunes?secret=hunter2", data=form, files=pictures(1)).json()
    server.finished_prompt(made["prompts"][0]["id"])
    said = server.log.read_text()
    assert said.count(server.key) == 1  # the banner of the first start
    for secret in ("hunter2", "word119", "private title", pictures(1)[0][1][0], "Bearer"):
        assert secret not in said, secret
