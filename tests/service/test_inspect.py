"""POST /images/inspect over a real socket: what is measured, what Claude sees of it, and
nothing else."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageFilter

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.photos import faces
from fluxbooth.service.claude import photo_attributes
from tests.support.claude import Answer, Claude, said
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.servers import response, serving

Json = dict[str, Any]
FILES = sorted(PHOTOS.glob("*.png"))
PHOTO = FILES[0]
MEASURED = {"name", "blurry", "low_resolution", "low_quality", "width", "height"}
FACES = {"includes_multiple_people", "full_body_image_or_longshot"}
found = pytest.mark.skipif(not faces.available(), reason="the extra `faces` is not installed")


@pytest.fixture(scope="module")
def plain(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(blank, tmp_path_factory.mktemp("plain") / "data") as opened:
        yield opened


@pytest.fixture(scope="module")
def seeing(
    claude: Claude, blank: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InProcessServer]:
    settings: Json = {
        "anthropic_api_key": "sk-test",
        "anthropic_url": claude.url,
        "inspect_seconds": 60,
        "inspect_model": "claude-eyes",
    }
    with in_process_server(blank, tmp_path_factory.mktemp("seeing") / "data", **settings) as opened:
        yield opened


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def shown(in_process_server: InProcessServer, picture: Image.Image) -> Json:
    answer = in_process_server.http.post(
        "/images/inspect", data={"name": "man"}, files={"file": ("x.png", png(picture))}
    )
    return answer.raise_for_status().json()


def test_sharp_blurred_and_small(plain: InProcessServer) -> None:
    photo = Image.open(PHOTO).convert("RGB")
    blurred = photo.filter(ImageFilter.GaussianBlur(photo.width / 40))
    small = photo.resize((64, 64))
    for picture, blurry, low in (
        (photo, False, False),
        (blurred, True, False),
        (small, None, True),
    ):
        began = time.monotonic()
        seen = shown(plain, picture)
        print(f"{time.monotonic() - began:.2f} s")
        assert MEASURED <= set(seen) <= MEASURED | FACES and seen["name"] == ""
        assert blurry is None or seen["blurry"] is blurry
        assert seen["low_resolution"] is low and seen["low_quality"] is (seen["blurry"] or low)
        assert (seen["width"], seen["height"]) == picture.size
    assert not list((plain.settings.data / "incoming").rglob("inspect-*"))


@pytest.mark.parametrize("encoding", ["json", "data"])
def test_a_photo_by_its_address(plain: InProcessServer, encoding: str) -> None:
    with serving(
        response(body=PHOTO.read_bytes(), content_type="image/png", connection="close")
    ) as pictures:
        answer = plain.http.post(
            "/images/inspect", **{encoding: {"name": "man", "file_url": pictures.url + "/a.png"}}
        )
    assert answer.status_code == 200 and answer.json()["low_quality"] is False, answer.text


def test_what_is_no_photo(plain: InProcessServer) -> None:
    text = plain.http.post("/images/inspect", files={"file": ("x.png", b"no picture")})
    assert text.status_code == 422 and "file" in text.json()
    assert plain.http.post("/images/inspect", data={"name": "man"}).json()["file"] == [
        "can't be blank"
    ]
    gone = plain.http.post("/images/inspect", json={"file_url": "http://127.0.0.1:1/x.png"})
    assert gone.status_code == 422 and "file_url" in gone.json()
    assert not [path for path in (plain.settings.data / "incoming").rglob("*") if path.is_file()]


# ── faces
# ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def canvas(*faces_at: tuple[int, int, int], size: tuple[int, int] = (640, 480)) -> Image.Image:
    """A grey wall with a face pasted at each (left, top, side)."""
    face, wall = Image.open(FILES[9]).convert("RGB"), Image.new("RGB", size, (150, 150, 140))
    for left, top, side in faces_at:
        wall.paste(face.resize((side, side), Image.Resampling.LANCZOS), (left, top))
    return wall


@found
@pytest.mark.parametrize(
    ("picture", "several", "far"),
    [
        (canvas((130, 50, 380)), False, False),
        (canvas((0, 60, 320), (320, 60, 320)), True, False),
        (canvas((150, 30, 150), size=(480, 720)), False, True),
        (canvas(), None, None),
    ],
    ids=["one, near", "two", "one, far away", "nobody"],
)
def test_faces_tell_how_many_and_how_far(
    plain: InProcessServer, picture: Image.Image, several: bool | None, far: bool | None
) -> None:
    seen = shown(plain, picture)
    assert (seen.get("includes_multiple_people"), seen.get("full_body_image_or_longshot")) == (
        several,
        far,
    )


def test_without_the_extra_people_are_left_out(
    plain: InProcessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert set(shown(plain, canvas((0, 60, 320), (320, 60, 320)))) == MEASURED


# ── what Claude sees
# ─────────────────────────────────────────────────────────────────────────────────────────────────

SEEN = {
    "name": "woman", "age": "30 yo", "glasses": "none", "eye_color": "unknown",
    "hair_color": "red hair", "hair_length": "long hair", "hair_style": "wavy hair",
    "facial_hair": "none", "is_bald": "none", "headcover": "none", "funny_face": "no",
    "wearing_sunglasses": "no", "wearing_hat": "yes", "includes_multiple_people": "yes",
    "full_body_image_or_longshot": "unknown", "selfie": "unknown",
}  # fmt: skip


def test_claude_sees_what_cannot_be_measured(seeing: InProcessServer, claude: Claude) -> None:
    claude.tell(said(SEEN))
    large = Image.open(PHOTO).convert("RGB").resize((2400, 1600))
    seen = shown(seeing, large)
    assert (
        seen
        | {
            "age": "30 yo",
            "hair_color": "red hair",
            "hair_length": "long hair",
            "hair_style": "wavy hair",
        }
        == seen
    )
    assert (
        seen | dict.fromkeys(("glasses", "facial_hair", "is_bald", "headcover"), "") == seen
        and seen["name"] == "woman"
    )
    assert (
        seen
        | {
            "funny_face": False,
            "wearing_hat": True,
            "includes_multiple_people": True,
            "blurry": seen["blurry"],
        }
        == seen
    )
    assert not {"eye_color", "selfie", "ethnicity", "body_type", "warnings"} & set(seen)
    (asked,) = claude.asked
    headers, body = asked
    assert headers["path"] == "/v1/messages" and body["model"] == "claude-eyes"
    picture, words = body["messages"][0]["content"]
    sent = Image.open(io.BytesIO(base64.b64decode(picture["source"]["data"])))
    assert picture["source"]["media_type"] == "image/jpeg" == f"image/{sent.format}".lower()
    assert (
        sent.width * sent.height <= photo_attributes.SENT
        and abs(sent.width / sent.height - 1.5) < 0.01
        and not sent.getexif()
    )
    assert json.loads(words["text"]) == {"expected_subject": "man"}
    schema = body["output_config"]["format"]["schema"]
    assert set(SEEN) == set(schema["properties"]) == set(schema["required"])
    assert all(
        "unknown" in one["enum"] and SEEN[name] in one["enum"]
        for name, one in schema["properties"].items()
    )


def test_what_is_no_known_value_is_left_out(seeing: InProcessServer, claude: Claude) -> None:
    claude.tell(
        said(
            {
                "name": "wizard",
                "hair_color": ["red hair"],
                "glasses": "glasses",
                "selfie": True,
                "wearing_hat": ["yes"],
                "fame": "yes",
                "blurry": "yes",
            }
        )
    )
    seen = shown(seeing, Image.open(PHOTO).convert("RGB"))
    assert set(seen) <= MEASURED | FACES | {"glasses"} and (
        seen["name"],
        seen["glasses"],
        seen["blurry"],
    ) == ("", "glasses", False)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (said("", stop="refusal"), "declined"),
        (said('{"name": "wo', stop="max_tokens"), "cannot be read"),
        (said("[]"), "cannot be read"),
        (
            (
                429,
                {"retry-after": "7"},
                {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}},
            ),
            "busy",
        ),
        (
            (
                401,
                {},
                {"type": "error", "error": {"type": "authentication_error", "message": "key"}},
            ),
            "ANTHROPIC_API_KEY",
        ),
        (
            (404, {}, {"type": "error", "error": {"type": "not_found_error", "message": "model"}}),
            "FLUXBOOTH_INSPECT_MODEL",
        ),
    ],
    ids=["refusal", "cut off", "no object", "rate limit", "wrong key", "no such model"],
)
def test_without_its_answer_the_measured_ones_are_given_and_it_is_said_why(
    seeing: InProcessServer, claude: Claude, answer: Answer, words: str
) -> None:
    claude.tell(answer)
    seen = shown(seeing, Image.open(PHOTO).convert("RGB"))
    assert set(seen) - FACES == MEASURED | {"warnings"} and seen["name"] == ""
    assert words in seen["warnings"][0] and "sk-test" not in str(seen) and len(claude.asked) == 1


def test_an_answer_that_does_not_come_is_not_waited_for(
    claude: Claude, blank: Path, tmp_path: Path
) -> None:
    settings: Json = {"anthropic_api_key": "sk-test", "anthropic_url": claude.url}
    with in_process_server(blank, tmp_path / "hasty", **settings, inspect_seconds=3) as hasty:
        claude.tell(None)
        seen = shown(hasty, Image.open(PHOTO).convert("RGB"))
        assert set(seen) - FACES == MEASURED | {"warnings"} and len(seen["warnings"]) == 1
    with in_process_server(blank, tmp_path / "discreet", **settings, inspect_model="") as discreet:
        claude.tell()
        assert (
            set(shown(discreet, Image.open(PHOTO).convert("RGB"))) - FACES == MEASURED
            and not claude.asked
        )
