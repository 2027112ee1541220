"""The web app over a real socket: who gets in, what is refused, what a page may hold."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from PIL import Image

from fluxbooth import picture_files
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.web.pages.texts import text
from tests.support.server import Json, Server, pictures, until
from tests.support.visitors import browser, link

WEB = Path(__file__).parents[2] / "src" / "fluxbooth" / "web"
STATIC, TEMPLATES = WEB / "static", WEB / "templates"
PAGES = [
    "/app",
    f"/app/tunes/new?draft={'d' * 22}",
    "/app/create",
    "/app/themes",
    "/app/packs",
    "/app/packs/new",
    "/app/packs/pets",
    "/app/gallery",
    "/app/account",
    "/app/server",
    "/app/models",
]


def names_of(prompt: Json) -> list[str]:
    return [address.rpartition("/")[2].partition(".")[0] for address in prompt["images"]]


def new_tune(client: httpx.Client, title: str, **fields: str) -> httpx.Response:
    form = {
        "tune[title]": title,
        "tune[name]": "man",
        "tune[preset]": "trial",
        "draft": "0123456789abcdef" + title[:8].encode().hex(),
    }
    return client.post("/app/tunes", data={**form, **fields}, files=pictures(4))


def test_a_link_signs_in_once(server: Server) -> None:
    command = [sys.executable, "-m", "fluxbooth", "key", "link", "--data", str(server.data)]
    address = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    assert address.startswith(f"http://127.0.0.1:{server.port}/app/start?token=")
    first, second = browser(server), browser(server)
    answer = first.get(address)
    assert (answer.status_code, answer.headers["location"]) == (303, "/app")
    cookie = answer.headers["set-cookie"]
    assert (
        f"fluxbooth-{server.port}=" in cookie
        and "HttpOnly" in cookie
        and "samesite=lax" in cookie.lower()
    )
    assert first.get("/app").status_code == 200
    assert second.get(address).status_code == 403
    assert second.get("/app").headers["location"] == "/app/login?next=/app"


def test_the_first_start_prints_a_link_and_a_session_keeps_only_digests(
    server: Server, owner: httpx.Client
) -> None:
    said = server.log.read_text()
    printed = re.search(r"^http://\S+/app/start\?token=([\w-]+)$", said, re.MULTILINE)
    assert printed and said[printed.end() :].lstrip().startswith("{")  # only the log comes after it
    held = owner.cookies[f"fluxbooth-{server.port}"]
    stored = b"".join(path.read_bytes() for path in server.data.glob("fluxbooth.sqlite*"))
    assert printed[1].encode() not in stored and held.encode() not in stored


def test_behind_tls_the_cookie_is_of_this_host_alone(tmp_path: Path) -> None:
    with Server(
        tmp_path / "data", flags=["--no-worker"], public_url="https://pictures.example.org"
    ) as server:
        token = link(server).partition("token=")[2]
        cookie = browser(server).get(f"/app/start?token={token}").headers["set-cookie"]
        assert cookie.startswith("__Host-fluxbooth=") and "Secure" in cookie and "Path=/" in cookie


def test_signing_out_ends_this_session_and_everywhere_ends_all(server: Server) -> None:
    clients = [browser(server) for _ in range(3)]
    for client in clients:
        client.get(link(server))
    unused = link(server)
    assert clients[0].post("/app/logout").status_code == 303
    assert [client.get("/app").status_code for client in clients] == [303, 200, 200]
    assert clients[1].post("/app/logout-everywhere").status_code == 303
    assert [client.get("/app").status_code for client in clients] == [303, 303, 303]
    assert browser(server).get(unused).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        *PAGES,
        "/app/tunes/5000000",
        "/app/pictures/x",
        "/app/thumbs/x",
        "/app/tunes/5000000/progress",
        "/app/plan",
    ],
)
def test_nothing_is_shown_to_the_signed_out(server: Server, path: str) -> None:
    answer = browser(server).get(path)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        f"/app/login?next={quote(path)}",
    )
    assert browser(server).get(path, headers={"Fluxbooth-Part": "1"}).status_code == 401


def test_a_page_of_ours_is_gone_to_after_signing_in_and_no_other(server: Server) -> None:
    for asked, gone in (
        ("/app/gallery", "/app/gallery"),
        ("//evil.example", "/app"),
        ("https://evil.example/app", "/app"),
    ):
        answer = browser(server).post("/app/login", data={"link": link(server), "next": asked})
        assert (answer.status_code, answer.headers["location"]) == (303, gone)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": ""},
        {"Origin": "", "Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_what_another_site_sends_changes_nothing(
    owner: httpx.Client, headers: dict[str, str]
) -> None:
    before = owner.get("/app/account").text
    for path in (
        "/app/keys",
        "/app/logout",
        "/app/logout-everywhere",
        "/app/tunes",
        "/app/prompts",
        "/app/login",
    ):
        request = owner.build_request(
            "POST", path, data={"label": "forged", "text": "forged", "tune[title]": "forged"}
        )
        for name, value in headers.items():
            request.headers.pop(name, None)
            if value:
                request.headers[name] = value
        assert owner.send(request).status_code == 403, path
    assert owner.get("/app/account").text == before


@pytest.mark.parametrize("path", [*PAGES, "/app/login", "/app/nowhere", "/app/static/app.js"])
def test_no_page_may_run_or_load_what_is_not_ours(owner: httpx.Client, path: str) -> None:
    answer = owner.get(path)
    policy = answer.headers["content-security-policy"]
    assert (
        policy.startswith("default-src 'self'")
        and "unsafe" not in policy
        and "frame-ancestors 'none'" in policy
    )
    if "html" in answer.headers["content-type"]:
        assert not re.search(
            r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", answer.text
        )
        assert not re.findall(r"(?:src|action)=\"(?!/|#|\")", answer.text)
        elsewhere = re.findall(r"<[^>]*\shref=\"(?!/|#|\")[^>]*>", answer.text)
        assert all(tag.startswith("<a ") and "noreferrer" in tag for tag in elsewhere)


def test_every_page_says_that_nano_answers_and_is_small(owner: httpx.Client) -> None:
    for path in [*PAGES, "/app/login", "/app/nowhere"]:
        text = owner.get(path).text
        assert "come from nano" in text
        assert text.count("<h1>") == 1 and '<html lang="en">' in text
        loaded = [
            owner.get(name).content
            for name in re.findall(
                r'(?:src|href)="(/app/static/[^"]+\.(?:css|js|svg)\b[^"]*)"', text
            )
        ]
        assert len(loaded) >= 2  # what is not a picture
        assert len(text.encode()) + sum(map(len, loaded)) < 80_000


def test_the_front_door_leads_to_the_app(server: Server) -> None:
    assert httpx.get(f"http://127.0.0.1:{server.port}/").headers["location"] == "/app"


def test_a_title_is_text_and_a_tune_is_seen_by_its_owner_alone(
    server: Server, owner: httpx.Client, stranger: httpx.Client
) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    made = new_tune(owner, evil)
    assert made.status_code == 303, made.text
    place = made.headers["location"]
    number = int(place.rpartition("/")[2])
    assert server.tune(number)["title"] == evil  # the API knows the same tune
    # a form that is sent twice makes one tune
    assert new_tune(owner, evil).headers["location"] == place
    for path in (place, "/app", f"/app/create?tune={number}", "/app/gallery"):
        text = owner.get(path).text
        assert "&lt;script&gt;alert(1)" in text
        assert "<script>alert" not in text and "<img src=x" not in text
    photo = re.findall(rf"{place}/photos/\d+", owner.get(place).text)[0]
    assert owner.get(photo).headers["content-type"] == "image/webp"
    wanted = {
        "tune": str(number),
        "text": "sks man, <b>bold</b>",
        "count": "2",
        "ratio": "3:4",
        "seed": "7",
    }
    asked = owner.post("/app/prompts", data=wanted, headers={"Fluxbooth-Part": "1"})
    assert asked.status_code == 201 and "<b>" not in asked.text
    prompt = int(re.findall(r'data-prompt="(\d+)"', asked.text)[0])
    assert server.finished_prompt(prompt)["num_images"] == 2
    card = owner.get(f"/app/prompts/{prompt}").text
    picture = re.findall(r"/app/pictures/[\w-]+", card)[0]
    large = owner.get(picture)
    assert large.status_code == 200 and "<b>bold" not in large.text
    for path in (
        place,
        f"{place}/progress",
        photo,
        f"/app/prompts/{prompt}",
        picture,
        picture.replace("pictures", "thumbs"),
    ):
        assert owner.get(path).status_code == 200, path
        assert stranger.get(path).status_code == 404, path
    small = Image.open(io.BytesIO(owner.get(picture.replace("pictures", "thumbs")).content))
    assert picture_files.source_in(small) == picture_files.GENERATED
    for path in (
        f"{place}/cancel",
        f"{place}/delete",
        f"{picture}/like",
        f"{picture}/delete",
        f"/app/prompts/{prompt}/delete",
    ):
        assert stranger.post(path).status_code == 404, path
    assert (
        stranger.post(
            "/app/prompts", data={"tune": str(number), "text": "sks man smiling"}
        ).status_code
        == 404
    )
    assert evil[:8] not in stranger.get("/app/gallery").text
    assert owner.post(f"{picture}/like", headers={"Fluxbooth-Part": "1"}).json() == {"liked": True}
    assert server.prompt(prompt)["liked"] is True
    assert owner.post(f"{place}/delete", data={"pictures": "1"}).status_code == 303
    assert owner.get(place).status_code == owner.get(picture).status_code == 404
    assert not server.files(f"tunes/{number}")


def test_photos_are_looked_at_as_they_arrive(
    server: Server, owner: httpx.Client, stranger: httpx.Client
) -> None:
    draft = "/app/drafts/looked-at-0123456789/photos"
    names = sorted(PHOTOS.glob("*.png"))[:2]
    for path in (*names, names[0]):
        answer = owner.post(draft, files={"file": (path.name, path.read_bytes())})
    seen = answer.json()["photos"]
    assert [photo["number"] for photo in seen] == [1, 2, 3]
    assert any("same as photo 3" in line for line in seen[0]["advice"]) and any(
        "same as photo 1" in line for line in seen[2]["advice"]
    )
    text = owner.post(
        draft,
        files={"file": ("notes<b>.jpg", b"only words, no picture\n" * 9)},
        headers={"Fluxbooth-Part": "1"},
    )
    assert text.status_code == 422 and "notes<b>.jpg" in text.json()["error"]
    assert (
        stranger.get(draft).json() == {"photos": []}
        and stranger.get(seen[0]["src"]).status_code == 404
    )
    turned = owner.post(f"{draft}/3/move", data={"by": "-1"}).json()["photos"]
    assert [photo["number"] for photo in turned] == [1, 3, 2]
    owner.post(f"{draft}/3/move", data={"by": "9"})
    owner.post(f"{draft}/2/caption", data={"caption": " sks man\n on a sofa "})
    owner.post(draft, files={"file": (names[0].with_suffix(".txt").name, b"sks man smiling")})
    lost = owner.post(
        draft, files={"file": ("lost.txt", b"of no photo")}, headers={"Fluxbooth-Part": "1"}
    )
    assert lost.status_code == 422 and "lost.txt" in lost.text
    shown = owner.get(draft).json()["photos"]
    assert [(photo["number"], photo["caption"]) for photo in shown] == [
        (1, "sks man smiling"),
        (2, "sks man on a sofa"),
        (3, ""),
    ]
    assert shown[0]["crop"][2:] <= [1, 1] and shown[0]["width"] > 0
    left = owner.post(f"{draft}/1/delete").json()["photos"]
    assert [photo["number"] for photo in left] == [2, 3] and not any(
        "same as" in line for photo in left for line in photo["advice"]
    )
    for path in (*names, names[1]):
        # as phones call every photo
        owner.post(draft, files={"file": ("image.jpg", path.read_bytes())})
    form = {
        "tune[title]": "captioned",
        "tune[name]": "man",
        "tune[preset]": "trial",
        "draft": "looked-at-0123456789",
    }
    made = owner.post("/app/tunes", data=form).headers["location"].rpartition("/")[2]
    kept = {
        path.name: path for path in server.files(f"tunes/{made}") if path.parent.name == "photos"
    }
    assert sorted(kept) == ["000.png", "000.txt", "001.png", "002.jpg", "003.jpg", "004.jpg"]
    assert kept["000.txt"].read_text() == "sks man on a sofa"
    server.http.delete(f"/tunes/{made}")
    assert not list((server.data / "incoming").rglob("looked-at-0123456789"))


def test_captions_are_proposed_and_what_is_shown_is_trained_on(
    server: Server, owner: httpx.Client, stranger: httpx.Client
) -> None:
    draft = "/app/drafts/proposed-0123456789"

    def captions(name: str, **more: str) -> list[str]:
        answer = owner.post(f"{draft}/captions", data={"name": name, **more}).json()
        assert not answer["asks"]  # nano has a reader, which may look unasked
        return [photo["caption"] for photo in answer["captions"]]

    assert captions("man") == []
    for path in sorted(PHOTOS.glob("*.png"))[:4]:
        owner.post(f"{draft}/photos", files={"file": (path.name, path.read_bytes())})
    owner.post(f"{draft}/photos/2/caption", data={"caption": "my own"})
    proposed = captions("man")
    assert proposed[1] == "my own"
    assert proposed[0].startswith("[trigger] wearing ")
    assert all(proposed[number].startswith("[trigger]") for number in (2, 3))
    assert [photo["caption"] for photo in owner.get(f"{draft}/photos").json()["photos"]] == proposed
    # of a thing nothing is said but the place
    assert "wearing" not in captions("bag")[0] and captions("bag")[0].startswith("[trigger], ")
    assert captions("man", preset="reference") == ["", "my own", "", ""]  # nothing is trained
    assert captions("", preset="trial") == proposed  # on nano, of a person if nobody says more
    owner.post(f"{draft}/photos/3/caption", data={"caption": ""})
    assert captions("man") == [*proposed[:2], "", proposed[3]]
    assert stranger.get(f"{draft}/photos").json() == {"photos": []}
    form = {
        "tune[title]": "proposed",
        "tune[name]": "man",
        "tune[preset]": "trial",
        "draft": "proposed-0123456789",
    }
    made = owner.post("/app/tunes", data=form).headers["location"].rpartition("/")[2]
    kept = sorted(path for path in server.files(f"tunes/{made}") if path.suffix == ".txt")
    assert [path.read_text() for path in kept] == [*proposed[:2], "[trigger]", proposed[3]]
    page = owner.get(f"/app/tunes/{made}").text
    assert proposed[0].replace("[trigger]", "sks man") in page
    assert "<li>my own</li>" in page and "<li>sks man</li>" in page
    server.http.delete(f"/tunes/{made}")


def test_what_a_training_said_of_its_photos_is_shown(
    server: Server, drawn: Json, owner: httpx.Client
) -> None:
    """The reader's captions, which nobody had seen before this training."""
    kept = {
        path.stem: path.read_text().strip()
        for path in server.files(f"tunes/{drawn['id']}")
        if path.suffix == ".txt"
    }
    photos = len(server.tune(drawn["id"])["orig_images"])
    assert len(kept) == photos and any("wearing" in text for text in kept.values())
    page = owner.get(f"/app/tunes/{drawn['id']}").text
    assert all(f"<li>{text.replace('[trigger]', 'sks man')}</li>" in page for text in kept.values())


