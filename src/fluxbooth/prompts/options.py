"""The one table of options: what can be asked of a picture beside its text, its size and its seed.

An option is a field of the specs and of the API, a flag of the command line (`--film-grain`) and a
flag in a text (`--film_grain`). The table says of each what it takes, what it needs, whether it may
have a price, and whether it works here, is refused (and why) or is ignored (and what to do
instead): `EnhanceSpec`, the request forms, the prices and docs/options.md are made from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fluxbooth.errors import InputError, did_you_mean

Takes = Literal["switch", "number", "whole number", "word", "text"]
SMALL = 512 * 512  # pixels of a picture that super_resolution makes four times as wide
MOST_ENLARGED = 4.0
MOST_OUTPAINTED = 2048 * 2048  # pixels of a picture that is drawn on beyond its edges
ANCHORS = (
    "top-left", "top-center", "top-right", "left-center", "center", "right-center", "bottom-left",
    "bottom-center", "bottom-right",
)  # fmt: skip
STYLES = (
    "Cinematic", "Animated", "Digital Art", "Photographic", "Fantasy art", "Neonpunk", "Enhance",
    "Comic book", "Lowpoly", "Line art",
)  # fmt: skip
GRADINGS = ("Film Velvia", "Film Portra", "Ektar")
OFF = ("false", "0", "off", "f", "")  # how a switch is said to be off
NO_CONTROL = "is not offered by this server: an input_image alone starts from a picture"
NO_VIDEO = "is not offered by this server: it makes pictures, no video"
NO_TRY_ON = "is not offered by this server: mask the clothes and say what is worn instead"
TILED = ("tiled_upscale", "tiled_upscale_v2")
UPSCALERS = ("super_resolution", "only_upscale", *TILED)
LARGER = ("super_resolution", "resolution", *TILED)
MASKED = ("mask_prompt", "mask_image")
STARTS = (*MASKED, "only_upscale")  # with these a drawing starts from the input image
WORDLESS = "wordless"  # beside what is asked: the text has no words
Part = Literal["any", "picture", "mask", "drawn", "chance"]


@dataclass(frozen=True)
class Option:
    """A row of the table.

    `least` and `most` are inclusive; a number outside is refused, or moved to the nearer of them
    where it is `clamped`. `step` is what a picture's metadata calls the work, where a picture may
    have no need of it; without one the work is done unless the metadata says otherwise. What
    `draws` needs the base in memory. Without all that it `needs` an option is refused, without one
    of those that it `goes_with` it is ignored, and so is one `of_words` where the text has none.
    One that is `refused` says why, one that is `ignored` what to do instead. `of_spec`: whether it
    is a field of `EnhanceSpec`, and so a flag of the command line.
    """

    name: str
    does: str
    takes: Takes = "switch"
    default: Any = None
    least: float | None = None
    most: float | None = None
    clamped: bool = False
    words: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    goes_with: tuple[str, ...] = ()
    yields_to: tuple[str, ...] = ()
    part: Part = "any"
    of_words: bool = False
    priced: bool = False
    draws: bool = False
    step: str = ""
    refused: str = ""
    ignored: str = ""
    of_spec: bool = True

    @property
    def status(self) -> Literal["works", "refused", "ignored"]:
        return "refused" if self.refused else "ignored" if self.ignored else "works"

    def read(self, value: Any) -> Any:
        """A value as the contract reads it: words in any case and with any hyphens, numbers
        clamped; what will not do stays as it is, for whoever checks it next."""
        if self.takes == "word" and isinstance(value, str):
            return next((word for word in self.words if _folded(word) == _folded(value)), value)
        if self.takes == "text" and isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if self.clamped and self.least is not None and self.most is not None:
            try:
                return min(max(float(value), self.least), self.most)
            except (TypeError, ValueError):
                return value
        return value

    def is_beyond(self, value: Any) -> bool:
        """Whether `value` is a number that is clamped."""
        return (
            self.clamped
            and _NUMBER.fullmatch(str(value)) is not None
            and self.read(value) != float(value)
        )


_ROWS: tuple[Option, ...] = (
    # larger
    Option("super_resolution", "a larger picture: 4 times as wide below 512 x 512, else twice",
           default=False, priced=True, step="super_resolution",
           yields_to=("only_upscale", "resolution", *TILED)),
    Option("only_upscale", "makes the input picture larger instead of drawing from it",
           default=False, needs=("input_image",), priced=True, step="super_resolution"),
    Option("upscale_factor", "how many times as wide, instead of what super_resolution chooses",
           "number", least=1.1, most=4, goes_with=UPSCALERS, yields_to=("resolution",)),
    Option("upscale_v4", "a better upscaler", default=False, of_spec=False,
           ignored="pictures are always enlarged by the best upscaler that is here"),
    Option("resolution", "how large the picture is in the end: as the base draws (1K), twice or "
           "four times as wide", "word", words=("1K", "2K", "4K"), priced=True,
           step="super_resolution"),
    # drawn anew in part
    Option("hires_fix", "draws details anew in the larger picture", default=False,
           goes_with=LARGER, yields_to=("only_upscale", *TILED), priced=True, step="hires_fix",
           draws=True),
    Option("hires_denoising_strength", "how far hires_fix departs from the picture", "number", 0.25,
           0.1, 1, clamped=True, goes_with=("hires_fix", *TILED)),
    Option("tiled_upscale", "a larger picture whose details are drawn anew tile by tile",
           default=False, priced=True, step="hires_fix", draws=True),
    Option("tiled_upscale_v2", "as tiled_upscale", default=False, yields_to=("tiled_upscale",),
           priced=True, step="hires_fix", draws=True),
    Option("inpaint_faces", "draws the faces of the larger picture anew, at the base's own size",
           default=False, goes_with=LARGER, yields_to=("only_upscale",), priced=True, step="faces",
           draws=True),
    Option("face_correct", "draws faces anew that are small in the picture", default=False,
           yields_to=("only_upscale", "inpaint_faces"), priced=True, step="faces", draws=True),
    Option("face_inpaint_denoising", "how far faces that are drawn anew depart from the picture "
           "(0.65; with face_correct 0.35)", "number", least=0.1, most=1, clamped=True,
           goes_with=("inpaint_faces", "face_correct")),
    # a part of a picture
    # before the masks that it yields to: whether these count is asked without it
    Option("input_faceid", "looks at the input picture, as at a tune of the type faceid; only on "
           "a base that has references", default=False, of_spec=False, needs=("input_image",),
           yields_to=STARTS, of_words=True),
    Option("mask_prompt", "what in the input picture is drawn anew, such as person or background",
           "text", needs=("input_image",), part="mask", priced=True),
    Option("mask_negative", "what is taken out of the mask", "text", goes_with=("mask_prompt",)),
    Option("mask_invert", "draws anew what the mask leaves out, instead", default=False,
           goes_with=MASKED),
    Option("mask_dilate", "widens the mask by so many pixels, or percent of the picture with a "
           "`%`; below 0 it shrinks", "text", goes_with=MASKED),
    Option("mask_blur", "softens the edge of the mask over so many pixels", "whole number", least=0,
           most=512, goes_with=MASKED),
    Option("fill", "fills the mask from its surroundings before it is drawn anew", default=False,
           goes_with=MASKED),
    Option("restore_mask", "puts the pixels outside the mask back in the end", default=False,
           goes_with=MASKED),
    Option("remove_background", "cuts the background out: a PNG whose background is transparent",
           default=False, priced=True, step="remove_background"),
    # a larger canvas
    Option("outpaint", "draws on beyond the edges, to outpaint_width x outpaint_height; where the "
           "picture sits in it",
           "word", words=ANCHORS, priced=True, draws=True),
    Option("outpaint_width", "pixels of the larger picture; as its height if only that is given",
           "whole number", least=64, most=4096, goes_with=("outpaint",)),
    Option("outpaint_height", "pixels of the larger picture; as its width if only that is given",
           "whole number", least=64, most=4096, goes_with=("outpaint",)),
    Option("outpaint_prompt", "what is seen in the new part, instead of the text", "text",
           goes_with=("outpaint",)),
    # looks
    Option("style", "puts the words of a style around the text", "word", words=STYLES, part="drawn",
           of_words=True, priced=True),
    Option("color_grading", "the colours of a film", "word", words=GRADINGS, priced=True),
    Option("film_grain", "the grain of a film", default=False, priced=True),
    # several people
    Option("multi", "each person in the picture drawn with their own LoRA alone", default=False,
           yields_to=("only_upscale",), priced=True, step="people", draws=True),
    Option("use_regional", "as multi", default=False, yields_to=("only_upscale", "multi"),
           priced=True, step="people", draws=True),
    # of the contract, and not of this program
    Option("prompt_expansion", "a longer text, written by Claude; only by a server with its key",
           default=False, part="drawn", of_words=True, priced=True, of_spec=False),
    Option("face_swap", "a face from a picture of reference", default=False, priced=True,
           of_spec=False, refused="is not offered by this server: use inpaint_faces with a LoRA"),
    Option("controlnet", "a composition from a picture", "text", of_spec=False, refused=NO_CONTROL),
    Option("controlnet_txt2img", "a controlnet beside the input picture", default=False,
           of_spec=False, refused=NO_CONTROL),
    Option("control_guidance_start", "when a controlnet begins", "number", of_spec=False,
           refused=NO_CONTROL),
    Option("control_guidance_end", "when a controlnet ends", "number", of_spec=False,
           refused=NO_CONTROL),
    Option("faceid_portrait", "a portrait of a face", default=False, of_spec=False,
           refused="is not offered by this server: say in the text that it is a portrait"),
    Option("vton_cfg_scale", "how closely clothes are followed", "number", of_spec=False,
           refused=NO_TRY_ON),
    Option("vton_hires", "details of clothes", default=False, of_spec=False, refused=NO_TRY_ON),
    Option("video", "a film", default=False, of_spec=False, refused=NO_VIDEO),
    Option("controlnet_conditioning_scale", "how closely a controlnet is followed", "number",
           of_spec=False, ignored="it belongs to controlnet, which is not offered"),
    Option("hires_cfg_scale", "the guidance of tiled_upscale", "number", of_spec=False,
           ignored="tiles are drawn with the guidance of the picture: leave it out"),
    Option("resemblance", "how close tiled_upscale stays to the picture", "number", of_spec=False,
           ignored="say it with hires_denoising_strength: lower stays closer"),
    Option("mask_inc_brightness", "brightens the mask", "whole number", of_spec=False,
           ignored="widen the mask with mask_dilate instead"),
    Option("regional", "how regions of several people are laid out", default=False, of_spec=False,
           ignored="each person is drawn where the picture has them: use multi alone"),
    Option("fix_bindi", "takes marks off foreheads", default=False, of_spec=False,
           ignored="mask the forehead and say what is there instead"),
    Option("use_lpw", "weights of words", default=False, of_spec=False,
           ignored="FLUX reads no weights of words: put what matters most first"),
    Option("scheduler", "a sampler", "text", of_spec=False,
           ignored="FLUX is drawn with its own sampler"),
    Option("backend_version", "a version of the server", "text", of_spec=False,
           ignored="there is one version here"),
)  # fmt: skip
OPTIONS: dict[str, Option] = {row.name: row for row in _ROWS}
# what is no option and may count for nothing all the same, by the names of the specs and of the API
_FIELDS = (
    Option("denoising_strength", "", goes_with=("input_image",), yields_to=("only_upscale",)),
    Option("mask_image", "", yields_to=("mask_prompt",), part="mask"),
    *(Option(name, "", part="picture") for name in ("width", "height", "w", "h", "speed")),
    Option("aspect_ratio", "", part="picture", yields_to=("w", "h")),
    Option("ar", "", part="picture", yields_to=("w", "h", "aspect_ratio")),
    *(
        Option(name, "", part="drawn")
        for name in (
            "steps",
            "guidance",
            "cfg_scale",
            "loras",
            "references",
            "quantisation",
            "dtype",
            "encoders",
            "offload_blocks",
        )
    ),
    *(Option(name, "", part="chance") for name in ("seed", "num_images")),
)
# these say where, and change nothing themselves
_OF_A_MASK = (
    "mask_prompt", "mask_negative", "mask_invert", "mask_dilate", "mask_blur", "restore_mask",
)  # fmt: skip
_COUNTED: dict[str, Option] = OPTIONS | {row.name: row for row in _FIELDS}
# beside the table, a family of flags by what they begin with; a number may stand behind each
_FAMILIES = {"video": "video", "regional_": "regional", "vton_": "vton_hires", "audio_": "video"}

NOTHING: dict[Part, str] = {
    "picture": " where the picture stays as it is: leave it out, or raise denoising_strength",
    "mask": " where the picture stays as it is: add fill or restore_mask, or raise "
    "denoising_strength",
    "drawn": " where nothing is drawn: leave it out, or let the picture be drawn",
    "chance": " where nothing follows from it: each picture would be the same",
}
NO_WORDS = " where the text has no words: write what the picture shows, or leave {} out"
SOMETHING = "ask for something, such as super_resolution"
NUMBERED = {*_FAMILIES.values(), "input_faceid"}  # switches behind which a number may stand

_WORD = re.compile(r'(?:"[^"]*"|[^\s"])+')
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?")
_FLAG = re.compile(r"--(?P<name>[A-Za-z][\w-]*)(?:=(?P<value>.*))?", re.DOTALL)


@dataclass(frozen=True)
class Flag:
    """A flag as a text has it: its characters, and its value as it stands there. Without an
    `option` it is not known; without a value where one is needed, the value is None."""

    name: str
    option: Option | None
    value: str | bool | None
    start: int
    end: int


def unbalanced(text: str) -> bool:
    """Whether a quotation mark has no partner: then no flag of the text is read."""
    return text.count('"') % 2 == 1


def flags(text: str) -> list[Flag]:
    """The flags of a text by the rules of a shell: words between spaces, straight double quotes
    group, apostrophes mean nothing, what is quoted is no flag. `--name value`, `--name=value`; of a
    switch `--name` alone, or with `true` or `false`."""
    if "--" not in text or unbalanced(text):
        return []
    words, found = list(_WORD.finditer(text)), list[Flag]()
    for word, after in zip(words, [*words[1:], None], strict=True):
        match = _FLAG.fullmatch(word[0])
        if match is None or (found and word.start() < found[-1].end):
            continue
        option, value, end = _named(match["name"]), match["value"], word.end()
        if option and value is None and option.takes == "switch":
            value = True
            if after and option.name in NUMBERED and _NUMBER.fullmatch(after[0]):
                end = after.end()
            elif after and after[0].lower() in ("true", "false"):
                value, end = after[0], after.end()
        elif option and value is None and after and not _FLAG.fullmatch(after[0]):
            value, end = after[0], after.end()
        unquoted = value.replace('"', "") if isinstance(value, str) else value
        found.append(Flag(match["name"], option, unquoted, word.start(), end))
    return found


def given(text: str) -> dict[str, str | bool]:
    """The values of the flags of a text, by option; the last of several counts.

    Raises InputError for a flag without the value that it needs.
    """
    values: dict[str, str | bool] = {}
    for flag in flags(text):
        if flag.option and flag.value in (None, ""):
            raise InputError(
                f"--{flag.name} needs a value behind it: {flag.option.does}. Write it, or take "
                f"--{flag.name} out."
            )
        if flag.option and flag.value is not None:
            values[flag.option.name] = flag.value
    return values


def doubled(text: str, beside: Mapping[str, Any]) -> dict[str, str]:
    """A sentence by option that the flags of a text and the fields `beside` it, or two flags, give
    values that differ."""
    said: dict[str, list[Any]] = {}
    for name, value in beside.items():
        if name in OPTIONS:
            said[name] = [value]
    for flag in flags(text):
        if flag.option:
            said.setdefault(flag.option.name, []).append(flag.value)
    return {
        name: f"{name} is given more than once, and {str(values[-1]).lower()} counts: take the "
        "others out."
        for name, values in said.items()
        if len({_plain(OPTIONS[name], value) for value in values}) > 1
    }


def without_flags(text: str, gap: str = " ", *, keep_length: bool = False) -> str:
    """The text with a gap instead of each flag that is known. Those that are not are words like
    any other."""
    for flag in reversed(flags(text)):
        if flag.option:
            filling = gap * (flag.end - flag.start) if keep_length else gap
            text = text[: flag.start] + filling + text[flag.end :]
    return text


def meant(flag: str) -> str:
    """` (did you mean '--film_grain'?)` behind a flag that is not known."""
    name = flag.lstrip("-\u2013\u2014").replace("-", "_")
    if name in (*(row.name for row in _FIELDS), "negative_prompt"):
        return " but stands beside the text as a field"
    return did_you_mean(f"--{name}", [f"--{known}" for known in OPTIONS])


def clamped(values: Mapping[str, Any]) -> dict[str, str]:
    """A sentence by option whose number is out of range, and so moved to the nearest in it."""
    moved = dict[str, str]()
    for name, value in values.items():
        if (row := OPTIONS.get(name)) and row.is_beyond(value):
            moved[name] = (
                f"{name} {value} is taken as {row.read(value):g}: it goes from {row.least:g} to "
                f"{row.most:g}."
            )
    return moved


def asked(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of some values asks for something: a switch that is on, any other value that is not
    the default."""
    return {
        name: value
        for name, value in values.items()
        if value is not None
        and value != (row.default if (row := OPTIONS.get(name)) else None)
        and not (row and row.takes == "switch" and str(value).lower() in OFF)
    }


