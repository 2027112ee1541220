"""prompt_expansion: a longer text by Claude before a picture is drawn, held to the rules of FLUX."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxbooth.service import fetching
from fluxbooth.service.db.tables import Prompt
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.outgoing.fetch import rules_for
from fluxbooth.service.prompts import expansion
from tests.support.claude import Claude, said
from tests.support.in_process_server import InProcessServer, in_process_server

LONGER = (
    "a man at sea in a small wooden boat, holding the oars, wearing a dark blue wool sweater, "
    "soft morning light from the left, calm grey water, a wide photograph with a low horizon"
)


@pytest.fixture(scope="module")
def house(
    blank: Path, claude: Claude, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[InProcessServer]:
    with in_process_server(
        blank,
        tmp_path_factory.mktemp("expansion") / "data",
        anthropic_api_key="sk-test",
        anthropic_url=claude.url,
    ) as opened:
        yield opened


def asked(house: InProcessServer, text: str = "a man at sea") -> int:
    answer = house.http.post("/prompts", json={"prompt": {"text": text, "prompt_expansion": True}})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_the_longer_text_is_drawn_and_the_own_one_shown(
    house: InProcessServer, claude: Claude
) -> None:
    number = asked(house)
    claude.tell(said({"prompt": LONGER}))
    fetching.input_pictures(house.results, number, rules_for(house.settings))
    request = house.results.begin_drawing(number)
    assert request and request["text"] == LONGER
    assert house.http.get(f"/prompts/{number}").json()["text"] == "a man at sea"
    (_, body) = claude.asked[0]
    told = json.loads(body["messages"][0]["content"])
    assert told == {"prompt": "a man at sea", "triggers": []}
    with house.db.read() as session:
        assert not expansion.missing(session.get_one(Prompt, number))


def test_a_text_that_will_not_do_is_mended_once(house: InProcessServer, claude: Claude) -> None:
    number = asked(house)
    claude.tell(said({"prompt": "a man --fill"}), said({"prompt": "a man without a hat (at:1.3)"}))
    with pytest.raises(ServiceError, match="The longer prompt that Claude wrote will not do"):
        fetching.input_pictures(house.results, number, rules_for(house.settings))
    assert "Write plain sentences" in claude.asked[1][1]["messages"][-1]["content"]


def test_a_text_that_says_nothing_is_made_no_longer(house: InProcessServer) -> None:
    number = asked(house, "a man at home")
    with house.db.write() as session:
        session.get_one(Prompt, number).text = "--film_grain"
    with house.db.read() as session:
        assert not expansion.missing(session.get_one(Prompt, number))
    assert house.results.text_to_expand(number) is None


def test_trigger_words_stay(house: InProcessServer) -> None:
    assert expansion.faults(LONGER, ["ohwx man"]) == ['Keep "ohwx man".']
    assert expansion.faults(LONGER.replace("a man", "ohwx man"), ["ohwx man"]) == []
    assert "at most seventy words" in expansion.faults("word " * 99, [])[0]
    assert expansion.faults("", []) == ["The answer must be a JSON object with the text `prompt`."]


def test_lettering_stays_word_for_word() -> None:
    lettered = LONGER + ' A sign reads "Open late".'
    assert expansion.faults(lettered, [], ["Open late"]) == []
    assert expansion.faults(LONGER, [], ["Open late"]) == ['Keep "Open late" in quotation marks.']
    changed = lettered.replace("Open late", "Open Late!")
    assert expansion.faults(changed, [], ["Open late"]) == ['Keep "Open late" in quotation marks.']


def test_without_a_key_it_is_refused(blank: Path, tmp_path: Path) -> None:
    with in_process_server(blank, tmp_path / "data") as opened:
        for fields in ({"prompt_expansion": True}, {"text": "a man at sea --prompt_expansion"}):
            answer = opened.http.post("/prompts", json={"prompt": {"text": "a man", **fields}})
            assert answer.status_code == 422
            assert answer.json()["prompt_expansion"] == [expansion.NO_KEY]