def test_a_form_that_will_not_do_keeps_what_was_typed(owner: httpx.Client) -> None:
    answer = new_tune(owner, "kept title", **{"tune[name]": "a:b", "tune[steps]": "0"})
    assert answer.status_code == 422
    assert (
        'value="kept title"' in answer.text
        and 'role="alert"' in answer.text
        and "Steps" in answer.text
    )
    answer = owner.post("/app/prompts", data={"text": "kept words", "count": "99"})
    assert answer.status_code == 422 and "kept words</textarea>" in answer.text


def test_the_plan_is_what_the_training_will_do(owner: httpx.Client) -> None:
    def steps(**asked: str) -> str:
        return owner.get("/app/plan", params=asked).json()["words"][0]

    assert steps(photos="12", preset="none") == "1200 steps for 12 photos."
    assert steps(photos="12", preset="flux-lora-portrait") == "324 steps for 12 photos."
    assert steps(photos="4", preset="flux-lora-portrait", steps="77") == "77 steps for 4 photos."
    assert steps(photos="4", preset="trial") == "30 steps for 4 photos."


def test_advice_comes_from_the_prompt_language(owner: httpx.Client) -> None:
    said = owner.post("/app/advice", data={"text": "a (face:1.4) with no hat on a beach"}).json()[
        "advice"
    ]
    assert [row["code"] for row in said] == ["weight", "negation"]
    assert owner.post("/app/advice", data={"text": ""}).json() == {"advice": []}


