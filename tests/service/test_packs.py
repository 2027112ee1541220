"""Packs over the real server's socket: the shipped ones, ones of our own, runs, likes, the one
callback of a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxbooth.prompts.language import advise, trigger_words
from fluxbooth.service.db.tables import Pack, Template, Tune, now
from fluxbooth.service.packs.packs import adapted
from fluxbooth.service.packs.starter_packs import STARTERS
from fluxbooth.web.pages.render import FOLDER
from tests.support.images import opened
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import FEW, Receiver, Server, pictures, until

Json = dict[str, Any]


@pytest.fixture(scope="module")
def tune(server: Server) -> Json:
    """A trained man."""
    return server.finished_tune(server.new_tune("for packs")["id"])


def new_pack(server: Server, title: str, **fields: object) -> Json:
    answer = server.http.post(
        "/packs",
        json={
            "pack": {
                "title": title,
                "subtitle": "ours",
                "base_tune_id": 1504944,
                "model_type": "lora",
                **fields,
            }
        },
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def new_prompt(server: Server, tune: Json, text: str, **fields: object) -> Json:
    answer = server.http.post(
        f"/tunes/{tune['id']}/prompts", json={"prompt": {"text": text, **fields}}
    )
    assert answer.status_code == 201, answer.text
    return answer.json()


def test_the_gallery_needs_no_key_and_has_eight_packs(server: Server) -> None:
    url = f"http://127.0.0.1:{server.port}"
    shown = httpx.get(url + "/gallery/packs.json").json()
    assert {pack["slug"] for pack in shown} >= {starter.slug for starter in STARTERS} and len(
        STARTERS
    ) == 8
    corporate = next(pack for pack in shown if pack["slug"] == "corporate")
    assert corporate["costs"]["person"] == {"cost": 0, "cost_mc": 0, "num_images": 6}
    for path in (
        "/p/corporate",
        "/p/corporate.json",
        f"/packs/{corporate['id']}",
        f"/p/{corporate['id']}",
    ):
        assert httpx.get(url + path).json()["id"] == corporate["id"]
    assert httpx.get(url + "/packs").status_code == 401
    assert httpx.get(url + "/p/nothing").status_code == 404
    assert {pack["slug"] for pack in server.http.get("/packs").json()} >= {"corporate", "pets"}


def test_every_shipped_pack_has_a_cover_and_together_they_are_small() -> None:
    covers = list((FOLDER / "static" / "covers").glob("*.webp"))
    assert {path.stem for path in covers} == {starter.slug for starter in STARTERS}
    assert sum(path.stat().st_size for path in covers) < 300_000
    assert all(opened(path).size == (512, 384) for path in covers)


@pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.slug)
def test_the_shipped_texts_keep_to_the_rules_of_flux(starter: Any) -> None:
    assert len(set(starter.texts)) == len(starter.texts) >= 5
    for class_name in starter.classes:
        for text in starter.texts:
            whole = text.format(subject=f"ohwx {class_name}")
            assert whole.startswith(f"ohwx {class_name} ")
            assert not advise(whole, f"ohwx {class_name}"), whole
            assert 15 <= len(whole.split()) <= 40


def test_a_prompt_becomes_a_template_and_is_drawn_of_another(
    server: Server, tune: Json, receiver: Receiver
) -> None:
    pack = new_pack(server, "Beach & Co")
    assert pack["slug"] == "beach-co" and pack["costs"] == {} and pack["public_at"] is None
    made = new_prompt(
        server,
        tune,
        f"photo, <lora:{tune['id']}:0.7> sks man at the beach, the sks look",
        num_images=2,
        aspect_ratio="3:4",
    )
    patched = server.http.patch(
        f"/prompts/{made['id']}", json={"prompt": {"pack_id": pack["id"]}}
    ).json()
    assert patched["pack_id"] == pack["id"]
    second = new_prompt(server, tune, "sks man in the snow", pack_id=str(pack["id"]))
    shown = server.http.get("/p/beach-co").json()
    assert shown["costs"] == {"man": {"cost": 0, "cost_mc": 0, "num_images": 3}}
    assert [row["id"] for row in shown["template_prompts"]] == [made["id"], second["id"]]
    server.finished_prompt(made["id"])
    assert len(server.http.get("/p/beach-co").json()["prompts_per_class"]["man"][0]["images"]) == 2
    other = server.new_tune("another man", token="zxzx")
    form = {
        "tune[tune_ids][]": str(other["id"]),
        "tune[prompt_ids][]": f"{made['id']}",
        "tune[title]": "x",
        "tune[name]": "man",
        "tune[prompt_attributes][num_images]": "1",
        "tune[prompt_attributes][text]": "no",
        "tune[prompts_callback]": receiver.url + "/all",
    }
    answer = server.http.post("/p/beach-co/tunes", data=form)
    assert answer.status_code == 201 and "id" not in answer.json(), answer.text
    ran = answer.json()
    assert (ran["status"], ran["message"]) == (201, "Prompts created") and ran["order"][
        "tune_ids"
    ] == [other["id"]]
    drawn = server.prompt(ran["prompt_ids"][0])
    assert drawn["text"] == f"<lora:{other['id']}:0.7> photo, zxzx man at the beach, the zxzx look"
    assert (drawn["orig_prompt_id"], drawn["base_pack_id"], drawn["order_id"]) == (
        made["id"],
        pack["id"],
        ran["order"]["id"],
    )
    assert (drawn["num_images"], drawn["aspect_ratio"], drawn["pack_id"]) == (1, "3:4", None)
    assert [
        row["id"] for row in server.http.get("/prompts", params={"base_pack_id": pack["id"]}).json()
    ] == [drawn["id"]]
    server.finished_prompt(drawn["id"])
    until(lambda: receiver.got, "the callback comes")
    _, path, body = receiver.got[0]
    assert (
        path == "/all"
        and [row["id"] for row in body] == [drawn["id"]]
        and len(body[0]["images"]) == 1
    )

    for like, likes in (("/likes", 1), ("/likes", 1), ("/like", 0)):
        server.http.post(f"/prompts/{drawn['id']}{like}").raise_for_status()
        assert server.prompt(drawn["id"])["prompt_likes_count"] == likes
        assert (
            server.prompt(made["id"])["prompt_likes_count"] == likes
            and server.prompt(made["id"])["liked"] is False
        )
        assert (
            server.http.get("/p/beach-co").json()["template_prompts"][0]["prompt_likes_count"]
            == likes
        )

    server.http.patch(
        f"/prompts/{second['id']}", json={"prompt": {"pack_id": None}}
    ).raise_for_status()
    server.http.delete(f"/prompts/{made['id']}").raise_for_status()
    assert server.http.get("/p/beach-co").json()["template_prompts"] == []


def test_a_training_run_draws_when_it_is_trained_and_calls_back_once(
    server: Server, receiver: Receiver
) -> None:
    form = {
        "tune[title]": "Rex",
        "tune[name]": "dog",
        "tune[branch]": "fast",
        "tune[callback]": receiver.url + "/tune",
        "tune[prompts_callback]": receiver.url + "/prompts?user=1",
        "tune[prompt_attributes][callback]": receiver.url + "/each",
        "tune[steps]": FEW,
        "tune[prompt_attributes][steps]": FEW,
    }
    answer = server.http.post("/p/pets/tunes", data=form, files=pictures(4))
    assert answer.status_code == 201, answer.text
    tune = answer.json()
    assert (tune["name"], tune["token"]) == ("dog", "ohwx")
    made = server.http.get(f"/tunes/{tune['id']}/prompts").json()
    assert len(made) == 6 and all(
        "ohwx dog" in prompt["text"] and prompt["trained_at"] is None for prompt in made
    )
    for prompt in made:
        server.finished_prompt(prompt["id"])
    until(lambda: len(receiver.got) == 8, "every callback comes")
    paths = [path for _, path, _ in receiver.got]
    assert sorted(set(paths)) == ["/each", "/prompts?user=1", "/tune"] and paths.count("/each") == 6
    body = next(body for _, path, body in receiver.got if path.startswith("/prompts"))
    assert isinstance(body, list) and sorted(row["id"] for row in body) == sorted(
        row["id"] for row in made
    )
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
        answer = server.http.post(
            f"/p/{pack}/tunes", json={"tune": {"title": "t", "name": "man", **fields}}
        )
        assert answer.status_code == 422, answer.text
        return answer.json()

    assert (
        "no class of this pack" in refused("pets", image_urls=["http://127.0.0.1/x.png"])["name"][0]
    )
    assert "no class of this pack" in refused("pets", tune_ids=[tune["id"]])["tune_ids"][0]
    assert "no tune of yours" in refused("corporate", tune_ids=f"{tune['id']},12")["tune_ids"][0]
    for beyond in (2**63, -1):  # what no column holds
        assert "must be" in refused("corporate", tune_ids=[beyond])["tune_ids"][0]
    assert (
        "no prompt of this pack"
        in refused("corporate", tune_ids=[tune["id"]], prompt_ids=[1])["prompt_ids"][0]
    )
    assert "images" in refused("corporate")
    assert refused("corporate", tune_ids=[tune["id"]], prompt_attributes={"num_images": 9})[
        "prompt_attributes[num_images]"
    ]
    for asked in (run := {"tune_ids": [tune["id"]]}, {"title": "a", "name": "man"}):
        wrong = {"num_images": 9, "cfg_scale": 7, "seed": "no"}
        told = refused("corporate", **asked, prompt_attributes=wrong)
        assert {name for name in told if name.startswith("prompt")} == {
            f"prompt_attributes[{name}]" for name in wrong
        }
        assert ("images" in told) == (asked is not run)  # all at once
    assert (
        server.http.post("/p/nothing/tunes", json={"tune": {"tune_ids": [tune["id"]]}}).status_code
        == 404
    )
    assert not server.http.get("/prompts", params={"tune_id": tune["id"], "text": "suit"}).json()
    plain = server.http.post("/prompts", json={"prompt": {"text": "a man on a hill"}}).json()
    answer = server.http.patch(
        f"/prompts/{plain['id']}", json={"prompt": {"pack_id": new_pack(server, "Hills")["id"]}}
    )
    assert (answer.status_code, answer.json()["error"]) == (
        422,
        "Prompt is not using a fine-tuned model",
    )


@pytest.mark.parametrize(
    ("text", "expected", "weight"),
    [
        ("<lora:7:0.5> ohwx man at sea", "zx cat at sea", 0.5),
        ("<lora:ohwx:0.5> OHWX  man at sea", "zx cat at sea", 0.5),
        ("<lora:9:1.0> ohwx man by <lora:7:1.0>", "<lora:9:1.0> zx cat by", 1.0),
        ("<lora:7:1.2.3> ohwx man", "<lora:7:1.2.3> zx cat", 1.0),  # refused when it is drawn
        ("at sea", "zx cat at sea", 1.0),
        ("ohwx man, an ohwxian manner", "zx cat, an ohwxian manner", 1.0),
    ],
)
def test_a_template_is_said_of_another(text: str, expected: str, weight: float) -> None:
    template = Template(text=text, token="ohwx", class_name="man", tune_id=7)
    tune = Tune(id=8, token="zx", name="cat")
    assert adapted(template, tune) == (expected, weight)
    assert trigger_words("zx", "cat") in adapted(template, tune)[0]


@pytest.fixture(scope="module")
def quiet(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A server without an engine: nothing here is drawn."""
    with in_process_server(blank, tmp_path_factory.mktemp("quiet") / "data") as opened:
        yield opened


