"""Callbacks from the side of who asks for them: which addresses are taken, and what they are
signed with."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from fluxbooth.cli.main import main
from fluxbooth.service.db.tables import Account, Callback, now
from fluxbooth.service.jobs import callbacks
from fluxbooth.service.outgoing import webhooks
from fluxbooth.service.outgoing.fetch import FetchRules
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.installation import Installation
from tests.support.server import Receiver, pictures

Json = dict[str, Any]
OWN = FetchRules(allow_private=True, ports=frozenset(range(1, 2**16)))
PRIVATE = (
    "http://127.0.0.1/hook", "http://localhost/hook", "http://LOCALHOST./hook",
    "http://192.168.1.7/", "http://[::1]/", "http://0x7f000001/", "http://printer.local/",
    "http://api.internal/", "http://169.254.169.254/latest", "http://hooks.example:8080/",
)  # fmt: skip


@pytest.fixture(scope="module")
def strict(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A house as it comes: callbacks go to public addresses."""
    with in_process_server(
        blank, tmp_path_factory.mktemp("strict") / "data", private_network=False
    ) as opened:
        yield opened


@pytest.mark.parametrize("url", PRIVATE)
def test_an_address_that_would_never_be_asked_is_refused_when_it_is_given(
    strict: InProcessServer, url: str
) -> None:
    answer = strict.http.post("/prompts", json={"text": "a man", "callback": url})
    assert (
        answer.status_code == 422
        and "FLUXBOOTH_PRIVATE_NETWORK=true" in answer.json()["callback"][0]
    )
    assert strict.http.get("/prompts").json() == []


def test_every_field_that_takes_a_callback_looks_at_it(strict: InProcessServer) -> None:
    hook = PRIVATE[0]
    form = {"tune[title]": "t", "tune[name]": "man"}
    made = strict.http.post("/tunes", data=form, files=pictures(1)).json()
    strict.trained(made["id"])
    nested = {
        "tune[prompts_attributes][0][text]": "ohwx man",
        "tune[prompts_attributes][0][callback]": hook,
    }
    run = {"tune": {"tune_ids": [made["id"]], "prompts_callback": hook}}
    attributes = {"callback": hook}
    answers: dict[str, httpx.Response] = {
        "tune": strict.http.post("/tunes", data=form | {"tune[callback]": hook}, files=pictures(1)),
        "nested": strict.http.post("/tunes", data=form | nested, files=pictures(1)),
        "more": strict.http.post(f"/tunes/{made['id']}/more", json={"tune": {"callback": hook}}),
        "pack": strict.http.post("/p/corporate/tunes", json=run),
        "its prompts": strict.http.post(
            "/p/corporate/tunes",
            json={"tune": {"tune_ids": [made["id"]], "prompt_attributes": attributes}},
        ),
    }
    for name, answer in answers.items():
        assert (
            answer.status_code == 422 and "FLUXBOOTH_PRIVATE_NETWORK=true" in answer.json()["error"]
        ), f"{name}: {answer.text}"
    assert len(strict.http.get("/tunes").json()) == 1 and strict.http.get("/prompts").json() == []


def test_public_addresses_and_those_of_a_network_of_ones_own_are_taken(
    strict: InProcessServer, blank: Path, tmp_path: Path
) -> None:
    hook = "https://hooks.example/trained?user=7"
    assert (
        strict.http.post("/prompts", json={"text": "a man", "callback": hook}).json()["callback"]
        == hook
    )
    with in_process_server(blank, tmp_path / "data") as own:
        assert (
            own.http.post("/prompts", json={"text": "a man", "callback": PRIVATE[0]}).json()[
                "callback"
            ]
            == PRIVATE[0]
        )


# ── the secret
# ───────────────────────────────────────────────────────────────────────────────────────────────────────


def told(installation: Installation, account: int, receiver: Receiver) -> list[str]:
    """The signatures of one more callback."""
    prompt = installation.prompt(
        account, 1504944, f"a man {len(receiver.got)}", callback=receiver.url
    )
    installation.results.fail_prompt(prompt, "It could not be drawn.")
    with installation.results.db.read() as session:
        number = session.scalars(select(Callback.id).where(Callback.prompt_id == prompt)).one()
    callbacks.deliver(installation.results.db, installation.results.jobs, OWN, number, 1)
    headers = receiver.got[-1][0]
    found = headers["webhook-signature"].split(" ")
    with installation.results.db.read() as session:
        owner = session.get_one(Account, account)
    keys = callbacks.secrets_of(owner)
    stamp = int(headers["webhook-timestamp"])
    assert found == [
        webhooks.signed_headers([key], number, stamp, receiver.raw)["webhook-signature"]
        for key in keys
    ]
    return keys


def test_after_a_change_both_secrets_sign_for_a_day(
    installation: Installation, receiver: Receiver
) -> None:
    account = installation.account()
    (first,) = told(installation, account, receiver)
    installation.write(account, callbacks.rotate)
    second, before = told(installation, account, receiver)
    assert before == first != second

    def a_day_later(session: Any, owner: Account) -> None:
        owner.webhook_secret_since = now() - callbacks.BOTH_SIGN - datetime.timedelta(seconds=1)

    installation.write(account, a_day_later)
    assert told(installation, account, receiver) == [second]


def test_what_the_documents_say_verifies_a_callback() -> None:
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text()
    known: Json = {}
    exec(next(block for block in page.split("```") if "def is_genuine" in block), known)
    old, new, body = webhooks.new_secret(), webhooks.new_secret(), b'{"tune": {}}'
    headers = webhooks.signed_headers([new, old], "msg_1", 7, body)
    assert known["is_genuine"](old, headers, body) and known["is_genuine"](new, headers, body)
    assert not known["is_genuine"](old, headers, body + b" ") and not known["is_genuine"](
        webhooks.new_secret(), headers, body
    )


def test_the_secret_is_shown_by_a_command_and_is_part_of_an_export(
    strict: InProcessServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strict.guest("Ann")

    def secret(*flags: str) -> Json:
        assert (
            main(
                [
                    "callbacks",
                    "secret",
                    "--account",
                    "Ann",
                    *flags,
                    "--json",
                    "--data",
                    str(strict.settings.data),
                ]
            )
            == 0
        )
        return json.loads(capsys.readouterr().out)

    first = secret()
    assert first["secret"].startswith("whsec_") and first["before"] is None and secret() == first
    second = secret("--new")
    assert second["secret"] != first["secret"] == second["before"]
    assert (
        main(
            ["account", "export", "Ann", str(tmp_path / "ann"), "--data", str(strict.settings.data)]
        )
        == 0
    )
    row = json.loads((tmp_path / "ann" / "rows" / "accounts.jsonl").read_text())
    assert row["webhook_secret"] == second["secret"] and "password" not in row
