"""Each option and each field in each kind of drawing: it changes the picture, or it is refused, or
it is ignored with advice and has no price. There is no fourth kind."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image, ImageDraw

from fluxbooth.errors import InputError
from fluxbooth.events import DrawingEvent, DrawingReport
from fluxbooth.generation.enhance import real_esrgan
from fluxbooth.generation.generate import generate
from fluxbooth.generation.picture import Picture
from fluxbooth.lora.inference import AdapterCache
from fluxbooth.models import loader
from fluxbooth.models.family import Family
from fluxbooth.prompts import options
from fluxbooth.prompts.language import Advice
from fluxbooth.prompts.options import OPTIONS, Option
from fluxbooth.specs import GenerateSpec

TEXT = "a man with red hair in front of a blue wall"
CACHE = AdapterCache()
VALUES: dict[str, Any] = {
    "upscale_factor": 1.5, "outpaint_width": 96, "outpaint_height": 80, "mask_blur": 9,
    "mask_dilate": "6", "mask_prompt": "person", "mask_negative": "hair",
    "hires_denoising_strength": 0.9, "face_inpaint_denoising": 0.9, "resolution": "1K",
    "outpaint_prompt": "a green wood", "outpaint": "center",
}  # fmt: skip
FIELDS: dict[str, Any] = {
    "steps": 3, "guidance": 5.0, "seed": 8, "num_images": 2, "aspect_ratio": "3:4",
}  # fmt: skip
ROWS = [row for row in OPTIONS.values() if row.of_spec]
SITUATIONS: dict[str, dict[str, Any]] = {
    "drawn": {},
    "from a picture": {"input_image": True, "denoising_strength": 0.7},
    "kept": {"input_image": True, "denoising_strength": 0},
    "only enlarged": {"input_image": True, "only_upscale": True},
}
# small, so that all of them are quick
SIZE = {"width": 64, "height": 64}
# what these pictures cannot show: there is no head in two steps, and nobody has a LoRA; outside a
# mask the pixels stay anyhow where nothing follows
UNSEEN = {
    "inpaint_faces", "face_correct", "face_inpaint_denoising", "multi", "use_regional",
    "restore_mask",
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def no_extra() -> Iterator[None]:
    """As without the extra `upscale`, whose networks take seconds of a processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(real_esrgan, "folder", lambda: None)
        yield


@pytest.fixture(scope="module")
def family() -> Family:
    return loader.load("nano")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, family: Family) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    spec = GenerateSpec(base="nano", seed=3, steps=6)
    whole = generate(TEXT, spec, family=family, cache=CACHE)[0].image
    whole.resize((64, 64), Image.Resampling.LANCZOS).save(folder / "start.png")
    mask = Image.new("L", (64, 64))
    ImageDraw.Draw(mask).rectangle((5, 5, 35, 50), fill=255)
    mask.save(folder / "mask.png")
    return {"input_image": str(folder / "start.png"), "mask_image": str(folder / "mask.png")}


def advised(said: list[Advice]) -> DrawingReport:
    """Keeps what is advised on the way."""

    def report(event: DrawingEvent) -> None:
        if event["event"] == "advice":
            said.extend(event["advice"])

    return report


def value_of(row: Option) -> Any:
    return VALUES.get(row.name, row.words[0] if row.words else True)


def whole(row: Option) -> dict[str, Any]:
    """With what it needs to count where everything is drawn."""
    fields = {row.name: value_of(row)}
    for name in (*row.needs, *row.goes_with[:1]):
        fields = (whole(OPTIONS[name]) if name in OPTIONS else {name: True}) | fields
    if "outpaint" in fields:
        fields = {"outpaint_width": 96} | fields
    return fields


class Drawn:
    """Pictures of one base, each drawn once."""

    def __init__(self, family: Family, files: dict[str, str]) -> None:
        self.family, self.files, self.known = family, files, dict[str, Any]()

    def __call__(self, fields: dict[str, Any]) -> tuple[list[Picture], list[str]] | None:
        """The pictures and the advice; None if it is refused."""
        key = repr(sorted(fields.items()))
        if key not in self.known:
            self.known[key] = self._draw(fields)
        return self.known[key]

    def _draw(self, fields: dict[str, Any]) -> tuple[list[Picture], list[str]] | None:
        said = list[Advice]()
        try:
            spec = GenerateSpec.read(
                {"base": "nano", "steps": 2, "seed": 3}
                | ({} if "aspect_ratio" in fields else SIZE)
                | fields
                | {name: path for name, path in self.files.items() if fields.get(name)}
            )
            made = generate(TEXT, spec, advised(said), family=self.family, cache=CACHE)
        except InputError:
            return None
        return list(made), [one.message for one in said]


@pytest.fixture(scope="module")
def drawn(family: Family, files: dict[str, str]) -> Drawn:
    return Drawn(family, files)


def shown(made: tuple[list[Picture], list[str]] | None) -> Any:
    return made and [(one.image.mode, one.image.size, one.image.tobytes()) for one in made[0]]


def check(drawn: Drawn, name: str, fields: dict[str, Any]) -> None:
    made = drawn(fields)
    if made is None:
        return
    without = drawn({key: value for key, value in fields.items() if key != name})
    if any(said.startswith(f"{name} is ignored") for said in made[1]):
        assert without is None or shown(made) == shown(without), f"{name} is said to be ignored"
        # what only the LoRAs tell is given back
        steps = [step for one in made[0] for step in one.metadata.get("enhanced", ())]
        assert name not in options.charged(fields) or not options.done(name, steps)
    elif name not in UNSEEN:
        assert shown(made) != shown(without)


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_an_option_counts_or_is_refused_or_is_ignored_and_free(
    drawn: Drawn, row: Option, situation: str
) -> None:
    check(drawn, row.name, whole(row) | SITUATIONS[situation])


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("name", [*FIELDS, "mask_image", "denoising_strength"])
def test_a_field_counts_or_is_refused_or_is_ignored(
    drawn: Drawn, name: str, situation: str
) -> None:
    given = {"mask_image": True, "denoising_strength": 0.5}.get(name, FIELDS.get(name))
    # something that is done, so that what is kept is not refused for that alone
    check(drawn, name, {"remove_background": True} | SITUATIONS[situation] | {name: given})


def test_two_options_count_both_or_one_is_ignored_and_free() -> None:
    """Of those that do the same, none has two prices."""
    for first, second in itertools.combinations([row for row in ROWS if row.priced], 2):
        asked = whole(first) | whole(second)
        steps = [OPTIONS[name].step for name in options.charged(asked) if OPTIONS[name].step]
        alike = {first.name, second.name}
        if first.step and first.step == second.step and "only_upscale" not in alike:
            assert len(steps) == len(set(steps)), alike


def test_any_strength_above_nothing_draws(drawn: Drawn) -> None:
    start = {"input_image": True, "remove_background": True}
    made = [drawn(start | {"denoising_strength": strength}) for strength in (0, 0.01)]
    assert shown(made[0]) != shown(made[1])


def test_what_is_given_twice_is_told(family: Family, files: dict[str, str]) -> None:
    said = list[Advice]()
    spec = GenerateSpec(base="nano", steps=2, color_grading="Ektar")
    text = f"{TEXT} --color_grading film-velvia"
    generate(text, spec, advised(said), family=family, cache=CACHE)
    assert [one.message for one in said if one.code == "option_doubled"] == [
        "color_grading is given more than once, and film-velvia counts: take the others out."
    ]
