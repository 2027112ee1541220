"""What the engine tells the device process about a drawing."""

from __future__ import annotations

from fluxbooth.service.db.tables import Tune
from tests.support.installation import Installation


def test_a_drawing_names_the_loras_of_the_next_one(installation: Installation) -> None:
    account, results = installation.account(), installation.results
    tune = installation.tune(account, "one")
    installation.trained(tune)
    first, second = (
        installation.prompt(account, tune, f"sks man {place}")
        for place in ("at the beach", "in a forest")
    )
    request = results.begin_drawing(first)
    assert request is not None
    assert request["soon"] == [
        str(results.store.path(f"{installation.row(Tune, tune).folder}/lora.safetensors"))
    ]
    results.drawing_begun(first)
    last = results.begin_drawing(second)
    assert last is not None and last["soon"] == []  # the first is another process's now
