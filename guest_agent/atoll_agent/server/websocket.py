"""WebSockets (RFC 6455) for `attach/ws`: the handshake, and a relay between a WebSocket and a plain stream.

Only what that endpoint needs: no extensions, no subprotocols; text from the client is taken as bytes, output goes out
in binary messages, as dockerd sends it. Our own because the stream behind it is a socket that the supervisor owns.
"""

from __future__ import annotations

import base64
import hashlib
import select
import socket

from ..api.errors import invalid
from .http import Request

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
MAX_FRAME = 1 << 20
CHUNK = 32 * 1024
NORMAL, PROTOCOL_ERROR, TOO_BIG = 1000, 1002, 1009


class ProtocolError(Exception):
    """The client breaks the protocol; `code` is what it is told."""

    def __init__(self, code: int) -> None:
        super().__init__(f"WebSocket status {code}")
        self.code = code


def accept_headers(request: Request) -> list[str]:
    """Headers of the answer that turns a connection into a WebSocket.

    Raises:
        AgentError: the request does not ask for one (RFC 6455, section 4.2.1).
    """
    key = request.headers.get("sec-websocket-key", "")
    try:
        good = len(base64.b64decode(key, validate=True)) == 16
    except ValueError:
        good = False
    if not good or request.headers.get("upgrade", "").lower() != "websocket":
        raise invalid("bad request: a WebSocket handshake is expected")
    if request.headers.get("sec-websocket-version") != "13":
        raise invalid("bad request: only version 13 of WebSocket is supported")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC).digest()).decode()
    return ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}"]


def format_frame(kind: int, payload: bytes) -> bytes:
    """A whole message as a server sends it: one frame, not masked."""
    if len(payload) < 126:
        head = bytes((0x80 | kind, len(payload)))
    elif len(payload) < 1 << 16:
        head = bytes((0x80 | kind, 126)) + len(payload).to_bytes(2, "big")
    else:
        head = bytes((0x80 | kind, 127)) + len(payload).to_bytes(8, "big")
    return head + payload


class FrameReader:
    """Cuts a client's bytes into frames (sans I/O)."""

    def __init__(self, head: bytes = b"") -> None:
        self._buffer = bytearray(head)

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        self._buffer += data

    def take(self) -> tuple[int, bytes] | None:
        """The next frame's kind and payload, or None; a continuation counts as data.

        Raises:
            ProtocolError: not masked, reserved bits, a control frame in parts, or larger than `MAX_FRAME`.
        """
        if len(self._buffer) < 2:
            return None
        kind, size, at = self._buffer[0] & 15, self._buffer[1] & 127, 2
        if self._buffer[0] & 0x70 or not self._buffer[1] & 0x80:
            raise ProtocolError(PROTOCOL_ERROR)
        if kind >= CLOSE and (size > 125 or not self._buffer[0] & 0x80):
            raise ProtocolError(PROTOCOL_ERROR)
        if size > 125:
            at += 2 if size == 126 else 8
            if len(self._buffer) < at:
                return None
            size = int.from_bytes(self._buffer[2:at], "big")
        if size > MAX_FRAME:
            raise ProtocolError(TOO_BIG)
        if len(self._buffer) < at + 4 + size:
            return None
        mask = bytes(self._buffer[at : at + 4])
        payload = _unmask(bytes(self._buffer[at + 4 : at + 4 + size]), mask)
        del self._buffer[: at + 4 + size]
        return kind, payload


def _unmask(payload: bytes, mask: bytes) -> bytes:
    whole = int.from_bytes(payload, "big") ^ int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return whole.to_bytes(len(payload), "big")


def relay(client: socket.socket, stream: socket.socket, head: bytes = b"") -> None:
    """Carry bytes between a WebSocket and a plain stream until either ends. Closes neither.

    Blocks on whichever does not read: nothing is kept here but one frame.

    Arguments:
        head: what the client sent behind its request.
    """
    frames = FrameReader(head)
    try:
        while _pass_frames(frames, client, stream):
            ready, _, _ = select.select([client, stream], [], [])
            if stream in ready:
                data = stream.recv(CHUNK)
                if not data:
                    client.sendall(format_frame(CLOSE, NORMAL.to_bytes(2, "big")))
                    return
                client.sendall(format_frame(BINARY, data))
            if client in ready:
                data = client.recv(CHUNK)
                if not data:
                    return
                frames.feed(data)
    except ProtocolError as error:
        client.sendall(format_frame(CLOSE, error.code.to_bytes(2, "big")))


def _pass_frames(frames: FrameReader, client: socket.socket, stream: socket.socket) -> bool:
    """Act on every frame that is whole; False after a close."""
    while (frame := frames.take()) is not None:
        kind, payload = frame
        if kind == CLOSE:
            client.sendall(format_frame(CLOSE, payload[:2]))
            return False
        if kind == PING:
            client.sendall(format_frame(PONG, payload))
        elif kind in (0, TEXT, BINARY):
            stream.sendall(payload)
        elif kind != PONG:
            raise ProtocolError(PROTOCOL_ERROR)
    return True
