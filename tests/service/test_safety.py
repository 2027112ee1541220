"""FLUXBOOTH_SAFETY: explicit pictures are noted or kept out, given or drawn, and cost nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxbooth.engine.device_process import written
from fluxbooth.errors import InputError
from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.events import PlainFile
from fluxbooth.generation.picture import Picture
from fluxbooth.photos import explicit
from fluxbooth.service import overview, safety
from fluxbooth.service.billing import ledger
from fluxbooth.service.contract.public_bases import FLUX_DEV
from fluxbooth.service.db.tables import Account, Prompt, Tune
from fluxbooth.service.fetching import photos as fetch_photos
from fluxbooth.service.outgoing.fetch import rules_for
from fluxbooth.service.settings import Settings
from tests.service.test_tenants import signed_in
from tests.support.images import skin_coloured
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.servers import response, serving

HARMLESS = sorted(PHOTOS.glob("*.png"))[0].read_bytes()
FORM = {"tune[title]": "Robin", "tune[name]": "man", "tune[branch]": "fast"}
PRICE = 1000


def png() -> bytes:
    held = io.BytesIO()
    skin_coloured().save(held, "PNG")
    return held.getvalue()


EXPLICIT = png()


@pytest.fixture(scope="module")
def houses(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A server for each setting, opened when it is first asked for."""
    opened: dict[str, tuple[Any, InProcessServer]] = {}

    def house(mode: str) -> InProcessServer:
        if mode not in opened:
            manager = in_process_server(
                blank,
                tmp_path_factory.mktemp(mode) / "data",
                safety=mode,
                safety_threshold=0.5,
                prices={"picture": PRICE},
            )
            opened[mode] = manager, manager.__enter__()
        return opened[mode][1]

    yield house
    for manager, _ in opened.values():
        manager.__exit__(None, None, None)


def upload(house: InProcessServer, picture: bytes) -> Any:
    return house.http.post("/tunes", data=FORM, files={"tune[images][]": ("a.png", picture)})


def start_from(house: InProcessServer, picture: bytes) -> Any:
    asked = {"text": "a man", "input_image_base64": base64.b64encode(picture).decode()}
    credited(house)
    return house.http.post("/prompts", json=asked)


def credited(house: InProcessServer) -> int:
    def work(session: Any, account: Account) -> int:
        ledger.credit(session, account, 10 * PRICE)
        return ledger.balance(session, account.id)

    return house.write(1, work)


def balance(house: InProcessServer) -> int:
    return house.write(1, lambda session, account: ledger.balance(session, account.id))


def flagged(house: InProcessServer) -> set[str]:
    with house.db.read() as session:
        return {row.what for row in overview.overview(session, house.settings).flagged}


def test_what_looks_explicit_is_refused_where_it_arrives(houses: Any) -> None:
    house = houses("block")
    answer = upload(house, EXPLICIT)
    assert answer.status_code == 422
    assert answer.json()["images"] == [f"a.png {safety.REFUSED}"]
    answer = start_from(house, EXPLICIT)
    assert answer.status_code == 422
    assert answer.json()["input_image"] == [safety.REFUSED]
    assert not [path for path in house.results.store.incoming.rglob("*") if path.is_file()]
    assert upload(house, HARMLESS).status_code == start_from(house, HARMLESS).status_code == 201


def test_what_looks_explicit_is_noted_for_its_owner_and_the_operator(houses: Any) -> None:
    house = houses("flag")
    tune, prompt = upload(house, EXPLICIT).json(), start_from(house, EXPLICIT).json()
    assert safety.GIVEN in tune["warnings"] and safety.GIVEN in prompt["warnings"]
    others = upload(house, HARMLESS).json(), start_from(house, HARMLESS).json()
    assert all(safety.GIVEN not in row["warnings"] for row in others)
    assert flagged(house) == {f"tune {tune['id']}", f"prompt {prompt['id']}"}


def test_nobody_looks_unless_it_is_asked_for(houses: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explicit, "score", lambda pixels: pytest.fail("it was looked at"))
    house = houses("off")
    assert upload(house, EXPLICIT).status_code == start_from(house, EXPLICIT).status_code == 201
    assert not flagged(house)


@pytest.mark.parametrize(("mode", "taken"), [("block", False), ("flag", True)])
def test_a_photo_that_is_fetched_is_looked_at_too(houses: Any, mode: str, taken: bool) -> None:
    house = houses(mode)
    with serving(response(200, EXPLICIT, content_type="image/png")) as elsewhere:
        url = f"{elsewhere.url}/a.png"
        tune = house.http.post("/tunes", json={"title": "x", "name": "man", "image_urls": [url]})
        number = tune.json()["id"]
        fetch = lambda: fetch_photos(house.results, number, rules_for(house.settings))  # noqa: E731
        if taken:
            fetch()
        else:
            with pytest.raises(InputError, match="looks explicit"):
                fetch()
    row = house.row(Tune, number)
    assert row.flagged == taken
    assert bool(house.files(f"tunes/{number}")) == taken


def draw(house: InProcessServer, scores: list[float]) -> Any:
    """A prompt, drawn by what the device process would have said of its pictures."""
    credited(house)
    account = 1
    number = house.prompt(account, FLUX_DEV, "a man at the sea", num_images=len(scores))
    request = house.results.begin_drawing(number)
    assert request is not None and request["look"] == (house.settings.safety != "off")
    out = Path(request["out"])
    out.mkdir(parents=True)
    pictures = []
    for i, score in enumerate(scores):
        (out / f"{i}.jpg").write_bytes(b"\xff\xd8picture")
        told = {"path": str(out / f"{i}.jpg"), "seed": i, "width": 8, "height": 8, "recipe": {}}
        pictures.append(told | {"explicit": score})
    house.results.drawn(number, pictures[:1])
    house.results.publish_prompt(number, {"pictures": pictures})
    house.results.tidy(Prompt, number)
    return house.http.get(f"/prompts/{number}").json()


