"""Times as Docker's flags take them: an RFC 3339 time, seconds since 1970, or a span before now."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from ..errors import ConfigError

_SPAN = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_SECONDS = (3600, 60, 1)


def parse_moment(text: str | None, now_s: float | None = None) -> str | None:
    """Turn a flag's value into seconds since 1970 with a fraction, which every engine understands.

    Raises:
        ConfigError: none of the three forms.
    """
    if not text:
        return None
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return text
    match = _SPAN.fullmatch(text)
    if match and any(match.groups()):
        span = sum(float(part or 0) * size for part, size in zip(match.groups(), _SECONDS, strict=True))
        return f"{(time.time() if now_s is None else now_s) - span:.9f}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"invalid time: {text!r}", "use 2026-01-31T12:00:00Z, or a span as 1h30m") from None
    return f"{moment.timestamp():.9f}"


def seconds_since(text: str, now_s: float) -> float | None:
    """How long ago an RFC 3339 time (with nanoseconds, as the engine writes it) was; None for a malformed one."""
    try:
        return now_s - datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).astimezone(UTC).timestamp()
    except ValueError:
        return None


def format_go_time(text: str) -> str:
    """Turn an RFC 3339 time as the engine writes it into the form of Go's lists: `2026-01-31 12:00:00.5 +0000 UTC`."""
    match = re.fullmatch(r"(\S+)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)", text)
    if not match:
        return text
    zone = "+0000 UTC" if match[4] == "Z" else f"{match[4].replace(':', '')} {match[4].replace(':', '')}"
    return f"{match[1]} {match[2]}{(match[3] or '').rstrip('0')} {zone}"
