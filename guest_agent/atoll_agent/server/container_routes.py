"""`/containers`."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from typing import Any

from ..api.errors import invalid
from ..api.types import LogQuery
from . import websocket
from .backends import ContainerBackend, StreamBackend
from .http import Connection, Request
from .router import Route

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
CLIENT_CHECK_S = 5.0


class ContainerRoutes:
    """Handlers of containers."""

    def __init__(self, backend: ContainerBackend, streams: StreamBackend) -> None:
        self._backend, self._streams = backend, streams

    def routes(self) -> list[Route]:
        """The rows of the table."""
        return [
            ("GET", "/containers/json", self.list),
            ("POST", "/containers/create", self.create),
            ("POST", "/containers/prune", self.prune),
            ("GET", "/containers/{id}/json", self.inspect),
            ("GET", "/containers/{id}/logs", self.logs),
            ("GET", "/containers/{id}/top", self.top),
            ("POST", "/containers/{id}/start", self.start),
            ("POST", "/containers/{id}/stop", self.stop),
            ("POST", "/containers/{id}/restart", self.restart),
            ("POST", "/containers/{id}/kill", self.kill),
            ("POST", "/containers/{id}/pause", self.pause),
            ("POST", "/containers/{id}/unpause", self.unpause),
            ("POST", "/containers/{id}/update", self.update),
            ("GET", "/containers/{id}/stats", self.stats),
            ("POST", "/containers/{id}/wait", self.wait),
            ("POST", "/containers/{id}/attach", self.attach),
            ("GET", "/containers/{id}/attach/ws", self.attach_websocket),
            ("POST", "/containers/{id}/resize", self.resize),
            ("POST", "/containers/{id}/rename", self.rename),
            ("DELETE", "/containers/{id*}", self.remove),
        ]

    def list(self, request: Request, connection: Connection) -> None:
        """GET /containers/json"""
        rows = self._backend.rows(
            everything=request.flag("all"),
            limit=request.integer("limit") or 0,
            filters=request.filters(),
            size=request.flag("size"),
        )
        connection.send_json(rows)

    def create(self, request: Request, connection: Connection) -> None:
        """POST /containers/create"""
        body = request.json()
        made = self._backend.create(body, request.query.get("name", ""), request.query.get("platform", ""))
        connection.send_json(made, 201)

    def prune(self, request: Request, connection: Connection) -> None:
        """POST /containers/prune"""
        connection.send_json(self._backend.prune(request.filters()))

    def inspect(self, request: Request, connection: Connection) -> None:
        """GET /containers/{id}/json"""
        connection.send_json(self._backend.details(request.parameters["id"], size=request.flag("size")))

    def start(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/start"""
        self._backend.start(request.parameters["id"])
        connection.send_empty()

    def stop(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/stop"""
        self._backend.stop(request.parameters["id"], request.integer("t"), request.query.get("signal", ""))
        connection.send_empty()

    def restart(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/restart"""
        self._backend.restart(request.parameters["id"], request.integer("t"), request.query.get("signal", ""))
        connection.send_empty()

    def kill(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/kill"""
        self._backend.kill(request.parameters["id"], request.query.get("signal", "") or "SIGKILL")
        connection.send_empty()

    def pause(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/pause"""
        self._backend.pause(request.parameters["id"])
        connection.send_empty()

    def unpause(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/unpause"""
        self._backend.unpause(request.parameters["id"])
        connection.send_empty()

    def update(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/update"""
        connection.send_json(self._backend.update(request.parameters["id"], request.json()))

    def stats(self, request: Request, connection: Connection) -> None:
        """GET /containers/{id}/stats"""
        stream = request.flag("stream", True)
        measured = self._backend.stats(request.parameters["id"], one_shot=request.flag("one-shot") and not stream)
        if not stream:
            connection.send_json(next(measured))
            return
        first = next(measured)
        connection.start_stream()
        connection.write_json(first)
        for row in measured:
            if client_is_gone(connection):
                connection.keep = False
                return
            connection.write_json(row)
        connection.end_stream()

    def remove(self, request: Request, connection: Connection) -> None:
        """DELETE /containers/{id}, and with `link` of a name that one container has for another"""
        if request.flag("link"):
            self._backend.unlink(request.parameters["id"])
            connection.send_empty()
            return
        self._backend.remove(request.parameters["id"], force=request.flag("force"), volumes=request.flag("v"))
        connection.send_empty()

    def rename(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/rename"""
        self._backend.rename(request.parameters["id"], request.query.get("name", ""))
        connection.send_empty()

    def resize(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/resize"""
        height, width = size_of(request)
        self._backend.resize(request.parameters["id"], height, width)
        connection.send(b"", status=200)

    def top(self, request: Request, connection: Connection) -> None:
        """GET /containers/{id}/top"""
        connection.send_json(self._backend.top(request.parameters["id"], request.query.get("ps_args", "")))

    def wait(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/wait: the head of the answer at once, so that a client may start the container then."""
        wait = self._backend.waiter(request.parameters["id"], request.query.get("condition", "") or "not-running")
        connection.start_stream()
        while (code := wait(CLIENT_CHECK_S)) is None:
            if client_is_gone(connection):
                connection.keep = False
                return
        connection.write_json({"StatusCode": code})
        connection.end_stream()

    def attach(self, request: Request, connection: Connection) -> None:
        """POST /containers/{id}/attach"""
        target = self._backend.attachable(request.parameters["id"])
        connection.start_raw(request, RAW if target.terminal else framed_type(request))
        if request.flag("logs"):
            for data in self._frames(request.parameters["id"], _all_lines(request)):
                connection.sock.sendall(data)
        if not request.flag("stream"):
            return
        self._streams.attach(
            target,
            connection.sock,
            stdin=request.flag("stdin") and target.stdin,
            stdout=request.flag("stdout"),
            stderr=request.flag("stderr"),
            keys=request.query.get("detachKeys", ""),
            head=connection.take_rest(),
            framed=not target.terminal,
        )
        connection.handed_over = True

    def attach_websocket(self, request: Request, connection: Connection) -> None:
        """GET /containers/{id}/attach/ws: raw bytes in binary messages."""
        headers = websocket.accept_headers(request)
        target = self._backend.attachable(request.parameters["id"])
        ours, theirs = socket.socketpair()
        with ours:
            connection.start_upgraded(headers)
            if request.flag("logs"):
                _, lines = self._backend.logs(request.parameters["id"], _all_lines(request))
                for _stream, data in lines:
                    connection.sock.sendall(websocket.format_frame(websocket.BINARY, data))
            if not request.flag("stream"):
                theirs.close()
                return
            with theirs:
                self._streams.attach(
                    target,
                    theirs,
                    stdin=request.flag("stdin") and target.stdin,
                    stdout=request.flag("stdout"),
                    stderr=request.flag("stderr"),
                    keys=request.query.get("detachKeys", ""),
                    head=b"",
                    framed=False,
                )
            websocket.relay(connection.sock, ours, connection.take_rest())

    def _frames(self, name: str, query: LogQuery) -> Iterator[bytes]:
        """A log as clients of raw streams want it."""
        terminal, lines = self._backend.logs(name, query)
        for stream, data in lines:
            yield data if terminal else frame(stream, data)

    def logs(self, request: Request, connection: Connection) -> None:
        """GET /containers/{id}/logs"""
        query = parse_log_query(request)
        terminal, lines = self._backend.logs(request.parameters["id"], query)
        connection.start_stream(RAW if terminal else framed_type(request))
        pending: list[bytes] = []
        size = 0
        for stream, data in lines:
            if not data:
                if client_is_gone(connection):
                    connection.keep = False
                    return
                continue
            pending.append(data if terminal else frame(stream, data))
            size += len(data)
            if size > 32768 or query.follow:
                connection.write(b"".join(pending))
                pending, size = [], 0
        connection.write(b"".join(pending))
        connection.end_stream()


def _all_lines(request: Request) -> LogQuery:
    """The log of the streams that an attach asks for, as far as it is written."""
    return LogQuery(
        stdout=request.flag("stdout"), stderr=request.flag("stderr"), since="", until="", tail=None,
        follow=False, timestamps=False,
    )  # fmt: skip


def frame(stream: int, data: bytes) -> bytes:
    """Output with the head that tells its stream and its length."""
    return bytes((stream, 0, 0, 0)) + len(data).to_bytes(4, "big") + data


def framed_type(request: Request) -> str:
    """Since API 1.42 framed streams have a media type of their own."""
    version = tuple(int(part) for part in (request.version or "1.51").split("."))
    return MULTIPLEXED if version >= (1, 42) else RAW


def size_of(request: Request) -> tuple[int, int]:
    """Height and width of a resize request."""
    height, width = request.integer("h"), request.integer("w")
    if height is None or width is None or not (0 <= height < 65536 and 0 <= width < 65536):
        raise invalid("invalid size: h and w are needed")
    return height, width


def client_is_gone(connection: Connection) -> bool:
    """Whether the client has closed while it waits for us."""
    return bool(select.select([connection.sock], [], [], 0)[0]) and not connection.sock.recv(1, 2)  # MSG_PEEK


def parse_log_query(request: Request) -> LogQuery:
    """The query of a logs request.

    Raises:
        AgentError: no stream chosen, or a malformed time or number.
    """
    stdout, stderr = request.flag("stdout"), request.flag("stderr")
    if not (stdout or stderr):
        raise invalid("Bad parameters: you must choose at least one stream")
    tail: int | None = None
    text = request.query.get("tail", "all")
    if text not in ("all", ""):
        try:
            tail = int(text)
        except ValueError:
            raise invalid(f"invalid tail: {text[:20]!r}") from None
        tail = None if tail < 0 else tail
    return LogQuery(
        stdout=stdout,
        stderr=stderr,
        since=format_moment(request.query.get("since", "")),
        until=format_moment(request.query.get("until", "")),
        tail=tail,
        follow=request.flag("follow"),
        timestamps=request.flag("timestamps"),
    )


def parse_moment(text: str) -> int | None:
    """Docker's `seconds[.nanoseconds]` as nanoseconds since 1970; None for "" and 0."""
    if not text or text == "0":
        return None
    seconds, _, fraction = text.partition(".")
    try:
        if not (text.isascii() and seconds.removeprefix("-").isdigit() and (fraction or "0").isdigit()):
            raise ValueError
        return int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")[:9])
    except ValueError:
        raise invalid(f"invalid time: {text[:40]!r}") from None


def format_moment(text: str) -> str:
    """The same as RFC 3339; "" for none."""
    moment: Any = parse_moment(text)
    if moment is None:
        return ""
    seconds, rest = divmod(moment, 1_000_000_000)
    try:
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"
    except (ValueError, OverflowError, OSError):
        raise invalid(f"invalid time: {text[:40]!r}") from None
