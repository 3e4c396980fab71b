"""HTTP/1.1 for the engine's API, on a plain socket, a thread per connection.

Own code rather than a library because of two things the API lives on and Python's servers get wrong: `Upgrade: tcp`
with a 101 answer, and the half-close after it that ends a container's stdin while its output goes on. Strict where a
proxy and a server could read a request differently (RFC 9112, section 11.2), and bounded everywhere.
"""

from __future__ import annotations

import contextlib
import json
import socket
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from ..api.errors import AgentError, Kind, invalid

MAX_LINE = 16 * 1024
MAX_HEADERS = 128
MAX_HEADER_BYTES = 64 * 1024
MAX_JSON_BODY = 4 << 20
CHUNK = 64 * 1024
REASONS = {
    101: "UPGRADED", 200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 400: "Bad Request",
    403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable", 409: "Conflict",
    413: "Content Too Large", 431: "Request Header Fields Too Large", 500: "Internal Server Error",
    501: "Not Implemented", 503: "Service Unavailable",
}  # fmt: skip
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass
class Request:
    """One request with its body still on the wire.

    Attributes:
        method: upper case.
        path: decoded, without version prefix.
        query: decoded; the first of a repeated name.
        headers: names in lower case.
        version: API version the client asked for; "" for the server's own.
        body: its content.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Body
    version: str = ""
    parameters: dict[str, str] = field(default_factory=dict)

    def flag(self, name: str, default: bool = False) -> bool:
        """A boolean of the query, as Docker reads it: all but "", 0, false, no and none is true."""
        value = self.query.get(name)
        return default if value is None else value.strip().lower() not in ("", "0", "no", "false", "none")

    def integer(self, name: str) -> int | None:
        """A whole number of the query; None when absent or empty."""
        value = self.query.get(name, "")
        try:
            return int(value) if value else None
        except ValueError:
            raise invalid(f"invalid value for {name}: {value[:40]!r}") from None

    def filters(self) -> dict[str, list[str]]:
        """The `filters` of the query: both `{"a": ["b"]}` and the older `{"a": {"b": true}}`."""
        text = self.query.get("filters", "")
        if not text:
            return {}
        try:
            raw = json.loads(text)
            return {
                key: [str(v) for v in (value if isinstance(value, list) else value.keys())]
                for key, value in raw.items()
            }
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise invalid(f"invalid filter: {error}") from error

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty without a body.

        Raises:
            AgentError: too large, not JSON, not an object.
        """
        data = self.body.read_all(MAX_JSON_BODY)
        if not data.strip():
            return {}
        try:
            value = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise invalid(f"invalid JSON: {error}") from error
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise invalid("invalid JSON: an object is expected")
        return value

    @property
    def upgrades(self) -> bool:
        """Whether the client asks for a raw connection."""
        return "upgrade" in self.headers.get("connection", "").lower() and "upgrade" in self.headers


