"""Plans on a stand-in for a card: whatever is accepted fits, with a twentieth to spare, and
nothing that fits is refused."""

from __future__ import annotations

import pytest

from fluxbooth.errors import InputError
from fluxbooth.hardware import Room
from fluxbooth.memory import estimate
from fluxbooth.memory.estimate import Choice, Job
from fluxbooth.models.flux1.size import FLUX1
from tests.support import recording
from tests.support.card import (
    GIB,
    LARGE_SEGMENT,
    MIB,
    Allocator,
    Card,
    OutOfMemory,
    Process,
    pinned,
    rounded,
)
from tests.support.card_life import MAIN, Life, story
from tests.support.recording import Kept

CARDS = (8, 12, 16, 24, 48, 80, 141)
HELD = (0.0, 1.5 * GIB)


def test_sizes_are_rounded_as_torch_rounds_them() -> None:
    assert [rounded(size) for size in (1, 512, 513)] == [512, 512, 1024]
    assert [pinned(size) for size in (1, 4096, 4097)] == [1, 4096, 8192]
    allocator = Allocator(Card(24), expandable=False)
    allocator.allocate(1000)
    assert allocator.reserved == 2 * MIB and allocator.allocated == 1024
    allocator.allocate(3 * MIB)
    assert allocator.reserved == 2 * MIB + LARGE_SEGMENT
    allocator.allocate(21 * MIB)
    assert allocator.reserved == 2 * MIB + LARGE_SEGMENT + 22 * MIB
    allocator.allocate(4 * MIB)  # out of what the segment of 20 MiB still has
    assert allocator.reserved == 2 * MIB + LARGE_SEGMENT + 22 * MIB


def test_what_is_freed_stays_reserved_until_it_is_given_back() -> None:
    for expandable in (True, False):
        card = Card(24)
        allocator = Allocator(card, expandable=expandable)
        before = card.free
        block = allocator.allocate(400 * MIB)
        allocator.free(block)
        assert allocator.allocated == 0 and allocator.reserved == 400 * MIB
        assert card.free == before - 400 * MIB
        allocator.free(allocator.allocate(400 * MIB))
        assert allocator.reserved == 400 * MIB
        allocator.empty_cache()
        assert allocator.reserved == 0 and card.free == before


