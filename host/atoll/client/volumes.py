"""`/volumes/...`: one method per endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from .containers import Filters, format_filters
from .transport import quote

if TYPE_CHECKING:
    from .engine import Engine


class Volumes:
    """Volumes of one engine. Every method raises what `Engine.request` raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, filters: Filters | None = None) -> tuple[Sequence[dict[str, Any]], Sequence[str]]:
        """All volumes, and the engine's warnings."""
        answer = self._engine.call("GET", "/volumes", {"filters": format_filters(filters)})
        return answer.get("Volumes") or (), answer.get("Warnings") or ()

    def create(
        self, name: str, *, driver: str = "local", options: dict[str, str], labels: dict[str, str]
    ) -> dict[str, Any]:
        """Create a volume, or find it; an empty name has one made up."""
        request = {"Name": name, "Driver": driver, "DriverOpts": options, "Labels": labels}
        return cast("dict[str, Any]", self._engine.call("POST", "/volumes/create", json=request))

    def inspect(self, volume: str) -> dict[str, Any]:
        """Everything about a volume."""
        return cast("dict[str, Any]", self._engine.call("GET", f"/volumes/{quote(volume)}"))

    def remove(self, volume: str, *, force: bool = False) -> None:
        """Remove a volume."""
        self._engine.call("DELETE", f"/volumes/{quote(volume)}", {"force": force or None})

    def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        """Remove volumes that no container uses."""
        answer = self._engine.call("POST", "/volumes/prune", {"filters": format_filters(filters)})
        return cast("dict[str, Any]", answer)