def refusals(asked: Mapping[str, Any]) -> dict[str, str]:
    """Why not, by option: of those that are `asked`, which also names the pictures that are
    given."""
    return impossible(asked) | lacking(asked)


def impossible(asked: Mapping[str, Any]) -> dict[str, str]:
    """As `refusals`, whatever picture is given later."""
    wrong = _canvas_faults(asked)
    return wrong | {row.name: row.refused for row in _asked_rows(asked) if row.refused}


def lacking(asked: Mapping[str, Any]) -> dict[str, str]:
    """Which of them need a picture that is not given."""
    return {
        row.name: f"needs {' and '.join(missing)}"
        for row in _asked_rows(asked)
        if not row.refused and (missing := [name for name in row.needs if name not in asked])
    }


def _canvas_faults(asked: Mapping[str, Any]) -> dict[str, str]:
    if "outpaint" not in asked:
        return {}
    width: int = asked.get("outpaint_width") or asked.get("outpaint_height") or 0
    height: int = asked.get("outpaint_height") or width
    if not width:
        return {"outpaint": "needs outpaint_width or outpaint_height"}
    if width * height > MOST_OUTPAINTED:
        reason = f"asks for {width} x {height} pixels: ask for at most 2048 x 2048, in any shape"
        return {"outpaint": reason}
    return {}


