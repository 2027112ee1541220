"""Every route answers, whatever a database may hold: rows of older versions, nulls, texts of any
script, numbers as large as their columns."""

from __future__ import annotations

import datetime
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluxbooth.service.billing import ledger
from fluxbooth.service.contract.public_bases import FLUX_DEV
from fluxbooth.service.db.checkpoint_tables import Checkpoint, Sample
from fluxbooth.service.db.tables import (
    Account,
    Image,
    Pack,
    Photo,
    Prompt,
    Row,
    Template,
    Tune,
    Use,
)
from tests.support.in_process_server import InProcessServer, in_process_server

Fields = dict[str, Any]
INTEGER = 2**63 - 1  # the largest that a column holds
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
counts = st.integers(0, INTEGER)
floats = st.floats(allow_nan=False, allow_infinity=False)
times = st.datetimes(
    datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 30), timezones=st.just(datetime.UTC)
)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Fields]:
    """An object that may lack each of its fields."""
    return st.fixed_dictionaries({}, optional=fields)


# as the engine writes it; version 0.1.0 wrote null for what an event did not tell
progresses = some(
    step=maybe(st.integers(0, 10_000)),
    steps=maybe(st.integers(0, 10_000)),
    loss=maybe(floats),
    steps_per_second=maybe(st.floats(0, 1e6)),
    seconds_left=maybe(floats),
    losses=st.lists(floats, max_size=3),
    samples=st.integers(0, 100),
)
values = texts | st.booleans() | st.none() | st.integers() | floats
tunes = st.fixed_dictionaries(
    {
        "title": texts,
        "name": texts,
        "token": maybe(texts),
        "model_type": st.sampled_from(["lora", "faceid", "pti"]),
        "branch": st.sampled_from(["flux1", "fast", "sd15"]),
        "base": texts,
        "base_tune_id": counts,
        "preset": maybe(texts),
        "steps": maybe(st.integers(0, 2**31)),
        "spec": some(face_crop=st.booleans()),
        "characteristics": st.dictionaries(texts, values, max_size=3),
        "callback": maybe(texts),
        "continues": maybe(counts),
        "likeness_of_photos": maybe(floats),
        "lora": maybe(texts),
        "lora_bytes": counts,
        "cost_mc": counts,
        "progress": progresses,
        "warnings": st.lists(texts, max_size=2),
        "user_error": maybe(texts),
        "eta": maybe(times),
        "created_at": times,
        "updated_at": times,
        "started_training_at": maybe(times),
        "trained_at": maybe(times),
        "failed_at": maybe(times),
        "expires_at": maybe(times),
    }
)
# of `PromptForm`, as older versions let them through
drawings = some(
    negative_prompt=texts,
    cfg_scale=st.floats(0, 100),
    steps=st.integers(0, 1000),
    super_resolution=st.booleans(),
    ar=texts,
    seed=counts,
    controlnet_conditioning_scale=floats,
    denoising_strength=floats,
    style=texts,
    aspect_ratio=texts,
    resolution=texts,
    w=st.integers(0, 10_000),
    h=st.integers(0, 10_000),
    scheduler=texts,
    backend_version=texts,
    theme=texts,
    theme_writer=texts,
    inputs=some(input_image=texts, mask_image=texts),
    input_urls=some(input_image=texts, mask_image=texts),
)
prompts = st.fixed_dictionaries(
    {
        "tune_id": counts,
        "text": texts,
        "callback": maybe(texts),
        "num_images": st.integers(1, 100),
        "fields": drawings,
        "spec": st.fixed_dictionaries(
            {
                "base": st.just("nano") | texts,
                "num_images": st.integers(1, 8),
                "steps": st.integers(1, 100),
            },
            optional={"aspect_ratio": st.sampled_from(["3:4", "16:9"])},
        ),
        "advice": st.lists(st.fixed_dictionaries({"message": texts}), max_size=2),
        "liked": st.booleans(),
        "likes": counts,
        "pack_id": maybe(counts),
        "base_pack_id": maybe(counts),
        "orig_prompt_id": maybe(counts),
        "order_id": maybe(counts),
        "cost_mc": counts,
        "user_error": maybe(texts),
        "created_at": times,
        "updated_at": times,
        "started_training_at": maybe(times),
        "trained_at": maybe(times),
    }
)
packs = st.fixed_dictionaries(
    {
        "title": texts,
        "subtitle": texts,
        "base_tune_id": st.just(FLUX_DEV) | counts,
        "model_type": texts,
        "token": texts,
        "preset": maybe(texts),
        "cover": maybe(texts),
        "public_at": maybe(times),
        "unlisted_at": maybe(times),
        "created_at": times,
    }
)
templates = st.fixed_dictionaries(
    {
        "class_name": texts,
        "token": texts,
        "tune_id": maybe(counts),
        "text": texts,
        "num_images": st.integers(1, 100),
        "fields": drawings,
        "likes": counts,
    }
)
checkpoints = st.fixed_dictionaries(
    {"step": st.integers(0, 10_000), "lora": maybe(texts), "likeness": maybe(floats)}
)


