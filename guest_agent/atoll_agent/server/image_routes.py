"""`/images`."""

from __future__ import annotations

from typing import IO, cast

from ..api.errors import AgentError
from .backends import ImageBackend
from .http import Connection, Request
from .router import Route


class ImageRoutes:
    """Handlers of images."""

    def __init__(self, backend: ImageBackend) -> None:
        self._backend = backend

    def routes(self) -> list[Route]:
        """The rows of the table."""
        return [
            ("GET", "/images/json", self.list),
            ("POST", "/images/load", self.load),
            ("GET", "/images/{name*}/json", self.inspect),
            ("GET", "/images/{name*}/history", self.history),
            ("POST", "/images/{name*}/tag", self.tag),
            ("DELETE", "/images/{name*}", self.remove),
        ]

    def list(self, request: Request, connection: Connection) -> None:
        """GET /images/json"""
        filters = request.filters()
        if request.query.get("filter"):  # before API 1.41
            filters.setdefault("reference", []).append(request.query["filter"])
        connection.send_json(self._backend.rows(filters))

    def inspect(self, request: Request, connection: Connection) -> None:
        """GET /images/{name}/json"""
        connection.send_json(self._backend.details(request.parameters["name"]))

    def history(self, request: Request, connection: Connection) -> None:
        """GET /images/{name}/history"""
        connection.send_json(self._backend.history(request.parameters["name"]))

    def load(self, request: Request, connection: Connection) -> None:
        """POST /images/load: an error after the answer has begun is a line of the stream, as Docker does."""
        lines = self._backend.load(cast(IO[bytes], request.body))
        try:
            first = next(lines, None)
            connection.start_stream()
            if first:
                connection.write_json({"stream": f"{first}\n"})
            for line in lines:
                connection.write_json({"stream": f"{line}\n"})
        except AgentError as error:
            if not connection.answered:
                raise
            connection.write_json({"errorDetail": {"message": error.message}, "error": error.message})
        connection.end_stream()
        if not request.body.finished:
            request.body.read_all(64 << 20)  # padding after the archive's end

    def tag(self, request: Request, connection: Connection) -> None:
        """POST /images/{name}/tag"""
        self._backend.tag(request.parameters["name"], request.query.get("repo", ""), request.query.get("tag", ""))
        connection.send_empty(201)

    def remove(self, request: Request, connection: Connection) -> None:
        """DELETE /images/{name}"""
        connection.send_json(self._backend.remove(request.parameters["name"], force=request.flag("force")))
