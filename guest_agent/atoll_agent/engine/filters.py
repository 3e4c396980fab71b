"""Docker's filters, as far as several nouns have the same."""

from __future__ import annotations

import re
from datetime import datetime

from ..api.errors import invalid

_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)")
TRUE, FALSE = ("1", "t", "true", "y", "yes"), ("0", "f", "false", "n", "no")


def matches_labels(labels: dict[str, str], filters: dict[str, list[str]]) -> bool:
    """Whether all of `label` are there and none of `label!` is; each is a name, or a name with its value."""
    have = set(labels) | {f"{key}={value}" for key, value in labels.items()}
    return set(filters.get("label", ())) <= have and not set(filters.get("label!", ())) & have


def is_true(text: str) -> bool:
    """A filter's truth value.

    Raises:
        AgentError: neither true nor false.
    """
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise invalid(f"invalid filter value '{text[:40]}': true or false is expected")


def is_older(created_ns: int, until: list[str], now_ns: int) -> bool:
    """Whether something was made before the moment of an `until` filter.

    Raises:
        AgentError: malformed, or several.
    """
    if len(until) != 1:
        raise invalid("more than one until filter specified")
    return created_ns < parse_moment(until[0], now_ns)


def parse_moment(text: str, now_ns: int) -> int:
    """A Go duration back from now, seconds since 1970, or RFC 3339, as nanoseconds since 1970.

    Raises:
        AgentError: neither.
    """
    pieces = _DURATION.findall(text)
    if pieces and "".join(number + unit for number, unit in pieces) == text:
        return now_ns - sum(int(float(number) * _UNITS[unit]) for number, unit in pieces)
    try:
        return int(float(text) * 10**9)
    except ValueError:
        pass
    try:
        return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 10**9)
    except ValueError:
        raise invalid(f"invalid value for until filter: {text[:60]!r}") from None
