"""The answers of the API, byte for byte: clients read the order of fields, nulls and formats of
times in ways that nobody knows. `python -m tests.service.test_response_bytes` writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxbooth.service.db.tables import Tune
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import pictures

KEPT = Path(__file__).parents[1] / "data" / "answers.txt"
# what is another in each run
VARYING = (
    (r"http://127\.0\.0\.1:\d+", "http://HOST"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "TIME"),
    (r"expires=\d+&signature=[\w-]+", "SIGNED"),
    (r"/images/[\w-]+\.jpg", "/images/NAME.jpg"),
    (r"-[0-9a-f]{6,}(?=/)", "-NAME"),
    (r'"seconds":[\d.]+', '"seconds":SECONDS'),
)


def requests(home: InProcessServer) -> Iterator[tuple[str, str, Any]]:
    """Method, path and body, or nothing but a step of the engine in between."""
    photo = {"image_urls": ["http://127.0.0.1:9/1.jpg"]}
    yield "POST", "/tunes", {"tune": {"title": "Zoë", "name": "man", **photo, "face_crop": True}}
    full = {"text": "ohwx dog, smiling: ☃", "num_images": 2, "cfg_scale": 3, "w": 512, "h": 768}
    yield (
        "POST",
        "/tunes",
        {
            "tune": {
                "title": "b",
                "name": "dog",
                **photo,
                "preset": "flux-lora-fast",
                "callback": "http://a.example/?b=c&d",
                "characteristics": {"age": 7, "eye": "b"},
                "prompts_attributes": [full],
            }
        },
    )
    made = home.http.post(
        "/tunes",
        data={"tune[title]": "c", "tune[name]": "man", "tune[branch]": "fast"},
        files=pictures(2),
    ).json()["id"]
    yield "GET", f"/tunes/{made}/progress", None
    home.sampled(made, 0, 0)
    with home.db.write() as session:
        tune = session.get_one(Tune, made)
        tune.progress = {**tune.progress, "step": 3, "loss": 0.1, "losses": [1.0, 1e-7, 2]}
    home.trained(made)
    own = home.http.post(f"/tunes/{made}/prompts", json={"text": "sks man"}).json()["id"]
    home.drawn(own)
    failed = home.tune(1, "fails")
    home.results.fail_tune(failed, "no photo would do")
    for path in (
        f"/tunes/{made}",
        f"/tunes/{failed}",
        "/tunes/1504944",
        "/tunes",
        "/tunes?limit=2&title=c",
        "/tunes?name[]=dog&name=cat",
        f"/tunes/{made}/progress",
        f"/tunes/{made}/checkpoints",
        f"/tunes/{made}/prompts",
        f"/prompts/{own}",
        f"/tunes/{made}/prompts/{own}",
        "/prompts",
        "/prompts?liked=0&today=1&tune_id=1504944",
        "/prompts?is_video=1",
        "/packs?public=true&limit=1",
        "/p/corporate",
        "/gallery/packs?limit=1",
        "/gallery/tunes",
        "/gallery",
        "/workspaces",
        "/users",
        "/cli/models",
        "/health",
        "/ready",
        "/estimates/tune?photos=12&preset=flux-lora-portrait",
        "/estimates/tune?branch=fast",
        f"/estimates/prompt?tune_id={made}&num_images=2",
        # refused
        "/tunes/7",
        "/nowhere",
        "/tunes?limit=a&page=b&offset=1",
        "/tunes?offset=201",
        "/prompts?tune_id=x",
        "/prompts?order_id=-",
        "/packs?before_id=1.5",
        "/estimates/tune?photos=many",
        "/estimates/prompt?num_images=9&w=1",
        "/tunes?before_id=99999999999999999999999",
    ):
        yield "GET", path, None
    yield "PATCH", f"/tunes/{made}", {"tune": {"title": "Ünï"}}
    yield "POST", f"/tunes/{made}/checkpoints/0/choose", None
    yield "POST", f"/tunes/{made}/more", {"tune": {"steps": 5}}
    yield "POST", f"/tunes/{made + 2}/cancel", None
    yield "PATCH", f"/prompts/{own}", {"prompt": {"base_pack_id": ""}}
    yield "POST", f"/prompts/{own}/duplicate", {"prompt": {"seed": 5, "denoising_strength": ""}}
    yield "POST", f"/prompts/{own}/likes", None
    yield "POST", f"/prompts/{own}/like", None
    yield "POST", "/prompts", {"prompt": {**full, "theme": "a", "film_grain": True}}
    yield "POST", "/packs", {"pack": {"title": "Packé", "public": True}}
    yield "POST", "/p/corporate/tunes", {"tune": {"tune_ids": [made], "prompt_ids": []}}
    yield "PATCH", "/users", {"user": {"idempotent": True}}
    yield "POST", "/themes", {"theme": {"theme": "sea", "tune_ids": [made], "draft": True}}
    yield "POST", "/themes", {"theme": {"theme": "sea", "tune_ids": [made]}}
    yield "POST", "/tunes", {"tune": {"title": "", "name": "a:b", "steps": "x"}}
    yield "POST", "/prompts", {"prompt": {"text": "<lora:7:1> a", "cfg_scale": 9, "w": 3}}
    yield "POST", "/tunes/5000000/more", {"tune": {}}
    yield "DELETE", f"/prompts/{own}", None
    yield "DELETE", f"/tunes/{made}?delete_prompts=true", None


def told(home: InProcessServer) -> str:
    parts = []
    for method, path, body in requests(home):
        answer: httpx.Response = home.http.request(method, path, json=body)
        kind, text = answer.headers.get("content-type"), answer.content.decode()
        for pattern, instead in VARYING:
            text = re.sub(pattern, instead, text)
        parts.append(f"{method} {path} {answer.status_code} {kind}\n{text}\n")
    no_key = httpx.get(f"{home.settings.url}/tunes")
    return "\n".join([*parts, f"GET /tunes without a key {no_key.status_code}\n{no_key.text}\n"])


@pytest.fixture(scope="module")
def home(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    folder = tmp_path_factory.mktemp("bytes") / "data"
    with in_process_server(blank, folder, requests_per_second=0, theme_composer=True) as opened:
        yield opened


def test_every_answer_is_what_it_was(home: InProcessServer) -> None:
    assert told(home).splitlines() == KEPT.read_text(encoding="utf-8").splitlines()


def write() -> None:
    import tempfile

    from fluxbooth.service.db import database
    from fluxbooth.service.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        blank = Settings(data=Path(folder) / "blank")
        blank.data.mkdir()
        database.migrate(blank)
        data = Path(folder) / "data"
        with in_process_server(
            blank.database, data, requests_per_second=0, theme_composer=True
        ) as opened:
            KEPT.write_text(told(opened), encoding="utf-8")


if __name__ == "__main__":
    write()
