"""`/images/...`: one method per endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..errors import ApiError
from .containers import Filters, format_filters
from .transport import quote

if TYPE_CHECKING:
    from .engine import Engine
    from .types import ImageSummary


class Images:
    """Images of one engine. Every method raises what `Engine.request` raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list(self, *, all: bool = False, filters: Filters | None = None) -> Sequence[ImageSummary]:
        """All images."""
        query = {"all": all or None, "filters": format_filters(filters)}
        return cast("Sequence[ImageSummary]", self._engine.call("GET", "/images/json", query))

    def inspect(self, image: str) -> dict[str, Any]:
        """Everything about an image."""
        return cast("dict[str, Any]", self._engine.call("GET", f"/images/{_path(image)}/json"))

    def load(self, archive: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """Import an archive of `docker save` or an OCI layout; gives progress messages.

        Raises:
            ApiError: also when the engine says so in the middle of its answer.
        """
        response = self._engine.request("POST", "/images/load", {"quiet": 0}, body=archive, kind="application/x-tar")
        for message in response.json_lines():
            if isinstance(message, dict) and message.get("error"):
                raise ApiError(response.status, str(message["error"]))
            yield message

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give an image another name."""
        self._engine.call("POST", f"/images/{_path(image)}/tag", {"repo": repository, "tag": tag})

    def remove(self, image: str, *, force: bool = False, prune: bool = True) -> Sequence[dict[str, str]]:
        """Remove a name, and the image when it was its last one; tells what went."""
        query = {"force": force or None, "noprune": None if prune else 1}
        return cast("Sequence[dict[str, str]]", self._engine.call("DELETE", f"/images/{_path(image)}", query))


def _path(image: str) -> str:
    """An image's name keeps its slashes in a path."""
    return "/".join(quote(part) for part in image.split("/"))
