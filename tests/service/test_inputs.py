"""Prompts that start from a picture: by file, address and base64; a mask; what is kept of them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from fluxbooth import picture_files
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.service.prompts import input_images
from fluxbooth.service.safety import Judge
from fluxbooth.service.settings import Settings
from tests.support.images import opened
from tests.support.server import Json, Server, until
from tests.support.servers import response, serving

PHOTO = sorted(PHOTOS.glob("*.png"))[0]


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def located() -> bytes:
    """The photo as a phone takes it: a JPEG that knows where."""
    picture, place, file = Image.open(PHOTO).convert("RGB"), Image.Exif(), io.BytesIO()
    place[0x010E] = "at home"
    picture.save(file, "JPEG", quality=95, exif=place)
    return file.getvalue()


def finished(server: Server, answer: httpx.Response) -> Json:
    assert answer.status_code == 201, answer.text
    return server.finished_prompt(answer.json()["id"])


def test_a_masked_picture_changes_where_the_mask_is_white_alone(server: Server) -> None:
    mask, file = Image.new("L", opened(PHOTO).size), io.BytesIO()
    mask.paste(255, (0, 0, mask.width // 2, mask.height))
    mask.save(file, "PNG")
    form = {
        "prompt[text]": "a man in front of a brick wall",
        "prompt[seed]": "4",
        "prompt[steps]": "8",
        "prompt[num_images]": "2",
    }
    files = {
        "prompt[input_image]": ("at-home.jpg", located()),
        "prompt[mask_image]": ("mask.png", file.getvalue()),
    }
    answer = server.http.post(
        "/prompts", data={**form, "prompt[denoising_strength]": "0.9"}, files=files
    )
    made = finished(server, answer)
    assert (
        made["user_error"] is None
        and len(made["images"]) == 2
        and made["denoising_strength"] == 0.9
    )
    stored = httpx.get(made["input_image"]).raise_for_status().content
    assert b"at home" not in stored and pixels(stored).shape == pixels(located()).shape
    assert pixels(httpx.get(made["mask_image"]).content)[0, 0, 0] == 255
    before = np.asarray(
        Image.open(io.BytesIO(stored)).convert("RGB").resize((128, 128), Image.Resampling.LANCZOS)
    ).astype(int)
    changed = np.abs(pixels(httpx.get(made["images"][0]).content) - before).mean(axis=(0, 2))
    assert changed[:32].mean() > 3 * changed[-32:].mean()
    again = finished(
        server,
        server.http.post(f"/prompts/{made['id']}/duplicate", json={"prompt": {"num_images": 1}}),
    )
    assert (
        again["input_image"] != made["input_image"]
        and httpx.get(again["images"][0]).content == httpx.get(made["images"][0]).content
    )
    server.http.delete(f"/prompts/{made['id']}")
    assert httpx.get(made["input_image"]).status_code == 404
    assert not server.files(f"prompts/{made['id']}")
    server.http.delete(f"/prompts/{again['id']}")


def test_of_what_a_file_says_only_that_it_was_made_with_ai_stays(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    for said in (picture_files.GENERATED, None):
        picture_files.save(Image.new("RGB", (64, 64)), source, said, texts={"secret": "here"})
        kept = input_images.written(source, "input_image", tmp_path, Judge(Settings(data=tmp_path)))
        assert picture_files.source_in(opened(kept)) == said
        assert b"secret" not in kept.read_bytes()


def test_a_picture_comes_by_base64_and_by_address(server: Server) -> None:
    asked: Json = {"text": "", "film_grain": True, "seed": 4, "denoising_strength": 0}
    encoded = "data:image/jpeg;base64," + base64.b64encode(located()).decode()
    first = finished(
        server, server.http.post("/prompts", json={**asked, "input_image_base64": encoded})
    )
    with serving(response(200, located(), content_type="image/jpeg")) as elsewhere:
        second = finished(
            server,
            server.http.post(
                "/prompts", json={**asked, "input_image_url": f"{elsewhere.url}/a.jpg"}
            ),
        )
    kept = [httpx.get(row["images"][0]).content for row in (first, second)]
    assert kept[0] == kept[1]  # nothing is drawn
    with serving(response(200, b"these are words", content_type="text/plain")) as elsewhere:
        answer = server.http.post(
            "/prompts", json={**asked, "input_image_url": f"{elsewhere.url}/b.jpg"}
        )
        third = finished(server, answer)
    assert "input_image" in third["user_error"].replace(" ", "_") and not third["images"]
    for row in (first, second, third):
        server.http.delete(f"/prompts/{row['id']}")
    until(
        lambda: not list((server.data / "incoming").rglob("*.jpg")), "nothing is left lying about"
    )
