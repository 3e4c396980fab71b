"""`/networks`."""

from __future__ import annotations

from .backends import NetworkBackend
from .http import Connection, Request
from .router import Route


class NetworkRoutes:
    """Handlers of networks."""

    def __init__(self, backend: NetworkBackend) -> None:
        self._backend = backend

    def routes(self) -> list[Route]:
        """The rows of the table."""
        return [
            ("GET", "/networks", self.list),
            ("POST", "/networks/create", self.create),
            ("POST", "/networks/prune", self.prune),
            ("GET", "/networks/{id}", self.inspect),
            ("DELETE", "/networks/{id}", self.remove),
            ("POST", "/networks/{id}/connect", self.connect),
            ("POST", "/networks/{id}/disconnect", self.disconnect),
        ]

    def list(self, request: Request, connection: Connection) -> None:
        """GET /networks"""
        connection.send_json(self._backend.rows(request.filters()))

    def create(self, request: Request, connection: Connection) -> None:
        """POST /networks/create"""
        connection.send_json(self._backend.create(request.json()), 201)

    def prune(self, request: Request, connection: Connection) -> None:
        """POST /networks/prune"""
        connection.send_json(self._backend.prune(request.filters()))

    def inspect(self, request: Request, connection: Connection) -> None:
        """GET /networks/{id}"""
        connection.send_json(self._backend.details(request.parameters["id"]))

    def remove(self, request: Request, connection: Connection) -> None:
        """DELETE /networks/{id}"""
        self._backend.remove(request.parameters["id"])
        connection.send_empty()

    def connect(self, request: Request, connection: Connection) -> None:
        """POST /networks/{id}/connect"""
        self._backend.connect(request.parameters["id"], request.json())
        connection.send(b"", status=200)

    def disconnect(self, request: Request, connection: Connection) -> None:
        """POST /networks/{id}/disconnect"""
        self._backend.disconnect(request.parameters["id"], request.json())
        connection.send(b"", status=200)
