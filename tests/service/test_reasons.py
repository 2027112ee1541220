"""What an account is told of a failure: never where this server keeps its files."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxbooth.service import reasons
from fluxbooth.service.contract import responses
from fluxbooth.service.db.tables import Prompt, Tune
from fluxbooth.service.settings import Settings
from tests.support.installation import Installation

DATA = Path("/srv/fluxbooth data")
STORED = f"{DATA}/files/tunes/7/lora.safetensors"


@pytest.mark.parametrize(
    ("sentence", "heard"),
    [
        (
            f"{STORED} has damaged metadata: download it again.",
            "the LoRA of tune 7 has damaged metadata: download it again.",
        ),
        ("Cannot read 000.jpg: it is cut short.", "Cannot read at the beach.jpg: it is cut short."),
        ("Cannot read 1000.jpg.", "Cannot read 1000.jpg."),
        (
            f"Run `fluxbooth lora convert {STORED} NEW.safetensors`.",
            "Run `fluxbooth lora convert the LoRA of tune 7 NEW.safetensors`.",
        ),
        (
            f"{DATA}/files/tunes/8/work/run is a file: choose.",
            "a file of this server is a file: choose.",
        ),
        (
            "/mnt/bases/flux.safetensors cannot be read ('/mnt/x/y').",
            "a file of this server cannot be read ('a file of this server').",
        ),
        (
            f"{Path.home()}/.cache/x and {sys.prefix}/lib/y.",
            "a file of this server and a file of this server.",
        ),
        ("Look into /var/log/fluxbooth.log.", "Look into a file of this server."),
        (
            "http://host.example/a/b.jpg answered with status 404.",
            "http://host.example/a/b.jpg answered with status 404.",
        ),
        (
            "Send them with POST /prompts, as a/b or 3/4.",
            "Send them with POST /prompts, as a/b or 3/4.",
        ),
    ],
)
def test_files_are_told_by_the_names_that_the_account_knows(sentence: str, heard: str) -> None:
    names = {STORED: "the LoRA of tune 7", "000.jpg": "at the beach.jpg"}
    assert reasons.told(sentence, names, DATA) == heard


@pytest.fixture
def hidden(installation: Installation) -> Iterator[str]:
    yield str(installation.settings.data)


def test_a_failed_tune_and_prompt_name_no_path_in_row_and_callback(
    installation: Installation, hidden: str
) -> None:
    account = installation.account()
    hook = "http://127.0.0.1:9/hook"
    tune, other = installation.tune(account, "t", callback=hook), installation.tune(account, "o")
    request = installation.results.begin_training(tune)
    assert request
    photo = request["photos"][0]
    prompt = installation.prompt(account, tune, "sks man", callback=hook)
    installation.results.fail_tune(
        tune, f"{photo} is cut short, and {request['out']} is a file: remove {Path(photo).name}."
    )
    row = installation.row(Tune, tune)
    assert (
        row.user_error == "a.png is cut short, and a file of this server is a file: remove a.png."
    )
    assert hidden not in installation.row(Prompt, prompt).user_error
    installation.trained(other)
    drawing = installation.prompt(account, other, "sks man")
    asked = installation.results.begin_drawing(drawing)
    assert asked
    installation.results.fail_prompt(
        drawing, f"{asked['spec']['loras'][0].rpartition(':')[0]} has an unreadable header."
    )
    assert (
        installation.row(Prompt, drawing).user_error
        == f"the LoRA of tune {other} has an unreadable header."
    )
    told = [json.dumps(callback.body) for callback in installation.told(prompt)]
    assert told and not any(hidden in body for body in told)


def test_a_base_of_ones_own_is_called_by_its_name() -> None:
    settings = Settings(
        data=DATA,
        base="/mnt/bases/mine.safetensors",
        base_tunes={1504944: "/mnt/bases/mine.safetensors"},
    )
    assert responses.public_tune(1504944, settings)["base"] == "mine.safetensors"
