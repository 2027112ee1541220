"""The version of the package, for whoever needs nothing else of it."""

from __future__ import annotations

__version__ = "0.1.0"
