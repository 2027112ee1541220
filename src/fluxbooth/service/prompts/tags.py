"""The tags of a text, `<lora:NAME:STRENGTH>`, and the account's tunes that they name."""

from __future__ import annotations

import re

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from fluxbooth.prompts import language, options
from fluxbooth.service.db.tables import Account, Tune

TAG = re.compile(r"<(lora|faceid):([^<>:]{1,100}):([\d.]{1,12})>", re.IGNORECASE)
BROKEN_TAG = re.compile(r"<\s*(lora|faceid)\s*:", re.IGNORECASE)


def uses_of(
    session: Session, account: Account, text: str
) -> tuple[list[tuple[Tune, float]], list[str]]:
    """The tunes that the tags of a text name, and what is wrong with the tags."""
    found: dict[int, tuple[Tune, float]] = {}
    tags, wrong = TAG.findall(text), list[str]()
    if (named := len({name for _, name, _ in tags})) > language.MAX_LORAS:
        return [], [f"uses {named} LoRAs: use at most {language.MAX_LORAS}"]
    for kind, name, weight in tags:
        tune, strength = own(session, account, name), _strength(weight)
        if tune is None or tune.failed_at:
            wrong.append(f"refers to tune {name}, which {'failed' if tune else 'does not exist'}")
        elif kind.lower() != tune.model_type:
            wrong.append(
                f"refers to tune {name} as <{kind.lower()}:...>, and it is of the type "
                f"{tune.model_type}: write <{tune.model_type}:{name}:{weight}>"
            )
        elif strength is None:
            wrong.append(f"gives tune {name} the strength {weight}, which is not a number")
        elif strength > language.MAX_WEIGHT:
            wrong.append(
                f"gives tune {name} the strength {weight}: use 0 to 4, most often 0.6 to 1.2"
            )
        else:
            found[tune.id] = (tune, strength)
    if BROKEN_TAG.search(TAG.sub("", text)):
        wrong.append("holds a tag that is not complete: write it like <lora:123:0.8>")
    return list(found.values()), wrong


def own(session: Session, account: Account, name: str) -> Tune | None:
    """The account's tune by id, else the newest by token or title."""
    mine = select(Tune).where(Tune.account_id == account.id, Tune.deleted_at.is_(None))
    if name.isascii() and name.isdecimal() and len(name) < 19:
        return session.scalar(mine.where(Tune.id == int(name)))
    return session.scalar(
        mine.where(or_(Tune.token == name, Tune.title == name)).order_by(Tune.id.desc())
    )


def words_of(text: str) -> str:
    """A text without its tags and flags."""
    return TAG.sub("", options.without_flags(text)).strip()


def _strength(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
