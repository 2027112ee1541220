"""Nobody gets at what another account has.

Every route there is, also one that is added tomorrow, is asked with another account's ids.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from sqlalchemy import select

from fluxbooth.service import account_data
from fluxbooth.service.accounts import accounts, web_sessions
from fluxbooth.service.contract import forms as schemas
from fluxbooth.service.contract import queries
from fluxbooth.service.db.tables import Account, Callback, Image, Photo
from fluxbooth.web.api import openapi
from fluxbooth.web.app import create_app
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.installation import files_of
from tests.support.server import pictures

Json = dict[str, Any]
MARK = "zyzzyva"  # in everything that the victim wrote
NOWHERE = f"http://127.0.0.1:9/{MARK}"
DRAFT = f"{MARK}-draft-0000000000"
UNGUESSABLE = {"/images/{name}"}  # open to whoever knows the address, which nobody guesses
# a name of a draft means the asker's own folder, whoever else uses it: there is nothing in it
OWN_DRAFTS = "/app/drafts/"
BODIES: dict[str, Json] = {  # what a route needs, to get as far as looking at the id
    "/tunes/{number}/prompts": {"prompt": {"text": "a man"}},
    "/p/{name}/tunes": {"tune": {"title": "t", "name": "man", "image_urls": [NOWHERE]}},
}


@dataclass(frozen=True)
class Estate:
    """What the victim has, by the part of a path that comes before its id."""

    account: int
    ids: dict[str, str]
    tune: int
    prompt: int
    pack: Json
    order: int
    template: int


@pytest.fixture(scope="module")
def estate_of(
    blank: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[InProcessServer, Estate]]:
    with in_process_server(
        blank, tmp_path_factory.mktemp("tenants") / "data", theme_composer=True, lora_download=True
    ) as opened:
        yield opened, _estate(opened)


def _estate(town: InProcessServer) -> Estate:
    account, victim = town.guest(MARK)
    form = {
        "tune[title]": MARK,
        "tune[name]": "man",
        "tune[callback]": NOWHERE,
        "tune[characteristics][a]": MARK,
    }
    photo = [("tune[images][]", (f"{MARK}.png", pictures(1)[0][1][1]))]
    tune = victim.post("/tunes", data=form, files=photo).raise_for_status().json()
    town.trained(tune["id"])
    asked = {"text": f"ohwx man {MARK}", "callback": NOWHERE}
    prompt = (
        victim.post(f"/tunes/{tune['id']}/prompts", json={"prompt": asked})
        .raise_for_status()
        .json()
    )
    town.drawn(prompt["id"])
    pack = victim.post("/packs", json={"pack": {"title": MARK}}).raise_for_status().json()
    victim.patch(
        f"/prompts/{prompt['id']}", json={"prompt": {"pack_id": pack["id"]}}
    ).raise_for_status()
    ran = (
        victim.post(f"/p/{pack['id']}/tunes", json={"tune": {"tune_ids": [tune["id"]]}})
        .raise_for_status()
        .json()
    )
    browser = signed_in(town, account)
    browser.post(
        f"/app/drafts/{DRAFT}/photos", files={"photo": (f"{MARK}.png", photo[0][1][1])}
    ).raise_for_status()
    with town.db.read() as session:
        image = session.scalar(select(Image.name).where(Image.prompt_id == prompt["id"]))
        stored = session.scalars(select(Photo).where(Photo.tune_id == tune["id"])).one()
        told = session.scalar(select(Callback.id).where(Callback.account_id == account))
        key = accounts.keys_of(session, session.get_one(Account, account))[0].prefix
    ids = {
        "tunes": tune["id"],
        "prompts": prompt["id"],
        "packs": pack["slug"],
        "p": pack["id"],
        "drafts": DRAFT,
        "photos": stored.id,
        "pictures": image,
        "thumbs": image,
        "images": image,
        "files": stored.key,
        "keys": key,
        "callbacks": told,
        "models": "nano",
        "checkpoints": 30,
        "samples": 1,
        "people": account,
    }
    known = {part: str(value) for part, value in ids.items()}
    return Estate(account, known, tune["id"], prompt["id"], pack, ran["order"]["id"], prompt["id"])


def signed_in(town: InProcessServer, account: int) -> httpx.Client:
    with town.db.write() as session:
        link = web_sessions.new_link(session, session.get_one(Account, account), town.secret)
    client = town.ends.enter_context(
        httpx.Client(base_url=town.settings.url, headers={"Origin": town.settings.url}, timeout=60)
    )
    assert client.get("/app/start", params={"token": link}).status_code == 303
    return client


def everything(town: InProcessServer, estate: Estate) -> Json:
    """Rows and files of the victim."""
    with town.db.read() as session:
        kinds = account_data.owned(estate.account)
        rows = {
            kind.__tablename__: [
                tuple(row) for row in session.execute(select(kind.__table__).where(mine))
            ]
            for kind, mine in kinds
        }
    store = town.results.store
    paths = [
        path
        for place in (f"tunes/{estate.tune}", f"prompts/{estate.prompt}")
        for path in files_of(store.folder, place)
    ]
    paths += [path for path in (store.drafts / str(estate.account)).rglob("*") if path.is_file()]
    files = {str(path): path.read_bytes() for path in paths}
    assert len(files) > 4 and all(
        rows[name]
        for name in ("tunes", "prompts", "packs", "templates", "orders", "api_keys", "callbacks")
    )
    return {"rows": rows, "files": files}


def routes(town: InProcessServer) -> list[tuple[str, str]]:
    """Method and path of every route but those that serve what is installed."""
    known = iter_route_contexts(create_app(town.settings).routes)
    found = [
        (method, route.path or "") for route in known for method in sorted(route.methods or ())
    ]
    assert (
        len(found) > 90
        and ("GET", "/tunes/{number}") in found
        and ("POST", "/app/packs/{name}/edit") in found
    )
    return [(method, path) for method, path in found if method not in ("HEAD", "OPTIONS")]


def filled(path: str, estate: Estate) -> str:
    """With the victim's id for each parameter.

    What comes before it says of what kind it is: a new kind needs a row in `ids`.
    """
    return re.sub(r"(\w+)/\{[^}]+\}", lambda match: f"{match[1]}/{estate.ids[match[1]]}", path)


def test_every_route_with_the_ids_of_another_account(
    estate_of: tuple[InProcessServer, Estate],
) -> None:
    town, estate = estate_of
    number, stranger = town.guest("stranger")
    browser, before, walked = signed_in(town, number), everything(town, estate), 0
    for method, path in routes(town):
        if "{" not in path or path in UNGUESSABLE:
            continue
        client = browser if path.startswith("/app/") else stranger
        body: Json = (
            {"json": BODIES.get(path, {})}
            if client is stranger
            else {"data": {"by": "1", "agree": "1", "do": "change", "title": "t"}}
        )
        answer = client.request(
            method, filled(path, estate), **(body if method not in ("GET", "DELETE") else {})
        )
        asked = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        allowed = {404} | ({200, 201} if path.startswith(OWN_DRAFTS) else set())
        assert answer.status_code in allowed and MARK not in re.sub(rf"{DRAFT}", "", answer.text), (
            asked
        )
        walked += 1
    assert walked > 40
    assert everything(town, estate) == before


def test_every_route_without_a_key(estate_of: tuple[InProcessServer, Estate]) -> None:
    town, estate = estate_of
    before = everything(town, estate)
    nobody = town.ends.enter_context(
        httpx.Client(base_url=town.settings.url, headers={"Origin": town.settings.url}, timeout=60)
    )
    signing = {"/app/start", "/app/invitation", "/app/login", "/"}
    signing |= {"/openapi.json", "/files/{key:path}"}
    for method, path in routes(town):
        if path in openapi.OPEN | signing | UNGUESSABLE or path.startswith("/app/static"):
            continue
        answer = nobody.request(method, filled(path, estate))
        refused = answer.status_code == 401 or (
            answer.status_code == 303 and answer.headers["location"].startswith("/app/login")
        )
        assert refused and MARK not in answer.text.replace(filled(path, estate), ""), (
            f"{method} {path}: {answer.status_code}"
        )
    assert nobody.get(f"/files/{estate.ids['files']}").status_code == 404
    assert nobody.get(f"/p/{estate.pack['slug']}").status_code == 404
    assert everything(town, estate) == before


def test_every_field_that_names_a_row_of_another_account(
    estate_of: tuple[InProcessServer, Estate],
) -> None:
    """By name of the field: requests of a stranger who has a tune, a prompt and a pack too."""
    town, estate = estate_of
    _, stranger = town.guest(f"stranger {secrets.token_hex(2)}")
    mine = stranger.post(
        "/tunes", data={"tune[title]": "t", "tune[name]": "man"}, files=pictures(1)
    ).json()
    town.trained(mine["id"])
    own = stranger.post(f"/tunes/{mine['id']}/prompts", json={"text": "ohwx man"}).json()
    shelf = stranger.post("/packs", json={"title": "Mine", "public": True}).json()
    before = everything(town, estate)
    tune, pack = estate.tune, estate.pack["id"]
    photo = {"title": "t", "name": "man", "image_urls": [NOWHERE[:-1]]}

    def post(path: str, **body: Any) -> httpx.Response:
        return stranger.post(path, json=body)

    refused: dict[str, list[httpx.Response]] = {
        "tune_id": [
            post("/prompts", prompt={"text": "a man", "tune_id": tune}),
            stranger.get("/estimates/prompt", params={"tune_id": tune}),
        ],
        "pack_id": [
            post(f"/tunes/{mine['id']}/prompts", prompt={"text": "ohwx man", "pack_id": pack}),
            stranger.patch(f"/prompts/{own['id']}", json={"prompt": {"pack_id": pack}}),
        ],
        "base_pack_id": [
            post("/prompts", prompt={"text": "a man", "base_pack_id": pack}),
            stranger.patch(f"/prompts/{own['id']}", json={"prompt": {"base_pack_id": pack}}),
        ],
        "base_tune_id": [
            post("/tunes", tune={**photo, "base_tune_id": tune}),
            post("/packs", pack={"title": "x", "base_tune_id": tune}),
        ],
        "tune_ids": [
            post("/p/corporate/tunes", tune={"tune_ids": [tune]}),
            post("/themes", theme={"theme": "the sea", "tune_ids": [tune]}),
        ],
        "prompt_ids": [
            post(
                f"/p/{shelf['id']}/tunes",
                tune={"tune_ids": [mine["id"]], "prompt_ids": [estate.template]},
            ),
            post("/p/corporate/tunes", tune={**photo, "prompt_ids": [estate.template]}),
        ],
        "text": [
            post("/prompts", prompt={"text": f"<lora:{word}:1> ohwx man"}) for word in (tune, MARK)
        ],
        "prompts_attributes": [
            post(
                "/tunes",
                tune={**photo, "prompts_attributes": [{"text": f"<lora:{tune}:1> ohwx man"}]},
            )
        ],
    }
    forms = [
        form
        for form in vars(schemas).values()
        if isinstance(form, type) and issubclass(form, schemas.Form)
    ]
    naming = {
        name for form in forms for name in form.model_fields if name.endswith(("_id", "_ids"))
    }
    # a field that is added needs a row
    assert naming <= set(refused) and {"tune_id", "tune_ids"} <= naming
    for field, answers in refused.items():
        for answer in answers:
            assert answer.status_code in (404, 422), (
                f"{field}: {answer.request.method} {answer.request.url} {answer.status_code} {answer.text}"
            )
            # what was asked may be said again
            assert MARK not in answer.text.replace(f"tune {MARK}", ""), field
    filters = {
        name
        for query in vars(queries).values()
        if isinstance(query, type) and issubclass(query, queries.Page)
        for name in query.model_fields
        if name.endswith("_id")
    } - {"before_id"}
    numbers = {
        "tune_id": tune,
        "pack_id": pack,
        "base_pack_id": pack,
        "orig_prompt_id": estate.template,
        "order_id": estate.order,
        "user_id": estate.account,
    }
    assert filters == set(numbers)
    for name, value in numbers.items():
        assert stranger.get("/prompts", params={name: value}).json() == [], name
    assert everything(town, estate) == before
    seen = (
        [row["id"] for row in stranger.get("/prompts").json()],
        [row["id"] for row in stranger.get("/tunes").json()],
    )
    assert seen == ([own["id"]], [mine["id"]])  # nothing half-made is left of what was refused
