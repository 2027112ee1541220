"""An account may want the same title, or the same prompt, to be the same row."""

from __future__ import annotations

from sqlalchemy import func, select
from starlette.testclient import TestClient

from fluxbooth.service.accounts import accounts
from fluxbooth.service.db.tables import Use
from fluxbooth.service.tunes import tunes
from fluxbooth.web.app import create_app
from tests.support.installation import Installation


def test_the_same_title_is_the_same_tune_for_an_account_that_wants_it_so(
    installation: Installation,
) -> None:
    account = installation.account(idempotent=True)
    nested = {"prompts_attributes": [{"text": "sks man"}]}
    first = installation.tune(account, "Ann", **nested)
    assert installation.tune(account, "Ann", **nested) == first
    assert installation.tune(account, "Bob") != first
    request = installation.results.begin_training(first)
    # the second request's photo was not added
    assert request is not None and len(request["photos"]) == 1
    with installation.results.db.read() as session:
        # nor its nested prompt made again
        assert session.scalar(select(func.count()).where(Use.tune_id == first)) == 1


def test_a_deleted_tune_is_no_longer_the_same(installation: Installation) -> None:
    account = installation.account(idempotent=True)
    first = installation.tune(account, "Ann")
    installation.write(
        account,
        lambda s, owner: tunes.delete(
            s, installation.results.jobs, owner, first, with_prompts=False
        ),
    )
    assert installation.tune(account, "Ann") != first


def test_what_decides_the_picture_decides_whether_a_prompt_is_the_same(
    installation: Installation,
) -> None:
    account = installation.account(idempotent=True)

    def made(text: str = "a man", **fields: object) -> int:
        return installation.prompt(account, 1504944, text, **fields)

    first = made()
    assert made() == first and made(cfg_scale="") == first
    changes = (
        {"seed": 1},
        {"num_images": 2},
        {"aspect_ratio": "3:4"},
        {"film_grain": True},
        {"callback": "http://a.example/"},
    )
    others = {made(**change) for change in changes} | {made("a woman")}
    assert len(others | {first}) == len(changes) + 2


def test_accounts_do_not_share_rows_and_others_make_new_ones(installation: Installation) -> None:
    wanting, another, plain = (
        installation.account(idempotent=option) for option in (True, True, False)
    )
    assert installation.tune(wanting, "Ann") != installation.tune(another, "Ann")
    assert installation.tune(plain, "Ann") != installation.tune(plain, "Ann")
    assert installation.prompt(plain, 1504944, "a man") != installation.prompt(
        plain, 1504944, "a man"
    )


def test_an_account_sets_its_options_itself(installation: Installation) -> None:
    account = installation.account()
    secret = accounts.pepper(installation.settings)
    key = installation.write(
        account, lambda session, owner: accounts.create_key(session, owner, "", secret)
    )
    with TestClient(
        create_app(installation.settings), headers={"Authorization": f"Bearer {key}"}
    ) as client:

        def options() -> tuple[bool, bool]:
            shown = client.get("/users").json()
            return shown["idempotent"], shown["auto_extend_tunes"]

        assert options() == (False, False)
        assert (
            client.patch("/users", data={"user[idempotent]": "True"}).json()["idempotent"] is True
        )
        assert (
            client.patch("/users", json={"auto_extend_tunes": 1, "name": "another"}).json()["name"]
            != "another"
        )
        assert options() == (True, True)
        made = [client.post("/prompts", json={"text": "a man"}).json()["id"] for _ in range(2)]
        assert made[0] == made[1]
        assert client.patch("/users", json={"idempotent": "perhaps"}).status_code == 422
        assert client.patch("/users", json={"idempotent": "false"}).json()["idempotent"] is False
