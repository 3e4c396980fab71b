"""The engine itself: `/_ping`, `/version`, `/info`, `/events`, and Atoll's own words under `/atoll/`."""

from __future__ import annotations

from ..api.errors import invalid
from ..api.version import API_VERSION
from .backends import SystemBackend
from .container_routes import client_is_gone, parse_moment
from .http import Connection, Request
from .router import Route

SERVER_HEADERS = (f"Api-Version: {API_VERSION}", "Docker-Experimental: false", "Ostype: linux", "Server: Atoll")


class SystemRoutes:
    """Handlers of the engine as a whole."""

    def __init__(self, backend: SystemBackend) -> None:
        self._backend = backend

    def routes(self) -> list[Route]:
        """The rows of the table."""
        return [
            ("GET", "/_ping", self.ping),
            ("HEAD", "/_ping", self.ping),
            ("GET", "/version", self.version),
            ("GET", "/info", self.info),
            ("GET", "/events", self.events),
            ("GET", "/system/df", self.usage),
            ("GET", "/atoll/memory", self.memory),
            ("POST", "/atoll/time", self.time),
            ("POST", "/atoll/shutdown", self.shutdown),
        ]

    def ping(self, request: Request, connection: Connection) -> None:
        """GET and HEAD /_ping"""
        connection.extra_headers += (
            "Cache-Control: no-cache, no-store, must-revalidate",
            "Pragma: no-cache",
            "Builder-Version: 1",
            "Swarm: inactive",
        )
        connection.send(b"OK", head=request.method == "HEAD")

    def version(self, request: Request, connection: Connection) -> None:
        """GET /version"""
        connection.send_json(self._backend.version())

    def info(self, request: Request, connection: Connection) -> None:
        """GET /info"""
        connection.send_json(self._backend.info())

    def usage(self, request: Request, connection: Connection) -> None:
        """GET /system/df"""
        connection.send_json(self._backend.usage(request.values("type")))

    def events(self, request: Request, connection: Connection) -> None:
        """GET /events"""
        since, until = parse_moment(request.query.get("since", "")), parse_moment(request.query.get("until", ""))
        events = self._backend.events(since, until, request.filters())
        connection.start_stream()
        for event in events:
            if event is not None:
                connection.write_json(event)
            elif client_is_gone(connection):
                connection.keep = False
                return
        connection.end_stream()

    def memory(self, request: Request, connection: Connection) -> None:
        """GET /atoll/memory: what the engine's own processes use, in bytes."""
        connection.send_json(self._backend.memory())

    def time(self, request: Request, connection: Connection) -> None:
        """POST /atoll/time: set the machine's clock."""
        value = request.json().get("time_ns")
        if not isinstance(value, int) or value < 0:
            raise invalid("time_ns: nanoseconds since 1970 are expected")
        self._backend.set_time(value)
        connection.send_empty()

    def shutdown(self, request: Request, connection: Connection) -> None:
        """POST /atoll/shutdown: stop all containers and end; answered before it happens."""
        timeout = request.json().get("timeout_s", 10)
        if not isinstance(timeout, int | float) or not 0 <= timeout <= 3600:
            raise invalid("timeout_s: a number of seconds is expected")
        connection.keep = False
        connection.send_empty()
        self._backend.shutdown(float(timeout))
