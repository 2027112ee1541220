"""What can be done to a picture in the web app, end to end; the same of the API, as clients ask it."""

from __future__ import annotations

import base64
import io
import re

import httpx
from PIL import Image

from fluxbooth.evaluation.demo import PHOTOS
from tests.support.server import Json, Server

PART = {"Fluxbooth-Part": "1"}


def drawn(server: Server, **fields: object) -> Json:
    answer = server.http.post("/prompts", json={"prompt": {"steps": 6, "seed": 4, **fields}})
    assert answer.status_code == 201, answer.text
    made = server.finished_prompt(answer.json()["id"])
    assert made["user_error"] is None, made["user_error"]
    return made


def picture(made: Json) -> Image.Image:
    answer = httpx.get(made["images"][0]).raise_for_status()
    image = Image.open(io.BytesIO(answer.content))
    kind = "png" if image.format == "PNG" else "jpeg"
    assert answer.headers["content-type"] == f"image/{kind}"
    assert made["images"][0].endswith(".png" if kind == "png" else ".jpg")
    return image


def test_a_client_enlarges_a_picture_and_cuts_it_out(server: Server) -> None:
    """With an empty text, and nothing drawn."""
    photo = Image.open(sorted(PHOTOS.glob("*.png"))[0]).resize((96, 96))
    photo.save(file := io.BytesIO(), "PNG")
    sent = base64.b64encode(file.getvalue()).decode()
    kept = {"text": "", "denoising_strength": 0, "input_image_base64": sent}
    large = picture(drawn(server, **kept, super_resolution=True, upscale_factor=2))
    assert large.size == (2 * photo.width, 2 * photo.height)
    cut = picture(drawn(server, **kept, remove_background=True))
    assert (cut.format, cut.mode, cut.size) == ("PNG", "RGBA", photo.size)


def test_a_duplicate_starts_from_the_picture_that_is_named(server: Server) -> None:
    made = drawn(server, text="a man in front of a blue wall --film_grain")
    assert made["film_grain"] and made["text"].endswith("--film_grain")
    kept = {"denoising_strength": 0, "text": "", "color_grading": "Ektar"}
    body = {"prompt": kept, "image_index": 0}
    answer = server.http.post(f"/prompts/{made['id']}/duplicate", json=body)
    assert answer.status_code == 201, answer.text
    again = server.finished_prompt(answer.json()["id"])
    first, second = (picture(one) for one in (made, again))
    assert again["input_image"] and first.size == second.size
    body["image_index"] = 7
    refused = server.http.post(f"/prompts/{made['id']}/duplicate", json=body)
    assert refused.json()["image_index"] == ["must be 0 to 0"]


def test_the_buttons_of_a_picture(
    server: Server, owner: httpx.Client, stranger: httpx.Client
) -> None:
    made = drawn(server, text="a man in front of a blue wall")
    card = owner.get(f"/app/prompts/{made['id']}").text
    place = re.findall(r"/app/pictures/[\w-]+", card)[0]
    page = owner.get(place).text
    assert {"larger", "faces", "background", "extend"} <= set(re.findall(r'value="(\w+)"', page))
    for fields in (
        {"deed": "larger"},
        {"deed": "background"},
        {"deed": "extend", "side": "left"},
        {"deed": "part", "words": "background", "text": "a man in a green wood"},
    ):
        assert stranger.post(f"{place}/enhance", data=fields).status_code == 404
        answer = owner.post(f"{place}/enhance", data=fields, headers=PART)
        assert answer.status_code == 201, answer.text
        number = int(re.findall(r'data-prompt="(\d+)"', answer.text)[0])
        done = server.finished_prompt(number)
        assert done["user_error"] is None, done["user_error"]
        shown = owner.get(f"/app/prompts/{number}").text
        large = owner.get(re.findall(r"/app/pictures/[\w-]+", shown)[0]).text
        compared = fields["deed"] != "extend"
        assert ("data-compare" in large) == compared
        before = owner.get(f"/app/prompts/{number}/before")
        assert before.status_code == 200 and before.headers["content-type"] == "image/jpeg"
        assert stranger.get(f"/app/prompts/{number}/before").status_code == 404
    assert owner.post(f"{place}/enhance", data={"deed": "nothing"}).status_code == 404
    for fields, said in (
        ({"deed": "part", "words": "xyz"}, "xyz"),
        ({"deed": "part", "words": " "}, "Say what is to be changed"),
        ({"deed": "extend", "side": "nowhere"}, "Say on which side"),
    ):
        wrong = owner.post(f"{place}/enhance", data=fields, headers=PART)
        assert wrong.status_code == 422 and said in wrong.text
    # each button has its time beside it, and Enter in a field presses the button of that field
    forms = re.findall(r"<form[^>]*/enhance\".*?</form>", page, re.S)
    assert [re.findall(r'value="(larger|extend|part)"', form)[:1] for form in forms] == [
        ["larger"], ["extend"], ["part"],
    ]  # fmt: skip
    assert len(re.findall(r'<small id="takes-\w+" class="dim">about \w+', page)) == 5
