"""POST /images/inspect over a real socket: what is measured, and nothing else."""

from __future__ import annotations

import io
import time

import pytest
from PIL import Image, ImageFilter

from fluxbooth.demo import PHOTOS
from tests.service.server import Server
from tests.service.servers import response, serving

PHOTO = min(PHOTOS.glob("*.png"))
MEASURED = {"name", "blurry", "low_resolution", "low_quality", "width", "height"}


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_sharp_blurred_and_small(server: Server) -> None:
    photo = Image.open(PHOTO).convert("RGB")
    blurred, small = photo.filter(ImageFilter.GaussianBlur(photo.width / 40)), photo.resize((64, 64))
    for picture, blurry, low in ((photo, False, False), (blurred, True, False), (small, None, True)):
        began = time.monotonic()
        answer = server.http.post("/images/inspect", data={"name": "man"}, files={"file": ("x.png", png(picture))})
        print(f"{time.monotonic() - began:.2f} s")
        shown = answer.raise_for_status().json()
        assert set(shown) == MEASURED and shown["name"] == ""
        assert blurry is None or shown["blurry"] is blurry
        assert shown["low_resolution"] is low and shown["low_quality"] is (shown["blurry"] or low)
        assert (shown["width"], shown["height"]) == picture.size
    assert not list((server.data / "incoming").glob("inspect-*"))


@pytest.mark.parametrize("encoding", ["json", "data"])
def test_a_photo_by_its_address(server: Server, encoding: str) -> None:
    with serving(response(body=PHOTO.read_bytes(), content_type="image/png", connection="close")) as pictures:
        answer = server.http.post("/images/inspect", **{encoding: {"name": "man", "file_url": pictures.url + "/a.png"}})
    assert answer.status_code == 200 and answer.json()["low_quality"] is False, answer.text


def test_what_is_no_photo(server: Server) -> None:
    text = server.http.post("/images/inspect", files={"file": ("x.png", b"no picture")})
    assert text.status_code == 422 and "file" in text.json()
    assert server.http.post("/images/inspect", data={"name": "man"}).json()["file"] == ["can't be blank"]
    gone = server.http.post("/images/inspect", json={"file_url": "http://127.0.0.1:1/x.png"})
    assert gone.status_code == 422 and "file_url" in gone.json()
    assert not list((server.data / "incoming").iterdir())
