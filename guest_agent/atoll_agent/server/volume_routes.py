"""`/volumes`."""

from __future__ import annotations

from ..api.version import parse_version
from .backends import VolumeBackend
from .http import Connection, Request
from .router import Route

PRUNES_ANONYMOUS_ONLY = (1, 42)


class VolumeRoutes:
    """Handlers of volumes."""

    def __init__(self, backend: VolumeBackend) -> None:
        self._backend = backend

    def routes(self) -> list[Route]:
        """The rows of the table."""
        return [
            ("GET", "/volumes", self.list),
            ("POST", "/volumes/create", self.create),
            ("POST", "/volumes/prune", self.prune),
            ("GET", "/volumes/{name}", self.inspect),
            ("PUT", "/volumes/{name}", self.update),
            ("DELETE", "/volumes/{name}", self.remove),
        ]

    def list(self, request: Request, connection: Connection) -> None:
        """GET /volumes"""
        connection.send_json({"Volumes": self._backend.rows(request.filters()), "Warnings": None})

    def create(self, request: Request, connection: Connection) -> None:
        """POST /volumes/create"""
        connection.send_json(self._backend.create(request.json()), 201)

    def prune(self, request: Request, connection: Connection) -> None:
        """POST /volumes/prune: before API 1.42 volumes with a name went, too."""
        filters = request.filters()
        if request.version and parse_version(request.version) < PRUNES_ANONYMOUS_ONLY:
            filters["all"] = ["true"]
        connection.send_json(self._backend.prune(filters))

    def inspect(self, request: Request, connection: Connection) -> None:
        """GET /volumes/{name}"""
        connection.send_json(self._backend.details(request.parameters["name"]))

    def update(self, request: Request, connection: Connection) -> None:
        """PUT /volumes/{name}"""
        self._backend.update(request.parameters["name"])
        connection.send_empty()

    def remove(self, request: Request, connection: Connection) -> None:
        """DELETE /volumes/{name}"""
        self._backend.remove(request.parameters["name"], force=request.flag("force"))
        connection.send_empty()
