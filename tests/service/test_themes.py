"""Themes over the server's socket, written by something that speaks the Messages API over another one."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fluxbooth.service.errors import Invalid
from fluxbooth.service.themes import COUNT, compose, faults
from tests.service.server import Server

Json = dict[str, Any]
Answer = tuple[int, dict[str, str], Json]
SCENES = [
    "wearing a raincoat beside a lighthouse while storm waves break on black rocks", "reading an old map at a tavern table lit by candles",
    "climbing a glacier with an ice axe under a pale blue morning sky", "sailing a wooden boat across a calm fjord at golden sunset",
    "cooking fish over a camp fire in a birch forest at dusk", "seated upon a carved throne inside a long timber hall",
    "riding a grey horse through tall summer grass towards distant hills", "playing chess with a child near a bright kitchen window",
    "walking down a cobbled harbour street carrying two baskets of apples", "painting a mural in a white studio full of hanging plants",
]  # fmt: skip
GOOD = [f"sks man {scene}, documentary photograph" for scene in SCENES]


def said(prompts: Any, stop: str = "end_turn") -> Answer:
    text = prompts if isinstance(prompts, str) else json.dumps({"prompts": prompts})
    usage = {"input_tokens": 1, "output_tokens": 1}
    content = [{"type": "text", "text": text}] if text else []
    return 200, {}, {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content, "stop_reason": stop,
        "stop_sequence": None, "usage": usage,
    }  # fmt: skip


class Claude:
    """Gives the answers it was told to, in turn; one that is None never comes."""

    def __init__(self) -> None:
        self.answers: list[Answer | None] = []
        self.asked: list[tuple[dict[str, str], Json]] = []
        self.over = threading.Event()
        claude = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                claude.asked.append(({k.lower(): v for k, v in self.headers.items()} | {"path": self.path}, body))
                answer = claude.answers.pop(0)
                if answer is None:
                    claude.over.wait()
                    return
                status, headers, said = answer
                self.send_response(status)
                for name, value in {"content-type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(said).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def tell(self, *answers: Answer | None) -> None:
        self.answers, self.asked = list(answers), []


@pytest.fixture(scope="module")
def claude() -> Iterator[Claude]:
    claude = Claude()
    yield claude
    claude.over.set()
    claude.server.shutdown()


@pytest.fixture(scope="module")
def themed(claude: Claude, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    url = f"http://127.0.0.1:{claude.server.server_port}"
    data = tmp_path_factory.mktemp("themed") / "data"
    server = Server(data, anthropic_api_key="sk-test", anthropic_url=url, theme_seconds="6", theme_model="claude-test")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def tune(themed: Server) -> Json:
    return themed.new_tune("for themes", characteristics='{"hair_color": "red"}')


def texts(server: Server, tune: Json) -> list[str]:
    return [row["text"] for row in server.http.get(f"/tunes/{tune['id']}/prompts", params={"limit": 120}).json()]


def ask(server: Server, tune: Json, **fields: object) -> Any:
    return server.http.post("/themes", json={"theme": "sea tales", "tune_ids": [tune["id"]], **fields})


@pytest.mark.parametrize("shape", ["wrapped form", "unwrapped JSON", "wrapped JSON", "misspelt", "form with a JSON header"])
def test_ten_prompts_of_every_documented_shape(themed: Server, claude: Claude, tune: Json, shape: str) -> None:
    claude.tell(said(GOOD))
    number, before = tune["id"], len(texts(themed, tune))
    form = {"theme[theme]": "sea tales", "theme[tune_ids][]": str(number), "theme[prompt_attributes][num_images]": "2"}
    flat: Json = {"theme": "sea tales", "tune_ids": [number], "prompt_attributes": {"num_images": 2}}
    kinds: dict[str, Callable[[], Any]] = {
        "wrapped form": lambda: themed.http.post("/themes", data=form),
        "unwrapped JSON": lambda: themed.http.post("/themes", json=flat),
        "wrapped JSON": lambda: themed.http.post("/themes", json={"theme": flat}),
        "misspelt": lambda: themed.http.post(
            "/themes", json={"theme": "sea tales", "tuen_ids": [str(number)], "prompt_attributes": {"num_images": 2}}
        ),
        "form with a JSON header": lambda: themed.http.post(
            "/themes", headers={"content-type": "application/json"},
            content=f"theme[theme]=sea+tales&theme[tune_ids][]={number}&theme[prompt_attributes][num_images]=2",
        ),
    }  # fmt: skip
    answer = kinds[shape]()
    assert (answer.status_code, answer.json()) == (201, {"theme_writer": "claude-test"}), answer.text
    made = themed.http.get(f"/tunes/{number}/prompts", params={"limit": 120}).json()
    assert len(made) == before + COUNT
    newest = made[0]
    assert newest["text"] == f"<lora:{number}:1> {GOOD[-1]}"
    assert (newest["num_images"], newest["theme"], newest["theme_writer"]) == (2, "sea tales", "claude-test")
    headers, body = claude.asked[0]
    assert headers["path"] == "/v1/messages" and any("sk-test" in value for value in headers.values())
    assert body["model"] == "claude-test" and body["output_config"]["format"]["type"] == "json_schema"
    told = json.loads(body["messages"][0]["content"])
    assert told == {"trigger": "sks man", "theme": "sea tales", "about_the_subject": {"hair_color": "red"}, "count": 10}


@pytest.mark.parametrize("draft", [False, True])
def test_a_repeated_idempotency_key_writes_nothing_again(themed: Server, claude: Claude, tune: Json, draft: bool) -> None:
    claude.tell(said(GOOD))
    body = {"theme": "sea tales", "tune_ids": [tune["id"]], "draft": draft}
    key = {"Idempotency-Key": f"theme {draft}"}
    first, again = (themed.http.post("/themes", json=body, headers=key) for _ in range(2))
    assert first.status_code == again.status_code == (200 if draft else 201) and first.json() == again.json()
    assert len(claude.asked) == 1
    made = texts(themed, tune)
    assert themed.http.post("/themes", json={**body, "theme": "other"}, headers=key).status_code == 422
    assert texts(themed, tune) == made and len(claude.asked) == 1


def test_a_draft_draws_nothing(themed: Server, claude: Claude, tune: Json) -> None:
    before = texts(themed, tune)
    claude.tell(said(GOOD))
    answer = ask(themed, tune, draft=True)
    assert answer.status_code == 200
    assert answer.json() == {"theme_writer": "claude-test", "prompts": [{"tune_id": tune["id"], "text": text} for text in GOOD]}
    assert texts(themed, tune) == before


def test_faults_are_told_to_the_writer_once(themed: Server, claude: Claude, tune: Json) -> None:
    claude.tell(said(["A man, no hat", *GOOD[1:]]), said(GOOD))
    assert ask(themed, tune, draft=True).json()["prompts"][0]["text"] == GOOD[0]
    mend = claude.asked[1][1]["messages"][-1]["content"]
    assert 'Prompt 1 must begin with "sks man"' in mend and "no hat" in mend
    claude.tell(said("{"), said(GOOD[:9]))
    answer = ask(themed, tune)
    assert answer.status_code == 502 and "There must be 10 prompts, not 9" in answer.json()["error"]


@pytest.mark.parametrize(
    ("answer", "status", "words", "wait"),
    [
        (said("", stop="refusal"), 422, "declined", None),
        ((429, {"retry-after": "7"}, {"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}), 503, "busy", "7"),
        ((529, {}, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}), 503, "busy", "20"),
        ((401, {}, {"type": "error", "error": {"type": "authentication_error", "message": "key"}}), 503, "ANTHROPIC_API_KEY", None),
        ((404, {}, {"type": "error", "error": {"type": "not_found_error", "message": "model"}}), 502, "THEME_MODEL", None),
        (None, 504, "did not answer", None),
    ],
    ids=["refusal", "rate limit", "overloaded", "wrong key", "no such model", "timeout"],
)
def test_what_goes_wrong_is_said_and_draws_nothing(
    themed: Server, claude: Claude, tune: Json, answer: Answer | None, status: int, words: str, wait: str | None
) -> None:
    before = texts(themed, tune)
    claude.tell(answer)
    got = ask(themed, tune)
    assert (got.status_code, got.headers.get("retry-after")) == (status, wait), got.text
    assert words in got.json()["error"] and "sk-test" not in got.text
    assert texts(themed, tune) == before and len(claude.asked) == 1


def test_what_a_theme_refuses_before_anybody_writes(themed: Server, claude: Claude, tune: Json) -> None:
    claude.tell()
    assert "no tune of yours" in ask(themed, {"id": 12}).json()["tune_ids"][0]
    assert ask(themed, tune, prompt_attributes={"num_images": 9}).json()["num_images"]
    assert ask(themed, tune, theme="").json()["theme"] == ["can't be blank"]
    assert themed.http.post("/themes", json={"theme": "x"}).json()["tune_ids"] == ["can't be blank"]
    assert not claude.asked


def test_without_a_key(server: Server, tmp_path: Path) -> None:
    tune = server.new_tune("no theme")
    answer = ask(server, tune)
    assert answer.status_code == 422 and "FLUXBOOTH_ANTHROPIC_API_KEY" in answer.json()["error"]
    composed = Server(tmp_path / "data", theme_composer="true")
    composed.start()
    try:
        tune = composed.new_tune("a theme")
        answer = ask(composed, tune)
        assert (answer.status_code, answer.json()) == (201, {"theme_writer": "composer"})
        made = composed.http.get(f"/tunes/{tune['id']}/prompts").json()
        assert len({row["text"] for row in made}) == COUNT
        assert all("sks man, sea tales, " in row["text"] and row["theme_writer"] == "composer" for row in made)
    finally:
        composed.stop()


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
