"""Addresses of stored files that open for a day, by a signature instead of a key."""

from __future__ import annotations

import hashlib
import hmac
import time

LIFETIME = 86_400  # seconds


class Signer:
    def __init__(self, secret: bytes, url: str) -> None:
        self.secret, self.url = hashlib.sha256(b"links" + secret).digest(), url

    def __call__(self, key: str) -> str:
        """Keys are the store's own and hold nothing that an address must quote."""
        # the same address for an hour, so that browsers may keep the file
        expires = int(time.time()) // 3600 * 3600 + LIFETIME
        return f"{self.url}/files/{key}?expires={expires}&signature={self._signature(key, expires)}"

    def opens(self, key: str, expires: str, signature: str) -> bool:
        if not (expires.isdecimal() and len(expires) < 12 and int(expires) >= time.time()):
            return False
        return hmac.compare_digest(signature.encode(), self._signature(key, int(expires)).encode())

    def _signature(self, key: str, expires: int) -> str:
        return hmac.digest(self.secret, f"{expires}\n{key}".encode(), "sha256").hex()[:32]
