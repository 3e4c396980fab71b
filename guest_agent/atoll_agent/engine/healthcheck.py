"""What a health check is, and what its results say of a container. Pure; `health` runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..api.errors import invalid
from .records import Health

STARTING, HEALTHY, UNHEALTHY = "starting", "healthy", "unhealthy"
MAX_RESULTS = 5
NS = 1_000_000_000
DEFAULT_INTERVAL_S = DEFAULT_TIMEOUT_S = 30.0
DEFAULT_START_INTERVAL_S, DEFAULT_RETRIES = 5.0, 3
SHORTEST_NS = 1_000_000
TIMES = ("Interval", "Timeout", "StartPeriod", "StartInterval")


@dataclass(frozen=True)
class Check:
    """A container's health check.

    Attributes:
        command: what is executed.
        interval_s: between two checks.
        timeout_s: after which one has failed.
        start_period_s: during which failures do not count.
        start_interval_s: between two checks during that time.
        retries: failures in a row that make the container unhealthy.
    """

    command: tuple[str, ...]
    interval_s: float = DEFAULT_INTERVAL_S
    timeout_s: float = DEFAULT_TIMEOUT_S
    start_period_s: float = 0.0
    start_interval_s: float = DEFAULT_START_INTERVAL_S
    retries: int = DEFAULT_RETRIES


def check_healthcheck(value: dict[str, Any] | None) -> None:
    """Raise unless a Healthcheck of a request makes sense."""
    raw = value or {}
    test = raw.get("Test")
    if test is not None and (not isinstance(test, list) or not all(isinstance(word, str) for word in test)):
        raise invalid("invalid Healthcheck: Test is a list of strings")
    for name in (*TIMES, "Retries"):
        number = raw.get(name) or 0
        if not isinstance(number, int) or isinstance(number, bool):
            raise invalid(f"invalid Healthcheck: {name} is a number")
        if name != "Retries" and number and number < SHORTEST_NS:
            raise invalid(f"{name} in Healthcheck cannot be less than 1ms")
        if number < 0:
            raise invalid(f"{name} in Healthcheck cannot be negative")


def merge_healthcheck(asked: dict[str, Any] | None, image: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a container inherits from its image: each field that the request leaves open."""
    if not asked:
        return image
    if not image or (asked.get("Test") or [""])[0] == "NONE":
        return asked
    return {**image, **{key: value for key, value in asked.items() if value}}


def plan_check(config: dict[str, Any]) -> Check | None:
    """A container's check; None when it has none."""
    raw = config.get("Healthcheck") or {}
    test = [str(word) for word in raw.get("Test") or []]
    if not test or test[0] == "NONE":
        return None
    if test[0] == "CMD-SHELL":
        command = (*(config.get("Shell") or ("/bin/sh", "-c")), *test[1:])
    elif test[0] == "CMD":
        command = tuple(test[1:])
    else:
        command = tuple(test)
    if not command:
        return None
    return Check(
        command,
        (raw.get("Interval") or 0) / NS or DEFAULT_INTERVAL_S,
        (raw.get("Timeout") or 0) / NS or DEFAULT_TIMEOUT_S,
        (raw.get("StartPeriod") or 0) / NS,
        (raw.get("StartInterval") or 0) / NS or DEFAULT_START_INTERVAL_S,
        raw.get("Retries") or DEFAULT_RETRIES,
    )


def judge(health: Health, check: Check, result: dict[str, Any], since_start_s: float) -> bool:
    """Take a result into account; returns whether the status has changed."""
    before = health.status
    health.results = [*health.results, result][-MAX_RESULTS:]
    if result["ExitCode"] == 0:
        health.failing_streak, health.status = 0, HEALTHY
    elif health.status != STARTING or since_start_s >= check.start_period_s:
        health.failing_streak += 1
        if health.failing_streak >= check.retries:
            health.status = UNHEALTHY
    return health.status != before
