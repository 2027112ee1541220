"""FLUX.2 [klein] as a server's base, small and with random weights: photos that are looked at,
pictures that are edited, a training and what it draws, all by the real processes."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from sqlalchemy import select

from fluxbooth.service.contract.public_bases import FLUX2_KLEIN, FLUX_DEV
from fluxbooth.service.db.tables import Image as Row
from fluxbooth.service.db.tables import Photo
from tests.support import klein
from tests.support.server import Server, pictures

Json = dict[str, Any]
SMALL = {"w": 64, "h": 64, "steps": 2, "seed": 7}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("klein")
    base = klein.folder(place / "small-klein", distilled=False)
    with Server(place / "data", flags=["--base", str(base)], lora_download="true") as server:
        yield server


def drawn(server: Server, text: str, files: Any = None, **fields: Any) -> tuple[Image.Image, Json]:
    """The picture of a prompt, and its recipe."""
    asked = {f"prompt[{name}]": value for name, value in {**SMALL, **fields}.items()}
    answer = server.http.post("/prompts", data={**asked, "prompt[text]": text}, files=files)
    assert answer.status_code == 201, answer.text
    shown = server.finished_prompt(answer.json()["id"])
    assert shown["user_error"] is None, shown
    assert shown["tune_id"] == FLUX2_KLEIN
    with server.database.read() as session:
        recipe = session.scalars(select(Row.recipe).where(Row.prompt_id == shown["id"])).one()
    return Image.open(io.BytesIO(httpx.get(shown["images"][0]).content)), recipe


def test_it_says_what_it_is(server: Server) -> None:
    listed = {row["id"]: row for row in server.http.get("/gallery/tunes").json()}
    assert list(listed) == [FLUX2_KLEIN, FLUX_DEV]
    assert listed[FLUX2_KLEIN]["title"] == "Flux2.klein 4B"
    # what clients of the public API send is answered, and says by what
    assert listed[FLUX_DEV]["title"] == "Flux1.dev (answered by small-klein)"
    assert {row["branch"] for row in listed.values()} == {"flux2"}
    catalogue = server.http.get("/cli/models").json()
    assert catalogue["default"] == "flux2-klein"
    assert catalogue["models"]["flux2-klein"]["tune_id"] == FLUX2_KLEIN
    assert server.http.get("/p/corporate").json()["base_tune_id"] == FLUX2_KLEIN


def test_a_photo_is_looked_at(server: Server) -> None:
    form = {"tune[title]": "me", "tune[name]": "man", "tune[model_type]": "faceid"}
    made = server.http.post("/tunes", data=form, files=pictures(1)).json()
    assert made["trained_at"] and made["branch"] == "flux2" and made["base"] == "small-klein"
    text = "the man reads a newspaper in a garden"
    plain, _ = drawn(server, text)
    looked, recipe = drawn(server, f"<faceid:{made['id']}:1> {text}")
    again, _ = drawn(server, f"{text} <faceid:{made['id']}:0.5>")
    left_out, _ = drawn(server, f"<faceid:{made['id']}:0> {text}")
    assert looked.tobytes() == again.tobytes() != plain.tobytes()
    assert left_out.tobytes() == plain.tobytes()
    with server.database.read() as session:
        key = session.scalars(select(Photo.key).where(Photo.tune_id == made["id"])).one()
    digest = hashlib.sha256((server.data / "files" / str(key)).read_bytes()).hexdigest()
    assert recipe["references"] == [{"sha256": digest}]


def test_a_picture_is_edited_and_keeps_its_shape(server: Server) -> None:
    wide = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").resize((192, 96)).save(wide, "PNG")
    files = {"prompt[input_image]": ("wide.png", wide.getvalue())}
    edited, recipe = drawn(server, "the sky is green", files, w="", h="")
    assert edited.width == 2 * edited.height
    assert [one.get("edited") for one in recipe["references"]] == [True]
    assert "input_image" not in recipe


def test_a_lora_is_trained_and_drawn_with_beside_a_photo(server: Server) -> None:
    form = {"title": "a man", "name": "man", "steps": 2, "base_tune_id": FLUX_DEV}
    values = {f"tune[{name}]": value for name, value in (form | {"branch": "flux1"}).items()}
    made = server.http.post("/tunes", data=values, files=pictures(2)).json()
    assert made["branch"] == "flux2" and made["base_tune_id"] == FLUX_DEV
    trained = server.finished_tune(made["id"])
    assert trained.get("user_error") is None and trained["ckpt_url"]
    header = httpx.get(trained["ckpt_url"]).content
    size = int.from_bytes(header[:8], "little")
    told = json.loads(header[8 : 8 + size])
    assert "flux1" not in json.dumps(told["__metadata__"])
    assert any("single_transformer_blocks.1.attn.to_qkv_mlp_proj" in name for name in told)
    face = {"tune[title]": "me", "tune[name]": "man", "tune[model_type]": "faceid"}
    photo = server.http.post("/tunes", data=face, files=pictures(1)).json()["id"]
    text = f"<lora:{made['id']}:1> <faceid:{photo}:1> ohwx man in a garden, at noon"
    _, recipe = drawn(server, text)
    assert len(recipe["loras"]) == len(recipe["references"]) == 1


def test_a_lora_of_another_kind_is_refused_at_the_door(server: Server) -> None:
    trial = server.new_tune("a trial")  # on nano, which draws its own pictures
    server.finished_tune(trial["id"])
    made = server.http.post(f"/tunes/{trial['id']}/prompts", json={"text": "sks man"}).json()
    shown = server.finished_prompt(made["id"])
    assert shown["images"], shown
    answer = server.http.post("/tunes/3063697/prompts", json={"text": "a man"})
    assert answer.status_code == 404  # a FLUX.1 that this server has not


def test_clients_that_send_a_guidance_are_told(server: Server, tmp_path: Path) -> None:
    _, recipe = drawn(server, "a tree on a hill, at noon", cfg_scale="3.0")
    assert recipe["guidance"] == 3.0  # the undistilled one takes it
