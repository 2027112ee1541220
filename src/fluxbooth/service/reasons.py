"""Reasons of failures as an account may read them: by the names that it knows its files by, and
without a path of this machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path

A_FILE = "a file of this server"
_PATH = re.compile(r"""(?<![^\s'"“‘(\[=])/[^\s'"“”‘’,;:()\[\]]+""")
_FOLDERS = (str(Path.home()), sys.prefix)  # may hold spaces, which end a path elsewhere


def told(sentence: str, names: Mapping[str, str], data: Path) -> str:
    """The sentence with each file by its name in `names`, which has it by whole path and by
    file name, and no other path at all."""
    for path, name in sorted(names.items(), key=lambda item: -len(item[0])):
        sentence = re.sub(
            rf"(?<![\w.-]){re.escape(path)}(?![\w-])", lambda _, name=name: name, sentence
        )
    return pathless(sentence, str(data))


def pathless(sentence: str, *folders: str) -> str:
    """The sentence with no path in it that begins at the root; addresses stay as they are."""
    for folder in (*folders, *_FOLDERS):
        sentence = sentence.replace(f"{folder}/", "/-/")
    return _PATH.sub(_hidden, sentence)


def _hidden(match: re.Match[str]) -> str:
    path = match[0].rstrip(".?!")
    return A_FILE + match[0][len(path) :] if path.count("/") > 1 else match[0]
