"""`--filter NAME=VALUE`, repeated."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import ConfigError


def parse_filters(entries: Iterable[str]) -> dict[str, list[str]]:
    """Collect filters by name.

    Raises:
        ConfigError: an entry without `=`.
    """
    filters: dict[str, list[str]] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not equals or not name:
            raise ConfigError(f"invalid filter: {entry!r}", "use NAME=VALUE, as status=running")
        filters.setdefault(name.strip().lower(), []).append(value.strip())
    return filters
