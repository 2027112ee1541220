"""The client library against the real server, and against one that only speaks the contract."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import fluxbooth
from fluxbooth.client.client import Client
from fluxbooth.client.types import Progress
from fluxbooth.evaluation.demo import PHOTOS
from tests.support.images import opened
from tests.support.server import Server
from tests.support.servers import Server as Answering
from tests.support.servers import response, serving

FILES = sorted(PHOTOS.glob("*.png"))[:4]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{server.port}/", server.key) as client:
        yield client


def test_from_photos_to_pictures(client: Client, tmp_path: Path) -> None:
    seen: list[Progress] = []
    attributes = [{"text": "sks man smiling", "num_images": 2}]
    tune = client.tunes.create(
        "Ann & co",
        "man",
        FILES,
        branch="fast",
        characteristics={"hair": "red"},
        prompts_attributes=attributes,
    )
    assert (
        tune.title == "Ann & co"
        and not tune.finished
        and tune.raw["characteristics"] == {"hair": "red"}
    )
    assert tune.prompts[0].num_images == 2
    done = client.tunes.wait(tune, progress=seen.append, timeout=240)
    assert (
        done.trained_at
        and done.expires_at
        and seen[-1].state == "done"
        and {look.id for look in seen} == {tune.id}
    )
    prompt = client.prompts.create(done, "at the beach, {{hair}} hair", num_images=2, seed=3)
    assert (
        prompt.text == f"<lora:{tune.id}:1.0> sks man at the beach, {{{{hair}}}} hair"
        and prompt.images == ()
    )
    prompt = client.prompts.wait(prompt, timeout=240)
    paths = client.download(prompt, tmp_path / "pictures")
    assert [path.name for path in paths] == [f"{prompt.id}-0.jpg", f"{prompt.id}-1.jpg"]
    assert all(opened(path).format == "JPEG" for path in paths)
    assert len(list((tmp_path / "pictures").iterdir())) == 2
    listed = [row.id for row in client.prompts.list(tune)]
    assert listed == [prompt.id, tune.prompts[0].id]
    client.prompts.delete(prompt)
    client.tunes.delete(tune)
    with pytest.raises(fluxbooth.ApiError) as gone:
        client.tunes.get(tune)
    assert gone.value.status == 404


def test_lists_go_on_over_pages(client: Client) -> None:
    made = [client.tunes.create(f"page {i}", "man", FILES[:1], branch="fast") for i in range(3)]
    for tune in made:
        client.ask("POST", f"/tunes/{tune.id}/cancel")
    ids = [tune.id for tune in client.tunes.list(title="page ")]
    assert ids == [tune.id for tune in reversed(made)]
    assert [tune.id for tune in client.tunes.list(limit=2, title="page ")] == ids[:2]
    with pytest.raises(
        fluxbooth.FluxboothError, match=rf"Tune {made[0].id} failed: The training was cancelled"
    ):
        client.tunes.wait(made[0])


def test_packs_and_themes(client: Client) -> None:
    pack = client.packs.get("pets")
    assert (
        pack.classes == ("dog", "cat")
        and pack in client.packs.list()
        and pack in client.packs.list(gallery=True)
    )
    tune = client.packs.train(
        pack, "Rex", "dog", FILES, branch="fast", prompt_attributes={"aspect_ratio": "3:4"}
    )
    made = list(client.prompts.list(tune))
    assert len(made) == 6 and all(
        "ohwx dog" in prompt.text and prompt.raw["aspect_ratio"] == "3:4" for prompt in made
    )
    client.packs.draw("pets", [tune], prompt_ids=[made[0].raw["orig_prompt_id"]])
    assert len(list(client.prompts.list(tune))) == 7
    with pytest.raises(fluxbooth.ApiError, match="FLUXBOOTH_ANTHROPIC_API_KEY"):
        client.theme("vikings", [tune])
    with pytest.raises(fluxbooth.ApiError, match="FLUXBOOTH_ANTHROPIC_API_KEY"):
        client.drafts("vikings", [tune])
    client.tunes.delete(tune)


def test_a_photo_is_inspected(client: Client, tmp_path: Path) -> None:
    seen = client.inspect(FILES[0], "man")
    # for a base that draws at 128 px
    assert seen["blurry"] is False and seen["low_resolution"] is False
    with pytest.raises(fluxbooth.InputError, match=r"missing\.jpg cannot be read"):
        client.inspect(tmp_path / "missing.jpg")
    with pytest.raises(fluxbooth.ApiError, match="File url"):
        client.inspect("http://127.0.0.1:1/no.jpg")


def test_a_refusal_names_the_fields(client: Client) -> None:
    with pytest.raises(fluxbooth.ApiError) as refused:
        client.prompts.create(1504944, "a man", cfg_scale=7, negative_prompt="blurry")
    assert refused.value.status == 422
    assert refused.value.fields == {
        "cfg_scale": ["must be less than 5"],
        "negative_prompt": ["not supported on Flux"],
    }
    assert (
        str(refused.value)
        == "Cfg scale must be less than 5, Negative prompt not supported on Flux."
    )


def test_a_wrong_key_a_missing_photo_and_a_server_that_is_not_there(
    server: Server, tmp_path: Path
) -> None:
    with (
        Client(f"http://127.0.0.1:{server.port}", "sd_wrong") as client,
        pytest.raises(fluxbooth.ApiError, match="key is wrong: it was cut or mistyped") as wrong,
    ):
        next(client.tunes.list())
    assert wrong.value.status == 401
    with pytest.raises(fluxbooth.InputError, match=r"missing\.jpg cannot be read"):
        Client(f"http://127.0.0.1:{server.port}", server.key).tunes.create(
            "a", "man", [tmp_path / "missing.jpg"]
        )
    with pytest.raises(fluxbooth.FluxboothError, match="cannot be reached"):
        Client("http://127.0.0.1:1", "sd_x").prompts.create(1, "a")
    with pytest.raises(fluxbooth.InputError, match="http://"):
        Client("localhost:8000", "sd_x")


def answers(*rows: bytes) -> Answering:
    """Gives the answers in turn, the last one again and again."""
    left = list(rows)
    return lambda server, connection: connection.sendall(left.pop(0) if len(left) > 1 else left[0])  # type: ignore[return-value]


def row(**fields: object) -> bytes:
    known = {"id": 7, "title": "a", "name": "man", "token": "ohwx", "trained_at": None}
    return response(
        body=json.dumps({**known, **fields}).encode(),
        content_type="application/json",
        connection="close",
    )


def test_a_server_that_only_knows_the_contract() -> None:
    """No progress route, a redirect-free base path, a busy moment, a list that ignores
    before_id."""
    busy = response(429, b"{}", retry_after="0", connection="close")
    with serving(
        answers(
            busy,
            row(started_training_at="2026-01-02T03:04:05Z"),
            response(404, b"", connection="close"),
            row(trained_at="2026-01-02T03:04:05Z"),
        )
    ) as other:  # type: ignore[arg-type]
        client = Client(other.url + "/v1", "sd_other")
        assert client.tunes.wait(7, progress=lambda _: None).finished
        assert all(
            b"GET /v1/tunes/7" in request and b"Bearer sd_other" in request
            for request in other.requests
        )
    page = response(
        body=b'[{"id": 9, "title": "a", "name": "man", "trained_at": null}]', connection="close"
    )
    with serving(page) as other:
        assert [tune.id for tune in Client(other.url, "sd_x").tunes.list()] == [9]


def test_a_post_is_not_sent_twice_unless_the_server_said_that_it_did_not_take_it() -> None:
    with serving(response(500, b"<html>", connection="close")) as other:
        with pytest.raises(fluxbooth.ApiError, match="answered with status 500"):
            Client(other.url, "sd_x").prompts.create(1, "a")
        assert len(other.requests) == 1
    taken = response(201, b'{"id": 1, "text": "a", "trained_at": null}', connection="close")
    with serving(answers(response(429, b"", retry_after="0", connection="close"), taken)) as other:  # type: ignore[arg-type]
        assert Client(other.url, "sd_x").prompts.create(1, "a").id == 1


def test_pictures_are_asked_for_without_the_key(tmp_path: Path) -> None:
    jpeg = tmp_path / "one.jpg"
    Image.new("RGB", (8, 8)).save(jpeg)
    with serving(
        response(body=jpeg.read_bytes(), content_type="image/jpeg", connection="close")
    ) as pictures:
        shown = {
            "id": 3,
            "text": "a",
            "trained_at": "2026-01-02T03:04:05Z",
            "images": [pictures.url + "/x"],
        }
        with serving(response(body=json.dumps(shown).encode(), connection="close")) as other:
            paths = Client(other.url, "sd_secret").download(3, tmp_path / "out")
        assert (
            paths[0].read_bytes() == jpeg.read_bytes() and b"sd_secret" not in pictures.requests[0]
        )
    with serving(response(body=b"<html>", content_type="text/html", connection="close")) as page:
        shown["images"] = [page.url]
        with (
            serving(response(body=json.dumps(shown).encode(), connection="close")) as other,
            pytest.raises(fluxbooth.FluxboothError, match="no picture"),
        ):
            Client(other.url, "sd_secret").download(3, tmp_path / "none")
    assert not list((tmp_path / "none").iterdir())


@pytest.mark.slow
def test_the_documented_example_runs(server: Server, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
    example = re.findall(r"```python\n(.*?)```", page, re.S)[0]
    code = example.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{server.port}").replace(
        "sd_...", server.key
    )
    assert '"woman", sorted(Path("photos").glob("*"))' in code
    code = code.replace(
        'sorted(Path("photos").glob("*"))', repr([str(path) for path in FILES]) + ', branch="fast"'
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, timeout=300
    )
    assert len(list((tmp_path / "pictures").iterdir())) == 4


def test_importing_the_package_or_its_client_is_light() -> None:
    script = "import sys, fluxbooth; assert 'httpx' not in sys.modules; fluxbooth.Client; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
