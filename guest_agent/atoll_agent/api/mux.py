"""Many byte streams over one virtio-serial port.

The keeper on the host opens streams, each to a named service of the agent (`api`: the Docker API; `ssh`: one SSH
connection; `tcp:ADDRESS:PORT`: a connection into the machine's network). Streams have half-close and per-stream
credit, so a slow reader holds up nobody but itself.

A port is not a connection: QEMU drops bytes while the guest has the port closed, and either end may be replaced while
the other lives on. So a session starts with a handshake that no leftover byte can imitate: the host sends `MAGIC` and a
nonce, the guest throws away everything before `MAGIC`, forgets all streams and answers with `MAGIC` and the same nonce.

This module holds the state machine only (sans I/O); `machine.channel` and `server.channel` move the bytes.

Frame: type u8, three zero bytes, stream u32, length u32 (big endian), then `length` bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum

from .version import WIRE_VERSION

MAGIC = b"\x00atoll-mux\xff\xfe\r\n\x1a\x00"
NONCE_SIZE = 16
HELLO_SIZE = len(MAGIC) + 1 + NONCE_SIZE
HEADER = struct.Struct("!BxxxII")
MAX_PAYLOAD = 32 * 1024
WINDOW = 256 * 1024
MAX_STREAMS = 4096
MAX_SERVICE = 256


class Frame(IntEnum):
    """Frame types."""

    OPEN = 1
    DATA = 2
    EOF = 3
    CLOSE = 4
    CREDIT = 5


class MuxError(Exception):
    """The other end does not follow the protocol; the session must be started again."""


@dataclass(frozen=True)
class Ready:
    """A session has begun; all streams of the one before are gone."""


@dataclass(frozen=True)
class Opened:
    """The host asks for a stream to a service (guest side only)."""

    stream: int
    service: str


@dataclass(frozen=True)
class Data:
    """Bytes arrived; give their number back with `consumed` once they have been passed on."""

    stream: int
    data: bytes


@dataclass(frozen=True)
class Eof:
    """The other end has no more bytes to send on this stream."""

    stream: int


@dataclass(frozen=True)
class Closed:
    """The stream is gone in both directions."""

    stream: int


@dataclass(frozen=True)
class Writable:
    """Credit came back: more bytes may be sent on this stream."""

    stream: int


Event = Ready | Opened | Data | Eof | Closed | Writable


@dataclass
class _Stream:
    credit: int = WINDOW
    owed: int = 0
    eof_sent: bool = False
    eof_seen: bool = False


@dataclass
class Multiplexer:
    """One end of the port. Not thread-safe: its owner has one loop.

    Arguments:
        host: True on the side that opens streams and starts sessions.
    """

    host: bool
    _streams: dict[int, _Stream] = field(default_factory=dict)
    _incoming: bytearray = field(default_factory=bytearray)
    _outgoing: bytearray = field(default_factory=bytearray)
    _nonce: bytes = b""
    _ready: bool = False
    _next: int = 1

    @property
    def ready(self) -> bool:
        """Whether a session is up."""
        return self._ready

    def start(self, nonce: bytes) -> None:
        """Host only: begin a new session; `Ready` tells when the guest has answered."""
        if not self.host or len(nonce) != NONCE_SIZE:
            raise ValueError("only the host starts a session, with a 16-byte nonce")
        self._forget()
        self._nonce = nonce
        self._outgoing += MAGIC + bytes([WIRE_VERSION]) + nonce

    def reset(self) -> None:
        """The port went away: drop the session and everything that was on its way."""
        self._forget()

    def _forget(self) -> None:
        self._ready = False
        self._streams.clear()
        self._incoming.clear()
        self._outgoing.clear()

    def outgoing(self) -> bytes:
        """Take the bytes that must be written to the port."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    @property
    def pending(self) -> int:
        """How many bytes `outgoing` would return."""
        return len(self._outgoing)

    def feed(self, data: bytes) -> list[Event]:
        """Take bytes read from the port and tell what happened.

        Raises:
            MuxError: a frame that no correct peer sends, or a peer of another wire version.
        """
        self._incoming += data
        events: list[Event] = []
        while True:
            if self._greeting(events):
                continue
            if not self._ready or not self._frame(events):
                return events

    def _greeting(self, events: list[Event]) -> bool:
        """Handle a handshake at the start of the buffer; before a session, seek it."""
        buffer = self._incoming
        if not self._ready:
            at = buffer.find(MAGIC)
            if at < 0:
                del buffer[: max(0, len(buffer) - len(MAGIC) + 1)]
                return False
            del buffer[:at]
        elif not buffer.startswith(MAGIC):
            return False
        if len(buffer) < HELLO_SIZE:
            return False
        version, nonce = buffer[len(MAGIC)], bytes(buffer[len(MAGIC) + 1 : HELLO_SIZE])
        del buffer[:HELLO_SIZE]
        if self.host and nonce != self._nonce:
            return True
        if version != WIRE_VERSION:
            raise MuxError(f"the other end speaks wire version {version}, this one {WIRE_VERSION}")
        if not self.host:
            rest = bytes(buffer)
            self._forget()
            self._incoming += rest
            self._outgoing += MAGIC + bytes([WIRE_VERSION]) + nonce
        self._ready = True
        events.append(Ready())
        return True

    def _frame(self, events: list[Event]) -> bool:
        buffer = self._incoming
        if len(buffer) < HEADER.size:
            return False
        if buffer[0] == 0:
            # Frame types start at 1, so this can only be a greeting that has not arrived whole.
            if not MAGIC.startswith(bytes(buffer[: len(MAGIC)])):
                raise MuxError("frame of type 0")
            return False
        kind, stream, length = HEADER.unpack_from(buffer)
        if length > MAX_PAYLOAD or buffer[1:4] != b"\0\0\0":
            raise MuxError(f"frame of type {kind} with {length} bytes")
        if len(buffer) < HEADER.size + length:
            return False
        payload = bytes(buffer[HEADER.size : HEADER.size + length])
        del buffer[: HEADER.size + length]
        self._handle(kind, stream, payload, events)
        return True

    def _handle(self, kind: int, number: int, payload: bytes, events: list[Event]) -> None:
        if kind == Frame.OPEN:
            self._handle_open(number, payload, events)
            return
        if not Frame.DATA <= kind <= Frame.CREDIT:
            raise MuxError(f"frame of unknown type {kind}")
        stream = self._streams.get(number)
        if stream is None:
            return  # closed here while the frame was on its way
        if kind == Frame.DATA:
            stream.owed += len(payload)
            if stream.owed > WINDOW or stream.eof_seen:
                raise MuxError(f"stream {number}: more bytes than credit")
            events.append(Data(number, payload))
        elif kind == Frame.EOF:
            stream.eof_seen = True
            events.append(Eof(number))
        elif kind == Frame.CLOSE:
            del self._streams[number]
            events.append(Closed(number))
        elif kind == Frame.CREDIT and len(payload) == 4:
            stream.credit += int.from_bytes(payload, "big")
            if stream.credit > WINDOW:
                raise MuxError(f"stream {number}: credit beyond the window")
            events.append(Writable(number))
        else:
            raise MuxError(f"stream {number}: malformed credit")

    def _handle_open(self, number: int, payload: bytes, events: list[Event]) -> None:
        if self.host or number in self._streams or len(payload) > MAX_SERVICE:
            raise MuxError(f"stream {number}: cannot be opened")
        if len(self._streams) >= MAX_STREAMS:
            self._send(Frame.CLOSE, number)
            return
        self._streams[number] = _Stream()
        events.append(Opened(number, payload.decode("ascii", "replace")))

    def _send(self, kind: Frame, stream: int, payload: bytes | memoryview = b"") -> None:
        self._outgoing += HEADER.pack(kind, stream, len(payload))
        self._outgoing += payload

    def open(self, service: str) -> int:
        """Host only: open a stream to a service; it may be used at once.

        Raises:
            MuxError: no session, or too many streams.
            ValueError: not the name of a service.
        """
        if not service.isascii() or len(service) > MAX_SERVICE:
            raise ValueError(f"not a service: {service[:40]!r}")
        if not self._ready or len(self._streams) >= MAX_STREAMS:
            raise MuxError("no session" if not self._ready else "too many streams")
        number = self._next
        self._next = self._next % 0xFFFFFFFF + 1
        self._streams[number] = _Stream()
        self._send(Frame.OPEN, number, service.encode("ascii"))
        return number

    def room(self, stream: int) -> int:
        """How many bytes may be sent on a stream now; 0 when it is gone."""
        found = self._streams.get(stream)
        return found.credit if found and not found.eof_sent else 0

    def send(self, stream: int, data: bytes | memoryview) -> int:
        """Queue as many bytes as the credit allows; returns their number (0 when the stream is gone)."""
        size = min(len(data), self.room(stream))
        view = memoryview(data)
        for start in range(0, size, MAX_PAYLOAD):
            self._send(Frame.DATA, stream, view[start : min(start + MAX_PAYLOAD, size)])
        if size:
            self._streams[stream].credit -= size
        return size

    def send_eof(self, stream: int) -> None:
        """Half-close: this end has no more bytes to send."""
        found = self._streams.get(stream)
        if found and not found.eof_sent:
            found.eof_sent = True
            self._send(Frame.EOF, stream)

    def close(self, stream: int) -> None:
        """Drop a stream in both directions."""
        if self._streams.pop(stream, None):
            self._send(Frame.CLOSE, stream)

    def consumed(self, stream: int, size: int) -> None:
        """Bytes of `Data` have been passed on: give the credit back."""
        found = self._streams.get(stream)
        if found and size:
            found.owed -= size
            self._send(Frame.CREDIT, stream, size.to_bytes(4, "big"))