def test_lists_show_everything_that_clients_read_and_are_narrowed_and_paged(
    quiet: InProcessServer,
) -> None:
    made = [
        quiet.http.post("/packs", json={"pack": {"title": f"Pack {i}", "public": i == 1}}).json()
        for i in range(3)
    ]
    with quiet.db.write() as session:
        session.get_one(Pack, made[1]["id"]).unlisted_at = now()

    def listed(**asked: object) -> list[str]:
        return [
            pack["slug"]
            for pack in quiet.http.get(
                "/packs", params={k: str(v) for k, v in asked.items()}
            ).json()
        ]

    assert listed()[:3] == ["pack-2", "pack-1", "pack-0"] and len(listed()) == 11
    assert listed(public="true") == ["pack-1", *listed()[3:]]
    assert listed(listed="true") == ["pack-2", *listed()[2:]]
    assert listed(limit=2) == listed()[:2] and listed(limit=2, offset=2) == listed()[2:4] == listed(
        limit=2, page=2
    )
    assert listed(before_id=made[1]["id"], limit=1) == ["pack-0"] and listed(before_id=1) == []
    assert quiet.http.get("/packs", params={"offset": 10_001}).status_code == 400
    assert "pack-1" not in [
        pack["slug"]
        for pack in httpx.get(f"{quiet.settings.url}/gallery/packs", params={"limit": 100}).json()
    ]
    one = quiet.http.get("/p/corporate").json()
    assert one == next(
        pack
        for pack in quiet.http.get("/packs", params={"limit": 100}).json()
        if pack["slug"] == "corporate"
    )
    assert set(one) >= {
        "id",
        "base_tune_id",
        "user_id",
        "slug",
        "title",
        "token",
        "created_at",
        "updated_at",
        "multiplier",
        "model_type",
        "public_at",
        "cost_mc_hash",
        "cover_url",
        "subtitle",
        "main_class_name",
        "multiplier_api",
        "costs",
        "unlisted_at",
        "logo",
        "prompts_per_class",
        "template_prompts",
    }
    assert one["prompts_per_class"]["man"][0]["images"] == [] and {"id", "text", "cost_mc"} <= set(
        one["template_prompts"][0]
    )


