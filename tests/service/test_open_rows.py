"""What of tunes and prompts is open, in Python and in the database, whose indexes serve it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session

from fluxbooth.service import overview
from fluxbooth.service.accounts import quotas
from fluxbooth.service.db.tables import Prompt, Tune, now
from tests.support.installation import Installation

ENDS = {Tune: ("trained_at", "failed_at", "deleted_at"), Prompt: ("trained_at", "deleted_at")}


def row(kind: type[Tune] | type[Prompt], account: int, **times: Any) -> Tune | Prompt:
    if kind is Tune:
        named = {"title": "a", "name": "man", "model_type": "lora", "branch": "fast"}
        return Tune(account_id=account, base="nano", base_tune_id=1, **named, **times)
    return Prompt(account_id=account, tune_id=1, text="a", signature="", **times)


@pytest.mark.parametrize("kind", [Tune, Prompt])
def test_a_row_is_open_until_any_end(
    installation: Installation, kind: type[Tune] | type[Prompt]
) -> None:
    account = installation.account()
    with installation.results.db.write() as session:
        for ends in itertools.product((None, now()), repeat=len(ENDS[kind])):
            session.add(row(kind, account, **dict(zip(ENDS[kind], ends, strict=True))))
        session.flush()
        mine = session.scalars(select(kind).where(kind.account_id == account)).all()
        found = session.scalars(
            select(kind.id).where(kind.account_id == account, kind.is_open)
        ).all()
        assert [one.id for one in mine if one.is_open] == list(found) and len(found) == 1
        session.rollback()


def plans(session: Session, work: Any) -> list[str]:
    """How the database goes about each query of some work."""
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):  # a new connection says more
            asked.append((statement, parameters))

    bind = session.get_bind()
    event.listen(bind, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(bind, "before_cursor_execute", note)
    driver: Any = session.connection().connection
    return [
        " ".join(line[3] for line in driver.execute(f"EXPLAIN QUERY PLAN {query}", parameters))
        for query, parameters in asked
    ]


def test_open_rows_are_found_by_their_indexes(installation: Installation) -> None:
    account, settings = installation.account(), installation.settings
    with installation.results.db.read() as session:
        tunes, prompts = plans(session, lambda: quotas.waiting(session, account))
        assert "INDEX open_tunes" in tunes and "INDEX open_prompts" in prompts
        counts = plans(session, lambda: overview.overview(session, settings))[:3]
    assert [name for plan in counts for name in ("open_tunes", "open_prompts") if name in plan] == [
        "open_tunes",
        "open_tunes",
        "open_prompts",
    ]
