"""Packs over the real server's socket: the shipped ones, ones of our own, runs, likes, the one callback of a run."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from PIL import Image

from fluxbooth.prompts import advise, trigger_words
from fluxbooth.service.packs import adapted
from fluxbooth.service.starter_packs import STARTERS
from fluxbooth.service.tables import Template, Tune
from fluxbooth.web.render import FOLDER
from tests.service.server import Receiver, Server, pictures, until

Json = dict[str, Any]


@pytest.fixture(scope="module")
def tune(server: Server) -> Json:
    """A trained man."""
    return server.finished_tune(server.new_tune("for packs")["id"])


def new_pack(server: Server, title: str, **fields: object) -> Json:
    answer = server.http.post(
        "/packs", json={"pack": {"title": title, "subtitle": "ours", "base_tune_id": 1504944, "model_type": "lora", **fields}}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def new_prompt(server: Server, tune: Json, text: str, **fields: object) -> Json:
    answer = server.http.post(f"/tunes/{tune['id']}/prompts", json={"prompt": {"text": text, **fields}})
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_gallery_needs_no_key_and_has_eight_packs(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}"
    shown = httpx.get(url + "/gallery/packs.json").json()
    assert {pack["slug"] for pack in shown} >= {starter.slug for starter in STARTERS} and len(STARTERS) == 8
    corporate = next(pack for pack in shown if pack["slug"] == "corporate")
    assert corporate["costs"]["person"] == {"cost": 0, "cost_mc": 0, "num_images": 6}
    for path in ("/p/corporate", "/p/corporate.json", f"/packs/{corporate['id']}", f"/p/{corporate['id']}"):
        assert httpx.get(url + path).json()["id"] == corporate["id"]
    assert httpx.get(url + "/packs").status_code == 401
    assert httpx.get(url + "/p/nothing").status_code == 404
    assert {pack["slug"] for pack in server.http.get("/packs").json()} >= {"corporate", "pets"}


def test_every_shipped_pack_has_a_cover_and_together_they_are_small() -> None:
    covers = list((FOLDER / "static" / "covers").glob("*.webp"))
    assert {path.stem for path in covers} == {starter.slug for starter in STARTERS}
    assert sum(path.stat().st_size for path in covers) < 300_000
    assert all(Image.open(path).size == (512, 384) for path in covers)


@pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.slug)
def test_the_shipped_texts_keep_to_the_rules_of_flux(starter: Any) -> None:
    assert len(set(starter.texts)) == len(starter.texts) >= 5
    for class_name in starter.classes:
        for text in starter.texts:
            whole = text.format(subject=f"ohwx {class_name}")
            assert whole.startswith(f"ohwx {class_name} ")
            assert not advise(whole, f"ohwx {class_name}"), whole
            assert 15 <= len(whole.split()) <= 40


def test_a_prompt_becomes_a_template_and_is_drawn_of_another(server: Server, tune: Json, receiver: Receiver) -> None:
    pack = new_pack(server, "Beach & Co")
    assert pack["slug"] == "beach-co" and pack["costs"] == {} and pack["public_at"] is None
    made = new_prompt(server, tune, f"photo, <lora:{tune['id']}:0.7> sks man at the beach, the sks look", num_images=2, aspect_ratio="3:4")
    patched = server.http.patch(f"/prompts/{made['id']}", json={"prompt": {"pack_id": pack["id"]}}).json()
    assert patched["pack_id"] == pack["id"]
    second = new_prompt(server, tune, "sks man in the snow", pack_id=str(pack["id"]))
    shown = server.http.get("/p/beach-co").json()
    assert shown["costs"] == {"man": {"cost": 0, "cost_mc": 0, "num_images": 3}}
    assert [row["id"] for row in shown["template_prompts"]] == [made["id"], second["id"]]
    server.finished_prompt(made["id"])
    assert len(server.http.get("/p/beach-co").json()["prompts_per_class"]["man"][0]["images"]) == 2
    other = server.new_tune("another man", token="zxzx")
    form = {
        "tune[tune_ids][]": str(other["id"]), "tune[prompt_ids][]": f"{made['id']}", "tune[title]": "x", "tune[name]": "man",
        "tune[prompt_attributes][num_images]": "1", "tune[prompt_attributes][text]": "no", "tune[prompts_callback]": receiver.url + "/all",
    }  # fmt: skip
    answer = server.http.post("/p/beach-co/tunes", data=form)
    assert answer.status_code == 201 and "id" not in answer.json(), answer.text
    ran = answer.json()
    assert (ran["status"], ran["message"]) == (201, "Prompts created") and ran["order"]["tune_ids"] == [other["id"]]
    drawn = server.prompt(ran["prompt_ids"][0])
    assert drawn["text"] == f"<lora:{other['id']}:0.7> photo, zxzx man at the beach, the zxzx look"
    assert (drawn["orig_prompt_id"], drawn["base_pack_id"], drawn["order_id"]) == (made["id"], pack["id"], ran["order"]["id"])
    assert (drawn["num_images"], drawn["aspect_ratio"], drawn["pack_id"]) == (1, "3:4", None)
    assert [row["id"] for row in server.http.get("/prompts", params={"base_pack_id": pack["id"]}).json()] == [drawn["id"]]
    server.finished_prompt(drawn["id"])
    until(lambda: receiver.got, "the callback comes")
    _, path, body = receiver.got[0]
    assert path == "/all" and [row["id"] for row in body] == [drawn["id"]] and len(body[0]["images"]) == 1

    for like, likes in (("/likes", 1), ("/likes", 1), ("/like", 0)):
        server.http.post(f"/prompts/{drawn['id']}{like}").raise_for_status()
        assert server.prompt(drawn["id"])["prompt_likes_count"] == likes
        assert server.prompt(made["id"])["prompt_likes_count"] == likes and server.prompt(made["id"])["liked"] is False
        assert server.http.get("/p/beach-co").json()["template_prompts"][0]["prompt_likes_count"] == likes

    server.http.patch(f"/prompts/{second['id']}", json={"prompt": {"pack_id": None}}).raise_for_status()
    server.http.delete(f"/prompts/{made['id']}").raise_for_status()
    assert server.http.get("/p/beach-co").json()["template_prompts"] == []


def test_a_training_run_draws_when_it_is_trained_and_calls_back_once(server: Server, receiver: Receiver) -> None:
    form = {
        "tune[title]": "Rex", "tune[name]": "dog", "tune[branch]": "fast", "tune[callback]": receiver.url + "/tune",
        "tune[prompts_callback]": receiver.url + "/prompts?user=1", "tune[prompt_attributes][callback]": receiver.url + "/each",
    }  # fmt: skip
    answer = server.http.post("/p/pets/tunes", data=form, files=pictures(4))
    assert answer.status_code == 201, answer.text
    tune = answer.json()
    assert (tune["name"], tune["token"]) == ("dog", "ohwx")
    made = server.http.get(f"/tunes/{tune['id']}/prompts").json()
    assert len(made) == 6 and all("ohwx dog" in prompt["text"] and prompt["trained_at"] is None for prompt in made)
    for prompt in made:
        server.finished_prompt(prompt["id"])
    until(lambda: len(receiver.got) == 8, "every callback comes")
    paths = [path for _, path, _ in receiver.got]
    assert sorted(set(paths)) == ["/each", "/prompts?user=1", "/tune"] and paths.count("/each") == 6
    body = next(body for _, path, body in receiver.got if path.startswith("/prompts"))
    assert isinstance(body, list) and sorted(row["id"] for row in body) == sorted(row["id"] for row in made)
    assert all(row["images"] for row in body)


def test_the_last_open_prompt_may_also_be_deleted(server: Server, receiver: Receiver) -> None:
    slow = server.new_tune("slow", branch="flux1", steps="5000")
    template = server.http.get("/p/casual").json()["prompts_per_class"]["man"][0]["id"]
    body = {"tune_ids": [slow["id"]], "prompt_ids": [template], "prompts_callback": receiver.url}
    ran = server.http.post("/p/casual/tunes", json={"tune": body}).json()
    server.http.delete(f"/prompts/{ran['prompt_ids'][0]}").raise_for_status()
    until(lambda: receiver.got, "the callback comes")
    assert receiver.got[0][2] == []
    server.http.delete(f"/tunes/{slow['id']}").raise_for_status()


def test_what_a_run_refuses(server: Server, tune: Json) -> None:
    def refused(pack: str, **fields: object) -> Json:
        answer = server.http.post(f"/p/{pack}/tunes", json={"tune": {"title": "t", "name": "man", **fields}})
        assert answer.status_code == 422, answer.text
        return answer.json()

    assert "no class of this pack" in refused("pets", image_urls=["http://127.0.0.1/x.png"])["name"][0]
    assert "no class of this pack" in refused("pets", tune_ids=[tune["id"]])["tune_ids"][0]
    assert "no tune of yours" in refused("corporate", tune_ids=f"{tune['id']},12")["tune_ids"][0]
    assert "no prompt of this pack" in refused("corporate", tune_ids=[tune["id"]], prompt_ids=[1])["prompt_ids"][0]
    assert "images" in refused("corporate")
    assert refused("corporate", tune_ids=[tune["id"]], prompt_attributes={"num_images": 9})["num_images"]
    assert server.http.post("/p/nothing/tunes", json={"tune": {"tune_ids": [tune["id"]]}}).status_code == 404
    assert not server.http.get("/prompts", params={"tune_id": tune["id"], "text": "suit"}).json()
    plain = server.http.post("/prompts", json={"prompt": {"text": "a man on a hill"}}).json()
    answer = server.http.patch(f"/prompts/{plain['id']}", json={"prompt": {"pack_id": new_pack(server, "Hills")["id"]}})
    assert (answer.status_code, answer.json()["error"]) == (422, "Prompt is not using a fine-tuned model")


@pytest.mark.parametrize(
    ("text", "expected", "weight"),
    [
        ("<lora:7:0.5> ohwx man at sea", "zx cat at sea", 0.5),
        ("<lora:ohwx:0.5> OHWX  man at sea", "zx cat at sea", 0.5),
        ("<lora:9:1.0> ohwx man by <lora:7:1.0>", "<lora:9:1.0> zx cat by", 1.0),
        ("at sea", "zx cat at sea", 1.0),
        ("ohwx man, an ohwxian manner", "zx cat, an ohwxian manner", 1.0),
    ],
)
def test_a_template_is_said_of_another(text: str, expected: str, weight: float) -> None:
    template = Template(text=text, token="ohwx", class_name="man", tune_id=7)
    tune = Tune(id=8, token="zx", name="cat")
    assert adapted(template, tune) == (expected, weight)
    assert trigger_words("zx", "cat") in adapted(template, tune)[0]
