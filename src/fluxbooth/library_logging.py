"""The libraries underneath: what they say of themselves, to whom, and what to install where one
is missing."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

from fluxbooth.errors import InputError

# of kernels that are for another machine, or that they would fetch
TALKATIVE = ("torchao", "torch.utils._pytree", "bitsandbytes")
# what we make them say, and nobody can do anything about: loggers with the beginnings of their
# lines, and Python's own warnings
SAID_FOR_NOTHING = {
    "transformers.utils.import_utils": (
        "`CLIPImageProcessor` requires torchvision",
        "`SiglipImageProcessor` requires torchvision",
    ),
    "diffusers.quantizers.torchao.torchao_quantizer": (
        "Unable to import `torchao` Tensor objects",
    ),
    "diffusers.models.modeling_utils": (
        "There are modules in AutoencoderKLFlux2 that should be kept in float32: []",
    ),
    "torch.utils._pytree": ("<enum ",),
    "torchao": ("Failed to load ", "Skipping import of cpp extensions"),
}
# a norm of T5 keeps float32 weights: slower, and right
WARNED_FOR_NOTHING = ("Mismatch dtype between input and weight",)


def quieten(*, whatever_was_asked: bool = False) -> None:
    """Before they are imported: their warnings are not for this program's users.

    They also repeat what was prompted, so a log that is not the prompter's own must not have them
    `whatever_was_asked` by a variable.
    """
    for library in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ[library] = "error" if whatever_was_asked else os.environ.get(library, "error")
    for logger in TALKATIVE:
        logging.getLogger(logger).setLevel(logging.ERROR)


def silence() -> None:
    """In another's program, whose logging is its own: takes out those lines alone that come of
    how we use them."""
    for name, beginnings in SAID_FOR_NOTHING.items():
        logging.getLogger(name).addFilter(
            lambda line, known=beginnings: not line.getMessage().startswith(known)
        )
    for beginning in WARNED_FOR_NOTHING:
        warnings.filterwarnings("ignore", message=beginning)


@contextlib.contextmanager
def needing(extra: str) -> Iterator[None]:
    """Inside, a package that is not installed is an InputError that names the extra which
    brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "fluxbooth":
            raise
        raise InputError(
            f"This needs a package that is not here ({error.name}): pip install "
            f"'fluxbooth[{extra}]'."
        ) from error
