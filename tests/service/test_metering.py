"""Pictures that a licence wants counted: each published one is counted once, and told; where it
cannot be known whether it was taken, that is known."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from fluxbooth.errors import InputError
from fluxbooth.service import licensing, metering, opening, safety
from fluxbooth.service.billing.prices import Prices
from fluxbooth.service.db.metering_tables import Metered, Report
from fluxbooth.service.db.tables import Tune
from fluxbooth.service.files.signed_urls import Signer
from fluxbooth.service.files.store import Store
from fluxbooth.service.jobs.queue import JobEngine
from fluxbooth.service.metering import Usage
from fluxbooth.service.outgoing import webhooks
from fluxbooth.service.prompts import prompts
from fluxbooth.service.settings import Settings, read_settings
from fluxbooth.service.transitions import Transitions
from tests.support.installation import Installation
from tests.support.licensor import Licensor
from tests.support.server import Server, free_port, until

KEY = "bfl-key-that-nobody-sees"
DEV, KREA = 1504944, 3063697
COMMERCIAL = {"base": "flux-dev", "flux_dev_license": "commercial", "safety": "off"}


@pytest.fixture
def licensor() -> Iterator[Licensor]:
    licensor = Licensor()
    yield licensor
    licensor.close()


@pytest.fixture
def licensed(tmp_path: Path, licensor: Licensor) -> Iterator[Installation]:
    """The rows half of a server under a commercial licence."""
    settings = read_settings(
        data=tmp_path / "data", bfl_key=KEY, bfl_url=licensor.url, **COMMERCIAL
    )
    database, sign = opening.opened(settings), Signer(b"secret", settings.url)
    jobs = JobEngine(settings, sign)
    yield Installation(settings, Transitions(settings, database, Store(settings.data), jobs))
    jobs.close()
    database.close()


def published(licensed: Installation, count: int, base: int = DEV) -> None:
    """So many prompts of one picture each."""
    account = licensed.account()
    for number in range(count):
        licensed.drawn(licensed.prompt(account, base, f"a tree, {number}"))


def usage(licensed: Installation) -> list[Usage]:
    with licensed.results.db.read() as session:
        return metering.usage(session)


def told(licensed: Installation) -> bool:
    return metering.report(licensed.results.db, licensed.settings)


def test_what_is_published_is_counted_and_told_once(
    licensed: Installation, licensor: Licensor
) -> None:
    published(licensed, 3)
    published(licensed, 2, KREA)
    assert usage(licensed) == [
        Usage("flux-1-dev", 0, 3, 0, None),
        Usage("flux-1-krea-dev", 0, 2, 0, None),
    ]
    assert told(licensed) and told(licensed)
    assert licensor.counted == {"flux-1-dev": 3, "flux-1-krea-dev": 2}
    assert licensor.reports == [3, 2] and licensor.keys == {KEY}  # many in one report
    published(licensed, 1)
    assert told(licensed)
    assert usage(licensed)[0] == Usage("flux-1-dev", 4, 0, 0, None)
    assert licensor.counted["flux-1-dev"] == 4


@pytest.mark.parametrize("ends", ["done", "deleted"])
def test_a_picture_is_counted_when_it_is_shown_and_not_again_when_its_prompt_ends(
    licensed: Installation, ends: str
) -> None:
    account = licensed.account()
    prompt = licensed.prompt(account, DEV, "a tree", num_images=4)
    licensed.shown(prompt, 3)
    assert usage(licensed) == [Usage("flux-1-dev", 0, 3, 0, None)]
    licensed.shown(prompt, 3)  # the same, after a kill
    if ends == "done":
        licensed.drawn(prompt)
    else:
        jobs = licensed.results.jobs
        licensed.write(account, lambda s, owner: prompts.delete(s, jobs, owner, prompt))
    assert usage(licensed) == [Usage("flux-1-dev", 0, 4 if ends == "done" else 3, 0, None)]


def test_reports_are_small_so_that_a_kill_leaves_few_in_doubt(
    licensed: Installation, licensor: Licensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "MOST", 2)
    published(licensed, 5)
    assert told(licensed) and licensor.reports == [2, 2, 1]


def test_what_is_not_drawn_with_a_licensed_base_or_not_published_is_not_counted(
    licensed: Installation,
) -> None:
    account = licensed.account()
    trial = licensed.tune(account, "a trial")  # of the branch fast, which is nano
    licensed.trained(trial)
    licensed.drawn(licensed.prompt(account, trial, "sks man"))
    failed = licensed.prompt(account, DEV, "a tree")
    licensed.results.begin_drawing(failed)
    licensed.results.fail_prompt(failed, "It could not be drawn.")
    deleted = licensed.prompt(account, DEV, "a tree")
    request = licensed.results.begin_drawing(deleted)
    assert request is not None
    result = licensed.pictures(request)
    licensed.write(account, lambda s, owner: setattr(s.get_one(Tune, trial), "title", "kept"))
    licensed.results.fail_prompt(deleted, "It was cancelled.")
    licensed.results.publish_prompt(deleted, result)  # too late
    assert usage(licensed) == []


def test_a_publication_that_does_not_end_well_counts_nothing(
    licensed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = licensed.prompt(licensed.account(), DEV, "a tree")
    request = licensed.results.begin_drawing(prompt)
    assert request is not None
    result = licensed.pictures(request)

    def killed(*_: object, **__: object) -> None:
        raise ValueError

    with monkeypatch.context() as patched, pytest.raises(ValueError):
        patched.setattr(licensed.results.jobs, "callback", killed)
        licensed.results.publish_prompt(prompt, result)
    assert usage(licensed) == []
    licensed.results.publish_prompt(prompt, result)
    licensed.results.publish_prompt(prompt, result)
    assert usage(licensed) == [Usage("flux-1-dev", 0, 1, 0, None)]


def test_samples_of_a_training_are_counted_once_though_drawn_again(licensed: Installation) -> None:
    tune = licensed.tune(licensed.account(), "a man", branch="flux1")
    licensed.results.begin_training(tune)
    for step, number in ((0, 0), (0, 1), (0, 1), (75, 0)):
        licensed.sampled(tune, step, number)
    assert usage(licensed) == [Usage("flux-1-dev", 0, 3, 0, None)]


def test_a_sample_that_is_kept_back_was_drawn_and_is_counted(
    licensed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety, "published", lambda *_: False)
    tune = licensed.tune(licensed.account(), "a man", branch="flux1")
    licensed.results.begin_training(tune)
    licensed.sampled(tune, 0, 0)
    assert usage(licensed) == [Usage("flux-1-dev", 0, 1, 0, None)]


def test_without_a_commercial_licence_nothing_is_counted(licensed: Installation) -> None:
    free = licensed.settings.model_copy(update={"flux_dev_license": "noncommercial"})
    with licensed.results.db.write() as session:
        metering.count(session, free, "flux-dev", "prompt-1", 4)
        metering.count(session, licensed.settings, "nano", "prompt-2", 4)
        metering.count(session, licensed.settings, "flux-schnell", "prompt-3", 4)
    assert usage(licensed) == []


# ── outages
# ───────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_listens_and_nothing_is_in_doubt(licensed: Installation, licensor: Licensor) -> None:
    published(licensed, 2)
    away = licensed.settings.model_copy(update={"bfl_url": f"http://127.0.0.1:{free_port()}"})
    for _ in range(3):
        assert not metering.report(licensed.results.db, away)
    (seen,) = usage(licensed)
    assert (seen.reported, seen.waiting, seen.doubtful) == (0, 2, 0)
    assert "cannot be reached" in (seen.error or "")
    published(licensed, 1)
    assert told(licensed) and licensor.counted == {"flux-1-dev": 3}
    assert usage(licensed) == [Usage("flux-1-dev", 3, 0, 0, None)]


@pytest.mark.parametrize("status", [400, 403, 422, 500, 503])
def test_a_refusal_is_shown_and_tried_again(
    licensed: Installation, licensor: Licensor, status: int
) -> None:
    published(licensed, 2)
    licensor.mood = status
    assert not told(licensed)
    (seen,) = usage(licensed)
    assert seen.waiting == 2 and seen.doubtful == 0 and f"status {status}" in (seen.error or "")
    licensor.mood = "takes"
    assert told(licensed) and licensor.counted == {"flux-1-dev": 2}


@pytest.mark.parametrize("mood", ["takes and hangs up", "hangs up", 502, 504])
def test_where_no_answer_came_the_doubt_is_known(
    licensed: Installation, licensor: Licensor, mood: Any
) -> None:
    published(licensed, 2)
    licensor.mood = mood
    assert not told(licensed) and not told(licensed)
    licensor.mood = "takes"
    assert told(licensed)
    (seen,) = usage(licensed)
    assert (seen.reported, seen.waiting, seen.doubtful) == (2, 0, 4)
    assert licensor.counted["flux-1-dev"] == (6 if mood == "takes and hangs up" else 2)


def test_the_key_is_in_no_error_and_no_log(
    licensed: Installation, licensor: Licensor, capsys: pytest.CaptureFixture[str]
) -> None:
    published(licensed, 1)
    for mood in ("hangs up", 403, "takes"):
        licensor.mood = mood  # type: ignore[assignment]
        told(licensed)
    said = capsys.readouterr().err
    assert said.count('"usage report"') == 3 and KEY not in said
    assert KEY not in repr(licensed.settings)
    with licensed.results.db.read() as session:
        assert KEY not in str([vars(row) for row in session.scalars(select(Report))])
    with pytest.raises(InputError) as wrong:
        read_settings(bfl_key=f"{KEY}\n")
    assert KEY not in str(wrong.value)


# ── kills
# ─────────────────────────────────────────────────────────────────────────────────────────────


def test_killed_before_it_is_sent_or_after_it_was_taken(
    licensed: Installation, licensor: Licensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(licensed, 2)
    send = webhooks.deliver

    def before(*_: Any) -> webhooks.Delivery:
        raise KeyboardInterrupt

    def after(*given: Any) -> webhooks.Delivery:
        send(*given)
        raise KeyboardInterrupt

    for deliver, counted, doubtful in ((before, 0, 2), (after, 2, 4)):
        monkeypatch.setattr(webhooks, "deliver", deliver)
        with pytest.raises(KeyboardInterrupt):
            told(licensed)
        assert licensor.counted["flux-1-dev"] == counted
        assert usage(licensed) == [Usage("flux-1-dev", 0, 2, doubtful, None)]
    monkeypatch.setattr(webhooks, "deliver", send)
    assert told(licensed)
    # it fell on the side of too many, and by no more than is said
    assert licensor.counted["flux-1-dev"] == 4
    assert usage(licensed) == [Usage("flux-1-dev", 2, 0, 4, None)]


REPORTING = """
import sys
from pathlib import Path
from fluxbooth.service import metering
from fluxbooth.service.db.database import Database
from fluxbooth.service.settings import read_settings
settings = read_settings(data=Path(sys.argv[1]))
metering.report(Database(settings.rows_url), settings)
"""


def test_a_process_that_is_killed_while_it_waits_for_the_answer(
    licensed: Installation, licensor: Licensor
) -> None:
    published(licensed, 3)
    licensor.mood = "takes and waits"
    names = {"BFL_KEY": KEY, "BFL_URL": licensor.url}
    process = subprocess.Popen(
        [sys.executable, "-c", REPORTING, str(licensed.settings.data)],
        env={f"FLUXBOOTH_{name}": value for name, value in names.items()},
    )
    assert licensor.met.wait(60)
    until(lambda: licensor.counted["flux-1-dev"] == 3, "the report is taken")
    process.send_signal(signal.SIGKILL)
    process.wait()
    licensor.mood = "takes"
    assert usage(licensed) == [Usage("flux-1-dev", 0, 3, 3, None)]
    assert told(licensed) and licensor.counted["flux-1-dev"] == 6
    assert usage(licensed) == [Usage("flux-1-dev", 3, 0, 3, None)]


def test_the_engine_reports_and_its_kills_lose_nothing(tmp_path: Path, licensor: Licensor) -> None:
    """Published by this process, told by the server's engine, which is killed again and again."""
    rng = random.Random(5)
    asked = {"bfl_key": KEY, "bfl_url": licensor.url, **COMMERCIAL}
    with Server(tmp_path / "data", **asked) as server:
        settings = Settings(data=server.data, **asked)  # type: ignore[arg-type]
        jobs = 0
        for kill in range(4):
            for _ in range(5):
                jobs += 1
                with server.database.write() as session:
                    metering.count(session, settings, "flux-dev", f"prompt-{jobs}", 2)
            licensor.mood = "takes and waits" if kill % 2 else "takes"
            licensor.met.clear()
            assert licensor.met.wait(60)
            time.sleep(rng.uniform(0, 0.05))  # the moment of the kill is what varies
            server.kill("engine")
            licensor.mood = "takes"
            until(lambda: server.engine() is not None, "the engine is there again")

        def seen() -> Usage:
            with server.database.read() as session:
                return metering.usage(session)[0]

        until(lambda: not seen().waiting, "all is told")
        assert seen().reported == 2 * jobs and seen().doubtful > 0
        assert 2 * jobs <= licensor.counted["flux-1-dev"] <= 2 * jobs + seen().doubtful
        with server.database.read() as session:
            assert session.scalar(select(func.sum(Metered.pictures))) == 2 * jobs
        server.stop()
        assert KEY not in server.log.read_text()


