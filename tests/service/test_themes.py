"""Themes over the server's socket, written by something that speaks the Messages API over
another one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxbooth import Client
from fluxbooth.service.errors import Invalid
from fluxbooth.service.themes.themes import COUNT, compose, faults
from tests.support.claude import Answer, Claude, said
from tests.support.in_process_server import InProcessServer, in_process_server
from tests.support.server import pictures

Json = dict[str, Any]
SCENES = [
    "wearing a raincoat beside a lighthouse while storm waves break on black rocks",
    "reading an old map at a tavern table lit by candles",
    "climbing a glacier with an ice axe under a pale blue morning sky",
    "sailing a wooden boat across a calm fjord at golden sunset",
    "cooking fish over a camp fire in a birch forest at dusk",
    "seated upon a carved throne inside a long timber hall",
    "riding a grey horse through tall summer grass towards distant hills",
    "playing chess with a child near a bright kitchen window",
    "walking down a cobbled harbour street carrying two baskets of apples",
    "painting a mural in a white studio full of hanging plants",
]  # fmt: skip
GOOD = [f"sks man {scene}, documentary photograph" for scene in SCENES]


@pytest.fixture(scope="module")
def themed(
    claude: Claude, blank: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InProcessServer]:
    data = tmp_path_factory.mktemp("themed") / "data"
    settings = {
        "anthropic_api_key": "sk-test",
        "anthropic_url": claude.url,
        "theme_seconds": 240,
        "theme_model": "claude-test",
    }
    with in_process_server(blank, data, **settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def tune(themed: InProcessServer) -> Json:
    return new_tune(themed, "for themes", characteristics='{"hair_color": "red"}')


def new_tune(in_process_server: InProcessServer, title: str, **fields: str) -> Json:
    form = {"tune[title]": title, "tune[name]": "man", "tune[branch]": "fast"} | {
        f"tune[{name}]": value for name, value in fields.items()
    }
    return (
        in_process_server.http.post("/tunes", data=form, files=pictures(1))
        .raise_for_status()
        .json()
    )


def prompts(*texts: str) -> Answer:
    return said({"prompts": texts})


def texts(in_process_server: InProcessServer, tune: Json) -> list[str]:
    return [
        row["text"]
        for row in in_process_server.http.get(
            f"/tunes/{tune['id']}/prompts", params={"limit": 120}
        ).json()
    ]


def ask(in_process_server: InProcessServer, tune: Json, **fields: object) -> Any:
    return in_process_server.http.post(
        "/themes", json={"theme": "sea tales", "tune_ids": [tune["id"]], **fields}
    )


@pytest.mark.parametrize(
    "shape",
    ["wrapped form", "unwrapped JSON", "wrapped JSON", "misspelt", "form with a JSON header"],
)
def test_ten_prompts_of_every_documented_shape(
    themed: InProcessServer, claude: Claude, tune: Json, shape: str
) -> None:
    claude.tell(prompts(*GOOD))
    number, before = tune["id"], len(texts(themed, tune))
    form = {
        "theme[theme]": "sea tales",
        "theme[tune_ids][]": str(number),
        "theme[prompt_attributes][num_images]": "2",
    }
    flat: Json = {
        "theme": "sea tales",
        "tune_ids": [number],
        "prompt_attributes": {"num_images": 2},
    }
    kinds: dict[str, Callable[[], Any]] = {
        "wrapped form": lambda: themed.http.post("/themes", data=form),
        "unwrapped JSON": lambda: themed.http.post("/themes", json=flat),
        "wrapped JSON": lambda: themed.http.post("/themes", json={"theme": flat}),
        "misspelt": lambda: themed.http.post(
            "/themes",
            json={
                "theme": "sea tales",
                "tuen_ids": [str(number)],
                "prompt_attributes": {"num_images": 2},
            },
        ),
        "form with a JSON header": lambda: themed.http.post(
            "/themes",
            headers={"content-type": "application/json"},
            content=f"theme[theme]=sea+tales&theme[tune_ids][]={number}&theme[prompt_attributes][num_images]=2",
        ),
    }
    answer = kinds[shape]()
    assert (answer.status_code, answer.json()) == (201, {"theme_writer": "claude-test"}), (
        answer.text
    )
    made = themed.http.get(f"/tunes/{number}/prompts", params={"limit": 120}).json()
    assert len(made) == before + COUNT
    newest = made[0]
    assert newest["text"] == f"<lora:{number}:1> {GOOD[-1]}"
    assert (newest["num_images"], newest["theme"], newest["theme_writer"]) == (
        2,
        "sea tales",
        "claude-test",
    )
    headers, body = claude.asked[0]
    assert headers["path"] == "/v1/messages" and any(
        "sk-test" in value for value in headers.values()
    )
    assert (
        body["model"] == "claude-test" and body["output_config"]["format"]["type"] == "json_schema"
    )
    told = json.loads(body["messages"][0]["content"])
    assert told == {
        "trigger": "sks man",
        "theme": "sea tales",
        "about_the_subject": {"hair_color": "red"},
        "count": 10,
    }


@pytest.mark.parametrize("draft", [False, True])
def test_a_repeated_idempotency_key_writes_nothing_again(
    themed: InProcessServer, claude: Claude, tune: Json, draft: bool
) -> None:
    claude.tell(prompts(*GOOD))
    body = {"theme": "sea tales", "tune_ids": [tune["id"]], "draft": draft}
    key = {"Idempotency-Key": f"theme {draft}"}
    first, again = (themed.http.post("/themes", json=body, headers=key) for _ in range(2))
    assert (
        first.status_code == again.status_code == (200 if draft else 201)
        and first.json() == again.json()
    )
    assert len(claude.asked) == 1
    made = texts(themed, tune)
    assert (
        themed.http.post("/themes", json={**body, "theme": "other"}, headers=key).status_code == 422
    )
    assert texts(themed, tune) == made and len(claude.asked) == 1


def test_a_draft_draws_nothing(themed: InProcessServer, claude: Claude, tune: Json) -> None:
    before = texts(themed, tune)
    claude.tell(prompts(*GOOD))
    answer = ask(themed, tune, draft=True)
    assert answer.status_code == 200
    assert answer.json() == {
        "theme_writer": "claude-test",
        "prompts": [{"tune_id": tune["id"], "text": text} for text in GOOD],
    }
    assert texts(themed, tune) == before


def test_the_client_gets_drafts(themed: InProcessServer, claude: Claude, tune: Json) -> None:
    claude.tell(prompts(*GOOD))
    key = themed.http.headers["authorization"].split()[1]
    with Client(themed.settings.url, key) as client:
        assert client.drafts("sea tales", [tune["id"]]) == [(tune["id"], text) for text in GOOD]


def test_faults_are_told_to_the_writer_once(
    themed: InProcessServer, claude: Claude, tune: Json
) -> None:
    claude.tell(prompts("A man, no hat", *GOOD[1:]), prompts(*GOOD))
    assert ask(themed, tune, draft=True).json()["prompts"][0]["text"] == GOOD[0]
    mend = claude.asked[1][1]["messages"][-1]["content"]
    assert 'Prompt 1 must begin with "sks man"' in mend and "no hat" in mend
    claude.tell(prompts(f"{GOOD[0]} \ud800", *GOOD[1:]), prompts(*GOOD))  # half of a character
    assert ask(themed, tune, draft=True).json()["prompts"][0]["text"] == GOOD[0]
    claude.tell(said("{"), prompts(*GOOD[:9]))
    answer = ask(themed, tune)
    assert answer.status_code == 502 and "There must be 10 prompts, not 9" in answer.json()["error"]


@pytest.mark.parametrize(
    ("answer", "status", "words", "wait"),
    [
        (said("", stop="refusal"), 422, "declined", None),
        (
            (
                429,
                {"retry-after": "7"},
                {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}},
            ),
            503,
            "busy",
            "7",
        ),
        (
            (529, {}, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
            503,
            "busy",
            "20",
        ),
        (
            (
                401,
                {},
                {"type": "error", "error": {"type": "authentication_error", "message": "key"}},
            ),
            503,
            "ANTHROPIC_API_KEY",
            None,
        ),
        (
            (404, {}, {"type": "error", "error": {"type": "not_found_error", "message": "model"}}),
            502,
            "THEME_MODEL",
            None,
        ),
    ],
    ids=["refusal", "rate limit", "overloaded", "wrong key", "no such model"],
)
def test_what_goes_wrong_is_said_and_draws_nothing(
    themed: InProcessServer,
    claude: Claude,
    tune: Json,
    answer: Answer,
    status: int,
    words: str,
    wait: str | None,
) -> None:
    before = texts(themed, tune)
    claude.tell(answer)
    got = ask(themed, tune)
    assert (got.status_code, got.headers.get("retry-after")) == (status, wait), got.text
    assert words in got.json()["error"] and "sk-test" not in got.text
    assert texts(themed, tune) == before and len(claude.asked) == 1


def test_a_writer_that_does_not_answer_is_not_waited_for(
    claude: Claude, blank: Path, tmp_path: Path
) -> None:
    with in_process_server(
        blank,
        tmp_path / "hasty",
        anthropic_api_key="sk-test",
        anthropic_url=claude.url,
        theme_seconds=2,
    ) as hasty:
        tune = new_tune(hasty, "for themes")
        claude.tell(None)
        got = ask(hasty, tune)
        assert (
            got.status_code == 504
            and "did not answer" in got.json()["error"]
            and texts(hasty, tune) == []
        )


def test_what_a_theme_refuses_before_anybody_writes(
    themed: InProcessServer, claude: Claude, tune: Json
) -> None:
    claude.tell()
    assert "no tune of yours" in ask(themed, {"id": 12}).json()["tune_ids"][0]
    assert "must be" in ask(themed, {"id": 2**63}).json()["tune_ids"][0]
    told = ask(themed, tune, prompt_attributes={"num_images": 9, "cfg_scale": 7}).json()
    assert told["prompt_attributes[num_images]"] and told["prompt_attributes[cfg_scale]"]
    assert ask(themed, tune, theme="").json()["theme"] == ["can't be blank"]
    assert themed.http.post("/themes", json={"theme": "x"}).json()["tune_ids"] == ["can't be blank"]
    assert not claude.asked


def test_without_a_key(blank: Path, tmp_path: Path) -> None:
    with in_process_server(blank, tmp_path / "without") as plain:
        answer = ask(plain, new_tune(plain, "no theme"))
        assert answer.status_code == 422 and "FLUXBOOTH_ANTHROPIC_API_KEY" in answer.json()["error"]
    with in_process_server(blank, tmp_path / "composing", theme_composer=True) as composing:
        tune = new_tune(composing, "a theme")
        answer = ask(composing, tune)
        assert (answer.status_code, answer.json()) == (201, {"theme_writer": "composer"})
        made = composing.http.get(f"/tunes/{tune['id']}/prompts").json()
    assert len({row["text"] for row in made}) == COUNT
    assert all(
        "sks man, sea tales, " in row["text"] and row["theme_writer"] == "composer" for row in made
    )


def test_the_rules_that_writers_are_held_to() -> None:
    assert faults(GOOD, "sks man") == []
    for bad, words in (
        ("sks man on a hill", "about thirty"),
        (GOOD[0].replace("storm", "(storm:1.3)"), "weights"),
        (GOOD[0] + " without people", "without people"),
        (GOOD[0] + " <lora:1:1>", "tags"),
        (GOOD[1] + " today", "nearly the same"),
    ):
        assert any(words in fault for fault in faults([bad, *GOOD[1:]], "sks man")), bad
    with pytest.raises(Invalid, match="will not do"):
        compose("a city without cars", "ohwx man")
    assert compose("(vikings:1.2) <lora:1:1>", "ohwx man")[0].startswith("ohwx man, vikings")
