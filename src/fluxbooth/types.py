"""Names of types that everything shares."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
"""An object of JSON, or what will be one."""
