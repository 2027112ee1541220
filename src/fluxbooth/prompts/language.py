"""The prompt language of FLUX, shared by the CLI, the API and the web app: LoRA tags, advice, text
for the encoders.

FLUX prompts are dense and positive: no negative prompt, no weights, what matters first, lettering
in quotation marks.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from fluxbooth.errors import InputError
from fluxbooth.prompts import options

MAX_CHARACTERS, MAX_LORAS, MAX_WEIGHT = 10_000, 8, 4.0
TRIGGER_WITHIN_WORDS, FEWEST_WORDS, MOST_WORDS = 8, 4, 120
MOST_ADVICE = 10  # of one rule: whoever broke it so often has understood
_Span = tuple[int, int]
_GAP = "\0"  # stands where a tag was; parse refuses NUL, so no text can hold one of its own
_INVISIBLE = {0x00AD: None, 0x200B: None, 0x2060: None, 0xFEFF: None}
_TAG = re.compile(  # a colon between a letter and a slash is that of a Windows drive
    r"<\s*lora\s*:(?P<name>(?:\s*[a-z]:(?=[\\/]))?[^<>:\r\n]*)(?::(?P<weight>[^<>\r\n]*))?>",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# A quotation may not open right after a digit (a 12" record) nor close inside a word (don't).
_QUOTED = re.compile(
    r'(?<!\d)"[^"]{1,400}"|[\u201c\u201e][^\u201c\u201d\u201e]{1,400}[\u201c\u201d]'
    r"|\u00ab[^\u00ab\u00bb]{1,400}\u00bb"
    r"|(?<!\w)'(?=\S)(?:[^'\n]|(?<=\w)'(?=\w)){1,200}?(?<=\S)'(?!\w)"
    r"|(?<!\w)\u2018(?=\S)[^\u2018\n]{1,200}?\u2019(?!\w)"
)
_LETTERING_MARKED = re.compile(r'[~"\u201c\u201d\u201e\u00ab\u00bb]')  # ~ is a masked quotation
# A colon right after a digit or a space is a ratio, a verse or a face, not a weight; so is one
# before "16" or "400".
_ROUND = re.compile(
    r"(?<!\()(?P<open>\(++)(?P<words>[^()]+?)"
    r"(?:(?<![\d\s])(?P<weight>:[+-]?(?:\d(?:\.\d*)?|\.\d+)\s*))?"
    r"(?P<close>\)++)(?P<plus>\+{2,}+)?"
)
_SQUARE = re.compile(r"(?<!\[)(?P<open>\[++)(?P<words>[^\[\]]+)(?P<close>\]++)")
_SCHEDULE = re.compile(r"([^:]*):([^:]*):\s*(?:\d+(?:\.\d*)?|\.\d+)\s*")
_PLUS = re.compile(r"\b(?!notepad\+)([^\W\d_]{2,})\+{2,}+(?!\w)", re.IGNORECASE)
# Titles and names hold these words too (Kimetsu no Yaiba, No Time to Die, Don't Look Up), so the
# next word must be lower case, or all of it capitals. The idioms name nothing that could be drawn,
# or signs that one can photograph.
_NEGATION = re.compile(
    r"(?<![\w-])(?P<found>"
    r"[Nn]o\s+(?!(?:longer|doubt|matter|less|more|sooner|later|time|stranger|wonder|to|smoking"
    r"|parking|entry|trespassing|swimming|fishing|vacancy|end)\b|man['\u2019]s)[a-z]{2,}"
    r"|(?:NO|NOT|WITHOUT)\s+[A-Z]{2,}\b"
    r"|[Ww]ithout\s+(?!(?:an?\s+)?(?:country|trace|care|cause|end|borders|limits?|doubt|warning"
    r"|effort|fear|compare|hesitation)\b)(?:an?\s+)?[a-z]{2,}"
    r"|(?<!me |or |do |Do )[Nn]ot\s+"
    r"(?!(?:only|just|unlike|simply|yet|quite|far|too|so|least|to|long|one)\b)[a-z]+"
    r"|(?:[Dd]o\s+not|(?:[Dd]o|[Dd]oes|[Ii]s|[Aa]re)n['\u2019]?t)\s+"
    r"(?!(?:walk|disturb|enter|cross)\b)[a-z]{2,})"
    r"|(?:^|[.,;:!?(\n])\s*(?P<avoid>(?:[Pp]lease\s+)?[Aa]void\s+[a-z]+)"
)
# Only things that carry lettering can ask for it: a woman reading a letter, or a shirt reading
# comics nearby, does not.
_SIGN = (
    r"(?:signs?|billboard|banner|plaque|label|logo|inscription|caption|headline|letter(?:s|ing)"
    r"|words|text|sticker)"
)
_PRINT = r"(?:poster|cover|book|magazine|album|newspaper|card|page|flyer|menu)"
_MARKED = r"(?:written|painted|printed|carved|engraved|embroidered)"
_WORDING = rf"(?!(?:it|more|of|in|on|at|is|are|and|visible|blurred|{_MARKED}|\w{{3,}}ing)\b)\w+"
_LETTERING = re.compile(
    rf"(?i)\b(?:(?:{_SIGN}|{_PRINT}|shirt|mug|cake|tattoo)\s+(?:that\s+|which\s+)?"
    rf"(?:says|saying|spells|spelling)\s+{_WORDING}"
    rf"|{_SIGN}\s+(?:that\s+|which\s+)?(?:reads|reading)\s+"
    rf"(?!(?:an?|the|his|her|their|its)\b){_WORDING}"
    r"|with\s+the\s+(?:words?|phrase|slogan|text|letters|inscription|caption|lettering)\s+"
    rf"{_WORDING}"
    rf"|the\s+(?:words?|phrase|slogan|text)\s+{_WORDING}\s+(?:\w+\s+){{0,3}}{_MARKED}"
    rf"|{_PRINT}\s+(?:en)?titled\s+\w+"
    r"|with\s+(?!(?:an?|the|some|many|his|her|its|their)\b)"
    r"(?!(?:\w+\s+){0,3}(?:equation|formula|note|price|word|letter|name|rune|symbol|number"
    r"|character|verse)s?\b)(?:\w+\s+){1,4}written\s+(?:on|across|over|in)"
    r"|(?:text|caption|title|lettering)\s*:\s*\w+)"
)
# Most of these are ordinary words in a sentence (a Rembrandt masterpiece, an 8K television): only
# as tags of their own.
_SOUP = (
    r"(?:masterpiece|(?:best|top|high|highest|ultra)[\s-]+quality|(?:4|8|16)k|u?hd|ultra[\s-]?hd"
    r"|resolution|absurdres|(?:ultra|highly|extremely|insanely|hyper)[\s-]?detailed"
    r"|trending\s+on\s+\w+|artstation|cgsociety|octane\s+render)"
)
_QUALITY = re.compile(
    r"(?i)(?:\A|(?<=[,;|\n])|(?<=\.\s))[\s(\[]*"
    rf"(?P<found>{_SOUP}(?:[\s,()\[\]]+{_SOUP})*)"
    r"(?::[\d.]+)?[)\]]*\s*(?=[,.;|\n]|\Z)"
    r"|\b(?P<inside>trending\s+on\s+(?:artstation|cgsociety|deviantart)|ultra[\s-]?detailed"
    r"|in\s+[48]k)\b"
)
# What other programs' prompts bring along. A pasted block goes on to the end of the text.
_NEGATIVE_BLOCK = re.compile(r"(?ims)^[ \t]*(?P<found>negative\s+prompt\s*:.*)\Z")
_OTHER_TAG = re.compile(
    r"(?i)<\s*(?:lyco(?:ris)?|hypernet(?:work)?|embedding|ti|wildcard)\s*:[^<>\r\n]*>"
)
_ESCAPED = re.compile(
    r"\\[(\[<][^()\[\]<>\\\r\n]*\\[)\]>]|\\[()\[\]<>_:]"
    r"|(?i:&lt;\s*(?:lora|faceid|lyco)\s*:[^&\r\n]*&gt;)"
)


@dataclass(frozen=True)
class LoraTag:
    """One `<lora:NAME:WEIGHT>` of a prompt; the name is an id, a name or a path."""

    name: str
    weight: float


@dataclass(frozen=True)
class Prompt:
    """A prompt without its LoRA tags and the flags of options (`prompts/options.py`), and the LoRAs
    in the order they were written."""

    text: str
    loras: tuple[LoraTag, ...]


@dataclass(frozen=True)
class Advice:
    """One hint; start and end are the characters of the given text it is about, 0 and 0 for the
    whole text."""

    code: str
    message: str
    start: int
    end: int

    def to_json(self) -> dict[str, str | int]:
        """The advice as the API sends it."""
        return asdict(self)


def parse(text: str, *, may_be_blank: bool = False) -> Prompt:
    """Take the LoRA tags and the flags of options out of a prompt and tidy what is left; InputError
    names what cannot be used and the remedy. One that starts from a picture may say nothing."""
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"The prompt has {len(text):,} characters; shorten it to at most {MAX_CHARACTERS:,}."
        )
    for place, character in enumerate(text, start=1):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\t\n\v\f\r\x85":
            raise InputError(
                f"Character {place} of the prompt, U+{ord(character):04X}, cannot be text; "
                "remove it."
            )
    text = options.without_flags(text.translate(_INVISIBLE), _GAP)
    loras = tuple(_lora_tag(match) for match in _TAG.finditer(text))
    rest = _without_gaps(_TAG.sub(_GAP, text))
    if broken := re.search(r"(?i)<\s*lora\b", rest):
        tag = _shortened(rest[broken.start() :])
        raise InputError(
            f'The LoRA tag "{tag}" is not complete; write it like <lora:my-lora:0.8>, up to '
            'the ">".'
        )
    if faceid := re.search(r"(?i)<\s*faceid\s*:[^>]*>?", rest):
        raise InputError(
            f'The tag "{_shortened(faceid[0])}" names a picture that a server keeps: give the '
            "picture itself as a reference (--reference PICTURE)."
        )
    if len(loras) > MAX_LORAS:
        raise InputError(
            f"The prompt names {len(loras)} LoRAs; at most {MAX_LORAS} can be used, so "
            "remove some tags."
        )
    if not rest and not may_be_blank:
        raise InputError(
            "The prompt is empty apart from LoRA tags; say in words what the picture should show."
        )
    return Prompt(rest, loras)


def at_strength(text: str, strength: float) -> str:
    """A prompt with the weight of each of its LoRAs times `strength`.

    Raises InputError for a tag that `parse` refuses."""

    def tag(match: re.Match[str]) -> str:
        lora = _lora_tag(match)
        return f"<lora:{lora.name}:{lora.weight * strength:g}>"

    return _TAG.sub(tag, text)


def _lora_tag(match: re.Match[str]) -> LoraTag:
    tag, name, written = _shortened(match[0]), match["name"].strip(), match["weight"]
    if not name:
        raise InputError(
            f"The LoRA tag {tag} has no name; write an id, a name or a path: <lora:my-lora:0.8>."
        )
    weight = (
        1.0
        if written is None
        else float(written)
        if _NUMBER.fullmatch(written.strip())
        else math.inf
    )
    if abs(weight) > MAX_WEIGHT:
        raise InputError(
            f"The LoRA tag {tag} needs a weight from {-MAX_WEIGHT:g} to {MAX_WEIGHT:g}, such "
            "as 0.8."
        )
    return LoraTag(name, weight)


def _without_gaps(text: str) -> str:
    text = " ".join(text.split())
    text = re.sub(rf"\( ?{_GAP} ?\)", _GAP, text)
    text = re.sub(rf" ?(?:{_GAP} ?)+(?=[,.;:!?](?:[\s{_GAP}]|$))", "", text)
    text = " ".join(text.replace(_GAP, " ").split())
    return re.sub(r" ?,(?: ?,)*", ",", text).strip(" ,")


def _shortened(text: str, longest: int = 60) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _masked(pattern: re.Pattern[str], text: str, mask: str) -> str:
    return pattern.sub(lambda match: mask * len(match[0]), text)


def _weighted(text: str, prose: str) -> list[tuple[int, int, str]]:
    """Start, end and words of weighted syntax, in order, innermost first; prose is the text
    with quotations masked."""
    found = [(match.start(), match.end(), match[1]) for match in _PLUS.finditer(prose)]
    for match in (*_ROUND.finditer(prose), *_SQUARE.finditer(prose)):
        groups, words = match.groupdict(), text[match.start("words") : match.end("words")].strip()
        depth = min(len(match["open"]), len(match["close"]))
        spare = len(match["close"]) - len(match["open"])
        # with spare parentheses the ++ is of an outer pair
        plus = groups.get("plus") if spare <= 0 else None
        schedule = (
            _SCHEDULE.fullmatch(words)
            if match.re is _SQUARE and any(map(str.isalpha, words))
            else None
        )
        words = f"{schedule[1].strip()} {schedule[2].strip()}".strip() if schedule else words
        start = match.end("open") - depth
        end = match.end() if plus else match.end("close") - max(spare, 0)
        apart = all(end <= other[0] or start >= other[1] for other in found)
        if apart and (depth > 1 or groups.get("weight") or plus or schedule):
            found.append((start, end, words))
    return sorted(found)


def plain(text: str) -> str:
    """The text for the encoders: weighted syntax removed, its words kept; quotations and single
    parentheses stay."""
    now = text
    for _ in range(64):
        found = _weighted(now, _masked(_QUOTED, now, "~"))
        if not found:
            return now
        for start, end, words in reversed(found):
            now = now[:start] + words + now[end:]
    return text  # nested this deep it is no prompt syntax, and working on would take seconds


def quoted(text: str) -> list[str]:
    """What stands in quotation marks, without them: the lettering that a prompt asks for."""
    return [match[0][1:-1].strip() for match in _QUOTED.finditer(text)]


def outside_quotations(text: str, change: Callable[[str], str]) -> str:
    """The text with all but its quotations changed: lettering is drawn word for word."""
    parts, last = [], 0
    for match in _QUOTED.finditer(text):
        parts += [change(text[last : match.start()]), match[0]]
        last = match.end()
    return "".join([*parts, change(text[last:])])


def first_words(text: str, count: int) -> str:
    """So many words of a text, and a quotation that they begin to its end."""
    ends = [match.end() for match in re.finditer(r"\S+", text)]
    if len(ends) <= count:
        return text
    end = ends[count - 1]
    cut = [match for match in _QUOTED.finditer(text) if match.start() < end < match.end()]
    return text[: cut[0].end() if cut else end]


def _word_count(text: str) -> int:
    return sum(any(map(str.isalnum, word)) for word in text.split())


@dataclass(frozen=True)
class _Asked:
    """What advise was asked: the text, the same without tags and flags, and without quotations
    too, all of the same length."""

    text: str
    tagless: str
    prose: str
    trigger: re.Pattern[str] | None
    tokens_until: Callable[[int], int]
    text_length: int


def _each(pattern: re.Pattern[str]) -> Callable[[_Asked], Iterator[_Span]]:
    """A rule that looks for a pattern outside of quotations and tags; what it is about is the
    group that matched."""
    return lambda asked: (
        match.span(match.lastgroup or 0) for match in pattern.finditer(asked.prose)
    )


def _find_trigger(asked: _Asked, late: bool) -> Iterator[_Span]:
    found = asked.trigger.search(asked.tagless) if asked.trigger else None
    if found and late and _word_count(asked.tagless[: found.start()]) >= TRIGGER_WITHIN_WORDS:
        yield found.span()
    elif asked.trigger and not found and not late:
        yield 0, 0


def _find_cut(asked: _Asked) -> Iterator[_Span]:
    words = list(re.finditer(r"\S+", asked.tagless))
    if words and asked.tokens_until(len(asked.text)) > asked.text_length:
        # the whole is too long, so the last word falls off in any case
        ends = [word.end() for word in words[:-1]]
        kept = bisect.bisect_right(ends, asked.text_length, key=asked.tokens_until)
        yield words[kept].start(), words[-1].end()


def _find_length(asked: _Asked, short: bool) -> Iterator[_Span]:
    count = _word_count(
        asked.trigger.sub(" ", asked.tagless) if asked.trigger and short else asked.tagless
    )
    if short and not asked.tagless.strip():
        return  # a picture that is given says it all
    if count < FEWEST_WORDS if short else count > MOST_WORDS and not any(_find_cut(asked)):
        yield 0, 0


def _find_lettering(asked: _Asked) -> Iterable[_Span]:
    return () if _LETTERING_MARKED.search(asked.prose) else _each(_LETTERING)(asked)


def _find_unknown_flags(asked: _Asked) -> Iterator[_Span]:
    # long dashes in prose have a space behind them; a phone makes them of two hyphens
    for found in re.finditer(r"(?<!\S)[\u2013\u2014]([\w-]+)", asked.tagless):
        if found[1].replace("-", "_").lower() in options.OPTIONS:
            yield found.span()
    yield from ((flag.start, flag.end) for flag in options.flags(asked.tagless) if not flag.option)


def _find_unread_flags(asked: _Asked) -> Iterator[_Span]:
    if options.unbalanced(asked.tagless) and options.flags(asked.tagless.replace('"', " ")):
        yield 0, 0


@dataclass(frozen=True)
class Rule:
    """One row of the prompt language: a code, what it looks for, and the message, with {found}
    for what it found, and {meant} for what may have been meant."""

    code: str
    find: Callable[[_Asked], Iterable[_Span]]
    message: str


RULES: tuple[Rule, ...] = (
    Rule("weight", lambda asked: (found[:2] for found in _weighted(asked.text, asked.prose)),
         'FLUX reads weights as plain characters; write the words of "{found}" alone, what matters '
         'most first.'),
    Rule("negative_block", _each(_NEGATIVE_BLOCK),
         'FLUX takes no negative prompt and would draw what is in it; take out all from "{found}" '
         'on.'),
    Rule("other_tag", _each(_OTHER_TAG),
         '"{found}" is drawn as text: only <lora:NAME:WEIGHT> is a tag; write it so, or take it '
         'out.'),
    Rule("escaped", _each(_ESCAPED),
         '"{found}": write it without the backslash, and < and > as they are; FLUX reads every '
         'character.'),
    Rule("unknown_flag", _find_unknown_flags,
         '"{found}" is no option{meant}, so it is read as words of the text: take it out.'),
    Rule("unread_flags", _find_unread_flags,
         "A quotation mark has no partner, so options in the text are read as words: close it."),
    Rule("negation", _each(_NEGATION),
         '"{found}": FLUX often draws what is named; say what should be there instead.'),
    Rule("trigger_missing", lambda asked: _find_trigger(asked, False),
         'Put the missing trigger "{trigger}" first.'),
    Rule("trigger_late", lambda asked: _find_trigger(asked, True),
         'Put the trigger "{trigger}" first.'),
    Rule("too_long", _find_cut,
         '{tokens} tokens, and FLUX reads {text_length}: all from "{found}" on is cut off.'),
    Rule("lettering", _find_lettering,
         '"{found}": put the lettering itself in quotation marks, such as "OPEN".'),
    Rule("short", lambda asked: _find_length(asked, short=True),
         "Say what is seen, where, in what light and style."),
    Rule("long", lambda asked: _find_length(asked, short=False),
         "{words} words are many; the first ones count most."),
    Rule("quality_words", _each(_QUALITY),
         '"{found}" does little for FLUX; describe light and material instead.'),
)  # fmt: skip


def advise(
    text: str,
    trigger: str | None = None,
    count_tokens: Callable[[str], int] | None = None,
    text_length: int = 512,
) -> list[Advice]:
    """The hints of RULES for a prompt as typed, LoRA tags included, in order of appearance;
    whole-text ones first."""
    count = count_tokens or (lambda _: 0)
    tagless = options.without_flags(_masked(_TAG, text, " "), keep_length=True)
    name = " ".join((trigger or "").split())
    pattern = (
        re.compile(rf"(?i)(?<!\w){re.escape(name)}(?!\w)".replace("\\ ", r"\s+")) if name else None
    )
    prose = _masked(_QUOTED, tagless, "~")
    asked = _Asked(
        text,
        tagless,
        prose,
        pattern,
        lambda end: count(" ".join(tagless[:end].split())),
        text_length,
    )
    values = {
        "trigger": name,
        "tokens": asked.tokens_until(len(text)),
        "words": _word_count(tagless),
    }
    advice: list[Advice] = []
    for rule in RULES:
        for start, end in itertools.islice(rule.find(asked), MOST_ADVICE):
            found = _shortened(" ".join(text[start:end].split()))
            values["meant"] = options.meant(found) if "{meant}" in rule.message else ""
            message = rule.message.format(found=found, text_length=text_length, **values)
            advice.append(Advice(rule.code, message, start, end))
    return sorted(advice, key=lambda item: (item.start, item.end))


def trigger_words(token: str, class_name: str) -> str:
    """The trigger as prompts hold it, such as "ohwx man"; what token and class name have in
    common there is not repeated."""
    token = " ".join(token.split()).strip(" ,")
    class_name = class_word(token, class_name)
    repeated = f" {token}".lower().endswith(f" {class_name}".lower())
    return token if repeated else f"{token} {class_name}".strip()


def class_word(token: str, class_name: str) -> str:
    """The class without the token, for who gave both: `ohwx person` is a person."""
    class_name = " ".join(class_name.split()).strip(" ,")
    begins = token and f"{class_name} ".lower().startswith(f"{token} ".lower())
    return class_name[len(token) :].strip(" ,") if begins else class_name


def with_trigger(text: str, trigger: str) -> str:
    """A caption with the trigger words where it says `[trigger]`."""
    return re.sub(r"(?i)\[trigger\]", lambda _: trigger, text)
