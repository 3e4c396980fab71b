"""`/containers/{id}/exec` and `/exec`."""

from __future__ import annotations

from ..api.errors import AgentError
from .backends import ExecBackend, StreamBackend
from .container_routes import RAW, framed_type, size_of
from .http import Connection, Request
from .router import Route


class ExecRoutes:
    """Handlers of execs."""

    def __init__(self, backend: ExecBackend, streams: StreamBackend) -> None:
        self._backend, self._streams = backend, streams

    def routes(self) -> list[Route]:
        """The rows of the table."""
        return [
            ("POST", "/containers/{id}/exec", self.create),
            ("POST", "/exec/{id}/start", self.start),
            ("POST", "/exec/{id}/resize", self.resize),
            ("GET", "/exec/{id}/json", self.inspect),
        ]

    def create(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/exec"""
        connection.send_json({"Id": self._backend.create(request.parameters["id"], request.json())}, 201)

    def start(self, request: Request, connection: Connection) -> None:
        """POST /exec/{id}/start"""
        exec_id = request.parameters["id"]
        body = request.json()
        if body.get("Detach"):
            self._backend.start(exec_id)
            connection.send_empty(200)
            return
        target = self._backend.attachable(exec_id)
        framed = not body.get("Tty")  # whether the client reads frames is its own word, whatever the exec has
        connection.start_raw(request, framed_type(request) if framed else RAW)
        self._streams.attach(
            target,
            connection.sock,
            stdin=target.stdin,
            stdout=True,
            stderr=True,
            keys=str(body.get("DetachKeys") or request.query.get("detachKeys", "")),
            head=connection.take_rest(),
            framed=framed,
        )
        try:
            self._backend.start(exec_id)
        except AgentError as error:
            # The connection is raw by now: like dockerd, say it there. The exit code tells programs.
            text = f"{error.message}\r\n".encode()
            frame = b"" if not framed else bytes((2, 0, 0, 0)) + len(text).to_bytes(4, "big")
            connection.sock.sendall(frame + text)
            self._backend.cancel(exec_id)
        connection.handed_over = True

    def resize(self, request: Request, connection: Connection) -> None:
        """POST /exec/{id}/resize"""
        height, width = size_of(request)
        self._backend.resize(request.parameters["id"], height, width)
        connection.send(b"", status=200)

    def inspect(self, request: Request, connection: Connection) -> None:
        """GET /exec/{id}/json"""
        connection.send_json(self._backend.details(request.parameters["id"]))