class Body:
    """A request's body, read on demand: by length, in chunks, or none."""

    def __init__(self, reader: Reader, headers: dict[str, str]) -> None:
        self._reader = reader
        self._chunked = False
        self._left = 0
        coding = headers.get("transfer-encoding")
        if coding is not None:
            if coding.lower() != "chunked" or "content-length" in headers:
                raise invalid("unsupported transfer encoding")
            self._chunked = True
        elif "content-length" in headers:
            text = headers["content-length"]
            if not (text.isascii() and text.isdigit()) or len(text) > 18:
                raise invalid("invalid content length")
            self._left = int(text)
        self._finished = not self._chunked and self._left == 0

    @property
    def finished(self) -> bool:
        """Whether all of it has been read."""
        return self._finished

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes (all with -1); b"" at the end.

        Raises:
            AgentError: the connection ended early, or malformed chunks.
        """
        if size < 0:
            return self.read_all(1 << 62)
        parts: list[bytes] = []
        while size and not self._finished:
            data = self._read_some(size)
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def read_all(self, limit: int) -> bytes:
        """All of it.

        Raises:
            AgentError: more than `limit` bytes.
        """
        parts: list[bytes] = []
        total = 0
        while not self._finished:
            data = self._read_some(CHUNK)
            total += len(data)
            if total > limit:
                raise AgentError(Kind.TOO_LARGE, f"request body is larger than {limit} bytes")
            parts.append(data)
        return b"".join(parts)

    def _read_some(self, size: int) -> bytes:
        if self._chunked and self._left == 0:
            self._next_chunk()
            if self._finished:
                return b""
        data = self._reader.read(min(size, self._left))
        if not data:
            raise invalid("request body ended early")
        self._left -= len(data)
        if self._left == 0:
            if self._chunked:
                if self._line(4):
                    raise invalid("malformed chunk")
            else:
                self._finished = True
        return data

    def _line(self, limit: int) -> bytes:
        try:
            return self._reader.line(limit)
        except EOFError:
            raise invalid("request body ended early") from None

    def _next_chunk(self) -> None:
        size = self._line(1024).partition(b";")[0].strip(b" \t")
        if not size or len(size) > 15 or not all(c in b"0123456789abcdefABCDEF" for c in size):
            raise invalid("malformed chunk")
        self._left = int(size, 16)
        if self._left == 0:
            for _ in range(MAX_HEADERS):
                if not self._line(MAX_LINE):
                    self._finished = True
                    return
            raise invalid("request has too many trailers")


class Reader:
    """Buffered reading from the socket; what it read too much is kept for the hand-over."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = b""

    def line(self, limit: int) -> bytes:
        """One line without its CRLF.

        Raises:
            EOFError: the connection ended before the line did.
            AgentError: longer than `limit`, or with a CR or NUL in it.
        """
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > limit:
                raise AgentError(Kind.HEADERS_TOO_LARGE, "request header is too large")
            data = self._sock.recv(CHUNK)
            if not data:
                raise EOFError
            self._buffer += data
        if end > limit:
            raise AgentError(Kind.HEADERS_TOO_LARGE, "request header is too large")
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        line = line[:-1] if line.endswith(b"\r") else line
        if b"\r" in line or b"\0" in line:  # RFC 9112, section 2.2: another server might see two lines here
            raise invalid("malformed request: a line with CR or NUL in it")
        return line

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; b"" at the end of the stream."""
        if not self._buffer:
            return self._sock.recv(size)
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def take_rest(self) -> bytes:
        """What was read beyond the request."""
        rest, self._buffer = self._buffer, b""
        return rest


def read_request(reader: Reader) -> Request | None:
    """Read a request up to its body; None when the client closed instead.

    Raises:
        AgentError: malformed, or beyond the bounds.
    """
    try:
        line = reader.line(MAX_LINE)
        if not line:  # RFC 9112, section 2.2: an empty line before a request is to be skipped
            line = reader.line(MAX_LINE)
    except EOFError:
        return None
    parts = line.split(b" ")
    if len(parts) != 3 or parts[2] not in (b"HTTP/1.1", b"HTTP/1.0") or not parts[1].startswith((b"/", b"http://")):
        raise invalid("malformed request line")
    method, target = parts[0].decode("latin-1"), parts[1].decode("latin-1")
    if not method or not set(method) <= _TOKEN:
        raise invalid("malformed request line")
    headers = _read_headers(reader)
    if parts[2] == b"HTTP/1.0":
        if "transfer-encoding" in headers:
            raise invalid("unsupported transfer encoding")
        headers.setdefault("connection", "close")
    if target.startswith("http://"):
        target = "/" + target[7:].partition("/")[2]
    path, _, query = target.partition("?")
    try:
        decoded = dict(reversed(parse_qsl(query, keep_blank_values=True, max_num_fields=256))) if query else {}
    except ValueError:
        raise invalid("request has too many query parameters") from None
    return Request(method, unquote(path), decoded, headers, Body(reader, headers))


def _read_headers(reader: Reader) -> dict[str, str]:
    headers: dict[str, str] = {}
    count = total = 0
    while True:
        try:
            line = reader.line(MAX_LINE)
        except EOFError:
            raise invalid("request ended early") from None
        if not line:
            return headers
        count, total = count + 1, total + len(line)
        if count > MAX_HEADERS or total > MAX_HEADER_BYTES:
            raise AgentError(Kind.HEADERS_TOO_LARGE, "request has too many headers")
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or not set(name) <= _TOKEN:
            raise invalid("malformed header")
        name = name.lower()
        if name in headers and name in ("content-length", "transfer-encoding", "host"):
            raise invalid(f"repeated header {name}")
        headers[name] = value.strip(" \t")


class Connection:
    """Writing answers on a connection; one answer per request."""

    def __init__(self, sock: socket.socket, reader: Reader) -> None:
        self.sock = sock
        self._reader = reader
        self.answered = False
        self.handed_over = False
        self.keep = True
        self.extra_headers: tuple[str, ...] = ()
        self._chunked = False

    def _head(self, status: int, headers: list[str]) -> bytes:
        self.answered = True
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}", *self.extra_headers, *headers]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def send_json(self, value: Any, status: int = 200) -> None:
        """Answer with JSON."""
        self.send(json.dumps(value, separators=(",", ":")).encode() + b"\n", "application/json", status)

    def send(
        self, body: bytes, kind: str = "text/plain; charset=utf-8", status: int = 200, *, head: bool = False
    ) -> None:
        """Answer with a body of known length; `head` leaves the body out."""
        headers = [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        if not self.keep:
            headers.append("Connection: close")
        self.sock.sendall(self._head(status, headers) + (b"" if head else body))

    def send_empty(self, status: int = 204) -> None:
        """Answer without a body."""
        length = [] if status in (204, 304) else ["Content-Length: 0"]
        self.sock.sendall(self._head(status, length + ([] if self.keep else ["Connection: close"])))

    def start_stream(self, kind: str = "application/json", status: int = 200) -> None:
        """Begin an answer of unknown length."""
        self._chunked = True
        self.sock.sendall(self._head(status, [f"Content-Type: {kind}", "Transfer-Encoding: chunked"]))

    def write(self, data: bytes) -> None:
        """Send a part of a streamed answer."""
        if data:
            self.sock.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def write_json(self, value: Any) -> None:
        """Send one JSON line of a streamed answer."""
        self.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")

    def end_stream(self) -> None:
        """End a streamed answer."""
        self.sock.sendall(b"0\r\n\r\n")

    def start_raw(self, request: Request, kind: str) -> None:
        """Turn the connection into a raw byte stream, by upgrade or, for older clients, by a plain 200."""
        request.body.read_all(MAX_JSON_BODY)  # what follows it belongs to the stream
        if request.upgrades:
            head = self._head(101, [f"Content-Type: {kind}", "Connection: Upgrade", "Upgrade: tcp"])
        else:
            head = self._head(200, [f"Content-Type: {kind}"])
        self.keep = False
        self.sock.sendall(head)

    def start_upgraded(self, headers: list[str]) -> None:
        """Turn the connection over to another protocol, with these headers."""
        self.keep = False
        self.sock.sendall(self._head(101, headers))

    def take_rest(self) -> bytes:
        """Bytes the client sent behind the request; they belong to the raw stream."""
        return self._reader.take_rest()


def serve_connection(sock: socket.socket, answer: Any) -> None:
    """Serve requests on a connection until it ends.

    Arguments:
        answer: called with (request, connection); raises AgentError or anything else, which becomes the answer.
    """
    reader = Reader(sock)
    handed_over = False
    try:
        while True:
            connection = Connection(sock, reader)
            try:
                request = read_request(reader)
                if request is None:
                    return
                connection.keep = "close" not in request.headers.get("connection", "").lower()
                answer(request, connection)
            except AgentError as error:
                connection.keep = False
                if not connection.answered:
                    connection.send_json({"message": error.message}, error.status)
                return
            if connection.handed_over:
                handed_over = True
                return
            if not connection.keep or not request.body.finished:
                return
    except (OSError, EOFError):
        return
    finally:
        if not handed_over:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        sock.close()
