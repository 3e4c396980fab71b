"""`/images/...`: one method per endpoint."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..errors import ApiError
from .containers import Filters, format_filters
from .transport import quote

if TYPE_CHECKING:
    from .engine import Engine
    from .transport import Response
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
        yield from _messages(response)

    def history(self, image: str) -> Sequence[dict[str, Any]]:
        """How an image was made, its last step first."""
        return cast("Sequence[dict[str, Any]]", self._engine.call("GET", f"/images/{_path(image)}/history"))

    def save(self, images: Sequence[str], platform: str | None = None) -> Response:
        """Images as an archive that `load` takes."""
        return self._engine.request("GET", "/images/get", {"names": list(images), "platform": platform})

    def import_(
        self,
        archive: Iterable[bytes],
        *,
        source: str = "-",
        repository: str,
        tag: str,
        message: str,
        changes: Sequence[str],
        platform: str | None,
    ) -> Iterator[dict[str, Any]]:
        """Make an image of a tar archive of files; gives progress messages.

        Arguments:
            source: `-` for the archive that is sent, or an address that the engine loads it from.

        Raises:
            ApiError: also when the engine says so in the middle of its answer.
        """
        query = {
            "fromSrc": source, "repo": repository or None, "tag": tag or None, "message": message or None,
            "changes": changes, "platform": platform,
        }  # fmt: skip
        body = archive if source == "-" else b""
        yield from _messages(self._engine.request("POST", "/images/create", query, body=body, kind="text/plain"))

    def commit(self, container: str, options: dict[str, Any], config: dict[str, Any] | None = None) -> str:
        """Make an image of a container's files; returns its id.

        Arguments:
            options: `repo`, `tag`, `comment`, `author`, `pause`, `changes`.
        """
        query = {"container": container, **options}
        return str(self._engine.call("POST", "/commit", query, config or {})["Id"])

    def prune(self, filters: Filters | None = None) -> dict[str, Any]:
        """Remove images that nothing needs."""
        answer = self._engine.call("POST", "/images/prune", {"filters": format_filters(filters)})
        return cast("dict[str, Any]", answer)

    def tag(self, image: str, repository: str, tag: str) -> None:
        """Give an image another name."""
        self._engine.call("POST", f"/images/{_path(image)}/tag", {"repo": repository, "tag": tag})

    def remove(self, image: str, *, force: bool = False, prune: bool = True) -> Sequence[dict[str, str]]:
        """Remove a name, and the image when it was its last one; tells what went."""
        query = {"force": force or None, "noprune": None if prune else 1}
        return cast("Sequence[dict[str, str]]", self._engine.call("DELETE", f"/images/{_path(image)}", query))


def _messages(response: Response) -> Iterator[dict[str, Any]]:
    for message in response.json_lines():
        if isinstance(message, dict) and message.get("error"):
            raise ApiError(response.status, str(message["error"]))
        yield message


def _path(image: str) -> str:
    """An image's name keeps its slashes in a path."""
    return "/".join(quote(part) for part in image.split("/"))
