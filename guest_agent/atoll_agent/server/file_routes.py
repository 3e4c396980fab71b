"""Files of containers: `/containers/{id}/archive`, `/export`, `/changes`, and `/commit`."""

from __future__ import annotations

from typing import IO, cast

from ..api.errors import invalid
from .backends import FileBackend
from .http import Connection, Request
from .router import Route

STAT = "X-Docker-Container-Path-Stat"
TAR = "application/x-tar"
UPLOAD_TIMEOUT_S = 120.0
"""How long a client may pause within an upload: a container that does not run cannot be started meanwhile."""


class FileRoutes:
    """Handlers of the files of containers."""

    def __init__(self, backend: FileBackend) -> None:
        self._backend = backend

    def routes(self) -> list[Route]:
        """The rows of the table."""
        return [
            ("HEAD", "/containers/{id}/archive", self.stat),
            ("GET", "/containers/{id}/archive", self.read),
            ("PUT", "/containers/{id}/archive", self.write),
            ("GET", "/containers/{id}/export", self.export),
            ("GET", "/containers/{id}/changes", self.changes),
            ("POST", "/commit", self.commit),
        ]

    def stat(self, request: Request, connection: Connection) -> None:
        """HEAD /containers/{id}/archive"""
        found = self._backend.stat(request.parameters["id"], request.query.get("path", ""))
        connection.extra_headers += (f"{STAT}: {found}",)
        connection.send(b"", TAR, head=True)

    def read(self, request: Request, connection: Connection) -> None:
        """GET /containers/{id}/archive"""
        found, parts = self._backend.read(request.parameters["id"], request.query.get("path", ""))
        connection.extra_headers += (f"{STAT}: {found}",)
        connection.start_stream(TAR)
        connection.write_parts(parts)
        connection.end_stream()

    def write(self, request: Request, connection: Connection) -> None:
        """PUT /containers/{id}/archive"""
        connection.sock.settimeout(UPLOAD_TIMEOUT_S)
        try:
            self._backend.write(
                request.parameters["id"],
                request.query.get("path", ""),
                cast(IO[bytes], request.body),
                keep_kinds=request.flag("noOverwriteDirNonDir"),
                own=request.flag("copyUIDGID"),
            )
        finally:
            connection.sock.settimeout(None)
        connection.send(b"", status=200)

    def export(self, request: Request, connection: Connection) -> None:
        """GET /containers/{id}/export"""
        parts = self._backend.export(request.parameters["id"])
        connection.start_stream(TAR)
        connection.write_parts(parts)
        connection.end_stream()

    def changes(self, request: Request, connection: Connection) -> None:
        """GET /containers/{id}/changes"""
        connection.send_json(self._backend.changes(request.parameters["id"]) or None)

    def commit(self, request: Request, connection: Connection) -> None:
        """POST /commit"""
        name = request.query.get("container", "")
        if not name:
            raise invalid("container name or ID cannot be empty")
        body = request.json()
        texts = {key: request.query.get(key, "") for key in ("repo", "tag", "comment", "author")}
        query = {**texts, "pause": request.flag("pause", True)}
        image_id = self._backend.commit(name, query, request.values("changes"), body or None)
        connection.send_json({"Id": image_id}, 201)
