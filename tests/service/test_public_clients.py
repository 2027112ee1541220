"""What public clients ask of pictures, as they ask it, and the pictures that they get."""

from __future__ import annotations

import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from fluxbooth.service.contract.public_bases import FLUX_DEV
from tests.support.server import Json, Server


@pytest.fixture(scope="module")
def photo(server: Server) -> Image.Image:
    """Of a person; as a client has it, enlarged beyond the size at which four times is too much."""
    made = drawn(server, {"prompt[text]": "a man in front of a blue wall", "prompt[seed]": "5"})
    return picture(made).resize((528, 528), Image.Resampling.LANCZOS)


def drawn(server: Server, form: dict[str, str], photo: Image.Image | None = None) -> Json:
    """Multipart, polled until it is done."""
    files: dict[str, Any] = {name: (None, value) for name, value in form.items()}
    if photo:
        held = io.BytesIO()
        photo.save(held, "PNG")
        files["prompt[input_image]"] = ("image.png", held.getvalue(), "image/png")
    answer = server.http.post(f"/tunes/{FLUX_DEV}/prompts", files=files)
    assert answer.status_code == 201, answer.text
    made = server.finished_prompt(answer.json()["id"])
    assert made["user_error"] is None, made["user_error"]
    return made


def picture(made: Json) -> Image.Image:
    image = Image.open(io.BytesIO(httpx.get(made["images"][0]).raise_for_status().content))
    image.load()
    return image


def test_photopea_upscale(server: Server, photo: Image.Image) -> None:
    form = {
        "prompt[text]": "",
        "prompt[denoising_strength]": "0",
        "prompt[super_resolution]": "true",
        "prompt[num_images]": "1",
    }
    photo = photo.resize((120, 120))  # which the better network enlarges in seconds
    made = drawn(server, form, photo)
    large = picture(made)
    assert large.size == (4 * photo.width, 4 * photo.height)
    small = np.asarray(large.resize(photo.size, Image.Resampling.BOX)).astype(int)
    assert np.abs(small - np.asarray(photo.convert("RGB"))).mean() < 4  # of the same
    assert not [said for said in made["warnings"] if "ignored" in said]


def test_photopea_remove_background(server: Server, photo: Image.Image) -> None:
    form = {"prompt[text]": "--remove_background", "prompt[denoising_strength]": "0"}
    cut = picture(drawn(server, form, photo))
    assert (cut.format, cut.mode, cut.size) == ("PNG", "RGBA", photo.size)
    alpha = np.asarray(cut.getchannel("A"))
    corner, middle = alpha[:60, :60].mean(), alpha[200:330, 200:330].mean()
    assert corner < 60 and middle > 200  # the wall, and the man before it


def test_the_command_line_client_and_imagine(server: Server) -> None:
    """One always sends a shape, the other looks of film by names of its own, and a scheduler."""
    form = {
        "prompt[text]": "a man at sea",
        "prompt[aspect_ratio]": "3:4",
        "prompt[num_images]": "1",
        "prompt[seed]": "5",
    }
    plain = picture(drawn(server, form))
    assert plain.width / plain.height == pytest.approx(3 / 4, abs=0.05)
    looks = {
        "prompt[color_grading]": "film-velvia",
        "prompt[film_grain]": "true",
        "prompt[scheduler]": "dpm++2m_karras",
        "prompt[style]": "",
        "prompt[cfg_scale]": "",
        "prompt[backend_version]": "1",
        "prompt[use_lpw]": "false",
    }
    made = drawn(server, form | looks)
    assert made["color_grading"] == "Film Velvia" and made["film_grain"]
    graded = picture(made)
    assert graded.size == plain.size
    off = np.abs(np.asarray(graded).astype(int) - np.asarray(plain)).mean()
    assert 2 < off < 60
    ignored = {said.split(" is ignored")[0] for said in made["warnings"] if "ignored" in said}
    assert ignored == {"scheduler", "backend_version"}


def test_outpainting_alone_as_the_documents_have_it(server: Server, photo: Image.Image) -> None:
    flags = "--outpaint top-left --outpaint_width 192 --outpaint_height 160"
    form = {"prompt[text]": f"a blue wall {flags}", "prompt[denoising_strength]": "0"}
    small = photo.resize((128, 128), Image.Resampling.LANCZOS)
    whole = picture(drawn(server, form, small))
    assert whole.size == (192, 160)
    kept = np.asarray(whole.crop((0, 0, 128, 128))).astype(int)
    assert np.abs(kept - np.asarray(small.convert("RGB"))).mean() < 5  # but for two JPEGs
