"""The picture in docs/architecture.md, from the boxes and arrows below; `python -m
tests.test_docs` writes it."""

from __future__ import annotations

INK, PAPER, LINE = "#222", "#fff", "#888"
HEIGHT, GAP, UNIT = 44, 34, 84  # of a box, between rows, of a column
# the two halves and what lies outside them: label, colour, first row, last row
BANDS = [
    ("outside", "#f3f3f3", 0, 0),
    ("rows: no torch", "#e3eefb", 1, 4),
    ("tensors: no SQL, no HTTP", "#fdeeda", 5, 8),
]
# name: text, row, first column, columns
BOXES = {
    "browser": ("browser", 0, 0, 2), "programs": ("programs, Client", 0, 2, 3),
    "shell": ("shell", 0, 6, 2), "pages": ("web/pages", 1, 0, 2), "api": ("web/api", 1, 2, 3),
    "cli": ("cli", 1, 6, 2),
    "service": ("service: tunes, prompts, packs, accounts, billing", 2, 0, 5),
    "rows": ("SQLite: rows, jobs, ledger", 3, 0, 3), "files": ("files", 3, 3, 1),
    "worker": ("engine: worker", 3, 4, 2), "pool": ("engine: device pool", 4, 4, 2),
    "device": ("engine: device process, one for each device", 5, 2, 4),
    "photos": ("photos", 6, 0, 1), "training": ("training: loop", 6, 1, 2),
    "generation": ("generation: sampling", 6, 4, 2), "evaluation": ("evaluation", 6, 6, 2),
    "lora": ("lora", 7, 2, 2), "models": ("models: families, planner", 7, 4, 3),
    "memory": ("memory, hardware", 8, 4, 3),
}  # fmt: skip
ARROWS = [
    ("browser", "pages"), ("programs", "api"), ("shell", "cli"), ("pages", "service"),
    ("api", "service"), ("service", "rows"), ("service", "files"), ("worker", "service"),
    ("cli", "worker"), ("worker", "pool"), ("pool", "device"), ("device", "training"),
    ("device", "generation"), ("cli", "evaluation"), ("training", "photos"),
    ("training", "generation"), ("training", "lora"), ("generation", "lora"),
    ("evaluation", "generation"), ("lora", "models"), ("models", "memory"),
]  # fmt: skip


def svg() -> str:
    """The picture: boxes in bands, an arrow from who calls to who is called."""
    rows = 1 + max(row for _, row, _, _ in BOXES.values())
    width, height = 8 * UNIT + 32, rows * (HEIGHT + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13" fill="{INK}">',
        f'<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>',
    ]
    for label, colour, first, last in BANDS:
        top, tall = first * (HEIGHT + GAP), (last - first + 1) * (HEIGHT + GAP)
        parts.append(f'<rect x="0" y="{top}" width="{width}" height="{tall}" fill="{colour}"/>')
        parts.append(f'<text x="8" y="{top + tall - 4}" font-style="italic">{label}</text>')
    for begin, end in ARROWS:
        (x1, y1), (x2, y2) = _ends(begin, end)
        parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{LINE}" stroke-width="1.5" marker-end="url(#to)"/>'
        )
    for name, (text, *_) in BOXES.items():
        x, y, wide = _box(name)
        parts.append(
            f'<rect x="{x}" y="{y}" width="{wide}" height="{HEIGHT}" rx="5" fill="{PAPER}" stroke="{INK}"/>'
        )
        parts.append(
            f'<text x="{x + wide / 2:.0f}" y="{y + HEIGHT / 2 + 4:.0f}" text-anchor="middle">{text}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(name: str) -> tuple[int, int, int]:
    """Left, top and width in pixels."""
    _, row, column, columns = BOXES[name]
    return 16 + column * UNIT + 6, row * (HEIGHT + GAP) + GAP // 2, columns * UNIT - 12


def _ends(begin: str, end: str) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where an arrow leaves one box and meets the other: from side to side in a row, else from
    edge to edge."""
    (x1, y1, wide1), (x2, y2, wide2) = _box(begin), _box(end)
    if y1 == y2:
        right = x2 > x1
        return (x1 + wide1 if right else x1, y1 + HEIGHT // 2), (
            x2 if right else x2 + wide2,
            y2 + HEIGHT // 2,
        )
    left, until = max(x1, x2), min(x1 + wide1, x2 + wide2)
    below = y2 > y1
    leaves, meets = (y1 + HEIGHT, y2) if below else (y1, y2 + HEIGHT)
    if left < until:  # one over the other
        return ((left + until) // 2, leaves), ((left + until) // 2, meets)
    return (x1 + wide1 // 2, leaves), (x2 + wide2 // 2, meets)