def no_room(asked: Mapping[str, Any], size: tuple[int, int]) -> str | None:
    """Why a picture of (width, height) pixels cannot be drawn on as is asked, if it cannot."""
    width: int = asked.get("outpaint_width") or asked.get("outpaint_height") or 0
    height: int = asked.get("outpaint_height") or width
    if width >= size[0] and height >= size[1] and (width, height) != size:
        return None
    return (
        f"to {width} x {height} pixels adds nothing to a picture of {size[0]} x {size[1]}: give a "
        "larger outpaint_width and outpaint_height"
    )


def told(wrong: Mapping[str, str]) -> str:
    """The first of `refusals` as a sentence."""
    name, reason = next(iter(wrong.items()))
    return f"The option {name} {reason}."


def ignored(asked: Mapping[str, Any]) -> dict[str, str]:
    """What is left out of what is `asked`, and what to do instead: a sentence by option or field.

    What is there for something that is ignored is ignored, too.
    """
    left, said = dict(asked), dict[str, str]()
    counted = [row for row in _COUNTED.values() if row.name in left]
    # the first alone, for what it made useless may count without it
    while row := next((row for row in counted if _counts_for_nothing(row, left)), None):
        said[row.name] = f"{row.name} is ignored{_counts_for_nothing(row, left)}."
        counted.remove(row)
        del left[row.name]
    return said


