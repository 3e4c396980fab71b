"""From a request to its handler. A route is a row: method, path with `{names}`, handler."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable

from ..api.errors import AgentError, Kind, invalid, not_found
from ..api.version import API_VERSION, MIN_API_VERSION, parse_version
from .http import Connection, Request

log = logging.getLogger(__name__)
Handler = Callable[[Request, Connection], None]
Route = tuple[str, str, Handler]
_VERSION = re.compile(r"/v([0-9]+\.[0-9]+)(/.*)", re.ASCII | re.DOTALL)


class Router:
    """All routes, looked up by method and by the number and fixed parts of the path."""

    def __init__(self, routes: Iterable[Route], server_headers: tuple[str, ...]) -> None:
        self._routes: dict[tuple[str, int], list[tuple[list[str], Handler]]] = {}
        self._headers = server_headers
        for method, path, handler in routes:
            parts = path.strip("/").split("/")
            self._routes.setdefault((method, len(parts)), []).append((parts, handler))

    def answer(self, request: Request, connection: Connection) -> None:
        """Find and call the handler; what nobody foresaw is logged with its traceback and answered without it.

        Raises:
            AgentError: to be told to the client.
        """
        connection.extra_headers = self._headers
        self._strip_version(request)
        try:
            self._find(request)(request, connection)
        except AgentError as error:
            if error.kind is Kind.NOT_MODIFIED and not connection.answered:
                connection.send_empty(304)
            elif connection.answered:
                connection.keep = False
                log.warning("%s %s: %s after the answer had begun", request.method, request.path, error.message)
            else:
                self._send_error(request, connection, error)
        except OSError as error:
            if connection.answered or isinstance(error, ConnectionError):
                raise
            log.exception("%s %s", request.method, request.path)
            place = f"{error.filename}: " if error.filename else ""
            self._send_error(request, connection, AgentError(Kind.SYSTEM, f"{place}{error.strerror}"))
        except Exception:
            log.exception("%s %s", request.method, request.path)
            if connection.answered:
                raise ConnectionError from None
            self._send_error(request, connection, AgentError(Kind.SYSTEM, "internal error; the agent's log has more"))

    @staticmethod
    def _send_error(request: Request, connection: Connection, error: AgentError) -> None:
        if not request.body.finished:
            connection.keep = False
        if request.method == "HEAD":
            connection.send(b"", "application/json", error.status)
        else:
            connection.send_json({"message": error.message}, error.status)

    @staticmethod
    def _strip_version(request: Request) -> None:
        match = _VERSION.fullmatch(request.path)
        if not match:
            return
        try:
            wanted = parse_version(match[1])
        except ValueError:
            raise invalid(f"invalid API version {match[1][:20]!r}") from None
        if wanted < parse_version(MIN_API_VERSION):
            raise invalid(
                f"client version {match[1]} is too old. Minimum supported API version is {MIN_API_VERSION}, "
                "please upgrade your client to a newer version"
            )
        if wanted > parse_version(API_VERSION):
            raise invalid(f"client version {match[1]} is too new. Maximum supported API version is {API_VERSION}")
        request.version, request.path = match[1], match[2]

    def _find(self, request: Request) -> Handler:
        parts = request.path.strip("/").split("/")
        # Image names have slashes: a route may let one part swallow several.
        for count in range(len(parts), 0, -1):
            for wanted, handler in self._routes.get((request.method, count), ()):
                found = _match(wanted, parts)
                if found is not None:
                    request.parameters = found
                    return handler
        raise not_found("page not found")


def _match(wanted: list[str], parts: list[str]) -> dict[str, str] | None:
    """Match parts; a `{name*}` takes one part or more."""
    found: dict[str, str] = {}
    extra = len(parts) - len(wanted)
    at = 0
    for piece in wanted:
        if piece.endswith("*}"):
            found[piece[1:-2]] = "/".join(parts[at : at + extra + 1])
            at += extra + 1
        elif piece.startswith("{"):
            found[piece[1:-1]] = parts[at]
            at += 1
        elif at < len(parts) and piece == parts[at]:
            at += 1
        else:
            return None
    return found if at == len(parts) else None
