"""Pets, animals and objects, each in three drawing styles, cut out: pictures that npm packages
ship.

"3d" is Microsoft's Fluent Emoji (MIT), "sticker" Twemoji (CC BY 4.0), "emoji" Google's Noto Emoji
(Apache-2.0).
"""

from __future__ import annotations

import functools
import io
import json
import subprocess
from pathlib import Path

import resvg_py
from PIL import Image

from fluxbooth.errors import InputError

PACKAGES = ("@lobehub/fluent-emoji-3d@1.1.0", "@twemoji/svg@15.0.0", "@iconify-json/noto@1.2.9")
STYLES = ("3d", "sticker", "emoji")
THINGS = {  # its word: (code point, Noto's name if another)
    "cat": ("1f408", ""), "dog": ("1f415", ""), "rabbit": ("1f407", ""), "horse": ("1f40e", ""), "cow": ("1f404", ""),
    "pig": ("1f416", ""), "fox": ("1f98a", ""), "bear": ("1f43b", ""), "panda": ("1f43c", ""), "frog": ("1f438", ""),
    "penguin": ("1f427", ""), "owl": ("1f989", ""), "parrot": ("1f99c", ""), "duck": ("1f986", ""), "turtle": ("1f422", ""),
    "fish": ("1f41f", ""), "butterfly": ("1f98b", ""), "elephant": ("1f418", ""), "lion": ("1f981", ""), "tiger": ("1f405", ""),
    "mouse": ("1f401", ""), "snail": ("1f40c", ""), "car": ("1f697", "automobile"), "bus": ("1f68c", ""), "bicycle": ("1f6b2", ""),
    "rocket": ("1f680", ""), "guitar": ("1f3b8", ""), "camera": ("1f4f7", ""), "umbrella": ("2602", ""),
    "cup": ("2615", "hot-beverage"), "cake": ("1f382", "birthday-cake"), "apple": ("1f34e", "red-apple"), "banana": ("1f34c", ""),
    "pizza": ("1f355", ""), "sunflower": ("1f33b", ""), "cactus": ("1f335", ""), "tree": ("1f333", "deciduous-tree"),
    "shoe": ("1f45f", "running-shoe"), "backpack": ("1f392", ""), "teddy bear": ("1f9f8", ""), "book": ("1f4d5", "closed-book"),
    "lamp": ("1f4a1", "light-bulb"), "chair": ("1fa91", ""), "house": ("1f3e0", ""), "balloon": ("1f388", ""), "crown": ("1f451", ""),
    "drum": ("1f941", ""), "ball": ("26bd", "soccer-ball"),
}  # fmt: skip
ANIMALS = tuple(THINGS)[: list(THINGS).index("snail") + 1]

FOLDER = Path.home() / ".cache" / "fluxbooth-things"


def install() -> None:
    """Brings the packages into `FOLDER`/node_modules, with npm.

    Raises InputError where there is no npm, or it cannot.
    """
    if all((FOLDER / "node_modules" / name.rpartition("@")[0]).exists() for name in PACKAGES):
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(
            [
                "npm",
                "install",
                "--prefix",
                FOLDER,
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                *PACKAGES,
            ],
            check=True,
        )
    except FileNotFoundError:
        raise InputError(
            "npm is not installed, and the pictures of things come from its packages: install "
            "Node.js."
        ) from None
    except subprocess.CalledProcessError:
        raise InputError(
            "npm could not bring the pictures of things (it says above why): mend that and run "
            "this again."
        ) from None


@functools.cache
def cutout(style: str, thing: str) -> Image.Image:
    """RGBA, 256 x 256, from the packages that `install` brought."""
    code, noto = THINGS[thing]
    modules = FOLDER / "node_modules"
    if style == "3d":
        paths = [
            modules / "@lobehub/fluent-emoji-3d/assets" / f"{code}{tail}.webp"
            for tail in ("", "-fe0f")
        ]
        return (
            Image.open(next(path for path in paths if path.exists()))
            .convert("RGBA")
            .resize((256, 256))
        )
    if style == "sticker":
        return _drawn((modules / "@twemoji/svg" / f"{code}.svg").read_text())
    icon = _noto(modules)[noto or thing.replace(" ", "-")]["body"]
    return _drawn(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 128 128">{icon}</svg>')


@functools.cache
def _noto(modules: Path) -> dict[str, dict[str, str]]:
    return json.loads((modules / "@iconify-json/noto/icons.json").read_text())["icons"]


def _drawn(svg: str) -> Image.Image:
    png = resvg_py.svg_to_bytes(svg_string=svg, width=256, height=256, skip_system_fonts=True)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")
