"""What a prompt quotes reaches the text encoders as it was written, whatever else of the prompt is
rewritten on the way."""

from __future__ import annotations

import pytest

from fluxbooth.prompts import language
from fluxbooth.service.db.tables import Template, Tune
from fluxbooth.service.packs.packs import adapted
from fluxbooth.service.themes.themes import compose

LETTERING = [
    '"OPEN LATE"',
    '"ohwx man at work"',
    '"(sale:1.5) [now] ++"',
    "\u201c50% off: ohwx\u201d",
    "\u00abChez Luc\u00bb",
]


def encoded(text: str) -> str:
    """What the encoders are given of a prompt."""
    return language.plain(language.parse(text).text)


@pytest.mark.parametrize("lettering", LETTERING)
def test_quoted_words_reach_the_encoders(lettering: str) -> None:
    text = f"<lora:1:0.8> ohwx man in front of a (bakery:1.2) with a sign {lettering}, at night"
    assert encoded(text) == f"ohwx man in front of a bakery with a sign {lettering}, at night"
    assert language.quoted(text) == [lettering[1:-1]]


@pytest.mark.parametrize("lettering", LETTERING)
def test_a_pack_renames_the_subject_and_no_lettering(lettering: str) -> None:
    text = f"<lora:7:0.9>  ohwx man under a sign {lettering}, ohwx smiles"
    template = Template(text=text, token="ohwx", class_name="man", tune_id=7)
    said, _ = adapted(template, Tune(id=8, token="zx", name="cat"))
    assert encoded(said) == f"zx cat under a sign {lettering}, zx smiles"


def test_a_theme_is_not_cut_within_lettering() -> None:
    theme = " ".join(["snow"] * 17) + ' a sign "Open late every day" and much more'
    for text in compose(theme, "ohwx man"):
        assert '"Open late every day",' in encoded(text)
        assert language.quoted(text) == ["Open late every day"]
