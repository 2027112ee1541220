"""What the libraries underneath say of themselves, and to whom."""

from __future__ import annotations

import logging
import os

# of kernels that are for another machine, or that they would fetch
TALKATIVE = ("torchao", "torch.utils._pytree", "bitsandbytes")


def quieten(*, whatever_was_asked: bool = False) -> None:
    """Before they are imported: their warnings are not for this program's users.

    They also repeat what was prompted, so a log that is not the prompter's own must not have them `whatever_was_asked` by a variable.
    """
    for library in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ[library] = "error" if whatever_was_asked else os.environ.get(library, "error")
    for logger in TALKATIVE:
        logging.getLogger(logger).setLevel(logging.ERROR)
