"""The document at /openapi.json is true: requests made of it get only the statuses and objects
that it names."""

from __future__ import annotations

from collections.abc import Iterator

import jsonschema
import pytest
from starlette.testclient import TestClient

from fluxbooth.service.accounts import accounts
from fluxbooth.web.app import create_app
from tests.support.fuzzing import fuzz
from tests.support.installation import Installation
from tests.support.server import Server


def test_objects_are_as_the_document_says(installation: Installation) -> None:
    account = installation.account()
    key = installation.write(
        account,
        lambda session, owner: accounts.create_key(
            session, owner, "", accounts.pepper(installation.settings)
        ),
    )
    tune, failed = installation.tune(account, "documented"), installation.tune(account, "failed")
    prompt = installation.prompt(account, tune, "sks man", cfg_scale=3, denoising_strength=0.5)
    installation.results.fail_tune(failed, "for the test")
    with TestClient(
        create_app(installation.settings), headers={"Authorization": f"Bearer {key}"}
    ) as client:
        document = client.get("/openapi.json").json()
        for path, name in (
            (f"/tunes/{tune}", "Tune"),
            (f"/tunes/{failed}", "Tune"),
            (f"/prompts/{prompt}", "Prompt"),
            ("/tunes/1", "Error"),
            (f"/tunes/{tune}/progress", "Progress"),
            ("/estimates/tune?photos=4", "TuneEstimate"),
            ("/users", "User"),
        ):
            named = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
            jsonschema.validate(client.get(path).json(), named)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            shown = [
                answer["content"]["application/json"]["schema"]
                for status, answer in operation["responses"].items()
                if "application/json" in answer.get("content", {})
            ]
            assert shown and all(shown), f"{method} {path} does not say what it answers"


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes everything and does nothing of it."""
    with Server(
        tmp_path_factory.mktemp("idle") / "data",
        flags=["--no-worker"],
        request_mb="4",
        theme_composer="true",
    ) as server:
        yield server


def test_what_a_fuzzer_makes_of_the_document_gets_documented_answers(idle: Server) -> None:
    fuzz(idle, examples=4)


@pytest.mark.slow
def test_a_long_run_of_the_fuzzer(idle: Server) -> None:
    fuzz(idle, examples=500)
