"""`/networks/...`: one method per endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from .containers import Filters, format_filters
from .transport import quote

if TYPE_CHECKING:
    from .engine import Engine


class Networks:
    """Networks of one engine. Every method raises what `Engine.request` raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, filters: Filters | None = None) -> Sequence[dict[str, Any]]:
        """All networks."""
        answer = self._engine.call("GET", "/networks", {"filters": format_filters(filters)})
        return cast("Sequence[dict[str, Any]]", answer)

    def create(self, request: dict[str, Any]) -> dict[str, Any]:
        """Create a network; gives `Id` and `Warning`."""
        return cast("dict[str, Any]", self._engine.call("POST", "/networks/create", json=request))

    def inspect(self, network: str, *, verbose: bool = False) -> dict[str, Any]:
        """Everything about a network."""
        query = {"verbose": verbose or None}
        return cast("dict[str, Any]", self._engine.call("GET", f"/networks/{quote(network)}", query))

    def remove(self, network: str) -> None:
        """Remove a network that nobody is in."""
        self._engine.call("DELETE", f"/networks/{quote(network)}")

    def connect(self, network: str, container: str, settings: dict[str, Any]) -> None:
        """Let a container join a network."""
        request = {"Container": container, "EndpointConfig": settings}
        self._engine.call("POST", f"/networks/{quote(network)}/connect", json=request)

    def disconnect(self, network: str, container: str, *, force: bool = False) -> None:
        """Let a container leave a network."""
        request = {"Container": container, "Force": force}
        self._engine.call("POST", f"/networks/{quote(network)}/disconnect", json=request)

    def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        """Remove networks that nobody is in."""
        answer = self._engine.call("POST", "/networks/prune", {"filters": format_filters(filters)})
        return cast("dict[str, Any]", answer)
