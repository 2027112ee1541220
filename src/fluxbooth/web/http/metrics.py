"""Counts and times for Prometheus, by route and status."""

from __future__ import annotations

import prometheus_client as prometheus

REQUESTS = prometheus.Histogram(
    "fluxbooth_request_seconds", "Time to answer", ["method", "route", "status"]
)
WAITING = prometheus.Gauge(
    "fluxbooth_jobs_waiting", "Tunes and prompts accepted and not finished", ["kind"]
)


def answered(method: str, route: str, status: int, seconds: float) -> None:
    REQUESTS.labels(method, route, str(status)).observe(seconds)


def text(tunes: int, prompts: int) -> bytes:
    WAITING.labels("tune").set(tunes)
    WAITING.labels("prompt").set(prompts)
    return prometheus.generate_latest()