def test_a_key_is_shown_once_works_and_is_revoked(
    server: Server, owner: httpx.Client, stranger: httpx.Client
) -> None:
    page = owner.post("/app/keys", data={"label": "<laptop>"}).text
    key = re.findall(r"sd_[\w-]{30,}", page)[0]
    assert "&lt;laptop&gt;" in page and key not in owner.get("/app/account").text
    uses = {"Authorization": f"Bearer {key}"}
    assert httpx.get(f"http://127.0.0.1:{server.port}/tunes", headers=uses).status_code == 200
    assert stranger.post(f"/app/keys/{key[:12]}/revoke").status_code == 404
    assert owner.post(f"/app/keys/{key[:12]}/revoke").status_code == 303
    assert httpx.get(f"http://127.0.0.1:{server.port}/tunes", headers=uses).status_code == 401


def test_a_password_signs_in_and_guessing_is_slowed_down(
    server: Server, stranger: httpx.Client
) -> None:
    def enter(name: str, password: str) -> httpx.Response:
        return browser(server).post("/app/login", data={"name": name, "password": password})

    assert enter("stranger", "").status_code == 403
    assert stranger.post("/app/account/password", data={"new": "too short"}).status_code == 422
    assert (
        stranger.post("/app/account/password", data={"new": "a long enough one"}).status_code == 303
    )
    assert (
        stranger.post(
            "/app/account/password", data={"old": "wrong", "new": "another long one"}
        ).status_code
        == 422
    )
    answer = enter("stranger", "a long enough one")
    assert answer.status_code == 303 and f"fluxbooth-{server.port}=" in answer.headers["set-cookie"]
    assert [enter("stranger", "guessed it perhaps").status_code for _ in range(5)] == [403] * 5
    locked = enter("stranger", "a long enough one")
    assert locked.status_code == 429 and int(locked.headers["retry-after"]) > 200
    # by its name another account is not held up
    assert enter("owner", "a long enough one").status_code == 403


