"""A card in the tests: its memory, and an allocator that behaves as torch's does on it.

Torch asks the driver for segments and cuts blocks out of them. Sizes are rounded to 512 bytes;
blocks of at most 1 MiB come out of segments of 2 MiB, those below 10 MiB out of 20 MiB, larger ones
out of their own, in steps of 2 MiB. What is freed stays for the next tensors until `empty_cache`
or until the driver has no more. With `expandable`, a pool is one range of addresses to which pages
are added at the end, so that what one size leaves serves another.

None of this imports `fluxbooth.memory`: it is there to judge it.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

MIB, GIB = 2**20, 2**30
SMALLEST, SMALL, SMALL_SEGMENT = 512, MIB, 2 * MIB
BELOW, LARGE_SEGMENT, STEP = 10 * MIB, 20 * MIB, 2 * MIB
# what CUDA takes when a process first uses a card, and cuBLAS for its own work
CONTEXT = 0.45 * GIB + 72 * MIB
DRIVER = 0.25 * GIB  # of a card that no process has used yet


class OutOfMemory(Exception):
    """What the driver says."""


class Card:
    """`gigabytes` as on its box; `held` bytes are other programs'."""

    def __init__(self, gigabytes: float, held: float = 0.0) -> None:
        self.total = int(gigabytes * GIB)
        self.taken = int(DRIVER + held)

    @property
    def free(self) -> int:
        return self.total - self.taken

    def take(self, size: int) -> None:
        if size > self.free:
            raise OutOfMemory(f"{size / GIB:.2f} of {self.free / GIB:.2f} GB")
        self.taken += size

    def give_back(self, size: int) -> None:
        self.taken -= size


