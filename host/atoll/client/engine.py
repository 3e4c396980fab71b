"""One engine: its connections, and its API by noun.

    engine = Engine(endpoint)
    created = engine.containers.create({"Image": "atoll/base", "Cmd": ["true"]})
    with engine.containers.wait_begun(created["Id"], "next-exit") as wait:
        engine.containers.start(created["Id"])
        print(wait.result())

Connections are kept and used again: between the host and an emulated machine each new one costs milliseconds.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import cached_property

from ..errors import ApiError
from .transport import Body, Connection, QueryValue, RawStream, Response, format_query

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .archives import Archives
    from .containers import Containers
    from .execs import Execs
    from .images import Images
    from .networks import Networks
    from .system import System
    from .types import Endpoint
    from .volumes import Volumes

Query = Mapping[str, QueryValue]
MAX_IDLE = 4
MAX_ERROR_BODY = 16 * 1024


class Engine:
    """An engine at an endpoint. May be used from several threads."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._idle: list[Connection] = []
        self._lock = threading.Lock()

    @cached_property
    def archives(self) -> Archives:
        """`/containers/.../archive`"""
        from .archives import Archives

        return Archives(self)

    @cached_property
    def containers(self) -> Containers:
        """`/containers/...`"""
        from .containers import Containers

        return Containers(self)

    @cached_property
    def execs(self) -> Execs:
        """`/exec/...`"""
        from .execs import Execs

        return Execs(self)

    @cached_property
    def images(self) -> Images:
        """`/images/...`"""
        from .images import Images

        return Images(self)

    @cached_property
    def networks(self) -> Networks:
        """`/networks/...`"""
        from .networks import Networks

        return Networks(self)

    @cached_property
    def volumes(self) -> Volumes:
        """`/volumes/...`"""
        from .volumes import Volumes

        return Volumes(self)

    @cached_property
    def system(self) -> System:
        """`/version`, `/info`, `/events`, `/_ping`."""
        from .system import System

        return System(self)

    def connect(self) -> None:
        """Open a connection for the first request.

        Raises:
            AgentUnreachable: nobody answers at the endpoint.
        """
        self._keep(Connection.open(self.endpoint))

    def close(self) -> None:
        """Drop the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _connection(self) -> Connection:
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if not connection.is_stale():
                return connection
            connection.close()
        return Connection.open(self.endpoint)

    def _keep(self, connection: Connection) -> None:
        with self._lock:
            if len(self._idle) < MAX_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def request(
        self, method: str, path: str, query: Query | None = None, json: Any = None, body: Body = b"", kind: str = ""
    ) -> Response:
        """Send a request and read the head of its answer; the caller reads the body.

        Arguments:
            json: a value for the body; or `body` with its media type `kind`.

        Raises:
            ApiError: the engine said no.
            AgentUnreachable, OutcomeUnknown, ProtocolError: see `transport`.
        """
        connection = self._connection()
        headers = {}
        if json is not None:
            body, kind = _format_json(json), "application/json"
        if kind:
            headers["Content-Type"] = kind
        connection.send(method, path + format_query(dict(query or {})), body, headers)
        response = connection.receive()
        if response.reusable:
            response.when_finished(lambda: self._keep(connection))
        else:
            response.when_finished(connection.close)
        return _check(response)

    def call(self, method: str, path: str, query: Query | None = None, json: Any = None) -> Any:
        """Send a request and return its answer's JSON (None when empty)."""
        return self.request(method, path, query, json).json()

    def hijack(self, path: str, query: Query | None = None, json: Any = None) -> RawStream:
        """Send a request that turns its connection into a raw stream (attach, exec).

        Raises:
            As `request`.
        """
        connection = self._connection()
        headers = {"Connection": "Upgrade", "Upgrade": "tcp"}
        body = b""
        if json is not None:
            body, headers["Content-Type"] = _format_json(json), "application/json"
        connection.send("POST", path + format_query(dict(query or {})), body, headers)
        response = connection.receive()
        if response.status not in (101, 200):
            response.when_finished(connection.close)
            _check(response)
        return connection.take_over()


def _format_json(value: Any) -> bytes:
    import json

    return json.dumps(value, separators=(",", ":")).encode()


def _check(response: Response) -> Response:
    """Turn an answer that is a refusal into an error.

    Raises:
        ApiError: a status of 400 or more.
    """
    if response.status < 400:
        return response
    text = b""
    for data in response:
        text += data
        if len(text) > MAX_ERROR_BODY:
            response.close()
            break
    raise ApiError(response.status, _error_message(text) or f"the engine answered with status {response.status}")


def _error_message(body: bytes) -> str:
    import json

    try:
        value = json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace").strip()
    return str(value.get("message", "")) if isinstance(value, dict) else ""
