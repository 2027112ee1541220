"""LoRA files that come to the service: what can be drawn with is a tune at once, everything
else is refused with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from fluxbooth.service.db.tables import Tune
from tests.support import lora_files
from tests.support.in_process_server import InProcessServer, in_process_server


@pytest.fixture(scope="module")
def town(blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    with in_process_server(blank, tmp_path_factory.mktemp("town") / "data", base="nano") as opened:
        yield opened


def test_every_file_of_the_world_is_a_tune_or_refused_with_its_reason(
    tmp_path: Path, town: InProcessServer
) -> None:
    _, guest = town.guest("collector")
    for case in lora_files.cases(lora_files.nano_weights()):
        content = case.write(tmp_path).read_bytes()
        answer = guest.post(
            "/tunes",
            data={"tune[title]": case.name, "tune[name]": "man"},
            files={"tune[lora_file]": ("x", content)},
        )
        if not case.refused:
            assert answer.status_code == 201, (case.name, answer.text)
            assert answer.json()["trained_at"]
            with town.db.read() as session:
                key = session.get_one(Tune, answer.json()["id"]).lora
            assert key and town.results.store.path(key).read_bytes() == content
            continue
        assert answer.status_code == 422, (case.name, answer.text)
        (reason,) = answer.json()["lora_file"]
        assert reason.startswith("The file ") and re.search(case.refused, reason), (
            case.name,
            reason,
        )
        assert str(tmp_path) not in reason and str(town.settings.data) not in reason
