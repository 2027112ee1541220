"""The words of a mask (`--mask_prompt`, `--mask_negative`) and how far it is widened: which parts
of a picture they name, and which can be told apart where."""

from __future__ import annotations

import re

from fluxbooth.errors import InputError

# what the segmenter of a base tells apart, in its order
PARTS = (
    "background", "skin", "hair", "beard", "clothes", "hat", "glasses", "animal", "object",
)  # fmt: skip
PERSON = ("skin", "hair", "beard", "clothes", "hat", "glasses")
_WORDS = {
    PERSON: "person people human man woman boy girl child kid guy lady subject figure portrait "
    "body",
    PARTS[1:]: "foreground",
    ("background",): "background backdrop wall scenery surroundings",
    ("skin", "beard", "glasses"): "face",
    ("skin", "hair", "beard", "hat", "glasses"): "head",
    ("skin",): "skin neck",
    ("hair",): "hair hairstyle haircut",
    ("beard",): "beard moustache mustache goatee",
    ("clothes",): "clothes clothing outfit garment shirt t-shirt tshirt top hoodie overalls "
    "sweater jumper blazer jacket coat suit dress turtleneck",
    ("hat",): "hat cap beanie headscarf turban",
    ("glasses",): "glasses sunglasses eyeglasses spectacles eyepatch",
    # the segmenter takes one for the other, and a picture of nano shows one thing
    (
        "animal",
        "object",
    ): "animal pet cat dog rabbit horse cow pig fox bear panda frog penguin owl parrot "
    "duck turtle fish butterfly elephant lion tiger mouse snail "
    "object thing product item car bus bicycle rocket guitar camera umbrella cup "
    "cake apple banana pizza sunflower cactus tree shoe backpack book lamp chair house balloon "
    "crown drum ball teddy",
}
WORDS = {word: parts for parts, words in _WORDS.items() for word in words.split()}
# what stands between words, and says nothing of a place
_FILLING = {"a", "an", "and", "the", "or", "of", "his", "her", "their"}
# of photographs only people are told from the rest
OF_PHOTOS = frozenset(
    word
    for word, parts in WORDS.items()
    if parts in (PERSON, ("background",)) or word == "foreground"
)
_SHOWN = "person, face, head, skin, hair, beard, clothes, hat, glasses, object, background"


def is_person(class_name: str) -> bool:
    """Whether a class word, or the last of several, calls a person."""
    return any(WORDS.get(word) == PERSON for word in class_name.lower().split()[-1:])


def parts_of(text: str, every: bool) -> frozenset[str]:
    """The PARTS that words such as "hair and clothes" name.

    `every`: whether the base has a segmenter of all PARTS; without one only people can be told from
    the background. Raises InputError for words that name no part, or one that cannot be told.
    """
    found = set[str]()
    for word in re.findall(r"[a-z][a-z-]*", text.lower()):
        if word in _FILLING:
            continue
        known = _known(word)
        if every and known is None:
            raise InputError(f'The mask cannot find "{word}": words that it knows are {_SHOWN}.')
        if known is None or not (every or known in OF_PHOTOS):
            raise InputError(
                f'The mask cannot find "{word}" in a photograph, for which a larger model would be '
                "needed than is here: use person or background, or upload a mask_image."
            )
        found |= set(WORDS[known])
    if not found:
        raise InputError(f'The mask "{text}" names nothing: write words such as person.')
    return frozenset(found)


def _known(word: str) -> str | None:
    """The word of WORDS that this one is, also in the plural."""
    return next((form for form in (word, word.removesuffix("s")) if form in WORDS), None)


def pixels(amount: str, side: int) -> int:
    """How far a mask is widened, of `12` (pixels) or `-20%` (of the `side`, in pixels), which is
    the most; a negative one is narrowed. Raises InputError for anything else."""
    match = re.fullmatch(r"\s*([+-]?\d{1,4}(?:\.\d+)?)\s*(%?)\s*", amount)
    if match is None or (match[2] and abs(float(match[1])) > 100):
        raise InputError(
            f'mask_dilate "{amount}" is neither pixels such as 12 nor percent such as -20%.'
        )
    return max(-side, min(side, round(float(match[1]) * (side / 100 if match[2] else 1))))