def test_settings_storage_and_callbacks_of_an_account(
    server: Server, owner: httpx.Client, stranger: httpx.Client, drawn: Json
) -> None:
    page = owner.get("/app/account").text
    assert re.search(r"[\d.]+ MB of photos, tunes and pictures", page)
    assert f"tune {drawn['id']}" in page and "127.0.0.1:9/nobody-listens" in page
    message = re.findall(r"/app/callbacks/(msg_\w+)/replay", page)[0]
    assert stranger.post(f"/app/callbacks/{message}/replay").status_code == 404
    assert owner.post(f"/app/callbacks/{message}/replay").status_code == 303
    assert owner.post("/app/account/settings", data={"idempotent": "1"}).status_code == 303
    assert server.http.get("/users").json()["auto_extend_tunes"] is False
    assert 'name="idempotent" value="1" checked' in owner.get("/app/account").text
    assert owner.post("/app/account/settings", data={}).status_code == 303


def test_pictures_are_filtered_drawn_again_and_come_as_a_zip(
    server: Server, owner: httpx.Client, stranger: httpx.Client, drawn: Json
) -> None:
    first, second = (server.prompt(prompt["id"]) for prompt in drawn["prompts"])

    def names(client: httpx.Client, **asked: object) -> list[str]:
        answer = client.get("/app/pictures.zip", params=asked)
        assert (
            answer.headers["content-type"] == "application/zip"
            and "attachment" in answer.headers["content-disposition"]
        )
        archive = zipfile.ZipFile(io.BytesIO(answer.content))
        assert archive.testzip() is None
        return archive.namelist()

    of = {row["id"]: f"fluxbooth-{row['id']}-" for row in (first, second)}
    both = names(owner, tune=drawn["id"])
    assert [
        name[: len(of[row["id"]])] for name, row in zip(both, (second, first), strict=True)
    ] == [of[second["id"]], of[first["id"]]]
    assert (
        names(owner, **{"picture[]": names_of(first)})[0] in both
        and len(names(owner, words="picture 1", tune=drawn["id"])) == 1
    )
    assert names(stranger) == names(stranger, **{"picture[]": names_of(first)}) == []
    page = owner.get("/app/gallery", params={"words": "picture 1"}).text
    assert f'data-prompt="{second["id"]}"' in page and f'data-prompt="{first["id"]}"' not in page
    name = names_of(first)[0]
    assert stranger.post(f"/app/pictures/{name}/again").status_code == 404
    # what did not fail is not drawn in its own place
    assert owner.post(f"/app/prompts/{first['id']}/again").status_code == 404


