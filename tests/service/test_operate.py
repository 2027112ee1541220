"""The operator's commands, beside a server that runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support.server import Receiver, Server, until


def operate(server: Server, *arguments: str) -> Any:
    command = [sys.executable, "-m", "fluxbooth", *arguments, "--data", str(server.data), "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=server.environment
    )
    return json.loads(done.stdout)


def test_a_backup_of_a_running_server_becomes_a_server(server: Server, tmp_path: Path) -> None:
    tune = server.new_tune("kept", prompts=1)
    prompt = server.finished_prompt(tune["prompts"][0]["id"])
    operate(server, "backup", str(tmp_path / "copy"))
    restored = Server(tmp_path / "restored", flags=["--no-worker"])
    operate(restored, "restore", str(tmp_path / "copy"))
    with restored:
        restored.http.headers["Authorization"] = f"Bearer {server.key}"
        assert restored.tune(tune["id"])["trained_at"] == server.tune(tune["id"])["trained_at"]
        picture = restored.prompt(prompt["id"])["images"][0]
        assert httpx.get(picture).content == httpx.get(prompt["images"][0]).content


def test_an_imported_lora_draws_and_keys_come_and_go(server: Server) -> None:
    tune = server.finished_tune(server.new_tune("to import")["id"])
    (lora,) = [
        path for path in server.files(f"tunes/{tune['id']}") if path.name == "lora.safetensors"
    ]
    made = operate(server, "lora", "import", str(lora), "--name", "man", "--title", "imported")
    assert server.tune(made["id"])["trained_at"]
    drawn = server.http.post(
        "/prompts", json={"text": f"<lora:{made['id']}:1> ohwx man at the beach"}
    ).json()
    assert server.finished_prompt(drawn["id"])["images"]
    key = operate(server, "key", "create", "--label", "guest")["key"]
    guest = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"{server.http.base_url}/users", headers=guest).status_code == 200
    operate(server, "key", "revoke", key[:12])
    assert httpx.get(f"{server.http.base_url}/users", headers=guest).status_code == 401


def test_a_callback_is_listed_and_repeated_under_its_own_id(
    server: Server, receiver: Receiver
) -> None:
    made = server.http.post(
        "/prompts", json={"text": "a man", "callback": receiver.url + "/again"}
    ).json()
    until(lambda: len(receiver.got) == 1, "the callback arrives")
    until(lambda: mine(server, made["id"])["state"] == "delivered", "it is marked delivered")
    operate(server, "callbacks", "replay", mine(server, made["id"])["id"])
    until(lambda: len(receiver.got) == 2, "it arrives again")
    first, second = receiver.got
    assert first[0]["webhook-id"] == second[0]["webhook-id"] and first[2] == second[2]


def mine(server: Server, prompt: int) -> Any:
    return next(
        row
        for row in operate(server, "callbacks", "list")["callbacks"]
        if row["about"] == f"prompt {prompt}"
    )
