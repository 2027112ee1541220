"""Which base a number, a branch or nothing at all stands for, by the server's own base. No weights
are here: nothing is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fluxbooth.service import licensing
from fluxbooth.service.billing.prices import Prices
from fluxbooth.service.contract.public_bases import FLUX2_KLEIN, FLUX_DEV, FLUX_KREA
from fluxbooth.service.db.tables import FIRST_TUNE, Account, Prompt, Tune, now
from fluxbooth.service.settings import Settings
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import pictures

Json = dict[str, Any]


@pytest.fixture(scope="module")
def klein(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    data = tmp_path_factory.mktemp("klein") / "data"
    with in_process_server(blank, data, base="flux2-klein") as opened:
        yield opened


@pytest.fixture(scope="module")
def both(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A server of FLUX.2 that has FLUX.1-dev, too."""
    data = tmp_path_factory.mktemp("both") / "data"
    numbers = {FLUX2_KLEIN: "own", FLUX_DEV: "flux-dev", FLUX_KREA: "flux-krea"}
    with in_process_server(blank, data, base="flux2-klein", base_tunes=numbers) as opened:
        yield opened


def trained(server: InProcessServer, **fields: str) -> Json:
    """A new tune, as it is answered."""
    form = {f"tune[{name}]": value for name, value in fields.items()}
    return answer(server, form).raise_for_status().json()


def answer(server: InProcessServer, form: dict[str, str]) -> httpx.Response:
    named = {"tune[title]": "t", "tune[name]": "man"}
    return server.http.post("/tunes", data=named | form, files=pictures(1))


@pytest.mark.parametrize(
    ("given", "drawn"),
    [
        ({"base": "nano"}, {FLUX_DEV: "nano", FLUX_KREA: "nano"}),
        ({"base": "flux-dev"}, {FLUX_DEV: "flux-dev", FLUX_KREA: "flux-krea"}),
        ({"base": "flux2-klein"}, {FLUX2_KLEIN: "flux2-klein", FLUX_DEV: "flux2-klein"}),
        ({"base": "flux2-klein-base"}, {2005: "flux2-klein-base", FLUX_DEV: "flux2-klein-base"}),
        (
            {"base": "flux2-klein", "base_tunes": {FLUX2_KLEIN: "own", FLUX_DEV: "flux-dev"}},
            {FLUX2_KLEIN: "flux2-klein", FLUX_DEV: "flux-dev"},
        ),
        ({"base": "flux-dev", "base_tunes": {FLUX_DEV: "flux-dev"}}, {FLUX_DEV: "flux-dev"}),
        ({"base": "/gone", "base_tunes": {7: "own", 8: "flux-krea"}}, {7: "/gone", 8: "flux-krea"}),
    ],
)
def test_what_each_number_stands_for(given: Json, drawn: dict[int, str], tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, **given)
    assert {number: settings.base_of(number) for number in settings.bases} == drawn
    assert settings.own_number == next(iter(drawn))
    assert settings.served == set(drawn.values())


def test_klein_may_be_sold_without_a_word_about_licences(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path, base="flux2-klein", prices=Prices(picture=9), lora_download=True
    )
    licensing.check(settings)
    assert licensing.notices(settings) == []
    ((_, title, _, means), _) = licensing.uses(settings)
    assert (title, means) == ("Flux2.klein 4B", "any use, commercial too")


def test_a_tune_that_names_no_base_is_of_the_own_one(klein: InProcessServer) -> None:
    for fields in ({}, {"branch": "flux1"}, {"branch": "flux2"}):
        made = trained(klein, **fields)
        assert (made["base_tune_id"], made["branch"], made["base"]) == (
            FLUX2_KLEIN,
            "flux2",
            "flux2-klein",
        )
    # what clients of the public API have written down
    made = trained(klein, base_tune_id=str(FLUX_DEV), branch="flux1", model_type="lora")
    assert (made["base_tune_id"], made["branch"]) == (FLUX_DEV, "flux2")
    listed = klein.http.get("/tunes", params={"branch": "flux2"}).json()
    assert len(listed) == 4 and klein.http.get("/tunes", params={"branch": "flux1"}).json() == []
    refused = answer(klein, {"tune[base_tune_id]": str(FLUX_KREA)}).json()["base_tune_id"]
    assert refused == [
        "is not available: base_tune_id 3063697 is no FLUX base of this server; use 2004 "
        "(Flux2.klein 4B) or 1504944 (Flux1.dev)"
    ]


def test_a_prompt_is_drawn_as_its_base_is(klein: InProcessServer) -> None:
    asked = {"text": "a lighthouse at dusk", "cfg_scale": "3.0"}
    shown = klein.http.post("/prompts", json=asked).json()
    assert shown["tune_id"] == FLUX2_KLEIN and shown["tune"]["title"] == "Flux2.klein 4B"
    assert "cfg_scale is ignored: flux2-klein is drawn without guidance." in shown["warnings"]
    spec = klein.row(Prompt, shown["id"]).spec
    assert (spec["base"], spec["steps"], spec["guidance"]) == ("flux2-klein", 4, 0.0)
    on_dev = klein.http.post(f"/tunes/{FLUX_DEV}/prompts", json=asked).json()
    assert on_dev["tune"]["title"] == "Flux1.dev (answered by flux2-klein)"


