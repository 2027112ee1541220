"""In what order waiting work has its turn: pictures before trainings, then the account that has
least waiting, with ageing.

All of it is one number that the queue sorts by, lowest first: the second in which a job came, made
later by what should go before it. A training stands as though it had come hours later than it did,
and so does each job of an account that has others waiting already. Time itself is the ageing: what
came long enough ago goes before whatever comes now. How long that is depends on what its own
account has waiting, and on nobody else's.
"""

from __future__ import annotations

import datetime

from PIL import Image
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from fluxbooth.models import enlarging, registry
from fluxbooth.prompts import options
from fluxbooth.service.db.tables import Prompt, Tune, Use, now
from fluxbooth.service.files.store import Store
from fluxbooth.service.prompts import input_images, references

EPOCH = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
HOUR = 3600
# for each drawing that the account has waiting: longer than a round over many accounts takes
DRAWING_BEHIND = HOUR // 2
TRAINING_BEHIND = 6 * HOUR  # for being one, and for each that the account has waiting
LONG = 10.0  # seconds
# jobs of an account that are told apart by how many stand before them; the next ones all stand six
# weeks later than they came, so counting costs the same however many wait
COUNTED = 2000
LAST = 2**31 - 1  # the largest number that the queue takes


def place(came: int, *, training: bool, waiting: int) -> int:
    """The number of a job that came in a second, of an account with so many of its kind waiting."""
    behind = TRAINING_BEHIND * (1 + waiting) if training else DRAWING_BEHIND * waiting
    return min(came + behind, LAST)


def priority(session: Session, row: Tune | Prompt) -> int:
    """The number of a job that is enqueued now."""
    came = int((now() - EPOCH).total_seconds())
    return place(came, training=isinstance(row, Tune), waiting=_waiting(session, row))


def is_fast(row: Tune | Prompt) -> bool:
    """Whether a job is of the branch `fast`: a trial on nano, which has a queue of its own."""
    return (
        row.branch == "fast"
        if isinstance(row, Tune)
        else any(use.tune.branch == "fast" for use in row.uses)
    )


def needs_base(prompt: Prompt) -> bool:
    """Whether anything of a prompt is drawn; else it only changes the picture that it starts
    from."""
    asked = prompt.spec | {"denoising_strength": prompt.fields.get("denoising_strength")}
    starts = input_images.FILES in prompt.fields or input_images.ADDRESSES in prompt.fields
    edits = prompt.fields.get(references.EDITS)
    asked = options.asked(asked | {"input_faceid": edits})
    return options.draws(asked | ({"input_image": True} if starts else {}))


def takes_long(prompt: Prompt, store: Store) -> bool:
    """Of a prompt that only changes a picture: whether that takes a CPU longer than LONG. Such work
    has a queue and a process of its own, behind which nobody waits who is done in seconds."""
    with Image.open(store.path(prompt.fields[input_images.FILES]["input_image"])) as image:
        width, height = image.size
    native = registry.find(prompt.spec["base"]).native_area
    if options.enlargement(prompt.spec, (width, height), native) <= 1:
        return False
    return prompt.num_images * enlarging.seconds(width, height) > LONG


def _waiting(session: Session, row: Tune | Prompt) -> int:
    """Other jobs of its kind that the account has in the same queue, up to COUNTED."""
    if isinstance(row, Tune):
        waits = Tune.is_open, Tune.started_training_at.is_(None)
        alike = (Tune.branch == "fast") == is_fast(row)
        others = select(Tune.id).where(
            Tune.account_id == row.account_id, Tune.id != row.id, alike, *waits
        )
    else:
        waits = Prompt.is_open, Prompt.started_training_at.is_(None), Prompt.enqueued
        alike = Prompt.uses.any(Use.tune.has(branch="fast")) == is_fast(row)
        others = select(Prompt.id).where(
            Prompt.account_id == row.account_id, Prompt.id != row.id, alike, *waits
        )
    counted = others.limit(COUNTED).subquery()
    return session.scalar(select(func.count()).select_from(counted)) or 0
