"""Reference pictures: on a base that looks at none every way to ask for one is refused alike; on
one that does, tunes of the type faceid and edited pictures come to what the device process is
given, and nobody gets at another account's.

The base is nano, which looks at none, or nano said to look at four: nothing is drawn here.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.models import registry
from fluxbooth.service.db.tables import FIRST_TUNE, Account, Pack, Photo, Prompt, Tune, now
from fluxbooth.service.prompts import references
from fluxbooth.service.safety import Judge
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import pictures

Json = dict[str, Any]
NANO, REASON = 1504944, "nano looks at no reference pictures: train a LoRA instead"
PICTURE = base64.b64encode(sorted(PHOTOS.glob("*.png"))[0].read_bytes()).decode()


@pytest.fixture(scope="module")
def blind(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A server whose base looks at no references."""
    data = tmp_path_factory.mktemp("blind") / "data"
    with in_process_server(blank, data, theme_composer=True) as opened:
        yield opened


@pytest.fixture
def seeing(
    blank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[InProcessServer]:
    """One whose base looks at four."""
    row = dataclasses.replace(registry.BASES["nano"], references=4)
    monkeypatch.setitem(registry.BASES, "nano", row)
    with in_process_server(blank, tmp_path / "data", theme_composer=True) as opened:
        yield opened


def faceid(server: InProcessServer, http: httpx.Client | None = None, **fields: Any) -> Json:
    form = {"title": "a face", "name": "man", "model_type": "faceid", **fields}
    values = {f"tune[{name}]": value for name, value in form.items()}
    answer = (http or server.http).post("/tunes", data=values, files=pictures(1))
    assert answer.status_code == 201, answer.text
    return answer.json()


def given(server: InProcessServer, prompt: int) -> Json:
    """The spec that the device process is given, with references as keys of the store."""
    request = server.results.begin_drawing(prompt)
    assert request is not None
    spec = request["spec"]
    folder = server.results.store.folder
    looked_at = [str(Path(path).relative_to(folder)) for path in spec.get("references", ())]
    assert all(Path(path).is_file() for path in spec.get("references", ()))
    return {**spec, "text": request["text"], "references": looked_at}


def photo_keys(server: InProcessServer, tune: int) -> list[str]:
    with server.db.read() as session:
        return [
            key for key in session.scalars(select(Photo.key).where(Photo.tune_id == tune)) if key
        ]


# ── refused alike
# ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def left_over(blind: InProcessServer) -> Json:
    """A tune, a pack and a prompt of the type faceid, as a server may have them from the time when
    it had another base, and a LoRA."""
    with blind.db.write() as session:
        owner = session.scalars(select(Account)).first()
        assert owner is not None
        about = {"name": "man", "branch": "flux1", "base": "nano", "base_tune_id": NANO}
        face = Tune(
            id=FIRST_TUNE + 700,
            account_id=owner.id,
            title="a face",
            model_type="faceid",
            trained_at=now(),
            **about,
        )
        face.photos.append(Photo(filename="a.png", key="tunes/a.png"))
        pack = Pack(
            account_id=owner.id,
            slug="faces",
            title="Faces",
            base_tune_id=NANO,
            model_type="faceid",
        )
        session.add_all([face, pack])
        session.flush()
        tag = f"<faceid:{face.id}:1> a man"
        prompt = Prompt(account_id=owner.id, tune_id=NANO, text=tag, signature="s")
        session.add(prompt)
        session.flush()
        return {"tune": face.id, "pack": pack.slug, "prompt": prompt.id, "text": tag}


WAYS = {
    "a tune of that type": lambda http, old: http.post(
        "/tunes",
        data={"tune[title]": "t", "tune[name]": "man", "tune[model_type]": "faceid"},
        files=pictures(1),
    ),
    "a trial of that type": lambda http, old: http.post(
        "/tunes",
        data={
            "tune[title]": "t",
            "tune[name]": "man",
            "tune[model_type]": "faceid",
            "tune[branch]": "fast",
        },
        files=pictures(1),
    ),
    "a tag in a text": lambda http, old: http.post("/prompts", json={"text": old["text"]}),
    "a prompt on the tune": lambda http, old: http.post(
        f"/tunes/{old['tune']}/prompts", json={"text": "a man"}
    ),
    "tune_id": lambda http, old: http.post(
        "/prompts", json={"text": "a man", "tune_id": old["tune"]}
    ),
    "a nested prompt": lambda http, old: http.post(
        "/tunes",
        data={
            "tune[title]": "t",
            "tune[name]": "man",
            "tune[prompts_attributes][0][text]": f"ohwx man {old['text']}",
        },
        files=pictures(1),
    ),
    "a nested prompt of a tune of that type": lambda http, old: http.post(
        "/tunes",
        data={
            "tune[title]": "t",
            "tune[name]": "man",
            "tune[model_type]": "faceid",
            "tune[prompts_attributes][0][text]": "a man",
        },
        files=pictures(1),
    ),
    "a new pack of that type": lambda http, old: http.post(
        "/packs", json={"pack": {"title": "t", "model_type": "faceid"}}
    ),
    "a pack of that type on a photo": lambda http, old: http.post(
        f"/p/{old['pack']}/tunes",
        data={"tune[title]": "t", "tune[name]": "man"},
        files=pictures(1),
    ),
    "a pack on the tune": lambda http, old: http.post(
        "/p/corporate/tunes", json={"tune": {"tune_ids": [old["tune"]]}}
    ),
    "a theme on the tune": lambda http, old: http.post(
        "/themes", json={"theme": "vikings", "tune_ids": [old["tune"]]}
    ),
    "input_faceid": lambda http, old: http.post(
        "/prompts", json={"text": "a man", "input_faceid": True, "input_image": PICTURE}
    ),
    "--input_faceid": lambda http, old: http.post(
        "/prompts", json={"text": "a man --input_faceid 0.8", "input_image": PICTURE}
    ),
    "a prompt again": lambda http, old: http.post(f"/prompts/{old['prompt']}/duplicate", json={}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_base_without_references_refuses_every_way_alike(
    blind: InProcessServer, left_over: Json, way: str
) -> None:
    def rows() -> tuple[int, int]:
        with blind.db.read() as session:
            return len(session.scalars(select(Tune)).all()), len(
                session.scalars(select(Prompt)).all()
            )

    before = rows()
    answer = WAYS[way](blind.http, left_over)
    assert answer.status_code == 422, answer.text
    assert REASON in answer.json()["error"], answer.text
    assert rows() == before


def test_the_reason_names_bases_of_the_server_that_have_references(
    blind: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = dataclasses.replace(registry.BASES["flux-krea"], references=1)
    monkeypatch.setitem(registry.BASES, "flux-krea", row)
    settings = blind.settings.model_copy(update={"base": "flux-dev"})
    said = references.none_here(settings, registry.BASES["flux-dev"])
    assert said == (
        "flux-dev looks at no reference pictures: train a LoRA instead, or draw on Flux1.krea "
        "(3063697)"
    )


# ── used
# ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_tune_of_a_photo_is_ready_at_once_and_free(seeing: InProcessServer) -> None:
    made = faceid(seeing)
    assert made["trained_at"] and made["trained_at"] == made["started_training_at"]
    assert made["model_type"] == "faceid" and made["token"] is None and made["cost_mc"] == 0
    assert made["expires_at"] > made["trained_at"]
    assert made["ref_with_trigger"] == f"<faceid:{made['id']}:1.0> man"


@pytest.mark.parametrize("name", ["man", "shirt", "bottle", "kitchen"])  # people, clothes, ...
def test_a_photo_is_used_by_its_tag_by_its_id_and_by_nested_prompts(
    seeing: InProcessServer, name: str
) -> None:
    nested: Json = {"prompts_attributes][0][text": f"a {name} by the sea, at dusk"}
    made = faceid(seeing, name=name, **nested)
    (key,) = photo_keys(seeing, made["id"])
    tagged = {"text": f"by the sea <faceid:{made['id']}:1>"}
    asked = [
        seeing.http.post("/prompts", json=tagged).json(),
        seeing.http.post(f"/tunes/{made['id']}/prompts", json={"text": "by the sea"}).json(),
        made["prompts"][0],
    ]
    for prompt in asked:
        assert prompt["tune_id"] == NANO and [one["id"] for one in prompt["tunes"]] == [made["id"]]
        spec = given(seeing, prompt["id"])
        assert spec["references"] == [key] and spec["loras"] == []
        assert "<" not in spec["text"] and "by the sea" in spec["text"]
    listed = seeing.http.get(f"/tunes/{made['id']}/prompts").json()
    assert {row["id"] for row in listed} == {row["id"] for row in asked}


def test_packs_of_the_type_draw_each_text_with_the_photo(seeing: InProcessServer) -> None:
    pack = seeing.http.post("/packs", json={"pack": {"title": "p", "model_type": "faceid"}}).json()
    first = faceid(seeing)
    template = {"text": f"portrait of the man <faceid:{first['id']}:1>", "pack_id": pack["id"]}
    seeing.http.post("/prompts", json=template).raise_for_status()
    form = {"tune[title]": "t", "tune[name]": "man"}
    run = seeing.http.post(f"/p/{pack['slug']}/tunes", data=form, files=pictures(1))
    assert run.status_code == 201, run.text
    second = run.json()
    assert second["model_type"] == "faceid" and second["trained_at"]
    # and a pack that was written for LoRAs, on a tune that is a photo
    others = {"tune": {"tune_ids": [second["id"]], "prompt_ids": []}}
    drawn = seeing.http.post("/p/corporate/tunes", json=others).json()
    rows = seeing.http.get(f"/tunes/{second['id']}/prompts", params={"limit": 120}).json()
    assert len(rows) == 1 + len(drawn["prompt_ids"]) > 2
    for row in rows:
        spec = given(seeing, row["id"])
        assert spec["references"] == photo_keys(seeing, second["id"])
        assert "ohwx" not in spec["text"] and "the man" in spec["text"]


def test_themes_may_be_of_a_photo(seeing: InProcessServer) -> None:
    made = faceid(seeing)
    theme = {"theme": "vikings", "tune_ids": [made["id"]]}
    assert seeing.http.post("/themes", json=theme).status_code == 201
    rows = seeing.http.get(f"/tunes/{made['id']}/prompts").json()
    assert len(rows) == 10
    assert given(seeing, rows[0]["id"])["references"] == photo_keys(seeing, made["id"])


def test_several_in_the_order_of_their_tags_beside_a_lora(seeing: InProcessServer) -> None:
    man, shirt = faceid(seeing), faceid(seeing, name="shirt")
    form = {"tune[title]": "t", "tune[name]": "woman"}
    lora = seeing.http.post("/tunes", data=form, files=pictures(1)).json()
    seeing.trained(lora["id"])
    text = f"ohwx woman <faceid:{shirt['id']}:1> <lora:{lora['id']}:0.8> <faceid:{man['id']}:1>"
    prompt = seeing.http.post("/prompts", json={"text": text}).json()
    spec = given(seeing, prompt["id"])
    assert spec["references"] == [
        *photo_keys(seeing, shirt["id"]),
        *photo_keys(seeing, man["id"]),
    ]
    assert len(spec["loras"]) == 1 and spec["loras"][0].endswith(":0.8")


def test_a_strength_of_none_leaves_it_out_and_others_count_as_one(seeing: InProcessServer) -> None:
    made = faceid(seeing)

    def prompt(strength: str) -> Json:
        text = f"a man <faceid:{made['id']}:{strength}>"
        return seeing.http.post("/prompts", json={"text": text}).json()

    for strength, said in (("1", False), ("0", False), ("0.4", True)):
        warnings = " ".join(prompt(strength)["warnings"])
        assert ("is looked at as with 1" in warnings) == said
    assert given(seeing, prompt("0")["id"])["references"] == []
    assert given(seeing, prompt("0.4")["id"])["references"] == photo_keys(seeing, made["id"])


def test_no_sentence_names_a_folder_of_the_server(
    seeing: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base that its operator gave as a folder is called by its last part."""
    tags = " ".join(f"<faceid:{faceid(seeing)['id']}:1>" for _ in range(2))
    folder = dataclasses.replace(registry.BASES["nano"], name="/srv/weights/ours", references=1)
    monkeypatch.setattr(registry, "find", lambda _: folder)
    form = {"tune[title]": "t", "tune[name]": "man", "tune[model_type]": "faceid"}
    answers = [
        seeing.http.post("/prompts", json={"text": f"{tags} people"}),
        seeing.http.post("/tunes", data=form, files=pictures(2)),
    ]
    monkeypatch.setattr(registry, "find", lambda _: dataclasses.replace(folder, references=0))
    answers.append(seeing.http.post("/tunes", data=form, files=pictures(1)))
    for answer in answers:
        assert answer.status_code == 422 and "/srv" not in answer.text
        assert "ours looks at" in answer.text


def test_nothing_is_trained_on_from_reference_pictures_and_it_says_why(
    seeing: InProcessServer,
) -> None:
    answer = seeing.http.post(f"/tunes/{faceid(seeing)['id']}/more", json={})
    assert answer.status_code == 422
    assert "is reference pictures, which are not trained" in answer.json()["error"]


def test_what_will_not_do_is_said(seeing: InProcessServer) -> None:
    made = faceid(seeing)
    tags = " ".join(f"<faceid:{faceid(seeing)['id']}:1>" for _ in range(5))
    number = made["id"]
    for text, says in (
        (f"{tags} people", "looks at 5: nano looks at 4 pictures at most"),
        (f"<lora:{number}:1> a man", f"it is of the type faceid: write <faceid:{number}:1>"),
        ("<faceid:77:1> a man", "refers to tune 77, which does not exist"),
        (f"<faceid:{number}:1>", "can't be blank"),
    ):
        answer = seeing.http.post("/prompts", json={"text": text})
        assert answer.status_code == 422 and says in answer.json()["error"], answer.text
    form = {"tune[title]": "t", "tune[name]": "man", "tune[model_type]": "faceid"}
    answer = seeing.http.post("/tunes", data=form, files=pictures(5))
    assert answer.json()["images"] == [
        "has 5 pictures: nano looks at 4 at most, so give its best one"
    ]
    nested = form | {
        "tune[prompts_attributes][0][text]": f"<faceid:{number}:1> men",
        "tune[prompts_attributes][1][text]": f"{tags} men",
    }
    answer = seeing.http.post("/tunes", data=nested, files=pictures(4))
    assert answer.status_code == 422
    assert {name for name in answer.json() if "[" in name} == {
        "prompts_attributes[0][text]",
        "prompts_attributes[1][text]",
    }


def test_a_photo_by_address_is_fetched_before_it_is_looked_at(seeing: InProcessServer) -> None:
    values = {
        "title": "t",
        "name": "man",
        "model_type": "faceid",
        "image_urls": ["http://127.0.0.1:9/a.jpg"],
        "prompts_attributes": [{"text": "a man"}],
    }
    made = seeing.http.post("/tunes", json={"tune": values}).json()
    prompt = made["prompts"][0]["id"]
    assert made["trained_at"] is None and not seeing.row(Prompt, prompt).enqueued
    ((photo, _),) = seeing.results.photos_to_fetch(made["id"])
    there = seeing.results.store.incoming / "a.part"
    there.write_bytes(sorted(PHOTOS.glob("*.png"))[0].read_bytes())
    seeing.results.photo_fetched(made["id"], photo, there, Judge(seeing.settings))
    seeing.results.photos_here(made["id"])
    assert seeing.http.get(f"/tunes/{made['id']}").json()["trained_at"]
    assert seeing.row(Prompt, prompt).enqueued
    assert given(seeing, prompt)["references"] == photo_keys(seeing, made["id"])


# ── editing
# ───────────────────────────────────────────────────────────────────────────────────────────────


def test_an_input_picture_with_words_is_edited(seeing: InProcessServer) -> None:
    made = faceid(seeing)
    text = f"the man wears a red scarf <faceid:{made['id']}:1>"

    def spec(**fields: Any) -> Json:
        asked = {"text": text, "input_image": PICTURE, **fields}
        answer = seeing.http.post("/prompts", json={"prompt": asked})
        assert answer.status_code == 201, answer.text
        return given(seeing, answer.json()["id"])

    photo = photo_keys(seeing, made["id"])
    edited = spec()  # without a strength a base that has references edits it
    assert edited["references"] == photo and edited["input_image"].endswith("/input_image.jpg")
    assert edited["denoising_strength"] is None
    # what asks for a start from it still starts from it
    for fields in (
        {"denoising_strength": 0.5},
        {"mask_image": PICTURE},
        {"mask_prompt": "person"},
    ):
        started = spec(**fields)
        assert started["references"] == photo and started["input_image"], fields
        assert started["denoising_strength"] == fields.get("denoising_strength")
    asked = {"text": "", "input_image": PICTURE, "denoising_strength": 0, "super_resolution": True}
    enlarged = seeing.http.post("/prompts", json={"prompt": asked}).json()
    assert given(seeing, enlarged["id"])["input_image"]
    assert spec(denoising_strength=0, input_faceid=True)["denoising_strength"] is None


def test_an_input_picture_counts_as_one_of_the_pictures(seeing: InProcessServer) -> None:
    tags = " ".join(f"<faceid:{faceid(seeing)['id']}:1>" for _ in range(4))
    asked: Json = {"text": f"{tags} people at a table", "input_image": PICTURE}
    answer = seeing.http.post("/prompts", json={"prompt": asked})
    assert answer.status_code == 422
    assert "looks at 4 and its input picture: nano looks at 4" in answer.json()["error"]
    # where nothing is drawn, nothing is looked at
    larger = asked | {"denoising_strength": 0, "super_resolution": True}
    made = seeing.http.post("/prompts", json={"prompt": larger})
    assert made.status_code == 201, made.text
    assert given(seeing, made.json()["id"])["references"] == []
    # nor is what a drawing only starts from
    started = seeing.http.post("/prompts", json={"prompt": asked | {"denoising_strength": 0.5}})
    assert started.status_code == 201, started.text
    del asked["input_image"]
    assert seeing.http.post("/prompts", json={"prompt": asked}).status_code == 201


def test_reference_pictures_have_no_trigger_words(seeing: InProcessServer) -> None:
    path = f"/tunes/{faceid(seeing)['id']}/prompts"
    number = seeing.http.post(path, json={"text": "somebody at home"}).json()["id"]
    with seeing.db.write() as session:
        row = session.get_one(Prompt, number)
        row.fields = {**row.fields, "prompt_expansion": True}
    assert seeing.results.text_to_expand(number) == ("somebody at home", [])


def test_what_would_change_nothing_is_refused_when_it_is_asked(seeing: InProcessServer) -> None:
    asked = {
        "text": "a hat",
        "input_image": PICTURE,
        "input_faceid": True,
        "mask_prompt": "person",
        "denoising_strength": 0,
    }
    answer = seeing.http.post("/prompts", json={"prompt": asked})
    assert answer.status_code == 422 and "nothing is done to it" in answer.json()["error"]


def test_a_duplicate_edits_as_the_first_did(seeing: InProcessServer) -> None:
    asked = {
        "text": "a red scarf",
        "input_image": PICTURE,
        "denoising_strength": 0.5,
        "input_faceid": True,
    }
    first = seeing.http.post("/prompts", json={"prompt": asked}).json()
    again = seeing.http.post(f"/prompts/{first['id']}/duplicate", json={}).json()
    spec = given(seeing, again["id"])
    assert f"prompts/{again['id']}-" in spec["input_image"]
    assert spec["denoising_strength"] is None


# ── whose they are, and how they go
# ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nobody_uses_the_photo_of_another_account(seeing: InProcessServer) -> None:
    made = faceid(seeing)
    _, other = seeing.guest("somebody else")
    answer = other.post("/prompts", json={"text": f"<faceid:{made['id']}:1> a man"})
    assert answer.status_code == 422 and "does not exist" in answer.json()["error"]
    assert other.post(f"/tunes/{made['id']}/prompts", json={"text": "a"}).status_code == 404
    run = other.post("/p/corporate/tunes", json={"tune": {"tune_ids": [made["id"]]}})
    assert run.status_code == 422 and "is no tune of yours" in run.json()["error"]


def test_a_deleted_photo_ends_what_waits_for_it_and_leaves_nothing(
    seeing: InProcessServer,
) -> None:
    made = faceid(seeing)
    waiting = seeing.http.post(f"/tunes/{made['id']}/prompts", json={"text": "a man"}).json()["id"]
    done = seeing.http.post(f"/tunes/{made['id']}/prompts", json={"text": "a man, 2"}).json()["id"]
    seeing.drawn(done)
    assert seeing.files(f"tunes/{made['id']}")
    assert seeing.http.delete(f"/tunes/{made['id']}").status_code == 200
    assert seeing.results.begin_drawing(waiting) is None
    shown = seeing.http.get(f"/prompts/{waiting}").json()
    assert shown["user_error"] == "A tune that this prompt uses was deleted."
    assert seeing.http.get(f"/prompts/{done}").json()["images"]
    assert seeing.files(f"tunes/{made['id']}") == []


def test_a_reason_calls_a_photo_by_its_tune(seeing: InProcessServer) -> None:
    made = faceid(seeing)
    prompt = seeing.http.post(f"/tunes/{made['id']}/prompts", json={"text": "a man"}).json()["id"]
    request = seeing.results.begin_drawing(prompt)
    assert request is not None
    (path,) = request["spec"]["references"]
    seeing.results.fail_prompt(prompt, f"{path} cannot be read.")
    shown = seeing.http.get(f"/prompts/{prompt}").json()
    assert shown["user_error"] == f"the picture of tune {made['id']} cannot be read."
