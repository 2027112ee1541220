"""What a training step has a card's host wait for, on a stand-in for the card."""

from __future__ import annotations

from bench.step_operations import host_copies


def test_a_step_waits_for_no_copy_from_main_memory() -> None:
    found = host_copies()
    assert found["waited for"] == 0 and found["of themselves"] > 0
