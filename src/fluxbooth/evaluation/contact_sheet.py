"""Contact sheets: what people would rather see than read."""

from __future__ import annotations

import base64
import html
import io
import textwrap
from collections.abc import Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

TILE, GAP, MARGIN, TITLE, CAPTION = 192, 10, 20, 34, 50
LARGEST_SIDE = 512  # pixels of a picture within a page
INK, PAPER, GREY = "#1d2733", "#ffffff", "#5b6672"


def contact_sheet(
    photos: Sequence[Image.Image],
    texts: Sequence[str],
    without: Sequence[Image.Image],
    with_lora: Sequence[Image.Image],
) -> Image.Image:
    """The training photos; below them, a column a prompt, without the LoRA and with it."""
    columns = max(len(texts), 1)
    width = 2 * MARGIN + columns * TILE + (columns - 1) * GAP
    small = (width - 2 * MARGIN - (len(photos) - 1) * GAP) // max(len(photos), 1)
    small = min(small, TILE)
    height = MARGIN + TITLE + small + 2 * (TITLE + TILE) + CAPTION + 2 * GAP + MARGIN
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = MARGIN
    for title, pictures, side in (
        (f"{len(photos)} training photos", photos, small),
        ("new prompts, without the LoRA", without, TILE),
        ("the same prompts and seeds, with the LoRA", with_lora, TILE),
    ):
        draw.text((MARGIN, y), title, fill=INK, font=ImageFont.load_default(20))
        y += TITLE
        for i, picture in enumerate(pictures):
            sheet.paste(_fitted(picture, side), (MARGIN + i * (side + GAP), y))
        y += side + GAP
    for i, text in enumerate(texts):
        lines = "\n".join(textwrap.wrap(text, 27))
        draw.text(
            (MARGIN + i * (TILE + GAP), y - GAP + 4),
            lines,
            fill=GREY,
            font=ImageFont.load_default(13),
        )
    return sheet


def grid(
    texts: Sequence[str], heads: Sequence[str], rows: Sequence[Sequence[Image.Image]]
) -> Image.Image:
    """A row a text, under it its words; a column for each of `heads`."""
    width = 2 * MARGIN + len(heads) * (TILE + GAP) - GAP
    letters = width // 8  # of a line, at the size of captions
    wrapped = [textwrap.wrap(text, letters, max_lines=3, placeholder=" …") for text in texts]
    line = 18
    height = 2 * MARGIN + TITLE + sum(TILE + GAP + line * len(words) + GAP for words in wrapped)
    sheet = Image.new("RGB", (width, height), PAPER)
    draw, y = ImageDraw.Draw(sheet), MARGIN
    for i, head in enumerate(heads):
        place = (MARGIN + i * (TILE + GAP), y)
        draw.text(place, head, fill=INK, font=ImageFont.load_default(20))
    y += TITLE
    for pictures, words in zip(rows, wrapped, strict=True):
        for i, picture in enumerate(pictures):
            sheet.paste(_fitted(picture, TILE), (MARGIN + i * (TILE + GAP), y))
        y += TILE + GAP // 2
        for said in words:
            draw.text((MARGIN, y), said, fill=GREY, font=ImageFont.load_default(13))
            y += line
        y += GAP + GAP // 2
    return sheet


def page(figures: dict[str, Any], texts: Sequence[str]) -> str:
    """A page for `index.html` beside `contact-sheet.png`, `report.json` and `pictures/`."""
    rows = "".join(
        f"<tr><th>{html.escape(k.replace('_', ' '))}</th><td>{v}</td></tr>"
        for k, v in figures.items()
    )
    cells = "".join(
        f'<figure><img src="pictures/{i}-without.png" alt="without the LoRA"><img '
        f'src="pictures/{i}-with.png" alt="with the LoRA">'
        f"<figcaption>{html.escape(text)}</figcaption></figure>"
        for i, text in enumerate(texts)
    )
    body = f"""<h1>A subject the model had never seen</h1>
<p>Ten photos, a short training, new prompts: each pair was drawn from the same words and seed,
left without the LoRA, right with it.</p>
{cells}
<h2>Figures</h2><table>{rows}</table>
<h2>Contact sheet</h2>
<img src="contact-sheet.png" alt="Training photos, and eight prompts without and with the LoRA">"""
    return document("Fluxbooth demo", body)


def document(title: str, body: str) -> str:
    """A whole HTML page in the look of all reports; `title` is plain text, `body` is HTML."""
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: {INK}; max-width: 72rem; margin: 2rem auto;
    padding: 0 1rem }}
img {{ max-width: 100%; border-radius: 6px }}
figure {{ display: inline-block; width: 17rem; margin: .5rem }}
figure img {{ width: 48%; margin-right: 2% }}
figcaption {{ color: {GREY}; font-size: .85rem }}
.photo {{ width: 6rem; margin-right: .3rem }}
th {{ text-align: left; font-weight: 500; padding-right: 2rem }}
td {{ font-variant-numeric: tabular-nums; padding-right: 2rem }}
pre {{ overflow-x: auto; font-size: .8rem }}
.wide {{ overflow-x: auto }}
code {{ overflow-wrap: anywhere }}
.grid th, .grid td {{ padding: .2rem; font-size: .8rem; vertical-align: bottom; min-width: 6rem }}
.grid .best {{ background: #e3f1e8 }}
</style>
{body}
</html>
"""


def table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A headed table; the first cell of a row heads it. All is plain text."""
    head = f"<tr>{''.join(f'<th>{head}</th>' for head in heads)}</tr>" if any(heads) else ""
    body = "".join(
        f"<tr><th>{html.escape(first)}</th>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<h2>{title}</h2><table>{head}{body}</table>"


def inlined(picture: Image.Image, side: int = LARGEST_SIDE) -> str:
    """A JPEG within the page, of at most `side` pixels a side, made anew, so that no metadata goes
    with it."""
    small, held = picture.convert("RGB"), io.BytesIO()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    small.save(held, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(held.getvalue()).decode()}"


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """The whole picture in a square tile."""
    scale = side / max(picture.size)
    resized = picture.resize(
        (max(1, round(picture.width * scale)), max(1, round(picture.height * scale))),
        Image.Resampling.LANCZOS,
    )
    tile = Image.new("RGB", (side, side), "#eef1f4")
    tile.paste(resized, ((side - resized.width) // 2, (side - resized.height) // 2))
    return tile
