"""What goes when, and that nothing comes back.

The clock is an argument: nobody waits thirty days.
"""

from __future__ import annotations

import dataclasses
import datetime
import json

import pytest

from fluxbooth.models import registry
from fluxbooth.service.db.tables import Prompt, Tune, now
from fluxbooth.service.errors import NotFound
from fluxbooth.service.prompts import prompts
from fluxbooth.service.tunes import tunes
from tests.support.installation import Installation

DAY = datetime.timedelta(days=1)
HOOK = "http://receiver.example/hook"


def trained_with_picture(
    installation: Installation, account: int, **fields: object
) -> tuple[int, int]:
    tune = installation.tune(account, "a tune", **fields)
    installation.trained(tune)
    prompt = installation.prompt(account, tune, "sks man at the beach")
    installation.drawn(prompt)
    assert installation.files(f"tunes/{tune}") == [
        "000.png",
        "lora.safetensors",
    ] and installation.files(f"prompts/{prompt}") == ["0.jpg"]
    return tune, prompt


def test_a_tune_and_its_pictures_go_thirty_days_after_training_and_not_a_day_before(
    installation: Installation,
) -> None:
    account = installation.account()
    tune, prompt = trained_with_picture(installation, account)
    assert (
        installation.row(Tune, tune).expires_at - installation.row(Tune, tune).trained_at
        == 30 * DAY
    )
    installation.sweep(now() + 29 * DAY)
    assert installation.row(Tune, tune).deleted_at is None and installation.files(
        f"prompts/{prompt}"
    )
    installation.sweep(now() + 31 * DAY)
    assert installation.row(Tune, tune).deleted_at and installation.row(Prompt, prompt).deleted_at
    assert (
        installation.files(f"tunes/{tune}") == [] and installation.files(f"prompts/{prompt}") == []
    )
    with pytest.raises(NotFound):
        installation.write(account, lambda session, owner: tunes.get(session, owner, tune))


@pytest.mark.parametrize("by", ["tune", "account"])
def test_auto_extend_keeps_a_tune(installation: Installation, by: str) -> None:
    account = installation.account(auto_extend=by == "account")
    tune, prompt = trained_with_picture(installation, account, auto_extend=by == "tune")
    assert installation.row(Tune, tune).expires_at is None
    installation.sweep(now() + 4000 * DAY)
    assert installation.row(Tune, tune).deleted_at is None and installation.files(
        f"prompts/{prompt}"
    ) == ["0.jpg"]


def test_a_tune_that_trains_nothing_goes_as_the_others_do(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeing = dataclasses.replace(registry.BASES["nano"], references=1)
    monkeypatch.setitem(registry.BASES, "nano", seeing)
    account = installation.account()
    kept, expiring = (
        installation.tune(account, "a face", model_type="faceid", auto_extend=auto_extend)
        for auto_extend in (True, False)
    )
    assert installation.row(Tune, kept).expires_at is None
    row = installation.row(Tune, expiring)
    assert row.expires_at - row.trained_at == 30 * DAY


@pytest.mark.parametrize("with_prompts", [False, True])
def test_deleting_a_tune_takes_finished_pictures_only_if_asked_to(
    installation: Installation, with_prompts: bool
) -> None:
    account = installation.account()
    tune, prompt = trained_with_picture(installation, account)
    jobs = installation.results.jobs
    keys = installation.write(
        account, lambda s, owner: tunes.delete(s, jobs, owner, tune, with_prompts=with_prompts)
    )
    assert (
        keys
        == [installation.row(Tune, tune).folder]
        + [installation.row(Prompt, prompt).folder] * with_prompts
    )
    installation.sweep(now())  # as after a kill between the transaction and the files
    assert installation.files(f"tunes/{tune}") == []
    assert installation.files(f"prompts/{prompt}") == ([] if with_prompts else ["0.jpg"])
    assert bool(installation.row(Prompt, prompt).deleted_at) is with_prompts


def test_prompts_that_wait_for_a_deleted_tune_fail_and_say_so(installation: Installation) -> None:
    account = installation.account()
    tune = installation.tune(account, "never trained")
    prompt = installation.prompt(account, tune, "sks man", callback=HOOK)
    jobs = installation.results.jobs
    installation.write(
        account, lambda s, owner: tunes.delete(s, jobs, owner, tune, with_prompts=False)
    )
    assert (
        installation.row(Prompt, prompt).user_error == "A tune that this prompt uses was deleted."
    )
    (told,) = installation.told(prompt)
    assert (
        json.loads(told.body)["prompt"]["user_error"] == "A tune that this prompt uses was deleted."
    )
    assert installation.results.begin_training(tune) is None


@pytest.mark.parametrize("how", ["deleted", "expired", "cancelled"])
def test_a_training_under_way_brings_nothing_back(installation: Installation, how: str) -> None:
    """The device process answers after the row was given up, as when both happen at once."""
    account, results = installation.account(), installation.results
    tune = installation.tune(account, f"{how} meanwhile")
    request = results.begin_training(tune)
    assert request is not None and results.tune_wanted(tune)
    if how == "cancelled":
        installation.write(
            account, lambda session, owner: tunes.cancel(session, results.jobs, owner, tune)
        )
    elif how == "deleted":
        installation.write(
            account,
            lambda session, owner: tunes.delete(
                session, results.jobs, owner, tune, with_prompts=False
            ),
        )
    else:
        with results.db.write() as session:
            session.get_one(Tune, tune).expires_at = now() - DAY
        installation.sweep(now())
    assert not results.tune_wanted(tune)
    results.publish_tune(tune, installation.made(request, "lora.safetensors"))
    results.tidy(Tune, tune)
    row = installation.row(Tune, tune)
    assert row.trained_at is None and row.lora is None
    assert installation.files(f"tunes/{tune}") == (["000.png"] if how == "cancelled" else [])


def test_a_drawing_under_way_brings_nothing_back(installation: Installation) -> None:
    account, results = installation.account(), installation.results
    prompt = installation.prompt(account, 1504944, "a man", callback=HOOK)
    request = results.begin_drawing(prompt)
    assert request is not None
    installation.write(
        account, lambda session, owner: prompts.delete(session, results.jobs, owner, prompt)
    )
    results.publish_prompt(prompt, installation.pictures(request))
    results.tidy(Prompt, prompt)
    assert (
        installation.row(Prompt, prompt).trained_at is None
        and installation.files(f"prompts/{prompt}") == []
    )
    assert installation.told(prompt) == []
