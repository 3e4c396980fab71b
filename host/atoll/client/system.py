"""What concerns the engine as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from .containers import Filters, format_filters

if TYPE_CHECKING:
    from .engine import Engine
    from .types import Version


class System:
    """One engine's own endpoints. Every method raises what `Engine.request` raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ping(self) -> dict[str, str]:
        """Ask whether the engine answers; returns the headers it introduces itself with."""
        response = self._engine.request("GET", "/_ping")
        response.read()
        return response.headers

    def version(self) -> Version:
        """What runs there."""
        return cast("Version", self._engine.call("GET", "/version"))

    def info(self) -> dict[str, Any]:
        """Numbers and abilities."""
        return cast("dict[str, Any]", self._engine.call("GET", "/info"))

    def disk_usage(self) -> dict[str, Any]:
        """What images, containers and volumes take on the disk."""
        return cast("dict[str, Any]", self._engine.call("GET", "/system/df"))

    def prune_build_cache(self, filters: Filters | None = None) -> dict[str, Any]:
        """Remove what builds have left and nothing needs."""
        answer = self._engine.call("POST", "/build/prune", {"filters": format_filters(filters)})
        return cast("dict[str, Any]", answer)

    def memory(self) -> dict[str, int]:
        """What the engine's own processes use, in bytes of proportional set size; Atoll's engine only."""
        return cast("dict[str, int]", self._engine.call("GET", "/atoll/memory"))

    def events(
        self, *, since: str | None = None, until: str | None = None, filters: Filters | None = None
    ) -> Iterator[dict[str, Any]]:
        """What happens, as it happens; ends at `until`, or with the connection."""
        query = {"since": since, "until": until, "filters": format_filters(filters)}
        yield from self._engine.request("GET", "/events", query).json_lines()
