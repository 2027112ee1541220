"""What a request is told: all of it at once, in every form that known clients read; and what
comes back as it was sent."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import select

from fluxbooth.engine import worker
from fluxbooth.service.db.tables import Callback, Prompt, Tune
from fluxbooth.service.jobs import callbacks as callbacks_of
from fluxbooth.service.jobs import priority
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import Receiver, pictures

Json = dict[str, Any]


@pytest.fixture(scope="module")
def home(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(blank, tmp_path_factory.mktemp("answers") / "data") as opened:
        yield opened


def new_tune(home: InProcessServer, expect: int = 201, files: Any = None, **fields: Any) -> Json:
    form = {
        f"tune[{name}]": value for name, value in {"title": "a", "name": "man", **fields}.items()
    }
    answer = home.http.post("/tunes", data=form, files=pictures(1) if files is None else files)
    assert answer.status_code == expect, answer.text
    return answer.json()


def draw(home: InProcessServer, target: int = 1504944, expect: int = 201, **fields: Any) -> Json:
    answer = home.http.post(
        f"/tunes/{target}/prompts", json={"prompt": {"text": "a man at sea", **fields}}
    )
    assert answer.status_code == expect, answer.text
    return answer.json()


def test_seed_minus_one_is_any(home: InProcessServer) -> None:
    assert draw(home, seed=-1)["seed"] is draw(home, seed="-1")["seed"] is None
    assert draw(home, seed=-2, expect=422)["seed"] == ["must be greater than or equal to -1"]
    specs = [home.row(Prompt, draw(home, seed=-1)["id"]).spec["seed"] for _ in range(2)]
    assert specs[0] != specs[1]


@pytest.mark.parametrize("value", ["NaN", "1e999", "-Infinity", '"\\ud800"', '"\\u0000"'], ids=repr)
def test_an_object_in_json_text_holds_what_json_in_a_body_may(
    home: InProcessServer, value: str
) -> None:
    """Kept, it would break every list that its tune is in."""
    for text in (f'{{"age": {value}}}', f'{{"age": [{{"a": {value}}}]}}'):
        told = new_tune(home, 422, characteristics=text)
        assert told["characteristics"][0].startswith("cannot be kept: ")
    assert new_tune(home, 422, characteristics="[1]")["characteristics"] == ["must be an object"]
    assert home.http.get("/tunes").status_code == 200


def test_a_tag_may_name_a_tune_in_any_signs(home: InProcessServer) -> None:
    """Unicode calls ² a digit, and Python reads no number from it."""
    for name in ("²", "٣", "x²"):
        told = draw(home, text=f"<lora:{name}:1> a man", expect=422)
        assert told["text"] == [f"refers to tune {name}, which does not exist"]


def test_all_faults_of_a_prompt_are_told_at_once(home: InProcessServer) -> None:
    told = draw(
        home,
        text="<lora:77:1> <lora:78:9> a man",
        num_images=9,
        cfg_scale=7,
        negative_prompt="blur",
        w=64,
        expect=422,
    )
    assert told["text"] == [
        "refers to tune 77, which does not exist",
        "refers to tune 78, which does not exist",
    ]
    assert (told["num_images"], told["cfg_scale"], told["negative_prompt"], told["h"]) == (
        ["must be less than or equal to 8"],
        ["must be less than 5"],
        ["not supported on Flux"],
        ["must be given together with the other side"],
    )
    assert told["message"] == told["error"] == ", ".join(told["base"]) and len(told["base"]) == 6


def test_all_faults_of_a_tune_are_told_at_once_those_of_nested_prompts_with_their_index(
    home: InProcessServer,
) -> None:
    nested = [
        {"text": "ohwx man"},
        {"text": "a man", "num_images": 0, "cfg_scale": 8},
        "no object",
        {"text": "ohwx man <lora:77:1>"},
    ]
    asked = {"name": "man", "steps": 0, "base_tune_id": 3, "prompts_attributes": nested}
    answer = home.http.post("/tunes", json={"tune": asked})
    told = answer.json()
    assert answer.status_code == 422 and {name for name in told if "[" in name} == {
        "prompts_attributes[1][text]",
        "prompts_attributes[1][num_images]",
        "prompts_attributes[1][cfg_scale]",
        "prompts_attributes[2]",
        "prompts_attributes[3][text]",
    }
    assert told["prompts_attributes[1][text]"] == ["must include `ohwx man`"]
    assert told["title"] == ["can't be blank"] and told["images"] == ["can't be blank"]
    assert "steps" in told and "base_tune_id" in told
    assert "prompts_attributes[1][text] must include `ohwx man`" in told["base"]
    assert home.http.get("/tunes", params={"name": "man", "title": "untitled"}).json() == []


def test_all_faults_of_a_run_of_a_pack_are_told_at_once(home: InProcessServer) -> None:
    asked = {"steps": 0, "name": "dragon", "prompt_ids": "nobody", "image_urls": ["ftp://a"]}
    told = home.http.post("/p/corporate/tunes", json={"tune": asked}).json()
    assert {"title", "steps", "prompt_ids", "image_urls"} <= set(told)


def test_what_is_not_there_says_so_in_every_form(home: InProcessServer) -> None:
    assert home.http.get("/tunes/7").json() == {
        "error": "Not Found",
        "message": "Not Found",
        "base": ["Not Found"],
        "status": 404,
    }


@pytest.mark.parametrize(
    "name", ["before_id", "limit", "offset", "page", "tune_id", "pack_id", "user_id"]
)
def test_a_number_that_is_none_is_refused(home: InProcessServer, name: str) -> None:
    answer = home.http.get("/prompts", params={name: "abc"})
    assert answer.status_code == 422 and answer.json()[name] == ["must be a whole number"]
    assert home.http.get("/prompts", params={name: "undefined"}).status_code == 200
    assert home.http.get("/prompts", params={name: str(10**30)}).status_code in (200, 400)


def test_lists_are_filtered_by_user(home: InProcessServer) -> None:
    me = home.http.get("/users").json()["id"]
    made = draw(home)["id"]
    assert made in [row["id"] for row in home.http.get("/prompts", params={"user_id": me}).json()]
    assert home.http.get("/prompts", params={"user_id": me + 1}).json() == []


def test_a_class_that_begins_with_the_token_is_not_given_it_twice(home: InProcessServer) -> None:
    tune = new_tune(home, name="ohwx person")
    assert tune["name"] == "ohwx person" and tune["ref_with_trigger"].endswith("> ohwx person")
    spec = home.row(Tune, tune["id"]).spec
    assert spec["sample_prompts"][0] == "ohwx person at the beach"
    assert (
        draw(home, tune["id"], text="ohwx person at sea")["text"]
        == f"<lora:{tune['id']}:1> ohwx person at sea"
    )
    assert draw(home, tune["id"], text="a person", expect=422)["text"] == [
        "must include `ohwx person`"
    ]
    ran = home.http.post("/p/corporate/tunes", json={"tune": {"tune_ids": [tune["id"]]}})
    assert ran.status_code == 201, ran.text
    assert "ohwx ohwx" not in home.row(Prompt, ran.json()["prompt_ids"][0]).text


def test_a_duplicate_with_a_new_text_keeps_its_lora(home: InProcessServer) -> None:
    tune, other = new_tune(home)["id"], new_tune(home)["id"]
    first = draw(home, text=f"<lora:{tune}:0.7> ohwx man at sea")

    def again(**changes: Any) -> Json:
        return home.http.post(f"/prompts/{first['id']}/duplicate", json={"prompt": changes}).json()

    kept = again(text="ohwx man in a forest")
    assert kept["text"] == f"<lora:{tune}:0.7> ohwx man in a forest" and [
        row["id"] for row in kept["tunes"]
    ] == [tune]
    assert [row["id"] for row in again(text=f"<lora:{other}:1> ohwx man")["tunes"]] == [other]
    assert again()["text"] == first["text"]
    assert again(text="a forest")["text"] == ["must include `ohwx man`"]


def test_training_face_correct_comes_back_as_it_was_sent(home: InProcessServer) -> None:
    tune = new_tune(home, training_face_correct="true")
    assert tune["training_face_correct"] is True and any(
        "training_face_correct" in text for text in tune["warnings"]
    )
    assert home.http.get(f"/tunes/{tune['id']}").json()["training_face_correct"] is True
    plain = new_tune(home)
    assert plain["training_face_correct"] is False and plain["warnings"] == []


def test_what_is_not_offered_is_called_by_its_name(home: InProcessServer) -> None:
    told = draw(home, image_references=["http://a.example/b.jpg"], video_model="x", expect=422)
    assert "input_image" in told["image_references"][0] and "not offered" in told["video_model"][0]
    nested = [{"text": "ohwx man", "input_image_url": "http://a.example/b.jpg"}]
    asked = {
        "title": "a",
        "name": "man",
        "image_urls": ["http://a.example/b.jpg"],
        "prompts_attributes": nested,
    }
    told = home.http.post("/tunes", json={"tune": asked}).json()
    assert "POST /prompts" in told["prompts_attributes[0][input_image_url]"][0]
    assert draw(home, image_references=[])["image_references"] == []


def test_captions_without_a_photo_are_named(home: InProcessServer) -> None:
    photo = pictures(1)[0][1]
    files = [
        ("tune[images][]", ("a.png", photo[1])),
        ("tune[images][]", ("a.txt", b"ohwx man")),
        ("tune[images][]", ("b.txt", b"ohwx")),
    ]
    tune = new_tune(home, files=files)
    assert tune["warnings"] == ["Captions left out, because no photo has their name: b.txt."]


def test_what_a_training_says_is_kept_once(home: InProcessServer) -> None:
    tune = new_tune(home)["id"]
    for _ in range(2):
        home.results.warned(tune, ["Captions are odd."])
    request = home.results.begin_training(tune)
    assert request is not None
    result = home.made(request, "lora.safetensors") | {
        "warnings": ["Captions are odd.", "The loss diverged."]
    }
    home.results.publish_tune(tune, result)
    assert home.http.get(f"/tunes/{tune}").json()["warnings"] == [
        "Captions are odd.",
        "The loss diverged.",
    ]


@pytest.mark.parametrize("kind", ["AVIF", "TIFF", "BMP", "HEIF"])
def test_photos_of_more_formats_are_taken(home: InProcessServer, kind: str) -> None:
    from pillow_heif import register_heif_opener

    register_heif_opener()
    out = io.BytesIO()
    suffix = {"AVIF": ".avif", "TIFF": ".tif", "BMP": ".bmp", "HEIF": ".heic"}[kind]
    Image.new("RGB", (200, 150), "red").save(out, kind)
    tune = new_tune(home, files=[("tune[images][]", (f"a{suffix}", out.getvalue()))])
    assert f"000{suffix}" in tune["orig_images"][0]


def test_a_trial_stands_behind_no_training_of_its_account(home: InProcessServer) -> None:
    for _ in range(3):
        new_tune(home)
    trial, training = (
        home.row(Tune, new_tune(home, branch=branch)["id"]) for branch in ("fast", "flux1")
    )
    with home.db.read() as session:
        behind = priority.priority(session, training) - priority.priority(session, trial)
    assert behind >= 3 * priority.TRAINING_BEHIND


def test_an_order_is_told_of_after_the_callback_of_its_last_prompt(
    home: InProcessServer, receiver: Receiver
) -> None:
    tune = new_tune(home)["id"]
    home.trained(tune)
    run = {
        "tune_ids": [tune],
        "prompts_callback": f"{receiver.url}/all",
        "prompt_attributes": {"callback": f"{receiver.url}/each"},
    }
    made = home.http.post("/p/corporate/tunes", json={"tune": run}).json()["prompt_ids"]
    for number in made:
        home.drawn(number)

    def callbacks() -> list[Callback]:
        with home.db.read() as session:
            return list(
                session.scalars(
                    select(Callback)
                    .where(Callback.url.startswith(receiver.url))
                    .order_by(Callback.created_at)
                )
            )

    engine = worker.Engine(home.settings)
    told = callbacks()
    assert {row.url for row in told} == {f"{receiver.url}/each"} and len(told) == len(made)
    for number, row in enumerate(told, 1):
        assert len(callbacks()) == len(told)
        callbacks_of.deliver(home.db, engine.jobs, engine.rules, row.id, 1)
        assert len(receiver.got) == number
    (last,) = [row for row in callbacks() if row.url.endswith("/all")]
    callbacks_of.deliver(home.db, engine.jobs, engine.rules, last.id, 1)
    assert [path for _, path, _ in receiver.got] == ["/each"] * len(made) + ["/all"] and len(
        receiver.got[-1][2]
    ) == len(made)
    engine.jobs.close()


@pytest.mark.parametrize(
    ("path", "missing"),
    [("/packs", {"title"}), ("/themes", {"theme", "tune_ids"}), ("/tunes", {"title", "name"})],
)
def test_what_is_needed_is_asked_for(home: InProcessServer, path: str, missing: set[str]) -> None:
    answer = home.http.post(path, json={})
    assert answer.status_code == 422 and set(answer.json()) >= missing


def test_the_query_is_read_as_forms_are(home: InProcessServer) -> None:
    told = home.http.get("/prompts?tune_id=x&limit=y&order_id=null")
    assert told.status_code == 422
    assert set(told.json()) - {"base", "error", "message"} == {"tune_id", "limit"}
    kept, expiring = (
        home.http.get(f"/estimates/tune?photos=4&auto_extend={word}").json()["days"]
        for word in ("True", "False")
    )
    assert (kept, expiring) == (None, home.settings.expiry_days)
    refused = home.http.get("/estimates/tune?photos=4&steps=few&branch=sdxl2&preset=")
    assert refused.status_code == 422
    assert set(refused.json()) - {"base", "error", "message"} == {"steps", "branch"}