def test_prompts_nested_in_a_tune_may_be_templates_and_say_where_they_are_from(
    quiet: InProcessServer,
) -> None:
    pack = quiet.http.post("/packs", json={"pack": {"title": "Nested"}}).json()
    outdoor = quiet.http.get("/p/outdoor").json()["id"]
    form = {
        "tune[title]": "n",
        "tune[name]": "man",
        "tune[prompts_attributes][0][text]": "ohwx man at sea",
    }
    form |= {
        "tune[prompts_attributes][0][pack_id]": str(pack["id"]),
        "tune[prompts_attributes][0][base_pack_id]": str(outdoor),
    }
    (prompt,) = quiet.http.post("/tunes", data=form, files=pictures(1)).json()["prompts"]
    assert (prompt["pack_id"], prompt["base_pack_id"]) == (pack["id"], outdoor)
    (template,) = quiet.http.get(f"/p/{pack['id']}").json()["prompts_per_class"]["man"]
    assert template["id"] == prompt["id"]
    count = len(quiet.http.get("/tunes?limit=120").json())
    refused = quiet.http.post(
        "/tunes", data={**form, "tune[prompts_attributes][0][pack_id]": "99999"}, files=pictures(1)
    )
    assert refused.status_code == 422 and "no pack of yours" in refused.json()["pack_id"][0]
    assert len(quiet.http.get("/tunes?limit=120").json()) == count  # nothing of it is kept


