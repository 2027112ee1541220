"""Captions proposed by Claude, where the base has no reader of its pictures."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from fluxbooth.evaluation.demo import PHOTOS
from fluxbooth.service.accounts import web_sessions
from fluxbooth.service.claude import photo_captions
from fluxbooth.service.db.tables import Account
from fluxbooth.service.errors import ServiceError
from fluxbooth.service.safety import Judge
from fluxbooth.service.settings import Settings
from fluxbooth.service.tunes import caption_proposals
from fluxbooth.service.tunes.photo_drafts import Draft
from tests.support.claude import Claude, said
from tests.support.in_process_server import in_process_server

SEEN = {"worn": "a red hoodie", "mood": "smiling", "place": "at the beach", "position": ""}


@pytest.fixture
def settings(claude: Claude, tmp_path: Path) -> Settings:
    return Settings(
        data=tmp_path / "data",
        anthropic_api_key="sk-test",
        anthropic_url=claude.url,
        inspect_model="claude-eyes",
    )


@pytest.fixture
def draft(tmp_path: Path, settings: Settings) -> Draft:
    draft = Draft(tmp_path / "draft")
    for number, path in enumerate(sorted(PHOTOS.glob("*.png"))[:3]):
        copy = tmp_path / f"{number}.png"
        copy.write_bytes(path.read_bytes())
        draft.add(copy, copy.name, "nano", Judge(settings))
    draft.write_caption(2, "my own")
    return draft


def test_claude_proposes_where_there_is_no_reader(
    claude: Claude, settings: Settings, draft: Draft
) -> None:
    assert caption_proposals.proposer(settings, "nano") == "reader"
    assert caption_proposals.proposer(settings, "flux-dev") == "claude"
    without = settings.model_copy(update={"anthropic_api_key": None})
    assert caption_proposals.proposer(without, "flux-dev") is None
    claude.tell(said({**SEEN, "worn": "x" * 99}), said(SEEN))
    draft.describe("man", "claude")
    caption_proposals.propose(settings, draft, "claude", "flux-dev")
    assert [draft.caption_of(photo) for photo in draft.photos()] == [
        "[trigger], smiling, at the beach",  # what is too long for a part is left out
        "my own",
        "[trigger] wearing a red hoodie, smiling, at the beach",
    ]
    assert len(claude.asked) == 2  # nobody looks at a photo that has a caption
    _, body = claude.asked[0]
    assert body["model"] == "claude-eyes" and body["system"] == photo_captions.LOOKING.system
    caption_proposals.propose(settings, draft, "claude", "flux-dev")
    assert len(claude.asked) == 2


def test_what_claude_saw_before_it_failed_is_kept(
    claude: Claude, settings: Settings, draft: Draft
) -> None:
    claude.tell(said(SEEN), said("no object"))
    draft.describe("dog", "claude")
    with pytest.raises(ServiceError, match="cannot be read"):
        caption_proposals.propose(settings, draft, "claude", "flux-dev")
    assert [draft.caption_of(photo) for photo in draft.photos()] == [
        "[trigger], at the beach", "my own", "",
    ]  # fmt: skip
    assert [photo.number for photo in caption_proposals.unseen(draft, "claude")] == [3]
    draft.remove(1)
    assert not list(draft.folder.glob("1.*"))


def test_claude_is_shown_photos_only_when_that_is_asked_for(
    claude: Claude, blank: Path, tmp_path: Path
) -> None:
    asked = {
        "base": "flux-dev",
        "anthropic_api_key": "sk-test",
        "anthropic_url": claude.url,
        "inspect_model": "claude-eyes",
    }
    claude.tell(said(SEEN))
    with in_process_server(blank, tmp_path / "served", **asked) as server:
        with server.db.write() as session:
            owner = session.scalars(select(Account)).one()
            link = web_sessions.new_link(session, owner, server.secret)
        origin = server.settings.url
        headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
        with httpx.Client(base_url=origin, headers=headers, timeout=60) as browser:
            browser.get("/app/start", params={"token": link})
            photo = min(PHOTOS.glob("*.png"))
            draft = "/app/drafts/asked-0123456789abcdef"
            browser.post(f"{draft}/photos", files={"file": (photo.name, photo.read_bytes())})
            told = browser.post(f"{draft}/captions", data={"name": "man"}).json()
            assert told["asks"] and told["captions"][0]["caption"] == "" and not claude.asked
            told = browser.post(f"{draft}/captions", data={"name": "man", "wanted": "1"}).json()
            assert told == {
                "captions": [
                    {
                        "number": 1,
                        "caption": "[trigger] wearing a red hoodie, smiling, at the beach",
                        "proposed": True,
                    }
                ],
                "asks": False,
            }
