"""The program for a card, run small on a CPU: that each of its rows runs, and what it writes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from bench import gpu, tables
from bench.gpu_base import DRY, Part, Setting
from fluxbooth.evaluation.rows import figures
from fluxbooth.evaluation.verify import ROWS

# one of each kind; what is compiled, and what starts processes, takes longer
OF_EACH_KIND = {
    "A": (
        "matrix product",
        "attention, 64 tokens, cudnn",
        "step, bf16, 64 px, batch 2, all recomputed",
        "step, 1 blocks wait in main memory",
        "operations of a step",
    ),
    "B": (
        "a training that was resumed, as it is",
        "24 GB: two trainings by plan",
        "memory runs out in a step",
        "a cancel is answered",
    ),
    "C": (
        "a picture, first-block cache",
        "a change of LoRA, ours",
        "text encoder to the card and back, one pinned piece",
        "four LoRAs in one product, of four products",
        "a training step beside diffusers'",
    ),
}


@pytest.mark.parametrize("part", OF_EACH_KIND)
def test_a_row_of_each_kind_runs_on_a_cpu(part: str) -> None:
    out = io.StringIO()
    good = gpu.run(DRY, out, [part], 9.0, OF_EACH_KIND[part])
    first, *rows = [json.loads(line) for line in out.getvalue().splitlines()]
    assert first["machine"]["dry"] is True
    assert [row["row"] for row in rows] == list(OF_EACH_KIND[part])
    for row in rows:
        assert "failed" not in row, row
        assert row["least"] <= row["median"] <= row["most"] and row["unit"]
        assert row["ok"] is True, row
    assert good


@pytest.mark.slow
def test_every_row_runs_on_a_cpu() -> None:
    out = io.StringIO()
    good = gpu.run(DRY, out, list(gpu.PARTS), 9.0)
    rows = [json.loads(line) for line in out.getvalue().splitlines()][1:]
    assert good, [row for row in rows if not row["ok"]]
    assert len(rows) == sum(len(part.rows) for part in gpu.parts(DRY))


def test_a_row_that_fails_does_not_end_the_others_and_each_is_written_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = list[str]()

    class Out(io.StringIO):
        def flush(self) -> None:
            seen.append(self.getvalue().splitlines()[-1])

    def fails(_: Setting) -> dict[str, object]:
        raise RuntimeError("CUDA error: an illegal memory access")

    def works(_: Setting) -> dict[str, object]:
        return figures([2.0, 1.0, 3.0], "s")

    part = Part("A", {"first": fails, "second": works})
    monkeypatch.setattr(gpu, "PARTS", {"A": lambda setting: part})
    assert not gpu.run(DRY, Out(), ["A"], 9.0)
    told = [json.loads(line) for line in seen]
    assert [row.get("row") for row in told] == [None, "first", "second"]
    assert told[1]["failed"].startswith("RuntimeError: CUDA error") and not told[1]["ok"]
    assert (told[2]["least"], told[2]["median"], told[2]["most"]) == (1.0, 2.0, 3.0)
    assert list(gpu.measured(part, DRY, minutes=-1.0)) == []  # no time is left


def test_the_page_has_every_row_and_says_which_were_not_measured() -> None:
    rows = [
        {"machine": {"gpu": "H200"}},
        {"row": "matrix product", **figures([700.0], "TFLOP/s")},
        {"row": "copy on the card", "ok": False, "failed": "RuntimeError: no"},
    ]
    found = gpu.page(rows)
    by_name = {row[0]: row[1:] for table in found.values() for row in table["rows"]}
    assert by_name["matrix product"] == ["TFLOP/s", 700.0, 700.0, 700.0, ""]
    assert by_name["copy on the card"][-1] == "does not hold"
    assert by_name["operations of a step"][0] == "not measured"
    every = gpu.parts(Setting(torch.device("cuda")))
    assert by_name.keys() == {name for part in every for name in part.rows} | set(ROWS)
    real = gpu.page(rows, [{"row": "a step", **figures([0.4, 0.5], "s", against="bf16")}])
    assert real["D"]["rows"][0] == ["a step", "s", 0.45, 0.4, 0.5, "bf16"]
    assert real["A"] == found["A"]


def test_what_is_committed_has_the_rows_that_there_are() -> None:
    committed = tables.load("gpu")
    for name, table in gpu.page([]).items():
        assert [row[0] for row in committed[name]["rows"]] == [row[0] for row in table["rows"]]
    page = (Path(tables.ROOT) / "docs" / "gpu.md").read_text()
    assert all(f"<!-- measured: gpu.{name} -->" in page for name in committed)