# ── what a server refuses to start for
# ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_the_licences_ask_of_a_server(tmp_path: Path) -> None:
    def notices(**given: Any) -> list[str]:
        settings = Settings(data=tmp_path, **{"base": "flux-dev", "safety": "off", **given})
        licensing.check(settings)
        return licensing.notices(settings)

    prices = Prices(picture=1)
    commercial = {"flux_dev_license": "commercial", "bfl_key": KEY}
    assert notices(flux_dev_license="noncommercial") == []
    assert notices(**commercial, prices=prices) == []
    (said,) = notices(**commercial, lora_download=True)
    assert "FLUXBOOTH_LORA_DOWNLOAD" in said and "flux-dev and flux-krea" in said
    assert notices(base="nano", lora_download=True, prices=prices) == []
    for given, says in (
        ({}, "may be served only under a licence"),
        ({"flux_dev_license": "commercial"}, "set FLUXBOOTH_BFL_KEY"),
        ({"flux_dev_license": "noncommercial", "prices": prices}, "FLUXBOOTH_PRICES asks for"),
    ):
        with pytest.raises(InputError, match=says):
            notices(**given)
    with pytest.raises(InputError, match="set FLUXBOOTH_SAFETY to block or flag"):
        licensing.check(Settings(data=tmp_path, base="flux-dev", flux_dev_license="noncommercial"))


def test_no_fault_ends_the_reports_and_each_model_waits_for_its_own(
    licensed: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(licensed, 1)
    attempts: list[str] = []

    def broken(_: Any, __: Any, number: int) -> bool:
        with licensed.results.db.read() as session:
            attempts.append(session.get_one(Report, number).model)
        raise ValueError("a fault that nobody thought of")

    monkeypatch.setattr(metering, "_told", broken)
    reporter = metering.Reporter(licensed.results.db, licensed.settings, threading.Event())
    (model,) = [one.model for one in usage(licensed)]
    reporter.attempt(model, 0.0)
    assert attempts == [model] and usage(licensed)[0].error == "ValueError"
    reporter.attempt(model, 1.0)
    assert len(attempts) == 1  # it waits
    published(licensed, 1, KREA)
    (other,) = {one.model for one in usage(licensed)} - {model}
    reporter.attempt(other, 1.0)  # which this one need not
    assert attempts == [model, other]
    reporter.attempt(model, 1000.0)
    assert attempts == [model, other, model]