def test_packs_that_name_no_base_go_to_the_own_one(
    klein: InProcessServer, both: InProcessServer
) -> None:
    for server in (klein, both):
        assert server.http.get("/p/corporate").json()["base_tune_id"] == FLUX2_KLEIN
    form = {"tune[title]": "t", "tune[name]": "man"}
    made = both.http.post("/p/corporate/tunes", data=form, files=pictures(1)).json()
    assert (made["base"], made["base_tune_id"]) == ("flux2-klein", FLUX2_KLEIN)
    pack = {"title": "mine", "base_tune_id": FLUX_DEV}
    named = both.http.post("/packs", json={"pack": pack}).json()
    unnamed = both.http.post("/packs", json={"pack": {"title": "other"}}).json()
    assert (named["base_tune_id"], unnamed["base_tune_id"]) == (FLUX_DEV, FLUX2_KLEIN)


def test_a_server_of_both_kinds_trains_what_is_named(both: InProcessServer) -> None:
    for fields, base, branch in (
        ({"base_tune_id": str(FLUX_DEV)}, "flux-dev", "flux1"),
        ({"base_tune_id": str(FLUX_KREA)}, "flux-dev", "flux1"),  # whose LoRAs work on it
        ({"base_tune_id": str(FLUX2_KLEIN)}, "flux2-klein", "flux2"),
        ({"branch": "flux2"}, "flux2-klein", "flux2"),
        ({"branch": "flux1"}, "flux-dev", "flux1"),
        ({}, "flux2-klein", "flux2"),
    ):
        made = trained(both, **fields)
        assert (made["base"], made["branch"]) == (base, branch)
    contradicting = {"tune[base_tune_id]": str(FLUX_DEV), "tune[branch]": "flux2"}
    assert answer(both, contradicting).json()["branch"] == [
        "is flux1 of base_tune_id 1504944: leave it out"
    ]
    face = {"tune[base_tune_id]": str(FLUX_DEV), "tune[model_type]": "faceid"}
    assert answer(both, face).json()["model_type"] == [
        "faceid is not offered: flux-dev looks at no reference pictures: train a LoRA instead, or "
        "draw on Flux2.klein 4B (2004)"
    ]


def test_what_can_only_be_drawn_with_is_not_trained(blank: Path, tmp_path: Path) -> None:
    numbers = {FLUX2_KLEIN: "own", FLUX_KREA: "flux-krea"}
    with in_process_server(
        blank, tmp_path / "data", base="flux2-klein", base_tunes=numbers
    ) as server:
        refused = answer(server, {"tune[base_tune_id]": str(FLUX_KREA)}).json()["base_tune_id"]
        assert refused == ["is not available: 3063697 can only be drawn with"]


def test_a_lora_is_drawn_with_on_its_own_kind_alone(both: InProcessServer) -> None:
    with both.db.write() as session:
        owner = session.query(Account).first()
        assert owner is not None
        session.add(
            Tune(
                id=FIRST_TUNE + 900,
                account_id=owner.id,
                title="of FLUX.1",
                name="man",
                token="ohwx",
                model_type="lora",
                branch="flux1",
                base="flux-dev",
                base_tune_id=FLUX_DEV,
                trained_at=now(),
                lora="tunes/x/lora.safetensors",
            )
        )
    text = f"<lora:{FIRST_TUNE + 900}:1> ohwx man"
    for number, status in ((FLUX_DEV, 201), (FLUX_KREA, 201), (FLUX2_KLEIN, 422)):
        drawn = both.http.post(f"/tunes/{number}/prompts", json={"text": text})
        assert drawn.status_code == status, drawn.text
    assert "a LoRA of flux-dev, which flux2-klein cannot use" in drawn.json()["error"]
    on_it = both.http.post(f"/tunes/{FIRST_TUNE + 900}/prompts", json={"text": "ohwx man"}).json()
    assert on_it["tune_id"] == FLUX_DEV


def test_the_catalogue_and_the_gallery_say_what_there_is(
    klein: InProcessServer, both: InProcessServer
) -> None:
    catalogue = klein.http.get("/cli/models").json()
    assert catalogue["default"] == "flux2-klein"
    assert {key: row["tune_id"] for key, row in catalogue["models"].items()} == {
        "flux2-klein": FLUX2_KLEIN,
        "flux": FLUX_DEV,
    }
    rows = both.http.get("/gallery/tunes").json()
    assert {row["id"]: (row["title"], row["branch"], row["base"]) for row in rows} == {
        FLUX2_KLEIN: ("Flux2.klein 4B", "flux2", "flux2-klein"),
        FLUX_DEV: ("Flux1.dev", "flux1", "flux-dev"),
        FLUX_KREA: ("Flux1.krea", "flux1", "flux-krea"),
    }
    flux1 = both.http.get("/gallery/tunes", params={"branch": "flux1"}).json()
    assert [row["id"] for row in flux1] == [FLUX_DEV, FLUX_KREA]
    assert both.http.get("/gallery/tunes", params={"model_type": "lora"}).json() == []


def test_an_estimate_is_of_the_base_that_is_named(both: InProcessServer) -> None:
    def steps(**query: Any) -> Json:
        return (
            both.http.get("/estimates/tune", params={"photos": 4, **query})
            .raise_for_status()
            .json()
        )

    slow, fast = (steps(base_tune_id=number)["seconds"] for number in (FLUX_DEV, FLUX2_KLEIN))
    assert slow is None or fast is None or slow > fast