def _counts_for_nothing(row: Option, asked: Mapping[str, Any]) -> str:
    """Why, and what to do instead; blank if it counts."""
    if row.ignored:
        return f": {row.ignored}"
    agrees = row.name == "denoising_strength" and not asked[row.name]  # and says the same
    if not agrees and (beside := next((name for name in row.yields_to if name in asked), None)):
        return f" beside {beside}: leave one of them out"
    if row.goes_with and not any(name in asked for name in row.goes_with):
        return f" without {' or '.join(row.goes_with)}: add it, or leave {row.name} out"
    there = {
        "any": True,
        "picture": not keeps(asked),
        "mask": not keeps(asked) or "fill" in asked or "restore_mask" in asked,
        "drawn": draws(asked),
        "chance": draws(asked) or "film_grain" in asked or "color_grading" in asked,
    }
    if not there[row.part]:
        return NOTHING[row.part]
    return NO_WORDS.format(row.name) if row.of_words and WORDLESS in asked else ""


def keeps(asked: Mapping[str, Any]) -> bool:
    """Whether the picture itself stays as it was given, and only the steps that follow work."""
    if "input_image" not in asked or asked.get("denoising_strength") != 0:
        return "input_image" in asked and "only_upscale" in asked
    return not edits(asked)


def edits(asked: Mapping[str, Any]) -> bool:
    """Whether words say what to change in the input image, of a base that looks at pictures: it
    draws all of it from noise, with input_faceid whatever the strength. Any other strength or a
    mask says that it starts from the image."""
    told = "input_faceid" in asked or asked.get("denoising_strength") is None
    starts = any(name in asked for name in STARTS)
    return "input_image" in asked and told and not starts and WORDLESS not in asked