def test_the_server_is_shown_to_its_operator_alone(
    server: Server, owner: httpx.Client, stranger: httpx.Client, drawn: Json
) -> None:
    page = owner.get("/app/server").text
    assert "at work" in page and "GB free" in page and "not stated" in page
    assert stranger.get("/app/server").status_code == stranger.get("/app/models").status_code == 404
    assert stranger.post("/app/models/flux-schnell/pull", data={"agree": "1"}).status_code == 404
    assert (
        "Apache-2.0" in owner.get("/app/models").text
        and "no FLUX" not in owner.get("/app/models").text
    )
    assert owner.post("/app/models/nano/pull", data={"agree": "1"}).status_code == 404
    assert owner.post("/app/models/flux-schnell/pull").status_code == 422
    assert owner.post("/app/models/flux-schnell/pull", data={"agree": "1"}).status_code == 303
    until(lambda: "did not come" in owner.get("/app/models").text, "the download was refused")
    # as the server of these tests was started
    assert "HF_HUB_OFFLINE" in owner.get("/app/models").text


def test_every_text_that_a_template_names_is_there() -> None:
    named = {
        name
        for path in TEMPLATES.glob("*.html")
        for name in re.findall(r'\bt\("([\w.-]+)"(?! ~)', path.read_text())
    }
    assert named and all(text(name) for name in named)


def test_the_scripts_know_every_text_they_ask_for(owner: httpx.Client) -> None:
    page = owner.get("/app").text
    known = json.loads(
        re.findall(r'<meta name="texts" content="([^"]*)"', page)[0]
        .replace("&#34;", '"')
        .replace("&#39;", "'")
    )
    asked = {
        name
        for path in STATIC.glob("*.js")
        for name in re.findall(r'\btext\("(\w+)"', path.read_text())
    }
    assert asked <= set(known)
