from __future__ import annotations

from tests.service.conftest import own_server, server

__all__ = ["own_server", "server"]