def test_a_picture_that_looks_explicit_is_kept_back_and_costs_nothing(houses: Any) -> None:
    house = houses("block")
    before = credited(house)
    shown = draw(house, [0.9, 0.1, 0.5, 0.4])
    assert len(shown["images"]) == 2 and shown["user_error"] is None
    assert safety.SOME_KEPT_BACK.format(count=2, all=4) in shown["warnings"]
    assert shown["cost_mc"] == 2 * PRICE
    assert balance(house) == before + 10 * PRICE - 2 * PRICE
    assert house.files(f"prompts/{shown['id']}") == ["1.jpg", "3.jpg"]
    assert f"prompt {shown['id']}" in flagged(house)


def test_with_nothing_left_the_prompt_fails_and_says_why(houses: Any) -> None:
    house = houses("block")
    before = credited(house)
    shown = draw(house, [0.9, 0.8])
    assert shown["images"] == [] and shown["user_error"] == safety.ALL_KEPT_BACK
    assert shown["trained_at"] and balance(house) == before + 10 * PRICE
    assert house.files(f"prompts/{shown['id']}") == []


def test_where_it_is_only_noted_every_picture_is_shown_and_paid(houses: Any) -> None:
    house = houses("flag")
    shown = draw(house, [0.9, 0.1])
    assert len(shown["images"]) == 2 and shown["cost_mc"] == 2 * PRICE
    assert shown["warnings"].count(safety.DRAWN) == 1
    assert f"prompt {shown['id']}" in flagged(house)
    shown = draw(house, [0.1])
    assert safety.DRAWN not in shown["warnings"] and f"prompt {shown['id']}" not in flagged(house)


@pytest.mark.parametrize(("mode", "kept"), [("block", False), ("flag", True), ("off", True)])
def test_a_sample_of_a_training_is_held_to_the_same(
    houses: Any, tmp_path: Path, mode: str, kept: bool
) -> None:
    house = houses(mode)
    number = upload(house, HARMLESS).json()["id"]
    request = house.results.begin_training(number)
    assert request is not None and request["look"] == (mode != "off")
    sample = tmp_path / "000010-0.png"
    sample.write_bytes(HARMLESS)
    told: Any = {"event": "sample", "step": 10, "path": str(sample), "text": "a", "explicit": 0.9}
    house.results.sampled(number, told)
    assert ("000010-0.jpg" in house.files(f"tunes/{number}")) == kept
    said = {"block": safety.SAMPLE_KEPT_BACK, "flag": safety.DRAWN}.get(mode)
    assert (said in house.http.get(f"/tunes/{number}").json()["warnings"]) == (said is not None)
    assert (f"tune {number}" in flagged(house)) == (said is not None)


def test_a_mask_is_looked_at_too(houses: Any) -> None:
    names = {"mask_image": EXPLICIT, "input_image": HARMLESS}
    masked = {f"prompt[{name}]": ("a.png", data) for name, data in names.items()}
    answer = houses("block").http.post("/prompts", data={"prompt[text]": "a man"}, files=masked)
    assert answer.status_code == 422 and answer.json()["mask_image"] == [safety.REFUSED]


def test_what_was_scored_before_the_setting_was_off_is_shown(houses: Any) -> None:
    assert len(draw(houses("off"), [0.9])["images"]) == 1


def test_a_server_that_cannot_look_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safety.check(Settings(data=tmp_path, safety="block"))
    monkeypatch.setattr(explicit, "available", lambda: False)
    safety.check(Settings(data=tmp_path))
    with pytest.raises(InputError, match=r"pip install 'fluxbooth\[safety\]'"):
        safety.check(Settings(data=tmp_path, safety="flag"))


def add_photo(house: InProcessServer, draft: str) -> Any:
    browser = signed_in(house, 1)
    return browser, browser.post(f"/app/drafts/{draft}/photos", files={"f": ("a.png", EXPLICIT)})


def test_a_photo_of_a_draft_is_looked_at_as_it_arrives(houses: Any) -> None:
    _, refused = add_photo(houses("block"), "a-draft-of-photos-0001")
    assert refused.status_code == 422 and f"a.png {safety.REFUSED}" in refused.text
    house = houses("flag")
    browser, taken = add_photo(house, "a-draft-of-photos-0002")
    assert taken.status_code == 201
    form = {**FORM, "draft": "a-draft-of-photos-0002", "tune[preset]": "trial"}
    made = browser.post("/app/tunes", data=form)
    number = int(made.headers["location"].rpartition("/")[2])
    row: Any = house.row(Tune, number)
    assert row.flagged and safety.GIVEN in row.warnings
    assert f"tune {number}" in browser.get("/app/server").text


def test_the_process_that_draws_says_how_explicit_a_picture_is(tmp_path: Path) -> None:
    image = skin_coloured()
    picture = Picture(image, 7, *image.size, "a text")
    rows: list[PlainFile] = []
    assert written(picture, rows, tmp_path, look=True).get("explicit", 0.0) > 0.5
    assert "explicit" not in written(picture, rows, tmp_path, look=False)
    assert [Path(row["path"]).name for row in rows] == ["0.jpg", "1.jpg"]
