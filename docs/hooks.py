"""What the site does to pages: a link to a file that is no page of it becomes the file's name."""

from __future__ import annotations

import posixpath
import re
from typing import Any

LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    def shown(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), link[2]))
        named = f"{link[1]} (`{target.removeprefix('../')}`)"
        return link[0] if files.get_file_from_path(target) else link[1] if "`" in link[1] else named

    return LINK.sub(shown, markdown)
