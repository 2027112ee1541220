"""The public ids of the FLUX bases, which clients send as numbers."""

from __future__ import annotations

import datetime

FLUX_DEV, FLUX_KREA = 1504944, 3063697
PUBLIC_TITLES = {FLUX_DEV: "Flux1.dev", FLUX_KREA: "Flux1.krea"}
PUBLIC_SINCE = datetime.datetime(2024, 8, 1, tzinfo=datetime.UTC)
