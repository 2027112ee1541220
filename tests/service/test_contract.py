"""The contract as clients use it, over a real socket: the acceptance list of the public API,
item by item."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
import hmac
import io
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from fluxbooth.evaluation.demo import PHOTOS
from tests.support.server import FEW, Json, Receiver, Server, pictures, until

PHOTO = sorted(PHOTOS.glob("*.png"))[0]
TUNE_KEYS = {
    "id", "title", "name", "is_api", "token", "eta", "callback", "trained_at",
    "started_training_at", "expires_at", "created_at", "updated_at", "model_type", "base_tune_id",
    "branch", "args", "steps", "face_crop", "ckpt_url", "ckpt_urls", "url", "orig_images",
    "characteristics",
}  # fmt: skip
PROMPT_KEYS = {
    "id", "callback", "trained_at", "started_training_at", "created_at", "updated_at", "tune_id",
    "text", "negative_prompt", "cfg_scale", "steps", "super_resolution", "ar", "num_images", "seed",
    "controlnet_conditioning_scale", "controlnet_txt2img", "denoising_strength", "style", "url",
    "images",
}  # fmt: skip


@pytest.fixture(scope="module")
def tune(server: Server) -> Json:
    """A trained tune of the subject."""
    return server.finished_tune(server.new_tune("the subject")["id"])


@pytest.fixture(scope="module")
def photo_host() -> Iterator[str]:
    """A web server that has the photos."""
    import functools
    import http.server
    import threading

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    host = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(PHOTOS))
    )
    threading.Thread(target=host.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{host.server_port}"
    host.shutdown()
    host.server_close()


@pytest.mark.parametrize("encoding", ["multipart", "urlencoded", "wrapped", "unwrapped"])
def test_a_tune_in_every_encoding_is_the_same_object(
    server: Server, photo_host: str, encoding: str
) -> None:
    fields = {"title": f"by {encoding}", "name": "man", "branch": "fast", "steps": FEW}
    urls = [f"{photo_host}/{path.name}" for path in sorted(PHOTOS.glob("*.png"))[:4]]
    bracketed = {f"tune[{name}]": value for name, value in fields.items()}
    answer = {
        "multipart": lambda: server.http.post("/tunes", data=bracketed, files=pictures(4)),
        "urlencoded": lambda: server.http.post(
            "/tunes/", data=bracketed | {f"tune[image_urls][{i}]": u for i, u in enumerate(urls)}
        ),
        "wrapped": lambda: server.http.post(
            "/tunes", json={"tune": {**fields, "image_urls": urls}}
        ),
        "unwrapped": lambda: server.http.post(
            "/tunes.json", json={**fields, "image_urls": urls, "nobody_knows": {"this": 1}}
        ),
    }[encoding]()
    assert answer.status_code == 201
    assert answer.headers["content-type"].startswith("application/json")
    made = answer.json()
    assert set(made) >= TUNE_KEYS
    assert (
        made["title"],
        made["name"],
        made["token"],
        made["model_type"],
        made["base_tune_id"],
    ) == (fields["title"], "man", "sks", "lora", 1504944)
    assert len(made["orig_images"]) == 4
    assert made["trained_at"] is None and not any(
        made.get(name) for name in ("error", "status", "message")
    )
    trained = server.finished_tune(made["id"])
    assert (
        trained["trained_at"] > trained["started_training_at"]
        and trained["ckpt_url"] is None
        and trained["ckpt_urls"] == []
    )


def test_a_part_without_filename_and_content_type_is_a_picture(server: Server) -> None:
    boundary, photo = "abc123", PHOTO.read_bytes()
    fields = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="tune[{name}]"\r\n\r\n{value}\r\n'
        for name, value in {
            "title": "bare part",
            "name": "man",
            "branch": "fast",
            "steps": FEW,
        }.items()
    )
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="tune[images][]"\r\n\r\n'
    body = fields.encode() + part.encode() + photo + f"\r\n--{boundary}--\r\n".encode()
    answer = server.http.post(
        "/tunes",
        content=body,
        headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    assert answer.status_code == 201, answer.text
    picture = httpx.get(answer.json()["orig_images"][0])
    assert picture.content == photo


@pytest.mark.parametrize("form", ["[]", "[0]"])
def test_nested_prompts_run_when_the_tune_is_trained_and_say_so(
    server: Server, receiver: Receiver, form: str
) -> None:
    hook = receiver.url + "/hook?user_id=7&secret=a%2Fb&x="
    data = [
        ("tune[title]", f"nested {form}"),
        ("tune[name]", "man"),
        ("tune[branch]", "fast"),
        ("tune[steps]", FEW),
        ("tune[callback]", hook),
        (f"tune[prompts_attributes]{form}[text]", "sks man at the beach, smiling"),
        (f"tune[prompts_attributes]{form}[num_images]", "2"),
        (f"tune[prompts_attributes]{form}[callback]", hook),
        (f"tune[prompts_attributes]{form.replace('0', '1')}[text]", "sks man in a forest"),
    ]
    files = [(name, (None, value)) for name, value in data] + [
        (n, (f, b, "image/png")) for n, (f, b) in pictures(4)
    ]
    made = server.http.post("/tunes", files=files).json()
    assert [len(prompt["images"]) for prompt in made["prompts"]] == [0, 0]
    first, second = (server.finished_prompt(prompt["id"]) for prompt in made["prompts"])
    assert len(first["images"]) == 2 and len(second["images"]) == 1
    until(lambda: len(receiver.got) == 2, "both callbacks arrive")
    (_, path, tune), (headers, _, prompt) = receiver.got
    assert path == "/hook?user_id=7&secret=a%2Fb&x="
    assert tune["tune"]["id"] == made["id"] and tune["tune"]["trained_at"]
    assert prompt["prompt"]["images"] == first["images"]
    with_secret = signature_of(server, headers, receiver.raw)
    assert headers["webhook-signature"] == with_secret


def signature_of(server: Server, headers: dict[str, str], body: bytes) -> str:
    """Standard Webhooks, computed here from its definition."""
    from sqlalchemy import select

    from fluxbooth.service.db.tables import Account

    with server.database.read() as session:
        secret = session.scalars(select(Account.webhook_secret).order_by(Account.id)).first()
    assert secret  # the owner's: the first account
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(
        base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256
    ).digest()
    return "v1," + base64.b64encode(digest).decode()


def test_a_prompt_posted_to_a_lora_is_on_its_base_and_listed_under_both(
    server: Server, tune: Json
) -> None:
    made = server.http.post(
        f"/tunes/{tune['id']}/prompts", data={"prompt[text]": "sks man in a city at night"}
    )
    assert made.status_code == 201
    prompt = made.json()
    assert set(prompt) >= PROMPT_KEYS
    assert prompt["tune_id"] == 1504944 and prompt["url"].endswith(
        f"/tunes/1504944/prompts/{prompt['id']}.json"
    )
    assert prompt["tunes"] == [{"id": tune["id"], "title": "the subject", "name": "man"}]
    assert prompt["text"] == f"<lora:{tune['id']}:1> sks man in a city at night"
    for place in (tune["id"], 1504944):
        assert prompt["id"] in [
            row["id"] for row in server.http.get(f"/tunes/{place}/prompts?tune_id={place}").json()
        ]
        assert (
            server.http.get(f"/tunes/{place}/prompts/{prompt['id']}").json()["id"] == prompt["id"]
        )


def test_the_three_rules_of_flux_are_told_together_and_literally(
    server: Server, tune: Json
) -> None:
    text = f"<lora:{tune['id']}:0.8> a man on a horse"
    answer = server.http.post(
        "/tunes/1504944/prompts",
        json={"prompt": {"text": text, "cfg_scale": "5", "negative_prompt": "blurry"}},
    )
    assert answer.status_code == 422
    body = answer.json()
    assert body["text"] == ["must include `sks man`"]
    assert body["cfg_scale"] == ["must be less than 5"]
    assert body["negative_prompt"] == ["not supported on Flux"]
    assert body["base"] == [
        "Text must include `sks man`",
        "Cfg scale must be less than 5",
        "Negative prompt not supported on Flux",
    ]
    assert body["error"] == ", ".join(body["base"])


def test_pictures_open_without_a_key_and_their_address_stays(server: Server, tune: Json) -> None:
    text = f"<lora:{tune['id']}:1.0> SKS Man at the beach"
    values = {"text": text, "num_images": 3, "seed": 7, "cfg_scale": "3.0", "w": 128, "h": 144}
    made = server.http.post("/prompts", json={"prompt": {**values, "tune_id": "1504944"}}).json()
    assert (
        made["images"] == []
        and made["cfg_scale"] == "3.0"
        and made["text"] == text
        and made["seed"] == 7
    )
    done = server.finished_prompt(made["id"])
    assert len(done["images"]) == 3 and len(set(done["images"])) == 3
    for url in done["images"]:
        assert ".json" not in url and "/prompts/" not in url
        picture = Image.open(io.BytesIO(httpx.get(url).content))
        assert picture.format == "JPEG" and picture.size == (128, 144)
    assert server.prompt(made["id"])["images"] == done["images"]
    photo = server.tune(tune["id"])["orig_images"][0]
    assert httpx.get(photo).status_code == 200
    assert httpx.get(photo.replace("signature=", "signature=0")).status_code == 404
    assert httpx.get(photo.split("?")[0]).status_code == 404


def test_the_same_seed_draws_the_same_picture_and_another_one_another(
    server: Server, tune: Json
) -> None:
    def drawn(seed: int) -> bytes:
        values = {"text": "sks man at the beach", "seed": seed}
        made = server.http.post(f"/tunes/{tune['id']}/prompts", json=values).json()
        return httpx.get(server.finished_prompt(made["id"])["images"][0]).content

    assert drawn(3) == drawn(3) != drawn(4)


def test_lists_are_clamped_paged_and_filtered(server: Server, tune: Json) -> None:
    assert server.http.get("/tunes?limit=500").status_code == 200
    newest = server.http.get("/tunes?limit=2").json()
    following = server.http.get(f"/tunes?limit=2&before_id={newest[-1]['id']}").json()
    assert [t["id"] for t in newest + following] == sorted(
        (t["id"] for t in newest + following), reverse=True
    )
    assert server.http.get("/tunes?before_id=1").json() == []
    assert server.http.get("/tunes?offset=200").status_code == 200
    refused = server.http.get("/tunes?offset=201")
    assert refused.status_code == 400 and "before_id" in refused.json()["error"]
    assert server.http.get("/prompts?offset=10001").status_code == 400
    assert [
        t["id"] for t in server.http.get("/tunes?title=the+sub&name[]=man&model_type=lora").json()
    ] == [tune["id"]]
    assert server.http.get("/tunes?name=cat").json() == []
    assert server.http.get("/tunes?page=2&limit=1").json() == newest[1:2]
    assert {p["id"] for p in server.http.get("/prompts?text=forest").json()} < {
        p["id"] for p in server.http.get("/prompts?limit=120").json()
    }


def test_suffixes_slashes_and_public_routes(server: Server, tune: Json) -> None:
    for path in (f"/tunes/{tune['id']}.json", f"/tunes/{tune['id']}/", f"/tunes/{tune['id']}"):
        answer = server.http.get(
            path, headers={"Content-Type": "application/json", "X-Workspace-Id": "all"}
        )
        assert (answer.status_code, answer.json()["id"]) == (200, tune["id"])
    nobody = server.ends.enter_context(httpx.Client(base_url=server.http.base_url))
    catalogue = nobody.get("/cli/models").json()
    assert catalogue["cli"] == {} and catalogue["models"]["flux"]["tune_id"] == 1504944
    assert {pack["slug"] for pack in nobody.get("/gallery/packs").json()} >= {"corporate", "pets"}
    assert server.http.get("/tunes/1504944").json()["trained_at"]
    assert 1504944 in [row["id"] for row in server.http.get("/gallery/tunes").json()]
    assert isinstance(server.http.get("/users").json(), dict)
    crossing = nobody.options(
        "/tunes",
        headers={
            "Origin": "https://app.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert (
        crossing.headers["access-control-allow-origin"] == "*"
        and "authorization" in crossing.headers["access-control-allow-headers"]
    )


def test_a_faceid_tune_is_refused_plainly_where_the_base_looks_at_no_references(
    server: Server,
) -> None:
    form = {
        "tune[title]": "face",
        "tune[name]": "man",
        "tune[model_type]": "faceid",
        "tune[base_tune_id]": "1504944",
    }
    answer = server.http.post("/tunes", data=form, files=pictures(1))
    assert answer.status_code == 422
    assert "looks at no reference pictures" in answer.json()["model_type"][0]


def test_coercions_blanks_and_unknown_keys(server: Server, tune: Json) -> None:
    form = {
        "prompt[text]": "sks man smiling",
        "prompt[super_resolution]": "False",
        "prompt[film_grain]": "on",
        "prompt[seed]": "",
        "prompt[callback]": "",
        "prompt[cfg_scale]": "",
        "prompt[steps]": "undefined",
        "prompt[denoising_strength]": "0",
        "prompt[guidance_scale]": "9",
        "prompt[negative_prompt]": "",
    }
    made = server.http.post(f"/tunes/{tune['id']}/prompts", data=form)
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (
        shown["super_resolution"],
        shown["film_grain"],
        shown["seed"],
        shown["denoising_strength"],
    ) == (False, True, None, 0)
    assert (shown["callback"], shown["cfg_scale"], shown["steps"]) == (None, None, None) and shown[
        "negative_prompt"
    ] == ""


def test_patch_like_duplicate_delete(server: Server, tune: Json) -> None:
    changed = server.http.patch(
        f"/tunes/{tune['id']}", data={"tune[characteristics]": '{"eye_color":"blue eyes"}'}
    ).json()
    assert (
        changed["characteristics"] == {"eye_color": "blue eyes"}
        and changed["title"] == "the subject"
    )
    made = server.http.post(
        f"/tunes/{tune['id']}/prompts",
        data={"prompt[text]": "sks man with {{eye_color}} and {{nothing}} hat"},
    ).json()
    assert made["text"].endswith("sks man with {{eye_color}} and {{nothing}} hat")
    liked = server.http.post(f"/prompts/{made['id']}/likes")
    assert (liked.status_code, liked.content) == (201, b"")
    assert server.prompt(made["id"])["liked"] and made["id"] in [
        p["id"] for p in server.http.get("/prompts?liked=true").json()
    ]
    assert server.http.post(f"/prompts/{made['id']}/like").status_code == 200
    assert not server.prompt(made["id"])["liked"]
    again = server.http.post(f"/prompts/{made['id']}/duplicate", json={"prompt": {"num_images": 2}})
    assert again.status_code == 201
    copy = again.json()
    assert (
        copy["id"] != made["id"]
        and copy["text"] == made["text"]
        and copy["num_images"] == 2
        and copy["images"] == []
    )
    assert server.http.delete(f"/prompts/{copy['id']}").json() == {
        "message": "Prompt successfully deleted"
    }
    assert server.http.get(f"/prompts/{copy['id']}").status_code == 404
    assert server.http.delete(f"/prompts/{copy['id']}").status_code == 404


def test_an_idempotency_key_makes_one_of_many_requests(server: Server) -> None:
    before = len(server.http.get("/tunes?limit=120").json())

    def ask(_: int) -> httpx.Response:
        form = {"tune[title]": "once", "tune[name]": "man", "tune[branch]": "fast"}
        return httpx.post(
            f"{server.http.base_url}/tunes",
            data=form,
            files=pictures(2),
            timeout=60,
            headers={"Authorization": f"Bearer {server.key}", "Idempotency-Key": "one"},
        )

    with concurrent.futures.ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(ask, range(10)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = [answer.json() for answer in answers if answer.status_code == 201]
    assert len({tune["id"] for tune in made}) == 1
    assert len(server.http.get("/tunes?limit=120").json()) == before + 1
    other = server.http.post("/prompts", json={"text": "a man"}, headers={"Idempotency-Key": "one"})
    assert other.status_code == 422 and "another request" in other.json()["error"]
    form = {"tune[title]": "once", "tune[name]": "man", "tune[branch]": "fast"}
    headers = {"Idempotency-Key": "one"}
    assert (
        server.http.post("/tunes", data=form, files=pictures(2), headers=headers).json()["id"]
        == made[0]["id"]
    )
    fewer = server.http.post("/tunes", data=form, files=pictures(1), headers=headers)
    assert fewer.status_code == 422 and "another request" in fewer.json()["error"]


def test_deleting_a_tune_removes_its_files_and_leaves_finished_pictures(server: Server) -> None:
    made = server.new_tune("to delete", prompts=1)
    prompt = server.finished_prompt(made["prompts"][0]["id"])
    place = f"tunes/{made['id']}"
    assert {"lora.safetensors", "000.png"} <= {path.name for path in server.files(place)}
    assert server.http.delete(f"/tunes/{made['id']}").status_code == 200
    until(lambda: not server.files(place), "the files are gone")
    assert server.http.get(f"/tunes/{made['id']}").status_code == 404
    assert httpx.get(prompt["images"][0]).status_code == 200
    refused = server.http.post("/prompts", json={"text": f"<lora:{made['id']}:1> sks man"})
    assert refused.status_code == 422 and str(made["id"]) in refused.json()["text"][0]


def test_metrics_need_a_key_and_openapi_names_every_route(server: Server) -> None:
    assert httpx.get(f"{server.http.base_url}/metrics").status_code == 401
    assert "fluxbooth_request_seconds_bucket" in server.http.get("/metrics").text
    document = server.http.get("/openapi.json").json()
    assert {
        "/tunes",
        "/tunes/{number}",
        "/tunes/{number}/prompts",
        "/prompts/{number}/duplicate",
    } <= set(document["paths"])
    assert (
        "tune[images][]"
        in document["paths"]["/tunes"]["post"]["requestBody"]["content"]["multipart/form-data"][
            "schema"
        ]["properties"]
    )


def test_the_api_process_never_loads_torch(server: Server) -> None:
    assert server.process is not None
    from pathlib import Path

    mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "sqlite" in mapped and "libtorch" not in mapped