def idle(asked: Mapping[str, Any]) -> dict[str, str]:
    """Why not, where nothing at all would be done to a picture that stays as it is."""
    left_out = ignored(asked)
    rows = [row for row in _asked_rows(asked) if row.status == "works"]
    if not keeps(asked) or any(row.name not in {*left_out, *_OF_A_MASK} for row in rows):
        return {}
    why = next((said.rstrip(".") for said in left_out.values()), SOMETHING)
    return {"denoising_strength": f"0 keeps the picture, and nothing is done to it: {why}"}


def charged(asked: Mapping[str, Any]) -> list[str]:
    """The options that may have a price, of those that are asked and done."""
    left = left_of(asked)
    return [row.name for row in _asked_rows(left) if row.priced and row.status == "works"]


def left_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, without what is ignored."""
    left_out = ignored(asked)
    return {name: value for name, value in asked.items() if name not in left_out}


def done(name: str, steps: Sequence[Mapping[str, Any]]) -> bool:
    """Whether an option that was asked for changed a picture, by the steps that its metadata
    names: one that has no `step` always does, unless a step of its own name says otherwise."""
    step = OPTIONS[name].step
    told = [one.get("drawn", 1) for one in steps if one["step"] == (step or name)]
    return any(told) if told else not step


def draws(asked: Mapping[str, Any]) -> bool:
    """Whether anything is drawn, for which the base must be here: the picture itself, or a step
    that follows."""
    return not keeps(asked) or any(row.draws for row in _asked_rows(asked))


def enlargement(asked: Mapping[str, Any], size: tuple[int, int], native_area: int) -> float:
    """How many times as wide a picture of (width, height) pixels becomes; 1 where it is as large
    as is asked for. `native_area` is what the base is at home at, in pixels."""
    wanted = {"1K": 1, "2K": 2, "4K": 4}.get(asked.get("resolution", ""))
    if wanted:
        side = (size[0] * size[1]) ** 0.5
        return min(max(1.0, wanted * native_area**0.5 / side), MOST_ENLARGED)
    if not any(name in asked for name in UPSCALERS):
        return 1.0
    return asked.get("upscale_factor") or (4.0 if size[0] * size[1] < SMALL else 2.0)


def _asked_rows(asked: Mapping[str, Any]) -> list[Option]:
    return [OPTIONS[name] for name in asked if name in OPTIONS]


def _named(name: str) -> Option | None:
    """Of a flag; hyphens stand for underscores, as on the command line."""
    name = name.lower().replace("-", "_")
    family = next((row for start, row in _FAMILIES.items() if name.startswith(start)), None)
    return OPTIONS.get(name) or (OPTIONS[family] if family else None)


def _plain(row: Option, value: Any) -> str | float | bool:
    """A value in one spelling."""
    if row.takes == "switch":
        return str(value).lower() not in OFF
    if row.takes in ("number", "whole number") and _NUMBER.fullmatch(str(value)):
        return float(value)
    return str(row.read(value))


def _folded(word: str) -> str:
    return re.sub(r"[\s_-]+", "", word).lower()
