"""HTTP/1.1 on a byte stream, as much of it as the engine's API uses.

Own code rather than `http.client`, because that one brings the e-mail parser and TLS along (20 ms of a command that
should take 60), does not hand over an upgraded connection with what it has already read, and has no half-close.

What went wrong decides what the caller may do, so it is told apart here:
    AgentUnreachable    nothing was sent, or only a question: safe to ask again
    OutcomeUnknown      a request was sent and its answer lost: look before asking again
    ProtocolError       an answer that is not HTTP
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ..errors import AgentUnreachable, OutcomeUnknown, ProtocolError
from .streams import open_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .types import Endpoint, Stream

CHUNK = 64 * 1024
MAX_HEAD = 64 * 1024
MAX_CHUNK_LINE = 1024
SAFE_METHODS = frozenset({"GET", "HEAD"})
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")

Body = bytes | Iterable[bytes]
QueryValue = str | int | bool | Sequence[str] | None


def quote(text: str) -> str:
    """Escape one part of a path or query; `urllib.parse` would cost the command line 5 ms to import."""
    return "".join(chr(b) if b in _UNRESERVED else f"%{b:02X}" for b in text.encode())


def format_query(values: Mapping[str, QueryValue]) -> str:
    """Format a query string with its `?`; None leaves a value out, booleans become 1 and 0, a list repeats the name."""
    pairs = (
        f"{name}={quote(str(int(item)) if isinstance(item, bool) else str(item))}"
        for name, value in values.items()
        if value is not None
        for item in (value if isinstance(value, list | tuple) else [value])
    )
    text = "&".join(pairs)
    return f"?{text}" if text else ""


class RawStream:
    """An upgraded connection: bytes both ways, starting with those that came along with the answer."""

    def __init__(self, stream: Stream, rest: bytes) -> None:
        self._stream = stream
        self._rest = rest

    def recv(self, size: int = CHUNK) -> bytes:
        """Up to `size` bytes; b"" at the end."""
        if self._rest:
            data, self._rest = self._rest[:size], self._rest[size:]
            return data
        return self._stream.recv(size)

    def sendall(self, data: bytes) -> None:
        """Send all of the bytes."""
        self._stream.sendall(data)

    def shutdown_write(self) -> None:
        """End what is sent (a container's stdin); what is received goes on."""
        self._stream.shutdown_write()

    def close(self) -> None:
        """Leave; a thread in `recv` wakes up."""
        self._stream.close()


class Response:
    """One answer; its body is read on demand, and reading it to the end frees the connection for the next request."""

    def __init__(self, connection: Connection, status: int, headers: dict[str, str], *, bodiless: bool) -> None:
        self._connection = connection
        self._on_finished: Callable[[], None] | None = None
        self.status = status
        self.headers = headers
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = -1 if self._chunked else _content_length(headers)
        self.finished = bodiless or status in (204, 304) or self._left == 0
        self.reusable = headers.get("connection", "").lower() != "close" and (self._chunked or self._left >= 0)
        if self.finished:
            self.reusable = headers.get("connection", "").lower() != "close"

    def when_finished(self, callback: Callable[[], None]) -> None:
        """Call back once, when the body has been read (at once, if it has been)."""
        self._on_finished = callback
        if self.finished:
            self._finish()

    def _finish(self) -> None:
        self.finished = True
        callback, self._on_finished = self._on_finished, None
        if callback:
            callback()

    def read_some(self) -> bytes:
        """The next bytes of the body as they arrive; b"" at its end."""
        while not self.finished:
            if self._chunked and self._left <= 0 and not self._next_chunk():
                break
            data = self._connection.read_some(CHUNK if self._left < 0 else min(CHUNK, self._left))
            if not data:
                if self._left < 0:  # a body without a length ends with the connection
                    self._finish()
                    break
                raise self._connection.lost("the answer was cut short")
            if self._left > 0:
                self._left -= len(data)
                if self._left == 0 and not self._chunked:
                    self._finish()
                elif self._left == 0:
                    self._connection.read_line(2)
                    self._left = -1
            return data
        return b""

    def _next_chunk(self) -> bool:
        text = self._connection.read_line(MAX_CHUNK_LINE).partition(b";")[0].strip()
        try:
            self._left = int(text, 16)
        except ValueError:
            raise ProtocolError(f"malformed chunk in the engine's answer: {text[:20]!r}") from None
        if self._left:
            return True
        while self._connection.read_line(MAX_CHUNK_LINE):
            pass
        self._finish()
        return False

    def __iter__(self) -> Iterator[bytes]:
        while data := self.read_some():
            yield data

    def read(self) -> bytes:
        """All of the body."""
        return b"".join(self)

    def json(self) -> Any:
        """All of the body as JSON; None when there is none.

        Raises:
            ProtocolError: not JSON.
        """
        return parse_json(self.read())

    def json_lines(self) -> Iterator[Any]:
        """The values of a streamed answer (events, progress), each as soon as its line is there."""
        rest = b""
        for data in self:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.strip():
                    yield parse_json(line)
        if rest.strip():
            yield parse_json(rest)

    def close(self) -> None:
        """Drop the connection, with whatever else the engine had to say."""
        self._connection.close()


def parse_json(data: bytes) -> Any:
    """Parse an answer; None for an empty one.

    Raises:
        ProtocolError: not JSON.
    """
    if not data.strip():
        return None
    try:
        return json.loads(data)
    except ValueError as error:
        raise ProtocolError(f"the engine's answer is not JSON: {data[:80]!r}") from error


def _content_length(headers: dict[str, str]) -> int:
    text = headers.get("content-length")
    if text is None:
        return -1
    if not (text.isascii() and text.isdigit()):
        raise ProtocolError(f"malformed content length in the engine's answer: {text[:20]!r}")
    return int(text)


class Connection:
    """One connection to an engine, one request at a time."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffer = b""
        self._method = ""

    @classmethod
    def open(cls, endpoint: Endpoint) -> Connection:
        """Connect.

        Raises:
            AgentUnreachable: nobody answers there.
        """
        try:
            return cls(open_stream(endpoint))
        except OSError as error:
            reason = error.strerror or str(error)
            raise AgentUnreachable(
                f"cannot connect to the engine at {endpoint.kind}://{endpoint.address}: {reason.lower()}",
                "is the machine running? see `atoll machine ls`",
            ) from error

    def is_stale(self) -> bool:
        """Whether the engine has closed this idle connection."""
        return bool(self._buffer) or self._stream.is_stale()

    def close(self) -> None:
        """Disconnect."""
        self._stream.close()

    def send(self, method: str, target: str, body: Body = b"", headers: dict[str, str] | None = None) -> None:
        """Send a request; `receive` gets its answer.

        Arguments:
            body: bytes, or parts that are sent in chunks as they come.

        Raises:
            AgentUnreachable, OutcomeUnknown: see the module.
        """
        self._method = method
        lines = [f"{method} {target} HTTP/1.1", "Host: atoll", "User-Agent: atoll"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if not isinstance(body, bytes):
            lines.append("Transfer-Encoding: chunked")
        elif body or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        head = "\r\n".join([*lines, "", ""]).encode()
        try:
            self._stream.sendall(head + body if isinstance(body, bytes) else head)
            if not isinstance(body, bytes):
                self._send_chunks(body)
        except ConnectionError as error:
            # The engine may have answered (a refusal) before it read all of the body: prefer what it said.
            if isinstance(body, bytes) or not self._has_answer():
                raise self.lost("the connection broke while the request was sent") from error

    def _send_chunks(self, body: Iterable[bytes]) -> None:
        for data in body:
            if data:
                self._stream.sendall(b"%x\r\n%b\r\n" % (len(data), data))
        self._stream.sendall(b"0\r\n\r\n")

    def _has_answer(self) -> bool:
        try:
            self._buffer += self._stream.recv(CHUNK)
        except OSError:
            return False
        return bool(self._buffer)

    def receive(self) -> Response:
        """Read the head of the answer.

        Raises:
            OutcomeUnknown, AgentUnreachable: the connection ended first.
            ProtocolError: not HTTP.
        """
        while True:
            status, headers = _parse_head(self._read_head())
            if status >= 200 or status == 101:
                return Response(self, status, headers, bodiless=self._method == "HEAD" or status == 101)

    def take_over(self) -> RawStream:
        """The raw stream behind an upgraded answer."""
        rest, self._buffer = self._buffer, b""
        return RawStream(self._stream, rest)

    def _read_head(self) -> bytes:
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise ProtocolError("the head of the engine's answer is too long")
            data = self._recv(CHUNK)
            if not data:
                raise self.lost("the connection ended before the answer")
            self._buffer += data
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head

    def read_some(self, size: int) -> bytes:
        """Up to `size` bytes of a body; b"" at the end of the connection."""
        if self._buffer:
            data, self._buffer = self._buffer[:size], self._buffer[size:]
            return data
        return self._recv(size)

    def read_line(self, limit: int) -> bytes:
        """One line of the chunked coding, without its end."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > limit:
                raise ProtocolError("malformed chunk in the engine's answer")
            data = self._recv(CHUNK)
            if not data:
                raise self.lost("the answer was cut short")
            self._buffer += data
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.rstrip(b"\r")

    def _recv(self, size: int) -> bytes:
        try:
            return self._stream.recv(size)
        except ConnectionError:
            return b""
        except OSError as error:
            raise self.lost(f"the connection broke: {error.strerror or error}") from error

    def lost(self, what: str) -> AgentUnreachable | OutcomeUnknown:
        """The error for a connection that ended in the middle of the request."""
        self.close()
        if self._method in SAFE_METHODS:
            return AgentUnreachable(f"lost the engine: {what}", "is the machine running? see `atoll machine ls`")
        return OutcomeUnknown(
            f"lost the engine: {what}", "the request may have been carried out; look with `atoll ps -a`"
        )


def _parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Parse status line and headers (names in lower case).

    Raises:
        ProtocolError: not HTTP/1.
    """
    first, *rest = head.decode("latin-1").split("\r\n")
    parts = first.split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not (parts[1].isdigit() and len(parts[1]) == 3):
        raise ProtocolError(f"the engine's answer is not HTTP: {first[:60]!r}")
    headers = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon:
            raise ProtocolError(f"malformed header in the engine's answer: {line[:60]!r}")
        headers[name.strip().lower()] = value.strip()
    return int(parts[1]), headers
