"""Packs and themes in the web app, over a real socket."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.support.server import Json, Server, pictures


def once(page: str) -> str:
    return re.findall(r'name="once" value="([^"]+)"', page)[0]


def words(page: str) -> list[str]:
    """The prompts of a pack's page, in their order."""
    return re.findall(r'<textarea id="text-\d+"[^>]*>([^<]*)</textarea>', page)


@pytest.fixture
def pack(owner: httpx.Client, drawn: Json) -> str:
    """A pack of both prompts of the drawn tune; the path of its page."""
    form = owner.get("/app/packs/new").text
    numbers = [str(prompt["id"]) for prompt in drawn["prompts"]]
    asked = {"title": "Beaches <b>", "subtitle": "Sand", "prompts[]": numbers, "once": once(form)}
    first = owner.post("/app/packs", data=asked)
    assert first.status_code == 303
    # a second click
    assert owner.post("/app/packs", data=asked).headers["location"] == first.headers["location"]
    return first.headers["location"]


def test_a_pack_is_made_of_prompts_ordered_worded_and_emptied(
    server: Server, owner: httpx.Client, stranger: httpx.Client, drawn: Json, pack: str
) -> None:
    first, second = (prompt["id"] for prompt in drawn["prompts"])
    page = owner.get(pack).text
    assert "Beaches &lt;b&gt;" in page and [text[-1] for text in words(page)] == ["0", "1"]
    owner.post(f"{pack}/edit", data={"do": f"{second}.earlier"})
    owner.post(f"{pack}/edit", data={"do": f"{second}.earlier"})  # it is the first already
    assert [text[-1] for text in words(owner.get(pack).text)] == ["1", "0"]
    owner.post(f"{pack}/edit", data={"do": f"{first}.text", f"text-{first}": "sks man on a dune"})
    blank = owner.post(f"{pack}/edit", data={"do": f"{first}.text", f"text-{first}": " "})
    assert blank.status_code == 422 and "be blank" in blank.text
    shown = server.http.get(f"/p/{pack.rpartition('/')[2]}").json()
    assert [row["id"] for row in shown["template_prompts"]] == [second, first]
    assert shown["template_prompts"][1]["text"] == f"<lora:{drawn['id']}:1> sks man on a dune"
    picture = server.prompt(first)["images"][0].rpartition("/")[2].removesuffix(".jpg")
    owner.post(f"{pack}/edit", data={"do": f"{picture}.cover"})
    assert f"/images/{picture}.jpg" in owner.get("/app/packs").text
    for path, data in (
        (pack, None),
        (f"{pack}/edit", {"do": f"{first}.out"}),
        (f"/app/prompts/{first}/pack", {"pack": "corporate"}),
    ):
        assert (
            stranger.get(path) if data is None else stranger.post(path, data=data)
        ).status_code == 404, path
    owner.post(f"{pack}/edit", data={"do": "change", "title": "Dunes", "public": "true"})
    seen = stranger.get(pack).text
    assert "Dunes" in seen and "sks man on a dune" in seen and "<textarea" not in seen
    for number in (first, second):
        owner.post(f"{pack}/edit", data={"do": f"{number}.out"})
    assert not words(owner.get(pack).text) and server.prompt(first)["pack_id"] is None


def test_a_pack_runs_on_a_tune_once(server: Server, owner: httpx.Client, drawn: Json) -> None:
    page = owner.get("/app/packs/casual").text
    asked = {"tune": str(drawn["id"]), "count": "1", "once": once(page)}
    for _ in range(2):
        answer = owner.post("/app/packs/casual/draw", data=asked)
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            f"/app/create?tune={drawn['id']}#results",
        )
    made = [
        prompt
        for prompt in server.http.get(f"/tunes/{drawn['id']}/prompts").json()
        if prompt["base_pack_id"]
    ]
    assert len(made) == 6 and all("sks man" in prompt["text"] for prompt in made)
    for prompt in made:
        server.http.delete(f"/prompts/{prompt['id']}")
    assert (
        owner.post("/app/packs/pets/draw", data={"tune": str(drawn["id"]), "once": "x"}).status_code
        == 422
    )


def test_a_pack_runs_on_photos_of_somebody_new(server: Server, owner: httpx.Client) -> None:
    page = owner.get("/app/tunes/new?pack=casual", follow_redirects=True).text
    assert '<select id="name"' in page and "Casual" in page
    form = {
        "tune[title]": "somebody new",
        "tune[name]": "woman",
        "tune[preset]": "trial",
        "tune[pack]": "casual",
        "draft": "a-new-face-012345",
    }
    answer = owner.post("/app/tunes", data=form, files=pictures(4))
    assert answer.status_code == 303
    number = answer.headers["location"].rpartition("/")[2]
    waiting = server.http.get(f"/tunes/{number}/prompts").json()
    assert len(waiting) == 6 and all(
        "ohwx woman" in prompt["text"] and prompt["base_pack_id"] for prompt in waiting
    )
    server.http.delete(f"/tunes/{number}", params={"delete_prompts": "1"})


def test_drafts_of_a_theme_cost_nothing_until_they_are_drawn(
    server: Server, owner: httpx.Client, stranger: httpx.Client, drawn: Json
) -> None:
    before = server.http.get("/prompts").json()
    topic = {"theme": "tales of the <sea>", "tune": str(drawn["id"])}
    page = owner.post("/app/themes/drafts", data=topic).text
    drafts = re.findall(r'name="draft\[\d\]\[text\]"[^>]*>([^<]*)</textarea>', page)
    assert (
        len(drafts) == 10
        and all(text.startswith("sks man, tales of the") for text in drafts)
        and "built-in composer" in page
    )
    assert server.http.get("/prompts").json() == before
    sent = topic | {"writer": "composer", "once": once(page), "count": "2", "ratio": "3:4"}
    sent |= {f"draft[{i}][text]": text for i, text in enumerate(drafts)} | {
        "draft[3][keep]": "1",
        "draft[7][keep]": "1",
    }
    sent["draft[7][text]"] = "sks man on a raft, waving, in bright sun"
    for _ in range(2):
        assert owner.post("/app/themes/run", data=sent).status_code == 303
    made = server.http.get("/prompts").json()[: -len(before)]
    assert [
        (
            row["text"].partition("> ")[2],
            row["num_images"],
            row["aspect_ratio"],
            row["theme_writer"],
        )
        for row in made
    ] == [
        (sent["draft[7][text]"], 2, "3:4", "composer"),
        (drafts[3], 2, "3:4", "composer"),
    ]
    for row in made:
        server.http.delete(f"/prompts/{row['id']}")
    nothing = owner.post(
        "/app/themes/run", data={**topic, "once": "another", "draft[0][text]": "kept words"}
    )
    assert (
        nothing.status_code == 422
        and "Nothing is ticked" in nothing.text
        and "kept words" in nothing.text
    )
    assert stranger.post("/app/themes/drafts", data=topic).status_code == 422
