"""`/containers/{id}/archive`: files of a container as tar archives."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ProtocolError
from .transport import Response, quote

if TYPE_CHECKING:
    from .engine import Engine

HEADER = "x-docker-container-path-stat"
GO_DIRECTORY = 1 << 31
GO_SYMLINK = 1 << 27
GO_IRREGULAR = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19
"""Bits of Go's FileMode: devices, pipes, sockets and the like."""


class PathStat(NamedTuple):
    """What a path of a container is.

    Attributes:
        mode: as Go's FileMode.
        link_target: where a symbolic link leads, resolved by the engine.
    """

    name: str
    size_bytes: int
    mode: int
    link_target: str

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return bool(self.mode & GO_DIRECTORY)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return bool(self.mode & GO_SYMLINK)

    @property
    def is_special(self) -> bool:
        """Whether it is a device, a pipe or a socket."""
        return bool(self.mode & GO_IRREGULAR)


class Archives:
    """Files of one engine's containers. Every method raises what `Engine.request` raises."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def stat(self, container: str, path: str) -> PathStat:
        """What is at a path; links are not followed."""
        response = self._engine.request("HEAD", f"/containers/{quote(container)}/archive", {"path": path})
        response.read()
        return parse_stat(response.headers)

    def get(self, container: str, path: str) -> tuple[PathStat, Response]:
        """A file or directory as a tar archive, and what it is."""
        response = self._engine.request("GET", f"/containers/{quote(container)}/archive", {"path": path})
        return parse_stat(response.headers), response

    def put(self, container: str, path: str, archive: Iterable[bytes], *, owners: bool) -> None:
        """Extract a tar archive into a directory.

        Arguments:
            owners: keep the owners that the archive names.
        """
        query: dict[str, Any] = {"path": path, "noOverwriteDirNonDir": "true", "copyUIDGID": "true" if owners else None}
        target = f"/containers/{quote(container)}/archive"
        self._engine.request("PUT", target, query, body=archive, kind="application/x-tar").read()


def parse_stat(headers: dict[str, str]) -> PathStat:
    """Parse the header that tells what a path is.

    Raises:
        ProtocolError: it is missing or malformed.
    """
    try:
        value = json.loads(base64.b64decode(headers[HEADER], validate=True))
        return PathStat(str(value["name"]), int(value["size"]), int(value["mode"]), str(value["linkTarget"]))
    except (KeyError, ValueError, TypeError) as error:
        raise ProtocolError("the engine did not tell what the path is") from error