def test_holes_of_one_size_serve_another_only_where_a_range_grows() -> None:
    """Segments of 40 MiB, freed, do not make one of 80."""
    reserved = list[int]()
    for expandable in (True, False):
        allocator = Allocator(Card(24), expandable=expandable)
        blocks = [allocator.allocate(40 * MIB) for _ in range(4)]
        for block in blocks:
            allocator.free(block)
        for _ in range(2):
            allocator.allocate(80 * MIB)
        reserved.append(allocator.reserved // MIB)
    assert reserved == [160, 320]


def test_a_full_card_first_takes_back_what_is_only_kept() -> None:
    card = Card(1.5)
    allocator = Allocator(card, expandable=False)
    free = card.free // MIB // 2 * 2
    allocator.free(allocator.allocate((free - 100) * MIB))
    allocator.allocate((free - 50) * MIB)
    with pytest.raises(OutOfMemory):
        allocator.allocate(200 * MIB)


def test_what_a_range_gave_back_can_be_asked_for_again() -> None:
    allocator = Allocator(Card(24))
    blocks = [allocator.allocate(30 * MIB) for _ in range(6)]
    for block in (blocks[1], blocks[2], blocks[4], blocks[5]):
        allocator.free(block)
    allocator.empty_cache()
    assert allocator.allocated <= allocator.reserved < 180 * MIB
    more = [allocator.allocate(50 * MIB) for _ in range(4)]
    for block in (*more, blocks[0], blocks[3]):
        allocator.free(block)
    assert allocator.allocated == 0
    allocator.empty_cache()
    assert allocator.reserved < 6 * LARGE_SEGMENT  # edges of pages


def test_a_service_on_a_card_of_24_gb() -> None:
    """At one size, to be quick; all cards, at mixed sizes, are below."""
    life = Life(Card(24), sides=(1024,))
    done = story(life)
    assert done["training"] == done["second training"] == done["after a change of base"] > 0
    assert life.least_free >= 0.05


@pytest.mark.slow
@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("gigabytes", CARDS)
def test_a_service_on_every_card(gigabytes: int, held: float) -> None:
    life = Life(Card(gigabytes, held))
    try:
        done = story(life)
    except InputError:
        assert not fits_at_all(gigabytes, held)
        return
    assert done["training"] == done["second training"]
    assert life.least_free >= 0.05


def fits_at_all(gigabytes: int, held: float) -> bool:
    """Whether the usual training would, with everything given up and a twentieth kept free."""
    card = Card(gigabytes, held)
    began = card.free
    process, kept = Process(card), Kept("nf4", 57, 57, "cpu")
    try:
        process.live("base", recording.base(kept))
        process.live("autoencoder", recording.autoencoder())
        process.live("photo", recording.encoding(1024))
        process.live("lora", recording.adapter())
        process.live("step", recording.step(1024, kept))
    except OutOfMemory:
        return False
    return card.free + process.allocator.reserved - process.allocator.peak_reserved >= 0.05 * began


# side, quantisation, recomputed, offloaded: 40 of them
CONFIGURATIONS = [
    (side, quantisation, checkpointed, offloaded)
    for side in (512, 1024)
    for quantisation in ("none", "int8", "nf4")
    for checkpointed in (0, 19, 38, 57)
    for offloaded in (0,)
] + [
    (side, quantisation, 57, offloaded)
    for side in (512, 768, 1024)
    for quantisation in ("none", "nf4")
    for offloaded in (10, 57)
] + [(768, quantisation, 57, 0) for quantisation in ("none", "int8", "nf4", "fp8")]  # fmt: skip


def compared(
    side: int, quantisation: str, checkpointed: int, offloaded: int
) -> tuple[float, float]:
    """Bytes of a card: as estimated, and as replayed on one that is large enough."""
    choice = Choice("bfloat16", quantisation, checkpointed, "leave", offloaded)  # pyright: ignore[reportArgumentType]
    job, kept = Job(side, 512), Kept(quantisation, checkpointed, offloaded)
    card = Card(180)
    began = card.free
    process = Process(card)
    process.live("encoders", recording.encoders())
    process.live("photo", recording.encoding(side))
    process.forget("encoders")
    process.allocator.empty_cache()
    process.live("base", recording.base(kept))
    process.live("lora", recording.adapter())
    for _ in range(2):
        process.live("step", recording.step(side, kept))
    context = began - card.free - process.allocator.reserved
    estimated = estimate.estimate(FLUX1, job, choice).device
    return estimated, process.allocator.peak_reserved + context


@pytest.mark.slow
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_the_estimate_is_what_is_replayed(configuration: tuple[int, str, int, int]) -> None:
    estimated, replayed = compared(*configuration)
    assert estimated == pytest.approx(replayed, rel=0.08)


def test_forty_configurations() -> None:
    assert len(CONFIGURATIONS) == len(set(CONFIGURATIONS)) == 40


@pytest.mark.parametrize("gigabytes", CARDS)
@pytest.mark.parametrize("held", HELD)
def test_every_plan_keeps_a_twentieth_free(gigabytes: int, held: float) -> None:
    room = Room(Card(gigabytes, held).free, MAIN)
    assert room.device is not None
    for side in (512, 1024):
        try:
            plan = estimate.choose("flux-dev", FLUX1, Job(side, 512), room)
        except InputError:
            assert gigabytes == 8
            continue
        assert plan.estimate.device <= 0.95 * room.device


def test_encoders_stay_where_they_fit() -> None:
    kept = {}
    for gigabytes in CARDS:
        room = Room(Card(gigabytes).free, MAIN)
        job = Job(1024, 512, resident=True)
        kept[gigabytes] = estimate.choose("flux-dev", FLUX1, job, room).choice.encoders
    assert kept[48] == kept[80] == kept[141] == "stay"
    assert kept[8] == kept[12] == "cpu"
    alone = estimate.choose("flux-dev", FLUX1, Job(1024, 512), Room(80 * GIB, MAIN)).choice
    assert alone.encoders == "leave"  # one training encodes once


# python -m tests.memory.test_card [--seconds N] [--save]: a table for docs/measurements.md; what was
# replayed already is not replayed again
if __name__ == "__main__":
    import argparse
    import time

    from bench import machine, tables

    parser = argparse.ArgumentParser(prog="python -m tests.memory.test_card")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="then it stops")
    parser.add_argument("--save", action="store_true")
    options = parser.parse_args()
    began, kept = time.monotonic(), tables.load("memory").get("card", {"rows": []})["rows"]
    rows = {tuple(row[:4]): row for row in kept}
    for one in sorted(CONFIGURATIONS, key=str):
        if one in rows or time.monotonic() - began > options.seconds:
            continue
        told, was = compared(*one)
        rows[one] = [*one, round(told / GIB, 2), round(was / GIB, 2), f"{told / was - 1:+.1%}"]
        print(rows[one], f"{time.monotonic() - began:.0f} s", flush=True)
    if options.save:
        columns = ["px", "base's weights", "blocks recomputed", "blocks waiting in main memory",
                   "estimated, GiB", "replayed, GiB", "off by"]  # fmt: skip
        table = {
            "machine": machine.described(1),
            "by": "python -m tests.memory.test_card --save",
            "columns": columns,
            "rows": [rows[one] for one in CONFIGURATIONS if one in rows],
        }
        tables.save("memory", tables.load("memory") | {"card": table})
        tables.write()
