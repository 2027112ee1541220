"""Draws the covers of the starter packs: `python -m pretrain.covers`. Flat scenes of our own,
four times larger than kept."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter

from pretrain.scene import FINER, HEIGHT, Colour, Point, Scene

OUT = Path(__file__).parent.parent / "src" / "fluxbooth" / "web" / "static" / "covers"


def bust(
    s: Scene,
    x: float,
    skin: Colour,
    hair: Colour,
    coat: Colour,
    shirt: Colour | None = None,
    *,
    scale: float = 1,
) -> None:
    """Head and shoulders, the chin at two thirds of the height."""

    def at(dx: float, dy: float) -> Point:
        return x + dx * scale, 384 + (dy - 384) * scale

    s.shape(
        [
            at(-150, 384),
            at(-138, 330),
            at(-105, 300),
            at(-45, 282),
            at(45, 282),
            at(105, 300),
            at(138, 330),
            at(150, 384),
        ],
        coat,
    )
    s.ellipse(*at(-108, 368), 44 * scale, 68 * scale, coat)
    s.ellipse(*at(108, 368), 44 * scale, 68 * scale, coat)
    s.box(*at(-27, 225), 54 * scale, 72 * scale, skin, round=20 * scale)
    s.shape(
        [at(-27, 262), at(27, 262), at(27, 275), at(0, 290), at(-27, 268)],
        "#000000",
        opacity=0.14,
        blur=3,
    )
    if shirt:
        s.shape([at(-44, 280), at(0, 318), at(44, 280), at(30, 384), at(-30, 384)], shirt)
        s.shape([at(-30, 276), at(0, 302), at(30, 276), at(27, 262), at(-27, 262)], skin)
        s.shape([at(-48, 278), at(-26, 272), at(2, 384), at(-34, 384)], coat)
        s.shape([at(48, 278), at(26, 272), at(-2, 384), at(34, 384)], coat)
        s.line([at(-48, 280), at(-3, 384)], 1.5, "#000000", opacity=0.25)
        s.line([at(48, 280), at(3, 384)], 1.5, "#000000", opacity=0.25)
    s.ellipse(*at(0, 178), 68 * scale, 76 * scale, hair)
    s.ellipse(*at(0, 196), 56 * scale, 72 * scale, skin)
    s.shape(
        [
            at(-62, 190),
            at(-56, 140),
            at(-10, 112),
            at(40, 118),
            at(64, 188),
            at(46, 150),
            at(0, 146),
            at(-36, 160),
        ],
        hair,
    )
    for side in (-1, 1):
        s.ellipse(*at(side * 22, 198), 5 * scale, 6 * scale, "#2a211d")
        s.line([at(side * 13, 183), at(side * 31, 182)], 3 * scale, hair)
    s.line([at(0, 200), at(-5, 220), at(3, 222)], 2 * scale, "#000000", opacity=0.2)
    s.arc(*at(0, 228), 20 * scale, 14 * scale, 25, 155, 3.5 * scale, "#8c4a41")


def corporate() -> Scene:
    s = Scene("#e8ebee", "#c9d0d6")
    s.shape([(0, 0), (150, 0), (60, 384), (0, 384)], "#ffffff", blur=20, opacity=0.75)
    for x in (340, 404, 468):
        s.box(x, 30, 52, 200, "#b7c3cc", round=3, blur=3, opacity=0.8)
        s.box(x + 4, 34, 44, 192, "#dbe7ef", round=2, blur=3, opacity=0.9)
    s.box(0, 300, 512, 84, "#aab4bc", blur=14, opacity=0.6)
    bust(s, 225, "#d9a786", "#3b2a22", "#3a414b", "#fbfbf9")
    return s


def outdoor() -> Scene:
    s = Scene("#7db9dd", "#fde5b8")
    s.ellipse(392, 120, 120, 120, "#fff3cf", blur=30, opacity=0.7)
    s.ellipse(392, 120, 38, 38, "#fffbea")
    s.shape(
        [
            (0, 250),
            (90, 150),
            (170, 215),
            (270, 120),
            (370, 225),
            (440, 175),
            (512, 235),
            (512, 384),
            (0, 384),
        ],
        "#7f9db8",
    )
    s.shape([(240, 149), (270, 120), (302, 154), (284, 150), (270, 160), (258, 148)], "#f4f8fb")
    s.shape(
        [(0, 290), (120, 230), (260, 275), (400, 225), (512, 280), (512, 384), (0, 384)], "#5d8f6b"
    )
    rng = random.Random(3)
    for _ in range(34):
        x, size = rng.uniform(0, 512), rng.uniform(20, 40)
        y = 290 + rng.uniform(-8, 40)
        green = rng.choice(("#2f6145", "#397151", "#28543c"))
        for part in (0, 0.28, 0.56):
            spread = size * (0.5 - part * 0.45)
            s.shape(
                [
                    (x - spread, y - size * 2 * part),
                    (x + spread, y - size * 2 * part),
                    (x, y - size * 2 * (part + 0.5)),
                ],
                green,
            )
    s.shape([(0, 340), (200, 318), (512, 345), (512, 384), (0, 384)], "#d8b45f")
    bust(s, 150, "#c68a63", "#6b3f22", "#b4452f", scale=0.72)
    s.box(105, 296, 92, 26, "#e9d9b4", round=12)
    return s


def studio() -> Scene:
    s = Scene("#26282b", "#0d0e10")
    s.ellipse(390, 150, 190, 210, "#5a5d62", blur=60, opacity=0.7)
    bust(s, 256, "#d8d8d8", "#2a2a2c", "#17181a", scale=1.05)
    shade = Image.new("L", s.image.size)
    ImageDraw.Draw(shade).polygon(
        [(0, 0), (252 * FINER, 0), (262 * FINER, HEIGHT * FINER), (0, HEIGHT * FINER)], fill=215
    )
    shade = shade.filter(ImageFilter.GaussianBlur(16 * FINER))
    s.image.paste(Image.new("RGB", s.image.size, "#0b0b0d"), mask=shade)
    s.image = s.image.convert("L").convert("RGB")
    return s


def casual() -> Scene:
    s = Scene("#f6e3c8", "#e8c79d")
    s.box(40, 24, 300, 226, "#8b5e3c", round=8)
    s.box(50, 34, 280, 206, "#a9cfe0", round=4)
    s.shape([(50, 190), (120, 150), (200, 180), (330, 140), (330, 240), (50, 240)], "#7da886")
    s.box(184, 34, 12, 206, "#8b5e3c")
    s.box(50, 128, 280, 9, "#8b5e3c")
    s.shape([(50, 34), (140, 34), (60, 240), (50, 240)], "#ffffff", opacity=0.25, blur=6)
    for x, y, r in ((428, 70, 40), (470, 96, 34), (398, 104, 30), (440, 118, 36)):
        s.ellipse(x, y, r, r * 0.7, "#5f8a5b")
    s.box(412, 136, 54, 62, "#c9673f", round=8)
    s.box(404, 128, 70, 16, "#b5552f", round=6)
    s.box(0, 270, 512, 114, "#a76f47")
    s.box(0, 270, 512, 8, "#c08a5e")
    s.ellipse(250, 352, 118, 18, "#6e4427", blur=6, opacity=0.6)
    s.ellipse(250, 346, 108, 20, "#f7f3ec")
    s.ellipse(250, 343, 78, 12, "#e5ddd1")
    s.ellipse(335, 286, 34, 32, "#f2ece2")
    s.ellipse(335, 286, 20, 19, "#a76f47")
    s.shape([(165, 230), (335, 230), (318, 318), (290, 342), (210, 342), (182, 318)], "#fbf8f2")
    s.shape(
        [(290, 232), (335, 230), (318, 318), (290, 342), (268, 342)], "#d9cfc0", blur=8, opacity=0.7
    )
    s.ellipse(250, 230, 86, 17, "#efe7da")
    s.ellipse(250, 232, 76, 13, "#5b3620")
    s.ellipse(250, 232, 46, 7, "#c99a6b")
    for x, lean in ((222, -14), (252, 12), (282, -10)):
        s.line(
            [(x, 206), (x + lean, 178), (x, 150), (x - lean, 122)],
            7,
            "#ffffff",
            blur=5,
            opacity=0.75,
        )
    return s


def creative() -> Scene:
    s = Scene("#2b1d54", "#e2657f")
    s.ellipse(330, 150, 150, 150, "#ffd9a8", blur=40, opacity=0.5)
    s.ellipse(330, 150, 92, 92, "#ffe9c4")
    for x, y, r in ((300, 120, 15), (352, 176, 22), (366, 116, 9), (312, 190, 8)):
        s.ellipse(x, y, r, r, "#f3cf9d")
    rng = random.Random(8)
    for _ in range(60):
        x, y, r = rng.uniform(0, 512), rng.uniform(0, 200), rng.uniform(0.6, 1.8)
        if (x - 330) ** 2 + (y - 150) ** 2 > 100**2:
            s.ellipse(x, y, r, r, "#ffffff", opacity=rng.uniform(0.5, 1))
    layers = (
        ("#b4477f", [(0, 260), (80, 210), (180, 250), (290, 205), (400, 245), (512, 200)]),
        ("#7d3580", [(0, 290), (110, 262), (230, 300), (330, 255), (430, 290), (512, 258)]),
        ("#4d2873", [(0, 330), (90, 302), (210, 338), (340, 300), (512, 330)]),
        ("#2c1a50", [(0, 352), (140, 340), (280, 366), (420, 344), (512, 362)]),
    )
    for colour, ridge in layers:
        shadow = [(x, y - 7) for x, y in ridge]
        s.shape([*shadow, (512, 384), (0, 384)], "#150a30", blur=7, opacity=0.55)
        s.shape([*ridge, (512, 384), (0, 384)], colour)
    for i, colour in enumerate(("#ff7a59", "#ffc24b", "#58d0c4", "#6aa0ff")):
        y = 70 + i * 17
        s.line([(-10, y + 60), (60, y + 20), (130, y + 44), (205, y)], 12, colour, opacity=0.95)
        s.ellipse(205, y, 6, 6, colour)
    return s


def holiday() -> Scene:
    s = Scene("#10234a", "#3d5f8f")
    rng = random.Random(5)
    s.ellipse(256, 300, 300, 120, "#ffcf87", blur=50, opacity=0.35)
    for x, colour in ((70, "#5b3b2e"), (150, "#6c4737"), (372, "#65402f"), (448, "#573527")):
        s.box(x - 36, 206, 72, 110, colour)
        s.shape([(x - 46, 210), (x + 46, 210), (x, 160)], "#e8eef6")
        for dx in (-16, 12):
            s.box(x + dx - 8, 236, 18, 24, "#ffd27a", round=2)
            s.box(x + dx - 8, 236, 18, 24, "#ffd27a", blur=8, opacity=0.6)
    s.shape(
        [(0, 312), (130, 298), (256, 306), (390, 296), (512, 310), (512, 384), (0, 384)], "#eef3fa"
    )
    s.box(246, 312, 20, 32, "#5a3a26")
    for part, (y, spread, tall) in enumerate(
        ((318, 92, 96), (262, 74, 86), (208, 56, 76), (158, 38, 62))
    ):
        s.shape(
            [(256 - spread, y), (256 + spread, y), (256, y - tall)],
            ("#1f5a41", "#246549", "#297151", "#2e7d5a")[part],
        )
    for y, spread in ((306, 76), (252, 60), (200, 44), (152, 26)):
        for i in range(6):
            x = 256 + spread * (i - 2.5) / 2.5 * 0.86
            dip = 7 - abs(i - 2.5) * 2.4
            colour = ("#ffd86b", "#ff7b6b", "#8fd4ff")[i % 3]
            s.ellipse(x, y + dip - 8, 9, 9, colour, blur=6, opacity=0.8)
            s.ellipse(x, y + dip - 8, 3.6, 3.6, colour)
    star = [
        (256, 72),
        (262, 90),
        (281, 90),
        (266, 101),
        (272, 119),
        (256, 108),
        (240, 119),
        (246, 101),
        (231, 90),
        (250, 90),
    ]
    s.ellipse(256, 98, 34, 34, "#ffe9a8", blur=14, opacity=0.8)
    s.shape(star, "#ffe27a")
    for x, colour, ribbon in ((182, "#c8473f", "#f4e3c0"), (322, "#3f6fb5", "#ffd86b")):
        s.box(x - 26, 322, 52, 38, colour, round=3)
        s.box(x - 4, 322, 8, 38, ribbon)
        s.box(x - 26, 336, 52, 7, ribbon)
    for _ in range(110):
        r = rng.uniform(0.8, 2.6)
        s.ellipse(rng.uniform(0, 512), rng.uniform(0, 384), r, r, "#ffffff", blur=0.6, opacity=0.9)
    return s


def pets() -> Scene:
    s = Scene("#f2dfc4", "#dcb98f")
    s.ellipse(256, 190, 250, 180, "#fff6e6", blur=50, opacity=0.8)
    s.ellipse(256, 372, 230, 26, "#9a7349", blur=12, opacity=0.5)
    # a dog
    s.shape([(92, 384), (104, 290), (150, 256), (218, 256), (262, 292), (270, 384)], "#b9783f")
    s.ellipse(180, 330, 44, 70, "#f6e8d3")
    s.ellipse(180, 206, 76, 76, "#c5854a")
    for side in (-1, 1):
        s.shape(
            [
                (180 + side * 46, 150),
                (180 + side * 92, 168),
                (180 + side * 98, 236),
                (180 + side * 76, 252),
                (180 + side * 58, 200),
            ],
            "#8a5528",
        )
        s.ellipse(180 + side * 27, 196, 8, 9, "#2b1c12")
        s.ellipse(180 + side * 27 + 3, 193, 2.6, 2.6, "#ffffff")
    s.shape([(168, 134), (192, 134), (200, 216), (160, 216)], "#f6e8d3", blur=3)
    s.ellipse(180, 240, 38, 30, "#f6e8d3")
    s.ellipse(180, 224, 15, 11, "#2b1c12")
    s.ellipse(180, 266, 11, 14, "#e77f7f")
    s.line([(180, 234), (180, 250)], 3, "#2b1c12")
    s.arc(167, 246, 13, 11, 0, 150, 3, "#2b1c12")
    s.arc(193, 246, 13, 11, 30, 180, 3, "#2b1c12")
    s.shape([(118, 286), (242, 286), (222, 310), (138, 310)], "#c8473f")
    # a cat
    s.shape([(292, 384), (298, 318), (330, 290), (392, 290), (424, 318), (432, 384)], "#6c7480")
    s.line([(426, 376), (462, 352), (470, 308), (452, 282)], 20, "#6c7480")
    s.ellipse(452, 284, 10, 10, "#6c7480")
    s.ellipse(361, 352, 32, 52, "#e9edf0")
    for side in (-1, 1):
        s.shape([(361 + side * 22, 196), (361 + side * 62, 168), (361 + side * 62, 236)], "#6c7480")
        s.shape([(361 + side * 34, 200), (361 + side * 55, 184), (361 + side * 55, 220)], "#e0a5a5")
    s.ellipse(361, 244, 64, 58, "#79828f")
    s.ellipse(361, 266, 30, 22, "#e9edf0")
    for side in (-1, 1):
        s.ellipse(361 + side * 25, 238, 12, 13, "#d7e36a")
        s.ellipse(361 + side * 25, 238, 4, 11, "#20242a")
        for lift in (-6, 2, 10):
            s.line(
                [(361 + side * 22, 264 + lift / 3), (361 + side * 76, 262 + lift)],
                1.3,
                "#f7f7f7",
                opacity=0.9,
            )
    s.shape([(353, 254), (369, 254), (361, 263)], "#d98888")
    s.arc(354, 264, 8, 8, 0, 150, 2.4, "#3c434c")
    s.arc(368, 264, 8, 8, 30, 180, 2.4, "#3c434c")
    return s


def products() -> Scene:
    s = Scene("#f4ece3", "#e3d3c3")
    s.ellipse(256, 110, 190, 150, "#fffaf3", blur=50, opacity=0.9)
    s.box(0, 300, 512, 84, "#d8c4b0", blur=10)
    s.ellipse(286, 352, 170, 20, "#7a5f49", blur=14, opacity=0.45)
    s.ellipse(256, 344, 138, 26, "#cbb39b")
    s.box(118, 292, 276, 52, "#cbb39b")
    s.box(118, 292, 90, 52, "#e6d5c3", blur=14, opacity=0.8)
    s.ellipse(256, 292, 138, 26, "#efe3d6")
    s.ellipse(292, 296, 78, 12, "#8a6c53", blur=8, opacity=0.5)
    s.box(206, 142, 100, 152, "#2f5d43", round=16)
    s.ellipse(256, 286, 50, 12, "#2f5d43")
    s.box(214, 146, 18, 140, "#7fb091", round=9, blur=4, opacity=0.8)
    s.box(282, 146, 20, 142, "#173525", round=9, blur=6, opacity=0.7)
    s.box(228, 104, 56, 44, "#d9b26a", round=6)
    s.box(233, 106, 9, 40, "#f5dfae", round=4, blur=2, opacity=0.9)
    s.box(206, 196, 100, 58, "#f7f1e6")
    s.ellipse(256, 216, 11, 11, "#2f5d43")
    s.box(228, 234, 56, 4, "#2f5d43", round=2)
    s.box(238, 243, 36, 3, "#2f5d43", round=1)
    stem = [(430, 330), (420, 270), (428, 210), (416, 150)]
    s.line(stem, 4, "#6f8f74")
    for i, (x, y) in enumerate(
        ((424, 300), (422, 268), (425, 236), (426, 206), (420, 176), (416, 152))
    ):
        side = 1 if i % 2 else -1
        s.ellipse(x + side * 22, y - 8, 21, 13, "#8fb096" if i % 2 else "#7b9f83")
    s.box(404, 306, 54, 46, "#b98763", round=8)
    s.ellipse(96, 322, 32, 24, "#b9aea4")
    s.ellipse(140, 336, 20, 14, "#a2968b")
    s.ellipse(88, 314, 16, 8, "#d5cbc2", blur=3, opacity=0.8)
    return s


SCENES: dict[str, Callable[[], Scene]] = {
    "corporate": corporate,
    "outdoor": outdoor,
    "studio-black-and-white": studio,
    "casual": casual,
    "creative": creative,
    "holiday": holiday,
    "pets": pets,
    "products": products,
}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, scene in SCENES.items():
        scene().save(OUT / f"{name}.webp")


if __name__ == "__main__":
    main()