def rounded(size: int) -> int:
    return max(SMALLEST, -(-size // SMALLEST) * SMALLEST)


def pinned(size: int) -> int:
    """Main memory that torch pins for so many bytes: the next power of two."""
    return 1 << max(0, size - 1).bit_length()


@dataclass(eq=False)
class Block:
    segment: int  # its number
    start: int
    size: int
    free: bool = True
    before: Block | None = None
    after: Block | None = None
    number: int = field(default_factory=itertools.count().__next__)


class Allocator:
    """Torch's caching allocator in a process on a card."""

    def __init__(self, card: Card, *, expandable: bool = True) -> None:
        self.card, self.expandable = card, expandable
        card.take(int(CONTEXT))
        self.reserved = self.allocated = self.peak_allocated = self.peak_reserved = 0
        # of each pool the free blocks by size; the segments by number; the last block of the range
        self.spare: dict[bool, list[tuple[int, int, Block]]] = {True: [], False: []}
        self.segments = itertools.count()
        self.last: dict[bool, Block | None] = {True: None, False: None}

    def allocate(self, size: int) -> Block:
        size = rounded(size)
        small = size <= SMALL
        block = self._found(small, size) or self._grown(small, size)
        self._remove(block, small)
        self._split(block, small, size)
        block.free = False
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def free(self, block: Block, small: bool | None = None) -> None:
        small = block.size <= SMALL if small is None else small
        self.allocated -= block.size
        block.free = True
        for other in (block.before, block.after):
            if other is not None and other.free:
                self._remove(other, small)
                first, second = (other, block) if other is block.before else (block, other)
                first.size += second.size
                first.after = second.after
                if second.after is not None:
                    second.after.before = first
                if self.last[small] is second:
                    self.last[small] = first
                block = first
        self._add(block, small)

    def empty_cache(self) -> None:
        """Back to the driver: whole segments, or the free pages of a range."""
        for small, spare in self.spare.items():
            for _, _, block in list(spare):
                self._return(block, small)

    def _found(self, small: bool, size: int) -> Block | None:
        spare = self.spare[small]
        at = bisect.bisect_left(spare, (size, -1))
        return spare[at][2] if at < len(spare) else None

    def _grown(self, small: bool, size: int) -> Block:
        for attempt in range(2):
            try:
                return self._extended(small, size) if self.expandable else self._segment(size)
            except OutOfMemory:
                if attempt:
                    raise
                self.empty_cache()
        raise AssertionError

    def _segment(self, size: int) -> Block:
        small = size <= SMALL
        whole = (
            SMALL_SEGMENT if small else LARGE_SEGMENT if size < BELOW else -(-size // STEP) * STEP
        )
        self._take(whole)
        block = Block(next(self.segments), 0, whole)
        self._add(block, small)
        return block

    def _extended(self, small: bool, size: int) -> Block:
        """More pages at the end of a pool's range."""
        page = SMALL_SEGMENT if small else LARGE_SEGMENT
        last = self.last[small]
        there = last.size if last is not None and last.free else 0
        more = -(-(size - there) // page) * page
        self._take(more)
        if last is not None and last.free:
            self._remove(last, small)
            last.size += more
            self._add(last, small)
            return last
        start = 0 if last is None else last.start + last.size
        block = Block(0, start, more, before=last)
        if last is not None:
            last.after = block
        self.last[small] = block
        self._add(block, small)
        return block

    def _return(self, block: Block, small: bool) -> None:
        if not self.expandable:
            if block.before is None and block.after is None:
                self._remove(block, small)
                self._give(block.size)
            return
        page = SMALL_SEGMENT if small else LARGE_SEGMENT
        start, end = -(-block.start // page) * page, (block.start + block.size) // page * page
        if end <= start:
            return
        # what lies between its whole pages stays; the addresses are not used again, of which there
        # are as many as anybody wants
        self._remove(block, small)
        self._give(end - start)
        kept = list[Block]()
        for at, size in ((block.start, start - block.start), (end, block.start + block.size - end)):
            if size:
                kept.append(Block(0, at, size))
        self._replace(block, kept, small)

    def _replace(self, block: Block, kept: list[Block], small: bool) -> None:
        """A hole in the range: its edges have no neighbours across it."""
        for piece in kept:
            if piece.start == block.start and block.before is not None:
                piece.before, block.before.after = block.before, piece
            if piece.start + piece.size == block.start + block.size and block.after is not None:
                piece.after, block.after.before = block.after, piece
            self._add(piece, small)
        if block.before is not None and block.before.after is block:
            block.before.after = None
        if block.after is not None and block.after.before is block:
            block.after.before = None
        if self.last[small] is block:
            end = [piece for piece in kept if piece.start + piece.size == block.start + block.size]
            tail = Block(0, block.start + block.size, 0, free=False)
            self.last[small] = end[0] if end else tail

    def _split(self, block: Block, small: bool, size: int) -> None:
        rest = block.size - size
        if not (rest >= SMALLEST if small or self.expandable else rest > SMALL):
            return
        after = Block(block.segment, block.start + size, rest, before=block, after=block.after)
        if block.after is not None:
            block.after.before = after
        block.after, block.size = after, size
        if self.last[small] is block:
            self.last[small] = after
        self._add(after, small)

    def _add(self, block: Block, small: bool) -> None:
        bisect.insort(self.spare[small], (block.size, block.number, block))

    def _remove(self, block: Block, small: bool) -> None:
        spare = self.spare[small]
        at = bisect.bisect_left(spare, (block.size, block.number))
        assert spare[at][2] is block
        del spare[at]

    def _take(self, size: int) -> None:
        self.card.take(size)
        self.reserved += size
        self.peak_reserved = max(self.peak_reserved, self.reserved)

    def _give(self, size: int) -> None:
        self.card.give_back(size)
        self.reserved -= size


# a tensor that comes (bytes) or goes (0), by its number
Event = tuple[int, int]


class Process:
    """A process on a card that lives through what was recorded."""

    def __init__(self, card: Card, *, expandable: bool = True) -> None:
        self.card = card
        self.allocator = Allocator(card, expandable=expandable)
        self.alive: dict[tuple[str, int], tuple[Block, bool]] = {}

    def live(self, name: str, events: Iterable[Event]) -> None:
        """What stays at their end is there until `forget` is told the name."""
        for number, size in events:
            key = (name, number)
            if size:
                block = self.allocator.allocate(size)
                self.alive[key] = (block, rounded(size) <= SMALL)
            else:
                block, small = self.alive.pop(key)
                self.allocator.free(block, small)

    def forget(self, name: str) -> None:
        for key in [key for key in self.alive if key[0] == name]:
            block, small = self.alive.pop(key)
            self.allocator.free(block, small)

    @property
    def told_free(self) -> int:
        """What fluxbooth.hardware would be told: the driver's, and what torch keeps."""
        return self.card.free + self.allocator.reserved - self.allocator.allocated
