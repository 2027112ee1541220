"""What one text is drawn with: its words, its spec, its LoRA files, its canvas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fluxbooth.errors import InputError
from fluxbooth.generation import init_image, references
from fluxbooth.generation.enhance import effort
from fluxbooth.generation.sampling import Canvas, sizes
from fluxbooth.lora import file as lora_file
from fluxbooth.models import registry
from fluxbooth.models.base import Base
from fluxbooth.models.family import Family
from fluxbooth.prompts import language, looks, options
from fluxbooth.prompts.language import Advice, Prompt
from fluxbooth.specs import GenerateSpec, ResolvedGenerateSpec, lora_and_weight


@dataclass(frozen=True)
class Order:
    """A prompt as it was given, and what it says: its flags are in the spec, without those options
    that are ignored, of which `advice` says why."""

    text: str
    prompt: Prompt
    spec: ResolvedGenerateSpec
    loras: list[tuple[Path, float]]
    canvas: Canvas
    advice: list[Advice]
    shown: Base  # that whose pictures it looks like before the steps that follow

    @property
    def row(self) -> Base:
        return registry.find(self.spec.base)

    @property
    def draws(self) -> bool:
        """Whether anything is drawn before the steps that follow."""
        return self.canvas.start is None or not self.canvas.start.stays

    @property
    def needs_base(self) -> bool:
        return options.draws(self.spec.asked())

    @property
    def largest_piece(self) -> int:
        """Pixels of the largest piece that is drawn at once: the picture itself, or one of the
        steps that follow; several LoRAs may be of several people, whose heads are such steps."""
        width, height = self.canvas.drawn
        pieces = [width * height] if self.draws else []
        pieces += [self.row.native_area] if len(self.loras) > 1 else []
        return max(*pieces, 0, effort.largest_piece(self.spec, self.row, self.canvas.size))

    def styled(self, text: str, family: Family) -> tuple[str, Advice | None]:
        """A text in the style that is asked for, and what of that had no room."""
        if not self.spec.style or not text:
            return text, None
        return looks.styled(text, self.spec.style, family.count_tokens, self.row.text_length)


def read(text: str, spec: GenerateSpec, folders: Sequence[Path]) -> Order:
    """The order of one text; LoRAs are found in `folders`. Raises InputError for what will not
    do."""
    prompt = language.parse(text, may_be_blank=spec.input_image is not None)
    asked = spec.with_flags(text)
    wordless = {} if prompt.text.strip() else {options.WORDLESS: True}
    said = options.asked(options.given(text)) | asked.asked() | wordless
    if wrong := options.idle(said):
        raise InputError(options.told(wrong))
    ignored = options.ignored(said)
    given = registry.drawn_by(spec.input_image) if spec.input_image else None
    told = registry.resolve_drawing(asked.without(ignored.keys() - {"seed"}), given)
    row = registry.find(told.base)
    start = init_image.read(told, given or row)
    size, drawn = sizes(told, row, start)
    looked = references.read(told)
    if start and registry.edits(row, told.asked() | wordless):
        canvas = Canvas(size, drawn, None, (references.of(start), *looked))
    else:
        canvas = Canvas(size, drawn, start.fitted(drawn) if start else None, looked)
    effort.check(told, row, size, len(canvas.references))
    loras = _loras(prompt, told, folders, row)
    shown = registry.kind(told.asked(), row, given)
    return Order(text, prompt, told, loras, canvas, _advice(text, spec, ignored), shown)


def _advice(text: str, spec: GenerateSpec, ignored: Mapping[str, str]) -> list[Advice]:
    """What counts for nothing, or was given twice, or moved into its range."""
    told = {
        "option_ignored": ignored,
        "option_doubled": options.doubled(text, spec.asked()),
        "option_clamped": options.clamped(options.given(text)),
    }
    return [
        Advice(code, sentence, 0, 0)
        for code, sentences in told.items()
        for sentence in sentences.values()
    ]


def _loras(
    prompt: Prompt, spec: GenerateSpec, folders: Sequence[Path], row: Base
) -> list[tuple[Path, float]]:
    """Files with their weights, each for a base of that kind."""
    named = [lora_and_weight(lora) for lora in spec.loras] + [
        (tag.name, tag.weight) for tag in prompt.loras
    ]
    loras = [(lora_file.find(name, folders), weight) for name, weight in named]
    for path, _ in loras:  # whether they have its sizes is seen when it is here
        lora_file.read(path, row)
    return loras