@pytest.fixture(scope="module")
def attic(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(
        blank, tmp_path_factory.mktemp("attic") / "data", lora_download=True
    ) as opened:
        yield opened


def keep(house: InProcessServer, kind: type[Row], **fields: Any) -> int:
    with house.db.write() as session:
        row = kind(**fields)
        session.add(row)
        session.flush()
        return row.id  # type: ignore[attr-defined]


def answers(house: InProcessServer, *requests: tuple[str, str, Any]) -> None:
    """Every answer is held to its model by the client; a request may be refused, for what it
    asks."""
    for method, path, body in requests:
        answer = house.http.request(method, path, json=body)
        assert answer.status_code < 500, (method, path, answer.text)
        if method == "GET":
            assert answer.status_code == 200, (path, answer.text)


odd = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_what_version_0_1_0_kept_and_no_answer_can_say(attic: InProcessServer) -> None:
    kept = {"age": float("nan"), "height": float("inf"), "name": "a\ud800", "b\udfff": "😀"}
    fields = {"title": "a", "name": "man", "model_type": "lora", "branch": "flux1", "base": "nano"}
    number = keep(attic, Tune, account_id=1, base_tune_id=FLUX_DEV, characteristics=kept, **fields)
    read = {"age": None, "height": None, "name": "a?", "b?": "😀"}
    for method in ("GET", "PATCH"):
        shown = attic.http.request(method, f"/tunes/{number}", json={"tune": {}})
        assert shown.json()["characteristics"] == read


@odd
@given(tune=tunes, photo=maybe(texts), url=maybe(texts), checkpoint=checkpoints)
def test_tunes(
    attic: InProcessServer, tune: Fields, photo: str | None, url: str | None, checkpoint: Fields
) -> None:
    number = keep(attic, Tune, account_id=1, **tune)
    keep(attic, Photo, tune_id=number, filename="a", key=photo, url=url)
    step, likeness = checkpoint["step"], checkpoint.pop("likeness")
    at = keep(attic, Checkpoint, tune_id=number, **checkpoint)
    keep(attic, Sample, checkpoint_id=at, number=0, text="a", key="k", likeness=likeness)
    patch = {"tune": {"title": "new"}}
    answers(
        attic,
        ("GET", f"/tunes/{number}", None),
        ("GET", "/tunes?limit=1", None),
        ("GET", f"/tunes/{number}/progress", None),
        ("GET", f"/tunes/{number}/checkpoints", None),
        ("GET", f"/tunes/{number}/prompts", None),
        ("GET", "/estimates/tune?photos=4", None),
        ("GET", "/estimates/tune?photos=4&branch=fast", None),
        ("POST", f"/tunes/{number}/checkpoints/{step}/choose", None),
        ("POST", f"/tunes/{number}/more", {"tune": {"steps": 5}}),
        ("POST", f"/tunes/{number}/prompts", {"text": f"{tune['token']} {tune['name']}"}),
        ("PATCH", f"/tunes/{number}", patch),
        ("POST", f"/tunes/{number}/cancel", None),
        ("DELETE", f"/tunes/{number}", None),
    )


@odd
@given(prompt=prompts, tune=tunes, weight=floats)
def test_prompts(attic: InProcessServer, prompt: Fields, tune: Fields, weight: float) -> None:
    used = keep(attic, Tune, account_id=1, **tune)
    number = keep(attic, Prompt, account_id=1, signature="", **prompt)
    with attic.db.write() as session:
        session.add(Use(prompt_id=number, tune_id=used, position=0, weight=weight))
    name = secrets.token_hex(8)
    keep(attic, Image, prompt_id=number, name=name, key="k", seed=1, width=1, height=1)
    answers(
        attic,
        ("GET", f"/prompts/{number}", None),
        ("GET", "/prompts?limit=1", None),
        ("GET", f"/tunes/{used}/prompts", None),
        ("GET", "/estimates/prompt", None),
        ("PATCH", f"/prompts/{number}", {"prompt": {"base_pack_id": ""}}),
        ("POST", f"/prompts/{number}/duplicate", {"prompt": {}}),
        ("POST", f"/prompts/{number}/like", None),
        ("DELETE", f"/prompts/{number}", None),
    )


@odd
@given(pack=packs, template=templates)
def test_packs(attic: InProcessServer, pack: Fields, template: Fields) -> None:
    number = keep(attic, Pack, account_id=1, slug=secrets.token_hex(8), **pack)
    keep(attic, Template, pack_id=number, **template)
    answers(
        attic,
        ("GET", f"/packs/{number}", None),
        ("GET", "/packs?limit=1", None),
        ("GET", "/gallery/packs?limit=1", None),
        ("POST", f"/p/{number}/tunes", {"tune": {"tune_ids": [1]}}),
    )
    with attic.db.write() as session:
        session.get_one(Pack, number).public_at = None


@odd
@given(name=texts, credit=st.integers(-(2**62), 2**62))
def test_accounts(attic: InProcessServer, name: str, credit: int) -> None:
    with attic.db.write() as session:
        account = session.get_one(Account, 1)
        account.name = name
        ledger.credit(session, account, credit - ledger.balance(session, account.id))
    answers(
        attic,
        ("GET", "/users", None),
        ("PATCH", "/users", {"user": {"face_crop": False}}),
        ("GET", "/estimates/prompt", None),
    )