def test_a_run_takes_every_documented_spelling(quiet: InProcessServer) -> None:
    tune = quiet.http.post(
        "/tunes", data={"tune[title]": "t", "tune[name]": "man"}, files=pictures(1)
    ).json()
    quiet.trained(tune["id"])
    ids = [row["id"] for row in quiet.http.get("/p/outdoor").json()["prompts_per_class"]["man"]]
    for chosen, count in (
        ({"tune[prompt_ids]": f"{ids[0]},{ids[1]}"}, 2),
        ({"tune[prompt_ids][]": [str(ids[2]), str(ids[3])]}, 2),
        ({"tune[prompt_ids][0]": str(ids[0])}, 1),
        ({"tune[prompt_ids]": ""}, len(ids)),
    ):
        form = {
            "tune[tune_ids]": str(tune["id"]),
            "tune[brief]": "for a friend",
            "tune[preset]": "flux-lora-portrait",
            **chosen,
        }
        answer = quiet.http.post("/p/outdoor/tunes.json", data=form)
        assert answer.status_code == 201 and len(answer.json()["prompt_ids"]) == count, answer.text
        assert (
            "<lora:" in quiet.http.get(f"/prompts/{answer.json()['prompt_ids'][0]}").json()["text"]
        )
    nested = {
        "aspect_ratio": "16:9",
        "resolution": "1K",
        "inpaint_faces": True,
        "num_images": 3,
        "callback": "http://127.0.0.1/x",
    }
    body = {"tune_ids": [tune["id"]], "prompt_ids": ids[:1], "prompt_attributes": nested}
    ran = quiet.http.post("/p/outdoor/tunes", json={"tune": body}).json()
    shown = quiet.http.get(f"/prompts/{ran['prompt_ids'][0]}").json()
    assert {name: shown[name] for name in nested} == nested
    of_order = quiet.http.get("/prompts", params={"order_id": ran["order"]["id"]}).json()
    assert [row["id"] for row in of_order] == ran["prompt_ids"]
    of_original = quiet.http.get("/prompts", params={"orig_prompt_id": ids[0]}).json()
    assert {row["base_pack_id"] for row in of_original} == {
        quiet.http.get("/p/outdoor").json()["id"]
    } and len(of_original) == 4


def test_the_account_and_the_catalogue_are_as_command_lines_read_them(
    quiet: InProcessServer,
) -> None:
    headers = {"X-Workspace-Id": "all", "Accept": "*/*"}
    assert quiet.http.get("/users.json", headers=headers).json() == {
        "id": 1,
        "name": "owner",
        "email": None,
        "usd_balance_mc": 0,
        "auto_extend_tunes": False,
        "top_off_amount": None,
        "purchased_plugin_at": None,
        "idempotent": False,
        "face_crop": False,
    }
    shown = httpx.get(f"{quiet.settings.url}/cli/models.json").json()
    assert (
        shown["default"] in shown["models"]
        and shown["models"][shown["default"]]["tune_id"] == 1504944
    )
    # anything in it makes a client replace itself
    assert (shown["cli"], shown["skills"], shown["video_models"]) == ({}, {}, {})
    for title, count in (("dev", 1), ("none of them", 0)):
        found = httpx.get(
            f"{quiet.settings.url}/gallery/tunes",
            params={"title": title, "branch": "flux1", "limit": 5},
        ).json()
        assert len(found) == count
    base = quiet.http.get("/tunes/1504944.json").json()
    assert (base["branch"], base["model_type"], bool(base["trained_at"])) == ("flux1", None, True)
    assert quiet.http.get("/gallery.json").json() == quiet.http.get("/workspaces").json() == []
