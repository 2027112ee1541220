"""Every option of the contract works, is refused with the reason, or is ignored with advice: the
table, the API and the price list say the same."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.models import registry
from fluxbooth.prompts import options
from fluxbooth.prompts.options import OPTIONS, Option
from fluxbooth.service.billing import ledger, prices
from fluxbooth.service.contract.forms import PromptForm
from fluxbooth.service.db.tables import Account, Prompt
from fluxbooth.service.prompts import expansion
from tests.support.in_process_server import InProcessServer, in_process_server

# what the public documents list
FIELDS = (
    "text", "negative_prompt", "callback", "num_images", "seed", "steps", "cfg_scale", "w", "h",
    "aspect_ratio", "ar", "resolution", "super_resolution", "hires_fix", "inpaint_faces",
    "face_correct", "face_swap", "use_lpw", "scheduler", "backend_version", "style",
    "color_grading", "film_grain", "prompt_expansion", "theme", "controlnet",
    "controlnet_conditioning_scale", "controlnet_txt2img", "denoising_strength", "lora_scale",
    "tune_id", "pack_id", "base_pack_id",
)  # fmt: skip
FLAGS = (
    "outpaint", "outpaint_width", "outpaint_height", "outpaint_prompt", "mask_prompt",
    "mask_negative", "mask_invert", "mask_dilate", "mask_blur", "mask_inc_brightness",
    "restore_mask", "fill", "hires_denoising_strength", "face_inpaint_denoising", "only_upscale",
    "tiled_upscale", "tiled_upscale_v2", "upscale_v4", "upscale_factor", "hires_cfg_scale",
    "resemblance", "remove_background", "control_guidance_start", "control_guidance_end",
    "controlnet_txt2img", "multi", "use_regional", "regional", "regional_base_ratio", "input_faceid",
    "faceid_portrait", "fix_bindi", "vton_cfg_scale", "vton_hires", "video", "video_prompt",
)  # fmt: skip
# values that ask for something
VALUES = {"switch": "true", "number": "0.5", "whole number": "128", "text": "5"}
ALONE = {
    "upscale_factor": "2",
    "outpaint_width": "512",
    "outpaint_height": "512",
    "mask_prompt": "person",
    "mask_negative": "background",
}
PICTURE = {"input_image": base64.b64encode(sorted(PHOTOS.glob("*.png"))[0].read_bytes()).decode()}
PRICE = 7
WORKING = [row for row in OPTIONS.values() if row.status == "works" and row.of_spec]


@pytest.fixture(scope="module")
def house(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """Where every option that may have a price has one, and a picture is free."""
    priced = {row.name: PRICE for row in OPTIONS.values() if row.priced and not row.refused}
    with in_process_server(
        blank,
        tmp_path_factory.mktemp("options") / "data",
        prices={"options": priced},
        anthropic_api_key="key",
    ) as opened:
        with opened.db.write() as session:
            for account in session.query(Account):
                ledger.credit(session, account, 10**9)
        yield opened


def asked(house: InProcessServer, **fields: Any) -> httpx.Response:
    return house.http.post("/prompts", json={"prompt": {"text": "a man at sea", **fields}})


def value_of(row: Option) -> str:
    return row.words[0] if row.words else ALONE.get(row.name, VALUES.get(row.takes, ""))


def whole(row: Option) -> dict[str, Any]:
    """The fields that an option needs to do something."""
    fields: dict[str, Any] = {row.name: value_of(row)}
    for name in (*row.needs, *row.goes_with[:1]):
        if name in OPTIONS:
            fields = whole(OPTIONS[name]) | fields
        else:
            fields |= PICTURE
    if "outpaint" in fields:
        fields |= {"outpaint_width": "512"}
    return fields


SITUATIONS: dict[str, dict[str, Any]] = {
    "drawn": {},
    "from a picture": {**PICTURE, "denoising_strength": 0.5},
    "kept": {**PICTURE, "denoising_strength": 0},
    "only enlarged": {**PICTURE, "only_upscale": "true"},
}


def as_flags(fields: dict[str, Any]) -> str:
    return " ".join(
        f"--{name}" if value == "true" else f'--{name} "{value}"' for name, value in fields.items()
    )


def test_every_option_of_the_contract_has_a_standing() -> None:
    known = OPTIONS.keys() | PromptForm.model_fields.keys()
    assert set(FIELDS) <= known
    for name in FLAGS:
        (flag,) = options.flags(f"--{name}")
        assert flag.option is not None, name
    assert {row.name for row in OPTIONS.values()} <= {*FIELDS, *FLAGS}


@pytest.mark.parametrize(
    "row", [row for row in OPTIONS.values() if row.refused], ids=lambda row: row.name
)
def test_what_is_refused_says_why_as_a_field_and_as_a_flag(
    house: InProcessServer, row: Option
) -> None:
    field = {"video_prompt" if row.name == "video" else row.name: value_of(row)}
    for answer in (
        asked(house, **field),
        asked(house, text=f"a man at sea {as_flags({row.name: value_of(row)})}"),
    ):
        assert answer.status_code == 422, answer.text
        told = {**answer.json(), "video": answer.json().get("video_prompt")}
        assert row.refused in (answer.json().get(row.name) or told[row.name] or [""])[0] or (
            row.name == "video" and "is not offered by this server" in answer.text
        )


@pytest.mark.parametrize(
    "row", [row for row in OPTIONS.values() if row.ignored], ids=lambda row: row.name
)
def test_what_is_ignored_says_so_and_costs_nothing(house: InProcessServer, row: Option) -> None:
    value = {"scheduler": "euler", "backend_version": "1"}.get(row.name, value_of(row))
    for answer in (
        asked(house, **{row.name: value}),
        asked(house, text=f"a man at sea {as_flags({row.name: value})}"),
    ):
        assert answer.status_code == 201, answer.text
        assert f"{row.name} is ignored: {row.ignored}." in answer.json()["warnings"]
        assert answer.json()["cost_mc"] == 0


@pytest.mark.parametrize("row", WORKING, ids=lambda row: row.name)
def test_what_works_is_asked_of_the_device_and_shown(house: InProcessServer, row: Option) -> None:
    fields = whole(row)
    picture = {name: fields.pop(name) for name in PICTURE if name in fields}
    for answer in (
        asked(house, **fields, **picture),
        asked(house, text=f"a man at sea {as_flags(fields)}", **picture),
    ):
        assert answer.status_code == 201, answer.text
        shown = answer.json()
        with house.db.read() as session:
            made = session.get_one(Prompt, shown["id"])
            text = house.results.begin_drawing(made.id)
        assert row.name in made.spec and str(shown[row.name]).lower().startswith(
            value_of(row).lower()
        )
        assert text and "--" not in text["text"]
        assert shown["cost_mc"] == PRICE * sum(OPTIONS[name].priced for name in fields)
        assert not [said for said in shown["warnings"] if "ignored" in said]


@pytest.mark.parametrize("row", [row for row in WORKING if row.goes_with], ids=lambda row: row.name)
def test_what_goes_with_something_else_is_ignored_without_it_and_not_charged(
    house: InProcessServer, row: Option
) -> None:
    answer = asked(house, **{row.name: value_of(row)})
    assert answer.status_code == 201, answer.text
    (said,) = [said for said in answer.json()["warnings"] if "ignored" in said]
    assert said.startswith(f"{row.name} is ignored without {row.goes_with[0]}")
    assert answer.json()["cost_mc"] == 0
    with house.db.read() as session:
        assert row.name not in session.get_one(Prompt, answer.json()["id"]).spec


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("row", WORKING, ids=lambda row: row.name)
def test_an_option_is_asked_of_the_device_and_charged_or_told_and_free(
    house: InProcessServer, row: Option, situation: str
) -> None:
    answer = asked(house, **(whole(row) | SITUATIONS[situation]))
    shown = answer.json()
    if answer.status_code == 422:
        assert {row.name, "denoising_strength"} & shown.keys()
        return
    with house.db.read() as session:
        spec = session.get_one(Prompt, shown["id"]).spec
    told = any(said.startswith(f"{row.name} is ignored") for said in shown["warnings"])
    assert told != (row.name in spec)
    assert shown["cost_mc"] == PRICE * sum(OPTIONS[name].priced for name in spec if name in OPTIONS)


def test_what_is_for_a_drawing_is_told_and_free_where_nothing_is_drawn(
    house: InProcessServer,
) -> None:
    kept = {**PICTURE, "denoising_strength": 0, "super_resolution": True, "text": ""}
    fields: dict[str, Any] = {
        "style": "Cinematic", "prompt_expansion": True, "steps": 9, "cfg_scale": 2, "seed": 4,
        "num_images": 3, "w": 256, "h": 256, "aspect_ratio": "1:1", "lora_scale": 2,
    }  # fmt: skip
    shown = asked(house, **kept, **fields).json()
    told = {said.split(" is ignored")[0] for said in shown["warnings"]}
    assert told == fields.keys() and shown["cost_mc"] == PRICE
    with house.db.read() as session:
        made = session.get_one(Prompt, shown["id"])
        assert made.num_images == made.spec["num_images"] == 1
        assert not expansion.missing(made)


def test_nothing_to_do_is_refused(house: InProcessServer) -> None:
    for fields in ({}, {"style": "Cinematic"}, {"mask_prompt": "person", "restore_mask": True}):
        answer = asked(house, **PICTURE, denoising_strength=0, **fields)
        assert answer.status_code == 422
        assert answer.json()["denoising_strength"][0].startswith("0 keeps the picture")


def test_a_field_and_a_flag_that_differ_are_told(house: InProcessServer) -> None:
    said = "color_grading is given more than once, and ektar counts: take the others out."
    text = "a man at sea --color_grading ektar --film_grain"
    shown = asked(house, text=text, color_grading="Film Velvia", film_grain="on").json()
    assert [one for one in shown["warnings"] if "more than once" in one] == [said]
    assert shown["color_grading"] == "Ektar"


def test_a_prompt_that_comes_with_a_tune_is_refused_for_what_its_base_lacks(
    house: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusals(asked: dict[str, Any], row: Any, given: Any = None) -> dict[str, str]:
        return {"face_correct": f"needs {row.name}"} if "face_correct" in asked else {}

    monkeypatch.setattr(registry, "refusals", refusals)
    nested = {"text": "ohwx man at sea", "face_correct": True}
    answer = house.http.post(
        "/tunes", json={"tune": {"title": "a", "name": "man", "prompts_attributes": [nested]}}
    )
    assert answer.status_code == 422
    assert answer.json()["prompts_attributes[0][face_correct]"] == ["needs nano"]


@pytest.mark.parametrize("row", [row for row in WORKING if row.needs], ids=lambda row: row.name)
def test_what_needs_a_picture_is_refused_without_one(house: InProcessServer, row: Option) -> None:
    answer = asked(house, **{row.name: value_of(row)})
    assert answer.status_code == 422 and answer.json()[row.name] == ["needs input_image"]


@pytest.mark.parametrize("name", ["style", "color_grading", "resolution", "outpaint"])
def test_a_word_that_is_none_of_the_list_is_refused(house: InProcessServer, name: str) -> None:
    for answer in (
        asked(house, **{name: "Nonsense"}),
        asked(house, text=f"a man at sea --{name} Nonsense"),
    ):
        assert answer.status_code == 422 and answer.json()[name][0].startswith("must be ")


def test_a_flag_without_its_value_is_refused(house: InProcessServer) -> None:
    answer = asked(house, text="a man at sea --mask_prompt", **PICTURE)
    assert answer.status_code == 422
    assert "--mask_prompt needs a value behind it" in answer.json()["text"][0]


def test_blank_words_are_enough_to_enlarge_a_picture(house: InProcessServer) -> None:
    for fields in (
        {"text": "--only_upscale"},
        {"text": "", "super_resolution": True, "denoising_strength": 0},
        {"text": "", "remove_background": True, "denoising_strength": 0},
    ):
        answer = asked(house, **fields, **PICTURE)
        assert answer.status_code == 201, answer.text
        with house.db.read() as session:
            request = house.results.begin_drawing(answer.json()["id"])
            assert request and request["apart"] and request["text"] == ""
            assert session.get_one(Prompt, answer.json()["id"]).enqueued
    assert asked(house, text="--only_upscale").status_code == 422


def test_words_of_a_mask_that_nobody_here_can_find_are_refused(house: InProcessServer) -> None:
    answer = asked(house, mask_prompt="submarine", **PICTURE)
    assert answer.status_code == 422 and "submarine" in answer.json()["mask_prompt"][0]


def test_a_duplicate_starts_from_a_picture_of_its_prompt(house: InProcessServer) -> None:
    number = asked(house).json()["id"]
    answer = house.http.post(f"/prompts/{number}/duplicate", json={"image_index": 0})
    assert answer.status_code == 422
    assert answer.json()["image_index"] == ["needs a prompt that is drawn"]


def test_a_new_text_takes_the_flags_of_the_old_one_with_it(house: InProcessServer) -> None:
    number = asked(house, text="a man at sea --film_grain", color_grading="Ektar").json()["id"]
    again = house.http.post(f"/prompts/{number}/duplicate", json={}).json()
    assert again["film_grain"] and again["color_grading"] == "Ektar"
    other = house.http.post(
        f"/prompts/{number}/duplicate", json={"prompt": {"text": "a man in a wood"}}
    ).json()
    assert not other["film_grain"] and other["color_grading"] == "Ektar"


def test_what_a_picture_had_no_need_of_is_given_back() -> None:
    price = prices.Prices(options={"inpaint_faces": 5, "super_resolution": 3})
    spec = {"inpaint_faces": True, "super_resolution": True}
    enlarged = {"step": "super_resolution", "factor": 4}
    recipes = [
        {"enhanced": [enlarged, {"step": "faces", "found": 1, "drawn": 1}]},
        {"enhanced": [enlarged, {"step": "faces", "found": 1, "drawn": 0}]},
        {},
    ]
    assert prices.undone(price, spec, recipes) == 5 + 5 + 3
